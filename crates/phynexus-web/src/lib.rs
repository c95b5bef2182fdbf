//! The engine for browsers: its JavaScript API, and the only crate that knows wasm-bindgen.
//!
//! Names are those of the Python package in camel case. Nothing waits: values come back by `await tensor.data()`.
#![cfg(target_family = "wasm")]

mod autograd;
mod convert;
mod create;
mod device;
mod error;
mod hyper;
mod optimizer;
mod scope;
mod tensor;
mod types;

use wasm_bindgen::prelude::*;

#[wasm_bindgen]
extern "C" {
    #[wasm_bindgen(js_namespace = console)]
    fn error(text: &str);
}

/// A bug in the engine stops it; the console says which.
#[wasm_bindgen(start)]
fn start() {
    std::panic::set_hook(Box::new(|what| error(&format!("neurenix: a bug in the engine: {what}"))));
}
