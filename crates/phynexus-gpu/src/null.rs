//! A device that prints programs and never runs them: what they are can be looked at, and compiled, on any machine.

use crate::launch::{Gpu, compile, launch};
use crate::program::Program;
use crate::table::{Record, fill};
use parking_lot::Mutex;
use phynexus_core::{
    Buffer, Compiled, Device, DeviceId, DeviceType, Error, Kernel, Result, Spec, Task, Usage,
};
use phynexus_formula::print::Dialect;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// A device without memory, of one language. It lives as long as the process, as all devices do.
#[derive(Debug)]
pub struct Null {
    dialect: Dialect,
    usage: Usage,
    next: AtomicU64,
    printed: Mutex<Vec<(String, String)>>,
}

impl Null {
    /// A fresh one.
    pub fn leak(dialect: Dialect) -> &'static Null {
        let (usage, next, printed) = (Usage::new(), AtomicU64::new(1), Mutex::default());
        Box::leak(Box::new(Null { dialect, usage, next, printed }))
    }

    /// Name and text of every program that was dispatched since the last call. Operands are all in one memory, then each in
    /// its own.
    pub fn printed(&self) -> Vec<(String, String)> {
        std::mem::take(&mut *self.printed.lock())
    }
}

impl Device for Null {
    fn id(&self) -> DeviceId {
        let kind = match self.dialect {
            Dialect::Wgsl => DeviceType::WebGpu,
            Dialect::Cuda => DeviceType::Cuda,
            Dialect::Hip => DeviceType::Rocm,
        };
        DeviceId { kind, index: u32::MAX }
    }
    fn name(&self) -> String {
        "null".into()
    }
    fn allocate(&self, _: usize) -> Result<u64> {
        Ok(self.next.fetch_add(1, Ordering::Relaxed))
    }
    fn free(&self, _: u64, _: usize) {}
    fn usage(&self) -> &Usage {
        &self.usage
    }
    fn write(&self, _: &Buffer, _: usize, _: &[u8]) -> Result<()> {
        Ok(())
    }
    fn read(&self, _: &Buffer, _: usize, _: &mut [u8]) -> Result<()> {
        Err(Error::Runtime("the null device computes nothing that could be read".into()))
    }
    fn compile(&self, spec: &Spec) -> Result<Compiled> {
        compile(spec, self.dialect, |kind| kind)
    }
    fn launch(&self, kernel: &Kernel, tasks: &[Task<'_>]) -> Result<()> {
        // Buffers know their device as one that lives as long as the process.
        let Some(buffer) = tasks.iter().flat_map(|t| t.outputs).map(|view| view.buffer).next() else {
            return Ok(());
        };
        launch(&Bound(self, buffer.device()), kernel, tasks)
    }
    fn synchronize(&self) -> Result<()> {
        Ok(())
    }
    fn host_pointer(&self, _: &Buffer) -> Option<*mut u8> {
        None
    }
}

/// The null device, as a launch knows it.
#[derive(Debug)]
struct Bound<'a>(&'a Null, &'static dyn Device);

impl Gpu for Bound<'_> {
    fn dialect(&self) -> Dialect {
        self.0.dialect
    }
    fn device(&self) -> &'static dyn Device {
        self.1
    }
    fn dispatch(&self, program: &Arc<Program>, records: &[Record<'_>]) -> Result<()> {
        let mut table = Vec::new();
        fill(&mut table, program, &records.iter().collect::<Vec<_>>(), self.0.dialect, |_, _| 0)?;
        let expected = crate::table::words_for(program, records.len());
        if table.len() != expected {
            return Err(Error::Runtime(format!(
                "program {} reads {expected} words of the table, but {} were written",
                program.name(),
                table.len()
            )));
        }
        let operands = program.parts().operands.len();
        let mut printed = self.0.printed.lock();
        printed.push((program.name().into(), program.module(&vec![0; operands])));
        if self.0.dialect == Dialect::Wgsl {
            printed.push((program.name().into(), program.module(&(0..operands).collect::<Vec<_>>())));
        }
        Ok(())
    }
}
