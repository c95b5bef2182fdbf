//! Reading elements by index, and finding the true ones.

use crate::simd::vectorised;
use crate::strided::{Ptr, Walk, split};
use phynexus_core::{Error, MAX_DIMS, Result, Task, View};
use std::sync::{Mutex, PoisonError};

/// Elements that are worth a job of their own.
const GRAIN: usize = 1 << 14;

/// `out[i, j, k] = input[i, index[i, j, k], k]` along `axis`.
pub(crate) fn launch(axis: usize, task: &Task<'_>) -> Result<()> {
    let (input, index, output) = (&task.inputs[0], &task.inputs[1], &task.outputs[0]);
    let picked = Picked::new(input, axis);
    match output.dtype.size() {
        1 => gather::<u8>(input, index, output, picked),
        2 => gather::<u16>(input, index, output, picked),
        4 => gather::<u32>(input, index, output, picked),
        _ => gather::<u64>(input, index, output, picked),
    }
}

/// Where an index points to in the dimension that it selects from. Other threads, and NumPy, may write indices while they
/// are used: each is read once for each use, and checked then.
#[derive(Clone, Copy)]
pub(crate) struct Picked {
    pub axis: usize,
    size: usize,
    stride: isize,
}

impl Picked {
    /// For indices into dimension `axis` of `data`.
    pub fn new(data: &View<'_>, axis: usize) -> Picked {
        Picked { axis, size: data.layout.shape()[axis], stride: data.layout.strides()[axis] }
    }

    /// An error if any of these indices is out of range now.
    pub fn check(self, index: &View<'_>) -> Result<()> {
        let size = self.size as i64;
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
                return Err(self.outside(found));
            }
        }
        Ok(())
    }

    /// The distance that the index at this address means, or the index if it is out of range.
    ///
    /// # Safety
    /// The address must be readable.
    #[inline(always)]
    pub unsafe fn offset(self, at: *const i64) -> Result<isize, i64> {
        // SAFETY: the caller says so.
        let index = unsafe { at.read_volatile() };
        if (index as u64) < self.size as u64 { Ok(index as isize * self.stride) } else { Err(index) }
    }

    /// The error of an index that is out of range.
    pub fn outside(self, found: i64) -> Error {
        let Picked { axis, size, .. } = self;
        Error::Index(format!(
            "index {found} is out of range for size {size} of dimension {axis}, {}",
            if size == 0 { "which is empty".into() } else { format!("expected 0 to {}", size - 1) }
        ))
    }
}

/// The first index in row-major order that jobs have found out of range.
#[derive(Default)]
pub(crate) struct Outside(Mutex<Option<(usize, i64)>>);

impl Outside {
    /// Notes the index at a position.
    #[cold]
    pub fn note(&self, position: usize, index: i64) {
        let mut first = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if first.is_none_or(|(known, _)| position < known) {
            *first = Some((position, index));
        }
    }

    /// The error of the first, if there is one.
    pub fn result(self, picked: Picked) -> Result<()> {
        let first = self.0.into_inner().unwrap_or_else(PoisonError::into_inner);
        first.map_or(Ok(()), |(_, index)| Err(picked.outside(index)))
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
    picked: Picked,
) -> Result<()> {
    let mut held = [0; MAX_DIMS];
    let walk = Walk::new(
        output.layout.shape(),
        [still(input, picked.axis, &mut held), index.layout.strides(), output.layout.strides()],
    );
    let (from, at, to) = (Ptr::<T>::of(input), Ptr::<i64>::of(index), Ptr::<T>::of(output));
    let (_, [source, by, target]) = walk.last();
    let (total, outside) = (walk.elements(), Outside::default());
    split(total, GRAIN, total * (size_of::<T>() + 4) / 8, |range| {
        for run in walk.runs(range) {
            let [i, j, k] = run.offset;
            // SAFETY: the walk stays within the views, and only indices in range are followed.
            unsafe {
                if by == 0 {
                    let from = match picked.offset(at.at(j)) {
                        Ok(offset) => from.at(i + offset),
                        Err(index) => return outside.note(run.at, index),
                    };
                    if source == 1 && target == 1 {
                        std::ptr::copy_nonoverlapping(from, to.at(k), run.count);
                    } else {
                        for n in 0..run.count as isize {
                            *to.at(k + n * target) = *from.offset(n * source);
                        }
                    }
                } else if (source, by, target, picked.stride) == (0, 1, 1, 1) {
                    if let Err((n, index)) = pick(from.at(i), at.at(j), to.at(k), run.count, picked) {
                        return outside.note(run.at + n, index);
                    }
                } else {
                    for n in 0..run.count as isize {
                        match picked.offset(at.at(j + n * by)) {
                            Ok(offset) => *to.at(k + n * target) = *from.at(i + n * source + offset),
                            Err(index) => return outside.note(run.at + n as usize, index),
                        }
                    }
                }
            }
        }
    });
    outside.result(picked)
}

vectorised! {
    /// Elements of a row without gaps that `count` readable indices name, into neighbouring places; the place and the index
    /// where one is out of range.
    unsafe fn pick<T: Copy>(from: *const T, at: *const i64, to: *mut T, count: usize, picked: Picked) -> Result<(), (usize, i64)> {
        let picked = Picked { stride: 1, ..picked };
        for n in 0..count {
            // SAFETY: the caller says that all this is valid but for the indices, which are checked as they are read.
            unsafe { *to.add(n) = *from.offset(picked.offset(at.add(n)).map_err(|index| (n, index))?) };
        }
        Ok(())
    }
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
        let mut i = 0;
        // SAFETY: the walk stays within the input, and `found` below the size of the output.
        unsafe {
            if stride == 1 && step == 1 {
                // Every position is written and stays if its element is true: no branch depends on that.
                while i + 8 <= run.count && found + 8 <= room {
                    let eight = from.add(i).cast::<[u8; 8]>().read();
                    if eight != [0; 8] {
                        for (k, &value) in eight.iter().enumerate() {
                            *out.at(found as isize) = (run.at + i + k) as i64;
                            found += (value != 0) as usize;
                        }
                    }
                    i += 8;
                }
            }
            for i in i..run.count {
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
