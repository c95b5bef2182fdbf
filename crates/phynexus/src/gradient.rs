//! Gradients of leaves: dense, or of some rows only; how they add up, and where a leaf keeps its own.

use crate::api;
use crate::array::Array;
use crate::hook::Hooks;
use crate::op::Spec;
use crate::ops::index::Scatter;
use crate::program;
use crate::tensor::Tensor;
use phynexus_core::{DType, Device, Error, Result, ScatterOp, Shape, Value, reserve};
use std::sync::Arc;

/// A gradient that is zero in all rows but some: what lies in `values[k]` belongs to row `indices[k]`.
#[derive(Clone)]
pub struct RowSparse {
    indices: Tensor,
    values: Tensor,
    shape: Shape,
    coalesced: bool,
}

impl RowSparse {
    /// Of int64 row numbers in [0, shape[0]), which may repeat, and a row of values for each.
    pub fn new(indices: &Tensor, values: &Tensor, shape: Shape) -> Result<RowSparse> {
        let (i, v) = (indices.array(), values.array());
        check_parts(&i, &v, &shape)?;
        let rows = numbers(&i)?;
        if let Some(row) = rows.iter().find(|&&row| row < 0 || row as usize >= shape[0]) {
            return Err(Error::Index(format!("row {row} is out of range for {} rows", shape[0])));
        }
        let coalesced = rows.windows(2).all(|pair| pair[0] < pair[1]);
        Ok(RowSparse { indices: Tensor::new(i), values: Tensor::new(v), shape, coalesced })
    }

    /// The rows of a table of this shape that a look-up took, but for one.
    pub(crate) fn taken(
        indices: &Array,
        values: &Tensor,
        shape: Shape,
        except: Option<usize>,
    ) -> Result<RowSparse> {
        let mut rows = numbers(indices)?;
        let mut places = reserve(rows.len())?;
        places.extend((0..).zip(&rows).filter(|(_, row)| Some(**row as usize) != except).map(|(k, _)| k));
        let values = if places.len() < rows.len() {
            rows.retain(|&row| Some(row as usize) != except);
            values.detach().index_select(0, &index(&places, values.device())?)?
        } else {
            Tensor::new(values.array().copy()?)
        };
        let coalesced = rows.len() < 2;
        Ok(RowSparse { indices: index(&rows, values.device())?, values, shape, coalesced })
    }

    /// Which rows.
    pub fn indices(&self) -> &Tensor {
        &self.indices
    }
    /// Their values.
    pub fn values(&self) -> &Tensor {
        &self.values
    }
    /// Of the whole.
    pub fn shape(&self) -> Shape {
        self.shape
    }
    /// Whether the rows are known to be in order and each there once.
    pub fn is_coalesced(&self) -> bool {
        self.coalesced
    }

    /// The same with the rows in order and each there once: the sum of its values in the order in which they stood.
    pub fn coalesce(&self) -> Result<RowSparse> {
        if self.coalesced {
            return Ok(self.clone());
        }
        let (indices, values) = (self.indices.array(), self.values.array());
        check_parts(&indices, &values, &self.shape)?;
        let old = numbers(&indices)?;
        let mut rows = reserve(old.len())?;
        rows.extend_from_slice(&old);
        rows.sort_unstable();
        rows.dedup();
        let mut to = reserve(old.len())?;
        to.extend(old.iter().map(|row| rows.partition_point(|other| other < row) as i64));
        let (dtype, device) = (values.dtype(), values.device());
        let mut dims = self.shape.to_vec();
        dims[0] = rows.len();
        let sums = Array::full(Shape::new(&dims)?, Value::F(0.0), dtype, device)?;
        add_rows(&sums, &index(&to, device)?.array(), &values)?;
        let (indices, values) = (index(&rows, device)?, Tensor::new(sums));
        Ok(RowSparse { indices, values, shape: self.shape, coalesced: true })
    }

    /// All rows.
    pub fn to_dense(&self) -> Result<Tensor> {
        let whole = Array::full(self.shape, Value::F(0.0), self.values.dtype(), self.values.device())?;
        self.add_to(&whole)?;
        Ok(Tensor::new(whole))
    }

    /// The same in another dtype and place.
    pub fn to(&self, device: &'static dyn Device, dtype: DType) -> Result<RowSparse> {
        let values = self.values.array().to_device(device)?;
        let values = if values.dtype() == dtype { values } else { values.cast(dtype)? };
        let indices = Tensor::new(self.indices.array().to_device(device)?);
        Ok(RowSparse { indices, values: Tensor::new(values), ..*self })
    }

    fn add_to(&self, whole: &Array) -> Result<()> {
        add_rows(whole, &self.indices.array(), &self.values.array())
    }

    fn followed_by(&self, other: &RowSparse) -> Result<RowSparse> {
        let _mode = crate::tape::GradMode::new(false);
        let join = |a: &Tensor, b: &Tensor| api::cat(&[a.clone(), b.clone()], 0);
        let indices = join(&self.indices, &other.indices)?;
        let coalesced = indices.shape()[0] < 2;
        Ok(RowSparse { indices, values: join(&self.values, &other.values)?, shape: self.shape, coalesced })
    }
}

/// The elements of an index on the host.
fn numbers(index: &Array) -> Result<Vec<i64>> {
    let bytes = index.to_bytes()?;
    let mut numbers = reserve(bytes.len() / 8)?;
    numbers.extend(bytes.as_chunks().0.iter().map(|b| i64::from_le_bytes(*b)));
    Ok(numbers)
}

fn index(numbers: &[i64], device: &'static dyn Device) -> Result<Tensor> {
    let mut bytes = reserve(8 * numbers.len())?;
    numbers.iter().for_each(|n| bytes.extend(n.to_le_bytes()));
    Ok(Tensor::new(Array::from_bytes(&bytes, Shape::new(&[numbers.len()])?, DType::I64, device)?))
}

/// An error unless these can be the indices and the values of rows of a table of this shape. Both are tensors that anybody can give
/// other data, so this is asked of the very arrays that are used.
fn check_parts(i: &Array, v: &Array, shape: &Shape) -> Result<()> {
    let fits = i.shape().len() == 1
        && !shape.is_empty()
        && v.shape().len() == shape.len()
        && v.shape()[0] == i.elements()
        && v.shape()[1..] == shape[1..];
    if !fits {
        return Err(Error::Value(format!(
            "row-sparse values of shape {shape} need indices of shape (n,) and values of shape (n, *{:?}), got {} and {}",
            shape.get(1..).unwrap_or_default(),
            i.shape(),
            v.shape()
        )));
    }
    if i.dtype() != DType::I64 || !v.dtype().is_float() {
        let got = format!("{} and {}", i.dtype(), v.dtype());
        return Err(Error::Type(format!("row-sparse values need int64 indices and float values, got {got}")));
    }
    crate::op::same_device("row-sparse values", i, v)
}

/// `whole[rows[k]] += values[k]`.
fn add_rows(whole: &Array, rows: &Array, values: &Array) -> Result<()> {
    check_parts(rows, values, whole.shape())?;
    let mut column = vec![1; values.shape().len()];
    column[0] = values.shape()[0];
    let rows = rows.reshape(Shape::new(&column)?)?;
    let spread = rows.layout().broadcast(values.shape())?;
    whole.buffer().bump();
    Scatter { axis: 0, op: ScatterOp::Add }.run_in_place(whole, &rows.with_layout(spread), values)
}

/// A gradient on its way to a leaf, or there.
#[derive(Clone)]
pub enum Gradient {
    /// Of all elements.
    Dense(Tensor),
    /// Of some rows.
    Rows(Arc<RowSparse>),
}

impl Gradient {
    /// All elements, whatever it is.
    pub fn to_dense(&self) -> Result<Tensor> {
        match self {
            Gradient::Dense(grad) => Ok(grad.clone()),
            Gradient::Rows(rows) => rows.to_dense(),
        }
    }

    fn spec(&self) -> Spec {
        match self {
            Gradient::Dense(grad) => Spec::from(&grad.array()),
            Gradient::Rows(rows) => Spec { shape: rows.shape, ..Spec::from(&rows.values.array()) },
        }
    }

    /// The sum; of rows they stand one after the other.
    pub(crate) fn plus(&self, other: &Gradient) -> Result<Gradient> {
        Ok(match (self, other) {
            (Gradient::Rows(a), Gradient::Rows(b)) => Gradient::Rows(Arc::new(a.followed_by(b)?)),
            _ => Gradient::Dense(api::add(&self.to_dense()?, &other.to_dense()?)?),
        })
    }
}

impl From<Tensor> for Gradient {
    fn from(grad: Tensor) -> Gradient {
        Gradient::Dense(grad)
    }
}

impl Hooks {
    /// Passes a leaf's gradient through all hooks.
    fn change(&self, grad: Gradient) -> Result<Gradient> {
        match grad {
            Gradient::Dense(grad) => self.run(grad).map(Gradient::Dense),
            rows if self.is_empty() => Ok(rows),
            Gradient::Rows(_) => Err(Error::Type(
                "a gradient hook takes dense gradients, and this one is row-sparse; use Embedding(sparse=False), or \
                 register_post_accumulate_grad_hook, which finds it in .grad"
                    .into(),
            )),
        }
    }
}

impl Tensor {
    /// The accumulated gradient.
    pub fn gradient(&self) -> Option<Gradient> {
        self.state().grad.clone()
    }

    /// The accumulated gradient, where it is dense.
    pub fn grad(&self) -> Option<Tensor> {
        match &self.state().grad {
            Some(Gradient::Dense(grad)) => Some(grad.clone()),
            _ => None,
        }
    }

    /// The accumulated gradient, which must be dense if there is one.
    pub fn dense_grad(&self) -> Result<Option<Tensor>> {
        let state = self.state();
        match &state.grad {
            None => Ok(None),
            Some(Gradient::Dense(grad)) => Ok(Some(grad.clone())),
            Some(Gradient::Rows(_)) => Err(Error::Type(format!(
                "a parameter of shape {} has a row-sparse gradient, and this takes dense ones; use SparseAdam, \
                 Embedding(sparse=False), or param.grad = param.grad.to_dense()",
                state.array.shape()
            ))),
        }
    }

    /// Replaces the accumulated gradient by a dense one, which must fit the tensor.
    pub fn set_grad(&self, grad: Option<Tensor>) -> Result<()> {
        self.set_gradient(grad.map(Gradient::Dense))
    }

    /// Puts a gradient in the place of the one that is there, which is the caller's to drop.
    #[must_use]
    pub(crate) fn replace_grad(&self, grad: Option<Gradient>) -> Option<Gradient> {
        let mut state = self.state();
        std::mem::replace(&mut state.grad, grad)
    }

    /// Whether the tensor is this gradient, or the gradient of it, and so on.
    fn is_within(&self, grad: &Gradient) -> bool {
        let mut next = Some(grad.clone());
        while let Some(Gradient::Dense(grad)) = next {
            if grad.is(self) {
                return true;
            }
            next = grad.gradient();
        }
        false
    }

    /// An error unless a gradient that was computed fits the tensor as it is now, and what has been accumulated.
    fn check_gradient(&self, grad: &Gradient) -> Result<Option<Gradient>> {
        let (own, old) = {
            let state = self.state();
            (Spec::from(&state.array), state.grad.clone())
        };
        let new = grad.spec();
        if own.device.id() != new.device.id() {
            let (own, new) = (own.device.id(), new.device.id());
            return Err(Error::Runtime(format!(
                "a leaf was moved from {new} to {own} after the forward pass, whose gradient is on {new}: move it before, or \
                 run the forward pass again"
            )));
        }
        if own != new {
            return Err(Error::Runtime(format!(
                "a leaf got other data after the forward pass: it is of {own} now, and its gradient of {new}; run the forward pass \
                 again"
            )));
        }
        match old.as_ref().map(Gradient::spec) {
            Some(old) if old != own => Err(Error::Runtime(format!(
                "the accumulated gradient of a tensor of {own} is of {old} now, so nothing can be added to it: its data were \
                 replaced; set .grad = None"
            ))),
            _ => Ok(old),
        }
    }

    /// Replaces the accumulated gradient; it must fit the tensor.
    pub fn set_gradient(&self, grad: Option<Gradient>) -> Result<()> {
        if let Some(grad) = &grad {
            let (own, given) = (Spec::from(&self.array()), grad.spec());
            if own != given {
                return Err(Error::Value(format!(
                    "a gradient must have the shape, dtype and device of its tensor: expected {} {} on {}, got {} {} on {}",
                    own.shape,
                    own.dtype,
                    own.device.id(),
                    given.shape,
                    given.dtype,
                    given.device.id()
                )));
            }
            if self.is_within(grad) {
                return Err(Error::Value(
                    "a tensor cannot be its own gradient, or that of its gradient: each would keep the other in memory for \
                     ever; assign a copy (.clone())"
                        .into(),
                ));
            }
        }
        drop(self.replace_grad(grad));
        Ok(())
    }

    /// What the hooks on this leaf's gradient make of one.
    pub(crate) fn after_hooks(&self, grad: Gradient) -> Result<Gradient> {
        let hooks = self.state().hooks.as_ref().map(|h| h.grad.clone());
        hooks.map_or(Ok(grad.clone()), |hooks| hooks.change(grad))
    }

    /// What is there of the gradient and another part of it.
    pub(crate) fn gradient_with(&self, grad: Gradient) -> Result<Gradient> {
        match self.check_gradient(&grad)? {
            Some(old) => old.plus(&grad),
            None => Ok(grad),
        }
    }

    /// Adds a gradient to a leaf's `.grad`, in place where there is one.
    pub(crate) fn accumulate(&self, mut grad: Gradient, keep_graph: bool) -> Result<()> {
        let hooks = self.state().hooks.as_ref().map(|h| (h.grad.clone(), h.accumulated.clone()));
        if let Some((before, _)) = &hooks
            && !before.is_empty()
        {
            grad = before.change(grad)?;
        }
        let old = self.check_gradient(&grad)?;
        let recording = program::recording();
        let new = match (old, grad) {
            (None, Gradient::Dense(grad)) if keep_graph && !self.is_within(&grad.clone().into()) => {
                grad.into()
            }
            (None, Gradient::Dense(grad)) if keep_graph => grad.copy()?.into(),
            (None, Gradient::Dense(grad)) if recording => grad.detach().copy()?.into(),
            (None, Gradient::Dense(grad)) => Tensor::new(grad.into_owned()?).into(),
            (None, rows) => rows,
            (Some(Gradient::Dense(old)), grad)
                if keep_graph || recording || old.array().layout().overlaps() =>
            {
                Gradient::Dense(old).plus(&grad)?
            }
            (Some(Gradient::Dense(old)), Gradient::Dense(grad)) => {
                crate::ops::map::add_in_place(&old.array(), &grad.array())?;
                old.into()
            }
            (Some(Gradient::Dense(old)), Gradient::Rows(rows)) => {
                rows.add_to(&old.array())?;
                old.into()
            }
            (Some(old), grad) => old.plus(&grad)?,
        };
        drop(self.replace_grad(Some(new)));
        match hooks {
            Some((_, after)) if !after.is_empty() => after.run(self.clone()).map(drop),
            _ => Ok(()),
        }
    }
}
