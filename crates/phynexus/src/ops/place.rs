//! The same elements on another device.

use crate::array::Array;
use crate::node::Context;
use crate::op::{Few, Needs, Op, Operation, Spec, apply1};
use crate::ops::one;
use crate::tensor::Tensor;
use phynexus_core::{Device, Result};

/// A copy on a device.
#[derive(Clone, Debug)]
pub struct Move {
    /// Where to.
    pub device: &'static dyn Device,
}

impl Operation for Move {
    fn name(&self) -> &str {
        "to"
    }
    fn infer(&self, inputs: &[Spec]) -> Result<Few<Spec>> {
        self.device.check_dtype(inputs[0].dtype)?;
        Ok(one(Spec { device: self.device, ..inputs[0] }))
    }
    fn run(&self, inputs: &[&Array]) -> Result<Few<Array>> {
        Ok(one(inputs[0].to_device(self.device)?))
    }
    fn saves(&self, _: u32) -> Option<Needs> {
        Some(Needs::default())
    }
    fn grad(&self, context: &Context) -> Result<Few<Option<Tensor>>> {
        let device = context.input_spec(0).device;
        Ok(one(Some(apply1(Op::Move(Move { device }), &[&context.grad(0)?])?)))
    }
}
