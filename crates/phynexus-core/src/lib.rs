//! What every device of the Phynexus engine shares: element types, shapes and layouts, errors, the closed set of
//! kernels, the [`Device`] trait and the counter-based random generator.
//!
//! A device runs [`Kernel`]s over [`View`]s of [`Buffer`]s. It knows neither operations nor optimizers nor the tape.

mod device;
mod dtype;
mod error;
mod kernel;
mod layout;
mod once;
pub mod philox;
mod precision;
mod shape;

pub use device::{Buffer, Compiled, Counters, Device, DeviceId, DeviceType, Owner, Task, Usage, View};
pub use dtype::{Category, DType};
pub use error::{Error, Result, reserve};
pub use kernel::{Distribution, Factorization, Kernel, ReduceOp, ScatterOp, Spec};
pub use layout::Layout;
pub use once::{Chain, Making, Once};
pub use phynexus_formula::Value;
pub use precision::{Float32Products, float32_products, set_float32_products};
pub use shape::{MAX_DIMS, Shape};
