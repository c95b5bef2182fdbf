//! What is multiplied: matrices by their strides, and parts of a product.

use super::tile::Ends;
use std::ops::Range;

/// A matrix by its first element and its strides.
#[derive(Clone, Copy)]
pub(super) struct Operand<T> {
    pub at: *const T,
    pub row: isize,
    pub col: isize,
}

impl<T> Operand<T> {
    /// The same from another element on.
    pub fn from(self, row: usize, col: usize) -> Self {
        // An offset inside the operand, or one that is not read.
        Operand { at: self.at.wrapping_offset(row as isize * self.row + col as isize * self.col), ..self }
    }

    /// Rows and columns exchanged.
    pub fn transposed(self) -> Self {
        Operand { at: self.at, row: self.col, col: self.row }
    }
}

/// What runs over every finished part of the output: first element, rows, columns, and the distance of rows.
pub(super) type After<'a, T> = &'a (dyn Fn(*mut T, usize, usize, isize) + Sync);

/// `c = a * b (+ bias) (+ c)`, where rows of c are contiguous.
#[derive(Clone, Copy)]
pub(super) struct Product<'a, T> {
    pub m: usize,
    pub n: usize,
    pub k: usize,
    pub a: Operand<T>,
    pub b: Operand<T>,
    pub c: *mut T,
    pub c_row: isize,
    pub ends: Ends<T>,
    pub after: Option<After<'a, T>>,
    /// If c is symmetric, by how much the diagonal lies below its first element: nothing above it need be computed.
    pub diagonal: Option<isize>,
}

// SAFETY: shared among threads that write disjoint parts of c and only read the rest.
unsafe impl<T> Sync for Product<'_, T> {}

impl<T: Copy> Product<'_, T> {
    /// Only some rows and columns.
    pub fn part(&self, rows: Range<usize>, cols: Range<usize>) -> Self {
        let mut ends = self.ends;
        if !ends.bias.is_null() {
            ends.bias = ends.bias.wrapping_add(cols.start);
        }
        Product {
            m: rows.len(),
            n: cols.len(),
            a: self.a.from(rows.start, 0),
            b: self.b.from(0, cols.start),
            c: self.c.wrapping_offset(rows.start as isize * self.c_row).wrapping_add(cols.start),
            ends,
            diagonal: self.diagonal.map(|at| at + cols.start as isize - rows.start as isize),
            ..*self
        }
    }

    /// Whether all of it mirrors what lies below the diagonal.
    pub fn is_mirrored(&self) -> bool {
        self.diagonal.is_some_and(|at| at >= self.m as isize)
    }

    /// The steps `depth` of K; the others come before and after.
    pub fn steps(&self, depth: Range<usize>) -> Self {
        let mut ends = self.ends;
        if depth.start > 0 {
            ends = Ends { bias: std::ptr::null(), accumulate: true, ..ends };
        }
        let last = depth.end == self.k;
        ends.at_least_zero &= last;
        Product {
            k: depth.len(),
            a: self.a.from(0, depth.start),
            b: self.b.from(depth.start, 0),
            ends,
            after: self.after.filter(|_| last),
            ..*self
        }
    }
}
