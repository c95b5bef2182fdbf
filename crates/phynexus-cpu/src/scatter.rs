//! Writing and adding elements by index: the gradient of an embedding, and assignment by an index tensor.
//!
//! The contributions to one destination arrive in row-major order of the source: work is cut only across dimensions
//! that the index does not select from, where destinations never meet.

use crate::element::{Element, with_element};
use crate::gather::{Outside, Picked, still};
use crate::simd::vectorised;
use crate::strided::{Ptr, Walk, split};
use phynexus_core::{DType, MAX_DIMS, Result, ScatterOp, Task};
use std::marker::PhantomData;
use std::ops::Range;

/// Elements that are worth a job of their own.
const GRAIN: usize = 1 << 14;
/// The shortest piece of a row that is worth a job of its own.
const PIECE: usize = 64;

/// `out[i, index[i, j, k], k] op= source[i, j, k]` along `axis`, for the inputs (index, source). Nothing is written where
/// an index is out of range.
pub(crate) fn launch(axis: usize, op: ScatterOp, task: &Task<'_>) -> Result<()> {
    let picked = Picked::new(&task.outputs[0], axis);
    picked.check(&task.inputs[0])?;
    let dtype = task.outputs[0].dtype;
    match (op, dtype) {
        (ScatterOp::Set, _) => match dtype.size() {
            1 => scatter::<Set<u8>>(picked, task),
            2 => scatter::<Set<u16>>(picked, task),
            4 => scatter::<Set<u32>>(picked, task),
            _ => scatter::<Set<u64>>(picked, task),
        },
        (ScatterOp::Add, DType::Bool) => scatter::<Or>(picked, task),
        (ScatterOp::Add, _) => with_element!(dtype, T => scatter::<Add<T>>(picked, task)),
    }
}

/// What becomes of an element.
trait Combine {
    type T: Copy + Send + Sync;
    fn combine(old: Self::T, new: Self::T) -> Self::T;
}

struct Set<T>(PhantomData<T>);
struct Add<T>(PhantomData<T>);
struct Or;

impl<T: Copy + Send + Sync> Combine for Set<T> {
    type T = T;
    #[inline(always)]
    fn combine(_old: T, new: T) -> T {
        new
    }
}

impl<T: Element> Combine for Add<T> {
    type T = T;
    #[inline(always)]
    fn combine(old: T, new: T) -> T {
        old.plus(new)
    }
}

impl Combine for Or {
    type T = u8;
    #[inline(always)]
    fn combine(old: u8, new: u8) -> u8 {
        old | new
    }
}

/// A rectangle of the source: `rows` along the selected dimension and `count` neighbours, with the strides of output, index
/// and source in both directions (the output moves along rows by its index alone).
#[derive(Clone, Copy)]
struct Rectangle {
    rows: usize,
    along: [isize; 3],
    count: usize,
    beside: [isize; 3],
    picked: Picked,
}

fn scatter<C: Combine>(picked: Picked, task: &Task<'_>) -> Result<()> {
    let axis = picked.axis;
    let (index, source, output) = (&task.inputs[0], &task.inputs[1], &task.outputs[0]);
    let shape = source.layout.shape();
    let total = shape.elements();
    if total == 0 {
        return Ok(());
    }
    let mut held = [0; MAX_DIMS];
    let strides = [still(output, axis, &mut held), index.layout.strides(), source.layout.strides()];
    let (rows, along) = (shape[axis], strides.map(|s| s[axis]));
    // Of the other dimensions the last is the rectangle's width, unless rows themselves are what lies together.
    let others = Walk::new(&shape.without(axis, true), strides);
    let wide = shape[axis + 1..].iter().any(|&size| size > 1);
    let (outer, (count, beside)) = if wide { (others.outer(), others.last()) } else { (others, (1, [0; 3])) };
    let rectangle = Rectangle { rows, along, count, beside, picked };
    let (to, at, from) = (Ptr::<C::T>::of(output), Ptr::<i64>::of(index), Ptr::<C::T>::of(source));
    let work_ns = total * (size_of::<C::T>() + 4) / 8;
    let outside = Outside::default();
    let run = |rectangles: Range<usize>, piece: Range<usize>| {
        let [a, b, c] = beside.map(|s| s * piece.start as isize);
        let part = Rectangle { count: piece.len(), ..rectangle };
        let (_, step) = outer.last();
        for run in outer.runs(rectangles) {
            for i in 0..run.count as isize {
                let [x, y, z] = std::array::from_fn(|n| run.offset[n] + i * step[n]);
                // SAFETY: the walks stay within the views, and no other job has these destinations.
                let done = unsafe { add_rows::<C>(to.at(x + a), at.at(y + b), from.at(z + c), part) };
                if let Err(index) = done {
                    return outside.note(run.at, index);
                }
            }
        }
    };
    if outer.elements() > 1 {
        split(outer.elements(), GRAIN / (rows * count), work_ns, |range| run(range, 0..count));
    } else {
        split(count, (GRAIN / rows).max(PIECE), work_ns, |piece| run(0..1, piece));
    }
    outside.result(picked)
}

vectorised! {
    /// One rectangle, up to an index that is out of range by now; the pointers must be valid for all of it.
    unsafe fn add_rows<C: Combine>(to: *mut C::T, at: *const i64, from: *const C::T, part: Rectangle) -> std::result::Result<(), i64> {
        let Rectangle { rows, along: [_, index_along, source_along], count, beside: [out, index, source], picked } = part;
        if count == 1 {
            let each = |index: isize, source: isize| {
                // SAFETY: the caller says that all this is valid but for the index, which is checked as it is read.
                unsafe {
                    let to = to.offset(picked.offset(at.offset(index))?);
                    *to = C::combine(*to, *from.offset(source));
                }
                Ok(())
            };
            return if (index_along, source_along) == (1, 1) {
                (0..rows as isize).try_for_each(|row| each(row, row))
            } else {
                (0..rows as isize).try_for_each(|row| each(row * index_along, row * source_along))
            };
        }
        for row in 0..rows as isize {
            // SAFETY: the caller says that all this is valid.
            unsafe {
                let (at, from) = (at.offset(row * index_along), from.offset(row * source_along));
                if index == 0 && out == 1 && source == 1 {
                    let to = to.offset(picked.offset(at)?);
                    for i in 0..count {
                        *to.add(i) = C::combine(*to.add(i), *from.add(i));
                    }
                } else {
                    for i in 0..count as isize {
                        let to = to.offset(i * out + picked.offset(at.offset(i * index))?);
                        *to = C::combine(*to, *from.offset(i * source));
                    }
                }
            }
        }
        Ok(())
    }
}
