//! Arguments from Python: tensors, numbers, operands, shapes, dimensions, indices.

use crate::data::{array_like, is_list, is_sequence, tensor};
use crate::tensor::PyTensor;
use phynexus::{Category, DType, Device, Index, Operand, Shape, Tensor, Value};
use pyo3::exceptions::{PyIndexError, PyOverflowError, PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyEllipsis, PyFloat, PyInt, PyList, PySlice, PyTuple};
use std::ops::Deref;

/// A tensor that must be one already: nothing is converted silently.
pub struct Given<'a, 'py>(Borrowed<'a, 'py, PyTensor>);

impl<'a, 'py> FromPyObject<'a, 'py> for Given<'a, 'py> {
    type Error = PyErr;
    fn extract(value: Borrowed<'a, 'py, PyAny>) -> PyResult<Self> {
        value.cast::<PyTensor>().map(Given).map_err(|_| {
            let name = type_name(&value);
            PyTypeError::new_err(format!("expected a Tensor, got {name}; make it one with neurenix.Tensor()"))
        })
    }
}

impl Deref for Given<'_, '_> {
    type Target = Tensor;
    fn deref(&self) -> &Tensor {
        &self.0.get().0
    }
}

/// The name of an object's class, for errors.
pub fn type_name(value: &Bound<'_, PyAny>) -> String {
    value.get_type().name().map_or_else(|_| "an object".into(), |name| name.to_string())
}

/// A Python number that is no tensor.
pub fn number(value: &Bound<'_, PyAny>) -> PyResult<(Value, Category)> {
    number_or_none(value)?.ok_or_else(|| {
        PyTypeError::new_err(format!("expected a tensor or a number, got {}", type_name(value)))
    })
}

fn number_or_none(value: &Bound<'_, PyAny>) -> PyResult<Option<(Value, Category)>> {
    if value.is_instance_of::<PyFloat>() {
        return Ok(Some((Value::F(value.extract()?), Category::Float)));
    }
    if let Ok(b) = value.cast::<PyBool>() {
        return Ok(Some((Value::I(b.is_true() as i64), Category::Bool)));
    }
    if value.is_instance_of::<PyInt>() {
        let wide = |_| {
            PyValueError::new_err(format!("the integer {value} does not fit into 64 bits; write a float"))
        };
        return Ok(Some((Value::I(value.extract().map_err(wide)?), Category::Integer)));
    }
    // NumPy scalars know what they are by `item()`, but arrays have that too.
    let dims = |v: &Bound<'_, PyAny>| v.getattr("ndim").and_then(|n| n.extract::<usize>());
    if value.hasattr("dtype")? && dims(value).is_ok_and(|n| n == 0) {
        let plain = value.call_method0("item")?;
        if !plain.hasattr("dtype")? {
            return number_or_none(&plain);
        }
    }
    Ok(None)
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
        if let Ok(t) = value.cast::<PyTensor>() {
            return Ok(Arg::Tensor(t.get().0.clone()));
        }
        if let Some((value, kind)) = number_or_none(&value)? {
            return Ok(Arg::Number(value, kind)); // a NumPy scalar is a number
        }
        if let Some(array) = array_like(&value)? {
            // An array counts as a tensor of its values.
            return array.copy().map(|a| Arg::Tensor(Tensor::new(a))).map_err(crate::error::to_python);
        }
        let name = type_name(&value);
        Err(PyTypeError::new_err(format!("expected a tensor, an array or a number, got {name}")))
    }
}

/// The other operand of an operator: where it is nothing that a tensor knows, Python asks its class.
pub struct Other(PyResult<Arg>);

impl Other {
    /// The operand, or what is wrong with it.
    pub fn get(self) -> PyResult<Arg> {
        self.0
    }
}

impl<'py> FromPyObject<'_, 'py> for Other {
    type Error = PyErr;
    fn extract(value: Borrowed<'_, 'py, PyAny>) -> PyResult<Other> {
        match value.extract::<Arg>() {
            Err(error) if error.is_instance_of::<PyTypeError>(value.py()) => Err(error),
            result => Ok(Other(result)),
        }
    }
}

/// An integer that is a `what`; None if it is larger than any.
fn integer(value: &Bound<'_, PyAny>, what: &str) -> PyResult<Option<isize>> {
    let wrong = || Ok(PyTypeError::new_err(format!("a {what} must be an integer, got {}", value.repr()?)));
    if value.is_instance_of::<PyBool>() || value.is_instance_of::<PyFloat>() {
        return wrong().and_then(Err);
    }
    match value.extract::<isize>() {
        Ok(n) => Ok(Some(n)),
        Err(e) if e.is_instance_of::<PyOverflowError>(value.py()) => Ok(None),
        Err(_) => wrong().and_then(Err),
    }
}

fn size(value: &Bound<'_, PyAny>) -> PyResult<isize> {
    integer(value, "size")?
        .ok_or_else(|| PyValueError::new_err(format!("size {value} does not fit into memory")))
}

fn dimension(value: &Bound<'_, PyAny>) -> PyResult<isize> {
    integer(value, "dimension")?
        .ok_or_else(|| PyIndexError::new_err(format!("dimension {value} is out of range")))
}

/// A dimension, from the end where negative.
pub struct Dim(pub isize);

impl<'py> FromPyObject<'_, 'py> for Dim {
    type Error = PyErr;
    fn extract(value: Borrowed<'_, 'py, PyAny>) -> PyResult<Dim> {
        dimension(&value).map(Dim)
    }
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
fn integers(
    values: &Bound<'_, PyTuple>,
    read: fn(&Bound<'_, PyAny>) -> PyResult<isize>,
) -> PyResult<Vec<isize>> {
    if values.len() == 1 {
        let only = values.get_item(0)?;
        if only.is_instance_of::<PyTuple>() || only.is_instance_of::<PyList>() {
            return only.try_iter()?.map(|v| read(&v?)).collect();
        }
    }
    values.iter().map(|v| read(&v)).collect()
}

/// Of an argument with two names the one that is given.
fn either<T>(names: [&str; 2], first: Option<T>, second: Option<T>) -> PyResult<Option<T>> {
    if first.is_some() && second.is_some() {
        let [a, b] = names;
        return Err(PyTypeError::new_err(format!("{a} and {b} mean the same: give one of them")));
    }
    Ok(first.or(second))
}

/// Arguments given one by one, as one sequence, or by a keyword.
fn listed<'py>(
    values: &Bound<'py, PyTuple>,
    (name, named): (&str, Option<&Bound<'py, PyAny>>),
) -> PyResult<Bound<'py, PyTuple>> {
    let by_place = (!values.is_empty()).then(|| values.clone());
    let by_name = named.map(|n| PyTuple::new(n.py(), [n])).transpose()?;
    Ok(either(["the sizes or dimensions", name], by_place, by_name)?.unwrap_or_else(|| values.clone()))
}

/// Sizes given one by one, as one sequence, or by a keyword.
pub fn sizes<'py>(
    values: &Bound<'py, PyTuple>,
    named: (&str, Option<&Bound<'py, PyAny>>),
) -> PyResult<Vec<isize>> {
    integers(&listed(values, named)?, size)
}

/// Dimensions given one by one, as one sequence, or as the keyword `dims`.
pub fn order<'py>(values: &Bound<'py, PyTuple>, dims: Option<&Bound<'py, PyAny>>) -> PyResult<Vec<isize>> {
    integers(&listed(values, ("dims", dims))?, dimension)
}

/// A shape given as separate sizes, as one sequence, or as the keyword `size`.
pub fn shape<'py>(values: &Bound<'py, PyTuple>, named: Option<&Bound<'py, PyAny>>) -> PyResult<Shape> {
    shape_of(&sizes(values, ("size", named))?)
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
    shape_of(&sizes_from(value)?)
}

/// Sizes from one object: an integer or a sequence of them.
pub fn sizes_from(value: &Bound<'_, PyAny>) -> PyResult<Vec<isize>> {
    integers(&PyTuple::new(value.py(), [value])?, size)
}

/// A shape in which one size may be -1: what is left of `elements`.
pub fn shape_for(sizes: &[isize], elements: usize) -> PyResult<Shape> {
    let Some(free) = sizes.iter().position(|&n| n == -1) else { return shape_of(sizes) };
    if sizes[free + 1..].contains(&-1) {
        return Err(PyValueError::new_err(format!("only one size can be -1, got {sizes:?}; say the others")));
    }
    let mut filled = sizes.to_vec();
    filled[free] = 1;
    let known = shape_of(&filled)?.elements();
    if known == 0 || !elements.is_multiple_of(known) {
        return Err(PyValueError::new_err(format!("{elements} elements do not fit into shape {sizes:?}")));
    }
    filled[free] = (elements / known) as isize;
    shape_of(&filled)
}

/// Dimensions by either name: one or several; None and () mean all, as PyTorch has it.
pub fn dims(dim: Option<&Bound<'_, PyAny>>, axis: Option<&Bound<'_, PyAny>>) -> PyResult<Option<Vec<isize>>> {
    let Some(value) = either(["dim", "axis"], dim, axis)? else { return Ok(None) };
    let dims = integers(&PyTuple::new(value.py(), [value])?, dimension)?;
    Ok((!dims.is_empty()).then_some(dims))
}

/// One dimension by either name, which must be given.
pub fn dim(what: &str, dim: Option<Dim>, axis: Option<Dim>) -> PyResult<isize> {
    let missing = || PyTypeError::new_err(format!("{what} needs a dimension, got None; dim=-1 is the last"));
    either(["dim", "axis"], dim, axis)?.map(|d| d.0).ok_or_else(missing)
}

/// One dimension by either name, or the usual one.
pub fn dim_or(usual: isize, dim: Option<Dim>, axis: Option<Dim>) -> PyResult<isize> {
    Ok(either(["dim", "axis"], dim, axis)?.map_or(usual, |d| d.0))
}

/// Whether reduced dimensions stay, by either name.
pub fn keepdim(keepdim: Option<bool>, keepdims: Option<bool>) -> PyResult<bool> {
    Ok(either(["keepdim", "keepdims"], keepdim, keepdims)?.unwrap_or(false))
}

/// An index expression for a tensor on a device; lists and arrays become tensors there.
pub fn index(value: &Bound<'_, PyAny>, device: &'static dyn Device) -> PyResult<Vec<Index>> {
    match value.cast::<PyTuple>() {
        Ok(entries) => entries.iter().map(|e| index_entry(&e, device)).collect(),
        Err(_) => Ok(vec![index_entry(value, device)?]),
    }
}

fn index_entry(value: &Bound<'_, PyAny>, device: &'static dyn Device) -> PyResult<Index> {
    let there = |t: &phynexus::Tensor| {
        phynexus::to_device(t, device).map(Index::Tensor).map_err(crate::error::to_python)
    };
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
            let wrong = |_| PyTypeError::new_err(format!("slice bounds must be integers, got {part}"));
            let bound = part.call_method0("__index__").map_err(wrong)?;
            match bound.extract::<isize>() {
                // Beyond any size, as Python has it.
                Err(e) if e.is_instance_of::<PyOverflowError>(part.py()) => {
                    Ok(Some(if bound.lt(0)? { isize::MIN } else { isize::MAX }))
                }
                bound => bound.map(Some).map_err(wrong),
            }
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
        return there(&tensor(value, Some(DType::Bool), phynexus::cpu())?); // a mask without dimensions
    }
    if value.is_instance_of::<PyInt>() {
        let far = |_| PyIndexError::new_err(format!("index {value} does not fit into 64 bits"));
        return Ok(Index::At(value.extract().map_err(far)?));
    }
    // Arrays before `__index__`, which many of one element have as well.
    let given = if is_list(value) {
        Some(tensor(value, None, phynexus::cpu())?)
    } else if let Some(array) = array_like(value)? {
        Some(Tensor::new(array.copy().map_err(crate::error::to_python)?))
    } else if is_sequence(value) {
        Some(tensor(value, None, phynexus::cpu())?)
    } else {
        None
    };
    if let Some(t) = given {
        if t.shape().elements() == 0 && t.dtype().is_float() {
            let empty = phynexus::Tensor::new(t.array().cast(DType::I64).map_err(crate::error::to_python)?);
            return there(&empty);
        }
        if t.shape().is_empty() && t.dtype() != DType::Bool && !t.dtype().is_float() {
            return Ok(Index::At(t.array().first().map_err(crate::error::to_python)?.as_i64() as isize));
        }
        return there(&t);
    }
    if let Ok(at) = value.call_method0("__index__") {
        return Ok(Index::At(at.extract()?));
    }
    Err(PyIndexError::new_err(format!(
        "an index must be an integer, a slice, None, ..., a sequence, an array or a tensor, got {}",
        type_name(value)
    )))
}
