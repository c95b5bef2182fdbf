//! A GPU as a device of the engine.

use crate::blas::{self, Blas};
use crate::compiler::compile;
use crate::driver::{Driver, Opaque, Platform};
use crate::memory::Pool;
use crate::product::Product;
use parking_lot::{Mutex, MutexGuard};
use phynexus_core::{Buffer, Compiled, Counters, Device, DeviceId, Error, Kernel, Result, Spec, Task, Usage};
use phynexus_formula::print::Dialect;
use phynexus_gpu::table::{fill, grid};
use phynexus_gpu::{Gpu, Program, Record, status};
use std::cell::OnceCell;
use std::collections::HashMap;
use std::ffi::c_int;
use std::ops::{Deref, DerefMut};
use std::sync::{Arc, OnceLock};

/// A GPU; opened when it is first used.
#[derive(Debug)]
pub struct Native {
    driver: &'static Driver,
    index: u32,
    number: c_int,
    name: String,
    memory: usize,
    /// What kernels are compiled for.
    target: String,
    usage: Usage,
    queue: OnceLock<Result<Mutex<Queue>>>,
}

/// The one stream, and what was prepared for it.
#[derive(Debug)]
struct Queue {
    driver: &'static Driver,
    context: Opaque,
    stream: Opaque,
    pool: Pool,
    /// The library of products, where it is installed; loaded for the first of them.
    blas: OnceCell<Option<Blas>>,
    kernels: HashMap<u64, Opaque>,
    table: Vec<u32>,
    /// Where kernels say what is wrong.
    status: u64,
    /// Whether a kernel that may find something wrong has been queued since that was last looked at.
    suspicious: bool,
    /// Whether kernels have been queued since the host last waited. A stream takes each at once; those between two waits count
    /// as one submission.
    waiting: bool,
    counters: Counters,
}

// SAFETY: context, stream and kernels may be used by any thread that has entered the context, one at a time.
unsafe impl Send for Queue {}

static FOUND: [OnceLock<Vec<Native>>; 2] = [const { OnceLock::new() }; 2];

/// The GPUs of NVIDIA; none where there is no driver.
pub fn cuda() -> &'static [Native] {
    found(Platform::Cuda)
}

/// The GPUs of AMD.
pub fn rocm() -> &'static [Native] {
    found(Platform::Rocm)
}

/// The GPUs that somebody has asked for.
pub fn known_devices() -> impl Iterator<Item = &'static Native> {
    FOUND.iter().filter_map(OnceLock::get).flatten()
}

fn found(platform: Platform) -> &'static [Native] {
    FOUND[platform as usize].get_or_init(|| {
        let Some(driver) = platform.driver() else { return vec![] };
        (0..driver.count()).map_while(|index| Native::new(driver, index).ok()).collect()
    })
}

/// The GPU of that name.
pub(crate) fn native(id: DeviceId) -> &'static Native {
    let platform = if id.kind == Platform::Cuda.kind() { Platform::Cuda } else { Platform::Rocm };
    &found(platform)[id.index as usize]
}

const STATUS: usize = 4 * status::WORDS;

impl Queue {
    fn open(driver: &'static Driver, number: c_int) -> Result<Queue> {
        let context = driver.open(number)?;
        driver.enter(context)?;
        let (stream, status) = (driver.stream()?, driver.allocate(STATUS)?);
        // SAFETY: the memory was just made, of this size.
        unsafe { driver.upload(status, &[0; STATUS], stream)? };
        let (pool, kernels, counters) = (Pool::default(), HashMap::new(), Counters::default());
        Ok(Queue {
            driver,
            context,
            stream,
            pool,
            blas: OnceCell::new(),
            kernels,
            table: vec![],
            status,
            suspicious: false,
            waiting: false,
            counters,
        })
    }

    fn allocate(&mut self, bytes: usize) -> Result<u64> {
        let (driver, stream) = (self.driver, self.stream);
        self.pool.allocate(driver, bytes, || driver.wait(stream))
    }

    /// Counts a kernel.
    fn count(&mut self) {
        self.counters.kernels += 1;
        self.counters.submissions += u64::from(!std::mem::replace(&mut self.waiting, true));
    }

    /// Raises what kernels have found; all work must be done.
    fn check(&mut self) -> Result<()> {
        self.counters.waits += 1;
        self.waiting = false;
        if !std::mem::take(&mut self.suspicious) {
            return Ok(());
        }
        let mut bytes = [0; STATUS];
        // SAFETY: the status has this size.
        unsafe { self.driver.download(&mut bytes, self.status, self.stream)? };
        let word = |i: usize| {
            u32::from_le_bytes([bytes[4 * i], bytes[4 * i + 1], bytes[4 * i + 2], bytes[4 * i + 3]])
        };
        status::check(std::array::from_fn(word)).or_else(|error| {
            // SAFETY: as above.
            unsafe { self.driver.upload(self.status, &[0; STATUS], self.stream)? };
            Err(error)
        })
    }
}

/// The queue while this thread's calls go to its context. Other libraries find theirs as they left it.
struct Entered<'a> {
    queue: MutexGuard<'a, Queue>,
    before: Opaque,
}

impl Deref for Entered<'_> {
    type Target = Queue;
    fn deref(&self) -> &Queue {
        &self.queue
    }
}

impl DerefMut for Entered<'_> {
    fn deref_mut(&mut self) -> &mut Queue {
        &mut self.queue
    }
}

impl Drop for Entered<'_> {
    fn drop(&mut self) {
        if self.before != self.queue.context {
            _ = self.queue.driver.enter(self.before);
        }
    }
}

impl Native {
    fn new(driver: &'static Driver, index: usize) -> Result<Native> {
        let (number, name, memory, target) = driver.describe(index)?;
        let (usage, queue) = (Usage::new(), OnceLock::new());
        Ok(Native { driver, index: index as u32, number, name, memory, target, usage, queue })
    }

    fn platform(&self) -> Platform {
        self.driver.platform
    }

    /// The queue, for calls of this thread.
    fn queue(&self) -> Result<Entered<'_>> {
        let before = self.driver.current()?;
        let opened = self.queue.get_or_init(|| Queue::open(self.driver, self.number).map(Mutex::new));
        let queue = opened.as_ref().map(Mutex::lock).map_err(Error::clone)?;
        self.driver.enter(queue.context)?;
        Ok(Entered { queue, before })
    }

    fn kernel(&self, queue: &mut Queue, program: &Program) -> Result<Opaque> {
        if let Some(&kernel) = queue.kernels.get(&program.id()) {
            return Ok(kernel);
        }
        let image = compile(self.platform(), &program.module(&[]), &self.target)
            .map_err(|e| Error::Runtime(format!("kernel {}: {e}", program.name())))?;
        let kernel = self.driver.kernel(&image)?;
        queue.kernels.insert(program.id(), kernel);
        Ok(kernel)
    }
}

impl Native {
    /// Queues a product by the vendor's library; false where there is none, or none for this.
    pub(crate) fn multiply(&self, product: &blas::Product, accumulate: bool) -> Result<bool> {
        let mut queue = self.queue()?;
        let opened = queue.blas.get_or_init(|| Blas::open(self.platform(), queue.stream));
        let Some(blas) = opened else { return Ok(false) };
        // SAFETY: the operands of a launch, which have been checked.
        let done = unsafe { blas.run(product, accumulate)? };
        if done {
            queue.count();
        }
        Ok(done)
    }
}

impl Device for Native {
    fn id(&self) -> DeviceId {
        DeviceId { kind: self.platform().kind(), index: self.index }
    }
    fn name(&self) -> String {
        self.name.clone()
    }
    fn allocate(&self, bytes: usize) -> Result<u64> {
        self.queue()?.allocate(bytes)
    }
    fn free(&self, handle: u64, bytes: usize) {
        if let Some(Ok(queue)) = self.queue.get() {
            queue.lock().pool.free(handle, bytes);
        }
    }
    fn usage(&self) -> &Usage {
        &self.usage
    }
    fn write(&self, buffer: &Buffer, offset: usize, data: &[u8]) -> Result<()> {
        check(buffer, offset, data.len())?;
        if data.is_empty() {
            return Ok(());
        }
        let mut queue = self.queue()?;
        queue.counters.uploaded += data.len() as u64;
        // SAFETY: the range lies in the buffer, as just checked.
        unsafe { self.driver.upload(buffer.handle() + offset as u64, data, queue.stream)? };
        if self.driver.reads_late(data) { self.driver.wait(queue.stream) } else { Ok(()) }
    }
    fn read(&self, buffer: &Buffer, offset: usize, out: &mut [u8]) -> Result<()> {
        check(buffer, offset, out.len())?;
        let mut queue = self.queue()?;
        queue.counters.downloaded += out.len() as u64;
        // SAFETY: as in `write`.
        unsafe { self.driver.download(out, buffer.handle() + offset as u64, queue.stream)? };
        queue.check()
    }
    fn compile(&self, spec: &Spec) -> Result<Compiled> {
        phynexus_gpu::compile(spec, self.dialect(), |own| Product::of(spec, own))
    }
    fn launch(&self, kernel: &Kernel, tasks: &[Task<'_>]) -> Result<()> {
        phynexus_gpu::launch(self, kernel, tasks)
    }
    fn synchronize(&self) -> Result<()> {
        if self.queue.get().is_none() {
            return Ok(());
        }
        let mut queue = self.queue()?;
        self.driver.wait(queue.stream)?;
        queue.check()
    }
    fn stream(&self) -> Result<Option<u64>> {
        Ok(Some(self.queue()?.stream as u64))
    }
    fn precede(&self, stream: u64) -> Result<()> {
        let queue = self.queue()?;
        // SAFETY: ours, and what its owner calls a stream.
        unsafe { self.driver.order(queue.stream, stream as Opaque) }
    }
    fn settle(&self) -> Result<()> {
        let _entered = self.queue()?;
        self.driver.wait_for_all()
    }
    fn memory(&self) -> Option<usize> {
        Some(self.memory)
    }
    fn counters(&self) -> Counters {
        match self.queue.get() {
            Some(Ok(queue)) => queue.lock().counters,
            _ => Counters::default(),
        }
    }
    fn empty_cache(&self) {
        if self.queue.get().is_some()
            && let Ok(mut queue) = self.queue()
            && self.driver.wait(queue.stream).is_ok()
        {
            queue.pool.shrink(self.driver);
        }
    }
    fn host_pointer(&self, _: &Buffer) -> Option<*mut u8> {
        None
    }
}

impl Gpu for Native {
    fn dialect(&self) -> Dialect {
        self.platform().dialect()
    }

    fn device(&self) -> &'static dyn Device {
        native(self.id())
    }

    fn dispatch(&self, program: &Arc<Program>, records: &[Record<'_>]) -> Result<()> {
        let mut queue = self.queue()?;
        let kernel = self.kernel(&mut queue, program)?;
        let mut table = std::mem::take(&mut queue.table);
        table.clear();
        let records: Vec<&Record<'_>> = records.iter().collect();
        let groups = fill(&mut table, program, &records, self.dialect(), |buffer, _| buffer.handle())?;
        if groups == 0 {
            return Ok(());
        }
        let bytes: Vec<u8> = table.iter().flat_map(|word| word.to_le_bytes()).collect();
        queue.table = table;
        let at = queue.allocate(bytes.len())?;
        let (threads, arguments) = (program.parts().threads as u32, [at, queue.status]);
        // SAFETY: the table has just been made of this size; a program takes it and the status, and keeps within its operands.
        unsafe {
            self.driver.upload(at, &bytes, queue.stream)?;
            self.driver.launch(kernel, grid(groups), threads, arguments, queue.stream)?;
        }
        // What comes next on the stream comes after the kernel.
        queue.pool.free(at, bytes.len());
        queue.suspicious |= program.raises();
        queue.count();
        Ok(())
    }
}

fn check(buffer: &Buffer, offset: usize, bytes: usize) -> Result<()> {
    if offset.checked_add(bytes).is_some_and(|end| end <= buffer.bytes()) {
        return Ok(());
    }
    let size = buffer.bytes();
    Err(Error::Value(format!("cannot copy {bytes} bytes at offset {offset} of a buffer of {size} bytes")))
}
