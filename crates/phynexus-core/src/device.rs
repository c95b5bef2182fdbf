//! The device trait, buffers and views.

use crate::dtype::DType;
use crate::error::Result;
use crate::kernel::{Kernel, Spec};
use crate::layout::Layout;
use phynexus_formula::Value;
use std::any::Any;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};

/// The kinds of device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[allow(missing_docs)]
pub enum DeviceType {
    Cpu = 0,
    Cuda = 1,
    Rocm = 2,
    WebGpu = 3,
}

/// One device of this machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DeviceId {
    /// The kind.
    pub kind: DeviceType,
    /// Which of that kind.
    pub index: u32,
}

impl std::fmt::Display for DeviceId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let name = match self.kind {
            DeviceType::Cpu if self.index == 0 => return f.write_str("cpu"),
            DeviceType::Cpu => "cpu",
            DeviceType::Cuda => "cuda",
            DeviceType::Rocm => "rocm",
            DeviceType::WebGpu => "webgpu",
        };
        write!(f, "{name}:{}", self.index)
    }
}

/// What a device makes of a kernel's specification; only the device itself can look inside.
pub type Compiled = Box<dyn Any + Send + Sync>;

/// A processor with memory. Devices live as long as the process. Work may be queued: `read`, `synchronize` and nothing
/// else wait for it.
pub trait Device: Send + Sync + std::fmt::Debug {
    /// Kind and number.
    fn id(&self) -> DeviceId;
    /// What the vendor calls it.
    fn name(&self) -> String;
    /// Memory for `bytes` bytes (at least 64-byte aligned, contents undefined), as a handle.
    fn allocate(&self, bytes: usize) -> Result<u64>;
    /// Takes back what `allocate` gave.
    fn free(&self, handle: u64, bytes: usize);
    /// Where buffers count what they hold.
    fn usage(&self) -> &Usage;
    /// Copies host bytes into a buffer.
    fn write(&self, buffer: &Buffer, offset: usize, data: &[u8]) -> Result<()>;
    /// Copies a buffer's bytes to the host, after all queued work that writes them.
    fn read(&self, buffer: &Buffer, offset: usize, out: &mut [u8]) -> Result<()>;
    /// Prepares a kernel.
    fn compile(&self, spec: &Spec) -> Result<Compiled>;
    /// Runs a kernel over each task. Shapes, dtypes and devices have been checked; index values have not.
    fn launch(&self, kernel: &Kernel, tasks: &[Task<'_>]) -> Result<()>;
    /// Waits for all queued work.
    fn synchronize(&self) -> Result<()>;
    /// The stream that its work is queued on, by the number that other libraries know it by.
    fn stream(&self) -> Result<Option<u64>> {
        Ok(None)
    }
    /// Lets what another library queues on that stream from now on come after all that is queued here.
    fn precede(&self, _stream: u64) -> Result<()> {
        Ok(())
    }
    /// Waits for the work of all streams, other libraries' too; unlike `synchronize` it does not look for errors.
    fn settle(&self) -> Result<()> {
        Ok(())
    }
    /// An error where tensors of this dtype cannot be here.
    fn check_dtype(&self, _dtype: DType) -> Result<()> {
        Ok(())
    }
    /// How much memory it has, where it says so.
    fn memory(&self) -> Option<usize> {
        None
    }
    /// What it has done so far, where it counts.
    fn counters(&self) -> Counters {
        Counters::default()
    }
    /// Gives memory that is kept for reuse back to the system.
    fn empty_cache(&self) {}
    /// The buffer's memory, where the host may use it directly.
    fn host_pointer(&self, buffer: &Buffer) -> Option<*mut u8>;
}

/// What a device with a queue has done since the process began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Kernels that were queued.
    pub kernels: u64,
    /// How often the queue was handed to the device.
    pub submissions: u64,
    /// How often the host waited.
    pub waits: u64,
    /// Bytes from the host to the device.
    pub uploaded: u64,
    /// Bytes from the device to the host.
    pub downloaded: u64,
}

/// How many bytes of a device its buffers hold; memory that is kept for reuse does not count.
#[derive(Debug, Default)]
pub struct Usage {
    current: AtomicUsize,
    peak: AtomicUsize,
}

impl Usage {
    /// Nothing yet.
    pub const fn new() -> Usage {
        Usage { current: AtomicUsize::new(0), peak: AtomicUsize::new(0) }
    }
    /// What is held now.
    pub fn current(&self) -> usize {
        self.current.load(Ordering::Relaxed)
    }
    /// The most that was held at once since the start or the last [`Usage::reset_peak`].
    pub fn peak(&self) -> usize {
        self.peak.load(Ordering::Relaxed)
    }
    /// Lets the peak begin anew with what is held now.
    pub fn reset_peak(&self) {
        self.peak.store(self.current(), Ordering::Relaxed);
    }
    fn add(&self, bytes: usize) {
        let now = self.current.fetch_add(bytes, Ordering::Relaxed) + bytes;
        if now > self.peak() {
            self.peak.fetch_max(now, Ordering::Relaxed);
        }
    }
    fn subtract(&self, bytes: usize) {
        self.current.fetch_sub(bytes, Ordering::Relaxed);
    }
}

/// A piece of device memory. It is shared by reference counting and freed with the last reference.
#[derive(Debug)]
pub struct Buffer {
    device: &'static dyn Device,
    handle: u64,
    bytes: usize,
    version: AtomicU32,
    followed: AtomicU32,
    owner: Option<Box<dyn Owner>>,
}

/// Keeps foreign memory (a NumPy array, a DLPack capsule) alive for as long as a buffer uses it.
pub trait Owner: Send + Sync + std::fmt::Debug {}

impl Buffer {
    /// Fresh memory with undefined contents.
    pub fn new(device: &'static dyn Device, bytes: usize) -> Result<Buffer> {
        let handle = device.allocate(bytes)?;
        device.usage().add(bytes);
        Ok(Buffer {
            device,
            handle,
            bytes,
            version: AtomicU32::new(0),
            followed: AtomicU32::new(0),
            owner: None,
        })
    }

    /// Memory that belongs to `owner`.
    ///
    /// # Safety
    /// `handle` must mean `bytes` bytes to `device`, valid until `owner` is dropped.
    pub unsafe fn foreign(
        device: &'static dyn Device,
        handle: u64,
        bytes: usize,
        owner: Box<dyn Owner>,
    ) -> Buffer {
        Buffer {
            device,
            handle,
            bytes,
            version: AtomicU32::new(0),
            followed: AtomicU32::new(0),
            owner: Some(owner),
        }
    }

    /// Where the memory is.
    pub fn device(&self) -> &'static dyn Device {
        self.device
    }
    /// What the device knows it by; on the CPU its address.
    pub fn handle(&self) -> u64 {
        self.handle
    }
    /// Its size.
    pub fn bytes(&self) -> usize {
        self.bytes
    }
    /// How often it was changed in place; the tape compares this.
    pub fn version(&self) -> u32 {
        self.version.load(Ordering::Relaxed)
    }
    /// Says that it was changed in place.
    pub fn bump(&self) {
        self.version.fetch_add(1, Ordering::Relaxed);
    }
    /// Says that the last change in place was one that the tape follows.
    pub fn follow(&self) {
        self.followed.store(self.version(), Ordering::Relaxed);
    }
    /// The version since which values depend on what the tape follows; 0 if they never did.
    pub fn followed(&self) -> u32 {
        self.followed.load(Ordering::Relaxed)
    }
    /// Whether the memory belongs to somebody else (NumPy, DLPack).
    pub fn is_foreign(&self) -> bool {
        self.owner.is_some()
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        if self.owner.is_none() {
            self.device.free(self.handle, self.bytes);
            self.device.usage().subtract(self.bytes);
        }
    }
}

/// An operand of a launch.
#[derive(Clone, Copy, Debug)]
pub struct View<'a> {
    /// The memory.
    pub buffer: &'a Buffer,
    /// How elements are stored.
    pub dtype: DType,
    /// Which elements.
    pub layout: &'a Layout,
}

/// One set of operands of a launch. An optimizer step launches one kernel over as many tasks as it has tensors.
#[derive(Clone, Copy, Debug)]
pub struct Task<'a> {
    /// What is read.
    pub inputs: &'a [View<'a>],
    /// What is written.
    pub outputs: &'a [View<'a>],
    /// The control table.
    pub scalars: &'a [Value],
}
