//! What is recorded, and what is freed.

use crate::error::{Made, wrong_type};
use crate::scope::Scope;
use js_sys::{Function, Promise};
use phynexus::GradMode;
use wasm_bindgen::prelude::*;

/// Calls a function, which must be done when it returns.
fn call(what: &str, action: &Function) -> Made<JsValue> {
    let result = action.call0(&JsValue::UNDEFINED)?;
    if result.is_instance_of::<Promise>() {
        return wrong_type(format!("{what}: the function must not be asynchronous; await before or after"));
    }
    Ok(result)
}

// Functions of any type: the generator of types knows none.
#[wasm_bindgen(typescript_custom_section)]
const TYPES: &str = r#"
/**
 * Calls a function without recording what it does for `backward()`, and returns its result.
 *
 * @throws {TypeError} an asynchronous function
 */
export function noGrad<T>(action: () => T): T;

/**
 * Calls a function and frees all tensors that it made, except those that it returns: one, or an array or object of some.
 * A training loop needs this, because a browser does not know how much memory a tensor holds, and collects it late.
 * Gradients, parameters and states of optimizers that were there before stay.
 *
 * ```js
 * const loss = tidy(() => {
 *   const loss = model(x).crossEntropy(labels);
 *   loss.backward();
 *   optimizer.step();
 *   return loss.detach();
 * });
 * ```
 * @throws {TypeError} an asynchronous function
 */
export function tidy<T>(action: () => T): T;
"#;

/// Calls a function without recording.
#[wasm_bindgen(js_name = noGrad, skip_typescript)]
pub fn no_grad(action: &Function) -> Made<JsValue> {
    let _mode = GradMode::new(false);
    call("noGrad", action)
}

/// Calls a function and frees the tensors that it made and does not return.
#[wasm_bindgen(skip_typescript)]
pub fn tidy(action: &Function) -> Made<JsValue> {
    let scope = Scope::open();
    let result = call("tidy", action)?;
    scope.keep(&result);
    Ok(result)
}
