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
