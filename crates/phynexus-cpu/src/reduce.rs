//! Reductions over the trailing dimensions of a view.
//!
//! Everything is kept in f64 or i64. The order of the additions follows from shape and strides alone: lanes beside each
//! other, at most `RUN` steps in each, then pairs. Where the reduced elements lie closer than the outputs' (the last
//! dimensions of a contiguous tensor), the lanes are elements of one row; otherwise (a sum over the rows of a matrix)
//! each output is a lane, so that memory is read in order either way.

mod ops;

use crate::element::with_element;
use crate::simd::vectorised;
use crate::strided::{Ptr, Walk, split};
use ops::{All, Any, Arg, Fold, LANES, Max, Min, Prod, Reducer, Sum};
use phynexus_core::{DType, ReduceOp, Result, Task};
use std::ops::Range;

/// How many outputs the column kernel keeps at once.
const WIDTH: usize = 128;
/// Elements that are worth a job of their own.
const GRAIN: usize = 1 << 16;

/// Reduces the last `axes` dimensions of the input.
pub(crate) fn launch(op: ReduceOp, axes: usize, task: &Task<'_>) -> Result<()> {
    let (input, output) = (&task.inputs[0], &task.outputs[0]);
    let kept = input.layout.shape().len() - axes;
    let (outer_sizes, inner_sizes) = input.layout.shape().split_at(kept);
    let (outer_strides, inner_strides) = input.layout.strides().split_at(kept);
    let mut plan = Plan {
        input: Ptr::of(input),
        output: Ptr::of(output),
        stored: output.dtype,
        outer: Walk::new(outer_sizes, [outer_strides]),
        inner: Walk::new(inner_sizes, [inner_strides]),
        mean: op == ReduceOp::Mean,
        columns: false,
        group: 1,
    };
    plan.choose();
    with_element!(input.dtype, T => match op {
        ReduceOp::Sum | ReduceOp::Mean => run::<Fold<T, Sum>>(&plan),
        ReduceOp::Prod => run::<Fold<T, Prod>>(&plan),
        ReduceOp::Max => run::<Fold<T, Max>>(&plan),
        ReduceOp::Min => run::<Fold<T, Min>>(&plan),
        ReduceOp::Any => run::<Fold<T, Any>>(&plan),
        ReduceOp::All => run::<Fold<T, All>>(&plan),
        ReduceOp::ArgMax => run::<Arg<T, true>>(&plan),
        ReduceOp::ArgMin => run::<Arg<T, false>>(&plan),
    });
    Ok(())
}

/// What is reduced and how.
struct Plan {
    input: Ptr<u8>,
    output: Ptr<u8>,
    stored: DType,
    outer: Walk<1>,
    inner: Walk<1>,
    mean: bool,
    /// Whether outputs are the lanes.
    columns: bool,
    /// How many rows the column kernel takes as one, where a row is short and the rows follow each other.
    group: usize,
}

impl Plan {
    fn choose(&mut self) {
        let ((width, [beside]), (depth, [along])) = (self.outer.last(), self.inner.last());
        self.columns = width > 1 && depth > 1 && beside.unsigned_abs() < along.unsigned_abs();
        let packed = beside == 1 && along == width as isize && self.outer.is_flat() && self.inner.is_flat();
        if self.columns && packed && width <= WIDTH / 2 {
            let fits = WIDTH / width;
            self.group = 1 << fits.ilog2();
        }
    }

    fn write<R: Reducer>(&self, at: usize, result: R::Acc) {
        let place = self.output.at((at * self.stored.size()) as isize);
        // SAFETY: `at` is an output of the contiguous output view, which nobody else writes.
        unsafe { R::store(result, self.mean.then(|| self.inner.elements()), self.stored, place) }
    }
}

fn run<R: Reducer>(plan: &Plan) {
    let (outputs, depth) = (plan.outer.elements(), plan.inner.elements());
    let total = outputs * depth;
    if total <= GRAIN {
        return tile::<R>(plan, 0..outputs, 0..depth, &mut |at, acc| plan.write::<R>(at, acc));
    }
    let width = if plan.columns { WIDTH } else { 1 };
    let block = (GRAIN / depth).clamp(1, outputs).next_multiple_of(width);
    let blocks = outputs.div_ceil(block);
    let parts = if blocks >= 16 { 1 } else { (total / GRAIN / blocks).clamp(1, 64).min(depth) };
    let work_ns = total * size_of::<R::In>() / 16;
    if parts == 1 {
        return split(outputs, block, work_ns, |range| {
            tile::<R>(plan, range, 0..depth, &mut |at, acc| plan.write::<R>(at, acc));
        });
    }
    let mut partial = vec![R::identity(); parts * outputs];
    let part = depth.div_ceil(parts).next_multiple_of(plan.group);
    let shared = Ptr::of_slice(&mut partial);
    split(parts * blocks, 1, work_ns, |job| {
        let (p, b) = (job.start / blocks, job.start % blocks);
        let inner = (p * part).min(depth)..((p + 1) * part).min(depth);
        tile::<R>(plan, b * block..((b + 1) * block).min(outputs), inner, &mut |at, acc| {
            // SAFETY: each pair of a part and an output belongs to one job.
            unsafe { *shared.at((p * outputs + at) as isize) = acc }
        });
    });
    let mut rows = parts;
    while rows > 1 {
        let half = rows.div_ceil(2);
        let (left, right) = partial.split_at_mut(half * outputs);
        for (a, b) in left.iter_mut().zip(&right[..(rows - half) * outputs]) {
            *a = R::merge(*a, *b);
        }
        rows = half;
    }
    for (at, &acc) in partial[..outputs].iter().enumerate() {
        plan.write::<R>(at, acc);
    }
}

/// Reduces the positions `inner` of each output in `outputs`.
fn tile<R: Reducer>(
    plan: &Plan,
    outputs: Range<usize>,
    inner: Range<usize>,
    sink: &mut dyn FnMut(usize, R::Acc),
) {
    let input = plan.input.cast::<R::In>();
    if !plan.columns {
        for run in plan.outer.runs(outputs) {
            let ([start], [step]) = (run.offset, plan.outer.last().1);
            for i in 0..run.count {
                sink(run.at + i, row::<R>(input.at(start + i as isize * step), &plan.inner, inner.clone()));
            }
        }
        return;
    }
    let [beside] = plan.outer.last().1;
    for run in plan.outer.runs(outputs) {
        for first in (0..run.count).step_by(WIDTH) {
            let count = WIDTH.min(run.count - first);
            let mut acc = [R::identity(); WIDTH];
            let base = input.at(run.offset[0] + first as isize * beside);
            grouped::<R>(plan, base, Lanes { count, stride: beside }, inner.clone(), &mut acc);
            for (i, &acc) in acc[..count].iter().enumerate() {
                sink(run.at + first + i, acc);
            }
        }
    }
}

/// One output: the elements at positions `range` of `walk` from `base`, halves merged.
fn row<R: Reducer>(base: *const R::In, walk: &Walk<1>, range: Range<usize>) -> R::Acc {
    let leaf = R::RUN * walk.last().0.min(LANES);
    if range.len() <= leaf {
        // SAFETY: the walk stays within the input view.
        return unsafe { row_leaf::<R>(base, walk, range) };
    }
    let middle = range.start + (range.len() / 2).next_multiple_of(leaf);
    R::merge(row::<R>(base, walk, range.start..middle), row::<R>(base, walk, middle..range.end))
}

vectorised! {
    /// Elements of one output, from `base`; all positions of `range` must be valid there.
    unsafe fn row_leaf<R: Reducer>(base: *const R::In, walk: &Walk<1>, range: Range<usize>) -> R::Acc {
        let [stride] = walk.last().1;
        // A stride of 1 is passed as a constant, so that loads are whole vectors.
        let row = |from: *const R::In, count: usize, at: usize| match stride {
            // SAFETY: the caller says that the elements are valid.
            1 => unsafe { R::row(from, 1, count, at) },
            // SAFETY: as above.
            _ => unsafe { R::row(from, stride, count, at) },
        };
        if walk.is_flat() {
            return row(base.wrapping_offset(range.start as isize * stride), range.len(), range.start);
        }
        let mut acc = R::identity();
        for run in walk.runs(range) {
            acc = R::merge(acc, row(base.wrapping_offset(run.offset[0]), run.count, run.at));
        }
        acc
    }
}

/// Neighbouring outputs that are reduced together.
#[derive(Clone, Copy)]
struct Lanes {
    count: usize,
    stride: isize,
}

/// Short rows that follow each other are taken several at a time, and the copies of each output merged at the end.
fn grouped<R: Reducer>(
    plan: &Plan,
    base: *const R::In,
    of: Lanes,
    range: Range<usize>,
    acc: &mut [R::Acc; WIDTH],
) {
    let (group, rows) = if R::POSITIONS { (1, 0) } else { (plan.group, range.len() / plan.group) };
    if group == 1 || rows < 2 {
        return columns::<R>(base, of, &plan.inner, range, acc);
    }
    let [along] = plan.inner.last().1;
    let wide = Walk::new(&[rows], [&[along * group as isize]]);
    let from = base.wrapping_offset(range.start as isize * along);
    columns::<R>(from, Lanes { count: of.count * group, stride: 1 }, &wide, 0..rows, acc);
    let mut width = of.count * group;
    while width > of.count {
        width /= 2;
        let (left, right) = acc.split_at_mut(width);
        for (a, b) in left.iter_mut().zip(&right[..width]) {
            *a = R::merge(*a, *b);
        }
    }
    let mut rest = [R::identity(); WIDTH];
    columns::<R>(base, of, &plan.inner, range.start + rows * group..range.end, &mut rest);
    for (a, b) in acc[..of.count].iter_mut().zip(&rest) {
        *a = R::merge(*a, *b);
    }
}

/// The rows at positions `range` of `walk`, halves merged, into `acc`, which holds the identity.
fn columns<R: Reducer>(
    base: *const R::In,
    of: Lanes,
    walk: &Walk<1>,
    range: Range<usize>,
    acc: &mut [R::Acc; WIDTH],
) {
    if range.len() <= R::RUN {
        // SAFETY: rows and lanes stay within the input view.
        return unsafe { columns_leaf::<R>(base, of, walk, range, acc) };
    }
    let middle = range.start + (range.len() / 2).next_multiple_of(R::RUN);
    columns::<R>(base, of, walk, range.start..middle, acc);
    let mut right = [R::identity(); WIDTH];
    columns::<R>(base, of, walk, middle..range.end, &mut right);
    for (a, b) in acc[..of.count].iter_mut().zip(&right) {
        *a = R::merge(*a, *b);
    }
}

vectorised! {
    /// Rows of neighbouring outputs from `base`; all positions of `range` must be valid there.
    unsafe fn columns_leaf<R: Reducer>(
        base: *const R::In,
        of: Lanes,
        walk: &Walk<1>,
        range: Range<usize>,
        acc: &mut [R::Acc; WIDTH],
    ) {
        let [along] = walk.last().1;
        let acc = &mut acc[..of.count];
        for run in walk.runs(range) {
            let from = base.wrapping_offset(run.offset[0]);
            let mut i = 0;
            // SAFETY: the caller says that rows and lanes are valid.
            unsafe {
                if of.stride == 1 {
                    while i + 4 <= run.count {
                        let r: [*const R::In; 4] = std::array::from_fn(|k| from.wrapping_offset((i + k) as isize * along));
                        let at = run.at + i;
                        for (lane, acc) in acc.iter_mut().enumerate() {
                            let two = R::take(R::take(*acc, *r[0].add(lane), at), *r[1].add(lane), at + 1);
                            *acc = R::take(R::take(two, *r[2].add(lane), at + 2), *r[3].add(lane), at + 3);
                        }
                        i += 4;
                    }
                }
                while i < run.count {
                    let row = from.wrapping_offset(i as isize * along);
                    for (lane, acc) in acc.iter_mut().enumerate() {
                        *acc = R::take(*acc, *row.offset(lane as isize * of.stride), run.at + i);
                    }
                    i += 1;
                }
            }
        }
    }
}
