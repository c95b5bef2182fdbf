//! Sorting along the last dimension.

use crate::api;
use crate::array::Array;
use crate::node::Context;
use crate::op::{Few, Needs, Op, Operation, Spec, apply1};
use crate::ops::index::Scatter;
use crate::ops::{launch_all, one};
use crate::tensor::Tensor;
use phynexus_core::{DType, DeviceType, Result, ScatterOp, Shape, Spec as KernelSpec, Value};

/// Rows in order, and where each element stood: stable, NaN counts as the largest.
#[derive(Clone, Debug)]
pub struct Sort {
    /// Largest first.
    pub descending: bool,
    /// How many elements of each row are wanted, if not all.
    pub first: Option<usize>,
}

impl Sort {
    /// The shape of the results.
    fn shape(&self, from: &Shape) -> Result<Shape> {
        let mut dims = from.to_vec();
        if let (Some(first), Some(last)) = (self.first, dims.last_mut()) {
            *last = first.min(*last);
        }
        Shape::new(&dims)
    }
}

impl Operation for Sort {
    fn name(&self) -> &str {
        "sort"
    }
    fn infer(&self, inputs: &[Spec]) -> Result<Few<Spec>> {
        let values = Spec { shape: self.shape(&inputs[0].shape)?, ..inputs[0] };
        Ok([values, Spec { dtype: DType::I64, ..values }].into_iter().collect())
    }
    fn run(&self, inputs: &[&Array]) -> Result<Few<Array>> {
        let (input, device) = (inputs[0], inputs[0].device());
        let wanted = self.shape(input.shape())?;
        // Only the processor finds the first elements without sorting all.
        let sorted = if device.id().kind == DeviceType::Cpu { wanted } else { *input.shape() };
        let values = Array::empty(sorted, input.dtype(), device)?;
        let positions = Array::empty(sorted, DType::I64, device)?;
        if sorted.elements() > 0 {
            let spec = KernelSpec::Sort { descending: self.descending };
            launch_all(spec, &[input.view()], &[values.view(), positions.view()])?;
        }
        let cut = |array: Array| match wanted.last() {
            Some(&count) if sorted != wanted => {
                array.with_layout(array.layout().slice(wanted.len() - 1, 0, count, 1)).copy()
            }
            _ => Ok(array),
        };
        Ok([cut(values)?, cut(positions)?].into_iter().collect())
    }
    fn saves(&self, _: u32) -> Option<Needs> {
        Some(Needs { inputs: 0, outputs: 2 })
    }
    fn grad(&self, context: &Context) -> Result<Few<Option<Tensor>>> {
        let Spec { shape, dtype, device } = context.input_spec(0);
        let zeros = api::expand(&api::full(Shape::SCALAR, Value::F(0.0), dtype, device)?, shape)?;
        let scatter = Scatter { axis: shape.len() - 1, op: ScatterOp::Set };
        Ok(one(Some(apply1(Op::Scatter(scatter), &[&zeros, context.output(1), &context.grad(0)?])?)))
    }
}
