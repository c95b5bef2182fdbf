//! Operands of a launch: where element `i` (row-major) of a strided view stands, and how blocks of elements come into
//! and out of the registers, which hold dense arrays of the compute type.

use half::{bf16, f16, slice::HalfFloatSliceExt};
use phynexus_core::{DType, Layout, MAX_DIMS, View};

/// A view, prepared.
pub(super) struct Operand {
    base: *mut u8,
    dtype: DType,
    elements: usize,
    /// Where elements stand; None where they follow each other without gaps. Boxed, since most are: what a thread keeps
    /// of its operands stays small.
    walk: Option<Box<Walk>>,
}

/// Dimensions without those of size 1, neighbours merged where their strides allow it. At least one.
struct Walk {
    dims: usize,
    sizes: [usize; MAX_DIMS],
    strides: [isize; MAX_DIMS],
}

impl Walk {
    fn new(layout: &Layout) -> Walk {
        let mut walk = Walk { dims: 0, sizes: [1; MAX_DIMS], strides: [0; MAX_DIMS] };
        for (&size, &stride) in layout.shape().iter().zip(layout.strides()).filter(|(size, _)| **size != 1) {
            let last = walk.dims.wrapping_sub(1);
            if walk.dims > 0 && walk.strides[last] == stride * size as isize {
                walk.sizes[last] *= size;
                walk.strides[last] = stride;
            } else {
                walk.sizes[walk.dims] = size;
                walk.strides[walk.dims] = stride;
                walk.dims += 1;
            }
        }
        walk
    }

    fn inner(&self) -> (usize, isize) {
        (self.sizes[self.dims - 1], self.strides[self.dims - 1])
    }

    /// The distance of element `index` from the first, in elements.
    fn offset(&self, mut index: usize) -> isize {
        let mut offset = 0;
        for d in (0..self.dims).rev() {
            offset += (index % self.sizes[d]) as isize * self.strides[d];
            index /= self.sizes[d];
        }
        offset
    }

    /// Calls `f(offset, stride, done, count)` for runs along the last dimension that make up `n > 0` elements from `first`.
    fn runs(&self, first: usize, n: usize, mut f: impl FnMut(isize, isize, usize, usize)) {
        let inner = self.dims - 1;
        let mut at = [0; MAX_DIMS];
        let (mut rest, mut offset) = (first, 0);
        for d in (0..self.dims).rev() {
            at[d] = rest % self.sizes[d];
            rest /= self.sizes[d];
            offset += at[d] as isize * self.strides[d];
        }
        let mut done = 0;
        while done < n {
            let count = (self.sizes[inner] - at[inner]).min(n - done);
            f(offset, self.strides[inner], done, count);
            done += count;
            at[inner] += count;
            offset += count as isize * self.strides[inner];
            let mut d = inner;
            while at[d] == self.sizes[d] && d > 0 {
                offset += self.strides[d - 1] - at[d] as isize * self.strides[d];
                at[d] = 0;
                d -= 1;
                at[d] += 1;
            }
        }
    }
}

impl Operand {
    #[inline]
    pub fn new(view: &View<'_>) -> Operand {
        let base = (view.buffer.handle() as *mut u8).wrapping_add(view.layout.offset() * view.dtype.size());
        let walk = if view.layout.is_contiguous() { None } else { Some(Box::new(Walk::new(view.layout))) };
        Operand { base, dtype: view.dtype, elements: view.layout.elements(), walk }
    }

    /// Values without gaps.
    pub fn dense(base: *mut u8, dtype: DType, elements: usize) -> Operand {
        Operand { base, dtype, elements, walk: None }
    }

    /// Whether the elements follow each other without gaps.
    pub fn is_dense(&self) -> bool {
        self.walk.is_none()
    }

    /// Whether both views have memory in common, or might.
    pub fn meets(&self, other: &Operand) -> bool {
        let ((low, high), (other_low, other_high)) = (self.span(), other.span());
        low < other_high && other_low < high
    }

    /// The addresses between which all elements lie.
    fn span(&self) -> (isize, isize) {
        let size = self.dtype.size() as isize;
        let (mut low, mut high) = (self.base as isize, self.base as isize + size);
        match &self.walk {
            None => high = low + self.elements as isize * size,
            Some(walk) => {
                for d in 0..walk.dims {
                    let reach = walk.strides[d] * (walk.sizes[d] as isize - 1) * size;
                    if reach < 0 { low += reach } else { high += reach }
                }
            }
        }
        (low, high)
    }

    /// The address of elements `first` to `first + n`, where they lie there as a register would hold them.
    #[inline]
    pub fn direct(&self, first: usize, n: usize) -> Option<*mut u8> {
        if matches!(self.dtype, DType::U8 | DType::F16 | DType::BF16) {
            return None;
        }
        let offset = match &self.walk {
            None => first as isize,
            Some(walk) => {
                let (size, stride) = walk.inner();
                if stride != 1 || first % size + n > size {
                    return None;
                }
                walk.offset(first)
            }
        };
        Some(self.at(offset))
    }

    #[inline]
    fn at(&self, offset: isize) -> *mut u8 {
        self.base.wrapping_offset(offset * self.dtype.size() as isize)
    }

    /// Calls `f(address, stride, done, count)` for runs that make up the `n` elements from `first`.
    fn runs(&self, first: usize, n: usize, mut f: impl FnMut(*mut u8, isize, usize, usize)) {
        match &self.walk {
            None => f(self.at(first as isize), 1, 0, n),
            Some(walk) => {
                walk.runs(first, n, |offset, stride, done, count| f(self.at(offset), stride, done, count))
            }
        }
    }

    /// Brings `n` elements from `first` into a register.
    ///
    /// # Safety
    /// The view must be valid memory and `to` have room.
    pub unsafe fn load(&self, first: usize, n: usize, to: *mut u8) {
        // SAFETY: the caller's contract.
        unsafe {
            match self.dtype {
                DType::Bool => self.load_by(first, n, to, |from: u8| from, |_, _, _| false),
                DType::I32 | DType::F32 => self.load_by(first, n, to, |from: u32| from, |_, _, _| false),
                DType::I64 | DType::F64 => self.load_by(first, n, to, |from: u64| from, |_, _, _| false),
                DType::U8 => self.load_by(first, n, to, |from: u8| from as i32, |_, _, _| false),
                DType::BF16 => {
                    self.load_by(first, n, to, |from: u16| (from as u32) << 16, |_, _, _| false);
                }
                DType::F16 => self.load_by(
                    first,
                    n,
                    to,
                    |from: f16| from.to_f32(),
                    |from, to, n| {
                        // SAFETY: `n` elements each; the address of a float16 tensor is even unless somebody else laid it
                        // out, which is checked.
                        from.is_aligned() && {
                            let from = std::slice::from_raw_parts(from, n);
                            from.convert_to_f32_slice(std::slice::from_raw_parts_mut(to, n));
                            true
                        }
                    },
                ),
            }
        }
    }

    /// `whole` converts a run without gaps at once, if it can.
    unsafe fn load_by<S: Copy, R: Copy>(
        &self,
        first: usize,
        n: usize,
        to: *mut u8,
        convert: impl Fn(S) -> R,
        whole: impl Fn(*const S, *mut R, usize) -> bool,
    ) {
        let to = to.cast::<R>();
        // What repeats as a whole (a bias over rows) is converted once and then copied, twice as much each time.
        let period = match self.walk.as_deref() {
            Some(walk) if walk.dims == 2 && walk.strides[0] == 0 => walk.sizes[1],
            _ => n,
        };
        let repeats = period < n;
        self.runs(first, if repeats { period } else { n }, |from, stride, done, count| {
            let (from, to) = (from.cast::<S>().cast_const(), to.wrapping_add(done));
            // SAFETY: the runs stay inside the view, and `done + count <= n`.
            unsafe {
                match stride {
                    0 => {
                        let value = convert(from.read_unaligned());
                        (0..count).for_each(|i| to.add(i).write_unaligned(value));
                    }
                    1 if whole(from, to, count) => {}
                    1 => (0..count)
                        .for_each(|i| to.add(i).write_unaligned(convert(from.add(i).read_unaligned()))),
                    _ => (0..count).for_each(|i| {
                        let value = from.offset(i as isize * stride).read_unaligned();
                        to.add(i).write_unaligned(convert(value));
                    }),
                }
            }
        });
        let mut have = period;
        while repeats && have < n {
            let more = have.min(n - have);
            // SAFETY: `have + more <= n`.
            unsafe { std::ptr::copy_nonoverlapping(to, to.add(have), more) };
            have += more;
        }
    }

    /// Puts a register's `n` values to the elements from `first`.
    ///
    /// # Safety
    /// The view must be valid memory that nobody else uses, and `from` have the values.
    pub unsafe fn store(&self, first: usize, n: usize, from: *const u8) {
        // SAFETY: the caller's contract.
        unsafe {
            match self.dtype {
                DType::Bool => self.store_by(first, n, from, |v: u8| v, |_, _, _| false),
                DType::I32 | DType::F32 => self.store_by(first, n, from, |v: u32| v, |_, _, _| false),
                DType::I64 | DType::F64 => self.store_by(first, n, from, |v: u64| v, |_, _, _| false),
                DType::U8 => self.store_by(first, n, from, |v: i32| v as u8, |_, _, _| false),
                DType::BF16 => self.store_by(first, n, from, to_bf16, |_, _, _| false),
                DType::F16 => self.store_by(first, n, from, f16::from_f32, |from, to, n| {
                    // SAFETY: as in `load`.
                    to.is_aligned() && {
                        let to = std::slice::from_raw_parts_mut(to, n);
                        to.convert_from_f32_slice(std::slice::from_raw_parts(from, n));
                        true
                    }
                }),
            }
        }
    }

    unsafe fn store_by<R: Copy, S: Copy>(
        &self,
        first: usize,
        n: usize,
        from: *const u8,
        convert: impl Fn(R) -> S,
        whole: impl Fn(*const R, *mut S, usize) -> bool,
    ) {
        let from = from.cast::<R>();
        self.runs(first, n, |to, stride, done, count| {
            let (from, to) = (from.wrapping_add(done), to.cast::<S>());
            if stride == 1 && whole(from, to, count) {
                return;
            }
            for i in 0..count {
                // SAFETY: the runs stay inside the view, and `done + count <= n`.
                unsafe {
                    to.offset(i as isize * stride).write_unaligned(convert(from.add(i).read_unaligned()));
                }
            }
        });
    }
}

/// The nearest bfloat16, ties to even, as `bf16::from_f32`, but without a branch.
#[inline(always)]
pub(super) fn to_bf16(value: f32) -> bf16 {
    let bits = value.to_bits();
    let rounded = bits.wrapping_add(0x7FFF + (bits >> 16 & 1)) >> 16;
    bf16::from_bits(if value.is_nan() { bits >> 16 | 0x40 } else { rounded } as u16)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bfloat16_rounds_as_the_half_crate_does() {
        for high in 0..=u16::MAX {
            for low in [0u16, 1, 0x7FFF, 0x8000, 0x8001, 0xFFFF] {
                let value = f32::from_bits((high as u32) << 16 | low as u32);
                assert_eq!(to_bf16(value).to_bits(), bf16::from_f32(value).to_bits(), "{value}");
            }
        }
    }
}
