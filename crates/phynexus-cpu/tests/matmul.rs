//! Matrix products against the definition.

mod common;

use common::{Random, Tensor, assert_same, launch, positions, rounded, same_bits};
use phynexus_core::{DType, Error, Layout, Shape, Spec};
use phynexus_formula::{Binary, Builder, Formula, Type};

const DTYPES: [DType; 7] =
    [DType::F32, DType::F64, DType::F16, DType::BF16, DType::I64, DType::I32, DType::U8];

fn relu(ty: Type) -> Formula {
    let mut b = Builder::new();
    let (x, zero) = (b.input(ty), b.number(ty, 0.0));
    let condition = b.binary(Binary::Le, x, zero);
    let y = b.select(condition, zero, x);
    b.finish(&[y])
}

/// x -> 3 x - 2
fn affine(ty: Type) -> Formula {
    let mut b = Builder::new();
    let (x, three, two) = (b.input(ty), b.number(ty, 3.0), b.number(ty, 2.0));
    let y = b.mul(x, three);
    let y = b.sub(y, two);
    b.finish(&[y])
}

/// The product in f64, before any rounding.
fn expected(a: &Tensor, b: &Tensor, bias: Option<&Tensor>, before: Option<&[f64]>) -> Vec<f64> {
    let (left, right, bias) = (a.values(), b.values(), bias.map(Tensor::values));
    let (sizes, n) = (a.layout.shape().to_vec(), b.layout.shape()[2]);
    let [batch, m, k] = [sizes[0], sizes[1], sizes[2]];
    let mut out = before.map_or_else(|| vec![0.0; batch * m * n], <[f64]>::to_vec);
    for row in 0..batch * m {
        let (x, y) = (&left[row * k..][..k], &right[row / m * k * n..]);
        let sums = &mut out[row * n..][..n];
        for (p, &x) in x.iter().enumerate() {
            sums.iter_mut().zip(&y[p * n..][..n]).for_each(|(sum, &y)| *sum += x * y);
        }
        if let Some(bias) = &bias {
            sums.iter_mut().zip(bias).for_each(|(sum, &b)| *sum += b);
        }
    }
    out
}

fn spec(bias: bool, accumulate: bool, epilogue: Option<Formula>) -> Spec {
    Spec::MatMul { bias, accumulate, epilogue, symmetric: false, sums: false }
}

fn whole(n: usize, seed: u64) -> Vec<f64> {
    let mut random = Random::new(seed);
    (0..n).map(|_| random.below(9) as f64 - 4.0).collect()
}

fn fractions(n: usize, seed: u64) -> Vec<f64> {
    let mut random = Random::new(seed);
    (0..n).map(|_| (random.below(1 << 20) as f64 - (1 << 19) as f64) / (1 << 19) as f64).collect()
}

/// `rows` by `cols` in one batch; stored by columns if `turned`.
fn matrix(dtype: DType, rows: usize, cols: usize, turned: bool, values: &[f64]) -> Tensor {
    if !turned {
        return Tensor::new(dtype, &[1, rows, cols], values);
    }
    let mut tensor = Tensor::new(dtype, &[1, cols, rows], values);
    tensor.layout = tensor.layout.permute(&[0, 2, 1]);
    tensor
}

/// Every sum is a small whole number, so that any order of additions gives it exactly.
#[test]
fn any_view() {
    let mut random = Random::new(1);
    let sizes = [0, 1, 1, 2, 3, 5, 6, 7, 8, 9, 13, 16, 17, 31, 33, 50];
    for case in 0..1500 {
        let dtype = DTYPES[case % 7];
        let nan = case % 5 == 0;
        let mut size = || sizes[random.below(sizes.len())];
        let (m, n, k) = (size(), size(), size());
        let batch = [1, 1, 2, 3, 0][random.below(if case % 10 == 0 { 5 } else { 4 })];
        let mut fill = |r: &mut Random| {
            let nan = nan && r.below(8) == 0;
            r.small(dtype, nan)
        };
        let a = Tensor::strided(&mut random, dtype, &[batch, m, k], true, &mut fill);
        let b = Tensor::strided(&mut random, dtype, &[batch, k, n], true, &mut fill);
        let bias = Tensor::strided(&mut random, dtype, &[n], true, &mut fill);
        let bias = (random.below(2) == 0).then_some(&bias);
        let accumulate = random.below(2) == 0;
        // What stands in the output is never read, unless it is added to.
        let garbage = if dtype.is_float() { f64::NAN } else { 77.0 };
        let out = Tensor::strided(&mut random, dtype, &[batch, m, n], false, |r| {
            if accumulate { r.small(dtype, false) } else { garbage }
        });
        let (epilogue, finish): (_, fn(f64) -> f64) = match random.below(3) {
            0 => (None, |x| x),
            1 => (Some(relu(dtype.compute())), |x| if x <= 0.0 { 0.0 } else { x }),
            _ => (Some(affine(dtype.compute())), |x| 3.0 * x - 2.0),
        };
        let before = out.values();
        let wanted: Vec<f64> = expected(&a, &b, bias, accumulate.then_some(&before))
            .into_iter()
            .map(|x| rounded(dtype, finish(x)))
            .collect();
        let (old, place) = (out.bytes(), positions(&out.layout));
        let inputs: Vec<&Tensor> = [Some(&a), Some(&b), bias].into_iter().flatten().collect();
        launch(spec(bias.is_some(), accumulate, epilogue), &inputs, &[&out]).unwrap();
        let what = format!("case {case} {dtype:?} {:?} {:?} into {:?}", a.layout, b.layout, out.layout);
        assert_same(&out.values(), &wanted, &what);
        let (new, width) = (out.bytes(), dtype.size());
        for at in (0..old.len() / width).filter(|at| !place.contains(at)) {
            let range = at * width..(at + 1) * width;
            assert_eq!(new[range.clone()], old[range], "{what}: touched its surroundings");
        }
    }
}

/// Sizes on both sides of every block size, in every operand order.
#[test]
fn blocks() {
    let shapes = [
        (100, 5, 10),
        (5, 10, 100),
        (100, 1, 5),
        (1, 5, 100),
        (1, 300, 70),
        (300, 1, 70),
        (3, 70, 90),
        (64, 64, 128),
        (97, 67, 383),
        (67, 97, 385),
        (50, 40, 2100),
        (13, 1200, 50),
        (1200, 13, 50),
        (193, 257, 400),
        (1200, 1200, 3),
    ];
    for (m, n, k) in shapes {
        for order in 0..8 {
            // Every type takes the same way; float32 goes all of it.
            for dtype in [DType::F32, [DType::F64, DType::BF16, DType::I32][order % 3]] {
                let a = matrix(dtype, m, k, order & 1 != 0, &fractions_or_whole(dtype, m * k, 1));
                let b = matrix(dtype, k, n, order & 2 != 0, &fractions_or_whole(dtype, k * n, 2));
                let bias = Tensor::new(dtype, &[n], &fractions_or_whole(dtype, n, 3));
                let out = matrix(dtype, m, n, order & 4 != 0, &fractions_or_whole(dtype, m * n, 4));
                let accumulate = order % 3 == 0;
                let before = out.values();
                let wanted = expected(&a, &b, Some(&bias), accumulate.then_some(&before));
                launch(spec(true, accumulate, None), &[&a, &b, &bias], &[&out]).unwrap();
                // Terms are at most 1.
                let k_eps = |eps: f64| (k + 10) as f64 * eps;
                let tolerance = match dtype {
                    DType::F32 => k_eps(f32::EPSILON as f64),
                    DType::F64 => k_eps(f64::EPSILON),
                    DType::BF16 => {
                        k_eps(f32::EPSILON as f64) + 0.004 * wanted.iter().fold(0.0, |m, w| w.abs().max(m))
                    }
                    _ => 0.0,
                };
                for (i, (x, y)) in out.values().iter().zip(&wanted).enumerate() {
                    assert!(
                        (x - y).abs() <= tolerance,
                        "{m} {n} {k} {order} {dtype:?}: {i} is {x}, expected {y}"
                    );
                }
            }
        }
    }
}

/// A few columns of long sums.
#[test]
fn slim() {
    for m in [1, 7, 13, 30, 42, 84, 100] {
        for n in [1, 10, 16, 17, 32, 40] {
            for (k, dtype) in [(350, DType::F32), (1366, DType::F32), (2049, DType::F32), (1366, DType::F64)]
            {
                let a = matrix(dtype, m, k, false, &whole(m * k, 1));
                let b = matrix(dtype, k, n, false, &whole(k * n, 2));
                let out = Tensor::empty(dtype, &[1, m, n]);
                launch(spec(false, false, None), &[&a, &b], &[&out]).unwrap();
                assert_same(&out.values(), &expected(&a, &b, None, None), &format!("{m} {n} {k} {dtype:?}"));
            }
        }
    }
}

fn fractions_or_whole(dtype: DType, n: usize, seed: u64) -> Vec<f64> {
    if dtype.is_float() { fractions(n, seed) } else { whole(n, seed) }
}

#[test]
fn same_bits_from_any_number_of_threads() {
    for (m, n, k) in [(300, 200, 900), (64, 128, 64), (3, 5000, 300), (1, 5000, 300), (2000, 7, 3000)] {
        for order in 0..4 {
            for dtype in [DType::F32, DType::F16] {
                let a = matrix(dtype, m, k, order & 1 != 0, &fractions(m * k, 1));
                let b = matrix(dtype, k, n, order & 2 != 0, &fractions(k * n, 2));
                let start = fractions(m * n, 3);
                same_bits("matmul", || {
                    let out = Tensor::new(dtype, &[1, m, n], &start);
                    launch(spec(false, true, Some(affine(Type::F32))), &[&a, &b], &[&out]).unwrap();
                    out.bytes()
                });
            }
        }
    }
}

#[test]
fn batches() {
    for (batch, m, n, k) in [(40, 20, 30, 50), (300, 8, 8, 16), (500, 1, 20, 33), (3, 220, 230, 240)] {
        for shared in [None, Some(0), Some(1)] {
            let sizes = |i: usize, rows, cols| [if shared == Some(i) { 1 } else { batch }, rows, cols];
            let spread = |mut t: Tensor, rows, cols| {
                t.layout = t.layout.broadcast(&Shape::new(&[batch, rows, cols]).unwrap()).unwrap();
                t
            };
            let (s, t) = (sizes(0, m, k), sizes(1, k, n));
            let a = spread(Tensor::new(DType::F32, &s, &whole(s.iter().product(), 1)), m, k);
            let b = spread(Tensor::new(DType::F32, &t, &whole(t.iter().product(), 2)), k, n);
            same_bits("batch", || {
                let out = Tensor::empty(DType::F32, &[batch, m, n]);
                launch(spec(false, false, None), &[&a, &b], &[&out]).unwrap();
                assert_same(&out.values(), &expected(&a, &b, None, None), &format!("{batch} {shared:?}"));
                out.bytes()
            });
        }
    }
}

#[test]
fn nothing_to_sum() {
    let (a, b) = (Tensor::new(DType::F32, &[1, 3, 0], &[]), Tensor::new(DType::F32, &[1, 0, 2], &[]));
    let bias = Tensor::new(DType::F32, &[2], &[-1.0, 2.0]);
    let out = Tensor::new(DType::F32, &[1, 3, 2], &[f64::NAN; 6]);
    launch(spec(false, false, None), &[&a, &b], &[&out]).unwrap();
    assert_same(&out.values(), &[0.0; 6], "no bias");
    launch(spec(true, true, Some(relu(Type::F32))), &[&a, &b, &bias], &[&out]).unwrap();
    assert_same(&out.values(), &[0.0, 2.0, 0.0, 2.0, 0.0, 2.0], "bias and relu");
}

#[test]
fn infinities_and_nans_stay() {
    for n in [1, 4, 40] {
        let mut x = vec![1.0; 30 * 25];
        (x[25 * 3 + 7], x[25 * 20 + 24]) = (f64::NAN, f64::INFINITY);
        let (a, b) =
            (matrix(DType::F32, 30, 25, false, &x), matrix(DType::F32, 25, n, true, &vec![0.5; 25 * n]));
        let out = Tensor::empty(DType::F32, &[1, 30, n]);
        launch(spec(false, false, Some(relu(Type::F32))), &[&a, &b], &[&out]).unwrap();
        for (i, v) in out.values().into_iter().enumerate() {
            match i / n {
                3 => assert!(v.is_nan()),
                20 => assert_eq!(v, f64::INFINITY),
                _ => assert_eq!(v, 12.5),
            }
        }
    }
}

#[test]
fn integers_wrap() {
    let cases = [
        (DType::U8, 200.0, 3.0, (200.0 * 3.0 * 2.0) % 256.0),
        (DType::I32, 65536.0, 32768.0, 0.0),
        (DType::I32, 2147483647.0, 1.0, -2.0),
        (DType::I64, 4294967296.0, 2147483648.0, 0.0),
    ];
    for (dtype, x, y, sum) in cases {
        let (a, b) = (Tensor::new(dtype, &[1, 1, 2], &[x; 2]), Tensor::new(dtype, &[1, 2, 1], &[y; 2]));
        let out = Tensor::empty(dtype, &[1, 1, 1]);
        launch(spec(false, false, None), &[&a, &b], &[&out]).unwrap();
        assert_eq!(out.values(), [sum], "{dtype:?} {x} {y}");
    }
}

#[test]
fn bool_is_an_error() {
    let x = Tensor::new(DType::Bool, &[1, 1, 1], &[1.0]);
    let error = launch(spec(false, false, None), &[&x, &x], &[&Tensor::empty(DType::Bool, &[1, 1, 1])]);
    assert!(matches!(error, Err(Error::Type(m)) if m.contains("bool") && m.contains("int32")));
}

/// A view that ends with its memory: whole vectors must not be read beyond it.
#[test]
fn the_last_elements() {
    for n in 1..40 {
        let sizes = [1, 9, n];
        let mut b = Tensor::new(DType::F32, &[10 * n + 3], &whole(10 * n + 3, 5));
        b.layout = Layout::strided(Shape::new(&sizes).unwrap(), &[0, n as isize, 1], n + 3);
        let a = Tensor::new(DType::F32, &[1, 20, 9], &whole(180, 6));
        let out = Tensor::empty(DType::F32, &[1, 20, n]);
        launch(spec(false, false, None), &[&a, &b], &[&out]).unwrap();
        assert_same(&out.values(), &expected(&a, &b, None, None), &format!("{n} columns"));
    }
}

/// Half of a symmetric product has the bits of the whole, and the other half mirrors it.
#[test]
fn symmetric_products() {
    for dtype in [DType::F32, DType::F64, DType::BF16] {
        for (batch, n, k) in [(1, 5, 3), (2, 49, 300), (3, 100, 20), (1, 200, 1), (1, 131, 2), (2, 300, 40)] {
            let x = Tensor::new(dtype, &[batch, n, k], &fractions(batch * n * k, 7));
            let mut turned = Tensor::new(dtype, &[batch, n, k], &x.values());
            turned.layout = turned.layout.permute(&[0, 2, 1]);
            let run = |symmetric: bool| {
                let out = Tensor::empty(dtype, &[batch, n, n]);
                let epilogue = Some(affine(dtype.compute()));
                let spec = Spec::MatMul { bias: false, accumulate: false, epilogue, symmetric, sums: false };
                launch(spec, &[&x, &turned], &[&out]).unwrap();
                out
            };
            let (half, whole) = (run(true).values(), run(false).values());
            for i in 0..batch * n * n {
                let (r, c) = (i / n % n, i % n);
                let mirrored = i - r * n - c + c * n + r;
                assert_eq!(half[i], half[mirrored], "{dtype} {n} ({r}, {c})");
                assert!(r < c || half[i] == whole[i], "{dtype} {n} ({r}, {c})");
            }
            same_bits("a symmetric product", || run(true).bytes());
        }
    }
}
