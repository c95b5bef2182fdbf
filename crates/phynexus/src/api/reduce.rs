//! Reductions, and operations over rows along any dimensions.

use crate::op::{Few, Op, apply1};
use crate::ops::reduce::{CumSum, Reduce};
use crate::tensor::Tensor;
use phynexus_core::{DType, Error, ReduceOp, Result, Shape, Value};
use phynexus_formula::ops::Op as Row;
use smallvec::SmallVec;

/// Which extreme [`Tensor::extreme`] looks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ArgOf {
    /// The largest.
    Max,
    /// The smallest.
    Min,
}

/// A reduction over `axes` (ascending).
pub fn reduce(x: &Tensor, op: ReduceOp, axes: &[usize], keepdim: bool) -> Result<Tensor> {
    apply1(Op::Reduce(Reduce { op, axes: axes.into(), keepdim }), &[x])
}

/// Moves `axes` to the end and makes them one dimension: (kept..., row). Returns what undoes it as well.
fn to_rows(x: &Tensor, axes: &[usize]) -> Result<(Tensor, Shape, SmallVec<[usize; 8]>)> {
    let shape = x.shape();
    let kept: SmallVec<[usize; 8]> = (0..shape.len()).filter(|a| !axes.contains(a)).collect();
    let order: SmallVec<[usize; 8]> = kept.iter().chain(axes).copied().collect();
    let moved = super::permute(x, &order)?;
    let moved_shape = moved.shape();
    let row = axes.iter().map(|&a| shape[a]).product();
    let mut dims: SmallVec<[usize; 8]> = kept.iter().map(|&a| shape[a]).collect();
    dims.push(row);
    Ok((super::reshape(&moved, Shape::new(&dims)?)?, moved_shape, order))
}

/// A row-wise table row along `axes`. Results with one value for each row lose these dimensions (or keep them with
/// size 1); the others have the operand's shape.
pub fn row_operation(
    row: Row,
    x: &Tensor,
    axes: &[usize],
    scalars: &[f64],
    keepdim: bool,
) -> Result<Few<Tensor>> {
    let shape = x.shape();
    let (rows, moved, order) = to_rows(x, axes)?;
    let results = super::elementwise(row, &[(&rows).into()], scalars)?;
    let mut done = Few::new();
    for result in results {
        if result.shape() == rows.shape() && row.row().outputs == 1 && !row_reduces(row) {
            done.push(super::unpermute(&super::reshape(&result, moved)?, &order)?);
        } else {
            let mut out = shape;
            for &axis in axes.iter().rev() {
                out = out.without(axis, keepdim);
            }
            done.push(super::reshape(&result, out)?);
        }
    }
    Ok(done)
}

/// Whether the results have one value for each row.
fn row_reduces(row: Row) -> bool {
    matches!(row, Row::LogSumExp | Row::Moments | Row::Norm2)
}

impl Tensor {
    /// Dimensions as given by users: checked, counted from the end where negative, ascending; none means all.
    pub fn axes(&self, dims: Option<&[isize]>) -> Result<Few<usize>> {
        let shape = self.shape();
        let Some(dims) = dims else { return Ok((0..shape.len()).collect()) };
        let mut axes = Few::new();
        for &dim in dims {
            let axis = shape.axis(dim)?;
            if shape.is_empty() {
                continue;
            }
            if axes.contains(&axis) {
                return Err(Error::Value(format!("dimension {dim} is named twice in {dims:?}")));
            }
            axes.push(axis);
        }
        axes.sort_unstable();
        Ok(axes)
    }

    /// A reduction over some dimensions, or all.
    pub fn reduce(&self, op: ReduceOp, dims: Option<&[isize]>, keepdim: bool) -> Result<Tensor> {
        let axes = self.axes(dims)?;
        let array = crate::op::Spec::from(&self.array());
        crate::op::Operation::infer(&Reduce { op, axes: axes.clone(), keepdim }, &[array])?;
        reduce(self, op, &axes, keepdim)
    }

    /// The smallest or the largest element (NaN if any is), unless there is none; the tape does not see it.
    pub fn bound(&self, op: ReduceOp) -> Result<Option<Value>> {
        if self.shape().elements() == 0 {
            return Ok(None);
        }
        self.detach().reduce(op, None, false)?.array().first().map(Some)
    }

    /// Both bounds.
    pub fn extremes(&self) -> Result<Option<(Value, Value)>> {
        Ok(self.bound(ReduceOp::Min)?.zip(self.bound(ReduceOp::Max)?))
    }

    /// The extreme along one dimension and where it stands.
    pub fn extreme(&self, of: ArgOf, dim: isize, keepdim: bool) -> Result<(Tensor, Tensor)> {
        let op = if of == ArgOf::Max { ReduceOp::ArgMax } else { ReduceOp::ArgMin };
        let place = self.detach().reduce(op, Some(&[dim]), true)?;
        if self.shape().is_empty() {
            return Ok((self.clone(), place));
        }
        let axis = self.shape().axis(dim)?;
        let value = self.gather(dim, &place)?;
        if keepdim {
            return Ok((value, place));
        }
        let shape = place.shape().without(axis, false);
        Ok((super::reshape(&value, shape)?, super::reshape(&place, shape)?))
    }

    /// Mean and variance (with a correction of the divisor) over some dimensions, in two passes.
    pub fn moments(
        &self,
        dims: Option<&[isize]>,
        correction: f64,
        keepdim: bool,
    ) -> Result<(Tensor, Tensor)> {
        let axes = self.axes(dims)?;
        if !self.dtype().is_float() {
            return Err(Error::Type(format!(
                "var and std need a floating-point tensor, got {}",
                self.dtype()
            )));
        }
        let mut both = row_operation(Row::Moments, self, &axes, &[correction], keepdim)?;
        let var = both.remove(1);
        Ok((both.remove(0), var))
    }

    /// The p-norm over some dimensions.
    pub fn norm(&self, p: f64, dims: Option<&[isize]>, keepdim: bool) -> Result<Tensor> {
        let axes = self.axes(dims)?;
        if !self.dtype().is_float() {
            return Err(Error::Type(format!("norm needs a floating-point tensor, got {}", self.dtype())));
        }
        if p == 2.0 {
            return row_operation(Row::Norm2, self, &axes, &[], keepdim).map(|mut r| r.remove(0));
        }
        let size = super::unary(Row::Abs, self)?;
        match p {
            p if p == f64::INFINITY => size.reduce(ReduceOp::Max, dims, keepdim),
            p if p == f64::NEG_INFINITY => size.reduce(ReduceOp::Min, dims, keepdim),
            1.0 => reduce(&size, ReduceOp::Sum, &axes, keepdim),
            0.0 => {
                let counted = super::cast(&super::binary(Row::Ne, &size, 0.0)?, self.dtype())?;
                reduce(&counted, ReduceOp::Sum, &axes, keepdim)
            }
            p => {
                let sum = reduce(&super::binary(Row::Pow, &size, p)?, ReduceOp::Sum, &axes, keepdim)?;
                super::binary(Row::Pow, &sum, 1.0 / p)
            }
        }
    }

    /// A row-wise function (softmax, logsumexp ...) along dimensions.
    pub fn along(&self, row: Row, dims: &[isize], keepdim: bool) -> Result<Tensor> {
        let axes = self.axes(Some(dims))?;
        if axes.is_empty() || self.shape().elements() == 0 && !row_reduces(row) {
            let one = super::reshape(self, Shape::new(&[self.shape().elements()])?)?;
            if one.shape()[0] == 1 {
                let result = super::elementwise(row, &[(&one).into()], &[])?;
                return super::reshape(&result[0], self.shape());
            }
            return Ok(self.clone());
        }
        row_operation(row, self, &axes, &[], keepdim).map(|mut r| r.remove(0))
    }

    /// Running sums along a dimension.
    pub fn cumsum(&self, dim: isize) -> Result<Tensor> {
        let shape = self.shape();
        if shape.is_empty() {
            let line = super::reshape(self, Shape::new(&[1])?)?;
            return super::reshape(&apply1(Op::CumSum(CumSum), &[&line])?, shape);
        }
        let (axis, last) = (shape.axis(dim)?, shape.len() - 1);
        let mut order: SmallVec<[usize; 8]> = (0..shape.len()).collect();
        order.swap(axis, last);
        let moved = super::permute(self, &order)?;
        super::permute(&apply1(Op::CumSum(CumSum), &[&moved])?, &order)
    }

    /// The sum in a dtype of choice.
    pub fn sum_as(&self, dims: Option<&[isize]>, keepdim: bool, dtype: Option<DType>) -> Result<Tensor> {
        match dtype {
            Some(dtype) => super::cast(self, dtype)?.reduce(ReduceOp::Sum, dims, keepdim),
            None => self.reduce(ReduceOp::Sum, dims, keepdim),
        }
    }
}
