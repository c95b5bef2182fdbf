//! The micro-kernels. [`rows`] keeps a tile of the output in registers and walks along K: vectors of B, broadcast elements
//! of A, so that A may have any strides. [`dots`] serves a few rows whose operands are both contiguous along K, without
//! packing.

use super::vector::{Number, Vector};
use std::hint::black_box;
use std::mem::MaybeUninit;

/// What starts and ends the sum of an output element.
#[derive(Clone, Copy)]
pub(super) struct Ends<T> {
    /// Added to each row, if not null.
    pub bias: *const T,
    /// Whether the sum is added to what the output holds.
    pub accumulate: bool,
    /// Whether negative results become zero.
    pub at_least_zero: bool,
}

/// `blocks` blocks of rows of one column panel.
#[derive(Clone, Copy)]
pub(super) struct Tile<T> {
    pub k: usize,
    pub a: *const T,
    /// From row to row, from k to k + 1, and from block to block.
    pub a_row: isize,
    pub a_step: isize,
    pub a_block: isize,
    pub b: *const T,
    pub b_step: isize,
    pub c: *mut T,
    pub c_row: isize,
    pub cols: usize,
    pub blocks: usize,
    pub ends: Ends<T>,
}

/// Blocks of `R` rows, `W` vectors wide.
///
/// # Safety
/// Everything that the tile names is valid; b holds whole vectors, c and bias `cols` elements of a row.
#[inline(always)]
pub(super) unsafe fn rows<V: Vector, const R: usize, const W: usize>(t: &Tile<V::Elem>) {
    // SAFETY: all addresses are the tile's.
    unsafe {
        let whole = t.cols == W * V::LANES;
        let least = if t.ends.at_least_zero { V::Elem::ZERO } else { V::Elem::LEAST };
        let least = V::splat(&least);
        let mut start = [V::zero(); W];
        if !t.ends.bias.is_null() {
            for (w, v) in start.iter_mut().enumerate() {
                *v = load_some(t.ends.bias, w, t.cols);
            }
        }
        let (mut a, mut c) = (t.a, t.c);
        for _ in 0..t.blocks {
            let sums = sums::<V, R, W>(t, a, &start);
            if whole && t.ends.accumulate {
                each::<R, W>(|r, w| {
                    let at = c.offset(r as isize * t.c_row).add(w * V::LANES);
                    sums[r][w].plus(V::load(at)).at_least(least).store(at);
                });
            } else if whole {
                each::<R, W>(|r, w| {
                    sums[r][w].at_least(least).store(c.offset(r as isize * t.c_row).add(w * V::LANES));
                });
            } else {
                // Through memory, so that the code for parts of vectors is there once, not for each register.
                let mut done = MaybeUninit::<[[V; W]; R]>::uninit();
                each::<R, W>(|r, w| done.as_mut_ptr().cast::<V>().add(r * W + w).write(sums[r][w]));
                for (r, row) in done.assume_init_ref().iter().enumerate() {
                    let c = c.offset(r as isize * t.c_row);
                    for (w, &sum) in row.iter().enumerate() {
                        let sum = if t.ends.accumulate { sum.plus(load_some(c, w, t.cols)) } else { sum };
                        store_some(sum.at_least(least), c, w, t.cols);
                    }
                }
            }
            a = a.offset(t.a_block);
            c = c.offset(R as isize * t.c_row);
        }
    }
}

/// Calls `f` for each register of a tile; the loops are short and become straight code.
#[inline(always)]
fn each<const R: usize, const W: usize>(mut f: impl FnMut(usize, usize)) {
    for r in 0..R {
        for w in 0..W {
            f(r, w);
        }
    }
}

/// Vector `w` of a row of `cols` elements.
#[inline(always)]
unsafe fn load_some<V: Vector>(row: *const V::Elem, w: usize, cols: usize) -> V {
    let at = w * V::LANES;
    // SAFETY: the row's elements only.
    unsafe { if cols >= at + V::LANES { V::load(row.add(at)) } else { V::load_part(row.add(at), cols - at) } }
}

/// Stores vector `w` of a row of `cols` elements.
#[inline(always)]
unsafe fn store_some<V: Vector>(v: V, row: *mut V::Elem, w: usize, cols: usize) {
    let at = w * V::LANES;
    // SAFETY: the row's elements only.
    unsafe { if cols >= at + V::LANES { v.store(row.add(at)) } else { v.store_part(row.add(at), cols - at) } }
}

/// The sums over k of one block.
#[inline(always)]
#[allow(clippy::needless_range_loop, reason = "indices of registers")]
unsafe fn sums<V: Vector, const R: usize, const W: usize>(
    t: &Tile<V::Elem>,
    a: *const V::Elem,
    start: &[V; W],
) -> [[V; W]; R] {
    // SAFETY: all addresses are the tile's.
    unsafe {
        let mut sums = [*start; R];
        // The compiler makes one chain of additions of the addresses of a step; two shorter ones run beside the sums.
        let mut upper = if R > 6 { black_box(a.wrapping_offset(6 * t.a_row)) } else { a };
        let (mut a, mut b) = (a, t.b);
        for _ in 0..t.k {
            let vectors: [V; W] = std::array::from_fn(|w| V::load(b.add(w * V::LANES)));
            for r in 0..R {
                let x = V::splat(if r < 6 {
                    a.offset(r as isize * t.a_row)
                } else {
                    upper.offset((r as isize - 6) * t.a_row)
                });
                for w in 0..W {
                    sums[r][w] = x.mul_add(vectors[w], sums[r][w]);
                }
            }
            a = a.wrapping_offset(t.a_step);
            upper = upper.wrapping_offset(t.a_step);
            b = b.wrapping_offset(t.b_step);
        }
        sums
    }
}

/// Some columns of a few rows, both operands contiguous along K.
#[derive(Clone, Copy)]
pub(super) struct Dots<T> {
    pub m: usize,
    pub n: usize,
    pub k: usize,
    pub a: *const T,
    pub a_row: isize,
    pub b: *const T,
    pub b_col: isize,
    pub c: *mut T,
    pub c_row: isize,
    pub ends: Ends<T>,
}

/// Inner products, four columns at a time.
///
/// # Safety
/// Everything that the work names is valid.
#[inline(always)]
pub(super) unsafe fn dots<V: Vector>(d: &Dots<V::Elem>) {
    // SAFETY: all addresses are the work's.
    unsafe {
        let mut j = 0;
        while j < d.n {
            let four = j + 4 <= d.n;
            for i in 0..d.m {
                let (a, b) = (d.a.offset(i as isize * d.a_row), d.b.offset(j as isize * d.b_col));
                let c = d.c.offset(i as isize * d.c_row).add(j);
                let ends = Ends {
                    bias: if d.ends.bias.is_null() { d.ends.bias } else { d.ends.bias.add(j) },
                    ..d.ends
                };
                if four {
                    store(dot::<V, 4>(a, b, d.b_col, d.k), c, &ends);
                } else {
                    store(dot::<V, 1>(a, b, d.b_col, d.k), c, &ends);
                }
            }
            j += if four { 4 } else { 1 };
        }
    }
}

/// One row of A with `C` columns of B, two sums for each to hide the latency.
#[inline(always)]
#[allow(clippy::needless_range_loop, reason = "indices of registers")]
unsafe fn dot<V: Vector, const C: usize>(
    a: *const V::Elem,
    b: *const V::Elem,
    b_col: isize,
    k: usize,
) -> [V::Elem; C] {
    // SAFETY: `k` elements of the row and of each column.
    unsafe {
        let column: [*const V::Elem; C] = std::array::from_fn(|j| b.offset(j as isize * b_col));
        let mut sums = [[V::zero(); 2]; C];
        let mut at = 0;
        while at + 2 * V::LANES <= k {
            for half in 0..2 {
                let x = V::load(a.add(at));
                for j in 0..C {
                    sums[j][half] = x.mul_add(V::load(column[j].add(at)), sums[j][half]);
                }
                at += V::LANES;
            }
        }
        while at < k {
            let part = (k - at).min(V::LANES);
            let load = |p: *const V::Elem| if part == V::LANES { V::load(p) } else { V::load_part(p, part) };
            let x = load(a.add(at));
            for j in 0..C {
                sums[j][0] = x.mul_add(load(column[j].add(at)), sums[j][0]);
            }
            at += part;
        }
        sums.map(|[x, y]| x.plus(y).sum())
    }
}

#[inline(always)]
unsafe fn store<T: Number, const C: usize>(sums: [T; C], c: *mut T, ends: &Ends<T>) {
    for (j, &sum) in sums.iter().enumerate() {
        // SAFETY: `C` elements at c and at the bias.
        unsafe {
            let mut value = sum;
            if !ends.bias.is_null() {
                value = value.plus(*ends.bias.add(j));
            }
            if ends.accumulate {
                value = value.plus(*c.add(j));
            }
            *c.add(j) = if ends.at_least_zero { value.at_least(T::ZERO) } else { value };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::vector::Wide;
    use super::*;

    /// All heights, also those that only AVX-512 uses.
    #[test]
    fn tiles_of_every_height() {
        fn check<const R: usize>() {
            const K: usize = 5;
            let a: Vec<f32> = (0..2 * R * K).map(|i| (i * i % 11) as f32 - 5.0).collect();
            let b: Vec<f32> = (0..K * 8).map(|i| (i * i % 7) as f32 - 3.0).collect();
            let mut c = vec![f32::NAN; 2 * R * 7];
            let tile = Tile {
                k: K,
                a: a.as_ptr(),
                a_row: K as isize,
                a_step: 1,
                a_block: (R * K) as isize,
                b: b.as_ptr(),
                b_step: 8,
                c: c.as_mut_ptr(),
                c_row: 7,
                cols: 7,
                blocks: 2,
                ends: Ends { bias: b.as_ptr(), accumulate: false, at_least_zero: true },
            };
            // SAFETY: vectors of the sizes that the tile says.
            unsafe { rows::<Wide<f32, 4>, R, 2>(&tile) };
            for (i, &found) in c.iter().enumerate() {
                let (row, col) = (i / 7, i % 7);
                let sum: f32 = (0..K).map(|p| a[row * K + p] * b[p * 8 + col]).sum();
                assert_eq!(found, (sum + b[col]).max(0.0), "height {R}, row {row}, column {col}");
            }
        }
        check::<1>();
        check::<6>();
        check::<7>();
        check::<9>();
        check::<12>();
    }
}
