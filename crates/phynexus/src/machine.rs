//! The devices of this machine.

use phynexus_core::{Device, DeviceId, DeviceType, Error, Result};

/// The CPU.
pub fn cpu() -> &'static dyn Device {
    phynexus_cpu::cpu()
}

/// All devices that can run here, the CPU first.
pub fn available_devices() -> Vec<&'static dyn Device> {
    vec![cpu()]
}

/// The device of that kind and number, or an error that lists what there is.
pub fn device(id: DeviceId) -> Result<&'static dyn Device> {
    if id.kind == DeviceType::Cpu && id.index == 0 {
        return Ok(cpu());
    }
    let have: Vec<String> = available_devices().iter().map(|d| d.id().to_string()).collect();
    Err(Error::Runtime(format!(
        "device {id} is not available here; available: {}. See neurenix.get_available_devices()",
        have.join(", ")
    )))
}
