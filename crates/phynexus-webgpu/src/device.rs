//! A GPU as a device of the engine.

use crate::adapter;
use crate::arena::Piece;
use crate::queue::Queue;
use parking_lot::{Mutex, MutexGuard};
use phynexus_core::{
    Buffer, Compiled, Counters, DType, Device, DeviceId, DeviceType, Error, Kernel, Result, Spec, Task, Usage,
};
use phynexus_formula::print::Dialect;
use phynexus_gpu::{Gpu, Program, Record};
use std::sync::{Arc, OnceLock};

/// A GPU; opened when it is first used.
#[derive(Debug)]
pub struct WebGpu {
    pub(crate) adapter: wgpu::Adapter,
    index: u32,
    usage: Usage,
    queue: OnceLock<Result<Mutex<Queue>>>,
    /// The process that opened it.
    process: OnceLock<u32>,
}

impl WebGpu {
    pub(crate) fn new(adapter: wgpu::Adapter, index: u32) -> WebGpu {
        WebGpu { adapter, index, usage: Usage::new(), queue: OnceLock::new(), process: OnceLock::new() }
    }

    /// A GPU that is open already.
    #[cfg(target_family = "wasm")]
    pub(crate) async fn opened(adapter: wgpu::Adapter, index: u32) -> Result<WebGpu> {
        let gpu = WebGpu::new(adapter, index);
        let queue = Queue::open(&gpu.adapter, &gpu.name()).await?;
        // Nobody else has seen it yet.
        _ = gpu.queue.set(Ok(Mutex::new(queue)));
        Ok(gpu)
    }

    /// The system that it is reached through, and its driver.
    pub fn driver(&self) -> String {
        let info = self.adapter.get_info();
        format!("{}, {} {}", info.backend, info.driver, info.driver_info).trim().to_string()
    }

    pub(crate) fn queue(&self) -> Result<MutexGuard<'_, Queue>> {
        if *self.process.get_or_init(adapter::process) != adapter::process() {
            return Err(Error::Runtime(format!(
                "{} was used by the process that this one was forked from, and cannot be used by both: use it in the child \
                 alone, or start the child with multiprocessing's \"spawn\" method",
                self.id()
            )));
        }
        let opened = self.queue.get_or_init(|| {
            let name = self.name();
            let silent = || Err(Error::Runtime(format!("{name} does not answer")));
            adapter::wait(Queue::open(&self.adapter, &name)).unwrap_or_else(silent).map(Mutex::new)
        });
        opened.as_ref().map(Mutex::lock).map_err(Error::clone)
    }
}

impl Device for WebGpu {
    fn id(&self) -> DeviceId {
        DeviceId { kind: DeviceType::WebGpu, index: self.index }
    }

    fn name(&self) -> String {
        self.adapter.get_info().name
    }

    fn allocate(&self, bytes: usize) -> Result<u64> {
        self.queue()?.allocate(bytes)
    }

    fn free(&self, handle: u64, bytes: usize) {
        if let Ok(mut queue) = self.queue() {
            queue.arenas.free(Piece::of(handle), bytes);
        }
    }

    fn usage(&self) -> &Usage {
        &self.usage
    }

    fn write(&self, buffer: &Buffer, offset: usize, data: &[u8]) -> Result<()> {
        check(buffer, offset, data.len())?;
        self.queue()?.write(Piece::of(buffer.handle()), buffer.bytes(), offset, data)
    }

    fn read(&self, buffer: &Buffer, offset: usize, out: &mut [u8]) -> Result<()> {
        check(buffer, offset, out.len())?;
        adapter::may_wait()?;
        self.queue()?.read(Piece::of(buffer.handle()), offset, out)
    }

    fn compile(&self, spec: &Spec) -> Result<Compiled> {
        phynexus_gpu::compile(spec, Dialect::Wgsl, |kind| kind)
    }

    fn launch(&self, kernel: &Kernel, tasks: &[Task<'_>]) -> Result<()> {
        phynexus_gpu::launch(self, kernel, tasks)
    }

    fn synchronize(&self) -> Result<()> {
        match self.queue.get() {
            None => Ok(()),
            Some(_) => adapter::may_wait().and_then(|()| self.queue()?.synchronize()),
        }
    }

    fn host_pointer(&self, _: &Buffer) -> Option<*mut u8> {
        None
    }

    fn check_dtype(&self, dtype: DType) -> Result<()> {
        match dtype {
            DType::F64 => Err(Error::Type(format!(
                "{} has no float64: use float32 there (tensor.to(dtype=\"float32\"), model.float()), or stay on the CPU",
                self.id()
            ))),
            _ => Ok(()),
        }
    }

    fn memory(&self) -> Option<usize> {
        adapter::memory(&self.adapter)
    }

    fn counters(&self) -> Counters {
        match self.queue.get() {
            Some(_) => self.queue().map(|queue| queue.counters).unwrap_or_default(),
            None => Counters::default(),
        }
    }

    fn empty_cache(&self) {
        if self.queue.get().is_some()
            && let Ok(mut queue) = self.queue()
        {
            // What is wrong with the device is said when it is next used.
            _ = queue.shrink();
        }
    }
}

impl Gpu for WebGpu {
    fn dialect(&self) -> Dialect {
        Dialect::Wgsl
    }

    fn device(&self) -> &'static dyn Device {
        &adapter::devices()[self.index as usize]
    }

    fn dispatch(&self, program: &Arc<Program>, records: &[Record<'_>]) -> Result<()> {
        self.queue()?.dispatch(program, records)
    }
}

pub(crate) fn check(buffer: &Buffer, offset: usize, bytes: usize) -> Result<()> {
    if offset.checked_add(bytes).is_some_and(|end| end <= buffer.bytes()) {
        return Ok(());
    }
    let size = buffer.bytes();
    Err(Error::Value(format!("cannot copy {bytes} bytes at offset {offset} of a buffer of {size} bytes")))
}
