//! Matrix products, and the linear layer with its bias and activation in one kernel.

use crate::api;
use crate::array::Array;
use crate::node::Context;
use crate::op::{Few, Needs, Op, Operation, Spec, apply1};
use crate::ops::function::MapFn;
use crate::ops::map::Map;
use crate::ops::one;
use crate::tape::sum_to;
use crate::tensor::Tensor;
use parking_lot::RwLock;
use phynexus_core::{DType, Error, Kernel, Layout, ReduceOp, Result, Shape, Spec as KernelSpec, Task, View};
use phynexus_formula::Type;
use phynexus_formula::ops::Op as Row;
use smallvec::SmallVec;
use std::sync::{Arc, LazyLock};

/// The kernel with these extras, made once.
fn kernel(bias: bool, activation: Option<Row>, symmetric: bool, ty: Type) -> Arc<Kernel> {
    type Known = Vec<((bool, Option<Row>, bool, Type), Arc<Kernel>)>;
    static KNOWN: LazyLock<RwLock<Known>> = LazyLock::new(RwLock::default);
    let key = (bias, activation, symmetric, ty);
    if let Some((_, kernel)) = KNOWN.read().iter().find(|(k, _)| *k == key) {
        return kernel.clone();
    }
    let epilogue = activation.map(|row| row.formula(ty));
    let kernel = Arc::new(Kernel::new(KernelSpec::MatMul { bias, accumulate: false, epilogue, symmetric }));
    KNOWN.write().push((key, kernel.clone()));
    kernel
}

/// `(..., m, k) @ (..., k, n)`, where the leading dimensions broadcast; each operand may be transposed first.
#[derive(Clone, Debug, Default)]
pub struct MatMul {
    /// Whether the last two dimensions of the left operand are exchanged first.
    pub left_transposed: bool,
    /// Whether those of the right are.
    pub right_transposed: bool,
}

/// Writes the products of (batch, rows, columns) into `out`; only half of each if it is known to be symmetric.
pub(super) fn multiply(a: &Array, b: &Array, out: &Array, symmetric: bool) -> Result<()> {
    let kernel = kernel(false, None, symmetric, out.dtype().compute());
    let task = Task { inputs: &[a.view(), b.view()], outputs: &[out.view()], scalars: &[] };
    out.device().launch(&kernel, &[task])
}

/// The product of `a` and `b`, each transposed or not.
pub(super) fn product(a: &Tensor, ta: bool, b: &Tensor, tb: bool) -> Result<Tensor> {
    apply1(Op::MatMul(MatMul { left_transposed: ta, right_transposed: tb }), &[a, b])
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
            return Ok(one(Spec { shape: Shape::new(&[m, n])?, ..inputs[0] }));
        }
        let batch = Shape::new(&a[..a.len() - 2])?.broadcast(&Shape::new(&b[..b.len() - 2])?)?;
        let mut dims: SmallVec<[usize; 8]> = batch[..].into();
        dims.extend([m, n]);
        Ok(one(Spec { shape: Shape::new(&dims)?, ..inputs[0] }))
    }

    fn run(&self, inputs: &[&Array]) -> Result<Few<Array>> {
        let spec = self.infer(&[Spec::from(inputs[0]), Spec::from(inputs[1])])?[0];
        let out = Array::empty(spec.shape, spec.dtype, spec.device)?;
        if out.elements() == 0 {
            return Ok(one(out));
        }
        if inputs.iter().all(|a| a.shape().len() == 2) {
            let (left, right) =
                (matrix(inputs[0], self.left_transposed)?, matrix(inputs[1], self.right_transposed)?);
            let result = matrix(&out, false)?;
            let views = [inputs[0].view_as(&left), inputs[1].view_as(&right)];
            let kernel = kernel(false, None, false, spec.dtype.compute());
            let task = Task { inputs: &views, outputs: &[out.view_as(&result)], scalars: &[] };
            spec.device.launch(&kernel, &[task])?;
            return Ok(one(out));
        }
        let batch = Shape::new(&spec.shape[..spec.shape.len() - 2])?;
        let a = batched(inputs[0], &batch, self.left_transposed)?;
        let b = batched(inputs[1], &batch, self.right_transposed)?;
        multiply(&a, &b, &batched(&out, &batch, false)?, false)?;
        Ok(one(out))
    }

    fn saves(&self, wanted: u32) -> Option<Needs> {
        // Each operand's gradient reads the other.
        Some(Needs { inputs: (wanted >> 1 & 1) | (wanted & 1) << 1, outputs: 0 })
    }

    fn grad(&self, context: &Context) -> Result<Few<Option<Tensor>>> {
        let (ta, tb) = (self.left_transposed, self.right_transposed);
        let grad = context.grad(0)?;
        let mut grads: Few<Option<Tensor>> = SmallVec::from_elem(None, 2);
        if context.wants(0) {
            let b = context.input(1);
            let a = if ta { product(b, tb, &grad, true)? } else { product(&grad, false, b, !tb)? };
            grads[0] = Some(sum_to(a, &context.input_spec(0).shape)?);
        }
        if context.wants(1) {
            let a = context.input(0);
            let b = if tb { product(&grad, true, a, ta)? } else { product(a, !ta, &grad, false)? };
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
        static KNOWN: LazyLock<Vec<bool>> =
            LazyLock::new(|| Row::ALL.iter().map(|&r| Linear::fuses(r)).collect());
        KNOWN[row as usize]
    }

    fn fuses(row: Row) -> bool {
        let about = row.row();
        if about.inputs != 1 || about.scalars != 0 || about.row_wise || !about.differentiable {
            return false;
        }
        let function = MapFn::of(row, Type::F32, 0);
        let map = Map {
            function: function.clone(),
            scalars: SmallVec::new(),
            outputs: one(DType::F32),
            whole: false,
        };
        map.saves(1).is_some_and(|needs| needs.inputs == 0)
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
        let kernel = kernel(inputs.len() == 3, self.activation, false, spec.dtype.compute());
        let result = out.view_as(&y);
        spec.device.launch(&kernel, &[Task { inputs: &operands, outputs: &[result], scalars: &[] }])?;
        Ok(one(out))
    }

    fn saves(&self, wanted: u32) -> Option<Needs> {
        Some(Needs {
            inputs: (wanted >> 1 & 1) | (wanted & 1) << 1,
            outputs: self.activation.is_some() as u32,
        })
    }

    fn grad(&self, context: &Context) -> Result<Few<Option<Tensor>>> {
        let mut grad = context.grad(0)?;
        if let Some(row) = self.activation {
            grad = activation_gradient(row, context.output(0), &grad)?;
        }
        let mut grads: Few<Option<Tensor>> = SmallVec::from_elem(None, context.operands());
        if context.wants(0) {
            grads[0] = Some(product(&grad, false, context.input(1), false)?); // (n, out) @ (out, in)
        }
        if context.wants(1) {
            grads[1] = Some(product(&grad, true, context.input(0), false)?); // (out, n) @ (n, in)
        }
        if context.operands() == 3 && context.wants(2) {
            grads[2] = Some(api::reduce(&grad, ReduceOp::Sum, &[0], false)?);
        }
        Ok(grads)
    }
}

/// The gradient of an activation from its result alone.
fn activation_gradient(row: Row, result: &Tensor, grad: &Tensor) -> Result<Tensor> {
    let function = MapFn::of(row, result.dtype().compute(), 0).from_result().clone();
    let map = Map { function, scalars: SmallVec::new(), outputs: one(result.dtype()), whole: false };
    apply1(Op::Map(map), &[result, grad])
}
