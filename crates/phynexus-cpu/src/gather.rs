//! Reading elements by index, and finding the true ones.

use crate::simd::vectorised;
use crate::strided::{Ptr, Walk, split};
use phynexus_core::{Error, MAX_DIMS, Result, Task, View};

/// Elements that are worth a job of their own.
const GRAIN: usize = 1 << 14;

/// `out[i, j, k] = input[i, index[i, j, k], k]` along `axis`.
pub(crate) fn launch(axis: usize, task: &Task<'_>) -> Result<()> {
    let (input, index, output) = (&task.inputs[0], &task.inputs[1], &task.outputs[0]);
    let picked = Picked::new(index, input, axis)?;
    match output.dtype.size() {
        1 => gather::<u8>(input, index, output, axis, picked),
        2 => gather::<u16>(input, index, output, axis, picked),
        4 => gather::<u32>(input, index, output, axis, picked),
        _ => gather::<u64>(input, index, output, axis, picked),
    }
    Ok(())
}

/// Where an index points to in the dimension that it selects from.
#[derive(Clone, Copy)]
pub(crate) struct Picked {
    stride: isize,
}

impl Picked {
    /// For indices into dimension `axis` of `data`; an error if any of them is out of range.
    pub fn new(index: &View<'_>, data: &View<'_>, axis: usize) -> Result<Picked> {
        let size = data.layout.shape()[axis] as i64;
        let mut once = [1; MAX_DIMS];
        for (d, (&size, &stride)) in index.layout.shape().iter().zip(index.layout.strides()).enumerate() {
            once[d] = if stride == 0 { size.min(1) } else { size };
        }
        let walk = Walk::new(&once[..index.layout.shape().len()], [index.layout.strides()]);
        let (base, [stride]) = (Ptr::<i64>::of(index), walk.last().1);
        for run in walk.runs(0..walk.elements()) {
            let from = base.at(run.offset[0]);
            // SAFETY: the walk stays within the index view.
            let found = unsafe {
                if within(from, stride, run.count, size) {
                    continue;
                }
                (0..run.count as isize).map(|i| *from.offset(i * stride)).find(|i| !(0..size).contains(i))
            };
            if let Some(found) = found {
                return Err(Error::Index(format!(
                    "index {found} is out of range for size {size} of dimension {axis}, {}",
                    if size == 0 { "which is empty".into() } else { format!("expected 0 to {}", size - 1) }
                )));
            }
        }
        Ok(Picked { stride: data.layout.strides()[axis] })
    }

    /// The distance that `index` means.
    #[inline(always)]
    pub fn offset(self, index: i64) -> isize {
        index as isize * self.stride
    }
}

vectorised! {
    /// Whether `count` readable indices all lie in `0..size`.
    unsafe fn within<>(from: *const i64, stride: isize, count: usize, size: i64) -> bool {
        let mut outside = false;
        for i in 0..count as isize {
            // SAFETY: the caller says that these are readable.
            let index = unsafe { *from.offset(i * stride) };
            outside |= index as u64 >= size as u64;
        }
        !outside
    }
}

/// The strides of `view` with `axis` held still.
pub(crate) fn still<'a>(view: &View<'_>, axis: usize, strides: &'a mut [isize; MAX_DIMS]) -> &'a [isize] {
    let given = view.layout.strides();
    strides[..given.len()].copy_from_slice(given);
    strides[axis] = 0;
    &strides[..given.len()]
}

fn gather<T: Copy + Send + Sync>(
    input: &View<'_>,
    index: &View<'_>,
    output: &View<'_>,
    axis: usize,
    picked: Picked,
) {
    let mut held = [0; MAX_DIMS];
    let walk = Walk::new(
        output.layout.shape(),
        [still(input, axis, &mut held), index.layout.strides(), output.layout.strides()],
    );
    let (from, at, to) = (Ptr::<T>::of(input), Ptr::<i64>::of(index), Ptr::<T>::of(output));
    let (_, [source, by, target]) = walk.last();
    let total = walk.elements();
    split(total, GRAIN, total * (size_of::<T>() + 4) / 8, |range| {
        for run in walk.runs(range) {
            let [i, j, k] = run.offset;
            // SAFETY: all indices are in range, and the walk stays within the views.
            unsafe {
                if by == 0 {
                    let from = from.at(i + picked.offset(*at.at(j)));
                    if source == 1 && target == 1 {
                        std::ptr::copy_nonoverlapping(from, to.at(k), run.count);
                    } else {
                        for n in 0..run.count as isize {
                            *to.at(k + n * target) = *from.offset(n * source);
                        }
                    }
                } else {
                    for n in 0..run.count as isize {
                        *to.at(k + n * target) = *from.at(i + n * source + picked.offset(*at.at(j + n * by)));
                    }
                }
            }
        }
    });
}

/// Row-major positions of the true elements, into an output of exactly as many.
pub(crate) fn nonzero(task: &Task<'_>) -> Result<()> {
    let (input, output) = (&task.inputs[0], &task.outputs[0]);
    let walk = Walk::new(input.layout.shape(), [input.layout.strides()]);
    let (base, [stride]) = (Ptr::<u8>::of(input), walk.last().1);
    let step = output.layout.strides().first().copied().unwrap_or(1);
    let (out, room) = (Ptr::<i64>::of(output), output.layout.elements());
    let mut found = 0;
    for run in walk.runs(0..walk.elements()) {
        let from = base.at(run.offset[0]);
        for i in 0..run.count {
            // SAFETY: the walk stays within the input, and `found` below the size of the output.
            unsafe {
                if *from.offset(i as isize * stride) != 0 {
                    if found < room {
                        *out.at(found as isize * step) = (run.at + i) as i64;
                    }
                    found += 1;
                }
            }
        }
    }
    if found != room {
        return Err(Error::Runtime(format!("{found} elements are true, but the output has room for {room}")));
    }
    Ok(())
}
