//! Kernels are compiled once for each kind of device, and buffers give their memory back.

use phynexus_core::{
    Buffer, Compiled, DType, Device, DeviceId, DeviceType, Distribution, Error, Kernel, Owner, Result, Spec,
    Task, Usage,
};
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

/// Counts what is asked of it.
#[derive(Debug)]
struct Counting {
    kind: DeviceType,
    compiled: AtomicUsize,
    held: AtomicUsize,
    usage: Usage,
}

impl Counting {
    fn leak(kind: DeviceType) -> &'static Counting {
        let (compiled, held) = (AtomicUsize::new(0), AtomicUsize::new(0));
        Box::leak(Box::new(Counting { kind, compiled, held, usage: Usage::new() }))
    }
}

impl Device for Counting {
    fn id(&self) -> DeviceId {
        DeviceId { kind: self.kind, index: 1 }
    }
    fn name(&self) -> String {
        "counting".into()
    }
    fn allocate(&self, bytes: usize) -> Result<u64> {
        if bytes > 100 {
            return Err(Error::Memory(format!("{bytes} bytes are too many")));
        }
        self.held.fetch_add(bytes, SeqCst);
        Ok(1)
    }
    fn free(&self, _handle: u64, bytes: usize) {
        self.held.fetch_sub(bytes, SeqCst);
    }
    fn usage(&self) -> &Usage {
        &self.usage
    }
    fn write(&self, _buffer: &Buffer, _offset: usize, _data: &[u8]) -> Result<()> {
        Ok(())
    }
    fn read(&self, _buffer: &Buffer, _offset: usize, _out: &mut [u8]) -> Result<()> {
        Ok(())
    }
    fn compile(&self, spec: &Spec) -> Result<Compiled> {
        self.compiled.fetch_add(1, SeqCst);
        match spec {
            Spec::Nonzero => Err(Error::Runtime("cannot".into())),
            _ => Ok(Box::new(self.kind as usize)),
        }
    }
    fn launch(&self, _kernel: &Kernel, _tasks: &[Task<'_>]) -> Result<()> {
        Ok(())
    }
    fn synchronize(&self) -> Result<()> {
        Ok(())
    }
    fn host_pointer(&self, _buffer: &Buffer) -> Option<*mut u8> {
        None
    }
}

#[test]
fn compiled_once_for_each_kind() {
    let devices = [DeviceType::Cpu, DeviceType::WebGpu].map(Counting::leak);
    let kernel = Kernel::new(Spec::CumSum);
    for _ in 0..3 {
        for device in devices {
            let compiled = kernel.compiled(device).unwrap();
            assert_eq!(compiled.downcast_ref::<usize>(), Some(&(device.kind as usize)));
        }
    }
    assert_eq!(devices.map(|d| d.compiled.load(SeqCst)), [1, 1]);
    assert_eq!(kernel.spec(), &Spec::CumSum);
}

#[test]
fn a_failed_compilation_is_tried_again() {
    let device = Counting::leak(DeviceType::Cpu);
    let kernel = Kernel::new(Spec::Nonzero);
    for tried in 1..3 {
        assert_eq!(kernel.compiled(device).unwrap_err(), Error::Runtime("cannot".into()));
        assert_eq!(device.compiled.load(SeqCst), tried);
    }
}

#[derive(Debug)]
struct Lender(&'static AtomicUsize);
impl Owner for Lender {}
impl Drop for Lender {
    fn drop(&mut self) {
        self.0.fetch_add(1, SeqCst);
    }
}

#[test]
fn buffers_give_back() {
    static RETURNED: AtomicUsize = AtomicUsize::new(0);
    let device = Counting::leak(DeviceType::Cuda);
    let buffer = Buffer::new(device, 64).unwrap();
    assert_eq!((device.held.load(SeqCst), buffer.is_foreign(), buffer.version()), (64, false, 0));
    buffer.bump();
    assert_eq!(buffer.version(), 1);
    drop(buffer);
    assert_eq!(device.held.load(SeqCst), 0);
    assert!(matches!(Buffer::new(device, 101), Err(Error::Memory(_))));
    // SAFETY: this device never touches memory.
    let foreign = unsafe { Buffer::foreign(device, 7, 32, Box::new(Lender(&RETURNED))) };
    assert_eq!((foreign.is_foreign(), foreign.handle(), foreign.bytes()), (true, 7, 32));
    drop(foreign);
    assert_eq!((device.held.load(SeqCst), RETURNED.load(SeqCst)), (0, 1));
}

#[test]
fn names_and_blocks() {
    let name = |kind, index| DeviceId { kind, index }.to_string();
    assert_eq!([name(DeviceType::Cpu, 0), name(DeviceType::Cpu, 1)], ["cpu", "cpu:1"]);
    assert_eq!(Counting::leak(DeviceType::Rocm).id().to_string(), "rocm:1");
    for dtype in DType::ALL {
        assert_eq!(Distribution::Normal.per_block(dtype), if dtype.size() == 8 { 2 } else { 4 });
    }
}
