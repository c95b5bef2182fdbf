//! The processor as a device: its memory, its name, and which module runs which kernel.

use crate::matmul::Epilogue;
use crate::{factor, gather, map, matmul, memory, random, reduce, scan, scatter, sort};
use phynexus_core::{
    Buffer, Compiled, Device, DeviceId, DeviceType, Error, Kernel, Once, ReduceOp, Result, Spec, Task, Usage,
    View,
};
use phynexus_formula::Formula;

/// The processor of this machine with all its cores.
#[derive(Debug)]
pub struct Cpu {
    usage: Usage,
}

/// The one CPU device.
pub fn cpu() -> &'static dyn Device {
    static CPU: Cpu = Cpu { usage: Usage::new() };
    &CPU
}

impl Cpu {
    /// The instruction sets beyond the architecture's baseline that kernels use here.
    pub fn features() -> Vec<&'static str> {
        #[cfg(target_arch = "x86_64")]
        {
            let known = [
                ("avx2", is_x86_feature_detected!("avx2")),
                ("fma", is_x86_feature_detected!("fma")),
                ("f16c", is_x86_feature_detected!("f16c")),
                ("avx512", is_x86_feature_detected!("avx512f")),
            ];
            known.into_iter().filter_map(|(name, has)| has.then_some(name)).collect()
        }
        #[cfg(not(target_arch = "x86_64"))]
        vec![]
    }
}

impl Device for Cpu {
    fn id(&self) -> DeviceId {
        DeviceId { kind: DeviceType::Cpu, index: 0 }
    }

    fn name(&self) -> String {
        let info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let model =
            info.lines().find_map(|line| line.strip_prefix("model name")?.trim_start().strip_prefix(':'));
        model.map_or_else(|| format!("CPU ({})", std::env::consts::ARCH), |name| name.trim().to_string())
    }

    fn allocate(&self, bytes: usize) -> Result<u64> {
        memory::allocate(bytes)
    }

    fn free(&self, handle: u64, bytes: usize) {
        memory::free(handle, bytes);
    }

    fn usage(&self) -> &Usage {
        &self.usage
    }

    fn write(&self, buffer: &Buffer, offset: usize, data: &[u8]) -> Result<()> {
        check(buffer, offset, data.len())?;
        // SAFETY: the range lies in the buffer, as just checked; `data` is a slice of other memory.
        unsafe {
            let to = (buffer.handle() as *mut u8).add(offset);
            std::ptr::copy(data.as_ptr(), to, data.len());
        }
        Ok(())
    }

    fn read(&self, buffer: &Buffer, offset: usize, out: &mut [u8]) -> Result<()> {
        check(buffer, offset, out.len())?;
        // SAFETY: as in `write`.
        unsafe {
            let from = (buffer.handle() as *const u8).add(offset);
            std::ptr::copy(from, out.as_mut_ptr(), out.len());
        }
        Ok(())
    }

    fn compile(&self, spec: &Spec) -> Result<Compiled> {
        Ok(match spec {
            Spec::Map { formula, inputs, outputs } => Box::new(map::compile(formula, inputs, outputs)?),
            Spec::MatMul { epilogue, .. } => Box::new(Ends::new(epilogue.as_ref())?),
            _ => Box::new(()),
        })
    }

    fn launch(&self, kernel: &Kernel, tasks: &[Task<'_>]) -> Result<()> {
        let each = |f: &dyn Fn(&Task<'_>) -> Result<()>| tasks.iter().try_for_each(f);
        match *kernel.spec() {
            Spec::Map { .. } => map::launch(compiled(kernel)?, tasks),
            Spec::MatMul { bias, accumulate, symmetric, sums, .. } => {
                let Ends { each: epilogue, beside } = compiled(kernel)?;
                each(&|task| {
                    matmul::launch(bias, accumulate, symmetric, epilogue.as_ref(), task)?;
                    if let Some(beside) = beside {
                        beside.launch(task.inputs.last(), &task.outputs[..1])?;
                    }
                    let of_left = || Task { inputs: &task.inputs[..1], outputs: &task.outputs[1..], ..*task };
                    if sums { reduce::launch(ReduceOp::Sum, 1, &of_left()) } else { Ok(()) }
                })
            }
            Spec::Reduce { op, axes } => each(&|task| reduce::launch(op, axes, task)),
            Spec::Gather { axis } => each(&|task| gather::launch(axis, task)),
            Spec::Scatter { axis, op } => each(&|task| scatter::launch(axis, op, task)),
            Spec::Factor(how) => each(&|task| factor::launch(how, task)),
            Spec::Nonzero => each(&gather::nonzero),
            Spec::CumSum => each(&scan::launch),
            Spec::Sort { descending } => each(&|task| sort::launch(descending, task)),
            Spec::Random { distribution, seed, counter } => {
                each(&|task| random::launch(distribution, seed, counter, task))
            }
        }
    }

    fn synchronize(&self) -> Result<()> {
        Ok(()) // nothing is ever queued
    }

    fn host_pointer(&self, buffer: &Buffer) -> Option<*mut u8> {
        Some(buffer.handle() as *mut u8)
    }
}

/// What happens to a finished product.
#[derive(Default)]
struct Ends {
    /// To each element while it is in the cache.
    each: Option<Epilogue>,
    /// To all of it, together with what stands beside it.
    beside: Option<Beside>,
}

/// A formula of a product and another tensor, ready for each dtype that it was needed for.
struct Beside {
    formula: Formula,
    maps: [Once<map::Map>; 8],
}

impl Ends {
    fn new(epilogue: Option<&Formula>) -> Result<Ends> {
        Ok(match epilogue {
            Some(f) if f.inputs().len() == 2 => {
                Ends { beside: Some(Beside { formula: f.clone(), maps: Default::default() }), each: None }
            }
            Some(f) => Ends { each: Some(Epilogue::new(f, || map::in_place(f))?), beside: None },
            None => Ends::default(),
        })
    }
}

impl Beside {
    fn launch(&self, beside: Option<&View<'_>>, product: &[View<'_>]) -> Result<()> {
        let (Some(&beside), &[out]) = (beside, product) else { return Ok(()) };
        let slot = &self.maps[out.dtype as usize];
        let map = match slot.get() {
            Some(map) => map,
            None => {
                let fresh = map::compile(&self.formula, &[out.dtype; 2], &[out.dtype])?;
                slot.get_or_init(|| fresh)
            }
        };
        map::launch(map, &[Task { inputs: &[out, beside], outputs: product, scalars: &[] }])
    }
}

/// What `Cpu::compile` made of the kernel.
fn compiled<T: 'static>(kernel: &Kernel) -> Result<&T> {
    kernel.compiled(cpu())?.downcast_ref().ok_or_else(|| {
        Error::Runtime(
            "this kernel was compiled by something else than the CPU device; make a new one".to_string(),
        )
    })
}

fn check(buffer: &Buffer, offset: usize, bytes: usize) -> Result<()> {
    if offset.checked_add(bytes).is_some_and(|end| end <= buffer.bytes()) {
        return Ok(());
    }
    let size = buffer.bytes();
    Err(Error::Value(format!("cannot copy {bytes} bytes at offset {offset} of a buffer of {size} bytes")))
}
