//! Running sums along the last dimension.

use crate::element::{Element, Wide, with_element};
use crate::strided::{Ptr, Walk, split};
use phynexus_core::{DType, Result, Task};

/// Elements that are worth a job of their own.
const GRAIN: usize = 1 << 14;

/// Floats are summed in f64 and rounded at each element; integers wrap, and may be widened to an I64 output.
pub(crate) fn launch(task: &Task<'_>) -> Result<()> {
    let (from, to) = (task.inputs[0].dtype, task.outputs[0].dtype);
    if to == DType::I64 {
        with_element!(from, T => cumsum::<T, i64>(task, |sum| sum.as_i64()));
    } else {
        with_element!(to, T => cumsum::<T, T>(task, T::narrow));
    }
    Ok(())
}

fn cumsum<T: Element, U: Copy>(task: &Task<'_>, round: impl Fn(T::Wide) -> U + Sync) {
    let (input, output) = (&task.inputs[0], &task.outputs[0]);
    let (sizes, given, wanted) = (input.layout.shape(), input.layout.strides(), output.layout.strides());
    let Some(last) = sizes.len().checked_sub(1) else {
        // SAFETY: a tensor without dimensions has one element.
        return unsafe { *Ptr::<U>::of(output).at(0) = round((*Ptr::<T>::of(input).at(0)).widen()) };
    };
    let (count, step, stride) = (sizes[last], given[last], wanted[last]);
    let rows = Walk::new(&sizes[..last], [&given[..last], &wanted[..last]]);
    let (from, to) = (Ptr::<T>::of(input), Ptr::<U>::of(output));
    let total = rows.elements() * count;
    split(rows.elements(), GRAIN / count.max(1), total, |range| {
        for run in rows.runs(range) {
            let (_, [across, down]) = rows.last();
            for row in 0..run.count as isize {
                let (from, to) = (from.at(run.offset[0] + row * across), to.at(run.offset[1] + row * down));
                let mut sum = T::Wide::ZERO;
                for i in 0..count as isize {
                    // SAFETY: the row lies within both views.
                    unsafe {
                        sum = sum.plus((*from.offset(i * step)).widen());
                        *to.offset(i * stride) = round(sum);
                    }
                }
            }
        }
    });
}
