//! Factorizations and systems of equations; float16 and bfloat16 are computed in float32.

use crate::op::{Few, Op, apply, apply1};
use crate::ops::factor::Factor;
use crate::ops::newton_schulz::NewtonSchulz;
use crate::tensor::Tensor;
use phynexus_core::{DType, Error, Factorization, Result, Shape};

/// In a dtype that matrices are factored in.
fn computed(what: &str, x: &Tensor) -> Result<Tensor> {
    match x.dtype() {
        DType::F32 | DType::F64 => Ok(x.clone()),
        DType::F16 | DType::BF16 => super::cast(x, DType::F32),
        other => Err(Error::Type(format!(
            "{what}: needs floating-point matrices, got {other}; convert with .float()"
        ))),
    }
}

/// The factors of each matrix of (..., rows, columns).
pub fn factor(a: &Tensor, how: Factorization) -> Result<Few<Tensor>> {
    let shape = a.shape();
    let square = shape.len() >= 2 && shape[shape.len() - 2] == shape[shape.len() - 1];
    let how = match how {
        // The same for square matrices, and then they have gradients.
        Factorization::Qr { .. } if square => Factorization::Qr { full: false },
        Factorization::Svd { .. } if square => Factorization::Svd { full: false },
        how => how,
    };
    let op = Factor { how };
    let x = computed(crate::op::Operation::name(&op), a)?;
    let results = apply(Op::Factor(op), &[&x])?;
    results.iter().map(|y| super::cast(y, a.dtype())).collect()
}

/// X with `A X = B`: leading dimensions broadcast.
pub fn solve(a: &Tensor, b: &Tensor, how: Factorization) -> Result<Tensor> {
    let op = Factor { how };
    let what = crate::op::Operation::name(&op);
    let dtype = a.dtype().promote(b.dtype());
    let (x, y) = (computed(what, &super::cast(a, dtype)?)?, computed(what, &super::cast(b, dtype)?)?);
    let (sx, sy) = (x.shape(), y.shape());
    if sx.len() < 2 || sy.len() < 2 {
        return Err(Error::Value(format!(
            "{what}: needs matrices (..., rows, columns), got shapes {sx} and {sy}"
        )));
    }
    let batch = Shape::new(&sx[..sx.len() - 2])?.broadcast(&Shape::new(&sy[..sy.len() - 2])?)?;
    let spread = |t: &Tensor, shape: Shape| {
        super::expand(t, Shape::new(&[&batch[..], &shape[shape.len() - 2..]].concat())?)
    };
    let x = apply1(Op::Factor(op), &[&spread(&x, sx)?, &spread(&y, sy)?])?;
    super::cast(&x, dtype)
}

/// About the nearest matrices with orthonormal rows or columns.
pub fn newton_schulz(x: &Tensor, steps: &[[f64; 3]], eps: f64, safety: f64) -> Result<Tensor> {
    let wide = computed("newton_schulz", x)?;
    let y = apply1(Op::NewtonSchulz(NewtonSchulz { steps: steps.into(), eps, safety }), &[&wide])?;
    super::cast(&y, x.dtype())
}
