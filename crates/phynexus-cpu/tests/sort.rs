//! Sorting against the standard library's stable sort.

mod common;

use common::{Random, Tensor, assert_same, launch, same_bits};
use phynexus_core::{DType, Spec};
use std::cmp::Ordering;

fn order(a: f64, b: f64) -> Ordering {
    a.partial_cmp(&b).unwrap_or_else(|| a.is_nan().cmp(&b.is_nan()))
}

fn check(input: &Tensor, values: &Tensor, positions: &Tensor) {
    let row = input.layout.shape().last().copied().unwrap_or(1);
    for descending in [false, true] {
        launch(Spec::Sort { descending }, &[input], &[values, positions]).unwrap();
        let (mut sorted, mut places) = (Vec::new(), Vec::new());
        for row in input.values().chunks(row.max(1)) {
            let mut places_here: Vec<usize> = (0..row.len()).collect();
            places_here
                .sort_by(|&a, &b| if descending { order(row[b], row[a]) } else { order(row[a], row[b]) });
            sorted.extend(places_here.iter().map(|&i| row[i]));
            places.extend(places_here.iter().map(|&i| i as f64));
        }
        let what = format!("{:?} {} descending {descending}", input.layout, input.dtype);
        assert_same(&positions.values(), &places, &what);
        assert_same(&values.values(), &sorted, &what);
    }
}

#[test]
fn any_view() {
    let mut random = Random::new(1);
    for case in 0..400 {
        let (dims, dtype) = (case % 5, DType::ALL[case / 5 % 8]);
        let sizes = random.shape(dims);
        let input = Tensor::strided(&mut random, dtype, &sizes, true, |r| r.small(dtype, true));
        let values = Tensor::strided(&mut random, dtype, &sizes, false, |_| 1.0);
        let positions = Tensor::strided(&mut random, DType::I64, &sizes, false, |_| 1.0);
        check(&input, &values, &positions);
    }
}

/// Rows on both sides of the length from which digits are sorted, with few and with many different values.
#[test]
fn long_rows() {
    let mut random = Random::new(2);
    for dtype in DType::ALL {
        for n in [1000, 4095, 4096, 20_000] {
            for distinct in [3, 1 << 30] {
                let row: Vec<f64> = (0..n)
                    .map(|_| match random.below(distinct) as f64 - (distinct / 2) as f64 {
                        v if dtype.is_float() && random.below(50) == 0 => v / 0.0,
                        v if dtype.is_float() && random.below(50) == 0 => 0.0 * v,
                        v if dtype.is_float() => v * 1e-7,
                        v if dtype == DType::I64 => v * 4e6,
                        v if dtype == DType::Bool => (v > 0.0) as u8 as f64,
                        v => v,
                    })
                    .collect();
                let input = Tensor::new(dtype, &[n], &row);
                check(&input, &Tensor::empty(dtype, &[n]), &Tensor::empty(DType::I64, &[n]));
            }
        }
    }
}

#[test]
fn zeros_keep_their_sign_and_order() {
    let input = Tensor::new(DType::F32, &[4], &[0.0, -0.0, 0.0, -0.0]);
    let (values, positions) = (Tensor::empty(DType::F32, &[4]), Tensor::empty(DType::I64, &[4]));
    launch(Spec::Sort { descending: false }, &[&input], &[&values, &positions]).unwrap();
    assert_eq!(values.bytes(), input.bytes());
    assert_eq!(positions.values(), [0.0, 1.0, 2.0, 3.0]);
}

#[test]
fn threads_do_not_matter() {
    let mut random = Random::new(3);
    let n = 400 * 100;
    let input =
        Tensor::new(DType::F32, &[400, 100], &(0..n).map(|_| random.below(50) as f64).collect::<Vec<_>>());
    same_bits("sort", || {
        let (values, positions) =
            (Tensor::empty(DType::F32, &[400, 100]), Tensor::empty(DType::I64, &[400, 100]));
        launch(Spec::Sort { descending: true }, &[&input], &[&values, &positions]).unwrap();
        [values.bytes(), positions.bytes()].concat()
    });
}

/// Outputs that are shorter than the rows get the first elements of the whole order, whatever rows look like.
#[test]
fn first_elements() {
    let mut random = Random::new(5);
    for dtype in DType::ALL {
        for (rows, n) in [(3, 1), (2, 63), (2, 64), (3, 200), (2, 1000), (1, 5000)] {
            for kind in 0..4 {
                let draw = |i: usize, random: &mut Random| match kind {
                    0 => random.small(dtype, true),
                    1 => (i % 120) as f64,
                    2 => (n - i % n) as f64 % 120.0,
                    _ if dtype.is_float() => random.below(1 << 20) as f64 * 0.37 - 1e5,
                    _ => random.below(100) as f64,
                };
                let values: Vec<f64> = (0..rows * n).map(|i| draw(i, &mut random)).collect();
                let input = Tensor::new(dtype, &[rows, n], &values);
                let mut turned = Tensor::new(dtype, &[n, rows], &values);
                turned.layout = turned.layout.permute(&[1, 0]);
                for (input, descending) in [(&input, false), (&input, true), (&turned, true)] {
                    let all = [Tensor::empty(dtype, &[rows, n]), Tensor::empty(DType::I64, &[rows, n])];
                    launch(Spec::Sort { descending }, &[input], &[&all[0], &all[1]]).unwrap();
                    for k in [1, 2, 5, 40, n - 1].into_iter().filter(|&k| k < n && k > 0) {
                        let few = [Tensor::empty(dtype, &[rows, k]), Tensor::empty(DType::I64, &[rows, k])];
                        launch(Spec::Sort { descending }, &[input], &[&few[0], &few[1]]).unwrap();
                        for (few, all) in few.iter().zip(&all) {
                            let first: Vec<f64> =
                                all.values().chunks(n).flat_map(|row| row[..k].to_vec()).collect();
                            let what = format!("{k} of {n} {dtype}, kind {kind}, descending {descending}");
                            assert_same(&few.values(), &first, &what);
                        }
                    }
                }
            }
        }
    }
}

/// Wide keys that are equal in the bits that are sorted by first.
#[test]
fn wide_keys_that_differ_late() {
    let mut random = Random::new(6);
    let row: Vec<f64> =
        (0..6000).map(|_| (random.below(3) as f64 - 1.0) * 2f64.powi(52) + random.below(40) as f64).collect();
    for dtype in [DType::I64, DType::F64] {
        let input = Tensor::new(dtype, &[1, 6000], &row);
        check(&input, &Tensor::empty(dtype, &[1, 6000]), &Tensor::empty(DType::I64, &[1, 6000]));
    }
}
