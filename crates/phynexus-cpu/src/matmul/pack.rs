//! Packing: copies operands into the order in which the micro-kernels read them, whatever their strides are.

use super::vector::{Number, Vector};

/// A panel of B: `k` rows of `cols` elements that become `width` wide.
#[derive(Clone, Copy)]
pub(super) struct Panel<T> {
    pub k: usize,
    pub cols: usize,
    pub width: usize,
    pub from: *const T,
    /// From k to k + 1, and from column to column.
    pub step: isize,
    pub col: isize,
    pub to: *mut T,
}

/// Fills the panel at `to`; what stands beyond `cols` is never used and may be anything.
///
/// # Safety
/// `from` holds the panel; `to` has room for `k * width` elements, and `width` is a multiple of the lanes.
#[inline(always)]
pub(super) unsafe fn panel<V: Vector>(p: &Panel<V::Elem>) {
    // SAFETY: all reads are of the panel's own elements or, where rows follow each other, of its next ones.
    unsafe {
        if p.col == 1 {
            // Whole vectors may reach over the row's end as long as a later row is there.
            let over = p.width - p.cols;
            let whole = match over {
                0 => p.k,
                _ if p.step > 0 => p.k.saturating_sub(over.div_ceil(p.step as usize)),
                _ => 0,
            };
            for i in 0..whole {
                let (from, to) = (p.from.offset(i as isize * p.step), p.to.add(i * p.width));
                for at in (0..p.width).step_by(V::LANES) {
                    V::load(from.add(at)).store(to.add(at));
                }
            }
            one_by_one(p, whole, 0, p.cols);
        } else if p.step == 1 {
            let (side_k, side_cols) = (p.k - p.k % V::SIDE, p.cols - p.cols % V::SIDE);
            for j in (0..side_cols).step_by(V::SIDE) {
                let from = p.from.offset(j as isize * p.col);
                for i in (0..side_k).step_by(V::SIDE) {
                    V::transpose(from.add(i), p.col, p.to.add(i * p.width + j), p.width);
                }
            }
            one_by_one(p, side_k, 0, side_cols);
            one_by_one(p, 0, side_cols, p.cols);
        } else {
            one_by_one(p, 0, 0, p.cols);
        }
    }
}

/// The rows from `k0` on of the columns `from..to`.
#[inline(always)]
unsafe fn one_by_one<T: Number>(p: &Panel<T>, k0: usize, from: usize, to: usize) {
    for j in from..to {
        for i in k0..p.k {
            // SAFETY: element (i, j) of the panel.
            unsafe { *p.to.add(i * p.width + j) = *p.from.offset(i as isize * p.step + j as isize * p.col) }
        }
    }
}

/// How one block of rows of A lies after packing: from row to row and from k to k + 1.
pub(super) fn block_strides(height: usize, k: usize, step: isize) -> (isize, isize) {
    if step == 1 { (k as isize, 1) } else { (1, height as isize) }
}

/// Copies `rows` rows (at most `height`) of `k` elements to `to`, laid out as [`block_strides`] says: rows that are
/// contiguous along K stay so, others are interleaved.
///
/// # Safety
/// `from` holds the block; `to` has room for `height * k` elements.
#[inline(always)]
pub(super) unsafe fn block<T: Number>(
    (height, rows, k): (usize, usize, usize),
    (from, row, step): (*const T, isize, isize),
    to: *mut T,
) {
    // SAFETY: elements (i, p) with i < rows, p < k on both sides.
    unsafe {
        if step == 1 {
            for i in 0..rows {
                std::ptr::copy_nonoverlapping(from.offset(i as isize * row), to.add(i * k), k);
            }
        } else if row == 1 && rows == height {
            for p in 0..k {
                std::ptr::copy_nonoverlapping(from.offset(p as isize * step), to.add(p * height), height);
            }
        } else {
            for p in 0..k {
                for i in 0..rows {
                    *to.add(p * height + i) = *from.offset(i as isize * row + p as isize * step);
                }
            }
        }
    }
}
