//! Reductions against the definition, element by element.

mod common;

use ReduceOp::*;
use common::{Random, Tensor, assert_same, launch, rounded, same_bits};
use phynexus_core::{DType, ReduceOp, Spec};

const OPS: [ReduceOp; 9] = [Sum, Mean, Prod, Max, Min, ArgMax, ArgMin, Any, All];

fn stored(op: ReduceOp, input: DType) -> DType {
    match op {
        Sum | Prod if !input.is_float() => DType::I64,
        ArgMax | ArgMin => DType::I64,
        Any | All => DType::Bool,
        _ => input,
    }
}

/// By definition, in f64, which is exact for small whole numbers.
fn expected(op: ReduceOp, row: &[f64]) -> f64 {
    let first = |better: fn(f64, f64) -> bool| {
        (1..row.len()).fold(0, |best, i| {
            let nan = row[i].is_nan() && !row[best].is_nan();
            if nan || better(row[i], row[best]) { i } else { best }
        })
    };
    match op {
        Sum => row.iter().sum::<f64>() + 0.0,
        Mean => row.iter().sum::<f64>() / row.len() as f64,
        Prod => row.iter().product(),
        Max => row[first(|a, b| a > b)],
        Min => row[first(|a, b| a < b)],
        ArgMax => first(|a, b| a > b) as f64,
        ArgMin => first(|a, b| a < b) as f64,
        Any => row.iter().any(|&x| x != 0.0) as u8 as f64,
        All => row.iter().all(|&x| x != 0.0) as u8 as f64,
    }
}

fn check(op: ReduceOp, axes: usize, input: &Tensor) {
    let sizes = input.layout.shape();
    let (outer, inner) = sizes.split_at(sizes.len() - axes);
    let (outputs, depth): (usize, usize) = (outer.iter().product(), inner.iter().product());
    if depth == 0 && matches!(op, Max | Min | ArgMax | ArgMin) {
        return;
    }
    let output = Tensor::empty(stored(op, input.dtype), outer);
    launch(Spec::Reduce { op, axes }, &[input], &[&output]).unwrap();
    let values = input.values();
    let wanted: Vec<f64> = (0..outputs)
        .map(|i| rounded(output.dtype, expected(op, &values[i * depth..(i + 1) * depth])))
        .collect();
    assert_same(
        &output.values(),
        &wanted,
        &format!("{op:?} over {axes} of {:?} {}", input.layout, input.dtype),
    );
}

#[test]
fn any_view() {
    let mut random = Random::new(1);
    for case in 0..400 {
        let (dims, dtype) = (case % 5, DType::ALL[case / 5 % 8]);
        let sizes = random.shape(dims);
        let (nan, axes) = (random.below(3) == 0, random.below(dims + 1));
        for op in OPS {
            if op == Mean && !dtype.is_float() {
                continue;
            }
            let input = Tensor::strided(&mut random, dtype, &sizes, true, |r| {
                let value = r.small(dtype, nan && op != Prod);
                match op {
                    All if r.below(6) > 0 => 1.0,
                    Prod if r.below(20) > 0 => [1.0, value.signum()][r.below(2)], // so that nothing overflows
                    Prod => value.signum(),
                    _ => value,
                }
            });
            check(op, axes, &input);
        }
    }
}

/// Shapes that take each path: one long row, many rows, columns, few columns with long and odd tails, several dimensions.
#[test]
fn large_views() {
    let mut random = Random::new(2);
    let cases: [(&[usize], &[usize], usize); 11] = [
        (&[100_003], &[0], 1),
        (&[500, 333], &[0, 1], 1),
        (&[500, 333], &[1, 0], 1),
        (&[10_007, 10], &[1, 0], 1),
        (&[70_001, 3], &[1, 0], 1),
        (&[3, 70_001], &[0, 1], 1),
        (&[40, 60, 50], &[1, 0, 2], 2),
        (&[40, 60, 50], &[2, 0, 1], 2),
        (&[9, 130, 150], &[0, 2, 1], 1),
        (&[9, 130, 150], &[0, 2, 1], 3),
        (&[66_000, 2, 1], &[1, 0, 2], 2),
    ];
    for (sizes, order, axes) in cases {
        for dtype in [DType::U8, DType::I64, DType::F16, DType::F32, DType::F64] {
            for op in OPS {
                if op == Mean && !dtype.is_float() || matches!(op, Prod) {
                    continue;
                }
                let sparse = op == Any;
                let values: Vec<f64> = (0..sizes.iter().product())
                    .map(
                        |_| if sparse && random.below(20_000) > 0 { 0.0 } else { random.small(dtype, false) },
                    )
                    .collect();
                let mut input = Tensor::new(dtype, sizes, &values);
                input.layout = input.layout.permute(order);
                check(op, axes, &input);
            }
        }
    }
}

#[test]
fn nan_wins_wherever_it_stands() {
    for dtype in [DType::F16, DType::BF16, DType::F32, DType::F64] {
        for n in [1, 7, 40, 200, 3000] {
            for at in [0, n / 2, n - 1] {
                let mut values: Vec<f64> = (0..n).map(|i| (i % 7) as f64).collect();
                values[at] = f64::NAN;
                for op in [Max, Min, ArgMax, ArgMin, Sum, Mean, Any, All] {
                    check(op, 1, &Tensor::new(dtype, &[n], &values));
                    let mut column = Tensor::new(dtype, &[n, 2], &[values.clone(), values.clone()].concat());
                    column.layout = column.layout.permute(&[1, 0]);
                    check(op, 1, &column);
                }
            }
        }
    }
}

#[test]
fn extremes_of_infinities_zeros_and_limits() {
    let inf = f64::INFINITY;
    for op in [Max, Min, ArgMax, ArgMin] {
        for dtype in [DType::F16, DType::BF16, DType::F32, DType::F64] {
            check(op, 1, &Tensor::new(dtype, &[40], &[-inf; 40]));
            check(op, 1, &Tensor::new(dtype, &[40], &[inf; 40]));
            check(op, 1, &Tensor::new(dtype, &[4], &[0.0, -0.0, 0.0, -0.0]));
            check(op, 1, &Tensor::new(dtype, &[3], &[-0.0, 0.0, -0.0]));
        }
        check(op, 1, &Tensor::new(DType::I64, &[3], &[i64::MIN as f64, 5.0, i64::MIN as f64]));
        check(op, 1, &Tensor::new(DType::I32, &[3], &[i32::MIN as f64, i32::MAX as f64, i32::MIN as f64]));
        check(op, 1, &Tensor::new(DType::F16, &[4], &[6e-8, -6e-8, 1e-6, -65504.0]));
    }
}

#[test]
fn products() {
    for (dtype, factor) in
        [(DType::U8, 3.0), (DType::I32, -3.0), (DType::F32, 0.5), (DType::F64, -1.5), (DType::BF16, 2.0)]
    {
        let values: Vec<f64> = (0..60).map(|i| if i % 3 == 0 { factor } else { 1.0 }).collect();
        check(Prod, 1, &Tensor::new(dtype, &[60], &values));
        let mut columns = Tensor::new(dtype, &[30, 2], &values);
        columns.layout = columns.layout.permute(&[1, 0]);
        check(Prod, 1, &columns);
    }
}

#[test]
fn nothing() {
    for dtype in DType::ALL {
        for op in [Sum, Prod, Any, All] {
            check(op, 1, &Tensor::new(dtype, &[3, 0], &[]));
            check(op, 2, &Tensor::new(dtype, &[3, 0], &[]));
        }
        check(Sum, 1, &Tensor::new(dtype, &[0, 3], &[]));
    }
    check(Mean, 1, &Tensor::new(DType::F32, &[2, 0], &[]));
}

#[test]
fn integers_wrap_in_i64() {
    let big = Tensor::new(DType::I32, &[3], &[i32::MAX as f64; 3]);
    let output = Tensor::empty(DType::I64, &[]);
    launch(Spec::Reduce { op: Sum, axes: 1 }, &[&big], &[&output]).unwrap();
    assert_eq!(output.values(), [3.0 * i32::MAX as f64]);
    let huge = Tensor::new(DType::I64, &[2], &[(1u64 << 62) as f64; 2]);
    launch(Spec::Reduce { op: Sum, axes: 1 }, &[&huge], &[&output]).unwrap();
    assert_eq!(output.values(), [i64::MIN as f64]);
}

/// Ten million times 0.1: a running sum in the element type is off by percent.
#[test]
fn sums_are_accurate() {
    const N: usize = 10_000_000;
    let running = (0..N).fold(0.0f32, |sum, _| sum + 0.1);
    let exact = N as f64 * 0.1f32 as f64;
    assert!((running as f64 / exact - 1.0).abs() > 1e-3);
    let values = vec![0.1; N];
    let row = Tensor::new(DType::F32, &[N], &values);
    let mut column = Tensor::new(DType::F32, &[N / 10, 10], &values);
    column.layout = column.layout.permute(&[1, 0]);
    for (input, outer) in [(&row, &[][..]), (&column, &[10])] {
        let output = Tensor::empty(DType::F32, outer);
        launch(Spec::Reduce { op: Sum, axes: 1 }, &[input], &[&output]).unwrap();
        let outputs = output.values();
        for sum in &outputs {
            assert!((sum * outputs.len() as f64 / exact - 1.0).abs() < 1e-7, "{sum}");
        }
    }
}

/// The error of a running sum of n random f64 grows as sqrt(n) or faster, that of pairs as log n.
#[test]
fn sums_of_f64_are_pairwise() {
    const N: usize = 4_000_000;
    // 0.1 is 2^-4 times an odd 53-bit integer, so that the exact sum fits in i128.
    let (unit, scale) = ((0.1f64 * 2f64.powi(56)) as i128, 2f64.powi(-56));
    let exact = (unit * N as i128) as f64 * scale;
    let running = (0..N).fold(0.0, |sum, _| sum + 0.1);
    assert!((running / exact - 1.0f64).abs() > 1e-12);
    let values = vec![0.1; N];
    for (sizes, order) in [([1, N], [0, 1]), ([N, 1], [1, 0]), ([N / 4, 4], [1, 0]), ([N / 500, 500], [1, 0])]
    {
        let mut input = Tensor::new(DType::F64, &sizes, &values);
        input.layout = input.layout.permute(&order);
        let outputs = input.layout.shape()[0];
        let output = Tensor::empty(DType::F64, &[outputs]);
        launch(Spec::Reduce { op: Sum, axes: 1 }, &[&input], &[&output]).unwrap();
        for sum in output.values() {
            assert!((sum * outputs as f64 / exact - 1.0).abs() < 1e-14, "{sizes:?}: {sum}");
        }
    }
}

#[test]
fn threads_do_not_matter() {
    let mut random = Random::new(3);
    for (sizes, order) in
        [([300_000, 1], [1, 0]), ([1000, 700], [0, 1]), ([1000, 700], [1, 0]), ([90_000, 7], [1, 0])]
    {
        let n: usize = sizes.iter().product();
        let values: Vec<f64> = (0..n).map(|_| random.below(1 << 20) as f64 * 1e-5 - 5.0).collect();
        for dtype in [DType::BF16, DType::F32, DType::F64] {
            let mut input = Tensor::new(dtype, &sizes, &values);
            input.layout = input.layout.permute(&order);
            let outer = input.layout.shape()[0];
            for op in [Sum, Mean, Max, ArgMin] {
                same_bits(&format!("{op:?} of {:?}", input.layout), || {
                    let output = Tensor::empty(stored(op, dtype), &[outer]);
                    launch(Spec::Reduce { op, axes: 1 }, &[&input], &[&output]).unwrap();
                    output.bytes()
                });
            }
        }
    }
}
