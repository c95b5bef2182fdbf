//! Matrix products, and the linear layer with its bias and activation in one kernel.

use crate::api;
use crate::array::Array;
use crate::node::Context;
use crate::op::{Few, Needs, Op, Operation, Spec, apply, apply1};
use crate::ops::function::{MapFn, Passage};
use crate::ops::map::Map;
use crate::ops::one;
use crate::tape::sum_to;
use crate::tensor::Tensor;
use phynexus_core::{
    Chain, DType, Error, Kernel, Layout, Once, ReduceOp, Result, Shape, Spec as KernelSpec, Task, View,
};
use phynexus_formula::Type;
use phynexus_formula::ops::Op as Row;
use smallvec::SmallVec;
use std::sync::Arc;

/// What a product does beside multiplying.
#[derive(Clone, Copy, Default, PartialEq)]
struct Extras {
    bias: bool,
    activation: Option<Row>,
    symmetric: bool,
    sums: bool,
}

/// The kernel with these extras, made once.
fn kernel(extras: Extras, ty: Type) -> &'static Kernel {
    static KNOWN: Chain<((Extras, Type), Kernel)> = Chain::new();
    let key = (extras, ty);
    let made = || {
        let Extras { bias, activation, symmetric, sums } = extras;
        let epilogue = activation.map(|row| row.formula(ty));
        (key, Kernel::new(KernelSpec::MatMul { bias, accumulate: false, epilogue, symmetric, sums }))
    };
    &KNOWN.find_or_add(|(k, _)| *k == key, made).1
}

/// `(..., m, k) @ (..., k, n)`, where the leading dimensions broadcast; each operand may be transposed first.
#[derive(Clone, Debug, Default)]
pub struct MatMul {
    /// Whether the last two dimensions of the left operand are exchanged first.
    pub left_transposed: bool,
    /// Whether those of the right are.
    pub right_transposed: bool,
    /// Of two matrices: a passage that each element of the product takes beside a third operand of its shape.
    pub after: Option<Arc<Passage>>,
    /// Of two matrices: whether the sums of the left one's rows are a second result.
    pub sums: bool,
}

/// Writes the products of (batch, rows, columns) into `out`; only half of each if it is known to be symmetric.
pub(super) fn multiply(a: &Array, b: &Array, out: &Array, symmetric: bool) -> Result<()> {
    let kernel = kernel(Extras { symmetric, ..Extras::default() }, out.dtype().compute());
    let task = Task { inputs: &[a.view(), b.view()], outputs: &[out.view()], scalars: &[] };
    out.device().launch(kernel, &[task])
}

/// The product of `a` and `b`, each transposed or not.
pub(super) fn product(a: &Tensor, ta: bool, b: &Tensor, tb: bool) -> Result<Tensor> {
    apply1(Op::MatMul(MatMul { left_transposed: ta, right_transposed: tb, ..MatMul::default() }), &[a, b])
}

/// The product that is the gradient of operand `i`; of matrices it passes what made the operand, if that can be.
fn onward(context: &Context, i: usize, (a, ta): (&Tensor, bool), (b, tb): (&Tensor, bool)) -> Result<Tensor> {
    let matrices = context.input_spec(i).shape.len() == 2 && a.shape().len() == 2 && b.shape().len() == 2;
    let Some((passage, beside)) = matrices.then(|| context.pass(i)).flatten() else {
        return product(a, ta, b, tb);
    };
    let onward =
        MatMul { left_transposed: ta, right_transposed: tb, after: Some(passage), ..MatMul::default() };
    apply1(Op::MatMul(onward), &[a, b, &beside])
}

/// Rows and columns of a matrix, or of its transpose.
fn sides(shape: &Shape, transposed: bool) -> (usize, usize) {
    let (rows, columns) = (shape[shape.len() - 2], shape[shape.len() - 1]);
    if transposed { (columns, rows) } else { (rows, columns) }
}

/// The layout of one matrix, or of its transpose, as a batch of one.
fn matrix(a: &Array, transposed: bool) -> Result<Layout> {
    let layout = a.layout().unsqueeze(0)?;
    Ok(if transposed { layout.permute(&[0, 2, 1]) } else { layout })
}

/// The matrices, or their transposes, as (batch, rows, columns).
fn batched(a: &Array, batch: &Shape, transposed: bool) -> Result<Array> {
    let n = a.shape().len();
    let mut dims: SmallVec<[usize; 8]> = batch[..].into();
    dims.extend_from_slice(&a.shape()[n - 2..]);
    let layout = a.layout().broadcast(&Shape::new(&dims)?)?;
    let flat = Shape::new(&[batch.elements(), a.shape()[n - 2], a.shape()[n - 1]])?;
    let flat = a.with_layout(layout).reshape(flat)?;
    Ok(if transposed { flat.with_layout(flat.layout().permute(&[0, 2, 1])) } else { flat })
}

impl Operation for MatMul {
    fn name(&self) -> &str {
        "matmul"
    }

    fn infer(&self, inputs: &[Spec]) -> Result<Few<Spec>> {
        let (a, b) = (&inputs[0].shape, &inputs[1].shape);
        let (m, k) = sides(a, self.left_transposed);
        let (other, n) = sides(b, self.right_transposed);
        if k != other {
            return Err(Error::Value(format!(
                "matmul: inner sizes differ, {a} @ {b}; expected {k} == {other}"
            )));
        }
        if inputs[0].dtype != inputs[1].dtype {
            return Err(Error::Type(format!(
                "matmul: dtypes differ, {} @ {}; convert one with .to()",
                inputs[0].dtype, inputs[1].dtype
            )));
        }
        if inputs[0].dtype == DType::Bool {
            return Err(Error::Type(
                "matmul: bool tensors have no product; convert them with .float()".into(),
            ));
        }
        if a.len() == 2 && b.len() == 2 {
            let sums = self.sums.then(|| Shape::new(&[m])).transpose()?;
            let shapes = [Some(Shape::new(&[m, n])?), sums];
            return Ok(shapes.into_iter().flatten().map(|shape| Spec { shape, ..inputs[0] }).collect());
        }
        let batch = Shape::new(&a[..a.len() - 2])?.broadcast(&Shape::new(&b[..b.len() - 2])?)?;
        let mut dims: SmallVec<[usize; 8]> = batch[..].into();
        dims.extend([m, n]);
        Ok(one(Spec { shape: Shape::new(&dims)?, ..inputs[0] }))
    }

    fn run(&self, inputs: &[&Array]) -> Result<Few<Array>> {
        let specs = self.infer(&[Spec::from(inputs[0]), Spec::from(inputs[1])])?;
        let make = |spec: &Spec| Array::empty(spec.shape, spec.dtype, spec.device);
        let outputs = specs.iter().map(make).collect::<Result<Few<Array>>>()?;
        let (spec, out) = (specs[0], &outputs[0]);
        if out.elements() == 0 {
            return Ok(outputs);
        }
        if inputs.iter().all(|a| a.shape().len() == 2) {
            let turned = [self.left_transposed, self.right_transposed, false];
            let operand = |(a, turned): (&&Array, bool)| matrix(a, turned);
            let layouts =
                inputs.iter().zip(turned).map(operand).collect::<Result<SmallVec<[Layout; 3]>>>()?;
            let results = outputs.iter().map(|a| a.layout().unsqueeze(0)).collect::<Result<Few<Layout>>>()?;
            let view = |(a, layout)| Array::view_as(a, layout);
            let kernel = match &self.after {
                Some(passage) => passage.product(),
                None => kernel(Extras { sums: self.sums, ..Extras::default() }, spec.dtype.compute()),
            };
            let inputs: SmallVec<[View<'_>; 3]> = inputs.iter().copied().zip(&layouts).map(view).collect();
            let results: Few<View<'_>> = outputs.iter().zip(&results).map(view).collect();
            spec.device.launch(kernel, &[Task { inputs: &inputs, outputs: &results, scalars: &[] }])?;
            drop((inputs, results));
            return Ok(outputs);
        }
        let batch = Shape::new(&spec.shape[..spec.shape.len() - 2])?;
        let a = batched(inputs[0], &batch, self.left_transposed)?;
        let b = batched(inputs[1], &batch, self.right_transposed)?;
        multiply(&a, &b, &batched(out, &batch, false)?, false)?;
        Ok(outputs)
    }

    fn saves(&self, wanted: u32) -> Option<Needs> {
        // Each operand's gradient reads the other. What has passed is a gradient whose derivative nobody wants.
        self.after.is_none().then_some(Needs { inputs: (wanted >> 1 & 1) | (wanted & 1) << 1, outputs: 0 })
    }

    fn grad(&self, context: &Context) -> Result<Few<Option<Tensor>>> {
        let (ta, tb) = (self.left_transposed, self.right_transposed);
        let grad = context.grad(0)?;
        let mut grads: Few<Option<Tensor>> = SmallVec::from_elem(None, 2);
        if context.wants(0) {
            let b = context.input(1);
            let factors = if ta { ((b, tb), (&grad, true)) } else { ((&grad, false), (b, !tb)) };
            let mut a = onward(context, 0, factors.0, factors.1)?;
            if self.sums && context.reached(1) {
                let (sums, kept) = (context.grad(1)?, usize::from(ta));
                let mut line = [1; 2];
                line[kept] = sums.shape()[0];
                a = api::add(&a, &api::reshape(&sums, Shape::new(&line)?)?)?;
            }
            grads[0] = Some(sum_to(a, &context.input_spec(0).shape)?);
        }
        if context.wants(1) {
            let a = context.input(0);
            let factors = if tb { ((&grad, true), (a, ta)) } else { ((a, !ta), (&grad, false)) };
            let b = onward(context, 1, factors.0, factors.1)?;
            grads[1] = Some(sum_to(b, &context.input_spec(1).shape)?);
        }
        Ok(grads)
    }
}

/// `activation(x Wᵀ + b)` for x (n, in), W (out, in), b (out).
#[derive(Clone, Debug)]
pub struct Linear {
    /// Applied to the finished sums while they are in the cache; its gradient must need nothing but its result.
    pub activation: Option<Row>,
}

impl Linear {
    /// Whether an activation can be part of the product: only if its gradient can be told from its result.
    pub fn can_fuse(row: Row) -> bool {
        static KNOWN: [Once<bool>; Row::ALL.len()] = [const { Once::new() }; Row::ALL.len()];
        *KNOWN[row as usize].get_or_init(|| Linear::fuses(row))
    }

    fn fuses(row: Row) -> bool {
        let about = row.row();
        if about.inputs != 1 || about.scalars != 0 || about.row_wise || !about.differentiable {
            return false;
        }
        MapFn::of(row, Type::F32, 0).passage().is_some_and(|passage| passage.output)
    }
}

impl Operation for Linear {
    fn name(&self) -> &str {
        "linear"
    }

    fn infer(&self, inputs: &[Spec]) -> Result<Few<Spec>> {
        let (x, w) = (&inputs[0].shape, &inputs[1].shape);
        if w.len() != 2 || x.len() != 2 || x[1] != w[1] {
            return Err(Error::Value(format!(
                "linear: the last size of the input must equal the last of the weight (out, in), got input {x} and weight {w}"
            )));
        }
        if let Some(b) = inputs.get(2)
            && (b.shape.len() != 1 || b.shape[0] != w[0])
        {
            return Err(Error::Value(format!(
                "linear: expected a bias of shape ({},), got {}",
                w[0], b.shape
            )));
        }
        if inputs.iter().any(|s| s.dtype != inputs[0].dtype) || !inputs[0].dtype.is_float() {
            let dtypes: Vec<String> = inputs.iter().map(|s| s.dtype.to_string()).collect();
            return Err(Error::Type(format!(
                "linear: input, weight and bias must have one floating-point dtype, got {}; convert with .to()",
                dtypes.join(", ")
            )));
        }
        Ok(one(Spec { shape: Shape::new(&[x[0], w[0]])?, ..inputs[0] }))
    }

    fn run(&self, inputs: &[&Array]) -> Result<Few<Array>> {
        let specs: SmallVec<[Spec; 3]> = inputs.iter().map(|a| Spec::from(*a)).collect();
        let spec = self.infer(&specs)?[0];
        let out = Array::empty(spec.shape, spec.dtype, spec.device)?;
        if out.elements() == 0 {
            return Ok(one(out));
        }
        let x = inputs[0].layout().unsqueeze(0)?;
        let w = inputs[1].layout().permute(&[1, 0]).unsqueeze(0)?;
        let y = Layout::contiguous(Shape::new(&[1, spec.shape[0], spec.shape[1]])?);
        let mut operands: SmallVec<[View<'_>; 3]> = SmallVec::new();
        operands.push(inputs[0].view_as(&x));
        operands.push(inputs[1].view_as(&w));
        if let Some(bias) = inputs.get(2) {
            operands.push(bias.view());
        }
        let extras = Extras { bias: inputs.len() == 3, activation: self.activation, ..Extras::default() };
        let kernel = kernel(extras, spec.dtype.compute());
        let result = out.view_as(&y);
        spec.device.launch(kernel, &[Task { inputs: &operands, outputs: &[result], scalars: &[] }])?;
        Ok(one(out))
    }

    fn saves(&self, wanted: u32) -> Option<Needs> {
        Some(Needs {
            inputs: (wanted >> 1 & 1) | (wanted & 1) << 1,
            outputs: self.activation.is_some() as u32,
        })
    }

    fn passage(&self, result: DType) -> Option<Arc<Passage>> {
        self.activation.and_then(|row| MapFn::of(row, result.compute(), 0).passage().cloned())
    }

    fn grad(&self, context: &Context) -> Result<Few<Option<Tensor>>> {
        let own = || {
            let grad = context.grad(0)?;
            let dtype = context.output_spec(0).dtype;
            let Some(passage) = self.passage(dtype) else { return Ok(grad) };
            let function = passage.function.clone();
            let map = Map { function, scalars: SmallVec::new(), outputs: one(dtype), whole: false };
            apply1(Op::Map(map), &[&grad, context.output(0)])
        };
        let grad = context.beyond(own)?;
        let mut grads: Few<Option<Tensor>> = SmallVec::from_elem(None, context.operands());
        if context.wants(0) {
            // (n, out) @ (out, in)
            grads[0] = Some(onward(context, 0, (&grad, false), (context.input(1), false))?);
        }
        let biased = context.operands() == 3 && context.wants(2);
        let sums = biased && context.wants(1) && context.input_spec(1).shape.elements() > 0;
        if context.wants(1) {
            // (out, n) @ (n, in)
            let weight = MatMul { left_transposed: true, sums, ..MatMul::default() };
            let mut both = apply(Op::MatMul(weight), &[&grad, context.input(0)])?.into_iter();
            grads[1] = both.next();
            if sums {
                grads[2] = both.next();
            }
        }
        if biased && !sums {
            grads[2] = Some(api::reduce(&grad, ReduceOp::Sum, &[0], false)?);
        }
        Ok(grads)
    }
}
