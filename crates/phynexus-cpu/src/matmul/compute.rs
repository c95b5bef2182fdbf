//! The types that products are computed in, each with the best registers that this processor has for it.

use super::operand::Product;
use super::product::product;
use super::vector::{Number, Wide};
#[cfg(target_arch = "x86_64")]
use super::x86::{Avx2, Avx512};
#[cfg(target_arch = "x86_64")]
use crate::simd::{Level, level};
use phynexus_core::Result;
#[cfg(target_arch = "x86_64")]
use std::arch::x86_64::{__m256, __m256d, __m512, __m512d};

/// A type that products are computed in.
pub(super) trait Compute: Number {
    /// Computes the product.
    ///
    /// # Safety
    /// The operands are valid.
    unsafe fn product(p: &Product<Self>) -> Result<()>;
}

macro_rules! float {
    ($t:ty, $lanes:literal, $avx2:ty, $avx512:ty) => {
        impl Compute for $t {
            unsafe fn product(p: &Product<$t>) -> Result<()> {
                // SAFETY: the caller's operands, and instructions that the processor has.
                unsafe {
                    #[cfg(target_arch = "x86_64")]
                    match level() {
                        Level::Avx512 => return product::<Avx512<$avx512>>(p),
                        Level::Avx2 => return product::<Avx2<$avx2>>(p),
                        Level::Any => {}
                    }
                    product::<Wide<$t, $lanes>>(p)
                }
            }
        }
    };
}
float!(f32, 4, __m256, __m512);
float!(f64, 2, __m256d, __m512d);

macro_rules! integer {
    ($t:ty, $lanes:literal) => {
        impl Compute for $t {
            unsafe fn product(p: &Product<$t>) -> Result<()> {
                // SAFETY: the caller's operands.
                unsafe { product::<Wide<$t, $lanes>>(p) }
            }
        }
    };
}
integer!(i32, 4);
integer!(i64, 2);
