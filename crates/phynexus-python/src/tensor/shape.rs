//! Shapes and views.

use super::{Made, PyTensor, made};
use crate::convert::{self, Arg, Count, Dim};
use crate::error::{run, to_python};
use phynexus::{Range, Shape, Tensor};
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::PyTuple;

/// `length` slices of dimension `axis` from `start`.
pub fn narrow(t: &Tensor, axis: usize, start: usize, length: usize) -> phynexus::Result<Tensor> {
    let range = |(i, &size): (usize, &usize)| {
        if i == axis { Range { start, size: length, step: 1 } } else { Range { start: 0, size, step: 1 } }
    };
    phynexus::slice(t, t.shape().iter().enumerate().map(range).collect())
}

type Named<'a, 'py> = Option<&'a Bound<'py, PyAny>>;

impl PyTensor {
    fn axis(&self, dim: isize) -> PyResult<usize> {
        self.0.shape().axis(dim).map_err(to_python)
    }

    fn parts<'py>(&self, py: Python<'py>, axis: usize, sizes: &[usize]) -> PyResult<Bound<'py, PyTuple>> {
        let mut start = 0;
        let mut parts = Vec::with_capacity(sizes.len());
        for &size in sizes {
            parts.push(Py::new(py, made(narrow(&self.0, axis, start, size))?)?);
            start += size;
        }
        PyTuple::new(py, parts)
    }
}

#[pymethods]
impl PyTensor {
    /// The same elements under another shape, in row-major order; one size may be -1. A view where that is possible.
    ///
    /// Raises:
    ///     ValueError: another number of elements.
    ///
    /// Example:
    ///     >>> import neurenix
    ///     >>> neurenix.arange(6).reshape(2, -1).shape
    ///     (2, 3)
    #[pyo3(signature = (*sizes, shape=None))]
    fn reshape(&self, sizes: &Bound<'_, PyTuple>, shape: Named<'_, '_>) -> Made {
        let sizes = convert::sizes(sizes, ("shape", shape))?;
        made(phynexus::reshape(&self.0, convert::shape_for(&sizes, self.0.shape().elements())?))
    }
    /// As `reshape`, but an error where that would need a copy.
    #[pyo3(signature = (*sizes, size=None))]
    fn view(&self, sizes: &Bound<'_, PyTuple>, size: Named<'_, '_>) -> Made {
        let sizes = convert::sizes(sizes, ("size", size))?;
        let shape = convert::shape_for(&sizes, self.0.shape().elements())?;
        let array = self.0.array();
        if array.elements() == shape.elements() && array.layout().reshape(&shape).is_none() {
            return Err(PyValueError::new_err(format!(
                "view: shape {} with strides {:?} cannot be seen as {shape} without a copy; use reshape",
                array.shape(),
                array.layout().strides()
            )));
        }
        made(phynexus::reshape(&self.0, shape))
    }
    /// Dimensions `start_dim` to `end_dim` as one.
    #[pyo3(signature = (start_dim=0, end_dim=-1))]
    fn flatten(&self, start_dim: isize, end_dim: isize) -> Made {
        let shape = self.0.shape();
        let (a, b) = (self.axis(start_dim)?, self.axis(end_dim)?);
        if a > b {
            return Err(PyValueError::new_err(format!(
                "flatten: start_dim {start_dim} comes after end_dim {end_dim}"
            )));
        }
        let mut dims: Vec<usize> = shape[..a.min(shape.len())].to_vec();
        dims.push(shape[a.min(shape.len())..(b + 1).min(shape.len())].iter().product());
        dims.extend_from_slice(&shape[(b + 1).min(shape.len())..]);
        made(Shape::new(&dims).and_then(|s| phynexus::reshape(&self.0, s)))
    }
    /// Dimension `dim` as several; one size may be -1.
    fn unflatten(&self, dim: isize, sizes: &Bound<'_, PyAny>) -> Made {
        let (shape, axis) = (self.0.shape(), self.axis(dim)?);
        if shape.is_empty() {
            return Err(PyValueError::new_err("unflatten: a scalar has no dimension to split"));
        }
        let sizes = convert::sizes_from(sizes)?;
        let inner = convert::shape_for(&sizes, shape[axis])?;
        let mut dims = shape[..axis].to_vec();
        dims.extend_from_slice(&inner);
        dims.extend_from_slice(&shape[axis + 1..]);
        made(Shape::new(&dims).and_then(|s| phynexus::reshape(&self.0, s)))
    }
    /// Without the dimensions in `dim` (one or several) that have size 1; without all such dimensions if None.
    #[pyo3(signature = (dim=None, *, axis=None))]
    fn squeeze(&self, dim: Named<'_, '_>, axis: Named<'_, '_>) -> Made {
        let shape = self.0.shape();
        let given = dim.is_some() || axis.is_some();
        let dims = convert::dims(dim, axis)?;
        let among = given.then(|| dims.unwrap_or_default());
        let axes = self.0.axes(among.as_deref()).map_err(to_python)?;
        let gone = |i: usize| shape[i] == 1 && axes.contains(&i);
        let dims: Vec<usize> = (0..shape.len()).filter(|&i| !gone(i)).map(|i| shape[i]).collect();
        made(Shape::new(&dims).and_then(|s| phynexus::reshape(&self.0, s)))
    }
    /// With a new dimension of size 1 at `dim`.
    #[pyo3(signature = (dim=None, *, axis=None))]
    fn unsqueeze(&self, dim: Option<Dim>, axis: Option<Dim>) -> Made {
        let (shape, dim) = (self.0.shape(), convert::dim("unsqueeze", dim, axis)?);
        let n = shape.len() as isize + 1;
        if dim < -n || dim >= n {
            return Err(pyo3::exceptions::PyIndexError::new_err(format!(
                "unsqueeze: dimension {dim} is out of range for shape {shape}; expected {} to {}",
                -n,
                n - 1
            )));
        }
        let mut dims = shape.to_vec();
        dims.insert(if dim < 0 { dim + n } else { dim } as usize, 1);
        made(Shape::new(&dims).and_then(|s| phynexus::reshape(&self.0, s)))
    }
    /// With two dimensions exchanged.
    fn transpose(&self, dim0: isize, dim1: isize) -> Made {
        let (a, b) = (self.axis(dim0)?, self.axis(dim1)?);
        let mut order: Vec<usize> = (0..self.0.shape().len()).collect();
        if !order.is_empty() {
            order.swap(a, b);
        }
        made(phynexus::permute(&self.0, &order))
    }
    /// The transpose of a matrix.
    fn t(&self) -> Made {
        match self.0.shape().len() {
            2 => made(phynexus::permute(&self.0, &[1, 0])),
            0 | 1 => Ok(Clone::clone(self)),
            n => Err(PyValueError::new_err(format!(
                "t() needs at most two dimensions, got {n}; use mT or permute"
            ))),
        }
    }
    /// The dimensions in another order.
    ///
    /// Raises:
    ///     ValueError: not every dimension is named exactly once.
    #[pyo3(signature = (*order, dims=None))]
    fn permute(&self, order: &Bound<'_, PyTuple>, dims: Named<'_, '_>) -> Made {
        let dims = convert::order(order, dims)?;
        let order: PyResult<Vec<usize>> = dims.iter().map(|&d| self.axis(d)).collect();
        let order = order?;
        let mut sorted = order.clone();
        sorted.sort_unstable();
        if !sorted.iter().copied().eq(0..self.0.shape().len()) {
            return Err(PyValueError::new_err(format!(
                "permute: {dims:?} must name each of the {} dimensions once",
                self.0.shape().len()
            )));
        }
        made(phynexus::permute(&self.0, &order))
    }
    /// Repeated along dimensions of size 1 and new leading ones, without a copy; -1 keeps a size.
    #[pyo3(signature = (*sizes, size=None))]
    fn expand(&self, sizes: &Bound<'_, PyTuple>, size: Named<'_, '_>) -> Made {
        let mut sizes = convert::sizes(sizes, ("size", size))?;
        let own = self.0.shape();
        let lead = sizes.len().saturating_sub(own.len());
        for (i, size) in sizes.iter_mut().enumerate().skip(lead) {
            if *size == -1 {
                *size = own[i - lead] as isize;
            }
        }
        let shape = convert::shape_of(&sizes)?;
        self.0.array().layout().broadcast(&shape).map_err(to_python)?;
        made(phynexus::expand(&self.0, shape))
    }
    /// Copies side by side: as many along each dimension as the counts say; more counts than dimensions add leading ones.
    ///
    /// Example:
    ///     >>> import neurenix
    ///     >>> neurenix.Tensor([1, 2]).repeat(2, 2).tolist()
    ///     [[1, 2, 1, 2], [1, 2, 1, 2]]
    #[pyo3(signature = (*counts, repeats=None))]
    fn repeat(&self, py: Python<'_>, counts: &Bound<'_, PyTuple>, repeats: Named<'_, '_>) -> Made {
        let counts = convert::shape_of(&convert::sizes(counts, ("repeats", repeats))?)?;
        let own = self.0.shape();
        let Some(lead) = counts.len().checked_sub(own.len()) else {
            return Err(PyValueError::new_err(format!(
                "repeat: needs a count for each of the {} dimensions of shape {own}, got {counts}",
                own.len()
            )));
        };
        run(py, own.elements().saturating_mul(counts.elements()), || {
            let mut dims = vec![1; lead];
            dims.extend_from_slice(&own);
            let mut t = phynexus::reshape(&self.0, Shape::new(&dims)?)?;
            for (axis, &count) in counts.iter().enumerate().filter(|(_, count)| **count != 1) {
                let (before, rest) = (dims[..axis].iter().product(), dims[axis..].iter().product());
                dims[axis] = Shape::new(&[dims[axis], count])?.elements();
                let row = phynexus::reshape(&t, Shape::new(&[before, 1, rest])?)?;
                let rows = phynexus::expand(&row, Shape::new(&[before, count, rest])?)?;
                t = phynexus::reshape(&rows, Shape::new(&dims)?)?;
            }
            Ok(t)
        })
        .map(PyTensor)
    }
    /// A copy with some dimensions backwards; `x[::-1]` is a view.
    fn flip(&self, py: Python<'_>, dims: &Bound<'_, PyAny>) -> Made {
        let dims = convert::dims(Some(dims), None)?.unwrap_or_default();
        let axes = self.0.axes(Some(&dims)).map_err(to_python)?;
        run(py, self.0.shape().elements(), || phynexus::flip(&self.0, &axes)?.copy()).map(PyTensor)
    }
    /// Parts of `split_size` along a dimension (the last may be smaller), or parts of given sizes.
    #[pyo3(
        signature = (split_size, dim=None, *, axis=None),
        text_signature = "($self, split_size, dim=0, *, axis=None)"
    )]
    fn split<'py>(
        &self,
        py: Python<'py>,
        split_size: &Bound<'_, PyAny>,
        dim: Option<Dim>,
        axis: Option<Dim>,
    ) -> PyResult<Bound<'py, PyTuple>> {
        let axis = self.axis(convert::dim_or(0, dim, axis)?)?;
        let total =
            *self.0.shape().get(axis).ok_or_else(|| PyValueError::new_err("split: a scalar has no parts"))?;
        let sizes: Vec<usize> = match split_size.extract::<usize>() {
            Ok(0) if total > 0 => {
                return Err(PyValueError::new_err("split: split_size must be at least 1, got 0"));
            }
            Ok(size) => {
                let count = if size == 0 { 1 } else { total.div_ceil(size).max(1) };
                (0..count).map(|i| size.min(total - i * size)).collect()
            }
            Err(_) => split_size.extract().map_err(|_| {
                PyTypeError::new_err("split: split_size must be an integer of 1 or more, or a list of sizes")
            })?,
        };
        if sizes.iter().sum::<usize>() != total {
            return Err(PyValueError::new_err(format!("split: sizes {sizes:?} must add up to {total}")));
        }
        self.parts(py, axis, &sizes)
    }
    /// At most `chunks` parts of equal size along a dimension (the last may be smaller).
    #[pyo3(signature = (chunks, dim=0))]
    fn chunk<'py>(&self, py: Python<'py>, chunks: Count, dim: isize) -> PyResult<Bound<'py, PyTuple>> {
        let chunks = chunks.0;
        let axis = self.axis(dim)?;
        let total =
            *self.0.shape().get(axis).ok_or_else(|| PyValueError::new_err("chunk: a scalar has no parts"))?;
        if chunks == 0 {
            return Err(PyValueError::new_err("chunk: chunks must be at least 1, got 0"));
        }
        let size = total.div_ceil(chunks).max(1);
        let sizes: Vec<usize> =
            (0..total.div_ceil(size).max(1)).map(|i| size.min(total - i * size)).collect();
        self.parts(py, axis, &sizes)
    }
    /// The slices along a dimension, as a tuple.
    #[pyo3(name = "unbind", signature = (dim=0))]
    fn unbind_<'py>(&self, py: Python<'py>, dim: isize) -> PyResult<Bound<'py, PyTuple>> {
        self.unbind(py, dim)
    }
    /// `length` slices of a dimension from `start`, as a view.
    fn narrow(&self, dim: isize, start: Count, length: Count) -> Made {
        let (start, length) = (start.0, length.0);
        let axis = self.axis(dim)?;
        let size = self.0.shape().get(axis).copied().unwrap_or(0);
        if start.checked_add(length).is_none_or(|end| end > size) {
            return Err(PyValueError::new_err(format!(
                "narrow: {length} slices from {start} do not fit into dimension {dim} of size {size}"
            )));
        }
        made(narrow(&self.0, axis, start, length))
    }
    /// The slice at `index` of a dimension, as a view without that dimension.
    fn select(&self, dim: isize, index: isize) -> Made {
        let axis = self.axis(dim)?;
        let mut entries = vec![phynexus::Index::Range(None, None, None); axis];
        entries.push(phynexus::Index::At(index));
        made(self.0.at(&entries))
    }
    /// With `value` around it: `pad` holds (before, after) of the last dimension, then of the one before it, and so on.
    ///
    /// Negative sizes cut elements off.
    ///
    /// Example:
    ///     >>> import neurenix
    ///     >>> neurenix.ones(2).pad((1, 2)).tolist()
    ///     [0.0, 1.0, 1.0, 0.0, 0.0]
    ///     >>> neurenix.arange(4).pad((-1, 1)).tolist()
    ///     [1, 2, 3, 0]
    #[pyo3(signature = (pad, value=None))]
    fn pad(&self, py: Python<'_>, pad: &Bound<'_, PyAny>, value: Option<Arg>) -> Made {
        let (pad, shape) = (convert::sizes_from(pad)?, self.0.shape());
        if !pad.len().is_multiple_of(2) || pad.len() / 2 > shape.len() {
            return Err(PyValueError::new_err(format!(
                "pad: expected pairs of sizes for at most {} dimensions, got {pad:?}",
                shape.len()
            )));
        }
        let cut = |size: isize| size.min(0).unsigned_abs();
        for (pair, &size) in pad.chunks(2).zip(shape.iter().rev()) {
            if cut(pair[0]).saturating_add(cut(pair[1])) > size {
                return Err(PyValueError::new_err(format!(
                    "pad: {pair:?} cuts more off than the {size} elements of a dimension of {shape}"
                )));
            }
        }
        let value = match value {
            None => phynexus::Value::I(0),
            Some(Arg::Number(value, _)) => value,
            Some(Arg::Tensor(_)) => {
                return Err(PyTypeError::new_err("pad: value must be a number, got a tensor"));
            }
        };
        run(py, shape.elements(), || {
            let mut t = self.0.clone();
            for (k, pair) in pad.chunks(2).enumerate() {
                let axis = shape.len() - 1 - k;
                let (before, after) = (cut(pair[0]), cut(pair[1]));
                if before + after > 0 {
                    t = narrow(&t, axis, before, shape[axis] - before - after)?;
                }
                let edge = |size: isize| {
                    let dims = t.shape().with(axis, size.max(0) as usize)?;
                    phynexus::full(dims, value, t.dtype(), t.device())
                };
                let parts = [edge(pair[0])?, t.clone(), edge(pair[1])?];
                t = phynexus::cat(&parts, axis as isize)?;
            }
            Ok(t)
        })
        .map(PyTensor)
    }
}
