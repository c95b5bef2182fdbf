//! Arguments from Python: shapes, dimensions, numbers, operands, indices, data.

use crate::memory;
use crate::tensor::PyTensor;
use phynexus::{Category, DType, Device, Index, Operand, Shape, Tensor, Value};
use pyo3::exceptions::{PyIndexError, PyOverflowError, PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyEllipsis, PyFloat, PyInt, PyList, PySlice, PyTuple};

/// A Python number that is no tensor.
pub fn number(value: &Bound<'_, PyAny>) -> PyResult<(Value, Category)> {
    if value.is_instance_of::<PyFloat>() {
        return Ok((Value::F(value.extract()?), Category::Float));
    }
    if let Ok(b) = value.cast::<PyBool>() {
        return Ok((Value::I(b.is_true() as i64), Category::Bool));
    }
    if value.is_instance_of::<PyInt>() {
        let wide = |_| PyOverflowError::new_err(format!("integer {value} does not fit into 64 bits"));
        return Ok((Value::I(value.extract().map_err(wide)?), Category::Integer));
    }
    // NumPy scalars know what they are by `item()`, but arrays have that too.
    if value.hasattr("dtype")? && value.getattr("ndim")?.extract::<usize>()? == 0 {
        let plain = value.call_method0("item")?;
        if !plain.hasattr("dtype")? {
            return number(&plain);
        }
    }
    Err(PyTypeError::new_err(format!("expected a tensor or a number, got {}", value.get_type().name()?)))
}

/// A tensor or a number.
pub enum Arg {
    /// A tensor.
    Tensor(Tensor),
    /// A number and its kind.
    Number(Value, Category),
}

impl Arg {
    /// As the engine takes it.
    pub fn operand(&self) -> Operand<'_> {
        match self {
            Arg::Tensor(t) => Operand::Tensor(t),
            Arg::Number(value, kind) => Operand::Number(*value, *kind),
        }
    }
}

impl<'py> FromPyObject<'_, 'py> for Arg {
    type Error = PyErr;
    fn extract(value: Borrowed<'_, 'py, PyAny>) -> PyResult<Arg> {
        match value.cast::<PyTensor>() {
            Ok(t) => Ok(Arg::Tensor(t.get().0.clone())),
            // An array counts as a tensor of its values; a NumPy scalar is a number.
            Err(_)
                if value.hasattr("__array_interface__")?
                    && value.getattr("ndim")?.extract::<usize>()? > 0 =>
            {
                tensor(&value, None, phynexus::cpu()).map(Arg::Tensor)
            }
            Err(_) => number(&value).map(|(value, kind)| Arg::Number(value, kind)),
        }
    }
}

fn size(value: &Bound<'_, PyAny>) -> PyResult<isize> {
    if value.is_instance_of::<PyBool>() || value.is_instance_of::<PyFloat>() {
        return Err(PyTypeError::new_err(format!("a size must be an integer, got {}", value.repr()?)));
    }
    value.extract::<isize>().map_err(|e| {
        if e.is_instance_of::<PyOverflowError>(value.py()) {
            PyValueError::new_err(format!("size {value} does not fit into memory"))
        } else {
            PyTypeError::new_err(format!("a size must be an integer, got {}", value.get_type()))
        }
    })
}

/// How many: an integer that is not negative.
pub struct Count(pub usize);

impl<'py> FromPyObject<'_, 'py> for Count {
    type Error = PyErr;
    fn extract(value: Borrowed<'_, 'py, PyAny>) -> PyResult<Count> {
        let n = size(&value)?;
        let negative = |_| PyValueError::new_err(format!("a size must not be negative, got {n}"));
        usize::try_from(n).map(Count).map_err(negative)
    }
}

/// Integers given one by one, or as one sequence.
pub fn integers(values: &Bound<'_, PyTuple>) -> PyResult<Vec<isize>> {
    if values.len() == 1 {
        let only = values.get_item(0)?;
        if only.is_instance_of::<PyTuple>() || only.is_instance_of::<PyList>() {
            return only.try_iter()?.map(|v| size(&v?)).collect();
        }
    }
    values.iter().map(|v| size(&v)).collect()
}

/// A shape given as separate sizes or as one sequence.
pub fn shape(values: &Bound<'_, PyTuple>) -> PyResult<Shape> {
    shape_of(&integers(values)?)
}

/// A shape from sizes that may not be negative.
pub fn shape_of(sizes: &[isize]) -> PyResult<Shape> {
    let dims: Result<Vec<usize>, _> = sizes.iter().map(|&n| usize::try_from(n)).collect();
    let dims =
        dims.map_err(|_| PyValueError::new_err(format!("sizes must not be negative, got {sizes:?}")))?;
    Shape::new(&dims).map_err(crate::error::to_python)
}

/// A shape from one object: an integer or a sequence of them.
pub fn shape_from(value: &Bound<'_, PyAny>) -> PyResult<Shape> {
    shape(&PyTuple::new(value.py(), [value])?)
}

/// A shape in which one size may be -1: what is left of `elements`.
pub fn shape_for(sizes: &[isize], elements: usize) -> PyResult<Shape> {
    let Some(free) = sizes.iter().position(|&n| n == -1) else { return shape_of(sizes) };
    let mut filled = sizes.to_vec();
    filled[free] = 1;
    let known = shape_of(&filled)?.elements();
    if known == 0 || !elements.is_multiple_of(known) {
        return Err(PyValueError::new_err(format!("{elements} elements do not fit into shape {sizes:?}")));
    }
    filled[free] = (elements / known) as isize;
    shape_of(&filled)
}

/// Dimensions: None, one, or several.
pub fn dims(value: Option<&Bound<'_, PyAny>>) -> PyResult<Option<Vec<isize>>> {
    let Some(value) = value else { return Ok(None) };
    if value.is_none() {
        return Ok(None);
    }
    integers(&PyTuple::new(value.py(), [value])?).map(Some)
}

/// An index expression.
pub fn index(value: &Bound<'_, PyAny>) -> PyResult<Vec<Index>> {
    match value.cast::<PyTuple>() {
        Ok(entries) => entries.iter().map(|e| index_entry(&e)).collect(),
        Err(_) => Ok(vec![index_entry(value)?]),
    }
}

fn index_entry(value: &Bound<'_, PyAny>) -> PyResult<Index> {
    if value.is_none() {
        return Ok(Index::New);
    }
    if value.is_instance_of::<PyEllipsis>() {
        return Ok(Index::Rest);
    }
    if let Ok(slice) = value.cast::<PySlice>() {
        let part = |name: &str| -> PyResult<Option<isize>> {
            let part = slice.getattr(name)?;
            if part.is_none() {
                return Ok(None);
            }
            let wrong = || PyTypeError::new_err(format!("slice bounds must be integers, got {part}"));
            Ok(Some(part.call_method0("__index__").map_err(|_| wrong())?.extract().map_err(|_| wrong())?))
        };
        return Ok(Index::Range(part("start")?, part("stop")?, part("step")?));
    }
    if let Ok(t) = value.cast::<PyTensor>() {
        let t = &t.get().0;
        let shape = t.shape();
        if shape.is_empty() && !t.dtype().is_float() && t.dtype() != DType::Bool {
            let at = t.array().first().map_err(crate::error::to_python)?;
            return Ok(Index::At(at.as_i64() as isize));
        }
        return Ok(Index::Tensor(t.clone()));
    }
    if value.is_instance_of::<PyBool>() {
        return Ok(Index::Tensor(tensor(value, Some(DType::Bool), phynexus::cpu())?)); // a mask without dimensions
    }
    if value.is_instance_of::<PyInt>() {
        let far = |_| PyIndexError::new_err(format!("index {value} does not fit into 64 bits"));
        return Ok(Index::At(value.extract().map_err(far)?));
    }
    if value.is_instance_of::<PyList>() || value.hasattr("__array_interface__")? {
        let t = tensor(value, None, phynexus::cpu())?;
        if t.shape().elements() == 0 && t.dtype().is_float() {
            let empty = phynexus::Tensor::new(t.array().cast(DType::I64).map_err(crate::error::to_python)?);
            return Ok(Index::Tensor(empty));
        }
        if t.shape().is_empty() && t.dtype() != DType::Bool {
            return Ok(Index::At(t.array().first().map_err(crate::error::to_python)?.as_i64() as isize));
        }
        return Ok(Index::Tensor(t));
    }
    if let Ok(at) = value.call_method0("__index__") {
        return Ok(Index::At(at.extract()?));
    }
    Err(PyIndexError::new_err(format!(
        "an index must be an integer, a slice, None, ..., a list or a tensor, got {}",
        value.get_type().name()?
    )))
}

/// A new tensor of data: numbers, nested sequences, arrays, tensors. Always a copy.
pub fn tensor(
    data: &Bound<'_, PyAny>,
    dtype: Option<DType>,
    device: &'static dyn Device,
) -> PyResult<Tensor> {
    let err = crate::error::to_python;
    let made = if let Ok(t) = data.cast::<PyTensor>() {
        let array = t.get().0.array();
        array.copy().map_err(err)?
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
        phynexus::Array::full(Shape::SCALAR, value, own, phynexus::cpu()).map_err(err)?
    } else if data.hasattr("__array_interface__")? {
        memory::from_array(data)?.copy().map_err(err)?
    } else if data.hasattr("__dlpack__")? {
        crate::dlpack::import(data)?.copy().map_err(err)?
    } else {
        let array = memory::numpy(data.py())?.call_method1("asarray", (data,))?;
        let array = memory::from_array(&array)?;
        // Python floats are float64 for NumPy; here they mean the default float.
        let wanted = dtype.unwrap_or(if array.dtype() == DType::F64 { DType::F32 } else { array.dtype() });
        array.cast(wanted).map_err(err)?
    };
    let made = match dtype {
        Some(dtype) if dtype != made.dtype() => made.cast(dtype).map_err(err)?,
        _ => made,
    };
    Ok(Tensor::new(made.to_device(device).map_err(err)?))
}
