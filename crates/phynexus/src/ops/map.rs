//! Formulas as operations: elementwise, over rows, or over a whole tensor as one row.

use crate::array::Array;
use crate::op::{Few, Needs, Op, Operation, Spec, apply};
use crate::ops::one;
use crate::tape::{Context, sum_to};
use crate::tensor::Tensor;
use parking_lot::{Mutex, RwLock};
use phynexus_core::{DType, Error, Kernel, Layout, Result, Shape, Spec as KernelSpec, Task, Value, View};
use phynexus_formula::ops::{Op as Row, ResultType};
use phynexus_formula::{Builder, Formula, Gradient, Rank, Reduction, Source, Type, differentiate, evaluate_scalars, hoist};
use smallvec::SmallVec;
use std::sync::{Arc, LazyLock, OnceLock};

type DTypes = SmallVec<[DType; 8]>;

/// A formula ready to be an operation: its kernels by dtype, and its gradients, each again such a function.
#[derive(Debug)]
pub struct MapFn {
    name: String,
    formula: Formula,
    /// The formula that devices run: what is the same for all elements is computed by `host`.
    kernel: Formula,
    host: Option<Formula>,
    differentiable: bool,
    /// Which results have one value for each row, a bit each.
    row_results: u32,
    kernels: RwLock<Vec<(DTypes, Arc<Kernel>)>>,
    gradients: Mutex<Vec<(u32, Arc<GradientFn>)>>,
    result_gradient: OnceLock<Arc<MapFn>>,
}

#[derive(Debug)]
struct GradientFn {
    function: Arc<MapFn>,
    sources: Vec<Source>,
}

impl MapFn {
    /// A function of this formula; `rows` says which results have one value for each row.
    pub fn new(name: String, formula: Formula, row_results: u32, differentiable: bool) -> Arc<MapFn> {
        let hoisted = hoist(&formula);
        // A host formula that only hands its operands on costs a call for nothing.
        let plain = hoisted.host.outputs().len() == formula.scalars().len()
            && hoisted.host.outputs().iter().enumerate().all(|(i, id)| {
                matches!(hoisted.host.node(*id), phynexus_formula::Node::Scalar { slot, .. } if slot as usize == i)
            });
        Arc::new(MapFn {
            name,
            formula,
            kernel: hoisted.kernel,
            host: (!plain).then_some(hoisted.host),
            differentiable,
            row_results,
            kernels: RwLock::default(),
            gradients: Mutex::default(),
            result_gradient: OnceLock::new(),
        })
    }

    /// The function of a table row for operands of `ty`; the operands in `numbers` (a bit each) are scalars and
    /// come before the row's own.
    pub fn of(row: Row, ty: Type, numbers: u32) -> &'static Arc<MapFn> {
        static TABLE: LazyLock<Vec<OnceLock<Arc<MapFn>>>> =
            LazyLock::new(|| (0..Row::ALL.len() * 5 * 8).map(|_| OnceLock::new()).collect());
        TABLE[(row as usize * 5 + ty as usize) * 8 + numbers as usize].get_or_init(|| {
            let about = row.row();
            let mut b = Builder::new();
            let operands: Vec<_> = (0..about.inputs)
                .map(|k| {
                    let ty = about.input_type(k, ty);
                    if numbers >> k & 1 == 1 { b.scalar(ty) } else { b.input(ty) }
                })
                .collect();
            let scalars: Vec<_> = (0..about.scalars).map(|k| b.scalar(about.scalar_type(k, ty))).collect();
            let results = (about.build)(&mut b, &operands, &scalars);
            let formula = b.finish(&results);
            let row_results = if about.row_wise { row_ranks(&formula) } else { 0 };
            MapFn::new(about.name.into(), formula, row_results, about.differentiable)
        })
    }

    /// The sum or mean of a table row's elementwise result over the whole tensor.
    pub fn reduced(row: Row, ty: Type, mean: bool) -> Arc<MapFn> {
        static TABLE: LazyLock<Vec<OnceLock<Arc<MapFn>>>> =
            LazyLock::new(|| (0..Row::ALL.len() * 5 * 2).map(|_| OnceLock::new()).collect());
        let slot = &TABLE[(row as usize * 5 + ty as usize) * 2 + mean as usize];
        slot.get_or_init(|| MapFn::new_reduced(row, ty, mean)).clone()
    }

    fn new_reduced(row: Row, ty: Type, mean: bool) -> Arc<MapFn> {
        let elementwise = row.formula(ty);
        let mut b = Builder::new();
        let inputs: Vec<_> = elementwise.inputs().to_vec().into_iter().map(|ty| b.input(ty)).collect();
        let scalars: Vec<_> = elementwise.scalars().to_vec().into_iter().map(|ty| b.scalar(ty)).collect();
        let each = b.inline(&elementwise, &inputs, &scalars)[0];
        let mut result = b.reduce(Reduction::Sum, each);
        if mean {
            let length = b.length();
            let length = b.cast(ty, length);
            result = b.div(result, length);
        }
        let name = format!("{}_{}", row.name(), if mean { "mean" } else { "sum" });
        MapFn::new(name, b.finish(&[result]), 1, row.row().differentiable)
    }

    fn kernel(&self, inputs: &[DType], outputs: &[DType]) -> Arc<Kernel> {
        let matches = |k: &DTypes| k[..inputs.len()] == *inputs && k[inputs.len()..] == *outputs;
        if let Some((_, kernel)) = self.kernels.read().iter().find(|(k, _)| matches(k)) {
            return kernel.clone();
        }
        let spec = KernelSpec::Map { formula: self.kernel.clone(), inputs: inputs.to_vec(), outputs: outputs.to_vec() };
        let kernel = Arc::new(Kernel::new(spec));
        let key = inputs.iter().chain(outputs).copied().collect();
        self.kernels.write().push((key, kernel.clone()));
        kernel
    }

    /// The gradient with respect to the operands in `wanted`.
    fn gradient(&self, wanted: u32) -> Arc<GradientFn> {
        let mut known = self.gradients.lock();
        if let Some((_, gradient)) = known.iter().find(|(w, _)| *w == wanted) {
            return gradient.clone();
        }
        let slots: Vec<usize> = (0..self.formula.inputs().len()).filter(|i| wanted >> i & 1 == 1).collect();
        let Gradient { formula, sources } = differentiate(&self.formula, &slots);
        let function = MapFn::new(format!("{} (gradient)", self.name), formula, 0, true);
        let gradient = Arc::new(GradientFn { function, sources });
        known.push((wanted, gradient.clone()));
        gradient
    }
}

impl MapFn {
    /// The gradient as a function of (result, upstream) alone, for an activation that allows it.
    pub fn from_result(&self) -> &Arc<MapFn> {
        self.result_gradient.get_or_init(|| self.new_from_result())
    }

    fn new_from_result(&self) -> Arc<MapFn> {
        let gradient = self.gradient(1);
        let mut b = Builder::new();
        let ty = self.formula.inputs()[0];
        let (result, upstream) = (b.input(ty), b.input(ty));
        let place = |s: &Source| if matches!(s, Source::Output(_)) { result } else { upstream };
        let operands: Vec<_> = gradient.sources.iter().map(place).collect();
        let outputs = b.inline(&gradient.function.formula, &operands, &[]);
        MapFn::new(gradient.function.name.clone(), b.finish(&outputs), 0, true)
    }
}

/// Which outputs of a row-wise formula have one value for each row.
fn row_ranks(formula: &Formula) -> u32 {
    let is_row = |(i, id): (usize, &phynexus_formula::Id)| ((formula.rank(*id) != Rank::Element) as u32) << i;
    formula.outputs().iter().enumerate().map(is_row).sum()
}

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
        let mut copies: SmallVec<[Array; 4]> = SmallVec::new();
        for input in inputs {
            let flat = if input.elements() == 1 {
                input.with_layout(input.reshape(Shape::SCALAR)?.layout().broadcast(&frame)?)
            } else {
                input.with_layout(input.layout().broadcast(&full)?).reshape(frame)?
            };
            copies.push(flat);
        }
        let mut results: SmallVec<[Array; 2]> = SmallVec::new();
        for output in &outputs {
            let one = output.shape().is_empty() && self.function.row_results != 0;
            results.push(output.reshape(if one { Shape::new(&[1, 1])? } else { frame })?);
        }
        let operands: SmallVec<[View<'_>; 4]> = copies.iter().map(Array::view).collect();
        let views: SmallVec<[View<'_>; 4]> = results.iter().map(Array::view).collect();
        self.function.launch(&operands, &views, &self.scalars)?;
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
            operands.push(View { buffer: input.buffer(), dtype: input.dtype(), layout });
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
        for source in &self.function.gradient(wanted).sources {
            match source {
                Source::Input(i) => needs.inputs |= 1 << i,
                Source::Output(i) => needs.outputs |= 1 << i,
                Source::Upstream(_) => {}
            }
        }
        Some(needs)
    }

    fn grad(&self, context: &Context) -> Result<Few<Option<Tensor>>> {
        let gradient = self.function.gradient(context.wanted());
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
        let grads = if operands.iter().any(spans) || !operands.is_empty() && self.spans_together(&operands, full)? {
            let refs: SmallVec<[&Tensor; 4]> = operands.iter().collect();
            let map = Map { function: gradient.function.clone(), scalars: self.scalars.clone(), outputs, whole: self.whole };
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
}

impl Map {
    /// Whether operands broadcast to `full` though none of them has that shape.
    fn spans_together(&self, operands: &[Tensor], full: Shape) -> Result<bool> {
        let shapes: SmallVec<[Shape; 4]> = operands.iter().map(Tensor::shape).collect();
        Ok(self.full_shape(shapes.iter())? == full)
    }
}

/// The gradient of a reducing function that reads only row values (the gradient of a plain sum): these are
/// repeated to the full shape first.
fn expanded_gradient(
    map: &Map,
    gradient: &GradientFn,
    mut operands: SmallVec<[Tensor; 4]>,
    outputs: Few<DType>,
    full: Shape,
    context: &Context,
) -> Result<Few<Tensor>> {
    match operands.first_mut() {
        Some(first) => *first = crate::api::expand(first, full)?,
        None => {
            let device = context.output_spec(0).device;
            return outputs.iter().map(|&d| crate::api::full(full, Value::F(0.0), d, device)).collect();
        }
    }
    let refs: SmallVec<[&Tensor; 4]> = operands.iter().collect();
    let function = gradient.function.clone();
    apply(Op::Map(Map { function, scalars: map.scalars.clone(), outputs, whole: map.whole }), &refs)
}

impl MapFn {
    fn launch(&self, inputs: &[View<'_>], outputs: &[View<'_>], scalars: &[Value]) -> Result<()> {
        let ins: DTypes = inputs.iter().map(|v| v.dtype).collect();
        let outs: DTypes = outputs.iter().map(|v| v.dtype).collect();
        let kernel = self.kernel(&ins, &outs);
        let hoisted = self.host.as_ref().map(|host| evaluate_scalars(host, scalars));
        let scalars = hoisted.as_deref().unwrap_or(scalars);
        outputs[0].buffer.device().launch(&kernel, &[Task { inputs, outputs, scalars }])
    }
}

/// `a += b` for arrays of one shape and dtype.
pub fn add_in_place(a: &Array, b: &Array) -> Result<()> {
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
            operands.push(View { buffer: other.buffer(), dtype: other.dtype(), layout });
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
