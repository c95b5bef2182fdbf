//! What a browser does between two turns of its event loop.

use crate::array::Array;
use phynexus_core::{DeviceType, Result};

/// Asks the browser for its GPU, once; afterwards it is among the available devices if there is one.
pub async fn open_devices() {
    phynexus_webgpu::open().await;
}

/// All elements, row-major, on the host; of a GPU as they are after all that is queued now, with what its kernels found
/// wrong as an error.
pub async fn fetch(array: &Array) -> Result<Vec<u8>> {
    let id = array.device().id();
    let gpu = phynexus_webgpu::known_devices().get(id.index as usize);
    let Some(gpu) = gpu.filter(|_| id.kind == DeviceType::WebGpu) else { return array.to_bytes() };
    let source = array.contiguous()?;
    let size = source.dtype().size();
    let mut bytes = vec![0; source.elements() * size];
    gpu.fetch(source.buffer(), source.layout().offset() * size, &mut bytes).await?;
    Ok(bytes)
}
