//! dtypes as Python objects.

use phynexus::DType;
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::PyString;

/// How the elements of a tensor are stored.
///
/// Wherever a dtype is expected, its name, a NumPy dtype and the Python types `float`, `int` and `bool` are accepted too.
///
/// Example:
///     >>> import neurenix
///     >>> neurenix.float16.itemsize
///     2
///     >>> neurenix.float32 == "float32"
///     True
#[pyclass(name = "DType", module = "neurenix", frozen)]
#[derive(Clone, Copy)]
pub struct PyDType(pub DType);

impl PyDType {
    /// The one object of that dtype.
    pub fn object(py: Python<'_>, dtype: DType) -> PyResult<Py<PyDType>> {
        static OBJECTS: [PyOnceLock<Py<PyDType>>; 8] = [const { PyOnceLock::new() }; 8];
        let object = OBJECTS[dtype as usize].get_or_try_init(py, || Py::new(py, PyDType(dtype)))?;
        Ok(object.clone_ref(py))
    }

    /// A dtype from whatever means one.
    pub fn parse(value: &Bound<'_, PyAny>) -> PyResult<DType> {
        if let Ok(dtype) = value.cast::<PyDType>() {
            return Ok(dtype.get().0);
        }
        let name = if let Ok(text) = value.cast::<PyString>() {
            text.to_str()?.to_string()
        } else if let Ok(name) = value.getattr("name").and_then(|n| n.extract::<String>()) {
            name // a NumPy dtype
        } else {
            value.getattr("__name__").and_then(|n| n.extract::<String>()).unwrap_or_default()
        };
        let plain = match name.as_str() {
            "float" => "float32",
            "double" => "float64",
            "half" => "float16",
            "int" | "long" => "int64",
            "bool_" => "bool",
            other => other,
        };
        let known = || DType::ALL.map(DType::name).join(", ");
        match DType::from_name(plain) {
            Some(dtype) => Ok(dtype),
            None if name.is_empty() => Err(PyTypeError::new_err(format!(
                "expected a dtype, got {}; known: {}",
                value.repr()?,
                known()
            ))),
            None => {
                Err(PyValueError::new_err(format!("dtype {name:?} is not supported; known: {}", known())))
            }
        }
    }
}

#[pymethods]
impl PyDType {
    #[new]
    fn new(name: &Bound<'_, PyAny>) -> PyResult<PyDType> {
        PyDType::parse(name).map(PyDType)
    }
    /// The name, as NumPy writes it.
    #[getter]
    fn name(&self) -> &'static str {
        self.0.name()
    }
    /// Bytes of one element.
    #[getter]
    fn itemsize(&self) -> usize {
        self.0.size()
    }
    /// Whether this is one of float16, bfloat16, float32 and float64.
    #[getter]
    fn is_floating_point(&self) -> bool {
        self.0.is_float()
    }
    fn __eq__(&self, other: &Bound<'_, PyAny>) -> bool {
        PyDType::parse(other).is_ok_and(|d| d == self.0)
    }
    fn __hash__(&self) -> u64 {
        self.0 as u64
    }
    fn __repr__(&self) -> String {
        format!("neurenix.{}", self.0.name())
    }
    fn __str__(&self) -> String {
        self.__repr__()
    }
    fn __reduce__(&self, py: Python<'_>) -> PyResult<(Py<PyAny>, (&'static str,))> {
        Ok((py.get_type::<PyDType>().into_any().unbind(), (self.0.name(),)))
    }
}
