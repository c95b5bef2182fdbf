//! Sorting along the last dimension.

use crate::api;
use crate::array::Array;
use crate::node::Context;
use crate::op::{Few, Needs, Op, Operation, Spec, apply1};
use crate::ops::index::Scatter;
use crate::ops::{launch_all, one};
use crate::tensor::Tensor;
use phynexus_core::{DType, Result, ScatterOp, Spec as KernelSpec, Value};

/// Rows in order, and where each element stood: stable, NaN counts as the largest.
#[derive(Clone, Debug)]
pub struct Sort {
    /// Largest first.
    pub descending: bool,
}

impl Operation for Sort {
    fn name(&self) -> &str {
        "sort"
    }
    fn infer(&self, inputs: &[Spec]) -> Result<Few<Spec>> {
        Ok([inputs[0], Spec { dtype: DType::I64, ..inputs[0] }].into_iter().collect())
    }
    fn run(&self, inputs: &[&Array]) -> Result<Few<Array>> {
        let input = inputs[0];
        let values = Array::empty(*input.shape(), input.dtype(), input.device())?;
        let positions = Array::empty(*input.shape(), DType::I64, input.device())?;
        if input.elements() > 0 {
            let spec = KernelSpec::Sort { descending: self.descending };
            launch_all(spec, &[input.view()], &[values.view(), positions.view()])?;
        }
        Ok([values, positions].into_iter().collect())
    }
    fn saves(&self, _: u32) -> Option<Needs> {
        Some(Needs { inputs: 0, outputs: 2 })
    }
    fn grad(&self, context: &Context) -> Result<Few<Option<Tensor>>> {
        let Spec { shape, dtype, device } = context.input_spec(0);
        let zeros = api::full(shape, Value::F(0.0), dtype, device)?;
        let scatter = Scatter { axis: shape.len() - 1, op: ScatterOp::Set };
        Ok(one(Some(apply1(Op::Scatter(scatter), &[&zeros, context.output(1), &context.grad(0)?])?)))
    }
}
