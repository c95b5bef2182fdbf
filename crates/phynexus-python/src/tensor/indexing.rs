//! Reading and writing by index.

use super::{Made, PyTensor, made};
use crate::convert::{self, Arg, Dim, Given};
use crate::error::{run, to_python};
use phynexus::formula::ops::Op as Row;
use phynexus::{Category, DType, Index, Operand, ScatterOp, Shape, Tensor, Value};
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::PyTuple;

#[pymethods]
impl PyTensor {
    fn __getitem__(&self, py: Python<'_>, index: &Bound<'_, PyAny>) -> Made {
        let index = convert::index(index, self.0.device())?;
        let advanced = index.iter().any(|i| matches!(i, Index::Tensor(_)));
        run(py, if advanced { self.0.shape().elements() } else { 0 }, || self.0.at(&index)).map(PyTensor)
    }

    fn __setitem__(
        &self,
        py: Python<'_>,
        index: &Bound<'_, PyAny>,
        value: &Bound<'_, PyAny>,
    ) -> PyResult<()> {
        let index = convert::index(index, self.0.device())?;
        let value = match value.extract::<Arg>() {
            Ok(Arg::Tensor(t)) => t,
            Ok(Arg::Number(value, _)) => {
                phynexus::full(Shape::SCALAR, value, self.0.dtype(), self.0.device()).map_err(to_python)?
            }
            // Lists: their numbers must fit, as a number must.
            Err(_) => crate::data::tensor(value, Some(self.0.dtype()), self.0.device())?,
        };
        run(py, self.0.shape().elements(), || self.0.set_at(&index, &value))
    }

    fn __iter__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        if self.0.shape().is_empty() {
            return Err(PyTypeError::new_err("a tensor without dimensions cannot be iterated"));
        }
        self.unbind(py, 0)?.into_any().call_method0("__iter__")
    }

    /// Elements along `dim` that an index of the result's shape names: `out[i][j] = self[index[i][j]][j]` for dim 0.
    ///
    /// Raises:
    ///     IndexError: an index out of range.
    fn gather(&self, py: Python<'_>, dim: isize, index: Given<'_, '_>) -> Made {
        let index: &Tensor = &index;
        run(py, index.shape().elements(), || self.0.gather(dim, index)).map(PyTensor)
    }

    /// The slices of dimension `dim` that a one-dimensional index names.
    fn index_select(&self, py: Python<'_>, dim: isize, index: Given<'_, '_>) -> Made {
        let index: &Tensor = &index;
        run(py, self.0.shape().elements(), || self.0.index_select(dim, index)).map(PyTensor)
    }

    /// As `gather`, where tensor and index broadcast in the other dimensions.
    fn take_along_dim(&self, py: Python<'_>, index: Given<'_, '_>, dim: isize) -> Made {
        let index: &Tensor = &index;
        run(py, self.0.shape().elements(), || self.0.take_along(dim, index)).map(PyTensor)
    }

    /// This tensor with the source's elements added where the index says; the order of additions is fixed.
    fn scatter_add(&self, py: Python<'_>, dim: isize, index: Given<'_, '_>, source: Given<'_, '_>) -> Made {
        let (index, source): (&Tensor, &Tensor) = (&index, &source);
        run(py, self.0.shape().elements(), || self.0.scatter(dim, index, source, ScatterOp::Add))
            .map(PyTensor)
    }

    /// This tensor with the source's elements written where the index says; of several the last stays.
    fn scatter(&self, py: Python<'_>, dim: isize, index: Given<'_, '_>, source: Given<'_, '_>) -> Made {
        let (index, source): (&Tensor, &Tensor) = (&index, &source);
        run(py, self.0.shape().elements(), || self.0.scatter(dim, index, source, ScatterOp::Set))
            .map(PyTensor)
    }

    /// This tensor with `value` where the mask holds.
    fn masked_fill(&self, py: Python<'_>, mask: Given<'_, '_>, value: Arg) -> Made {
        super::arithmetic::apply(py, Row::Where, &[(&*mask).into(), value.operand(), (&self.0).into()], &[])
    }

    /// Positions of the elements that are not zero, one row each.
    fn nonzero(&self, py: Python<'_>) -> Made {
        run(py, self.0.shape().elements(), || self.0.nonzero()).map(PyTensor)
    }

    /// Class indices as rows with a single 1, int64; -1 takes the largest index as the last class.
    ///
    /// Example:
    ///     >>> import neurenix
    ///     >>> neurenix.Tensor([1, 0]).one_hot(2).tolist()
    ///     [[0, 1], [1, 0]]
    #[pyo3(signature = (num_classes=-1))]
    fn one_hot(&self, py: Python<'_>, num_classes: i64) -> Made {
        let x = &self.0;
        if x.dtype().is_float() || x.dtype() == DType::Bool {
            return Err(PyTypeError::new_err(format!(
                "one_hot: class indices must be integers, got {}",
                x.dtype()
            )));
        }
        run(py, x.shape().elements(), || {
            let (low, high) = x.extremes()?.map_or((0, 0), |(low, high)| (low.as_i64(), high.as_i64()));
            let classes = if num_classes == -1 { high + 1 } else { num_classes };
            if low < 0 || high >= classes {
                return Err(phynexus::Error::Value(format!(
                    "one_hot: class indices must be in [0, {classes}), got {low} to {high}"
                )));
            }
            let mut dims = x.shape().to_vec();
            dims.push(1);
            let wide = phynexus::reshape(&phynexus::cast(x, DType::I64)?, Shape::new(&dims)?)?;
            dims[x.shape().len()] = usize::try_from(classes).unwrap_or(0);
            let everywhere = |value, shape| {
                let number = phynexus::full(Shape::SCALAR, Value::I(value), DType::I64, x.device())?;
                phynexus::expand(&number, shape)
            };
            let (zeros, ones) = (everywhere(0, Shape::new(&dims)?)?, everywhere(1, wide.shape())?);
            zeros.scatter(-1, &wide, &ones, ScatterOp::Set)
        })
        .map(PyTensor)
    }

    /// Values in order along `dim` and where they stood; NaN counts as the largest.
    ///
    /// Equal values keep their order, whatever `stable` says.
    #[pyo3(
        signature = (dim=None, descending=false, stable=true, *, axis=None),
        text_signature = "($self, dim=-1, descending=False, stable=True, *, axis=None)"
    )]
    fn sort(
        &self,
        py: Python<'_>,
        dim: Option<Dim>,
        descending: bool,
        stable: bool,
        axis: Option<Dim>,
    ) -> PyResult<Py<PyAny>> {
        let _ = stable;
        let (values, at) = self.ordered(py, dim, descending, axis)?;
        found(py, values, at)
    }

    /// Where the values in order along `dim` stand.
    #[pyo3(
        signature = (dim=None, descending=false, stable=true, *, axis=None),
        text_signature = "($self, dim=-1, descending=False, stable=True, *, axis=None)"
    )]
    fn argsort(
        &self,
        py: Python<'_>,
        dim: Option<Dim>,
        descending: bool,
        stable: bool,
        axis: Option<Dim>,
    ) -> Made {
        let _ = stable;
        self.ordered(py, dim, descending, axis).map(|(_, at)| PyTensor(at))
    }

    /// The k largest (or smallest) values along `dim`, in order, and where they stand.
    #[pyo3(
        signature = (k, dim=None, largest=true, *, axis=None),
        text_signature = "($self, k, dim=-1, largest=True, *, axis=None)"
    )]
    fn topk(
        &self,
        py: Python<'_>,
        k: isize,
        dim: Option<Dim>,
        largest: bool,
        axis: Option<Dim>,
    ) -> PyResult<Py<PyAny>> {
        let dim = convert::dim_or(-1, dim, axis)?;
        let shape = self.0.shape();
        let axis = shape.axis(dim).map_err(to_python)?;
        let size = shape.get(axis).copied().unwrap_or(1);
        let Some(k) = usize::try_from(k).ok().filter(|&k| k <= size) else {
            return Err(PyValueError::new_err(format!(
                "topk: k must be in [0, {size}], the size of dimension {dim}, got {k}"
            )));
        };
        let (values, at) = run(py, shape.elements(), || self.0.sort(dim, largest, Some(k)))?;
        found(py, values, at)
    }

    /// The lower triangle of each matrix, zeros above; `diagonal` moves the border up.
    #[pyo3(signature = (diagonal=0))]
    fn tril(&self, py: Python<'_>, diagonal: i64) -> Made {
        self.triangle(py, diagonal, Row::Le)
    }

    /// The upper triangle of each matrix, zeros below; `diagonal` moves the border up.
    #[pyo3(signature = (diagonal=0))]
    fn triu(&self, py: Python<'_>, diagonal: i64) -> Made {
        self.triangle(py, diagonal, Row::Ge)
    }
}

/// The pair (values, indices) under these names.
pub fn found(py: Python<'_>, values: Tensor, indices: Tensor) -> PyResult<Py<PyAny>> {
    static CLASS: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    let class = CLASS
        .get_or_try_init(py, || Ok::<_, PyErr>(py.import("neurenix._results")?.getattr("Found")?.unbind()))?;
    class.call1(py, (PyTensor(values), PyTensor(indices)))
}

impl PyTensor {
    /// Values in order and where they stood.
    fn ordered(
        &self,
        py: Python<'_>,
        dim: Option<Dim>,
        descending: bool,
        axis: Option<Dim>,
    ) -> PyResult<(Tensor, Tensor)> {
        let dim = convert::dim_or(-1, dim, axis)?;
        run(py, self.0.shape().elements(), || self.0.sort(dim, descending, None))
    }

    fn triangle(&self, py: Python<'_>, diagonal: i64, keep: Row) -> Made {
        let x = &self.0;
        let shape = x.shape();
        let n = shape.len();
        if n < 2 {
            return Err(PyValueError::new_err(format!(
                "tril and triu need at least two dimensions, got shape {shape}"
            )));
        }
        run(py, shape.elements(), || {
            let line = |start: i64, count: usize, dims: [usize; 2]| {
                let (a, b) = (Value::I(start), Value::I(start + count as i64));
                let numbers = phynexus::arange(a, b, Value::I(1), DType::I64, x.device())?;
                phynexus::reshape(&numbers, Shape::new(&dims)?)
            };
            let rows = line(diagonal, shape[n - 2], [shape[n - 2], 1])?;
            let columns = line(0, shape[n - 1], [1, shape[n - 1]])?;
            let kept = phynexus::binary(keep, &columns, &rows)?;
            let zero = Operand::Number(Value::I(0), Category::Bool);
            phynexus::where_(&kept, x.into(), zero)
        })
        .map(PyTensor)
    }

    /// The slices along a dimension, as a tuple.
    pub fn unbind<'py>(&self, py: Python<'py>, dim: isize) -> PyResult<Bound<'py, PyTuple>> {
        let shape = self.0.shape();
        let axis = shape.axis(dim).map_err(to_python)?;
        let size = shape.get(axis).copied().unwrap_or(0);
        let mut parts = Vec::with_capacity(size);
        for i in 0..size {
            let part = super::shape::narrow(&self.0, axis, i, 1);
            let part = part.and_then(|p| phynexus::reshape(&p, shape.without(axis, false)));
            parts.push(Py::new(py, made(part)?)?);
        }
        PyTuple::new(py, parts)
    }
}
