//! Matrices taken apart, and equations solved, for operands (..., rows, columns).

use super::factor_gradient as gradient;
use crate::array::Array;
use crate::machine::cpu;
use crate::node::Context;
use crate::op::{Few, Needs, Op, Operation, Spec, apply1};
use crate::ops::{launch_all, one};
use crate::tensor::Tensor;
use phynexus_core::{
    DType, DeviceType, Error, Factorization, Layout, Result, Shape, Spec as KernelSpec, Value, View,
};
use smallvec::SmallVec;

/// A factorization of each matrix; the leading dimensions of several operands are the same.
#[derive(Clone, Debug)]
pub struct Factor {
    /// Which.
    pub how: Factorization,
}

/// Rows and columns.
pub(super) fn sides(shape: &Shape) -> (usize, usize) {
    (shape[shape.len() - 2], shape[shape.len() - 1])
}

/// The diagonals of contiguous square matrices (..., n, n), as (batch, n).
pub(super) fn diagonal(a: &Array) -> Result<Array> {
    let (n, _) = sides(a.shape());
    let shape = Shape::new(&[a.elements() / (n * n).max(1), n])?;
    Ok(a.with_layout(Layout::strided(shape, &[(n * n) as isize, n as isize + 1], a.layout().offset())))
}

/// Solves for the right sides `b`.
pub(super) fn solved(how: Factorization, a: &Tensor, b: &Tensor) -> Result<Tensor> {
    apply1(Op::Factor(Factor { how }), &[a, b])
}

impl Factor {
    fn refuse<T>(&self, text: String) -> Result<T> {
        Err(Error::Value(format!("{}: {text}", self.name())))
    }

    fn check(&self, inputs: &[Spec]) -> Result<()> {
        let a = &inputs[0];
        if !matches!(a.dtype, DType::F32 | DType::F64) || inputs.iter().any(|s| s.dtype != a.dtype) {
            let dtypes: Vec<String> = inputs.iter().map(|s| s.dtype.to_string()).collect();
            return Err(Error::Type(format!(
                "{}: needs float32 or float64 matrices, got {}; convert with .to()",
                self.name(),
                dtypes.join(" and ")
            )));
        }
        if let Some(flat) = inputs.iter().find(|s| s.shape.len() < 2) {
            return self.refuse(format!("needs matrices (..., rows, columns), got shape {}", flat.shape));
        }
        let (m, n) = sides(&a.shape);
        let any = matches!(self.how, Factorization::Qr { .. } | Factorization::Svd { .. });
        if !any && m != n {
            return self.refuse(format!("needs square matrices, got shape {}", a.shape));
        }
        if let Some(b) = inputs.get(1)
            && (b.shape.len() != a.shape.len()
                || b.shape[..b.shape.len() - 1] != a.shape[..a.shape.len() - 1])
        {
            return self.refuse(format!(
                "matrices of shape {} need right sides (..., {n}, k) with the same leading sizes, got {}",
                a.shape, b.shape
            ));
        }
        Ok(())
    }

    /// The results' sizes for one matrix.
    fn results(&self, inputs: &[Spec]) -> SmallVec<[SmallVec<[usize; 2]>; 3]> {
        let (m, n) = sides(&inputs[0].shape);
        let k = m.min(n);
        let sizes: &[&[usize]] = match self.how {
            Factorization::Cholesky => &[&[n, n]],
            Factorization::Qr { full: false } => &[&[m, k], &[k, n]],
            Factorization::Qr { full: true } => &[&[m, m], &[m, n]],
            Factorization::Eigh => &[&[n], &[n, n]],
            Factorization::Svd { full: false } => &[&[m, k], &[k], &[k, n]],
            Factorization::Svd { full: true } => &[&[m, m], &[k], &[n, n]],
            Factorization::Solve | Factorization::SolveTriangular { .. } => {
                &[&[n, sides(&inputs[1].shape).1]]
            }
        };
        sizes.iter().map(|dims| (*dims).into()).collect()
    }
}

impl Operation for Factor {
    fn name(&self) -> &str {
        match self.how {
            Factorization::Cholesky => "cholesky",
            Factorization::Qr { .. } => "qr",
            Factorization::Eigh => "eigh",
            Factorization::Svd { .. } => "svd",
            Factorization::Solve => "solve",
            Factorization::SolveTriangular { .. } => "solve_triangular",
        }
    }

    fn infer(&self, inputs: &[Spec]) -> Result<Few<Spec>> {
        self.check(inputs)?;
        let shape = &inputs[0].shape;
        let leading = &shape[..shape.len() - 2];
        let whole = |dims: SmallVec<[usize; 2]>| Shape::new(&[leading, &dims].concat());
        self.results(inputs).into_iter().map(|dims| Ok(Spec { shape: whole(dims)?, ..inputs[0] })).collect()
    }

    fn run(&self, inputs: &[&Array]) -> Result<Few<Array>> {
        let device = inputs[0].device();
        if device.id().kind != DeviceType::Cpu {
            // Few GPUs have a library for it, and one matrix at a time is no work for them.
            let here: SmallVec<[Array; 2]> =
                inputs.iter().map(|a| a.to_device(cpu())).collect::<Result<_>>()?;
            let results = self.run(&here.iter().collect::<SmallVec<[&Array; 2]>>())?;
            return results.iter().map(|a| a.to_device(device)).collect();
        }
        let specs: SmallVec<[Spec; 2]> = inputs.iter().map(|a| Spec::from(*a)).collect();
        let outputs = self.infer(&specs)?.into_iter().map(|s| Array::empty(s.shape, s.dtype, s.device));
        let outputs: Few<Array> = outputs.collect::<Result<_>>()?;
        let shape = inputs[0].shape();
        let leading = shape.len() - 2;
        let batch: usize = shape[..leading].iter().product();
        if outputs.iter().all(|a| a.elements() == 0) {
            return Ok(outputs);
        }
        if inputs[0].elements() == 0 {
            // Nothing to factor, but the full bases are there.
            for basis in outputs.iter().filter(|a| a.elements() > 0) {
                basis.fill(Value::F(0.0))?;
                diagonal(basis)?.fill(Value::F(1.0))?;
            }
            return Ok(outputs);
        }
        let flat = |a: &Array| a.reshape(Shape::new(&[&[batch], &a.shape()[leading..]].concat())?);
        let operands: SmallVec<[Array; 2]> = inputs.iter().map(|a| flat(a)).collect::<Result<_>>()?;
        let results: SmallVec<[Array; 3]> = outputs.iter().map(flat).collect::<Result<_>>()?;
        let inputs: SmallVec<[View<'_>; 2]> = operands.iter().map(Array::view).collect();
        let results: SmallVec<[View<'_>; 3]> = results.iter().map(Array::view).collect();
        launch_all(KernelSpec::Factor(self.how), &inputs, &results)?;
        Ok(outputs)
    }

    fn saves(&self, wanted: u32) -> Option<Needs> {
        Some(match self.how {
            Factorization::Cholesky => Needs { inputs: 0, outputs: 1 },
            Factorization::Qr { .. } | Factorization::Eigh => Needs { inputs: 0, outputs: 3 },
            Factorization::Svd { .. } => Needs { inputs: 0, outputs: 7 },
            Factorization::Solve | Factorization::SolveTriangular { .. } => {
                Needs { inputs: 1, outputs: wanted & 1 }
            }
        })
    }

    fn grad(&self, context: &Context) -> Result<Few<Option<Tensor>>> {
        Ok(one(Some(match self.how {
            Factorization::Cholesky => gradient::cholesky(context)?,
            Factorization::Eigh => gradient::eigh(context)?,
            Factorization::Qr { full: false } => gradient::qr(context)?,
            Factorization::Svd { full: false } => gradient::svd(context)?,
            Factorization::Qr { full: true } | Factorization::Svd { full: true } => {
                return self.refuse(
                    "the full factors of a matrix that is not square have no gradient; ask for the reduced ones".into(),
                );
            }
            Factorization::Solve => return gradient::solve(context),
            Factorization::SolveTriangular { upper, transposed, unit } => {
                return gradient::solve_triangular(context, upper, transposed, unit);
            }
        })))
    }
}
