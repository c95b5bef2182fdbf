//! Newton–Schulz iterations towards the orthogonal polar factor, all matrices of a batch at once.

use super::factor::{diagonal, sides};
use super::matmul::multiply;
use crate::array::Array;
use crate::node::Context;
use crate::op::{Few, Needs, Operation, Spec};
use crate::ops::function::MapFn;
use crate::ops::one;
use crate::tensor::Tensor;
use phynexus_core::{DType, Error, Once, Result, Shape, Value};
use phynexus_formula::{Builder, Type, Unary};
use std::sync::Arc;

/// `X ← a X + b (X Xᵀ) X + c (X Xᵀ)² X` for each (a, b, c), from `X / (safety ‖X‖ + eps)`. It has no gradient.
#[derive(Clone, Debug)]
pub struct NewtonSchulz {
    /// The polynomial of each step.
    pub steps: Arc<[[f64; 3]]>,
    /// Added to the norm.
    pub eps: f64,
    /// What the norm is multiplied with.
    pub safety: f64,
}

/// `x / (safety ‖x‖ + eps)` along rows.
fn normalize() -> &'static [Arc<MapFn>; 2] {
    static FUNCTIONS: Once<[Arc<MapFn>; 2]> = Once::new();
    FUNCTIONS.get_or_init(|| {
        [Type::F32, Type::F64].map(|ty| {
            let mut b = Builder::new();
            let (x, safety, eps) = (b.input(ty), b.scalar(ty), b.scalar(ty));
            let square = b.mul(x, x);
            let sum = b.sum(square);
            let norm = b.unary(Unary::Sqrt, sum);
            let scaled = b.mul(norm, safety);
            let divisor = b.add(scaled, eps);
            let y = b.div(x, divisor);
            MapFn::new("normalize".into(), b.finish(&[y]), 0, false)
        })
    })
}

/// `factor x + shift`.
fn affine() -> &'static [Arc<MapFn>; 2] {
    static FUNCTIONS: Once<[Arc<MapFn>; 2]> = Once::new();
    FUNCTIONS.get_or_init(|| {
        [Type::F32, Type::F64].map(|ty| {
            let mut b = Builder::new();
            let (x, factor, shift) = (b.input(ty), b.scalar(ty), b.scalar(ty));
            let scaled = b.mul(x, factor);
            let y = b.add(scaled, shift);
            MapFn::new("affine".into(), b.finish(&[y]), 0, false)
        })
    })
}

fn map(functions: &[Arc<MapFn>; 2], x: &Array, y: &Array, scalars: [f64; 2]) -> Result<()> {
    let function = &functions[(x.dtype() == DType::F64) as usize];
    function.launch(&[x.view()], &[y.view()], &scalars.map(Value::F))
}

fn transposed(a: &Array) -> Array {
    a.with_layout(a.layout().permute(&[0, 2, 1]))
}

impl NewtonSchulz {
    /// All steps from `x` (batch, m, n), whose values are lost; the products of a step are of the smaller side.
    fn iterate(&self, mut x: Array) -> Result<Array> {
        let (m, n) = sides(x.shape());
        let (batch, side) = (x.shape()[0], m.min(n));
        let square = || Array::empty(Shape::new(&[batch, side, side])?, x.dtype(), x.device());
        let (gram, inner, polynomial) = (square()?, square()?, square()?);
        let mut next = Array::empty(*x.shape(), x.dtype(), x.device())?;
        for &[a, b, c] in self.steps.iter() {
            let turned = transposed(&x);
            let (left, right) = if m > n { (&turned, &x) } else { (&x, &turned) };
            multiply(left, right, &gram, true)?;
            // (c G + b) G + a = c G² + b G + a
            map(affine(), &gram, &inner, [c, 0.0])?;
            let line = diagonal(&inner)?;
            map(affine(), &line, &line, [1.0, b])?;
            multiply(&inner, &gram, &polynomial, true)?;
            let line = diagonal(&polynomial)?;
            map(affine(), &line, &line, [1.0, a])?;
            let (left, right) = if m > n { (&x, &polynomial) } else { (&polynomial, &x) };
            multiply(left, right, &next, false)?;
            std::mem::swap(&mut x, &mut next);
        }
        Ok(x)
    }
}

impl Operation for NewtonSchulz {
    fn name(&self) -> &str {
        "newton_schulz"
    }

    fn infer(&self, inputs: &[Spec]) -> Result<Few<Spec>> {
        if !matches!(inputs[0].dtype, DType::F32 | DType::F64) {
            return Err(Error::Type(format!(
                "newton_schulz: needs float32 or float64 matrices, got {}; convert with .float()",
                inputs[0].dtype
            )));
        }
        if inputs[0].shape.len() < 2 {
            return Err(Error::Value(format!(
                "newton_schulz: needs matrices (..., rows, columns), got shape {}",
                inputs[0].shape
            )));
        }
        Ok(one(inputs[0]))
    }

    fn run(&self, inputs: &[&Array]) -> Result<Few<Array>> {
        let spec = self.infer(&[Spec::from(inputs[0])])?[0];
        let (m, n) = sides(&spec.shape);
        let out = Array::empty(spec.shape, spec.dtype, spec.device)?;
        if out.elements() == 0 {
            return Ok(one(out));
        }
        let batch = out.elements() / (m * n);
        let rows = Shape::new(&[batch, m * n])?;
        map(normalize(), &inputs[0].reshape(rows)?, &out.reshape(rows)?, [self.safety, self.eps])?;
        let result = self.iterate(out.reshape(Shape::new(&[batch, m, n])?)?)?;
        Ok(one(result.reshape(spec.shape)?))
    }

    fn saves(&self, _: u32) -> Option<Needs> {
        None
    }

    fn grad(&self, _: &Context) -> Result<Few<Option<Tensor>>> {
        Err(Error::Runtime("newton_schulz has no gradient".into()))
    }
}
