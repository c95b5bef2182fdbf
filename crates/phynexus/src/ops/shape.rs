//! Views and copies: operations that move elements without computing.

use crate::api;
use crate::array::Array;
use crate::node::Context;
use crate::op::{Few, Needs, Op, Operation, Spec, apply1};
use crate::ops::{one, shaped};
use crate::tape::sum_to;
use crate::tensor::Tensor;
use phynexus_core::{Error, Result, Shape, Value};
use smallvec::SmallVec;

/// A contiguous copy.
#[derive(Clone, Debug)]
pub struct Copy;

impl Operation for Copy {
    fn name(&self) -> &str {
        "copy"
    }
    fn infer(&self, inputs: &[Spec]) -> Result<Few<Spec>> {
        Ok(one(inputs[0]))
    }
    fn run(&self, inputs: &[&Array]) -> Result<Few<Array>> {
        Ok(one(inputs[0].copy()?))
    }
    fn saves(&self, _: u32) -> Option<Needs> {
        Some(Needs::default())
    }
    fn grad(&self, context: &Context) -> Result<Few<Option<Tensor>>> {
        Ok(one(Some(context.grad(0)?)))
    }
}

/// Another shape of the same elements; a view where that is possible.
#[derive(Clone, Debug)]
pub struct Reshape {
    /// The shape wanted.
    pub shape: Shape,
}

impl Operation for Reshape {
    fn name(&self) -> &str {
        "reshape"
    }
    fn infer(&self, inputs: &[Spec]) -> Result<Few<Spec>> {
        if inputs[0].shape.elements() != self.shape.elements() {
            return Err(Error::Value(format!(
                "reshape: shape {} has {} elements, {} has {}",
                inputs[0].shape,
                inputs[0].shape.elements(),
                self.shape,
                self.shape.elements()
            )));
        }
        Ok(one(shaped(&inputs[0], self.shape)))
    }
    fn run(&self, inputs: &[&Array]) -> Result<Few<Array>> {
        Ok(one(inputs[0].reshape(self.shape)?))
    }
    fn saves(&self, _: u32) -> Option<Needs> {
        Some(Needs::default())
    }
    fn grad(&self, context: &Context) -> Result<Few<Option<Tensor>>> {
        Ok(one(Some(api::reshape(&context.grad(0)?, context.input_spec(0).shape)?)))
    }
}

/// Dimensions in another order.
#[derive(Clone, Debug)]
pub struct Permute {
    /// Where each dimension of the result comes from: a permutation.
    pub order: SmallVec<[usize; 8]>,
}

impl Operation for Permute {
    fn name(&self) -> &str {
        "permute"
    }
    fn infer(&self, inputs: &[Spec]) -> Result<Few<Spec>> {
        let dims: SmallVec<[usize; 8]> = self.order.iter().map(|&a| inputs[0].shape[a]).collect();
        Ok(one(shaped(&inputs[0], Shape::new(&dims)?)))
    }
    fn run(&self, inputs: &[&Array]) -> Result<Few<Array>> {
        Ok(one(inputs[0].with_layout(inputs[0].layout().permute(&self.order))))
    }
    fn saves(&self, _: u32) -> Option<Needs> {
        Some(Needs::default())
    }
    fn grad(&self, context: &Context) -> Result<Few<Option<Tensor>>> {
        Ok(one(Some(api::unpermute(&context.grad(0)?, &self.order)?)))
    }
}

/// Repeated along dimensions of size 1 and new leading ones, without a copy.
#[derive(Clone, Debug)]
pub struct Expand {
    /// The shape wanted.
    pub shape: Shape,
}

impl Operation for Expand {
    fn name(&self) -> &str {
        "expand"
    }
    fn infer(&self, inputs: &[Spec]) -> Result<Few<Spec>> {
        Ok(one(shaped(&inputs[0], self.shape)))
    }
    fn run(&self, inputs: &[&Array]) -> Result<Few<Array>> {
        Ok(one(inputs[0].with_layout(inputs[0].layout().broadcast(&self.shape)?)))
    }
    fn saves(&self, _: u32) -> Option<Needs> {
        Some(Needs::default())
    }
    fn grad(&self, context: &Context) -> Result<Few<Option<Tensor>>> {
        Ok(one(Some(sum_to(context.grad(0)?, &context.input_spec(0).shape)?)))
    }
}

/// One range of a dimension.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Range {
    /// The first position.
    pub start: usize,
    /// How many.
    pub size: usize,
    /// The distance to the next, which may be negative.
    pub step: isize,
}

/// Evenly spaced elements of each dimension, as a view.
#[derive(Clone, Debug)]
pub struct Slice {
    /// For each dimension.
    pub ranges: SmallVec<[Range; 4]>,
}

impl Slice {
    /// The view itself, for writing through it.
    pub fn view(&self, array: &Array) -> Array {
        let mut layout = *array.layout();
        for (axis, range) in self.ranges.iter().enumerate() {
            layout = layout.slice(axis, range.start, range.size, range.step);
        }
        array.with_layout(layout)
    }
}

impl Operation for Slice {
    fn name(&self) -> &str {
        "slice"
    }
    fn infer(&self, inputs: &[Spec]) -> Result<Few<Spec>> {
        let dims: SmallVec<[usize; 8]> = self.ranges.iter().map(|r| r.size).collect();
        Ok(one(shaped(&inputs[0], Shape::new(&dims)?)))
    }
    fn run(&self, inputs: &[&Array]) -> Result<Few<Array>> {
        Ok(one(self.view(inputs[0])))
    }
    fn saves(&self, _: u32) -> Option<Needs> {
        Some(Needs::default())
    }
    fn grad(&self, context: &Context) -> Result<Few<Option<Tensor>>> {
        let embed = Embed { ranges: self.ranges.clone(), shape: context.input_spec(0).shape };
        Ok(one(Some(apply1(Op::Embed(embed), &[&context.grad(0)?])?)))
    }
}

/// The first operand with the second in place of a slice.
#[derive(Clone, Debug)]
pub struct Overwrite {
    /// For each dimension.
    pub ranges: SmallVec<[Range; 4]>,
}

impl Operation for Overwrite {
    fn name(&self) -> &str {
        "overwrite"
    }
    fn infer(&self, inputs: &[Spec]) -> Result<Few<Spec>> {
        Ok(one(inputs[0]))
    }
    fn run(&self, inputs: &[&Array]) -> Result<Few<Array>> {
        let out = inputs[0].copy()?;
        Slice { ranges: self.ranges.clone() }.view(&out).write_from(inputs[1])?;
        Ok(one(out))
    }
    fn saves(&self, _: u32) -> Option<Needs> {
        Some(Needs::default())
    }
    fn grad(&self, context: &Context) -> Result<Few<Option<Tensor>>> {
        let grad = context.grad(0)?;
        let mut grads: Few<Option<Tensor>> = SmallVec::from_elem(None, 2);
        if context.wants(0) {
            let Spec { shape, dtype, device } = context.input_spec(1);
            let zeros = api::expand(&api::full(Shape::SCALAR, Value::F(0.0), dtype, device)?, shape)?;
            grads[0] = Some(apply1(Op::Overwrite(self.clone()), &[&grad, &zeros])?);
        }
        if context.wants(1) {
            grads[1] = Some(apply1(Op::Slice(Slice { ranges: self.ranges.clone() }), &[&grad])?);
        }
        Ok(grads)
    }
}

/// Zeros of a shape with the operand at evenly spaced places: the reverse of [`Slice`].
#[derive(Clone, Debug)]
pub struct Embed {
    /// For each dimension.
    pub ranges: SmallVec<[Range; 4]>,
    /// The shape of the result.
    pub shape: Shape,
}

impl Operation for Embed {
    fn name(&self) -> &str {
        "embed"
    }
    fn infer(&self, inputs: &[Spec]) -> Result<Few<Spec>> {
        Ok(one(shaped(&inputs[0], self.shape)))
    }
    fn run(&self, inputs: &[&Array]) -> Result<Few<Array>> {
        let zero = if inputs[0].dtype().is_float() { Value::F(0.0) } else { Value::I(0) };
        let out = Array::full(self.shape, zero, inputs[0].dtype(), inputs[0].device())?;
        Slice { ranges: self.ranges.clone() }.view(&out).write_from(inputs[0])?;
        Ok(one(out))
    }
    fn saves(&self, _: u32) -> Option<Needs> {
        Some(Needs::default())
    }
    fn grad(&self, context: &Context) -> Result<Few<Option<Tensor>>> {
        Ok(one(Some(apply1(Op::Slice(Slice { ranges: self.ranges.clone() }), &[&context.grad(0)?])?)))
    }
}

/// One after the other along a dimension.
#[derive(Clone, Debug)]
pub struct Concat {
    /// The dimension.
    pub axis: usize,
}

impl Concat {
    fn ranges(&self, shape: &Shape, start: usize) -> SmallVec<[Range; 4]> {
        let range = |(i, &size)| Range { start: if i == self.axis { start } else { 0 }, size, step: 1 };
        shape.iter().enumerate().map(range).collect()
    }
}

impl Operation for Concat {
    fn name(&self) -> &str {
        "cat"
    }
    fn infer(&self, inputs: &[Spec]) -> Result<Few<Spec>> {
        let first = inputs[0].shape;
        let mut total = 0;
        for (k, input) in inputs.iter().enumerate() {
            let fits = input.shape.len() == first.len()
                && (0..first.len()).all(|i| i == self.axis || input.shape[i] == first[i]);
            if !fits {
                return Err(Error::Value(format!(
                    "cat: tensor {k} has shape {}, which must equal {first} in all dimensions but {}",
                    input.shape, self.axis
                )));
            }
            total += input.shape[self.axis];
        }
        Ok(one(shaped(&inputs[0], first.with(self.axis, total)?)))
    }
    fn run(&self, inputs: &[&Array]) -> Result<Few<Array>> {
        let specs: SmallVec<[Spec; 4]> = inputs.iter().map(|a| Spec::from(*a)).collect();
        let out = self.infer(&specs)?[0];
        let out = Array::empty(out.shape, out.dtype, out.device)?;
        let mut start = 0;
        let place = |input: &&Array| {
            let ranges = self.ranges(input.shape(), start);
            start += input.shape()[self.axis];
            Slice { ranges }.view(&out)
        };
        let places: Vec<Array> = inputs.iter().map(place).collect();
        Array::write_all(&places, inputs)?;
        Ok(one(out))
    }
    fn saves(&self, _: u32) -> Option<Needs> {
        Some(Needs::default())
    }
    fn grad(&self, context: &Context) -> Result<Few<Option<Tensor>>> {
        let grad = context.grad(0)?;
        let mut start = 0;
        let mut grads = Few::new();
        for i in 0..context.operands() {
            let shape = context.input_spec(i).shape;
            let slice = Slice { ranges: self.ranges(&shape, start) };
            grads.push(if context.wants(i) { Some(apply1(Op::Slice(slice), &[&grad])?) } else { None });
            start += shape[self.axis];
        }
        Ok(grads)
    }
}
