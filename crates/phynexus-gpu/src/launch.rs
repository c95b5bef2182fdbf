//! From a kernel's specification to dispatches.

use crate::kernels;
use crate::program::Program;
use crate::table::Record;
use phynexus_core::{Compiled, Device, Error, Kernel, Result, Spec, Task};
use phynexus_formula::print::Dialect;
use std::sync::Arc;

/// A device that runs programs.
pub trait Gpu {
    /// The language of its programs.
    fn dialect(&self) -> Dialect;
    /// This as the device that buffers belong to.
    fn device(&self) -> &'static dyn Device;
    /// Queues a program over all records.
    fn dispatch(&self, program: &Arc<Program>, records: &[Record<'_>]) -> Result<()>;
}

/// What a specification has become: programs, and how tasks are told to them.
pub trait Kind: Send + Sync {
    /// Queues what the tasks need.
    fn launch(&self, gpu: &dyn Gpu, tasks: &[Task<'_>]) -> Result<()>;
}

/// What [`Device::compile`] returns for a GPU of that language; `with` may put something of the device's own in its place.
pub fn compile(
    spec: &Spec,
    dialect: Dialect,
    with: impl FnOnce(Box<dyn Kind>) -> Box<dyn Kind>,
) -> Result<Compiled> {
    Ok(Box::new(with(kernels::kind(spec, dialect)?)))
}

/// What [`Device::launch`] does on a GPU.
pub fn launch(gpu: &dyn Gpu, kernel: &Kernel, tasks: &[Task<'_>]) -> Result<()> {
    let kind = kernel.compiled(gpu.device())?.downcast_ref::<Box<dyn Kind>>();
    let kind =
        kind.ok_or_else(|| Error::Runtime("this kernel was compiled by something else than a GPU".into()))?;
    kind.launch(gpu, tasks)
}
