//! Sorting along any dimension.

use crate::op::{Few, Op, apply};
use crate::ops::sort::Sort;
use crate::tensor::Tensor;
use phynexus_core::{DType, Result, Value};
use smallvec::SmallVec;

impl Tensor {
    /// Sorted values and positions along a dimension; the `first` of them, if not all.
    pub fn sort(&self, dim: isize, descending: bool, first: Option<usize>) -> Result<(Tensor, Tensor)> {
        let shape = self.shape();
        let axis = shape.axis(dim)?;
        if shape.is_empty() {
            let zero = super::full(shape, Value::I(0), DType::I64, self.device())?;
            return Ok((self.clone(), zero));
        }
        let mut order: SmallVec<[usize; 8]> = (0..shape.len()).collect();
        order.swap(axis, shape.len() - 1);
        let sorted: Few<Tensor> =
            apply(Op::Sort(Sort { descending, first }), &[&super::permute(self, &order)?])?;
        Ok((super::permute(&sorted[0], &order)?, super::permute(&sorted[1], &order)?))
    }
}
