//! Which GPUs there are.

use crate::device::WebGpu;
use phynexus_core::Result;
use std::future::Future;
use std::pin::pin;
use std::sync::OnceLock;
use std::task::{Context, Poll, Waker};

static DEVICES: OnceLock<Vec<WebGpu>> = OnceLock::new();

/// What [`devices`] has found, if it was called.
pub fn known_devices() -> &'static [WebGpu] {
    DEVICES.get().map_or(&[], Vec::as_slice)
}

/// The GPUs of this machine, the fastest kind first; looked for at the first call. Processors that play a GPU are
/// there if the environment says `NEURENIX_SOFTWARE_GPU=1`.
pub fn devices() -> &'static [WebGpu] {
    DEVICES.get_or_init(|| {
        let mut description = wgpu::InstanceDescriptor::new_without_display_handle();
        description.backends = wgpu::Backends::PRIMARY;
        description.flags = wgpu::InstanceFlags::empty();
        let instance = wgpu::Instance::new(description);
        let mut adapters = wait(instance.enumerate_adapters(wgpu::Backends::PRIMARY)).unwrap_or_default();
        let software = std::env::var("NEURENIX_SOFTWARE_GPU").is_ok_and(|v| v == "1");
        adapters.retain(|a| software || a.get_info().device_type != wgpu::DeviceType::Cpu);
        // The same GPU through two systems (Direct3D 12 and Vulkan) is one device.
        let mut seen: Vec<(u32, u32, String)> = Vec::new();
        adapters.sort_by_key(|a| a.get_info().backend as u8);
        adapters.retain(|a| {
            let info = a.get_info();
            let key = (info.vendor, info.device, info.device_pci_bus_id.clone());
            let doubled = seen.contains(&key) && info.backend != wgpu::Backend::Vulkan;
            seen.push(key);
            !doubled
        });
        adapters.sort_by_key(|a| match a.get_info().device_type {
            wgpu::DeviceType::DiscreteGpu => 0,
            wgpu::DeviceType::IntegratedGpu => 1,
            wgpu::DeviceType::VirtualGpu => 2,
            wgpu::DeviceType::Other => 3,
            wgpu::DeviceType::Cpu => 4,
        });
        adapters.into_iter().enumerate().map(|(index, adapter)| WebGpu::new(adapter, index as u32)).collect()
    })
}

/// The memory of an adapter, where its system says it.
#[cfg(not(target_os = "macos"))]
pub(crate) fn memory(adapter: &wgpu::Adapter) -> Option<usize> {
    // SAFETY: the handle is only asked for properties, and nothing of it is kept.
    let vulkan = unsafe { adapter.as_hal::<wgpu::hal::api::Vulkan>() }?;
    let (instance, physical) = (vulkan.shared_instance().raw_instance(), vulkan.raw_physical_device());
    // SAFETY: both belong together and live as long as the adapter.
    let properties = unsafe { instance.get_physical_device_memory_properties(physical) };
    let heaps = &properties.memory_heaps[..properties.memory_heap_count as usize];
    heaps.iter().map(|heap| heap.size as usize).max()
}

/// Metal shares the machine's memory.
#[cfg(target_os = "macos")]
pub(crate) fn memory(_: &wgpu::Adapter) -> Option<usize> {
    None
}

/// The number of this process.
pub(crate) fn process() -> u32 {
    std::process::id()
}

/// Whether the host can wait for a GPU: everywhere but in browsers.
pub(crate) fn may_wait() -> Result<()> {
    Ok(())
}

/// What a future of `wgpu` gives; outside of browsers none of them waits for anything but the machine itself.
pub(crate) fn wait<T>(future: impl Future<Output = T>) -> Option<T> {
    let mut future = pin!(future);
    let mut context = Context::from_waker(Waker::noop());
    for _ in 0..10_000 {
        if let Poll::Ready(value) = future.as_mut().poll(&mut context) {
            return Some(value);
        }
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
    None
}
