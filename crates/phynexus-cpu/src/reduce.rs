//! Reductions over the trailing dimensions of a view.
//!
//! Sums and products are kept in f64 or i64. The order of the additions follows from shape and strides alone: lanes beside each
//! other, at most `RUN` steps in each, then pairs. Where the reduced elements lie closer than the outputs' (the last
//! dimensions of a contiguous tensor), the lanes are elements of one row; otherwise (a sum over the rows of a matrix)
//! each output is a lane, so that memory is read in order either way.

mod ops;

use crate::element::with_element;
use crate::simd::vectorised;
use crate::strided::{Ptr, Walk, split};
use ops::{All, Any, Arg, Fold, LANES, Max, Min, Own, Prod, Reducer, Sum, Widened};
use phynexus_core::{DType, ReduceOp, Result, Task};
use std::mem::MaybeUninit;
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
        ReduceOp::Sum | ReduceOp::Mean => run::<Fold<T, Widened, Sum>>(&plan),
        ReduceOp::Prod => run::<Fold<T, Widened, Prod>>(&plan),
        ReduceOp::Max => run::<Fold<T, Own, Max>>(&plan),
        ReduceOp::Min => run::<Fold<T, Own, Min>>(&plan),
        ReduceOp::Any => run::<Fold<T, Own, Any>>(&plan),
        ReduceOp::All => run::<Fold<T, Own, All>>(&plan),
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
    let mut rest = &mut partial[..];
    while rest.len() > outputs {
        let (left, right) = rest.split_at_mut((rest.len() / outputs).div_ceil(2) * outputs);
        merge::<R>(left, right);
        rest = left;
    }
    for (at, &acc) in rest.iter().enumerate() {
        plan.write::<R>(at, acc);
    }
}

/// Room for what neighbouring outputs have come to.
struct Space<A>([MaybeUninit<A>; WIDTH]);

impl<A: Copy> Space<A> {
    fn new() -> Self {
        Space([const { MaybeUninit::uninit() }; WIDTH])
    }

    /// The first `count` places, each holding `value`.
    fn fill(&mut self, count: usize, value: A) -> &mut [A] {
        let places = &mut self.0[..count];
        for place in &mut *places {
            place.write(value);
        }
        // SAFETY: all of them have just been written.
        unsafe { &mut *(std::ptr::from_mut(places) as *mut [A]) }
    }
}

/// Reduces the positions `inner` of each output in `outputs`.
fn tile<R: Reducer>(
    plan: &Plan,
    outputs: Range<usize>,
    inner: Range<usize>,
    sink: &mut dyn FnMut(usize, R::Acc),
) {
    let (input, [beside]) = (plan.input.cast::<R::In>(), plan.outer.last().1);
    let mut space = Space::new();
    for run in plan.outer.runs(outputs) {
        for first in (0..run.count).step_by(WIDTH) {
            let acc = space.fill(WIDTH.min(run.count - first), R::identity());
            let base = input.at(run.offset[0] + first as isize * beside);
            if !plan.columns {
                rows::<R>(base, beside, &plan.inner, inner.clone(), acc);
            } else if plan.group > 1 && !R::POSITIONS {
                grouped::<R>(base, plan.group, &plan.inner, inner.clone(), acc);
            } else {
                columns::<R>(base, beside, &plan.inner, inner.clone(), acc);
            }
            for (i, &acc) in acc.iter().enumerate() {
                sink(run.at + first + i, acc);
            }
        }
    }
}

/// Merges each of `from` into its neighbour in `into`.
fn merge<R: Reducer>(into: &mut [R::Acc], from: &[R::Acc]) {
    for (a, &b) in into.iter_mut().zip(from) {
        *a = R::merge(*a, b);
    }
}

/// Outputs `beside` each other, into `acc`: of each the positions `range` of `walk`, halves merged.
fn rows<R: Reducer>(
    base: *const R::In,
    beside: isize,
    walk: &Walk<1>,
    range: Range<usize>,
    acc: &mut [R::Acc],
) {
    let leaf = R::RUN * walk.last().0.min(LANES);
    if range.len() <= leaf {
        // SAFETY: the walk stays within the input view.
        return unsafe { rows_leaf::<R>(base, beside, walk, range, acc) };
    }
    let middle = range.start + (range.len() / 2).next_multiple_of(leaf);
    for (i, acc) in acc.iter_mut().enumerate() {
        let (from, mut half) = (base.wrapping_offset(i as isize * beside), [*acc]);
        rows::<R>(from, 0, walk, range.start..middle, std::slice::from_mut(acc));
        rows::<R>(from, 0, walk, middle..range.end, &mut half);
        *acc = R::merge(*acc, half[0]);
    }
}

vectorised! {
    /// Outputs whose elements from `base` on are valid at all positions of `range`, into `acc`, which holds the identity.
    unsafe fn rows_leaf<R: Reducer>(
        base: *const R::In,
        beside: isize,
        walk: &Walk<1>,
        range: Range<usize>,
        acc: &mut [R::Acc],
    ) {
        let [stride] = walk.last().1;
        // A stride of 1 is passed as a constant, so that loads are whole vectors.
        let row = |from: *const R::In, count: usize, at: usize| match stride {
            // SAFETY: the caller says that the elements are valid.
            1 => unsafe { R::row(from, 1, count, at) },
            // SAFETY: as above.
            _ => unsafe { R::row(from, stride, count, at) },
        };
        for (i, acc) in acc.iter_mut().enumerate() {
            let base = base.wrapping_offset(i as isize * beside);
            if walk.is_flat() {
                *acc = row(base.wrapping_offset(range.start as isize * stride), range.len(), range.start);
                continue;
            }
            for run in walk.runs(range.clone()) {
                *acc = R::merge(*acc, row(base.wrapping_offset(run.offset[0]), run.count, run.at));
            }
        }
    }
}

/// As [`columns`], where short rows follow each other without gaps: several are taken as one, and the copies of each output
/// merged at the end.
fn grouped<R: Reducer>(
    base: *const R::In,
    group: usize,
    walk: &Walk<1>,
    range: Range<usize>,
    acc: &mut [R::Acc],
) {
    let (wide_rows, [along]) = (range.len() / group, walk.last().1);
    let wide = Walk::new(&[wide_rows], [&[along * group as isize]]);
    let mut space = Space::new();
    let mut copies = space.fill(acc.len() * group, R::identity());
    columns::<R>(base.wrapping_offset(range.start as isize * along), 1, &wide, 0..wide_rows, copies);
    while copies.len() > acc.len() {
        let (left, right) = copies.split_at_mut(copies.len() / 2);
        merge::<R>(left, right);
        copies = left;
    }
    columns::<R>(base, 1, walk, range.start + wide_rows * group..range.end, acc);
    merge::<R>(acc, copies);
}

/// Outputs `beside` each other, into `acc`, which holds the identity: the rows at positions `range` of `walk`, halves merged.
fn columns<R: Reducer>(
    base: *const R::In,
    beside: isize,
    walk: &Walk<1>,
    range: Range<usize>,
    acc: &mut [R::Acc],
) {
    if range.len() <= R::RUN {
        // SAFETY: rows and lanes stay within the input view.
        return unsafe { columns_leaf::<R>(base, beside, walk, range, acc) };
    }
    let middle = range.start + (range.len() / 2).next_multiple_of(R::RUN);
    columns::<R>(base, beside, walk, range.start..middle, acc);
    let mut space = Space::new();
    let right = space.fill(acc.len(), R::identity());
    columns::<R>(base, beside, walk, middle..range.end, right);
    merge::<R>(acc, right);
}

vectorised! {
    /// Outputs as in [`columns`]; all positions of `range` must be valid from `base` on.
    unsafe fn columns_leaf<R: Reducer>(
        base: *const R::In,
        beside: isize,
        walk: &Walk<1>,
        range: Range<usize>,
        acc: &mut [R::Acc],
    ) {
        let [along] = walk.last().1;
        for run in walk.runs(range) {
            let from = base.wrapping_offset(run.offset[0]);
            let mut i = 0;
            // SAFETY: the caller says that rows and lanes are valid.
            unsafe {
                if beside == 1 {
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
                        *acc = R::take(*acc, *row.offset(lane as isize * beside), run.at + i);
                    }
                    i += 1;
                }
            }
        }
    }
}
