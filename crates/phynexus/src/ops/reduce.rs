//! Reductions over some dimensions, and running sums.

use crate::api;
use crate::array::Array;
use crate::node::Context;
use crate::op::{Few, Needs, Op, Operation, Spec, apply1};
use crate::ops::shape::Range;
use crate::ops::{launch, one};
use crate::tensor::Tensor;
use phynexus_core::{DType, Error, ReduceOp, Result, Shape, Spec as KernelSpec, Value};
use phynexus_formula::ops::Op as Row;
use smallvec::SmallVec;

/// A reduction over some dimensions.
#[derive(Clone, Debug)]
pub struct Reduce {
    /// The function.
    pub op: ReduceOp,
    /// The dimensions, ascending.
    pub axes: Few<usize>,
    /// Whether they stay, with size 1.
    pub keepdim: bool,
}

impl Reduce {
    fn shape(&self, from: &Shape, keepdim: bool) -> Shape {
        let mut shape = *from;
        for &axis in self.axes.iter().rev() {
            shape = shape.without(axis, keepdim);
        }
        shape
    }

    fn dtype(&self, from: DType) -> DType {
        match self.op {
            ReduceOp::Sum | ReduceOp::Prod if !from.is_float() => DType::I64,
            ReduceOp::ArgMax | ReduceOp::ArgMin => DType::I64,
            ReduceOp::Any | ReduceOp::All => DType::Bool,
            _ => from,
        }
    }

    /// A tensor of the reduced shape, repeated to the operand's.
    fn spread(&self, t: &Tensor, shape: Shape) -> Result<Tensor> {
        let kept = self.shape(&shape, true);
        api::expand(&api::reshape(t, kept)?, shape)
    }
}

impl Operation for Reduce {
    fn name(&self) -> &str {
        match self.op {
            ReduceOp::Sum => "sum",
            ReduceOp::Mean => "mean",
            ReduceOp::Prod => "prod",
            ReduceOp::Max => "amax",
            ReduceOp::Min => "amin",
            ReduceOp::ArgMax => "argmax",
            ReduceOp::ArgMin => "argmin",
            ReduceOp::Any => "any",
            ReduceOp::All => "all",
        }
    }

    fn infer(&self, inputs: &[Spec]) -> Result<Few<Spec>> {
        let Spec { shape, dtype, device } = inputs[0];
        if self.op == ReduceOp::Mean && !dtype.is_float() {
            return Err(Error::Type(format!(
                "mean needs a floating-point tensor, got {dtype}; convert it with .float()"
            )));
        }
        let order = matches!(self.op, ReduceOp::Max | ReduceOp::Min | ReduceOp::ArgMax | ReduceOp::ArgMin);
        if order && self.axes.iter().any(|&a| shape[a] == 0) {
            return Err(Error::Value(format!(
                "{} over no elements, in shape {shape}, has no value",
                self.name()
            )));
        }
        Ok(one(Spec { shape: self.shape(&shape, self.keepdim), dtype: self.dtype(dtype), device }))
    }

    fn run(&self, inputs: &[&Array]) -> Result<Few<Array>> {
        let input = inputs[0];
        let spec = self.infer(&[Spec::from(input)])?[0];
        let out = Array::empty(spec.shape, spec.dtype, spec.device)?;
        let kept = (0..input.shape().len()).filter(|a| !self.axes.contains(a));
        let order: SmallVec<[usize; 8]> = kept.chain(self.axes.iter().copied()).collect();
        let view = input.with_layout(input.layout().permute(&order));
        if out.elements() > 0 {
            let spec = KernelSpec::Reduce { op: self.op, axes: self.axes.len() };
            if self.keepdim {
                launch(spec, &[view.view()], &out.reshape(self.shape(input.shape(), false))?)?;
            } else {
                launch(spec, &[view.view()], &out)?;
            }
        }
        Ok(one(out))
    }

    fn saves(&self, _: u32) -> Option<Needs> {
        match self.op {
            ReduceOp::Sum | ReduceOp::Mean => Some(Needs::default()),
            ReduceOp::Prod => Some(Needs { inputs: 1, outputs: 0 }),
            ReduceOp::Max | ReduceOp::Min => Some(Needs { inputs: 1, outputs: 1 }),
            _ => None,
        }
    }

    fn grad(&self, context: &Context) -> Result<Few<Option<Tensor>>> {
        let Spec { shape, dtype, .. } = context.input_spec(0);
        let count: usize = self.axes.iter().map(|&a| shape[a]).product();
        if self.op == ReduceOp::Mean {
            let each = context.scaled_grad(0, 1.0 / count as f64)?;
            return Ok(one(Some(self.spread(&each, shape)?)));
        }
        let grad = self.spread(&context.grad(0)?, shape)?;
        let grad = match self.op {
            ReduceOp::Prod => api::mul(&grad, &product_of_others(context.input(0), &self.axes)?)?,
            ReduceOp::Max | ReduceOp::Min => {
                // Equal extremes share the gradient evenly.
                let hit = api::binary(Row::Eq, context.input(0), &self.spread(context.output(0), shape)?)?;
                let hit = api::cast(&hit, dtype)?;
                let ties = self.spread(&api::reduce(&hit, ReduceOp::Sum, &self.axes, false)?, shape)?;
                api::binary(Row::Div, &api::mul(&grad, &hit)?, &ties)?
            }
            _ => grad,
        };
        Ok(one(Some(grad)))
    }
}

/// For every element the product of all others over `axes`, which is right with zeros too: up a tree of products of
/// pairs, and down again with the product of all that is outside of each.
fn product_of_others(x: &Tensor, axes: &[usize]) -> Result<Tensor> {
    let shape = x.shape();
    if shape.elements() == 0 {
        return Ok(x.clone());
    }
    let kept = (0..shape.len()).filter(|a| !axes.contains(a));
    let order: SmallVec<[usize; 8]> = kept.chain(axes.iter().copied()).collect();
    let moved = api::permute(x, &order)?;
    let n: usize = axes.iter().map(|&a| shape[a]).product();
    let rows = shape.elements() / n;
    let ones = || api::full(Shape::new(&[rows, 1])?, Value::F(1.0), x.dtype(), x.device());
    let part = |pairs: &Tensor, start, size| {
        let range = |size| Range { start: 0, size, step: 1 };
        let last = Range { start, size, step: 1 };
        api::slice(pairs, [range(rows), range(pairs.shape()[1]), last].into_iter().collect())
    };
    let mut levels = Vec::new();
    let mut level = api::reshape(&moved, Shape::new(&[rows, n])?)?;
    while level.shape()[1] > 1 {
        let size = level.shape()[1];
        if size % 2 == 1 {
            level = api::cat(&[level, ones()?], 1)?;
        }
        let pairs = api::reshape(&level, Shape::new(&[rows, size.div_ceil(2), 2])?)?;
        level = api::mul(&part(&pairs, 0, 1)?, &part(&pairs, 1, 1)?)?;
        level = api::reshape(&level, Shape::new(&[rows, size.div_ceil(2)])?)?;
        levels.push((size, pairs));
    }
    let mut others = ones()?;
    for (size, pairs) in levels.iter().rev() {
        let outside = api::reshape(&others, Shape::new(&[rows, size.div_ceil(2), 1])?)?;
        others = api::mul(&outside, &api::flip(pairs, &[2])?)?;
        others = api::reshape(&others, Shape::new(&[rows, 1, 2 * size.div_ceil(2)])?)?;
        others = api::reshape(&part(&others, 0, *size)?, Shape::new(&[rows, *size])?)?;
    }
    api::unpermute(&api::reshape(&others, moved.shape())?, &order)
}

/// Running sums along the last dimension.
#[derive(Clone, Debug)]
pub struct CumSum;

impl Operation for CumSum {
    fn name(&self) -> &str {
        "cumsum"
    }
    fn infer(&self, inputs: &[Spec]) -> Result<Few<Spec>> {
        let dtype = if inputs[0].dtype.is_float() { inputs[0].dtype } else { DType::I64 };
        Ok(one(Spec { dtype, ..inputs[0] }))
    }
    fn run(&self, inputs: &[&Array]) -> Result<Few<Array>> {
        let spec = self.infer(&[Spec::from(inputs[0])])?[0];
        let input =
            if inputs[0].dtype() == spec.dtype { inputs[0].clone() } else { inputs[0].cast(spec.dtype)? };
        let out = Array::empty(spec.shape, spec.dtype, spec.device)?;
        if out.elements() > 0 {
            launch(KernelSpec::CumSum, &[input.view()], &out)?;
        }
        Ok(one(out))
    }
    fn saves(&self, _: u32) -> Option<Needs> {
        Some(Needs::default())
    }
    fn grad(&self, context: &Context) -> Result<Few<Option<Tensor>>> {
        let last = context.output_spec(0).shape.len() - 1;
        let reversed = api::flip(&context.grad(0)?, &[last])?;
        Ok(one(Some(api::flip(&apply1(Op::CumSum(CumSum), &[&reversed])?, &[last])?)))
    }
}
