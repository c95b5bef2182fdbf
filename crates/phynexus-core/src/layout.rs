//! Layouts: which element of a buffer stands where in a tensor. All views are made here.

use crate::error::{Error, Result};
use crate::shape::{MAX_DIMS, Shape};

/// A shape, the distance between neighbours in each dimension, and where the first element stands; in elements.
#[derive(Clone, Copy)]
pub struct Layout {
    shape: Shape,
    strides: [isize; MAX_DIMS],
    offset: usize,
}

impl Layout {
    /// Row-major, without gaps.
    pub fn contiguous(shape: Shape) -> Layout {
        let mut strides = [0; MAX_DIMS];
        let mut step = 1isize;
        for i in (0..shape.len()).rev() {
            strides[i] = step;
            step *= shape[i].max(1) as isize;
        }
        Layout { shape, strides, offset: 0 }
    }

    /// A layout from its parts, for memory that somebody else laid out.
    pub fn strided(shape: Shape, strides: &[isize], offset: usize) -> Layout {
        let mut layout = Layout { shape, strides: [0; MAX_DIMS], offset };
        layout.strides[..shape.len()].copy_from_slice(strides);
        layout
    }

    /// A layout of memory that somebody else describes, whose numbers may be anything, and the bytes that it reaches: from
    /// `low` before the first element on, so many.
    pub fn foreign(shape: Shape, strides: &[isize], size: usize) -> Result<(Layout, usize, usize)> {
        if shape.elements() == 0 {
            return Ok((Layout::contiguous(shape), 0, 0));
        }
        let mut layout = Layout { shape, strides: [1; MAX_DIMS], offset: 0 };
        let (mut low, mut high) = (0i128, 0i128);
        for (i, &stride) in strides.iter().enumerate().filter(|&(i, _)| shape[i] > 1) {
            layout.strides[i] = stride;
            let reach = stride as i128 * (shape[i] as i128 - 1);
            if reach < 0 { low -= reach } else { high += reach }
        }
        // Far below the largest address, so that no product of a stride and a size overflows later.
        let bytes = (low + high + 1) * size as i128;
        if bytes > isize::MAX as i128 / 4 {
            return Err(Error::Value(format!(
                "strides {strides:?} of shape {shape} reach farther than memory can"
            )));
        }
        layout.offset = low as usize;
        Ok((layout, low as usize * size, bytes as usize))
    }

    /// The same with the first element further on by `elements`.
    pub fn moved(self, elements: usize) -> Layout {
        Layout { offset: self.offset + elements, ..self }
    }

    /// The shape.
    #[inline]
    pub fn shape(&self) -> &Shape {
        &self.shape
    }

    /// The strides, in elements.
    #[inline]
    pub fn strides(&self) -> &[isize] {
        &self.strides[..self.shape.len()]
    }

    /// Where the first element stands.
    pub fn offset(&self) -> usize {
        self.offset
    }

    /// The number of elements.
    #[inline]
    pub fn elements(&self) -> usize {
        self.shape.elements()
    }

    /// Whether the elements follow each other in row-major order without gaps (wherever they begin).
    #[inline]
    pub fn is_contiguous(&self) -> bool {
        let mut step = 1isize;
        for i in (0..self.shape.len()).rev() {
            if self.shape[i] != 1 && self.strides[i] != step {
                return self.elements() == 0;
            }
            step *= self.shape[i] as isize;
        }
        true
    }

    /// Whether two index tuples may name the same element (an expanded view, or strides of somebody else's).
    pub fn overlaps(&self) -> bool {
        if self.is_contiguous() {
            return false;
        }
        let mut dims = [(0, 1); MAX_DIMS];
        for i in (0..self.shape.len()).filter(|&i| self.shape[i] > 1) {
            dims[i] = (self.strides[i].unsigned_abs(), self.shape[i]);
        }
        dims.sort_unstable();
        // Without overlap, each dimension steps over all that those of smaller strides reach.
        let mut reach = 0;
        dims.into_iter().filter(|&(_, size)| size > 1).any(|(stride, size)| {
            let within = stride <= reach;
            reach += stride * (size - 1);
            within
        })
    }

    /// The same elements repeated to a larger shape, without a copy.
    pub fn broadcast(&self, shape: &Shape) -> Result<Layout> {
        if self.shape == *shape {
            return Ok(*self);
        }
        let lead = shape.len().checked_sub(self.shape.len());
        let fits = lead.is_some_and(|lead| {
            (0..self.shape.len()).all(|i| self.shape[i] == 1 || self.shape[i] == shape[lead + i])
        });
        let (Some(lead), true) = (lead, fits) else {
            return Err(Error::Value(format!("shape {} does not expand to {shape}", self.shape)));
        };
        let mut strides = [0; MAX_DIMS];
        for i in 0..self.shape.len() {
            strides[lead + i] = if self.shape[i] == 1 { 0 } else { self.strides[i] };
        }
        Ok(Layout { shape: *shape, strides, offset: self.offset })
    }

    /// Dimensions in another order; `order` is a permutation.
    pub fn permute(&self, order: &[usize]) -> Layout {
        let (mut dims, mut strides) = ([1; MAX_DIMS], [0; MAX_DIMS]);
        for (i, &a) in order.iter().enumerate() {
            dims[i] = self.shape[a];
            strides[i] = self.strides[a];
        }
        Layout { shape: Shape::of(&dims[..order.len()]), strides, offset: self.offset }
    }

    /// `size` elements of dimension `axis` from `start`, every `step`-th (which may be negative).
    pub fn slice(&self, axis: usize, start: usize, size: usize, step: isize) -> Layout {
        let mut layout = *self;
        if size > 0 {
            layout.offset = (self.offset as isize + start as isize * self.strides[axis]) as usize;
        }
        if size > 1 {
            layout.strides[axis] *= step; // with fewer elements the step may be anything
        }
        layout.shape = self.shape.narrowed(axis, size);
        layout
    }

    /// Without dimension `axis`, at position `index` of it.
    pub fn select(&self, axis: usize, index: usize) -> Layout {
        let one = self.slice(axis, index, 1, 1);
        let order: Vec<usize> = (0..self.shape.len()).filter(|&a| a != axis).collect();
        one.permute(&order)
    }

    /// With a new dimension of size 1 before `axis`.
    pub fn unsqueeze(&self, axis: usize) -> Result<Layout> {
        if self.shape.len() == MAX_DIMS {
            return Err(Error::Value(format!("shape {} has no room for another dimension", self.shape)));
        }
        let mut strides = self.strides;
        strides.copy_within(axis..MAX_DIMS - 1, axis + 1);
        strides[axis] = 1;
        Ok(Layout { shape: self.shape.inserted(axis, 1), strides, offset: self.offset })
    }

    /// The same elements in the same order under another shape, where that needs no copy.
    pub fn reshape(&self, shape: &Shape) -> Option<Layout> {
        if self.is_contiguous() {
            return Some(Layout { offset: self.offset, ..Layout::contiguous(*shape) });
        }
        // Both shapes are cut into the shortest runs of dimensions with equal products; a run of old dimensions can
        // be one new run only if its memory is one arithmetic progression.
        let old: Vec<usize> = (0..self.shape.len()).filter(|&i| self.shape[i] != 1).collect();
        let mut strides = [1isize; MAX_DIMS];
        let (mut i, mut j) = (0, 0);
        while i < old.len() {
            let (mut have, mut want, first_new) = (self.shape[old[i]], 1, j);
            let mut last = i;
            while j < shape.len() && (want < have || have != want) {
                want *= shape[j];
                j += 1;
                while have < want && last + 1 < old.len() {
                    let (a, b) = (old[last], old[last + 1]);
                    if self.strides[a] != self.strides[b] * self.shape[b] as isize {
                        return None;
                    }
                    have *= self.shape[b];
                    last += 1;
                }
            }
            if have != want {
                return None;
            }
            let mut step = self.strides[old[last]];
            for k in (first_new..j).rev() {
                strides[k] = step;
                step *= shape[k] as isize;
            }
            i = last + 1;
        }
        Some(Layout { shape: *shape, strides, offset: self.offset })
    }

    /// The lowest and one past the highest position that an element has, relative to the buffer's start.
    pub fn span(&self) -> (isize, isize) {
        let (mut low, mut high) = (self.offset as isize, self.offset as isize);
        if self.elements() == 0 {
            return (low, low);
        }
        for (i, &s) in self.strides().iter().enumerate() {
            let reach = s * (self.shape[i] as isize - 1);
            if reach < 0 { low += reach } else { high += reach }
        }
        (low, high + 1)
    }
}

impl PartialEq for Layout {
    fn eq(&self, other: &Layout) -> bool {
        self.shape == other.shape && self.strides() == other.strides() && self.offset == other.offset
    }
}

impl Eq for Layout {}

impl std::fmt::Debug for Layout {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} strides {:?} offset {}", self.shape, self.strides(), self.offset)
    }
}
