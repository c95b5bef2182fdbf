//! What a browser does between two turns of its event loop.

use crate::array::Array;
use crate::stepper::{Answers, Given, Stepper, step};
use phynexus_core::{DType, DeviceType, Result};

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

/// A step of steppers that may need numbers from a GPU in its midst.
pub async fn step_later(steppers: &mut [(&mut Stepper, Given<'_>)]) -> Result<usize> {
    let answers = Answers::default();
    loop {
        let mut again: Vec<(&mut Stepper, Given<'_>)> = steppers
            .iter_mut()
            .map(|(stepper, given)| (&mut **stepper, Given { answers: Some(&answers), ..*given }))
            .collect();
        let result = step(&mut again);
        let Some(wanted) = answers.wanted()? else { return result };
        let bytes = fetch(&wanted.cast(DType::F32)?).await?;
        let words = bytes.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]));
        answers.add(words.map(f64::from));
    }
}
