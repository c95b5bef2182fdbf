//! The element types as Rust types: what they are computed in, and how they are ordered.

use half::{bf16, f16};
use phynexus_core::DType;

/// A stored element.
pub(crate) trait Element: Copy + Send + Sync + 'static {
    /// What sums are kept in: i64 or f64. Every element is exact in it.
    type Wide: Wide;
    /// What extrema are kept in: the narrowest type that processors compare.
    type Own: Wide;
    /// An integer that orders elements: equal for both zeros, greatest for NaN.
    type Key: Key;
    /// The same value.
    fn widen(self) -> Self::Wide;
    /// The same value.
    fn own(self) -> Self::Own;
    /// The nearest value (integers wrap).
    fn narrow(wide: Self::Wide) -> Self;
    /// The sum, rounded to this type.
    fn plus(self, other: Self) -> Self;
    /// Whether this is no number.
    fn is_nan(self) -> bool;
    /// Its place in the order.
    fn key(self) -> Self::Key;
}

/// What elements are accumulated in.
pub(crate) trait Wide: Copy + PartialOrd + Send + Sync + 'static {
    const ZERO: Self;
    const ONE: Self;
    const LOWEST: Self;
    const HIGHEST: Self;
    fn plus(self, other: Self) -> Self;
    fn times(self, other: Self) -> Self;
    fn as_f64(self) -> f64;
    fn as_i64(self) -> i64;
    /// Writes it as `dtype`.
    ///
    /// # Safety
    /// `at` must be the aligned address of an element of that dtype.
    unsafe fn store(self, dtype: DType, at: *mut u8);
}

/// i32 or i64.
pub(crate) trait Key: Copy + Ord + std::ops::Not<Output = Self> + Send + Sync + 'static {
    const MIN: Self;
    /// The unsigned integer of the same width and order.
    fn ascending(self) -> u64;
}

macro_rules! wide {
    ($type:ty, $one:expr, $lowest:expr, $highest:expr, $plus:expr, $times:expr) => {
        impl Wide for $type {
            const ZERO: Self = 0 as $type;
            const ONE: Self = $one;
            const LOWEST: Self = $lowest;
            const HIGHEST: Self = $highest;
            #[inline(always)]
            fn plus(self, other: Self) -> Self {
                $plus(self, other)
            }
            #[inline(always)]
            fn times(self, other: Self) -> Self {
                $times(self, other)
            }
            #[inline(always)]
            fn as_f64(self) -> f64 {
                self as f64
            }
            #[inline(always)]
            fn as_i64(self) -> i64 {
                self as i64
            }
            unsafe fn store(self, dtype: DType, at: *mut u8) {
                // SAFETY: the caller says that an element of this dtype stands here.
                unsafe {
                    match dtype {
                        DType::Bool => *at = (self != Self::ZERO) as u8,
                        DType::U8 => *at = self as u8,
                        DType::I32 => *at.cast() = self as i32,
                        DType::I64 => *at.cast() = self as i64,
                        DType::F16 => *at.cast() = f16::from_f64(self as f64),
                        DType::BF16 => *at.cast() = bf16::from_f64(self as f64),
                        DType::F32 => *at.cast() = self as f32,
                        DType::F64 => *at.cast() = self as f64,
                    }
                }
            }
        }
    };
}

wide!(u8, 1, u8::MIN, u8::MAX, u8::wrapping_add, u8::wrapping_mul);
wide!(i32, 1, i32::MIN, i32::MAX, i32::wrapping_add, i32::wrapping_mul);
wide!(f32, 1.0, f32::NEG_INFINITY, f32::INFINITY, std::ops::Add::add, std::ops::Mul::mul);
wide!(i64, 1, i64::MIN, i64::MAX, i64::wrapping_add, i64::wrapping_mul);
wide!(f64, 1.0, f64::NEG_INFINITY, f64::INFINITY, std::ops::Add::add, std::ops::Mul::mul);

impl Key for i32 {
    const MIN: i32 = i32::MIN;
    #[inline(always)]
    fn ascending(self) -> u64 {
        (self as u32 ^ 1 << 31) as u64
    }
}

impl Key for i64 {
    const MIN: i64 = i64::MIN;
    #[inline(always)]
    fn ascending(self) -> u64 {
        self as u64 ^ 1 << 63
    }
}

macro_rules! integer {
    ($type:ty, $key:ty) => {
        impl Element for $type {
            type Wide = i64;
            type Own = $type;
            type Key = $key;
            #[inline(always)]
            fn own(self) -> $type {
                self
            }
            #[inline(always)]
            fn widen(self) -> i64 {
                self as i64
            }
            #[inline(always)]
            fn narrow(wide: i64) -> Self {
                wide as $type
            }
            #[inline(always)]
            fn plus(self, other: Self) -> Self {
                self.wrapping_add(other)
            }
            #[inline(always)]
            fn is_nan(self) -> bool {
                false
            }
            #[inline(always)]
            fn key(self) -> $key {
                self as $key
            }
        }
    };
}

integer!(u8, i32);
integer!(i32, i32);
integer!(i64, i64);

macro_rules! float {
    ($type:ty, $key:ty, $compute:ty, $to:expr, $from:expr, $narrow:expr) => {
        impl Element for $type {
            type Wide = f64;
            type Own = $compute;
            type Key = $key;
            #[inline(always)]
            fn own(self) -> $compute {
                $to(self)
            }
            #[inline(always)]
            fn widen(self) -> f64 {
                $to(self) as f64
            }
            #[inline(always)]
            fn narrow(wide: f64) -> Self {
                $narrow(wide)
            }
            #[inline(always)]
            fn plus(self, other: Self) -> Self {
                $from($to(self) + $to(other))
            }
            #[inline(always)]
            fn is_nan(self) -> bool {
                let x: $compute = $to(self);
                x.is_nan()
            }
            #[inline(always)]
            fn key(self) -> $key {
                let x: $compute = $to(self) + 0.0; // -0 becomes +0
                let bits = x.to_bits() as $key;
                // Negative floats grow with smaller bits: all bits but the sign are turned round.
                let order = bits ^ ((bits >> (<$key>::BITS - 1)) & <$key>::MAX);
                if x.is_nan() { <$key>::MAX } else { order }
            }
        }
    };
}

float!(f16, i32, f32, f16_to_f32, f16::from_f32, f16::from_f64);
float!(bf16, i32, f32, bf16_to_f32, bf16::from_f32, bf16::from_f64);
float!(f32, i32, f32, |x: f32| x, |x: f32| x, |x: f64| x as f32);
float!(f64, i64, f64, |x: f64| x, |x: f64| x, |x: f64| x);

/// Without branches or tests of the processor, so that loops vectorise.
#[inline(always)]
pub(crate) fn f16_to_f32(half: f16) -> f32 {
    let bits = half.to_bits() as u32;
    // The exponent's bias is corrected by a multiplication, which is right for subnormal numbers too.
    let magnitude = f32::from_bits((bits & 0x7fff) << 13) * f32::from_bits((127 + 112) << 23);
    let special = if bits & 0x7fff >= 0x7c00 { 0x7f80_0000 } else { 0 };
    f32::from_bits(magnitude.to_bits() | special | (bits & 0x8000) << 16)
}

#[inline(always)]
fn bf16_to_f32(half: bf16) -> f32 {
    f32::from_bits((half.to_bits() as u32) << 16)
}

/// Runs an expression with `$type` bound to the Rust type that stores `$dtype`.
macro_rules! with_element {
    ($dtype:expr, $type:ident => $body:expr) => {
        match $dtype {
            phynexus_core::DType::Bool | phynexus_core::DType::U8 => {
                type $type = u8;
                $body
            }
            phynexus_core::DType::I32 => {
                type $type = i32;
                $body
            }
            phynexus_core::DType::I64 => {
                type $type = i64;
                $body
            }
            phynexus_core::DType::F16 => {
                type $type = half::f16;
                $body
            }
            phynexus_core::DType::BF16 => {
                type $type = half::bf16;
                $body
            }
            phynexus_core::DType::F32 => {
                type $type = f32;
                $body
            }
            phynexus_core::DType::F64 => {
                type $type = f64;
                $body
            }
        }
    };
}
pub(crate) use with_element;
