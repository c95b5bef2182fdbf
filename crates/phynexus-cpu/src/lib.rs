//! The CPU of the Phynexus engine: memory that is recycled, a fork-join pool, and the kernels of
//! [`phynexus_core::Spec`] for strided operands.
//!
//! Every kernel gives the same bits whatever the number of threads: work is cut by shape alone, never by who is free.

mod device;
mod element;
#[cfg_attr(target_family = "wasm", path = "factor_none.rs")]
mod factor;
mod functions;
mod gather;
#[doc(hidden)]
#[cfg_attr(target_family = "wasm", path = "jit/none.rs")]
pub mod jit;
mod map;
mod matmul;
mod memory;
mod pool;
mod random;
mod reduce;
mod scan;
mod scatter;
mod simd;
mod sort;
mod strided;

pub use device::{Cpu, cpu};
pub use memory::empty_cache;
pub use pool::{num_threads, parse_threads, set_num_threads};
