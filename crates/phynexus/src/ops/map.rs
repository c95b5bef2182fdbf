//! Formulas as operations: elementwise, over rows, or over a whole tensor as one row.

use crate::array::Array;
use crate::node::Context;
use crate::op::{Few, Needs, Op, Operation, Spec, apply};
use crate::ops::function::{GradientFn, MapFn, Passage};
use crate::ops::one;
use crate::tape::sum_to;
use crate::tensor::Tensor;
use phynexus_core::{DType, Error, Layout, Result, Shape, Value, View};
use phynexus_formula::Source;
use phynexus_formula::ops::{Op as Row, ResultType};
use smallvec::SmallVec;
use std::sync::Arc;

/// A function applied to operands that broadcast together.
#[derive(Clone, Debug)]
pub struct Map {
    /// What is computed.
    pub function: Arc<MapFn>,
    /// The control table, before hoisting.
    pub scalars: SmallVec<[Value; 2]>,
    /// The results' dtypes.
    pub outputs: Few<DType>,
    /// Whether the whole tensor is one row (else the last dimension is).
    pub whole: bool,
}

impl Map {
    /// Runs over the whole tensor as one row.
    fn run_whole(&self, inputs: &[&Array], outputs: Few<Array>, full: Shape) -> Result<Few<Array>> {
        let frame = Shape::new(&[1, full.elements()])?;
        let mut copies: SmallVec<[Option<Array>; 4]> = SmallVec::new();
        let mut layouts: SmallVec<[Layout; 4]> = SmallVec::new();
        for input in inputs {
            let one = if input.elements() == 1 { input.layout().reshape(&Shape::SCALAR) } else { None };
            let spread = input.layout().broadcast(&full)?;
            let seen = match one {
                Some(one) => Some(one.broadcast(&frame)?),
                None => spread.reshape(&frame),
            };
            layouts.push(seen.unwrap_or(Layout::contiguous(frame)));
            copies.push(if seen.is_some() { None } else { Some(input.with_layout(spread).copy()?) });
        }
        for output in &outputs {
            let one = output.shape().is_empty() && self.function.row_results != 0;
            layouts.push(Layout::contiguous(if one { Shape::new(&[1, 1])? } else { frame }));
        }
        let (ins, outs) = layouts.split_at(inputs.len());
        let mut operands: SmallVec<[View<'_>; 4]> = SmallVec::new();
        for (i, layout) in ins.iter().enumerate() {
            operands.push(copies[i].as_ref().unwrap_or(inputs[i]).view_as(layout));
        }
        let results: SmallVec<[View<'_>; 4]> =
            outputs.iter().zip(outs).map(|(a, layout)| a.view_as(layout)).collect();
        self.function.launch(&operands, &results, &self.scalars)?;
        drop(results);
        Ok(outputs)
    }

    fn result_shape(&self, i: usize, full: Shape) -> Shape {
        match (self.function.row_results >> i & 1 == 1, self.whole) {
            (false, _) => full,
            (true, true) => Shape::SCALAR,
            (true, false) => full.without(full.len() - 1, true),
        }
    }

    /// The shape that all operands broadcast to.
    fn full_shape<'a>(&self, mut shapes: impl Iterator<Item = &'a Shape>) -> Result<Shape> {
        let mut full = shapes.next().copied().unwrap_or(Shape::SCALAR);
        for shape in shapes {
            if *shape != full {
                full = full.broadcast(shape).map_err(|e| Error::Value(format!("{}: {e}", self.name())))?;
            }
        }
        Ok(full)
    }
}

impl Operation for Map {
    fn name(&self) -> &str {
        &self.function.name
    }

    fn infer(&self, inputs: &[Spec]) -> Result<Few<Spec>> {
        let full = self.full_shape(inputs.iter().map(|s| &s.shape))?;
        let spec = |(i, &dtype)| Spec { shape: self.result_shape(i, full), dtype, device: inputs[0].device };
        Ok(self.outputs.iter().enumerate().map(spec).collect())
    }

    fn run(&self, inputs: &[&Array]) -> Result<Few<Array>> {
        let full = self.full_shape(inputs.iter().map(|a| a.shape()))?;
        let device = inputs[0].device();
        let mut outputs: Few<Array> = Few::new();
        for (i, &dtype) in self.outputs.iter().enumerate() {
            outputs.push(Array::empty(self.result_shape(i, full), dtype, device)?);
        }
        if full.elements() == 0 && self.function.row_results == 0 {
            return Ok(outputs);
        }
        if self.whole {
            return self.run_whole(inputs, outputs, full);
        }
        // Most operands have the full shape already, and their layouts serve as they are.
        let mut broadcast: SmallVec<[Layout; 2]> = SmallVec::new();
        for input in inputs {
            if *input.shape() != full {
                broadcast.push(input.layout().broadcast(&full)?);
            }
        }
        let mut next = broadcast.iter();
        let mut operands: SmallVec<[View<'_>; 4]> = SmallVec::new();
        for input in inputs {
            let other = if *input.shape() == full { None } else { next.next() };
            let layout = other.unwrap_or(input.layout());
            operands.push(input.view_as(layout));
        }
        let results: SmallVec<[View<'_>; 4]> = outputs.iter().map(Array::view).collect();
        self.function.launch(&operands, &results, &self.scalars)?;
        drop(results);
        Ok(outputs)
    }

    fn saves(&self, wanted: u32) -> Option<Needs> {
        if !self.function.differentiable {
            return None;
        }
        let mut needs = Needs::default();
        // One number for all may be the loss.
        for is_loss in [false, true].into_iter().take(1 + usize::from(self.is_number())) {
            for source in &self.function.gradient(wanted, is_loss).sources {
                match source {
                    Source::Input(i) => needs.inputs |= 1 << i,
                    Source::Output(i) => needs.outputs |= 1 << i,
                    Source::Upstream(_) => {}
                }
            }
        }
        Some(needs)
    }

    fn passage(&self, _: DType) -> Option<Arc<Passage>> {
        self.function.passage().cloned()
    }

    fn grad(&self, context: &Context) -> Result<Few<Option<Tensor>>> {
        if !context.is_passed() {
            return self.gradients(context);
        }
        let own = || self.gradients(context).map(|mut own| own.remove(0));
        let own = || own().map(|own| own.expect("a function of one operand has its gradient"));
        Ok(one(Some(context.beyond(own)?)))
    }
}

impl Map {
    /// Whether the first result is one number for the whole tensor.
    fn is_number(&self) -> bool {
        self.whole && self.function.row_results & 1 == 1
    }

    fn gradients(&self, context: &Context) -> Result<Few<Option<Tensor>>> {
        let gradient = self.function.gradient(context.wanted(), self.is_number() && context.is_loss());
        let inputs = self.function.formula.inputs().len();
        let wanted: Few<usize> = (0..inputs).filter(|&i| context.wants(i)).collect();
        // A gradient that reads nothing is a constant; any operand's shape will do for it.
        let mut operands: SmallVec<[Tensor; 4]> = SmallVec::new();
        let mut full = Shape::SCALAR;
        for i in 0..inputs {
            full = full.broadcast(&context.input_spec(i).shape)?;
        }
        for source in &gradient.sources {
            operands.push(match *source {
                Source::Input(i) => context.input(i).clone(),
                Source::Output(i) => context.output(i).clone(),
                Source::Upstream(i) => context.grad(i)?,
            });
        }
        let outputs: Few<DType> = wanted.iter().map(|&i| context.input_spec(i).dtype).collect();
        let spans = |t: &Tensor| t.shape() == full;
        let typed = |(&slot, &dtype): (&usize, &DType)| operands[slot].dtype() == dtype;
        let same = gradient.same.as_ref().filter(|same| same.iter().zip(&outputs).all(typed));
        let grads = if let Some(same) = same {
            same.iter().map(|&slot| crate::api::expand(&operands[slot], full)).collect::<Result<_>>()?
        } else if operands.iter().any(spans)
            || !operands.is_empty() && self.spans_together(&operands, full)?
        {
            let refs: SmallVec<[&Tensor; 4]> = operands.iter().collect();
            let map = Map {
                function: gradient.function.clone(),
                scalars: self.scalars.clone(),
                outputs,
                whole: self.whole,
            };
            apply(Op::Map(map), &refs)?
        } else {
            expanded_gradient(self, &gradient, operands, outputs, full, context)?
        };
        let mut all: Few<Option<Tensor>> = SmallVec::from_elem(None, inputs);
        for (&i, grad) in wanted.iter().zip(grads) {
            all[i] = Some(sum_to(grad, &context.input_spec(i).shape)?);
        }
        Ok(all)
    }

    /// Whether operands broadcast to `full` though none of them has that shape.
    fn spans_together(&self, operands: &[Tensor], full: Shape) -> Result<bool> {
        let shapes: SmallVec<[Shape; 4]> = operands.iter().map(Tensor::shape).collect();
        Ok(self.full_shape(shapes.iter())? == full)
    }
}

/// The gradient of a function that reads fewer values than there are elements (of a mean, say): computed of these and
/// repeated, or where it asks for an element's place the other way round.
fn expanded_gradient(
    map: &Map,
    gradient: &GradientFn,
    mut operands: SmallVec<[Tensor; 4]>,
    outputs: Few<DType>,
    full: Shape,
    context: &Context,
) -> Result<Few<Tensor>> {
    let function = gradient.function.clone();
    match operands.first_mut() {
        Some(_) if !function.formula.is_row_wise() => {
            let refs: SmallVec<[&Tensor; 4]> = operands.iter().collect();
            let few = Map { function, scalars: map.scalars.clone(), outputs, whole: false };
            return apply(Op::Map(few), &refs)?.iter().map(|few| crate::api::expand(few, full)).collect();
        }
        Some(first) => *first = crate::api::expand(first, full)?,
        None => {
            let device = context.output_spec(0).device;
            return outputs.iter().map(|&d| crate::api::full(full, Value::F(0.0), d, device)).collect();
        }
    }
    let refs: SmallVec<[&Tensor; 4]> = operands.iter().collect();
    apply(Op::Map(Map { function, scalars: map.scalars.clone(), outputs, whole: map.whole }), &refs)
}

/// `a += b` for arrays of one shape, dtype and device.
pub fn add_in_place(a: &Array, b: &Array) -> Result<()> {
    let (to, from) = (Spec::from(a), Spec::from(b));
    if to != from {
        return Err(Error::Value(format!("values of {from} cannot be added to those of {to} in place")));
    }
    in_place(MapFn::of(Row::Add, a.dtype().compute(), 0), a, &[b], &[])
}

/// Writes `function(target, others...)` over `target`, where the others broadcast to its shape.
pub fn in_place(function: &Arc<MapFn>, target: &Array, others: &[&Array], scalars: &[Value]) -> Result<()> {
    if target.elements() > 0 {
        let mut layouts: SmallVec<[Layout; 2]> = SmallVec::new();
        for other in others {
            layouts.push(other.layout().broadcast(target.shape())?);
        }
        let mut operands: SmallVec<[View<'_>; 4]> = SmallVec::new();
        operands.push(target.view());
        for (other, layout) in others.iter().zip(&layouts) {
            operands.push(other.view_as(layout));
        }
        function.launch(&operands, &[target.view()], scalars)?;
    }
    target.buffer().bump();
    Ok(())
}

/// The dtype of a table row's results for operands promoted to `dtype`.
pub fn result_dtype(row: Row, dtype: DType) -> DType {
    match row.row().result {
        ResultType::Same => dtype,
        ResultType::Bool => DType::Bool,
    }
}

/// Another dtype.
#[derive(Clone, Debug)]
pub struct Cast {
    /// The dtype wanted.
    pub dtype: DType,
}

impl Operation for Cast {
    fn name(&self) -> &str {
        "cast"
    }
    fn infer(&self, inputs: &[Spec]) -> Result<Few<Spec>> {
        Ok(one(Spec { dtype: self.dtype, ..inputs[0] }))
    }
    fn run(&self, inputs: &[&Array]) -> Result<Few<Array>> {
        Ok(one(inputs[0].cast(self.dtype)?))
    }
    fn saves(&self, _: u32) -> Option<Needs> {
        self.dtype.is_float().then(Needs::default)
    }
    fn grad(&self, context: &Context) -> Result<Few<Option<Tensor>>> {
        Ok(one(Some(crate::api::cast(&context.grad(0)?, context.input_spec(0).dtype)?)))
    }
}
