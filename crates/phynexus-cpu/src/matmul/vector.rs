//! What the product asks of an element type and of a vector register. One generic micro-kernel serves every instruction
//! set; here are the trait and the portable register, an array that the compiler vectorises as it can.

use super::pack::{Panel, panel};
use super::tile::{Dots, Tile, dots, rows};

/// An element that products are computed in.
pub(super) trait Number: Copy + PartialOrd + Send + Sync + 'static {
    /// Zero.
    const ZERO: Self;
    /// What no number is less than.
    const LEAST: Self;
    /// `self * b + c`; integers wrap.
    fn mul_add(self, b: Self, c: Self) -> Self;
    /// `self + b`; integers wrap.
    fn plus(self, b: Self) -> Self;
    /// `least` where `self <= least`; NaN stays.
    fn at_least(self, least: Self) -> Self;
}

macro_rules! number {
    ($($t:ty, $zero:literal, $least:expr, |$a:ident, $b:ident, $c:ident| $fma:expr, $add:expr);*) => {$(
        impl Number for $t {
            const ZERO: Self = $zero;
            const LEAST: Self = $least;
            #[inline(always)]
            fn mul_add(self, $b: Self, $c: Self) -> Self {
                let $a = self;
                $fma
            }
            #[inline(always)]
            fn plus(self, $b: Self) -> Self {
                let $a = self;
                $add
            }
            #[inline(always)]
            fn at_least(self, least: Self) -> Self {
                if self <= least { least } else { self }
            }
        }
    )*};
}
number! {
    f32, 0.0, f32::NEG_INFINITY, |a, b, c| a * b + c, a + b;
    f64, 0.0, f64::NEG_INFINITY, |a, b, c| a * b + c, a + b;
    i32, 0, i32::MIN, |a, b, c| a.wrapping_mul(b).wrapping_add(c), a.wrapping_add(b);
    i64, 0, i64::MIN, |a, b, c| a.wrapping_mul(b).wrapping_add(c), a.wrapping_add(b)
}

/// A vector register.
///
/// # Safety
/// All methods need the instruction set of the implementing type, and pointers that are valid for what they touch.
pub(super) unsafe trait Vector: Copy + 'static {
    /// What it holds.
    type Elem: Number;
    /// How many.
    const LANES: usize;
    /// Rows of the largest tile: as many as there are registers for, two vectors wide.
    const ROWS: usize;
    /// Side of the square that `transpose` turns; divides `LANES`.
    const SIDE: usize;

    unsafe fn zero() -> Self;
    unsafe fn splat(p: *const Self::Elem) -> Self;
    unsafe fn load(p: *const Self::Elem) -> Self;
    unsafe fn store(self, p: *mut Self::Elem);
    /// The first `n < LANES` lanes; the others are zero and their memory is not touched.
    unsafe fn load_part(p: *const Self::Elem, n: usize) -> Self;
    unsafe fn store_part(self, p: *mut Self::Elem, n: usize);
    /// `self * b + c`.
    unsafe fn mul_add(self, b: Self, c: Self) -> Self;
    unsafe fn plus(self, b: Self) -> Self;
    /// `least` where `self <= least`; NaN in `self` stays.
    unsafe fn at_least(self, least: Self) -> Self;
    /// The sum of all lanes, pairwise.
    unsafe fn sum(self) -> Self::Elem;
    /// `to[i * to_row + j] = from[j * from_row + i]` for a square.
    unsafe fn transpose(from: *const Self::Elem, from_row: isize, to: *mut Self::Elem, to_row: usize);
    /// [`rows`] of height `r` and width `w`, compiled for the instruction set.
    unsafe fn run_rows(tile: &Tile<Self::Elem>, r: usize, w: usize);
    /// [`dots`], compiled for the instruction set.
    unsafe fn run_dots(work: &Dots<Self::Elem>);
    /// [`panel`], compiled for the instruction set.
    unsafe fn run_panel(work: &Panel<Self::Elem>);
}

/// Picks the micro-kernel of height `r` and width `w`.
macro_rules! pick {
    ($tile:expr, $r:expr, $w:expr, $($n:literal)*) => {
        match ($r, $w) {
            $(($n, 1) => rows::<Self, $n, 1>($tile), ($n, 2) => rows::<Self, $n, 2>($tile),)*
            (1, 8) => rows::<Self, 1, 8>($tile),
            _ => unreachable!("no micro-kernel of {} rows", $r),
        }
    };
}
#[cfg(target_arch = "x86_64")]
pub(super) use pick;

/// The portable register.
#[derive(Clone, Copy)]
pub(super) struct Wide<T, const N: usize>([T; N]);

// SAFETY: plain Rust that needs no instruction set; it touches only the memory that its contract names.
unsafe impl<T: Number, const N: usize> Vector for Wide<T, N> {
    type Elem = T;
    const LANES: usize = N;
    const ROWS: usize = 4;
    const SIDE: usize = N;

    #[inline(always)]
    unsafe fn zero() -> Self {
        Wide([T::ZERO; N])
    }
    #[inline(always)]
    unsafe fn splat(p: *const T) -> Self {
        // SAFETY: one element at `p`, by the trait's contract.
        Wide([unsafe { *p }; N])
    }
    #[inline(always)]
    unsafe fn load(p: *const T) -> Self {
        // SAFETY: `N` elements at `p`, by the trait's contract.
        Wide(unsafe { p.cast::<[T; N]>().read_unaligned() })
    }
    #[inline(always)]
    unsafe fn store(self, p: *mut T) {
        // SAFETY: `N` elements at `p`, by the trait's contract.
        unsafe { p.cast::<[T; N]>().write_unaligned(self.0) }
    }
    #[inline(always)]
    unsafe fn load_part(p: *const T, n: usize) -> Self {
        // SAFETY: `n` elements at `p`, by the trait's contract.
        Wide(std::array::from_fn(|i| if i < n { unsafe { *p.add(i) } } else { T::ZERO }))
    }
    #[inline(always)]
    unsafe fn store_part(self, p: *mut T, n: usize) {
        for i in 0..n {
            // SAFETY: `n` elements at `p`, by the trait's contract.
            unsafe { *p.add(i) = self.0[i] }
        }
    }
    #[inline(always)]
    unsafe fn mul_add(self, b: Self, c: Self) -> Self {
        Wide(std::array::from_fn(|i| self.0[i].mul_add(b.0[i], c.0[i])))
    }
    #[inline(always)]
    unsafe fn plus(self, b: Self) -> Self {
        Wide(std::array::from_fn(|i| self.0[i].plus(b.0[i])))
    }
    #[inline(always)]
    unsafe fn at_least(self, least: Self) -> Self {
        Wide(std::array::from_fn(|i| self.0[i].at_least(least.0[i])))
    }
    #[inline(always)]
    unsafe fn sum(self) -> T {
        let (mut lanes, mut n) = (self.0, N);
        while n > 1 {
            n /= 2;
            for i in 0..n {
                lanes[i] = lanes[i].plus(lanes[i + n]);
            }
        }
        lanes[0]
    }
    #[inline(always)]
    unsafe fn transpose(from: *const T, from_row: isize, to: *mut T, to_row: usize) {
        for i in 0..N {
            for j in 0..N {
                // SAFETY: both squares are valid, by the trait's contract.
                unsafe { *to.add(i * to_row + j) = *from.offset(j as isize * from_row + i as isize) }
            }
        }
    }
    unsafe fn run_rows(tile: &Tile<T>, r: usize, w: usize) {
        // SAFETY: passed on unchanged.
        unsafe { pick!(tile, r, w, 1 2 3 4) }
    }
    unsafe fn run_dots(work: &Dots<T>) {
        // SAFETY: passed on unchanged.
        unsafe { dots::<Self>(work) }
    }
    unsafe fn run_panel(work: &Panel<T>) {
        // SAFETY: passed on unchanged.
        unsafe { panel::<Self>(work) }
    }
}
