//! Operations that an index tensor steers.

use crate::api;
use crate::array::Array;
use crate::gradient::RowSparse;
use crate::node::Context;
use crate::op::{Few, Needs, Op, Operation, Spec, apply1};
use crate::ops::{check_index, launch, one, shaped};
use crate::tensor::Tensor;
use phynexus_core::{DType, Error, ReduceOp, Result, ScatterOp, Shape, Spec as KernelSpec, Value};
use phynexus_formula::ops::Op as Row;

/// `out[.., i, ..] = input[.., index[.., i, ..], ..]` along a dimension; the index has the result's shape, and the
/// input is at least as large in the other dimensions.
#[derive(Clone, Debug)]
pub struct Gather {
    /// The dimension.
    pub axis: usize,
    /// What a leaf gets as its gradient.
    pub hands: Hands,
}

impl Gather {
    /// Along a dimension.
    pub fn along(axis: usize) -> Gather {
        Gather { axis, hands: Hands::All }
    }
}

/// What a gather hands to a leaf as its gradient.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Hands {
    /// All elements.
    #[default]
    All,
    /// The rows that whole rows were taken from, but for one.
    Rows {
        /// The row that gets no gradient.
        except: Option<usize>,
    },
}

fn check_fits(what: &str, axis: usize, index: &Shape, other: &Shape) -> Result<()> {
    let fits = index.len() == other.len() && (0..index.len()).all(|i| i == axis || index[i] <= other[i]);
    if fits {
        return Ok(());
    }
    Err(Error::Value(format!(
        "{what}: the index has shape {index}, which must have as many dimensions as {other} and not be larger except in \
         dimension {axis}"
    )))
}

/// The part of `array` that an index of this shape can reach.
fn reachable(array: &Array, axis: usize, index: &Shape) -> Array {
    let mut layout = *array.layout();
    for i in (0..index.len()).filter(|&i| i != axis) {
        layout = layout.slice(i, 0, index[i], 1);
    }
    array.with_layout(layout)
}

impl Operation for Gather {
    fn name(&self) -> &str {
        "gather"
    }
    fn infer(&self, inputs: &[Spec]) -> Result<Few<Spec>> {
        check_index("gather", inputs[1].dtype)?;
        check_fits("gather", self.axis, &inputs[1].shape, &inputs[0].shape)?;
        Ok(one(shaped(&inputs[0], inputs[1].shape)))
    }
    fn run(&self, inputs: &[&Array]) -> Result<Few<Array>> {
        let spec = self.infer(&[Spec::from(inputs[0]), Spec::from(inputs[1])])?[0];
        let out = Array::empty(spec.shape, spec.dtype, spec.device)?;
        if out.elements() > 0 {
            let from = reachable(inputs[0], self.axis, inputs[1].shape());
            launch(KernelSpec::Gather { axis: self.axis }, &[from.view(), inputs[1].view()], &out)?;
        }
        Ok(one(out))
    }
    fn saves(&self, _: u32) -> Option<Needs> {
        Some(Needs { inputs: 2, outputs: 0 })
    }
    fn grad(&self, context: &Context) -> Result<Few<Option<Tensor>>> {
        let Spec { shape, dtype, device } = context.input_spec(0);
        let zero = api::full(Shape::SCALAR, Value::F(0.0), dtype, device)?;
        let (zeros, scatter) = (api::expand(&zero, shape)?, Scatter { axis: self.axis, op: ScatterOp::Add });
        let grad = apply1(Op::Scatter(scatter), &[&zeros, context.input(1), &context.grad(0)?])?;
        Ok([Some(grad), None].into_iter().collect())
    }
    fn rows(&self, context: &Context) -> Result<Option<RowSparse>> {
        let Hands::Rows { except } = self.hands else { return Ok(None) };
        let (index, grad) = (context.input(1).array(), context.grad(0)?);
        if grad.shape()[1..].contains(&0) {
            return Ok(None);
        }
        // Each row number stands as often as a row has elements.
        let numbers = (1..grad.shape().len()).fold(*index.layout(), |layout, _| layout.select(1, 0));
        RowSparse::taken(&index.with_layout(numbers), &grad, context.input_spec(0).shape, except).map(Some)
    }
}

/// The base with the source's elements added or written where the index says: operands (base, index, source).
#[derive(Clone, Debug)]
pub struct Scatter {
    /// The dimension.
    pub axis: usize,
    /// Added or written.
    pub op: ScatterOp,
}

impl Scatter {
    /// Works on `base` itself.
    pub fn run_in_place(&self, base: &Array, index: &Array, source: &Array) -> Result<()> {
        self.infer(&[Spec::from(base), Spec::from(index), Spec::from(source)])?;
        if index.elements() == 0 {
            return Ok(());
        }
        let part = source.with_layout({
            let mut layout = *source.layout();
            for (i, &n) in index.shape().iter().enumerate() {
                layout = layout.slice(i, 0, n, 1);
            }
            layout
        });
        let to = reachable(base, self.axis, index.shape());
        launch(KernelSpec::Scatter { axis: self.axis, op: self.op }, &[index.view(), part.view()], &to)
    }

    /// Which elements of the source are not written over by later ones.
    fn stays(&self, index: &Tensor, base: Shape) -> Result<Tensor> {
        let (shape, device) = (index.shape(), index.device());
        let count = Value::I(shape.elements() as i64);
        let numbers = api::arange(Value::I(0), count, Value::I(1), DType::I64, device)?;
        let numbers = api::reshape(&numbers, shape)?;
        let none = api::full(base, Value::I(-1), DType::I64, device)?;
        let last = apply1(Op::Scatter(self.clone()), &[&none, index, &numbers])?;
        let last = apply1(Op::Gather(Gather::along(self.axis)), &[&last, index])?;
        api::binary(Row::Eq, &last, &numbers)
    }
}

impl Operation for Scatter {
    fn name(&self) -> &str {
        match self.op {
            ScatterOp::Add => "scatter_add",
            ScatterOp::Set => "scatter",
        }
    }
    fn infer(&self, inputs: &[Spec]) -> Result<Few<Spec>> {
        check_index(self.name(), inputs[1].dtype)?;
        check_fits(self.name(), self.axis, &inputs[1].shape, &inputs[0].shape)?;
        let (index, source) = (&inputs[1].shape, &inputs[2].shape);
        if index.len() != source.len() || (0..index.len()).any(|i| index[i] > source[i]) {
            return Err(Error::Value(format!(
                "{}: the index has shape {index}, which must fit into the source's {source}",
                self.name()
            )));
        }
        if inputs[0].dtype != inputs[2].dtype {
            return Err(Error::Type(format!(
                "{}: expected a source of dtype {}, got {}",
                self.name(),
                inputs[0].dtype,
                inputs[2].dtype
            )));
        }
        Ok(one(inputs[0]))
    }
    fn run(&self, inputs: &[&Array]) -> Result<Few<Array>> {
        let out = inputs[0].copy()?;
        self.run_in_place(&out, inputs[1], inputs[2])?;
        Ok(one(out))
    }
    fn saves(&self, _: u32) -> Option<Needs> {
        Some(Needs { inputs: 2, outputs: 0 })
    }
    fn grad(&self, context: &Context) -> Result<Few<Option<Tensor>>> {
        let (grad, index) = (context.grad(0)?, context.input(1));
        let base = match (context.wants(0), self.op) {
            (false, _) => None,
            (true, ScatterOp::Add) => Some(grad.clone()),
            (true, ScatterOp::Set) => {
                let zeros = api::full(index.shape(), Value::F(0.0), grad.dtype(), grad.device())?;
                Some(apply1(Op::Scatter(self.clone()), &[&grad, index, &zeros])?)
            }
        };
        let source = match context.wants(2) {
            false => None,
            true => {
                let mut part = apply1(Op::Gather(Gather::along(self.axis)), &[&grad, index])?;
                if self.op == ScatterOp::Set {
                    let zero = api::full(Shape::SCALAR, Value::F(0.0), grad.dtype(), grad.device())?;
                    part =
                        api::where_tensors(&self.stays(index, context.input_spec(0).shape)?, &part, &zero)?;
                }
                Some(api::embed_leading(&part, context.input_spec(2).shape)?)
            }
        };
        Ok([base, None, source].into_iter().collect())
    }
}

/// Row-major positions of the true elements of a bool tensor; the only operation whose result's shape depends on values.
#[derive(Clone, Debug)]
pub struct Nonzero;

impl Operation for Nonzero {
    fn name(&self) -> &str {
        "nonzero"
    }
    fn infer(&self, inputs: &[Spec]) -> Result<Few<Spec>> {
        if inputs[0].dtype != DType::Bool {
            return Err(Error::Type(format!("nonzero: expected a bool tensor, got {}", inputs[0].dtype)));
        }
        Ok(one(Spec {
            shape: Shape::new(&[inputs[0].shape.elements()])?,
            dtype: DType::I64,
            device: inputs[0].device,
        }))
    }
    fn run(&self, inputs: &[&Array]) -> Result<Few<Array>> {
        let Spec { dtype, device, .. } = self.infer(&[Spec::from(inputs[0])])?[0];
        let count = if inputs[0].elements() == 0 {
            0
        } else {
            let total = Array::empty(Shape::SCALAR, DType::I64, device)?;
            let sum = KernelSpec::Reduce { op: ReduceOp::Sum, axes: inputs[0].shape().len() };
            launch(sum, &[inputs[0].view()], &total)?;
            total.first()?.as_i64() as usize
        };
        let out = Array::empty(Shape::new(&[count])?, dtype, device)?;
        if count > 0 {
            launch(KernelSpec::Nonzero, &[inputs[0].view()], &out)?;
        }
        Ok(one(out))
    }
    fn saves(&self, _: u32) -> Option<Needs> {
        None
    }
    fn grad(&self, _: &Context) -> Result<Few<Option<Tensor>>> {
        Ok(one(None))
    }
}
