//! The devices of this machine.

#[cfg(target_family = "wasm")]
use none as phynexus_cuda;
use phynexus_core::{Device, DeviceId, DeviceType, Error, Result};

/// A browser has no CUDA and no ROCm.
#[cfg(target_family = "wasm")]
mod none {
    use phynexus_webgpu::WebGpu;

    pub fn cuda() -> &'static [WebGpu] {
        &[]
    }
    pub use cuda as rocm;
    pub fn known_devices() -> std::slice::Iter<'static, WebGpu> {
        cuda().iter()
    }
}

/// The CPU.
pub fn cpu() -> &'static dyn Device {
    phynexus_cpu::cpu()
}

/// The GPUs of a kind; looked for at the first call.
fn gpus(kind: DeviceType) -> Vec<&'static dyn Device> {
    match kind {
        DeviceType::Cpu => vec![],
        DeviceType::Cuda => phynexus_cuda::cuda().iter().map(|gpu| gpu as &dyn Device).collect(),
        DeviceType::Rocm => phynexus_cuda::rocm().iter().map(|gpu| gpu as &dyn Device).collect(),
        DeviceType::WebGpu => phynexus_webgpu::devices().iter().map(|gpu| gpu as &dyn Device).collect(),
    }
}

/// All devices that can run here, the CPU first. GPUs are looked for at the first call.
pub fn available_devices() -> Vec<&'static dyn Device> {
    let kinds = [DeviceType::Cuda, DeviceType::Rocm, DeviceType::WebGpu];
    std::iter::once(cpu()).chain(kinds.into_iter().flat_map(gpus)).collect()
}

/// The devices that have been used, or may have been; none is looked for.
pub fn opened_devices() -> impl Iterator<Item = &'static dyn Device> {
    let native = phynexus_cuda::known_devices().map(|gpu| gpu as &dyn Device);
    let others = phynexus_webgpu::known_devices().iter().map(|gpu| gpu as &dyn Device);
    std::iter::once(cpu()).chain(native).chain(others)
}

/// The device of that kind and number, or an error that lists what there is.
pub fn device(id: DeviceId) -> Result<&'static dyn Device> {
    let found = match id.kind {
        DeviceType::Cpu => (id.index == 0).then(cpu),
        kind => gpus(kind).get(id.index as usize).copied(),
    };
    found.ok_or_else(|| {
        let have: Vec<String> = available_devices().iter().map(|d| d.id().to_string()).collect();
        Error::Runtime(format!(
            "device {id} is not available here; available: {}. See neurenix.get_available_devices()",
            have.join(", ")
        ))
    })
}

/// Where what a device cannot compute itself is computed: there, if it has float64, else on the CPU.
pub(crate) fn with_float64(device: &'static dyn Device) -> &'static dyn Device {
    if device.check_dtype(phynexus_core::DType::F64).is_ok() { device } else { cpu() }
}
