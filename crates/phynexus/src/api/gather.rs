//! Reading and writing along one dimension by an index tensor.

use super::index::from_start;
use crate::op::{Op, apply1};
use crate::ops::index::{Gather, Hands, Scatter};
use crate::tensor::Tensor;
use phynexus_core::{Error, Result, ScatterOp, Shape};

impl Tensor {
    /// As [`Tensor::gather`], where the index broadcasts in the other dimensions and may count from the end.
    pub fn take_along(&self, dim: isize, index: &Tensor) -> Result<Tensor> {
        let (own, other) = (self.shape(), index.shape());
        let axis = own.axis(dim)?;
        if own.len() != other.len() || own.is_empty() {
            return Err(Error::Value(format!(
                "take_along_dim: tensor and index need the same number of dimensions, got {own} and {other}"
            )));
        }
        crate::ops::check_index("take_along_dim", index.dtype())?;
        let common = own.with(axis, 1)?.broadcast(&other.with(axis, 1)?)?;
        let x = super::expand(self, common.with(axis, own[axis])?)?;
        let index = super::expand(&from_start(index, axis, &own)?, common.with(axis, other[axis])?)?;
        x.gather(dim, &index)
    }

    /// `out[.., i, ..] = self[.., index[.., i, ..], ..]` along a dimension.
    pub fn gather(&self, dim: isize, index: &Tensor) -> Result<Tensor> {
        let axis = self.shape().axis(dim)?;
        if self.shape().is_empty() || index.shape().is_empty() {
            let line = |t: &Tensor| super::reshape(t, Shape::new(&[t.shape().elements()])?);
            let got = apply1(Op::Gather(Gather::along(0)), &[&line(self)?, &line(index)?])?;
            return super::reshape(&got, index.shape());
        }
        let specs = [crate::op::Spec::from(&self.array()), crate::op::Spec::from(&index.array())];
        crate::op::Operation::infer(&Gather::along(axis), &specs)?;
        apply1(Op::Gather(Gather::along(axis)), &[self, index])
    }

    /// This tensor with the source's elements added (or written) where the index says.
    pub fn scatter(&self, dim: isize, index: &Tensor, source: &Tensor, op: ScatterOp) -> Result<Tensor> {
        let axis = self.shape().axis(dim)?;
        apply1(Op::Scatter(Scatter { axis, op }), &[self, index, source])
    }

    /// The rows (of dimension `dim`) that a one-dimensional index names.
    pub fn index_select(&self, dim: isize, index: &Tensor) -> Result<Tensor> {
        let axis = self.shape().axis(dim)?;
        if index.shape().len() != 1 || self.shape().is_empty() {
            return Err(Error::Value(format!(
                "index_select: expected a one-dimensional index into a tensor with dimensions, got shapes {} and {}",
                index.shape(),
                self.shape()
            )));
        }
        crate::ops::check_index("index_select", index.dtype())?;
        self.pick(axis, index, Hands::All)
    }
}
