//! Row-sparse gradients.

use crate::convert;
use crate::device::PyDevice;
use crate::dtype::PyDType;
use crate::error::{run, to_python};
use crate::tensor::{Made, PyTensor, made};
use phynexus::{Gradient, RowSparse, Value};
use pyo3::exceptions::{PyAttributeError, PyTypeError};
use pyo3::prelude::*;
use pyo3::types::PyTuple;
use std::sync::Arc;

/// The gradient of a table of which only some rows were used: everything else in it is zero.
///
/// `nn.Embedding(sparse=True)` leaves one in `weight.grad`, and `SparseAdam` uses it. It takes the memory of its rows,
/// not of the table. A row that was used more than once is in it as often, until `coalesce()` adds these up. It knows no
/// arithmetic: `to_dense()` gives a tensor.
///
/// Args:
///     indices: row numbers, int64, of shape (n,); they may repeat.
///     values: a row for each, floating-point, of shape (n, *shape[1:]).
///     shape: of the table.
///
/// Raises:
///     TypeError, ValueError: operands that do not fit. IndexError: a row that the table does not have.
///
/// Example:
///     >>> import neurenix
///     >>> table = neurenix.ones(5, 2, requires_grad=True)
///     >>> rows = neurenix.nn.functional.embedding(neurenix.Tensor([3, 1, 3]), table, sparse=True)
///     >>> rows.sum().backward()
///     >>> table.grad.indices().tolist()
///     [3, 1, 3]
///     >>> table.grad.coalesce().values().tolist()
///     [[1.0, 1.0], [2.0, 2.0]]
#[pyclass(name = "RowSparse", module = "neurenix", frozen)]
pub struct PyRowSparse(pub Arc<RowSparse>);

/// What the constructor takes.
type Arguments<'py> = (PyTensor, PyTensor, Bound<'py, PyTuple>);

#[pymethods]
impl PyRowSparse {
    #[new]
    fn new(
        indices: &Bound<'_, PyTensor>,
        values: &Bound<'_, PyTensor>,
        shape: &Bound<'_, PyAny>,
    ) -> PyResult<PyRowSparse> {
        let shape = convert::shape_from(shape)?;
        let rows = RowSparse::new(&indices.get().0, &values.get().0, shape).map_err(to_python)?;
        Ok(PyRowSparse(Arc::new(rows)))
    }
    /// True, as it is False for a `Tensor`.
    #[classattr]
    fn is_sparse() -> bool {
        true
    }
    /// The sizes of the dimensions of the whole, a tuple.
    #[getter]
    fn shape<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        PyTuple::new(py, self.0.shape().iter())
    }
    /// The number of dimensions.
    #[getter]
    fn ndim(&self) -> usize {
        self.0.shape().len()
    }
    /// How values are stored.
    #[getter]
    fn dtype(&self, py: Python<'_>) -> PyResult<Py<PyDType>> {
        PyDType::object(py, self.0.values().dtype())
    }
    /// Where they are.
    #[getter]
    fn device(&self) -> PyDevice {
        PyDevice(self.0.values().device().id())
    }
    /// The row numbers, (n,); the memory is shared.
    fn indices(&self) -> PyTensor {
        PyTensor(self.0.indices().clone())
    }
    /// The values of these rows, (n, *shape[1:]); the memory is shared.
    fn values(&self) -> PyTensor {
        PyTensor(self.0.values().clone())
    }
    /// Whether the rows are known to be in order and each there once.
    fn is_coalesced(&self) -> bool {
        self.0.is_coalesced()
    }
    /// The same with the rows in order and each there once, its values summed in the order in which they stood.
    fn coalesce(this: Bound<'_, Self>) -> PyResult<Bound<'_, Self>> {
        let rows = &this.get().0;
        if rows.is_coalesced() {
            return Ok(this);
        }
        let summed = run(this.py(), rows.values().shape().elements(), || rows.coalesce())?;
        Bound::new(this.py(), PyRowSparse(Arc::new(summed)))
    }
    /// A tensor of all rows.
    fn to_dense(&self, py: Python<'_>) -> Made {
        run(py, self.0.shape().elements(), || self.0.to_dense()).map(PyTensor)
    }
    /// Which values are neither NaN nor infinite.
    fn isfinite(&self) -> Made {
        made(phynexus::unary(phynexus::formula::ops::Op::IsFinite, self.0.values()))
    }
    /// Itself: it is never on the tape.
    fn detach(this: Bound<'_, Self>) -> Bound<'_, Self> {
        this
    }
    /// Makes all values zero.
    fn zero_(this: Bound<'_, Self>) -> PyResult<Bound<'_, Self>> {
        this.get().0.values().fill(Value::F(0.0)).map_err(to_python)?;
        Ok(this)
    }
    fn __repr__(&self, py: Python<'_>) -> PyResult<String> {
        let (indices, values) = (self.indices().into_pyobject(py)?, self.values().into_pyobject(py)?);
        Ok(format!("RowSparse({}, {}, {})", indices.repr()?, values.repr()?, self.shape(py)?.repr()?))
    }
    fn __reduce__<'py>(&self, py: Python<'py>) -> PyResult<(Py<PyAny>, Arguments<'py>)> {
        let class = py.get_type::<PyRowSparse>().into_any().unbind();
        Ok((class, (self.indices(), self.values(), self.shape(py)?)))
    }
    fn __getattr__(&self, name: &str) -> PyResult<Py<PyAny>> {
        Err(PyAttributeError::new_err(format!(
            "'RowSparse' object has no attribute {name:?}; .to_dense() gives a Tensor, which may have it, and .values() the rows"
        )))
    }
}

/// Operators of which row-sparse values know none.
macro_rules! refused {
    ($($name:ident)*) => {
        #[pymethods]
        impl PyRowSparse {
            $(fn $name(&self, _other: &Bound<'_, PyAny>) -> PyResult<()> {
                Err(no_arithmetic())
            })*
        }
    };
}

refused! { __add__ __radd__ __sub__ __rsub__ __mul__ __rmul__ __truediv__ __rtruediv__ __matmul__ __rmatmul__ }

fn no_arithmetic() -> PyErr {
    PyTypeError::new_err(
        "row-sparse values know no arithmetic; use .to_dense() for all rows, or .values() for those in it",
    )
}

/// A gradient as Python sees it.
pub fn to_object(py: Python<'_>, gradient: Gradient) -> PyResult<Py<PyAny>> {
    Ok(match gradient {
        Gradient::Dense(grad) => Py::new(py, PyTensor(grad))?.into_any(),
        Gradient::Rows(rows) => Py::new(py, PyRowSparse(rows))?.into_any(),
    })
}

/// A gradient from what Python gives.
pub fn from_object(value: &Bound<'_, PyAny>) -> PyResult<Gradient> {
    if let Ok(rows) = value.cast::<PyRowSparse>() {
        return Ok(Gradient::Rows(rows.get().0.clone()));
    }
    match value.cast::<PyTensor>() {
        Ok(t) => Ok(Gradient::Dense(t.get().0.clone())),
        Err(_) => Err(PyTypeError::new_err(format!(
            "grad must be a Tensor, a RowSparse or None, got {}",
            value.get_type().name()?
        ))),
    }
}
