//! The inner loops of the interpreter: one plain loop for each kind of instruction, over dense blocks in L1.
//!
//! Results go through a small buffer on the stack. So a block may be both operand and result, and the compiler still
//! sees that nothing overlaps and vectorises.

use crate::simd::vectorised;
use std::mem::MaybeUninit;

/// Addresses and counts of one instruction. The block is `rows` rows of `len` elements; the first one stands at
/// position `first` of its row. `n` is how many values the instruction works on.
#[derive(Clone, Copy)]
pub(super) struct Args {
    pub out: *mut u8,
    pub a: *const u8,
    pub b: *const u8,
    pub c: *const u8,
    pub n: usize,
    pub rows: usize,
    pub len: usize,
    pub first: usize,
}

/// An instruction's loop. Operands are dense arrays (or single values, where the loop was chosen so) of the types it was
/// made for and as long as `Args` says; alignment is not needed.
pub(super) type Run = unsafe fn(&Args);

/// A value in a block.
pub(super) trait Value: Copy + 'static {}
impl Value for f32 {}
impl Value for f64 {}
impl Value for i32 {}
impl Value for i64 {}
impl Value for u8 {} // a truth value, 0 or 1

/// Whether an operand is an array or one value for all.
pub(super) trait Form: 'static {
    /// # Safety
    /// `at` must be readable as an array (or single value) with element `i`.
    unsafe fn get<T: Value>(at: *const u8, i: usize) -> T;
}

/// One value for each element.
pub(super) struct Each;
/// One value for all.
pub(super) struct Same;

impl Form for Each {
    #[inline(always)]
    unsafe fn get<T: Value>(at: *const u8, i: usize) -> T {
        // SAFETY: the caller's contract.
        unsafe { at.cast::<T>().add(i).read_unaligned() }
    }
}

impl Form for Same {
    #[inline(always)]
    unsafe fn get<T: Value>(at: *const u8, _: usize) -> T {
        // SAFETY: the caller's contract.
        unsafe { at.cast::<T>().read_unaligned() }
    }
}

/// The one value of a function's type: functions without captured variables have no state.
#[inline(always)]
fn function<F>() -> F {
    const { assert!(size_of::<F>() == 0) };
    // SAFETY: F has no bytes to read; callers got the type from a value that exists.
    unsafe { std::ptr::NonNull::<F>::dangling().read() }
}

const STEP: usize = 64;

/// Writes `f(i)` for each `i` below `n`.
///
/// # Safety
/// `out` must hold `n` values; what `f` reads may overlap it only element by element.
#[inline(always)]
unsafe fn fill<R: Value>(out: *mut u8, n: usize, f: impl Fn(usize) -> R) {
    // SAFETY: the caller's contract.
    unsafe {
        let done = steps::<R, STEP>(out, 0, n, &f);
        let done = steps::<R, 8>(out, done, n, &f);
        steps::<R, 1>(out, done, n, &f);
    }
}

/// As [`fill`], from `done` on, as long as there are `W` values left; returns how far it came.
#[inline(always)]
unsafe fn steps<R: Value, const W: usize>(
    out: *mut u8,
    mut done: usize,
    n: usize,
    f: &impl Fn(usize) -> R,
) -> usize {
    while done + W <= n {
        let mut buffer = [const { MaybeUninit::<R>::uninit() }; W];
        for (i, value) in buffer.iter_mut().enumerate() {
            value.write(f(done + i));
        }
        // SAFETY: `out` has room for these values.
        unsafe { out.cast::<R>().add(done).cast::<[MaybeUninit<R>; W]>().write_unaligned(buffer) };
        done += W;
    }
    done
}

// Contract of all loops: that of `Run`.

vectorised! {
    pub(super) unsafe fn unary<T: Value, R: Value, F: Fn(T) -> R>(g: &Args) {
        let f = function::<F>();
        // SAFETY: the operands hold n values.
        unsafe { fill(g.out, g.n, |i| f(Each::get(g.a, i))) }
    }
}

vectorised! {
    pub(super) unsafe fn binary<T: Value, R: Value, A: Form, B: Form, F: Fn(T, T) -> R>(g: &Args) {
        let f = function::<F>();
        // SAFETY: the operands hold n values.
        unsafe { fill(g.out, g.n, |i| f(A::get(g.a, i), B::get(g.b, i))) }
    }
}

vectorised! {
    pub(super) unsafe fn select<T: Value, A: Form, B: Form, C: Form>(g: &Args) {
        // SAFETY: the operands hold n values; both sides may be read.
        unsafe {
            fill(g.out, g.n, |i| {
                let (yes, no) = (B::get::<T>(g.b, i), C::get::<T>(g.c, i));
                if A::get::<u8>(g.a, i) != 0 { yes } else { no }
            })
        }
    }
}

/// Repeats the value of each row along the row.
pub(super) unsafe fn expand<T: Value>(g: &Args) {
    for row in 0..g.rows {
        // SAFETY: `a` holds a value for each row, `out` one for each element.
        unsafe {
            let value = g.a.cast::<T>().add(row).read_unaligned();
            fill(g.out.cast::<T>().add(row * g.len).cast(), g.len, |_| value);
        }
    }
}

/// One value `n` times.
pub(super) unsafe fn splat<T: Value>(g: &Args) {
    // SAFETY: `a` holds a value.
    unsafe { fill::<T>(g.out, g.n, |_| Same::get(g.a, 0)) }
}

/// Positions in the row.
pub(super) unsafe fn positions(g: &Args) {
    for row in 0..g.rows {
        // SAFETY: `out` holds a value for each element.
        unsafe { fill(g.out.cast::<i64>().add(row * g.len).cast(), g.len, |i| (g.first + i) as i64) }
    }
}

vectorised! {
    /// As [`unary`], but blocks in which `large` holds for some element go through `slow` there: for functions whose
    /// vectorised form has a limited range.
    pub(super) unsafe fn limited<T: Value, F: Fn(T) -> T, P: Fn(T) -> bool, S: Fn(T) -> T>(g: &Args) {
        let (fast, large, slow) = (function::<F>(), function::<P>(), function::<S>());
        // SAFETY: the operands hold n values; an in-place result of one step touches no other step.
        unsafe {
            for start in (0..g.n).step_by(STEP) {
                let count = STEP.min(g.n - start);
                let a = g.a.cast::<T>().add(start);
                let mut copy = [const { MaybeUninit::<T>::uninit() }; STEP];
                std::ptr::copy_nonoverlapping(a.cast::<u8>(), copy.as_mut_ptr().cast(), count * size_of::<T>());
                let out = g.out.cast::<T>().add(start);
                fill(out.cast(), count, |i| fast(copy[i].assume_init()));
                let any = copy[..count].iter().fold(false, |any, x| any | large(x.assume_init()));
                for i in (0..if any { count } else { 0 }).filter(|&i| large(copy[i].assume_init())) {
                    out.add(i).write_unaligned(slow(copy[i].assume_init()));
                }
            }
        }
    }
}

vectorised! {
    /// As [`limited`], of two operands.
    pub(super) unsafe fn limited_binary<T: Value, F: Fn(T, T) -> T, P: Fn(T, T) -> bool, S: Fn(T, T) -> T>(g: &Args) {
        let (fast, large, slow) = (function::<F>(), function::<P>(), function::<S>());
        // SAFETY: the operands hold n values; an in-place result of one step touches no other step.
        unsafe {
            for start in (0..g.n).step_by(STEP) {
                let count = STEP.min(g.n - start);
                let mut copies = [[const { MaybeUninit::<T>::uninit() }; STEP]; 2];
                for (copy, from) in copies.iter_mut().zip([g.a, g.b]) {
                    let from = from.cast::<T>().add(start);
                    std::ptr::copy_nonoverlapping(from.cast::<u8>(), copy.as_mut_ptr().cast(), count * size_of::<T>());
                }
                let [a, b] = &copies;
                let out = g.out.cast::<T>().add(start);
                fill(out.cast(), count, |i| fast(a[i].assume_init(), b[i].assume_init()));
                let is_large = |i: usize| large(a[i].assume_init(), b[i].assume_init());
                let any = (0..count).fold(false, |any, i| any | is_large(i));
                for i in (0..if any { count } else { 0 }).filter(|&i| is_large(i)) {
                    out.add(i).write_unaligned(slow(a[i].assume_init(), b[i].assume_init()));
                }
            }
        }
    }
}
