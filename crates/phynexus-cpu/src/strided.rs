//! Walking over the elements of several operands at once, in row-major order, whatever their strides.

use crate::pool;
use phynexus_core::{MAX_DIMS, View};
use std::ops::Range;

/// A pointer that the threads of one launch share; they touch disjoint elements.
pub(crate) struct Ptr<T>(*mut T);

impl<T> Clone for Ptr<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Ptr<T> {}

// SAFETY: a launch gives each thread its own elements to write, and nobody writes what is read.
unsafe impl<T> Send for Ptr<T> {}
// SAFETY: as above.
unsafe impl<T> Sync for Ptr<T> {}

impl<T> Ptr<T> {
    /// The first element of a view, as the address of a `T`.
    pub fn of(view: &View<'_>) -> Ptr<T> {
        let start = view.buffer.handle() as *mut u8;
        Ptr(start.wrapping_add(view.layout.offset() * view.dtype.size()).cast())
    }

    /// The same address as that of a `U`.
    pub fn cast<U>(self) -> Ptr<U> {
        Ptr(self.0.cast())
    }

    /// The first element of a slice.
    pub fn of_slice(slice: &mut [T]) -> Ptr<T> {
        Ptr(slice.as_mut_ptr())
    }

    /// The element at a distance.
    #[inline(always)]
    pub fn at(self, offset: isize) -> *mut T {
        self.0.wrapping_offset(offset)
    }
}

/// The common shape of `N` operands and their strides, without dimensions of size 1 and with neighbouring dimensions merged
/// where every operand allows it. There is always at least one dimension.
#[derive(Clone, Copy)]
pub(crate) struct Walk<const N: usize> {
    len: usize,
    sizes: [usize; MAX_DIMS],
    strides: [[isize; N]; MAX_DIMS],
}

/// Consecutive elements along the last dimension of a [`Walk`].
pub(crate) struct Run<const N: usize> {
    /// Row-major position of the first.
    pub at: usize,
    /// Where it stands in each operand.
    pub offset: [isize; N],
    /// How many there are.
    pub count: usize,
}

impl<const N: usize> Walk<N> {
    /// A walk over operands of shape `sizes`.
    pub fn new(sizes: &[usize], strides: [&[isize]; N]) -> Walk<N> {
        let mut walk = Walk { len: 0, sizes: [1; MAX_DIMS], strides: [[0; N]; MAX_DIMS] };
        for (i, &size) in sizes.iter().enumerate() {
            if size != 1 {
                walk.push(size, std::array::from_fn(|operand| strides[operand][i]));
            }
        }
        walk.len = walk.len.max(1);
        walk
    }

    fn push(&mut self, size: usize, strides: [isize; N]) {
        if let Some(last) = self.len.checked_sub(1)
            && (0..N).all(|n| self.strides[last][n] == strides[n] * size as isize)
        {
            self.sizes[last] *= size;
            self.strides[last] = strides;
        } else {
            self.sizes[self.len] = size;
            self.strides[self.len] = strides;
            self.len += 1;
        }
    }

    /// The number of elements.
    pub fn elements(&self) -> usize {
        self.sizes[..self.len].iter().product()
    }

    /// Whether all is one run.
    pub fn is_flat(&self) -> bool {
        self.len == 1
    }

    /// Size and strides of the last dimension.
    #[inline(always)]
    pub fn last(&self) -> (usize, [isize; N]) {
        (self.sizes[self.len - 1], self.strides[self.len - 1])
    }

    /// The walk over all dimensions but the last.
    pub fn outer(&self) -> Walk<N> {
        let mut outer = *self;
        outer.len -= 1;
        if outer.len == 0 {
            (outer.len, outer.sizes[0], outer.strides[0]) = (1, 1, [0; N]);
        }
        outer
    }

    /// Index and offsets of the element at row-major position `at`.
    fn locate(&self, at: usize) -> ([usize; MAX_DIMS], [isize; N]) {
        let (mut index, mut offset, mut rest) = ([0; MAX_DIMS], [0; N], at);
        if at > 0 {
            for d in (0..self.len).rev() {
                index[d] = rest % self.sizes[d];
                rest /= self.sizes[d];
                advance(&mut offset, &self.strides[d], index[d] as isize);
            }
        }
        (index, offset)
    }

    /// The elements at row-major positions `range`, as runs along the last dimension.
    pub fn runs(&self, range: Range<usize>) -> Runs<'_, N> {
        let (index, offset) =
            if range.is_empty() { ([0; MAX_DIMS], [0; N]) } else { self.locate(range.start) };
        Runs { walk: self, range, index, offset }
    }
}

/// Moves every operand by `count` steps of its stride.
#[inline(always)]
fn advance<const N: usize>(offset: &mut [isize; N], strides: &[isize; N], count: isize) {
    for (offset, stride) in offset.iter_mut().zip(strides) {
        *offset += count * stride;
    }
}

/// The iterator of [`Walk::runs`].
pub(crate) struct Runs<'a, const N: usize> {
    walk: &'a Walk<N>,
    range: Range<usize>,
    index: [usize; MAX_DIMS],
    offset: [isize; N],
}

impl<const N: usize> Runs<'_, N> {
    fn step(&mut self, dim: usize, count: usize) {
        self.index[dim] += count;
        advance(&mut self.offset, &self.walk.strides[dim], count as isize);
    }
}

impl<const N: usize> Iterator for Runs<'_, N> {
    type Item = Run<N>;

    fn next(&mut self) -> Option<Run<N>> {
        let at = self.range.start;
        if at >= self.range.end {
            return None;
        }
        let mut dim = self.walk.len - 1;
        let count = (self.walk.sizes[dim] - self.index[dim]).min(self.range.end - at);
        let run = Run { at, offset: self.offset, count };
        self.range.start += count;
        self.step(dim, count);
        while dim > 0 && self.index[dim] == self.walk.sizes[dim] {
            advance(&mut self.offset, &self.walk.strides[dim], -(self.index[dim] as isize));
            self.index[dim] = 0;
            dim -= 1;
            self.step(dim, 1);
        }
        Some(run)
    }
}

/// Runs `f` over `0..total` in pieces of `grain`, in parallel where `work_ns` in total is worth it.
pub(crate) fn split(total: usize, grain: usize, work_ns: usize, f: impl Fn(Range<usize>) + Sync) {
    let grain = grain.max(1);
    if total <= grain {
        return f(0..total);
    }
    pool::run(total.div_ceil(grain), work_ns, &|chunk| f(chunk * grain..((chunk + 1) * grain).min(total)));
}
