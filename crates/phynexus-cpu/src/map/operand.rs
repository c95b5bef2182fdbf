//! Operands of a launch: where element `i` (row-major) of a strided view stands, and how blocks of elements come into
//! and out of the registers, which hold dense arrays of the compute type.

use half::{bf16, f16, slice::HalfFloatSliceExt};
use phynexus_core::{DType, MAX_DIMS, View};

/// A view, prepared: dimensions of size 1 dropped, neighbours merged where their strides allow it.
#[derive(Clone, Copy)]
pub(super) struct Operand {
    base: *mut u8,
    dtype: DType,
    dims: usize,
    sizes: [usize; MAX_DIMS],
    strides: [isize; MAX_DIMS],
}

impl Operand {
    pub fn new(view: &View<'_>) -> Operand {
        let layout = view.layout;
        let base = (view.buffer.handle() as *mut u8).wrapping_add(layout.offset() * view.dtype.size());
        let mut operand =
            Operand { base, dtype: view.dtype, dims: 0, sizes: [1; MAX_DIMS], strides: [0; MAX_DIMS] };
        if layout.elements() == 0 {
            return operand; // never followed
        }
        for (&size, &stride) in layout.shape().iter().zip(layout.strides()) {
            let last = operand.dims.wrapping_sub(1);
            if size == 1 {
            } else if operand.dims > 0 && operand.strides[last] == stride * size as isize {
                operand.sizes[last] *= size;
                operand.strides[last] = stride;
            } else {
                operand.sizes[operand.dims] = size;
                operand.strides[operand.dims] = stride;
                operand.dims += 1;
            }
        }
        operand
    }

    /// `n` values without gaps.
    pub fn dense(base: *mut u8, dtype: DType, n: usize) -> Operand {
        let mut operand = Operand { base, dtype, dims: 1, sizes: [1; MAX_DIMS], strides: [0; MAX_DIMS] };
        (operand.sizes[0], operand.strides[0]) = (n, 1);
        operand
    }

    /// Whether the elements follow each other without gaps.
    pub fn is_dense(&self) -> bool {
        self.dims == 0 || (self.dims == 1 && self.strides[0] == 1)
    }

    /// Whether both views have memory in common, or might.
    pub fn meets(&self, other: &Operand) -> bool {
        let (low, high) = self.span();
        let (other_low, other_high) = other.span();
        low < other_high && other_low < high
    }

    /// The addresses between which all elements lie.
    fn span(&self) -> (isize, isize) {
        let (mut low, mut high) = (self.base as isize, self.base as isize + self.dtype.size() as isize);
        for d in 0..self.dims {
            let reach = self.strides[d] * (self.sizes[d] as isize - 1) * self.dtype.size() as isize;
            if reach < 0 { low += reach } else { high += reach }
        }
        (low, high)
    }

    /// Whether a register of the compute type is stored just so.
    fn is_plain(&self) -> bool {
        !matches!(self.dtype, DType::U8 | DType::F16 | DType::BF16)
    }

    /// The address of elements `first` to `first + n`, where they lie there as a register would hold them.
    pub fn direct(&self, first: usize, n: usize) -> Option<*mut u8> {
        if !self.is_plain() {
            return None;
        }
        if self.is_dense() {
            return Some(self.base.wrapping_add(first * self.dtype.size()));
        }
        let inner = self.dims - 1;
        let at = first % self.sizes[inner];
        (self.strides[inner] == 1 && at + n <= self.sizes[inner])
            .then(|| self.base.wrapping_offset(self.offset(first) * self.dtype.size() as isize))
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

    /// Calls `f(address, stride, done, count)` for runs along the last dimension that make up the `n` elements from `first`.
    fn runs(&self, first: usize, n: usize, mut f: impl FnMut(*mut u8, isize, usize, usize)) {
        let inner = self.dims.wrapping_sub(1);
        if self.dims == 0 {
            return f(self.base, 1, 0, n);
        }
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
            f(
                self.base.wrapping_offset(offset * self.dtype.size() as isize),
                self.strides[inner],
                done,
                count,
            );
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
        let period = self.sizes[1];
        let repeats = self.dims == 2 && self.strides[0] == 0 && period < n;
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
fn to_bf16(value: f32) -> bf16 {
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
