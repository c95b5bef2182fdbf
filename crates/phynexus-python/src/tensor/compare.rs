//! Comparison of whole tensors, and the comparison operators.

use super::arithmetic::apply;
use super::{Made, PyTensor};
use crate::convert::{Arg, Given, Other};
use crate::error::{run, to_python};
use phynexus::formula::ops::Op as Row;
use phynexus::{DType, Operand, ReduceOp, Tensor};
use pyo3::prelude::*;

/// Whether all elements of a result are true.
fn all(py: Python<'_>, result: PyTensor) -> PyResult<bool> {
    let every = run(py, result.0.shape().elements(), || result.0.reduce(ReduceOp::All, None, false))?;
    Ok(every.array().first().map_err(to_python)?.is_true())
}

#[pymethods]
impl PyTensor {
    /// Where both differ by at most atol + rtol * |other|; infinities are close to themselves alone.
    ///
    /// Args:
    ///     other: a tensor, an array or a number.
    ///     rtol: how far apart, relative to the other.
    ///     atol: how far apart in any case.
    ///     equal_nan: whether NaN is close to NaN.
    ///
    /// Example:
    ///     >>> import neurenix
    ///     >>> neurenix.Tensor([1.0, 2.0]).isclose(1.0).tolist()
    ///     [True, False]
    #[pyo3(signature = (other, rtol=1e-5, atol=1e-8, equal_nan=false))]
    fn isclose(&self, py: Python<'_>, other: Arg, rtol: f64, atol: f64, equal_nan: bool) -> Made {
        // float32 would round integers.
        let exact = |t: &Tensor| match t.dtype().is_float() {
            true => Ok(t.clone()),
            false => phynexus::cast(t, DType::F64).map_err(to_python),
        };
        let own = exact(&self.0)?;
        let other = match other {
            Arg::Tensor(t) => Arg::Tensor(exact(&t)?),
            number => number,
        };
        apply(py, Row::IsClose, &[(&own).into(), other.operand()], &[rtol, atol, equal_nan as u8 as f64])
    }
    /// Whether `isclose` holds everywhere; shapes broadcast.
    ///
    /// Example:
    ///     >>> import neurenix
    ///     >>> neurenix.ones(2).allclose(neurenix.ones(2) + 1e-7)
    ///     True
    #[pyo3(signature = (other, rtol=1e-5, atol=1e-8, equal_nan=false))]
    fn allclose(&self, py: Python<'_>, other: Arg, rtol: f64, atol: f64, equal_nan: bool) -> PyResult<bool> {
        all(py, self.isclose(py, other, rtol, atol, equal_nan)?)
    }
    /// Whether both have the same shape and the same elements, whatever their dtypes; NaN equals nothing.
    ///
    /// Example:
    ///     >>> import neurenix
    ///     >>> neurenix.ones(2).equal(neurenix.ones(3))
    ///     False
    fn equal(&self, py: Python<'_>, other: Given<'_, '_>) -> PyResult<bool> {
        let other: &Tensor = &other;
        Ok(self.0.shape() == other.shape()
            && all(py, apply(py, Row::Eq, &[(&self.0).into(), Operand::Tensor(other)], &[])?)?)
    }
    fn __richcmp__(
        &self,
        py: Python<'_>,
        other: &Bound<'_, PyAny>,
        op: pyo3::basic::CompareOp,
    ) -> PyResult<Py<PyAny>> {
        use pyo3::basic::CompareOp::{Eq, Ge, Gt, Le, Lt, Ne};
        let other = match other.extract::<Other>() {
            Ok(other) => other.get()?,
            Err(_) => return Ok(py.NotImplemented()),
        };
        let row = match op {
            Eq => Row::Eq,
            Ne => Row::Ne,
            Lt => Row::Lt,
            Le => Row::Le,
            Gt => Row::Gt,
            Ge => Row::Ge,
        };
        let result = apply(py, row, &[(&self.0).into(), other.operand()], &[])?;
        Ok(Py::new(py, result)?.into_any())
    }
}
