//! Reductions, rows and products.

use super::{Made, PyTensor, made};
use crate::convert;
use crate::dtype::PyDType;
use crate::error::run;
use phynexus::formula::ops::Op as Row;
use phynexus::{ArgOf, ReduceOp, Tensor};
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;

type Dim<'a, 'py> = Option<&'a Bound<'py, PyAny>>;

impl PyTensor {
    fn reduced(&self, py: Python<'_>, op: ReduceOp, dim: Dim<'_, '_>, keepdim: bool) -> Made {
        let dims = convert::dims(dim)?;
        run(py, self.0.shape().elements(), || self.0.reduce(op, dims.as_deref(), keepdim)).map(PyTensor)
    }

    fn extreme(&self, py: Python<'_>, of: ArgOf, dim: Option<isize>, keepdim: bool) -> PyResult<Py<PyAny>> {
        let (n, t) = (self.0.shape().elements(), &self.0);
        match dim {
            None => {
                let op = if of == ArgOf::Max { ReduceOp::Max } else { ReduceOp::Min };
                let value = run(py, n, || t.reduce(op, None, keepdim))?;
                Ok(Py::new(py, PyTensor(value))?.into_any())
            }
            Some(dim) => {
                let (value, at) = run(py, n, || t.extreme(of, dim, keepdim))?;
                super::indexing::found(py, value, at)
            }
        }
    }

    fn matrix(&self, py: Python<'_>, other: &Tensor) -> Made {
        let work = self.0.shape().elements().saturating_mul(other.shape().last().copied().unwrap_or(1));
        run(py, work, || phynexus::matmul(&self.0, other)).map(PyTensor)
    }

    fn checked(&self, what: &str, other: &Bound<'_, PyTensor>, dims: usize) -> PyResult<()> {
        let (a, b) = (self.0.shape(), other.get().0.shape());
        if a.len() == dims && b.len() == dims {
            return Ok(());
        }
        Err(PyValueError::new_err(format!("{what} needs operands of {dims} dimensions, got {a} and {b}")))
    }
}

#[pymethods]
impl PyTensor {
    /// The sum over dimensions (or all); integers and bools are summed as int64.
    ///
    /// Args:
    ///     dim: a dimension, several, or None for all.
    ///     keepdim: whether summed dimensions stay, with size 1.
    ///     dtype: the dtype to sum in.
    ///
    /// Example:
    ///     >>> import neurenix
    ///     >>> neurenix.ones(2, 3).sum(dim=1).tolist()
    ///     [3.0, 3.0]
    #[pyo3(signature = (dim=None, keepdim=false, *, dtype=None))]
    fn sum(&self, py: Python<'_>, dim: Dim<'_, '_>, keepdim: bool, dtype: Option<&Bound<'_, PyAny>>) -> Made {
        let (dims, dtype) = (convert::dims(dim)?, dtype.map(PyDType::parse).transpose()?);
        run(py, self.0.shape().elements(), || self.0.sum_as(dims.as_deref(), keepdim, dtype)).map(PyTensor)
    }
    /// The mean over dimensions (or all).
    #[pyo3(signature = (dim=None, keepdim=false))]
    fn mean(&self, py: Python<'_>, dim: Dim<'_, '_>, keepdim: bool) -> Made {
        self.reduced(py, ReduceOp::Mean, dim, keepdim)
    }
    /// The product over a dimension (or all).
    #[pyo3(signature = (dim=None, keepdim=false))]
    fn prod(&self, py: Python<'_>, dim: Dim<'_, '_>, keepdim: bool) -> Made {
        self.reduced(py, ReduceOp::Prod, dim, keepdim)
    }
    /// The largest element; with `dim` the largest along it and where it stands.
    #[pyo3(signature = (dim=None, keepdim=false))]
    fn max(&self, py: Python<'_>, dim: Option<isize>, keepdim: bool) -> PyResult<Py<PyAny>> {
        self.extreme(py, ArgOf::Max, dim, keepdim)
    }
    /// The smallest element; with `dim` the smallest along it and where it stands.
    #[pyo3(signature = (dim=None, keepdim=false))]
    fn min(&self, py: Python<'_>, dim: Option<isize>, keepdim: bool) -> PyResult<Py<PyAny>> {
        self.extreme(py, ArgOf::Min, dim, keepdim)
    }
    /// The largest elements over dimensions; equal ones share the gradient.
    #[pyo3(signature = (dim=None, keepdim=false))]
    fn amax(&self, py: Python<'_>, dim: Dim<'_, '_>, keepdim: bool) -> Made {
        self.reduced(py, ReduceOp::Max, dim, keepdim)
    }
    /// The smallest elements over dimensions; equal ones share the gradient.
    #[pyo3(signature = (dim=None, keepdim=false))]
    fn amin(&self, py: Python<'_>, dim: Dim<'_, '_>, keepdim: bool) -> Made {
        self.reduced(py, ReduceOp::Min, dim, keepdim)
    }
    /// Where the largest element stands (the first of equal ones).
    #[pyo3(signature = (dim=None, keepdim=false))]
    fn argmax(&self, py: Python<'_>, dim: Dim<'_, '_>, keepdim: bool) -> Made {
        self.reduced(py, ReduceOp::ArgMax, dim, keepdim)
    }
    /// Where the smallest element stands (the first of equal ones).
    #[pyo3(signature = (dim=None, keepdim=false))]
    fn argmin(&self, py: Python<'_>, dim: Dim<'_, '_>, keepdim: bool) -> Made {
        self.reduced(py, ReduceOp::ArgMin, dim, keepdim)
    }
    /// Whether any element is not zero.
    #[pyo3(signature = (dim=None, keepdim=false))]
    fn any(&self, py: Python<'_>, dim: Dim<'_, '_>, keepdim: bool) -> Made {
        self.reduced(py, ReduceOp::Any, dim, keepdim)
    }
    /// Whether no element is zero.
    #[pyo3(signature = (dim=None, keepdim=false))]
    fn all(&self, py: Python<'_>, dim: Dim<'_, '_>, keepdim: bool) -> Made {
        self.reduced(py, ReduceOp::All, dim, keepdim)
    }
    /// The variance over dimensions: squared distances from the mean over (count - correction).
    #[pyo3(signature = (dim=None, correction=1.0, keepdim=false))]
    fn var(&self, py: Python<'_>, dim: Dim<'_, '_>, correction: f64, keepdim: bool) -> Made {
        let dims = convert::dims(dim)?;
        let moments = || self.0.moments(dims.as_deref(), correction, keepdim).map(|m| m.1);
        run(py, self.0.shape().elements(), moments).map(PyTensor)
    }
    /// The square root of the variance; its gradient where all elements are the same is 0, as PyTorch's.
    #[pyo3(signature = (dim=None, correction=1.0, keepdim=false))]
    fn std(&self, py: Python<'_>, dim: Dim<'_, '_>, correction: f64, keepdim: bool) -> Made {
        let var = self.var(py, dim, correction, keepdim)?.0;
        let root = || {
            let same = phynexus::binary(Row::Eq, &var, 0.0)?;
            let above = phynexus::where_(&same, 1.0.into(), (&var).into())?;
            phynexus::where_(&same, 0.0.into(), (&phynexus::unary(Row::Sqrt, &above)?).into())
        };
        made(root())
    }
    /// The p-norm over dimensions: (sum |x|^p)^(1/p); p may be 0, inf and -inf.
    #[pyo3(signature = (p=2.0, dim=None, keepdim=false))]
    fn norm(&self, py: Python<'_>, p: f64, dim: Dim<'_, '_>, keepdim: bool) -> Made {
        let dims = convert::dims(dim)?;
        run(py, self.0.shape().elements(), || self.0.norm(p, dims.as_deref(), keepdim)).map(PyTensor)
    }
    /// log(sum(exp(x))) over dimensions, without overflow.
    #[pyo3(signature = (dim, keepdim=false))]
    fn logsumexp(&self, py: Python<'_>, dim: &Bound<'_, PyAny>, keepdim: bool) -> Made {
        let dims = convert::dims(Some(dim))?.unwrap_or_default();
        run(py, self.0.shape().elements(), || self.0.along(Row::LogSumExp, &dims, keepdim)).map(PyTensor)
    }
    /// exp(x) / sum(exp(x)) along a dimension.
    ///
    /// Example:
    ///     >>> import neurenix
    ///     >>> neurenix.zeros(2).softmax(0).tolist()
    ///     [0.5, 0.5]
    fn softmax(&self, py: Python<'_>, dim: isize) -> Made {
        run(py, self.0.shape().elements(), || self.0.along(Row::Softmax, &[dim], false)).map(PyTensor)
    }
    /// The logarithm of softmax, without overflow.
    fn log_softmax(&self, py: Python<'_>, dim: isize) -> Made {
        run(py, self.0.shape().elements(), || self.0.along(Row::LogSoftmax, &[dim], false)).map(PyTensor)
    }
    /// Running sums along a dimension.
    fn cumsum(&self, py: Python<'_>, dim: isize) -> Made {
        run(py, self.0.shape().elements(), || self.0.cumsum(dim)).map(PyTensor)
    }

    /// The matrix product, as `@`: leading dimensions broadcast, vectors count as a row on the left, a column on the right.
    ///
    /// Raises:
    ///     ValueError: inner sizes that differ.
    ///
    /// Example:
    ///     >>> import neurenix
    ///     >>> (neurenix.ones(2, 3) @ neurenix.ones(3)).tolist()
    ///     [3.0, 3.0]
    fn matmul(&self, py: Python<'_>, other: &Bound<'_, PyTensor>) -> Made {
        self.matrix(py, &other.get().0)
    }
    fn __matmul__(&self, py: Python<'_>, other: &Bound<'_, PyTensor>) -> Made {
        self.matrix(py, &other.get().0)
    }
    /// The product of two matrices.
    fn mm(&self, py: Python<'_>, other: &Bound<'_, PyTensor>) -> Made {
        self.checked("mm", other, 2)?;
        self.matrix(py, &other.get().0)
    }
    /// The products of two batches of matrices.
    fn bmm(&self, py: Python<'_>, other: &Bound<'_, PyTensor>) -> Made {
        self.checked("bmm", other, 3)?;
        self.matrix(py, &other.get().0)
    }
    /// The inner product of two vectors.
    fn dot(&self, py: Python<'_>, other: &Bound<'_, PyTensor>) -> Made {
        self.checked("dot", other, 1)?;
        if self.0.shape() != other.get().0.shape() {
            return Err(PyTypeError::new_err("dot needs vectors of the same length"));
        }
        self.matrix(py, &other.get().0)
    }
}
