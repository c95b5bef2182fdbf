//! Factorizations multiply back to what was factored, at any scale; errors name the first matrix.

mod common;

use common::{Random, Tensor, launch, same_bits};
use phynexus_core::{DType, Error, Factorization, Spec};

const BATCH: usize = 5;

fn close(found: &[f64], expected: &[f64], scale: f64, dtype: DType) -> bool {
    let tolerance = scale * if dtype == DType::F32 { 2e-5 } else { 1e-13 };
    found.iter().zip(expected).all(|(f, e)| (f - e).abs() <= tolerance)
}

/// `q diag(s) r` of each matrix.
fn product(q: &Tensor, s: Option<&Tensor>, r: &Tensor, [m, k, n]: [usize; 3]) -> Vec<f64> {
    let (q, r, s) = (q.values(), r.values(), s.map(Tensor::values));
    let at = |i: usize| {
        let (b, row, col) = (i / (m * n), i / n % m, i % n);
        let scale = |j: usize| s.as_ref().map_or(1.0, |s| s[b * k + j]);
        (0..k).map(|j| q[(b * m + row) * k + j] * scale(j) * r[(b * k + j) * n + col]).sum()
    };
    (0..BATCH * m * n).map(at).collect()
}

#[test]
fn bases_at_any_scale() {
    let mut random = Random::new(3);
    for (dtype, power) in [(DType::F32, 100), (DType::F64, 900)] {
        for scale in [1.0, 2f64.powi(power), 2f64.powi(-power)] {
            for [m, n] in [[1, 1], [6, 6], [9, 4], [3, 8]] {
                let k = m.min(n);
                let value = |r: &mut Random| scale * r.small(dtype, false);
                let a = Tensor::strided(&mut random, dtype, &[BATCH, m, n], false, value);
                let of = |sizes: &[usize]| Tensor::empty(dtype, &[&[BATCH], sizes].concat());
                let (q, r) = (of(&[m, k]), of(&[k, n]));
                launch(Spec::Factor(Factorization::Qr { full: false }), &[&a], &[&q, &r]).unwrap();
                assert!(close(&product(&q, None, &r, [m, k, n]), &a.values(), 20.0 * scale, dtype));
                let (u, s, v) = (of(&[m, k]), of(&[k]), of(&[k, n]));
                launch(Spec::Factor(Factorization::Svd { full: false }), &[&a], &[&u, &s, &v]).unwrap();
                assert!(close(&product(&u, Some(&s), &v, [m, k, n]), &a.values(), 20.0 * scale, dtype));
                same_bits("a singular value decomposition", || {
                    launch(Spec::Factor(Factorization::Svd { full: false }), &[&a], &[&u, &s, &v]).unwrap();
                    [u.bytes(), s.bytes(), v.bytes()].concat()
                });
            }
        }
    }
}

#[test]
fn the_first_matrix_that_fails_is_the_error() {
    let mut values = [1.0, 0.0, 0.0, 1.0].repeat(BATCH);
    (values[4 * 4 + 3], values[2 * 4 + 3]) = (0.0, 0.0);
    let a = Tensor::new(DType::F64, &[BATCH, 2, 2], &values);
    let out = Tensor::empty(DType::F64, &[BATCH, 2, 2]);
    let cholesky = launch(Spec::Factor(Factorization::Cholesky), &[&a], &[&out]);
    assert!(
        matches!(cholesky, Err(Error::Value(text)) if text.contains("matrix 2") && text.contains("pivot 1"))
    );
    let solve = launch(Spec::Factor(Factorization::Solve), &[&a, &a], &[&out]);
    assert!(matches!(solve, Err(Error::Value(text)) if text.contains("matrix 2 of the batch is singular")));
    let half = Tensor::new(DType::F16, &[1, 1, 1], &[1.0]);
    assert!(matches!(launch(Spec::Factor(Factorization::Cholesky), &[&half], &[&half]), Err(Error::Type(_))));
}
