//! Tensors of data from Python: numbers, nested sequences, arrays, tensors.

use crate::convert::{number, type_name};
use crate::dtype::PyDType;
use crate::error::to_python;
use crate::memory;
use crate::tensor::PyTensor;
use phynexus::{Array, Category, DType, Device, MAX_DIMS, Shape, Tensor, Value};
use pyo3::exceptions::{PyMemoryError, PyTypeError, PyValueError};
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyByteArray, PyBytes, PyFloat, PyInt, PyList, PyMemoryView, PyString, PyTuple};

/// A new tensor of data. Always a copy.
pub fn tensor(
    data: &Bound<'_, PyAny>,
    dtype: Option<DType>,
    device: &'static dyn Device,
) -> PyResult<Tensor> {
    let made = if let Ok(t) = data.cast::<PyTensor>() {
        t.get().0.array().copy().map_err(to_python)?
    } else if is_plain(data) {
        let (value, kind) = number(data)?;
        // A float that becomes float64 must not pass through float32.
        let own = dtype.filter(|d| d.is_float()).unwrap_or(usual(kind));
        Array::full(Shape::SCALAR, value, own, phynexus::cpu()).map_err(to_python)?
    } else if !is_list(data)
        && let Some(array) = array_like(data)?
    {
        array.copy().map_err(to_python)?
    } else {
        Nested::read(data, MAX_DIMS)?.array(dtype)?
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

/// The dtype of a Python number.
fn usual(kind: Category) -> DType {
    match kind {
        Category::Float => DType::F32,
        Category::Integer => DType::I64,
        Category::Bool => DType::Bool,
    }
}

/// Whether it is a Python number itself; NumPy's may be subclasses.
fn is_plain(value: &Bound<'_, PyAny>) -> bool {
    value.is_exact_instance_of::<PyFloat>()
        || value.is_exact_instance_of::<PyInt>()
        || value.is_instance_of::<PyBool>()
}

/// The dtype of a NumPy scalar, where tensors have it.
fn scalar_dtype(value: &Bound<'_, PyAny>) -> Option<DType> {
    if value.is_instance_of::<PyTensor>() {
        return None;
    }
    let dtype = value.getattr("dtype").ok()?;
    let dims: usize = value.getattr("ndim").ok()?.extract().ok()?;
    if dims == 0 { PyDType::parse(&dtype).ok() } else { None }
}

/// Whether it is a list or a tuple.
pub fn is_list(value: &Bound<'_, PyAny>) -> bool {
    value.is_instance_of::<PyList>() || value.is_instance_of::<PyTuple>()
}

/// Whether it has a length and elements by number, as lists, tuples and ranges; no text.
pub fn is_sequence(value: &Bound<'_, PyAny>) -> bool {
    let text = value.is_instance_of::<PyString>()
        || value.is_instance_of::<PyBytes>()
        || value.is_instance_of::<PyByteArray>();
    // SAFETY: the object is alive.
    is_list(value) || !text && unsafe { ffi::PySequence_Check(value.as_ptr()) } == 1
}

/// The values of anything that is an array by one of the protocols: the array interface, DLPack, `__array__` and the
/// buffer protocol, in this order. They keep their dtype. The memory may be shared.
pub fn array_like(value: &Bound<'_, PyAny>) -> PyResult<Option<Array>> {
    if let Ok(t) = value.cast::<PyTensor>() {
        return Ok(Some(t.get().0.array()));
    }
    if value.hasattr("__array_interface__")? {
        return memory::from_array(value).map(Some);
    }
    let converts = value.hasattr("__array__")? || value.hasattr("__array_struct__")?;
    if value.hasattr("__dlpack__")? {
        match crate::dlpack::import(value) {
            Err(_) if converts => {} // dtypes that tensors do not have become wider ones by way of NumPy
            array => return array.map(Some),
        }
    }
    let is_buffer = || !value.is_instance_of::<PyBytes>() && PyMemoryView::from(value).is_ok();
    if converts || is_buffer() { memory::from_array(value).map(Some) } else { Ok(None) }
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

/// What nested sequences end in: numbers, or arrays of one shape that has dimensions.
enum Leaves {
    Numbers(Vec<Value>),
    Arrays(Vec<Array>),
}

/// The numbers and arrays in nested sequences, each read once, and the shape that they have together.
struct Nested {
    /// The lengths of the sequences at each level; complete when the first leaf is read.
    lengths: Vec<usize>,
    /// None until the first leaf, or where there is none.
    leaves: Option<Leaves>,
    dtype: Option<DType>,
    /// Where the element that is being read stands.
    place: Vec<usize>,
    /// The most levels that there may be.
    limit: usize,
    complete: bool,
}

impl Nested {
    fn read(data: &Bound<'_, PyAny>, limit: usize) -> PyResult<Nested> {
        let mut nested =
            Nested { lengths: vec![], leaves: None, dtype: None, place: vec![], limit, complete: false };
        nested.visit(data)?;
        Ok(nested)
    }

    fn visit(&mut self, value: &Bound<'_, PyAny>) -> PyResult<()> {
        if is_plain(value) {
            return self.number(value);
        }
        if is_list(value) {
            return self.sequence(value);
        }
        if let Some(dtype) = scalar_dtype(value) {
            return self.push(number(value)?.0, dtype);
        }
        if let Some(array) = array_like(value)? {
            // A tensor of one element counts as a number, as PyTorch has it; of other arrays those without dimensions.
            let single = value.is_instance_of::<PyTensor>() && array.elements() == 1;
            return if single || array.shape().is_empty() {
                let first = array.first().map_err(to_python)?;
                self.push(first, array.dtype())
            } else {
                self.array_leaf(array)
            };
        }
        if is_sequence(value) {
            return self.sequence(value);
        }
        self.number(value)
    }

    fn number(&mut self, value: &Bound<'_, PyAny>) -> PyResult<()> {
        let (number, kind) = number(value).map_err(|error| {
            if !error.is_instance_of::<PyTypeError>(value.py()) {
                return error;
            }
            PyTypeError::new_err(format!(
                "Tensor: expected numbers, nested lists of numbers, or an array, got {} at {}",
                type_name(value),
                named(&self.place)
            ))
        })?;
        self.push(number, usual(kind))
    }

    fn push(&mut self, value: Value, dtype: DType) -> PyResult<()> {
        self.leaf(&[])?;
        self.dtype = Some(self.dtype.map_or(dtype, |d| d.promote(dtype)));
        if let Leaves::Numbers(all) = self.leaves.get_or_insert(Leaves::Numbers(vec![])) {
            all.push(value);
        }
        Ok(())
    }

    fn array_leaf(&mut self, array: Array) -> PyResult<()> {
        self.leaf(array.shape())?;
        self.dtype = Some(self.dtype.map_or(array.dtype(), |d| d.promote(array.dtype())));
        match self.leaves.get_or_insert(Leaves::Arrays(vec![])) {
            Leaves::Arrays(all) => all.push(array),
            Leaves::Numbers(all) => all.extend(numbers(&array)?), // beside lists of numbers
        }
        Ok(())
    }

    /// Checks a leaf of this shape against those before.
    fn leaf(&mut self, shape: &[usize]) -> PyResult<()> {
        let level = self.place.len();
        if !self.complete {
            self.complete = true;
            self.lengths.extend(shape);
            return Shape::new(&self.lengths).map(|_| ()).map_err(to_python);
        }
        if self.lengths[level..] == *shape {
            return Ok(());
        }
        let what = match shape {
            [] => "is a number".to_string(),
            shape => format!("has shape {shape:?}"),
        };
        let expected = match (&self.lengths[level..], &self.leaves) {
            ([], _) => "is a number".into(),
            (others, Some(Leaves::Arrays(_))) => format!("has shape {others:?}"),
            (others, _) => format!("has {} elements", others[0]),
        };
        Err(self.ragged(&what, &expected))
    }

    fn sequence(&mut self, value: &Bound<'_, PyAny>) -> PyResult<()> {
        let (level, count) = (self.place.len(), value.len()?);
        if level >= self.limit {
            return Err(PyValueError::new_err(format!(
                "Tensor: a tensor has at most {MAX_DIMS} dimensions, the sequences at {} are nested deeper (does one hold itself?)",
                named(&self.place)
            )));
        }
        if let (true, Some(Leaves::Arrays(_))) = (self.complete, &self.leaves)
            && level == self.place_of_leaves()
        {
            let nested = Nested::read(value, self.limit - level)?; // a list of numbers beside arrays
            return self.array_leaf(nested.array(None)?);
        }
        match self.lengths.get(level) {
            None if self.complete => {
                return Err(self.ragged(&format!("has {count} elements"), "is a number"));
            }
            Some(&length) if length != count => {
                let (own, other) = (format!("has {count} elements"), format!("has {length}"));
                return Err(self.ragged(&own, &other));
            }
            Some(_) => {}
            None => {
                self.lengths.push(count);
                self.reserve()?;
            }
        }
        if count == 0 {
            self.complete = true;
        }
        let mut seen = 0;
        for element in value.try_iter()? {
            if seen == count {
                break;
            }
            if seen % 65_536 == 65_535 {
                value.py().check_signals()?;
            }
            self.place.push(seen);
            self.visit(&element?)?;
            self.place.pop();
            seen += 1;
        }
        if seen == count && value.len()? == count {
            return Ok(());
        }
        Err(PyValueError::new_err(format!(
            "Tensor: the sequence at {} changed while it was read",
            named(&self.place)
        )))
    }

    /// How many sequences stand around each leaf.
    fn place_of_leaves(&self) -> usize {
        let inside = match &self.leaves {
            Some(Leaves::Arrays(all)) => all.first().map_or(0, |a| a.shape().len()),
            _ => 0,
        };
        self.lengths.len() - inside
    }

    /// Room for all numbers, or an error where memory has none.
    fn reserve(&mut self) -> PyResult<()> {
        let shape = Shape::new(&self.lengths).map_err(to_python)?;
        let short = |_| {
            PyMemoryError::new_err(format!("Tensor: not enough memory for the {} elements", shape.elements()))
        };
        Vec::<Value>::new().try_reserve_exact(shape.elements()).map_err(short)
    }

    fn ragged(&self, own: &str, expected: &str) -> PyErr {
        let first = vec![0; self.place.len()];
        PyValueError::new_err(format!(
            "Tensor: the shape is ragged: {} {own}, {} {expected}; sequences of one level need one length",
            named(&self.place),
            named(&first)
        ))
    }

    /// All leaves side by side, in their common dtype; Python's floats keep their digits for a wider one that is wanted.
    fn array(self, wanted: Option<DType>) -> PyResult<Array> {
        let shape = Shape::new(&self.lengths).map_err(to_python)?;
        let own = self.dtype.unwrap_or(DType::F32);
        let dtype = match wanted {
            Some(wanted) if wanted.is_float() => wanted,
            Some(_) if own.is_float() => DType::F64,
            _ => own,
        };
        let (bytes, stored) = match self.leaves {
            None => (vec![], dtype),
            Some(Leaves::Numbers(all)) => match own {
                own if own.is_float() => (bytes(&all, |v| v.as_f64().to_le_bytes())?, DType::F64),
                DType::Bool => (bytes(&all, |v| [v.is_true() as u8])?, DType::Bool),
                _ => (bytes(&all, |v| v.as_i64().to_le_bytes())?, DType::I64),
            },
            Some(Leaves::Arrays(all)) => {
                let mut joined = reserved(shape.elements() * dtype.size())?;
                for array in all {
                    let part = array.cast(dtype).and_then(|a| a.to_bytes()).map_err(to_python)?;
                    joined.extend_from_slice(&part);
                }
                (joined, dtype)
            }
        };
        Array::from_bytes(&bytes, shape, stored, phynexus::cpu())
            .and_then(|array| if stored == dtype { Ok(array) } else { array.cast(dtype) })
            .map_err(to_python)
    }
}

/// A place such as `data[0][2]`.
fn named(place: &[usize]) -> String {
    place.iter().fold("data".into(), |text, i| format!("{text}[{i}]"))
}

fn reserved(bytes: usize) -> PyResult<Vec<u8>> {
    let mut all = Vec::new();
    all.try_reserve_exact(bytes)
        .map_err(|_| PyMemoryError::new_err(format!("Tensor: not enough memory for {bytes} bytes")))?;
    Ok(all)
}

fn bytes<const N: usize>(values: &[Value], encode: impl Fn(&Value) -> [u8; N]) -> PyResult<Vec<u8>> {
    let mut all = reserved(values.len() * N)?;
    values.iter().for_each(|v| all.extend_from_slice(&encode(v)));
    Ok(all)
}

/// The numbers of an array, row-major.
fn numbers(array: &Array) -> PyResult<Vec<Value>> {
    let is_float = array.dtype().is_float();
    let wide = array.cast(if is_float { DType::F64 } else { DType::I64 }).and_then(|a| a.to_bytes());
    let decode =
        |b: [u8; 8]| if is_float { Value::F(f64::from_le_bytes(b)) } else { Value::I(i64::from_le_bytes(b)) };
    Ok(wide.map_err(to_python)?.as_chunks().0.iter().map(|&b| decode(b)).collect())
}
