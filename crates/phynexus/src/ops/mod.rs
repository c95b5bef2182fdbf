//! The operations, by kind. Each is a small struct that implements [`crate::op::Operation`].

pub mod factor;
mod factor_gradient;
pub mod function;
pub mod index;
pub mod map;
pub mod matmul;
pub mod newton_schulz;
pub mod place;
pub mod random;
pub mod reduce;
pub mod shape;
pub mod sort;

use crate::array::Array;
use crate::op::{Few, Spec};
use phynexus_core::{DType, Error, Kernel, Result, Shape, Spec as KernelSpec, Task, View};

/// A list of one.
pub fn one<T>(x: T) -> Few<T> {
    let mut few = Few::new();
    few.push(x);
    few
}

/// A spec like `like`, of another shape.
pub fn shaped(like: &Spec, shape: Shape) -> Spec {
    Spec { shape, ..*like }
}

/// Launches a kernel made for this call alone (nothing of it is worth keeping).
pub fn launch(spec: KernelSpec, inputs: &[View<'_>], output: &Array) -> Result<()> {
    launch_all(spec, inputs, &[output.view()])
}

/// The same with several outputs.
pub fn launch_all(spec: KernelSpec, inputs: &[View<'_>], outputs: &[View<'_>]) -> Result<()> {
    let device = outputs[0].buffer.device();
    device.launch(&Kernel::new(spec), &[Task { inputs, outputs, scalars: &[] }])
}

/// An error unless the index tensor is int64.
pub fn check_index(what: &str, dtype: DType) -> Result<()> {
    if dtype == DType::I64 {
        return Ok(());
    }
    Err(Error::Type(format!("{what}: an index must be int64, got {dtype}; convert it with .long()")))
}
