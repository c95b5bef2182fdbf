//! Operands whose elements are stored in another type than they are computed in, or that lie in memory as no product
//! wants them: copied whole into working memory and back.

use super::compute::Compute;
use super::scratch::Scratch;
use crate::pool;
use half::{bf16, f16, slice::HalfFloatSliceExt};
use phynexus_core::Result;

/// An element as it is stored.
pub(super) trait Stored: Copy + Send + Sync + 'static {
    /// What products of it are computed in.
    type In: Compute;
    /// Whether the two are one.
    const PLAIN: bool;
    fn widen(self) -> Self::In;
    fn narrow(value: Self::In) -> Self;
    /// `widen` for neighbours.
    fn widen_slice(from: &[Self], to: &mut [Self::In]) {
        for (to, from) in to.iter_mut().zip(from) {
            *to = from.widen();
        }
    }
    /// `narrow` for neighbours.
    fn narrow_slice(from: &[Self::In], to: &mut [Self]) {
        for (to, &from) in to.iter_mut().zip(from) {
            *to = Self::narrow(from);
        }
    }
}

macro_rules! stored {
    ($($t:ty as $in:ty, $plain:literal);*) => {$(
        impl Stored for $t {
            type In = $in;
            const PLAIN: bool = $plain;
            fn widen(self) -> $in {
                self as $in
            }
            fn narrow(value: $in) -> $t {
                value as $t
            }
        }
    )*};
}
stored!(f32 as f32, true; f64 as f64, true; i32 as i32, true; i64 as i64, true; u8 as i32, false);

macro_rules! stored_half {
    ($($t:ty),*) => {$(
        impl Stored for $t {
            type In = f32;
            const PLAIN: bool = false;
            fn widen(self) -> f32 {
                self.to_f32()
            }
            fn narrow(value: f32) -> $t {
                <$t>::from_f32(value)
            }
            fn widen_slice(from: &[$t], to: &mut [f32]) {
                from.convert_to_f32_slice(to);
            }
            fn narrow_slice(from: &[f32], to: &mut [$t]) {
                to.convert_from_f32_slice(from);
            }
        }
    )*};
}
stored_half!(f16, bf16);

/// A strided block of memory of three dimensions.
#[derive(Clone, Copy)]
pub(super) struct Block<S> {
    pub at: *mut S,
    pub sizes: [usize; 3],
    pub strides: [isize; 3],
}

// SAFETY: threads touch disjoint rows of what is written.
unsafe impl<S> Sync for Block<S> {}

/// What is copied where.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Way {
    /// From storage into working memory.
    In,
    /// Back.
    Out,
}

impl<S: Stored> Block<S> {
    /// Working memory for the elements, each once: the strides that the product reads it by. What was closest together
    /// stays so.
    pub fn dense(&self) -> Result<(Scratch, Block<S::In>)> {
        let repeats = self.strides.map(|stride| stride == 0);
        let sizes: [usize; 3] = std::array::from_fn(|i| if repeats[i] { 1 } else { self.sizes[i] });
        let mut scratch = Scratch::new::<S::In>(sizes.iter().fold(1, |n, &s| n.saturating_mul(s)))?;
        let plane = (sizes[1] * sizes[2]) as isize;
        let strides = match self.is_by_rows() {
            true => [plane, sizes[2] as isize, 1],
            false => [plane, 1, sizes[1] as isize],
        };
        let strides = std::array::from_fn(|i| if repeats[i] { 0 } else { strides[i] });
        let at = scratch.pointer();
        Ok((scratch, Block { at, sizes, strides }))
    }

    /// Whether columns are closer to each other than rows.
    fn is_by_rows(&self) -> bool {
        self.sizes[1] == 1 || self.strides[1] == 0 || self.strides[2].abs() <= self.strides[1].abs()
    }

    /// Copies between this block and its working memory, as large as the latter.
    ///
    /// # Safety
    /// Both are valid, and only this call touches the one that is written.
    pub unsafe fn copy(&self, work: &Block<S::In>, way: Way) {
        let (outer, inner) = if self.is_by_rows() { (1, 2) } else { (2, 1) };
        let n = work.sizes[inner];
        let lines = work.sizes[0] * work.sizes[outer];
        let group = (16384 / n.max(1)).max(1);
        pool::run(lines.div_ceil(group), lines * n / 2, &|g| {
            for line in g * group..lines.min((g + 1) * group) {
                let (i, j) = ((line / work.sizes[outer]) as isize, (line % work.sizes[outer]) as isize);
                let from = |strides: [isize; 3]| i * strides[0] + j * strides[outer];
                let store = self.at.wrapping_offset(from(self.strides));
                let work_line = work.at.wrapping_offset(from(work.strides));
                // SAFETY: a line of the block and the same of its working memory.
                unsafe { copy_line((store, self.strides[inner]), (work_line, work.strides[inner]), n, way) }
            }
        });
    }
}

unsafe fn copy_line<S: Stored>(
    (store, step): (*mut S, isize),
    (work, work_step): (*mut S::In, isize),
    n: usize,
    way: Way,
) {
    let at =
        |i: usize| (store.wrapping_offset(i as isize * step), work.wrapping_offset(i as isize * work_step));
    // SAFETY: `n` elements on both sides, by the caller's contract.
    unsafe {
        match (step == 1 && work_step == 1, way) {
            (true, Way::In) => {
                S::widen_slice(std::slice::from_raw_parts(store, n), std::slice::from_raw_parts_mut(work, n));
            }
            (true, Way::Out) => {
                S::narrow_slice(
                    std::slice::from_raw_parts(work, n),
                    std::slice::from_raw_parts_mut(store, n),
                );
            }
            (_, Way::In) => (0..n).map(at).for_each(|(store, work)| *work = (*store).widen()),
            (_, Way::Out) => (0..n).map(at).for_each(|(store, work)| *store = S::narrow(*work)),
        }
    }
}
