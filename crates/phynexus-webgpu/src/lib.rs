//! GPUs through WebGPU: Vulkan, Metal, Direct3D 12 and those of browsers, by `wgpu`. Kernels are those of `phynexus-gpu`, in WGSL.
//!
//! Memory is handed out as pieces of few large buffers ([`arena`]), so that a kernel, which may bind eight, can work on any
//! number of tensors. Work is collected ([`queue`]) until something is read, or much has gathered. Nothing is looked for
//! before somebody asks for these devices.

#[cfg_attr(target_family = "wasm", path = "browser.rs")]
mod adapter;
mod answer;
mod arena;
mod device;
mod error;
mod pipeline;
mod queue;

#[cfg(target_family = "wasm")]
pub use adapter::open;
pub use adapter::{devices, known_devices};
pub use device::WebGpu;
