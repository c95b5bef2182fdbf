//! Tensors of data from Python: numbers, nested sequences, arrays, tensors.

use crate::convert::number;
use crate::error::to_python;
use crate::memory;
use crate::tensor::PyTensor;
use phynexus::{Array, Category, DType, Device, Shape, Tensor};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyFloat, PyInt, PyList, PyMemoryView, PyTuple};

/// A new tensor of data. Always a copy.
pub fn tensor(
    data: &Bound<'_, PyAny>,
    dtype: Option<DType>,
    device: &'static dyn Device,
) -> PyResult<Tensor> {
    let made = if let Ok(t) = data.cast::<PyTensor>() {
        t.get().0.array().copy().map_err(to_python)?
    } else if data.is_exact_instance_of::<PyFloat>() || data.is_instance_of::<PyInt>() {
        // A NumPy scalar may be a Python float as well, but keeps its dtype below.
        let (value, kind) = number(data)?;
        let own = match kind {
            Category::Float => DType::F32,
            Category::Integer => DType::I64,
            Category::Bool => DType::Bool,
        };
        // A float that becomes float64 must not pass through float32.
        let own = dtype.filter(|d| d.is_float()).unwrap_or(own);
        Array::full(Shape::SCALAR, value, own, phynexus::cpu()).map_err(to_python)?
    } else if data.hasattr("__array_interface__")? {
        memory::from_array(data)?.copy().map_err(to_python)?
    } else if data.hasattr("__dlpack__")? {
        crate::dlpack::import(data)?.copy().map_err(to_python)?
    } else {
        let array = match memory::numpy(data.py())?.call_method1("asarray", (data,)) {
            Ok(array) => memory::from_array(&array)?,
            Err(error) => return Err(ragged(data, "data")?.unwrap_or(error)),
        };
        // Python floats are float64 for NumPy; here they mean the default float, but not those of a buffer.
        if array.dtype() == DType::F64
            && dtype.is_none_or(|d| d == DType::F32)
            && PyMemoryView::from(data).is_err()
        {
            array.cast(DType::F32).map_err(to_python)?
        } else {
            array.copy().map_err(to_python)?
        }
    };
    let made = match dtype {
        Some(dtype) if dtype != made.dtype() => {
            check_range(&made, dtype)?;
            made.cast(dtype).map_err(to_python)?
        }
        _ => made,
    };
    Ok(Tensor::new(made.to_device(device).map_err(to_python)?))
}

/// An error for numbers that the dtype does not hold: they would wrap around.
fn check_range(array: &Array, dtype: DType) -> PyResult<()> {
    let wider = array.dtype().integers().zip(dtype.integers()).is_some_and(|(own, new)| {
        new.contains(own.start()) && new.contains(own.end()) // nothing to look for
    });
    if wider || dtype.is_float() || dtype == DType::Bool {
        return Ok(());
    }
    let extremes = Tensor::new(array.clone()).extremes().map_err(to_python)?;
    extremes.map_or(Ok(()), |(low, high)| {
        dtype.check("Tensor", low).and(dtype.check("Tensor", high)).map_err(to_python)
    })
}

/// The first place where lists of one level differ in length.
fn ragged(data: &Bound<'_, PyAny>, place: &str) -> PyResult<Option<PyErr>> {
    let rows: Vec<Bound<'_, PyAny>> =
        match data.is_instance_of::<PyList>() || data.is_instance_of::<PyTuple>() {
            true => data.try_iter()?.collect::<PyResult<_>>()?,
            false => return Ok(None),
        };
    let length = |row: &Bound<'_, PyAny>| row.len().ok();
    for (k, row) in rows.iter().enumerate() {
        let (first, here) = (length(&rows[0]), length(row));
        if first != here {
            let size = |n: Option<usize>| n.map_or("is a number".into(), |n| format!("has {n} elements"));
            return Ok(Some(PyValueError::new_err(format!(
                "Tensor: the shape is ragged: {place}[0] {}, {place}[{k}] {}; lists of one level need one length",
                size(first),
                size(here)
            ))));
        }
        if let Some(error) = ragged(row, &format!("{place}[{k}]"))? {
            return Ok(Some(error));
        }
    }
    Ok(None)
}
