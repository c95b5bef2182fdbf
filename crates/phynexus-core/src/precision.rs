//! How exact products of float32 matrices are on devices that have a faster way.

use std::sync::atomic::{AtomicBool, Ordering};

/// How products of float32 matrices are computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Float32Products {
    /// In float32.
    Exact,
    /// With factors of ten binary places (TF32) and sums in float32, where the device's library does that.
    Fast,
}

static FAST: AtomicBool = AtomicBool::new(false);

/// How they are computed now.
pub fn float32_products() -> Float32Products {
    if FAST.load(Ordering::Relaxed) { Float32Products::Fast } else { Float32Products::Exact }
}

/// Changes it for all devices and threads.
pub fn set_float32_products(how: Float32Products) {
    FAST.store(how == Float32Products::Fast, Ordering::Relaxed);
}
