//! Gradients of leaves: dense, or of some rows only; how they add up, and where a leaf keeps its own.

use crate::api;
use crate::array::Array;
use crate::ops::index::Scatter;
use crate::program;
use crate::tensor::{Hooks, Tensor};
use phynexus_core::{DType, Device, Error, Result, ScatterOp, Shape, Value};
use std::collections::BTreeMap;
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
            return Err(Error::Type(format!(
                "row-sparse values need int64 indices and float values, got {got}"
            )));
        }
        crate::op::same_device("row-sparse values", &i, &v)?;
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
        let places: Vec<i64> =
            (0..).zip(&rows).filter(|(_, row)| Some(**row as usize) != except).map(|(k, _)| k).collect();
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
        let old = numbers(&self.indices.array())?;
        let mut places: BTreeMap<i64, i64> = old.iter().map(|&row| (row, 0)).collect();
        places.values_mut().zip(0..).for_each(|(place, k)| *place = k);
        let rows: Vec<i64> = places.keys().copied().collect();
        let to: Vec<i64> = old.iter().map(|row| places[row]).collect();
        let (dtype, device) = (self.values.dtype(), self.values.device());
        let mut dims = self.shape.to_vec();
        dims[0] = rows.len();
        let sums = Array::full(Shape::new(&dims)?, Value::F(0.0), dtype, device)?;
        add_rows(&sums, &index(&to, device)?, &self.values)?;
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
        add_rows(whole, &self.indices, &self.values)
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
    Ok(bytes.as_chunks().0.iter().map(|b| i64::from_le_bytes(*b)).collect())
}

fn index(numbers: &[i64], device: &'static dyn Device) -> Result<Tensor> {
    let bytes: Vec<u8> = numbers.iter().flat_map(|n| n.to_le_bytes()).collect();
    Ok(Tensor::new(Array::from_bytes(&bytes, Shape::new(&[numbers.len()])?, DType::I64, device)?))
}

/// `whole[rows[k]] += values[k]`.
fn add_rows(whole: &Array, rows: &Tensor, values: &Tensor) -> Result<()> {
    let values = values.array();
    let mut column = vec![1; values.shape().len()];
    column[0] = values.shape()[0];
    let rows = rows.array().reshape(Shape::new(&column)?)?;
    let spread = rows.layout().broadcast(values.shape())?;
    whole.buffer().bump();
    Scatter { axis: 0, op: ScatterOp::Add }.run_in_place(whole, &rows.with_layout(spread), &values)
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

    /// Replaces the accumulated gradient; it must fit the tensor.
    pub fn set_gradient(&self, grad: Option<Gradient>) -> Result<()> {
        let other = match &grad {
            None => None,
            Some(Gradient::Dense(grad)) => Some((grad.shape(), grad.array())),
            Some(Gradient::Rows(rows)) => Some((rows.shape(), rows.values.array())),
        };
        if let Some((shape, other)) = other {
            let mine = self.array();
            if *mine.shape() != shape
                || mine.dtype() != other.dtype()
                || mine.device().id() != other.device().id()
            {
                return Err(Error::Value(format!(
                    "a gradient must have the shape, dtype and device of its tensor: expected {} {} on {}, got {shape} {} on {}",
                    mine.shape(),
                    mine.dtype(),
                    mine.device().id(),
                    other.dtype(),
                    other.device().id()
                )));
            }
        }
        self.state().grad = grad;
        Ok(())
    }

    /// What the hooks on this leaf's gradient make of one.
    pub(crate) fn after_hooks(&self, grad: Gradient) -> Result<Gradient> {
        let hooks = self.state().hooks.as_ref().map(|h| h.grad.clone());
        hooks.map_or(Ok(grad.clone()), |hooks| hooks.change(grad))
    }

    /// Adds a gradient to a leaf's `.grad`, in place where there is one.
    pub(crate) fn accumulate(&self, mut grad: Gradient, keep_graph: bool) -> Result<()> {
        let its = match &grad {
            Gradient::Dense(grad) => grad.device().id(),
            Gradient::Rows(rows) => rows.values().device().id(),
        };
        let (own, hooks, mut old) = {
            let state = self.state();
            let hooks = state.hooks.as_ref().map(|h| (h.grad.clone(), h.accumulated.clone()));
            (state.array.device().id(), hooks, state.grad.clone())
        };
        if own != its {
            return Err(Error::Runtime(format!(
                "a leaf was moved from {its} to {own} after the forward pass, whose gradient is on {its}: move it before, or \
                 run the forward pass again"
            )));
        }
        if let Some((before, _)) = &hooks
            && !before.is_empty()
        {
            grad = before.change(grad)?;
            old = self.gradient();
        }
        let recording = program::recording();
        let new = match (old, grad) {
            (None, Gradient::Dense(grad)) if keep_graph => grad.into(),
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
        self.state().grad = Some(new);
        match hooks {
            Some((_, after)) if !after.is_empty() => after.run(self.clone()).map(drop),
            _ => Ok(()),
        }
    }
}
