//! GPUs of NVIDIA through CUDA, and of AMD through ROCm, whose HIP is the same interface by other names. Kernels are those of
//! `phynexus-gpu`, in C, compiled where they run and kept on disk.
//!
//! Libraries are loaded when somebody first asks for these devices: nothing of them is needed to build or to install, and a
//! machine without them has no such device.

mod blas;
mod compiler;
mod device;
mod driver;
mod libraries;
mod memory;
mod product;

pub use compiler::{compile, is_there};
pub use device::{Native, cuda, known_devices, rocm};
pub use driver::Platform;
pub use libraries::look_in;
