//! What is recorded, and what is freed.

use crate::error::Made;
use crate::scope::Scope;
use js_sys::Function;
use phynexus::GradMode;
use wasm_bindgen::prelude::*;

// A function of any type: the generator of types knows none.
#[wasm_bindgen(typescript_custom_section)]
const TYPES: &str = r#"
/**
 * Calls a function without recording what it does for `backward()`, and returns its result. The function must not be
 * asynchronous: what it does after its first `await` is recorded again.
 */
export function noGrad<T>(run: () => T): T;

/**
 * Calls a function and frees all tensors that it made, except those that it returns: one, or an array or object of some.
 * A training loop needs this, because a browser does not know how much memory a tensor holds, and collects it late.
 * Gradients, parameters and states of optimizers that were there before stay. The function must not be asynchronous.
 *
 * ```js
 * const loss = tidy(() => {
 *   const loss = model(x).crossEntropy(labels);
 *   loss.backward();
 *   optimizer.step();
 *   return loss.detach();
 * });
 * ```
 */
export function tidy<T>(run: () => T): T;
"#;

/// Calls a function off the tape.
#[wasm_bindgen(js_name = noGrad, skip_typescript)]
pub fn no_grad(function: &Function) -> Made<JsValue> {
    let _mode = GradMode::new(false);
    function.call0(&JsValue::UNDEFINED)
}

/// Calls a function and frees what it made.
#[wasm_bindgen(skip_typescript)]
pub fn tidy(function: &Function) -> Made<JsValue> {
    let scope = Scope::open();
    let result = function.call0(&JsValue::UNDEFINED)?;
    scope.keep(&result);
    Ok(result)
}
