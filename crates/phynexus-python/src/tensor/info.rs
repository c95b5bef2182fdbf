//! What a tensor is.

use super::PyTensor;
use crate::device::PyDevice;
use crate::dtype::PyDType;
use crate::error::{to_python, waiting};
use crate::rows;
use phynexus::Value;
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyInt, PyTuple};

#[pymethods]
impl PyTensor {
    /// NumPy asks before it runs a function of its own with a tensor among the operands: see `neurenix._numpy`.
    #[pyo3(signature = (ufunc, method, *inputs, **options))]
    fn __array_ufunc__<'py>(
        &self,
        ufunc: &Bound<'py, PyAny>,
        method: &Bound<'py, PyAny>,
        inputs: &Bound<'py, PyTuple>,
        options: Option<&Bound<'py, PyDict>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let run = ufunc.py().import("neurenix._numpy")?.getattr("run_ufunc")?;
        run.call((ufunc, method, inputs), options)
    }
    /// The sizes of the dimensions, a tuple.
    #[getter]
    fn shape<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        PyTuple::new(py, self.0.shape().iter())
    }
    /// The number of dimensions.
    #[getter]
    fn ndim(&self) -> usize {
        self.0.shape().len()
    }
    /// How elements are stored.
    #[getter]
    fn dtype(&self, py: Python<'_>) -> PyResult<Py<PyDType>> {
        PyDType::object(py, self.0.dtype())
    }
    /// Where the elements are.
    #[getter]
    fn device(&self) -> PyDevice {
        PyDevice(self.0.device().id())
    }
    /// Whether no recorded operation made it.
    #[getter]
    fn is_leaf(&self) -> bool {
        self.0.is_leaf()
    }
    /// Whether `backward` computes a gradient for it. Writable on leaves.
    #[getter]
    fn requires_grad(&self) -> bool {
        self.0.requires_grad()
    }
    #[setter]
    fn set_requires_grad(&self, wanted: bool) -> PyResult<()> {
        self.0.set_requires_grad(wanted).map_err(to_python)
    }
    /// The accumulated gradient: a tensor, a `RowSparse`, or None. One of the same shape, dtype and device can be
    /// assigned.
    #[getter]
    fn grad(&self, py: Python<'_>) -> PyResult<Option<Py<PyAny>>> {
        self.0.gradient().map(|grad| rows::to_object(py, grad)).transpose()
    }
    #[setter]
    fn set_grad(&self, grad: Option<&Bound<'_, PyAny>>) -> PyResult<()> {
        self.0.set_gradient(grad.map(rows::from_object).transpose()?).map_err(to_python)
    }
    /// False, as it is True for a `RowSparse`.
    #[classattr]
    fn is_sparse() -> bool {
        false
    }
    /// The shape, or the size of one dimension.
    #[pyo3(signature = (dim=None))]
    fn size<'py>(&self, py: Python<'py>, dim: Option<isize>) -> PyResult<Bound<'py, PyAny>> {
        let shape = self.0.shape();
        match dim {
            None => Ok(PyTuple::new(py, shape.iter())?.into_any()),
            Some(dim) => {
                let axis = shape.axis(dim).map_err(to_python)?;
                Ok(shape.get(axis).copied().unwrap_or(1).into_pyobject(py)?.into_any())
            }
        }
    }
    /// The number of dimensions.
    fn dim(&self) -> usize {
        self.0.shape().len()
    }
    /// The number of elements.
    fn numel(&self) -> usize {
        self.0.shape().elements()
    }
    /// The number of elements, as `numel`.
    fn nelement(&self) -> usize {
        self.numel()
    }
    /// Bytes of one element.
    fn element_size(&self) -> usize {
        self.0.dtype().size()
    }
    /// The distance between neighbours in each dimension, in elements.
    fn stride<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        PyTuple::new(py, self.0.array().layout().strides())
    }
    /// Whether the elements follow each other in memory, row-major.
    fn is_contiguous(&self) -> bool {
        self.0.array().layout().is_contiguous()
    }
    /// Whether the dtype is a floating-point one.
    fn is_floating_point(&self) -> bool {
        self.0.dtype().is_float()
    }
    /// How often its memory was changed in place.
    #[getter]
    fn _version(&self) -> u32 {
        self.0.array().buffer().version()
    }
    /// The address of the first element.
    fn data_ptr(&self) -> u64 {
        let array = self.0.array();
        array.buffer().handle() + (array.layout().offset() * array.dtype().size()) as u64
    }
    fn __len__(&self) -> PyResult<usize> {
        let shape = self.0.shape();
        shape
            .first()
            .copied()
            .ok_or_else(|| PyTypeError::new_err("a tensor without dimensions has no length"))
    }
    fn __hash__(&self) -> u64 {
        self.0.address() as u64
    }
    fn __repr__<'py>(this: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        this.py().import("neurenix._format")?.call_method1("tensor_repr", (this,))
    }
    /// The number in a tensor without dimensions, or of one element where there is a format; else the `repr`.
    fn __format__<'py>(this: &Bound<'py, Self>, format_spec: &str) -> PyResult<Bound<'py, PyAny>> {
        let shape = this.get().0.shape();
        if shape.is_empty() || shape.elements() == 1 && !format_spec.is_empty() {
            return this.call_method0("item")?.call_method1("__format__", (format_spec,));
        }
        if !format_spec.is_empty() {
            return Err(PyTypeError::new_err(format!(
                "the format {format_spec:?} needs a tensor of one element, got shape {shape}; format the numbers of .tolist()"
            )));
        }
        Ok(this.str()?.into_any())
    }
    fn __bool__(&self) -> PyResult<bool> {
        Ok(self.only("bool()")?.as_f64() != 0.0)
    }
    fn __float__(&self) -> PyResult<f64> {
        Ok(self.only("float()")?.as_f64())
    }
    fn __int__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        match self.only("int()")? {
            Value::I(n) => Ok(n.into_pyobject(py)?.into_any()),
            Value::F(x) => py.get_type::<PyInt>().call1((x,)), // NaN and infinities are errors, as of Python's floats
        }
    }
    fn __index__(&self) -> PyResult<i64> {
        if self.0.dtype().is_float() || !self.0.shape().is_empty() {
            return Err(PyTypeError::new_err("only integer tensors without dimensions can be an index"));
        }
        Ok(self.only("index")?.as_i64())
    }
}

impl PyTensor {
    /// The value of a tensor of one element.
    pub fn only(&self, what: &str) -> PyResult<phynexus::Value> {
        let array = self.0.array();
        if array.elements() != 1 {
            return Err(PyValueError::new_err(format!(
                "{what} needs a tensor of one element, got shape {}; for truth values use .any() or .all()",
                array.shape()
            )));
        }
        phynexus::forbid_reading(&self.0, what).map_err(to_python)?;
        waiting(&array, || array.first())
    }
}
