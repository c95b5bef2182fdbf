//! Reductions, rows and products.

use super::{Made, PyTensor, made};
use crate::convert::{self, Arg, Dim, Given, Other};
use crate::dtype::PyDType;
use crate::error::run;
use phynexus::formula::ops::Op as Row;
use phynexus::{ArgOf, ReduceOp, Tensor};
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;

type Dims<'a, 'py> = Option<&'a Bound<'py, PyAny>>;

impl PyTensor {
    /// With `dim` the extreme along it and where it stands, with a tensor the larger or smaller of both.
    fn extreme(
        &self,
        py: Python<'_>,
        (of, name): (ArgOf, &str),
        dim: Dims<'_, '_>,
        keepdim: bool,
        axis: Dims<'_, '_>,
    ) -> PyResult<Py<PyAny>> {
        let (n, t, largest) = (self.0.shape().elements(), &self.0, of == ArgOf::Max);
        if let Some(other) = dim.and_then(|d| d.cast::<PyTensor>().ok()) {
            let other = &other.get().0;
            let row = if largest { Row::Maximum } else { Row::Minimum };
            let both = run(py, n, || phynexus::binary(row, t, other))?;
            return Ok(Py::new(py, PyTensor(both))?.into_any());
        }
        match convert::dims(dim, axis)?.as_deref() {
            None => {
                let op = if largest { ReduceOp::Max } else { ReduceOp::Min };
                let value = run(py, n, || t.reduce(op, None, keepdim))?;
                Ok(Py::new(py, PyTensor(value))?.into_any())
            }
            Some(&[dim]) => {
                let (value, at) = run(py, n, || t.extreme(of, dim, keepdim))?;
                super::indexing::found(py, value, at)
            }
            Some(several) => Err(PyTypeError::new_err(format!(
                "{name} also tells where the values stand, along one dimension, got {several:?}; for several use a{name}"
            ))),
        }
    }

    fn variance(&self, py: Python<'_>, (dim, axis): (Dims<'_, '_>, Dims<'_, '_>), spread: Spread) -> Made {
        // PyTorch's `var(unbiased)`: a truth value is no dimension.
        let (unbiased, dim) = match dim.map(|d| d.extract::<bool>()) {
            Some(Ok(unbiased)) if spread.unbiased.is_none() => (Some(unbiased), None),
            _ => (spread.unbiased, dim),
        };
        let correction = match (unbiased, spread.correction) {
            (Some(_), Some(_)) => {
                return Err(PyTypeError::new_err("unbiased and correction mean the same: give one of them"));
            }
            (unbiased, correction) => correction.unwrap_or(unbiased.unwrap_or(true) as u8 as f64),
        };
        let dims = convert::dims(dim, axis)?;
        let moments = || self.0.moments(dims.as_deref(), correction, spread.keepdim).map(|m| m.1);
        run(py, self.0.shape().elements(), moments).map(PyTensor)
    }

    fn matrix(&self, py: Python<'_>, other: &Tensor) -> Made {
        let work = self.0.shape().elements().saturating_mul(other.shape().last().copied().unwrap_or(1));
        run(py, work, || phynexus::matmul(&self.0, other)).map(PyTensor)
    }

    fn checked(&self, what: &str, other: &Tensor, dims: usize) -> PyResult<()> {
        let (a, b) = (self.0.shape(), other.shape());
        if a.len() == dims && b.len() == dims {
            return Ok(());
        }
        Err(PyValueError::new_err(format!("{what} needs operands of {dims} dimensions, got {a} and {b}")))
    }
}

/// The other operand of `@`: numbers are none.
fn matrix_operand(other: Other) -> PyResult<Tensor> {
    match other.get()? {
        Arg::Tensor(t) => Ok(t),
        Arg::Number(..) => {
            Err(PyValueError::new_err("matmul: operands need at least one dimension, got a number; use *"))
        }
    }
}

/// How a variance is corrected and shaped.
struct Spread {
    unbiased: Option<bool>,
    correction: Option<f64>,
    keepdim: bool,
}

/// The p of a norm.
struct Power(f64);

impl<'py> FromPyObject<'_, 'py> for Power {
    type Error = PyErr;
    fn extract(value: Borrowed<'_, 'py, PyAny>) -> PyResult<Power> {
        match value.extract::<&str>() {
            Ok("fro") => Ok(Power(2.0)),
            Ok(other) => {
                Err(PyValueError::new_err(format!("norm: p must be a number or \"fro\", got {other:?}")))
            }
            Err(_) => value.extract().map(Power),
        }
    }
}

/// Reductions over one dimension, several or all (None or ()); `axis` and `keepdims` are NumPy's names of `dim` and `keepdim`.
macro_rules! reductions {
    ($($name:ident $op:ident $doc:literal;)*) => {
        #[pymethods]
        impl PyTensor {
            $(
                #[doc = $doc]
                #[pyo3(signature = (dim=None, keepdim=None, *, axis=None, keepdims=None))]
                fn $name(
                    &self,
                    py: Python<'_>,
                    dim: Dims<'_, '_>,
                    keepdim: Option<bool>,
                    axis: Dims<'_, '_>,
                    keepdims: Option<bool>,
                ) -> Made {
                    let (dims, keepdim) = (convert::dims(dim, axis)?, convert::keepdim(keepdim, keepdims)?);
                    let reduce = || self.0.reduce(ReduceOp::$op, dims.as_deref(), keepdim);
                    run(py, self.0.shape().elements(), reduce).map(PyTensor)
                }
            )*
        }
    };
}

reductions! {
    mean Mean "The mean over dimensions (or all).";
    prod Prod "The product over a dimension (or all).";
    amax Max "The largest elements over dimensions; equal ones share the gradient.";
    amin Min "The smallest elements over dimensions; equal ones share the gradient.";
    argmax ArgMax "Where the largest element stands (the first of equal ones).";
    argmin ArgMin "Where the smallest element stands (the first of equal ones).";
    any Any "Whether any element is not zero.";
    all All "Whether no element is zero.";
}

#[pymethods]
impl PyTensor {
    /// The sum over dimensions (or all); integers and bools are summed as int64.
    ///
    /// Args:
    ///     dim: a dimension, several, or None for all; as in PyTorch, () means all, too.
    ///     keepdim: whether summed dimensions stay, with size 1.
    ///     dtype: the dtype to sum in.
    ///     axis, keepdims: NumPy's names of `dim` and `keepdim`.
    ///
    /// Example:
    ///     >>> import neurenix
    ///     >>> neurenix.ones(2, 3).sum(dim=1).tolist()
    ///     [3.0, 3.0]
    #[pyo3(signature = (dim=None, keepdim=None, *, dtype=None, axis=None, keepdims=None))]
    fn sum(
        &self,
        py: Python<'_>,
        dim: Dims<'_, '_>,
        keepdim: Option<bool>,
        dtype: Option<&Bound<'_, PyAny>>,
        axis: Dims<'_, '_>,
        keepdims: Option<bool>,
    ) -> Made {
        let (dims, dtype) = (convert::dims(dim, axis)?, dtype.map(PyDType::parse).transpose()?);
        let keepdim = convert::keepdim(keepdim, keepdims)?;
        run(py, self.0.shape().elements(), || self.0.sum_as(dims.as_deref(), keepdim, dtype)).map(PyTensor)
    }
    /// The largest element; with `dim` the largest along it and where it stands; with a tensor the larger of both.
    #[pyo3(signature = (dim=None, keepdim=None, *, axis=None, keepdims=None))]
    fn max(
        &self,
        py: Python<'_>,
        dim: Dims<'_, '_>,
        keepdim: Option<bool>,
        axis: Dims<'_, '_>,
        keepdims: Option<bool>,
    ) -> PyResult<Py<PyAny>> {
        self.extreme(py, (ArgOf::Max, "max"), dim, convert::keepdim(keepdim, keepdims)?, axis)
    }
    /// The smallest element; with `dim` the smallest along it and where it stands; with a tensor the smaller of both.
    #[pyo3(signature = (dim=None, keepdim=None, *, axis=None, keepdims=None))]
    fn min(
        &self,
        py: Python<'_>,
        dim: Dims<'_, '_>,
        keepdim: Option<bool>,
        axis: Dims<'_, '_>,
        keepdims: Option<bool>,
    ) -> PyResult<Py<PyAny>> {
        self.extreme(py, (ArgOf::Min, "min"), dim, convert::keepdim(keepdim, keepdims)?, axis)
    }
    /// The variance over dimensions: squared distances from the mean over (count - correction).
    ///
    /// Args:
    ///     dim: a dimension, several, or None or () for all.
    ///     unbiased: True is a correction of 1, False of 0.
    ///     keepdim: whether these dimensions stay, with size 1.
    ///     correction: what the divisor is less than the count, 1 by default.
    ///     axis, keepdims: NumPy's names of `dim` and `keepdim`.
    ///
    /// Example:
    ///     >>> import neurenix
    ///     >>> neurenix.Tensor([1.0, 3.0]).var(unbiased=False).item()
    ///     1.0
    #[pyo3(signature = (dim=None, unbiased=None, keepdim=None, *, correction=None, axis=None, keepdims=None))]
    #[expect(clippy::too_many_arguments, reason = "each is a Python argument")]
    fn var(
        &self,
        py: Python<'_>,
        dim: Dims<'_, '_>,
        unbiased: Option<bool>,
        keepdim: Option<bool>,
        correction: Option<f64>,
        axis: Dims<'_, '_>,
        keepdims: Option<bool>,
    ) -> Made {
        let keepdim = convert::keepdim(keepdim, keepdims)?;
        self.variance(py, (dim, axis), Spread { unbiased, correction, keepdim })
    }
    /// The square root of the variance; its gradient where all elements are the same is 0, as PyTorch's.
    #[pyo3(signature = (dim=None, unbiased=None, keepdim=None, *, correction=None, axis=None, keepdims=None))]
    #[expect(clippy::too_many_arguments, reason = "each is a Python argument")]
    fn std(
        &self,
        py: Python<'_>,
        dim: Dims<'_, '_>,
        unbiased: Option<bool>,
        keepdim: Option<bool>,
        correction: Option<f64>,
        axis: Dims<'_, '_>,
        keepdims: Option<bool>,
    ) -> Made {
        let keepdim = convert::keepdim(keepdim, keepdims)?;
        let var = self.variance(py, (dim, axis), Spread { unbiased, correction, keepdim })?.0;
        let root = || {
            let same = phynexus::binary(Row::Eq, &var, 0.0)?;
            let above = phynexus::where_(&same, 1.0.into(), (&var).into())?;
            phynexus::where_(&same, 0.0.into(), (&phynexus::unary(Row::Sqrt, &above)?).into())
        };
        made(root())
    }
    /// The p-norm over dimensions: (sum |x|^p)^(1/p); p may be 0, inf, -inf, and "fro" or None, which mean 2.
    #[pyo3(signature = (p=None, dim=None, keepdim=None, *, axis=None, keepdims=None))]
    fn norm(
        &self,
        py: Python<'_>,
        p: Option<Power>,
        dim: Dims<'_, '_>,
        keepdim: Option<bool>,
        axis: Dims<'_, '_>,
        keepdims: Option<bool>,
    ) -> Made {
        let (p, dims) = (p.map_or(2.0, |p| p.0), convert::dims(dim, axis)?);
        let keepdim = convert::keepdim(keepdim, keepdims)?;
        run(py, self.0.shape().elements(), || self.0.norm(p, dims.as_deref(), keepdim)).map(PyTensor)
    }
    /// log(sum(exp(x))) over dimensions, without overflow; None or () means all.
    #[pyo3(signature = (dim=None, keepdim=None, *, axis=None, keepdims=None))]
    fn logsumexp(
        &self,
        py: Python<'_>,
        dim: Dims<'_, '_>,
        keepdim: Option<bool>,
        axis: Dims<'_, '_>,
        keepdims: Option<bool>,
    ) -> Made {
        let keepdim = convert::keepdim(keepdim, keepdims)?;
        let dims = convert::dims(dim, axis)?.unwrap_or_else(|| (0..self.0.shape().len() as isize).collect());
        run(py, self.0.shape().elements(), || self.0.along(Row::LogSumExp, &dims, keepdim)).map(PyTensor)
    }
    /// exp(x) / sum(exp(x)) along a dimension.
    ///
    /// Example:
    ///     >>> import neurenix
    ///     >>> neurenix.zeros(2).softmax(0).tolist()
    ///     [0.5, 0.5]
    #[pyo3(signature = (dim=None, *, axis=None))]
    fn softmax(&self, py: Python<'_>, dim: Option<Dim>, axis: Option<Dim>) -> Made {
        let dim = convert::dim("softmax", dim, axis)?;
        run(py, self.0.shape().elements(), || self.0.along(Row::Softmax, &[dim], false)).map(PyTensor)
    }
    /// The logarithm of softmax, without overflow.
    #[pyo3(signature = (dim=None, *, axis=None))]
    fn log_softmax(&self, py: Python<'_>, dim: Option<Dim>, axis: Option<Dim>) -> Made {
        let dim = convert::dim("log_softmax", dim, axis)?;
        run(py, self.0.shape().elements(), || self.0.along(Row::LogSoftmax, &[dim], false)).map(PyTensor)
    }
    /// Running sums along a dimension.
    #[pyo3(signature = (dim=None, *, axis=None))]
    fn cumsum(&self, py: Python<'_>, dim: Option<Dim>, axis: Option<Dim>) -> Made {
        let dim = convert::dim("cumsum", dim, axis)?;
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
    fn matmul(&self, py: Python<'_>, other: Given<'_, '_>) -> Made {
        self.matrix(py, &other)
    }
    fn __matmul__(&self, py: Python<'_>, other: Other) -> Made {
        self.matrix(py, &matrix_operand(other)?)
    }
    fn __rmatmul__(&self, py: Python<'_>, other: Other) -> Made {
        PyTensor(matrix_operand(other)?).matrix(py, &self.0)
    }
    /// The product of two matrices.
    fn mm(&self, py: Python<'_>, other: Given<'_, '_>) -> Made {
        self.checked("mm", &other, 2)?;
        self.matrix(py, &other)
    }
    /// The products of two batches of matrices.
    fn bmm(&self, py: Python<'_>, other: Given<'_, '_>) -> Made {
        self.checked("bmm", &other, 3)?;
        self.matrix(py, &other)
    }
    /// The inner product of two vectors.
    fn dot(&self, py: Python<'_>, other: Given<'_, '_>) -> Made {
        self.checked("dot", &other, 1)?;
        if self.0.shape() != other.shape() {
            return Err(PyTypeError::new_err("dot needs vectors of the same length"));
        }
        self.matrix(py, &other)
    }
}
