//! Errors of the engine as JavaScript exceptions with the same text.

use js_sys::{Error as JsError, RangeError, TypeError};
use phynexus::Error;
use wasm_bindgen::JsValue;

/// What a function of the API gives.
pub type Made<T> = Result<T, JsValue>;

/// The exception: `TypeError`, `RangeError` for values and indices that do not fit, else `Error`.
pub fn thrown(error: Error) -> JsValue {
    match error {
        Error::Type(text) => TypeError::new(&text).into(),
        Error::Value(text) | Error::Index(text) => RangeError::new(&text).into(),
        Error::Memory(text) | Error::Runtime(text) => JsError::new(&text).into(),
    }
}

/// A `TypeError`.
pub fn wrong_type<T>(text: impl AsRef<str>) -> Made<T> {
    Err(TypeError::new(text.as_ref()).into())
}

/// A `RangeError`.
pub fn wrong_value<T>(text: impl AsRef<str>) -> Made<T> {
    Err(RangeError::new(text.as_ref()).into())
}
