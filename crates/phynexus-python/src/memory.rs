//! Memory shared with NumPy through the array interface.

use crate::error::later;
use phynexus::{Array, Buffer, DType, Layout, Owner, Shape};
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyDict, PyMemoryView, PyTuple};
use std::sync::Arc;

/// The numpy module.
pub fn numpy(py: Python<'_>) -> PyResult<&Bound<'_, PyModule>> {
    static NUMPY: PyOnceLock<Py<PyModule>> = PyOnceLock::new();
    let module = NUMPY.get_or_try_init(py, || py.import("numpy").map(Bound::unbind))?;
    Ok(module.bind(py))
}

/// Keeps a Python object alive while a buffer uses its memory.
#[derive(Debug)]
pub struct PyOwner(pub Option<Py<PyAny>>);

impl Owner for PyOwner {}

impl Drop for PyOwner {
    fn drop(&mut self) {
        if let Some(object) = self.0.take() {
            // At interpreter shutdown there is nobody left to give the object back to.
            later(|| _ = Python::try_attach(|_| drop(object)));
        }
    }
}

/// The memory of an array, as NumPy asks for it. NumPy keeps this object, and so the memory, alive.
#[pyclass(frozen)]
struct Memory(Array);

#[pymethods]
impl Memory {
    #[getter]
    fn __array_interface__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let a = &self.0;
        let size = a.dtype().size();
        let start =
            a.device().host_pointer(a.buffer()).map_or(0, |p| p as usize) + a.layout().offset() * size;
        let d = PyDict::new(py);
        d.set_item("version", 3)?;
        d.set_item("shape", PyTuple::new(py, a.shape().iter())?)?;
        d.set_item("typestr", typestr(a.dtype()))?;
        let read_only = a.layout().overlaps(); // a write to one element would change others
        d.set_item("data", (start, read_only))?;
        let strides: Vec<isize> = a.layout().strides().iter().map(|s| s * size as isize).collect();
        d.set_item("strides", PyTuple::new(py, strides)?)?;
        Ok(d)
    }
}

fn typestr(dtype: DType) -> &'static str {
    match dtype {
        DType::Bool => "|b1",
        DType::U8 => "|u1",
        DType::I32 => "<i4",
        DType::I64 => "<i8",
        DType::F16 => "<f2",
        DType::BF16 => "<u2",
        DType::F32 => "<f4",
        DType::F64 => "<f8",
    }
}

/// A NumPy array of the same memory; of a copy where the memory is not the host's.
pub fn to_numpy<'py>(py: Python<'py>, array: &Array) -> PyResult<Bound<'py, PyAny>> {
    if array.dtype() == DType::BF16 {
        return Err(PyTypeError::new_err("NumPy has no bfloat16; convert with .float() first"));
    }
    let local = crate::error::waiting(array, || array.to_device(phynexus::cpu()))?;
    let np = numpy(py)?;
    if local.elements() == 0 {
        let shape = PyTuple::new(py, local.shape().iter())?;
        return np.call_method1("empty", (shape, local.dtype().name()));
    }
    np.call_method1("asarray", (Memory(local),))
}

/// An error where an array interface tells of more elements than its buffer has: NumPy would read on. Addresses must be
/// trusted, and what is wrong in another way NumPy says.
fn check_interface(object: &Bound<'_, PyAny>, np: &Bound<'_, PyModule>) -> PyResult<()> {
    let Ok(interface) = object.getattr("__array_interface__") else { return Ok(()) };
    let Ok(interface) = interface.cast::<PyDict>() else { return Ok(()) };
    let source = match interface.get_item("data")? {
        Some(data) if data.is_instance_of::<PyTuple>() => return Ok(()),
        Some(data) if !data.is_none() => data,
        _ => object.clone(),
    };
    let Ok(have) = PyMemoryView::from(&source).and_then(|m| m.getattr("nbytes")?.extract::<usize>()) else {
        return Ok(());
    };
    let item = |name| interface.get_item(name).ok().flatten().filter(|v| !v.is_none());
    let Some(Ok(dims)) = item("shape").map(|shape| shape.extract::<Vec<usize>>()) else { return Ok(()) };
    let shape = Shape::new(&dims).map_err(crate::error::to_python)?;
    let typestr =
        item("typestr").map(|t| np.call_method1("dtype", (t,))?.getattr("itemsize")?.extract::<usize>());
    let Some(Ok(size)) = typestr else { return Ok(()) };
    let strides = match item("strides") {
        Some(strides) => strides.extract::<Vec<isize>>()?,
        None => Layout::contiguous(shape).strides().iter().map(|s| s * size as isize).collect(),
    };
    let offset = item("offset").map_or(Ok(0), |offset| offset.extract::<usize>())?;
    if strides.len() != dims.len() {
        return Ok(());
    }
    let (_, low, bytes) = Layout::foreign(shape, &strides, 1).map_err(crate::error::to_python)?;
    let end = (offset + bytes + size).saturating_sub(low + 1);
    if bytes == 0 || low <= offset && end <= have {
        return Ok(());
    }
    Err(PyValueError::new_err(format!(
        "the array interface of shape {shape} needs {end} bytes, its buffer has {have}"
    )))
}

/// An array over the memory of anything with an array interface; a copy where its layout or type is not the engine's.
pub fn from_array(object: &Bound<'_, PyAny>) -> PyResult<Array> {
    let py = object.py();
    let np = numpy(py)?;
    if !object.is_instance(&np.getattr("ndarray")?)? {
        check_interface(object, np)?;
    }
    let array = np.call_method1("asarray", (object,))?;
    let dtype = array.getattr("dtype")?;
    let (kind, size): (String, usize) =
        (dtype.getattr("kind")?.extract()?, dtype.getattr("itemsize")?.extract()?);
    let name: String = dtype.getattr("name")?.extract()?;
    // What the engine does not store becomes the next wider type that it does.
    let target = match (kind.as_str(), size) {
        ("b", 1) => "bool",
        ("u", 1) => "uint8",
        ("i", 1 | 2 | 4) | ("u", 2) => "int32",
        ("i", 8) | ("u", 4) => "int64",
        ("f", 2) => "float16",
        ("f", 4) => "float32",
        ("f", 8) => "float64",
        ("V", 2) if name == "bfloat16" => "uint16",
        _ => {
            return Err(PyTypeError::new_err(format!(
                "arrays of dtype {name} cannot become tensors; expected numbers or truth values (ragged lists, text, complex \
                 and object arrays are not supported)"
            )));
        }
    };
    let is_bf16 = name == "bfloat16";
    let plain = if is_bf16 {
        array.call_method1("view", ("uint16",))?
    } else {
        let same = dtype.eq(np.call_method1("dtype", (target,))?)?;
        if same { array } else { array.call_method1("astype", (target,))? }
    };
    let plain = np
        .call_method1("ascontiguousarray", (&plain,))?
        .call_method1("reshape", (plain.getattr("shape")?,))?;
    let dtype = if is_bf16 { DType::BF16 } else { DType::from_name(target).unwrap_or(DType::F32) };
    let interface = plain.getattr("__array_interface__")?;
    let (address, _): (usize, bool) = interface.get_item("data")?.extract()?;
    let dims: Vec<usize> = plain.getattr("shape")?.extract()?;
    let shape = Shape::new(&dims).map_err(crate::error::to_python)?;
    let bytes = shape.elements() * dtype.size();
    if bytes == 0 || address % dtype.size() != 0 {
        let data: Vec<u8> = plain.call_method0("tobytes")?.extract()?;
        return Array::from_bytes(&data, shape, dtype, phynexus::cpu()).map_err(crate::error::to_python);
    }
    let owner = Box::new(PyOwner(Some(plain.unbind())));
    // SAFETY: NumPy's array is contiguous, has these bytes at this address, and lives as long as its owner holds it.
    let buffer = unsafe { Buffer::foreign(phynexus::cpu(), address as u64, bytes, owner) };
    let array = Array::from_parts(Arc::new(buffer), dtype, Layout::contiguous(shape));
    array.with_truth_values().map_err(crate::error::to_python)
}
