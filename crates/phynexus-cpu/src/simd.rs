//! One loop, compiled for each width of vector registers and chosen when it runs.
//!
//! No instruction set changes a result: Rust never contracts a multiplication and an addition into one rounding, so
//! the same loop gives the same bits in 128, 256 and 512 bits.

/// Defines an unsafe generic function whose body is compiled three times: for any machine, for AVX2 and for AVX-512. The body
/// should be a loop over at least a few dozen elements; what it calls must be `#[inline(always)]`.
macro_rules! vectorised {
    (
        $(#[$meta:meta])*
        $vis:vis unsafe fn $name:ident<$($generic:ident: $bound:path),*>($($arg:ident: $type:ty),* $(,)?) $(-> $output:ty)? $body:block
    ) => {
        $(#[$meta])*
        // SAFETY: the caller keeps the contract of the body, which is written above each use of this macro.
        $vis unsafe fn $name<$($generic: $bound),*>($($arg: $type),*) $(-> $output)? {
            #[inline(always)]
            unsafe fn body<$($generic: $bound),*>($($arg: $type),*) $(-> $output)? $body

            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx2,fma,f16c")]
            unsafe fn avx2<$($generic: $bound),*>($($arg: $type),*) $(-> $output)? {
                // SAFETY: the caller's contract is passed on.
                unsafe { body::<$($generic),*>($($arg),*) }
            }

            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,f16c")]
            unsafe fn avx512<$($generic: $bound),*>($($arg: $type),*) $(-> $output)? {
                // SAFETY: the caller's contract is passed on.
                unsafe { body::<$($generic),*>($($arg),*) }
            }

            #[cfg(target_arch = "x86_64")]
            match $crate::simd::level() {
                // SAFETY: the processor has these instructions; the caller's contract is passed on.
                $crate::simd::Level::Avx512 => return unsafe { avx512::<$($generic),*>($($arg),*) },
                // SAFETY: as above.
                $crate::simd::Level::Avx2 => return unsafe { avx2::<$($generic),*>($($arg),*) },
                $crate::simd::Level::Any => {}
            }
            // SAFETY: the caller's contract is passed on.
            unsafe { body::<$($generic),*>($($arg),*) }
        }
    };
}
pub(crate) use vectorised;

/// The widest instructions that this processor has.
#[cfg(target_arch = "x86_64")]
#[derive(Clone, Copy)]
pub(crate) enum Level {
    Any = 1,
    Avx2,
    Avx512,
}

/// The widest instructions that this processor has, asked once.
#[cfg(target_arch = "x86_64")]
#[inline]
pub(crate) fn level() -> Level {
    use std::sync::atomic::{AtomicU8, Ordering::Relaxed};
    static LEVEL: AtomicU8 = AtomicU8::new(0);
    match LEVEL.load(Relaxed) {
        0 => {
            let level = detect();
            LEVEL.store(level as u8, Relaxed);
            level
        }
        1 => Level::Any,
        2 => Level::Avx2,
        _ => Level::Avx512,
    }
}

#[cfg(target_arch = "x86_64")]
#[cold]
fn detect() -> Level {
    macro_rules! all {
        ($($feature:tt)*) => { $(is_x86_feature_detected!($feature))&&* };
    }
    let avx2 = all!("avx2" "fma" "f16c");
    match all!("avx512f" "avx512bw" "avx512dq" "avx512vl") {
        true if avx2 => Level::Avx512,
        _ if avx2 => Level::Avx2,
        _ => Level::Any,
    }
}
