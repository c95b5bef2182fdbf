//! What is recorded, and what is freed.

use crate::error::Made;
use crate::scope::Scope;
use js_sys::Function;
use phynexus::GradMode;
use wasm_bindgen::prelude::*;

/// Calls a function without recording what it does for `backward()`, and returns its result. The function must not be
/// asynchronous: what it does after its first `await` is recorded again.
#[wasm_bindgen(js_name = noGrad, unchecked_return_type = "T")]
pub fn no_grad(#[wasm_bindgen(unchecked_param_type = "() => T")] function: &Function) -> Made<JsValue> {
    let _mode = GradMode::new(false);
    function.call0(&JsValue::UNDEFINED)
}

/// Calls a function and frees all tensors that it made, except those that it returns: one, or an array or object of some.
/// A training loop needs this, because a browser does not know how much memory a tensor holds, and collects it late.
/// Gradients, parameters and states of optimizers that were there before stay. The function must not be asynchronous.
///
/// ```js
/// const loss = tidy(() => {
///   const loss = model(x).crossEntropy(labels);
///   loss.backward();
///   optimizer.step();
///   return loss.detach();
/// });
/// ```
#[wasm_bindgen(unchecked_return_type = "T")]
pub fn tidy(#[wasm_bindgen(unchecked_param_type = "() => T")] function: &Function) -> Made<JsValue> {
    let scope = Scope::open();
    let result = function.call0(&JsValue::UNDEFINED)?;
    scope.keep(&result);
    Ok(result)
}
