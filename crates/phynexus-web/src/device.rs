//! The devices of a page.

use crate::convert;
use crate::error::{Made, thrown};
use wasm_bindgen::prelude::*;

/// Asks the browser for its GPU, at the first call, and resolves to the names of all devices: `["webgpu:0", "cpu"]`, or
/// `["cpu"]` where there is no WebGPU. Tensors can be on a GPU once this has found it. It never fails.
#[wasm_bindgen(unchecked_return_type = "string[]")]
pub async fn devices() -> js_sys::Array {
    phynexus::open_devices().await;
    let found = phynexus::available_devices();
    let (cpu, gpus) = found.split_first().map_or((None, &[][..]), |(cpu, gpus)| (Some(cpu), gpus));
    gpus.iter().chain(cpu).map(|device| JsValue::from(device.id().to_string())).collect()
}

/// What the vendor calls a device, as far as the browser says.
///
/// @throws {RangeError} an unknown name
/// @throws {Error} a device that is not there
#[wasm_bindgen(js_name = deviceName)]
pub fn device_name(device: &str) -> Made<String> {
    convert::device(device).map(|device| device.name())
}

/// Lets the default generator begin anew: random numbers have the same bits as in Python after `manual_seed(seed)`.
///
/// @param seed - an integer from 0 to 2^53 - 1
/// @throws {RangeError} another number
#[wasm_bindgen(js_name = manualSeed)]
pub fn manual_seed(seed: f64) -> Made<()> {
    let seed = convert::whole("manualSeed", seed)?;
    let seed = u64::try_from(seed).map_err(|_| {
        thrown(phynexus::Error::Value(format!("manualSeed: the seed must be at least 0, got {seed}")))
    })?;
    phynexus::Generator::default_one().set_position(seed, 0);
    Ok(())
}
