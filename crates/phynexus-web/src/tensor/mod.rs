//! Tensors as JavaScript sees them.

mod elementwise;
mod layers;
mod reduce;
mod shape;
mod values;

use crate::error::Made;
use crate::scope::{self, Handle};
use wasm_bindgen::prelude::*;

/// Numbers of one dtype in an array of any number of dimensions, on one device. Operations broadcast as NumPy's and
/// promote dtypes as PyTorch's; they make new tensors, on the device of their operands, which must all be on one.
///
/// What is wrong is thrown: a `TypeError` for kinds and dtypes, a `RangeError` for values, shapes and indices, an `Error`
/// for everything else. Work on a GPU is queued; what its kernels find wrong (an index out of range) is thrown by the next
/// `await data()`.
#[wasm_bindgen]
pub struct Tensor(Handle);

impl From<phynexus::Tensor> for Tensor {
    fn from(tensor: phynexus::Tensor) -> Tensor {
        Tensor(scope::handle(tensor))
    }
}

impl Tensor {
    /// The engine's tensor, unless it was freed.
    pub(crate) fn get(&self) -> Made<phynexus::Tensor> {
        scope::tensor(&self.0)
    }
}

/// What an operation gives.
fn done(result: phynexus::Result<phynexus::Tensor>) -> Made<Tensor> {
    result.map(Tensor::from).map_err(crate::error::thrown)
}

#[wasm_bindgen]
impl Tensor {
    /// How the engine recognises its tensors.
    #[wasm_bindgen(js_name = __show, skip_typescript)]
    pub fn show(&self) {
        scope::show(&self.0);
    }
}
