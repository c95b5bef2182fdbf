//! One matrix product: cut into blocks along K, packed where that pays, and computed tile by tile on all threads.
//!
//! An output element is the same chain of additions whatever the tile it lies in: blocks of K in order, within a block k
//! in order. So the bits depend on the shape and the strides alone, never on the number of threads.

use super::operand::Product;
use super::pack::{Panel, block, block_strides};
use super::scratch::Scratch;
use super::tile::{Dots, Tile};
use super::vector::Vector;
use crate::pool;
use phynexus_core::Result;
use std::ops::Range;

/// A panel of B of this size stays in the first cache, beside the rows of A that pass by,
const PANEL_BYTES: usize = 24 << 10;
/// but shorter ones than this would read and write the output too often.
const LEAST_DEPTH: usize = 256;
/// What is packed at once, along K and in rows and columns, so that working memory stays bounded.
const SUPER_DEPTH: usize = 2048;
const SUPER_SIDE: usize = 1152;
/// Vectors in a panel of B.
const WIDTH: usize = 2;
/// The same for a single row, where the sums would otherwise wait for each other.
const ROW_WIDTH: usize = 8;
/// Up to so many rows read B in place where both operands are contiguous along K.
const DOT_ROWS: usize = 4;
/// Rows of a strip.
const STRIP_ROWS: usize = 16;
/// Up to so many steps of K nothing but writing the output counts.
const SHORTEST: usize = 2;
/// Up to so many the output takes longer than the sums.
const SHORT: usize = 16;
/// Multiplications that make a task worth handing to another thread.
const GRAIN: usize = 128 << 10;

/// Calls `f` with every range of `step` below `n`; once with an empty one if n is 0.
fn ranges(n: usize, step: usize, mut f: impl FnMut(Range<usize>) -> Result<()>) -> Result<()> {
    let mut at = 0;
    loop {
        let end = n.min(at + step);
        f(at..end)?;
        at = end;
        if at == n {
            return Ok(());
        }
    }
}

/// The length of equal pieces of at most `most`, a multiple of `unit`.
fn even(n: usize, most: usize, unit: usize) -> usize {
    n.div_ceil(n.div_ceil(most).max(1)).next_multiple_of(unit).max(unit)
}

/// Nanoseconds that one thread takes, about.
pub(super) fn nanoseconds<V: Vector>(multiplications: usize) -> usize {
    multiplications / (4 * V::LANES)
}

/// Computes it.
///
/// # Safety
/// The operands are valid and the machine has V's instruction set.
pub(super) unsafe fn product<V: Vector>(p: &Product<V::Elem>) -> Result<()> {
    // SAFETY: passed on; then all of the lower triangle is computed.
    unsafe {
        unmirrored::<V>(p)?;
        if p.diagonal.is_some() {
            mirror::<V>(p);
        }
    }
    Ok(())
}

unsafe fn unmirrored<V: Vector>(p: &Product<V::Elem>) -> Result<()> {
    if p.m == 0 || p.n == 0 {
        return Ok(());
    }
    if p.m <= DOT_ROWS && p.b.row == 1 && (p.a.col == 1 || p.k == 1) && p.k >= 2 * V::LANES {
        // SAFETY: passed on.
        unsafe { few_rows::<V>(p) };
        return Ok(());
    }
    let strip = ROW_WIDTH * V::LANES;
    if (p.m == 1 || p.k <= SHORTEST) && p.b.col == 1 && p.n >= strip {
        let n = p.n - p.n % strip;
        // SAFETY: passed on.
        unsafe { by_strips::<V>(&p.part(0..p.m, 0..n)) };
        // SAFETY: passed on.
        return unsafe { unmirrored::<V>(&p.part(0..p.m, n..p.n)) };
    }
    let panel_depth = PANEL_BYTES / (WIDTH * V::LANES * size_of::<V::Elem>());
    let depth = even(p.k, panel_depth.max(LEAST_DEPTH), 8);
    ranges(p.k, depth * (SUPER_DEPTH / depth).max(1), |steps| {
        let p = p.steps(steps);
        ranges(p.n, even(p.n, SUPER_SIDE, WIDTH * V::LANES), |cols| {
            // SAFETY: passed on.
            unsafe { columns::<V>(&p.part(0..p.m, cols), depth) }
        })
    })
}

/// Copies what is below the diagonal of c over what is above.
unsafe fn mirror<V: Vector>(p: &Product<V::Elem>) {
    let (side, n) = (V::SIDE, p.n);
    pool::run(n.div_ceil(side), n * n / 4, &|i| {
        let (c0, rows) = (i * side, side.min(n - i * side));
        // SAFETY: squares of c; above the diagonal each is written by one call, below it they are only read.
        unsafe {
            let at = |r: usize, c: usize| p.c.offset(r as isize * p.c_row).add(c);
            let whole = if rows == side { c0 / side } else { 0 };
            for j in 0..whole {
                V::transpose(at(c0, j * side), p.c_row, at(j * side, c0), p.c_row as usize);
            }
            for c in whole * side..c0 + rows {
                (c0.max(c + 1)..c0 + rows).for_each(|r| *at(c, r) = *at(r, c));
            }
        }
    });
}

/// A few rows by columns that are contiguous along K.
unsafe fn few_rows<V: Vector>(p: &Product<V::Elem>) {
    let group = (GRAIN / (p.m * p.k)).next_multiple_of(4).max(4);
    pool::run(p.n.div_ceil(group), nanoseconds::<V>(8 * p.m * p.n * p.k), &|i| {
        let p = p.part(0..p.m, i * group..p.n.min((i + 1) * group));
        // SAFETY: the caller's operands; the ranges of columns are disjoint.
        unsafe {
            V::run_dots(&Dots {
                m: p.m,
                n: p.n,
                k: p.k,
                a: p.a.at,
                a_row: p.a.row,
                b: p.b.at,
                b_col: p.b.col,
                c: p.c,
                c_row: p.c_row,
                ends: p.ends,
            })
        }
        finished(&p);
    });
}

/// Row by row with a matrix whose rows are contiguous, in strips of few rows: the output is written as it lies.
unsafe fn by_strips<V: Vector>(p: &Product<V::Elem>) {
    let wide = ROW_WIDTH * V::LANES;
    let strips = p.n / wide;
    // A single row is shared by its strips, several rows are shared by rows.
    let (chunks, each) = if p.m == 1 { (strips, 1) } else { (p.m.div_ceil(STRIP_ROWS), strips) };
    pool::run(chunks, nanoseconds::<V>(8 * p.m * p.n * p.k), &|chunk| {
        for i in chunk * each..(chunk + 1) * each {
            let (r, c) = (i / strips * STRIP_ROWS, i % strips * wide);
            let p = p.part(r..p.m.min(r + STRIP_ROWS), c..c + wide);
            let a = Lines { at: p.a.at, row: 0, step: p.a.col, block: p.a.row };
            // SAFETY: the caller's operands; the strips are disjoint.
            unsafe { V::run_rows(&tile(&p, &a, p.b.at, p.b.row, p.n, p.m), 1, ROW_WIDTH) };
            finished(&p);
        }
    });
}

fn finished<T: Copy>(p: &Product<T>) {
    if let Some(after) = p.after {
        after(p.c, p.m, p.n, p.c_row);
    }
}

/// How the rows of A are read.
#[derive(Clone, Copy)]
struct Lines<T> {
    at: *const T,
    row: isize,
    step: isize,
    block: isize,
}

fn tile<T: Copy>(
    p: &Product<T>,
    a: &Lines<T>,
    b: *const T,
    b_step: isize,
    cols: usize,
    blocks: usize,
) -> Tile<T> {
    Tile {
        k: p.k,
        a: a.at,
        a_row: a.row,
        a_step: a.step,
        a_block: a.block,
        b,
        b_step,
        c: p.c,
        c_row: p.c_row,
        cols,
        blocks,
        ends: p.ends,
    }
}

/// Where packed operands are; null where they are read in place.
#[derive(Clone, Copy)]
struct Packed<T> {
    a: *mut T,
    b: *mut T,
    /// The panels of B that are read in place come first.
    direct: usize,
    /// Length of the blocks of K.
    depth: usize,
}

// SAFETY: threads fill disjoint parts, then all only read.
unsafe impl<T> Sync for Packed<T> {}

/// All rows of some columns, some steps of K.
unsafe fn columns<V: Vector>(p: &Product<V::Elem>, depth: usize) -> Result<()> {
    let nr = WIDTH * V::LANES;
    let panels = p.n.div_ceil(nr);
    // In place if the panel is as wide as the vectors that read it, and either short or read only once or twice.
    let in_place = p.b.col == 1 && (p.m <= 2 * V::ROWS || p.k.saturating_mul(p.b.row.unsigned_abs()) <= 4096);
    let direct = if in_place { p.n.next_multiple_of(V::LANES) } else { 0 };
    let direct = if direct == p.n { panels } else { direct.min(p.n) / nr };
    let side = even(p.m, SUPER_SIDE, V::ROWS);
    let pack_a = p.n > 4 * nr && p.m * p.k > 4096;
    let b_size = (panels - direct) * nr * p.k;
    let mut scratch = Scratch::new::<V::Elem>(b_size + if pack_a { side * p.k } else { 0 })?;
    let b = scratch.pointer::<V::Elem>();
    // SAFETY: the second part of the scratch memory.
    let a = if pack_a { unsafe { b.add(b_size) } } else { std::ptr::null_mut() };
    let packed = Packed { a, b, direct, depth };
    ranges(p.m, side, |rows| {
        let fresh = if rows.start == 0 { panels - direct } else { 0 };
        let p = p.part(rows, 0..p.n);
        let blocks = if pack_a { p.m.div_ceil(V::ROWS) } else { 0 };
        let elements = fresh * nr * p.k + blocks * V::ROWS * p.k;
        pool::run(fresh + blocks, elements / 4, &|i| {
            // SAFETY: each call fills its own part.
            unsafe {
                match i.checked_sub(fresh) {
                    None => pack_panel::<V>(&p, &packed, direct + i),
                    Some(i) => pack_block::<V>(&p, &packed, i),
                }
            }
        });
        // Small parts leave more of what is mirrored out.
        let most = if p.diagonal.is_some() { 4 } else { 16 };
        let (high, wide) = grid([p.m, p.n, p.k], (V::ROWS, WIDTH * V::LANES), most);
        let down = p.m.div_ceil(high);
        pool::run(down * p.n.div_ceil(wide), nanoseconds::<V>(p.m * p.n * p.k), &|i| {
            let (r, c) = (i % down * high, i / down * wide);
            let part = p.part(r..p.m.min(r + high), c..p.n.min(c + wide));
            if !part.is_mirrored() {
                // SAFETY: everything is packed; the parts of c are disjoint.
                unsafe { compute::<V>(&part, &packed, r, c / nr, p.k) }
            }
        });
        Ok(())
    })
}

/// Rows and columns of the parts that are shared among threads, in units of a tile's, of which they have at most so many.
fn grid([m, n, k]: [usize; 3], (row, col): (usize, usize), most: usize) -> (usize, usize) {
    let (mut high, mut wide) = (even(m, most * row, row), even(n, most * col, col));
    while high * wide * k.max(1) > GRAIN && m.div_ceil(high) * n.div_ceil(wide) < 8 {
        let (lower, narrower) = (even(high, high / 2, row), even(wide, wide / 2, col));
        if narrower < wide && (wide >= 2 * high.max(col / 2) || high <= row) {
            wide = narrower;
        } else if lower < high {
            high = lower;
        } else {
            break;
        }
    }
    (high, wide)
}

unsafe fn pack_panel<V: Vector>(p: &Product<V::Elem>, packed: &Packed<V::Elem>, j: usize) {
    let nr = WIDTH * V::LANES;
    let cols = (p.n - j * nr).min(nr);
    let from = p.b.from(0, j * nr);
    let panel = Panel {
        k: p.k,
        cols,
        width: cols.next_multiple_of(V::LANES),
        from: from.at,
        step: from.row,
        col: from.col,
        // SAFETY: inside the scratch memory.
        to: unsafe { packed.b.add((j - packed.direct) * nr * p.k) },
    };
    // SAFETY: the operand's elements and this panel's place.
    unsafe { V::run_panel(&panel) }
}

unsafe fn pack_block<V: Vector>(p: &Product<V::Elem>, packed: &Packed<V::Elem>, i: usize) {
    let rows = (p.m - i * V::ROWS).min(V::ROWS);
    for k0 in (0..p.k).step_by(packed.depth) {
        let k = (p.k - k0).min(packed.depth);
        let from = p.a.from(i * V::ROWS, k0);
        // SAFETY: the operand's elements and this block's place.
        unsafe {
            let to = packed.a.add(i * V::ROWS * p.k + k0 * V::ROWS);
            block((V::ROWS, rows, k), (from.at, from.row, from.col), to);
        }
    }
}

/// A part of the output that begins at row `r0` and panel `j0` of what was packed for `super_k` steps.
unsafe fn compute<V: Vector>(
    whole: &Product<V::Elem>,
    packed: &Packed<V::Elem>,
    r0: usize,
    j0: usize,
    super_k: usize,
) {
    let nr = WIDTH * V::LANES;
    let mut k0 = 0;
    loop {
        let p = whole.steps(k0..whole.k.min(k0 + packed.depth));
        let lines = if packed.a.is_null() {
            Lines { at: p.a.at, row: p.a.row, step: p.a.col, block: V::ROWS as isize * p.a.row }
        } else {
            let (row, step) = block_strides(V::ROWS, p.k, p.a.col);
            let at = packed.a.wrapping_add(r0 * super_k + k0 * V::ROWS);
            Lines { at, row, step, block: (V::ROWS * super_k) as isize }
        };
        let (blocks, rest) = (p.m / V::ROWS, p.m % V::ROWS);
        // Down the panel, which so stays in the first cache; but along the rows where it is short and the output counts.
        let run = if p.k <= SHORT && p.n >= 8 * nr { 1 } else { blocks.max(1) };
        for first in (0..blocks.max(1)).step_by(run) {
            let lines = Lines { at: lines.at.wrapping_offset(first as isize * lines.block), ..lines };
            let r0 = first * V::ROWS;
            for j in 0..p.n.div_ceil(nr) {
                let q = p.part(r0..p.m, j * nr..p.n.min((j + 1) * nr));
                let vectors = q.n.div_ceil(V::LANES);
                let (b, b_step) = if j0 + j < packed.direct {
                    (q.b.at, q.b.row)
                } else {
                    let width = vectors * V::LANES;
                    let panel = packed.b.wrapping_add((j0 + j - packed.direct) * nr * super_k);
                    (panel.wrapping_add(k0 * width).cast_const(), width as isize)
                };
                let count = run.min(blocks - first);
                // SAFETY: the tiles of this part.
                unsafe {
                    let main = tile(&q, &lines, b, b_step, q.n, count);
                    if count > 0 {
                        V::run_rows(&main, V::ROWS, vectors);
                    }
                    if rest > 0 && first + count == blocks {
                        let a = main.a.wrapping_offset(count as isize * lines.block);
                        let c = main.c.wrapping_offset((count * V::ROWS) as isize * q.c_row);
                        V::run_rows(&Tile { a, c, blocks: 1, ..main }, rest, vectors);
                    }
                }
            }
        }
        k0 += p.k;
        if k0 == whole.k {
            break;
        }
    }
    finished(whole);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of every kind of register, those that this machine does not have too.
    #[test]
    fn parts_of_any_product_are_found() {
        for tile in [(6, 16), (6, 8), (12, 32), (12, 16), (4, 8)] {
            for (m, n) in (1..130).flat_map(|m| (1..20).map(move |n| (m, 7 * n - 6))) {
                for k in [0, 1, 300, 342, 512, 1366, 2000, 5000, 1 << 20] {
                    for most in [4, 16] {
                        let (high, wide) = grid([m, n, k], tile, most);
                        assert!(high.is_multiple_of(tile.0) && wide.is_multiple_of(tile.1));
                        assert!(high <= most * tile.0 && wide <= most * tile.1);
                    }
                }
            }
        }
    }
}
