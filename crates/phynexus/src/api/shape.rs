//! Shapes and views.

use crate::op::{Op, apply1};
use crate::ops::shape::{Concat, Copy, Embed, Expand, Permute, Range, Reshape, Slice};
use crate::tensor::Tensor;
use phynexus_core::{DType, Error, Result, Shape};
use smallvec::SmallVec;

/// Operations with more operands than this are made in parts: the tape keeps a bit for each operand.
const MOST_OPERANDS: usize = 32;

/// Another shape of the same elements.
pub fn reshape(x: &Tensor, shape: Shape) -> Result<Tensor> {
    let old = x.shape();
    if old == shape {
        return Ok(x.clone());
    }
    if old.elements() != shape.elements() {
        return Err(Error::Value(format!(
            "reshape: shape {old} has {} elements, {shape} has {}",
            old.elements(),
            shape.elements()
        )));
    }
    apply1(Op::Reshape(Reshape { shape }), &[x])
}

/// Dimensions in another order.
pub fn permute(x: &Tensor, order: &[usize]) -> Result<Tensor> {
    if order.iter().enumerate().all(|(i, &a)| i == a) {
        return Ok(x.clone());
    }
    apply1(Op::Permute(Permute { order: order.into() }), &[x])
}

/// The dimensions back from the order that [`permute`] gave them.
pub fn unpermute(x: &Tensor, order: &[usize]) -> Result<Tensor> {
    let mut back: SmallVec<[usize; 8]> = SmallVec::from_elem(0, order.len());
    for (to, &from) in order.iter().enumerate() {
        back[from] = to;
    }
    permute(x, &back)
}

/// Repeated to a larger shape, without a copy.
pub fn expand(x: &Tensor, shape: Shape) -> Result<Tensor> {
    if x.shape() == shape { Ok(x.clone()) } else { apply1(Op::Expand(Expand { shape }), &[x]) }
}

/// Evenly spaced elements of each dimension.
pub fn slice(x: &Tensor, ranges: SmallVec<[Range; 4]>) -> Result<Tensor> {
    let whole = |(r, &n): (&Range, &usize)| r.start == 0 && r.step == 1 && r.size == n;
    if ranges.iter().zip(x.shape().iter()).all(whole) {
        return Ok(x.clone());
    }
    apply1(Op::Slice(Slice { ranges }), &[x])
}

/// The dimensions in `axes` backwards.
pub fn flip(x: &Tensor, axes: &[usize]) -> Result<Tensor> {
    let range = |(i, &n): (usize, &usize)| {
        if axes.contains(&i) && n > 0 {
            Range { start: n - 1, size: n, step: -1 }
        } else {
            Range { start: 0, size: n, step: 1 }
        }
    };
    let ranges = x.shape().iter().enumerate().map(range).collect();
    apply1(Op::Slice(Slice { ranges }), &[x])
}

/// Zeros of `shape` with the tensor at the beginning of each dimension.
pub fn embed_leading(x: &Tensor, shape: Shape) -> Result<Tensor> {
    if x.shape() == shape {
        return Ok(x.clone());
    }
    let ranges = x.shape().iter().map(|&size| Range { start: 0, size, step: 1 }).collect();
    apply1(Op::Embed(Embed { ranges, shape }), &[x])
}

/// Itself where the elements follow each other in memory, else a copy where they do.
pub fn contiguous(x: &Tensor) -> Result<Tensor> {
    if x.array().layout().is_contiguous() { Ok(x.clone()) } else { apply1(Op::Copy(Copy), &[x]) }
}

/// One after the other along a dimension, promoted to a common dtype.
pub fn cat(tensors: &[Tensor], axis: isize) -> Result<Tensor> {
    let Some(first) = tensors.first() else {
        return Err(Error::Value("cat: expected at least one tensor".into()));
    };
    let shape = first.shape();
    if shape.is_empty() {
        return Err(Error::Value("cat: scalars cannot be concatenated; use stack".into()));
    }
    let axis = shape.axis(axis)?;
    let dtype = tensors.iter().map(Tensor::dtype).fold(first.dtype(), DType::promote);
    let cast: Result<Vec<Tensor>> = tensors.iter().map(|t| super::cast(t, dtype)).collect();
    let mut parts = cast?;
    loop {
        parts = parts.chunks(MOST_OPERANDS).map(|part| apply_cat(part, axis)).collect::<Result<_>>()?;
        if parts.len() == 1 {
            return Ok(parts.remove(0));
        }
    }
}

fn apply_cat(part: &[Tensor], axis: usize) -> Result<Tensor> {
    let refs: SmallVec<[&Tensor; 8]> = part.iter().collect();
    let specs: SmallVec<[crate::op::Spec; 8]> =
        part.iter().map(|t| crate::op::Spec::from(&t.array())).collect();
    crate::op::Operation::infer(&Concat { axis }, &specs)?;
    apply1(Op::Concat(Concat { axis }), &refs)
}

/// Side by side along a new dimension.
pub fn stack(tensors: &[Tensor], axis: isize) -> Result<Tensor> {
    let Some(first) = tensors.first() else {
        return Err(Error::Value("stack: expected at least one tensor".into()));
    };
    let shape = first.shape();
    for (k, t) in tensors.iter().enumerate() {
        if t.shape() != shape {
            return Err(Error::Value(format!(
                "stack: tensor {k} has shape {}, expected {shape} as the first",
                t.shape()
            )));
        }
    }
    let mut dims = shape.to_vec();
    dims.push(1);
    let at = Shape::new(&dims)?.axis(axis)?;
    let mut dims = shape.to_vec();
    dims.insert(at, 1);
    let wide = Shape::new(&dims)?;
    let parts: Result<Vec<Tensor>> = tensors.iter().map(|t| reshape(t, wide)).collect();
    cat(&parts?, at as isize)
}

impl Tensor {
    /// A copy that gradients flow through.
    pub fn copy(&self) -> Result<Tensor> {
        apply1(Op::Copy(Copy), &[self])
    }
}
