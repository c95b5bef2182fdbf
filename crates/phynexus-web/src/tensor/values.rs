//! What a tensor is, its values, and its gradient.

use super::{Tensor, done};
use crate::convert::{self, Arg};
use crate::error::{Made, thrown, wrong_value};
use js_sys::{ArrayBuffer, BigInt64Array, Float32Array, Float64Array, Int32Array, Promise, Uint8Array};
use phynexus::DType;
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::future_to_promise;

/// The elements on the host in a dtype that has a typed array.
async fn host(tensor: phynexus::Tensor) -> Made<(DType, Vec<u8>)> {
    let mut array = tensor.array();
    if matches!(array.dtype(), DType::F16 | DType::BF16) {
        array = array.cast(DType::F32).map_err(thrown)?;
    }
    let bytes = phynexus::fetch(&array).await.map_err(thrown)?;
    Ok((array.dtype(), bytes))
}

/// Bytes in memory of their own.
fn buffer(bytes: &[u8]) -> ArrayBuffer {
    Uint8Array::from(bytes).buffer()
}

#[wasm_bindgen]
impl Tensor {
    /// The sizes of the dimensions; `[]` of a scalar.
    #[wasm_bindgen(getter)]
    pub fn shape(&self) -> Made<Vec<f64>> {
        Ok(self.get()?.shape().iter().map(|&n| n as f64).collect())
    }

    /// The number of elements.
    #[wasm_bindgen(getter)]
    pub fn size(&self) -> Made<f64> {
        Ok(self.get()?.shape().elements() as f64)
    }

    /// How elements are stored.
    #[wasm_bindgen(getter, unchecked_return_type = "DType")]
    pub fn dtype(&self) -> Made<String> {
        Ok(self.get()?.dtype().name().into())
    }

    /// Where they are: "cpu" or "webgpu:0".
    #[wasm_bindgen(getter)]
    pub fn device(&self) -> Made<String> {
        Ok(self.get()?.device().id().to_string())
    }

    /// Whether a gradient flows to or through it.
    #[wasm_bindgen(getter, js_name = requiresGrad)]
    pub fn requires_grad(&self) -> Made<bool> {
        Ok(self.get()?.requires_grad())
    }

    /// Asks the tape to follow a leaf, or not to.
    ///
    /// @throws {TypeError} a dtype without fractions
    /// @throws {Error} a tensor that an operation made
    #[wasm_bindgen(setter, js_name = requiresGrad)]
    pub fn set_requires_grad(&self, wanted: bool) -> Made<()> {
        self.get()?.set_requires_grad(wanted).map_err(thrown)
    }

    /// The gradient that backward passes have added up, if there was one.
    #[wasm_bindgen(getter)]
    pub fn grad(&self) -> Made<Option<Tensor>> {
        Ok(self.get()?.dense_grad().map_err(thrown)?.map(Tensor::from))
    }

    /// Replaces the gradient by one of the same shape, dtype and device, or by none.
    #[wasm_bindgen(setter)]
    pub fn set_grad(
        &self,
        #[wasm_bindgen(unchecked_param_type = "Tensor | null | undefined")] grad: &JsValue,
    ) -> Made<()> {
        let grad = convert::optional_tensor("grad", grad)?;
        self.get()?.set_grad(grad).map_err(thrown)
    }

    /// The elements, row-major, as a typed array of the dtype: `Float32Array` for float32, float16 and bfloat16, `Uint8Array`
    /// for uint8 and bool, `BigInt64Array` for int64. Together with `item()` this is the only way back to JavaScript.
    ///
    /// @throws {Error} what is wrong on the GPU, also with operations before this one
    #[wasm_bindgen(
        unchecked_return_type = "Promise<Float32Array | Float64Array | Int32Array | Uint8Array | BigInt64Array>"
    )]
    pub fn data(&self) -> Promise {
        // Not the handle: it may be freed while the values are on their way.
        let tensor = self.get();
        future_to_promise(async move {
            let (dtype, bytes) = host(tensor?).await?;
            let buffer = buffer(&bytes);
            Ok(match dtype {
                DType::F64 => Float64Array::new(&buffer).into(),
                DType::I32 => Int32Array::new(&buffer).into(),
                DType::I64 => BigInt64Array::new(&buffer).into(),
                DType::U8 | DType::Bool => Uint8Array::new(&buffer).into(),
                _ => Float32Array::new(&buffer).into(),
            })
        })
    }

    /// The one element as a number.
    ///
    /// @throws {RangeError} a tensor that has not exactly one
    #[wasm_bindgen(unchecked_return_type = "Promise<number>")]
    pub fn item(&self) -> Promise {
        let tensor = self.get();
        future_to_promise(async move {
            let tensor = tensor?;
            let shape = tensor.shape();
            if shape.elements() != 1 {
                return wrong_value(format!("item: expected a tensor of one element, got shape {shape}"));
            }
            let (dtype, bytes) = host(tensor).await?;
            let mut b = [0; 8];
            let size = bytes.len().min(8);
            b[..size].copy_from_slice(&bytes[..size]);
            Ok(JsValue::from(match dtype {
                DType::F64 => f64::from_le_bytes(b),
                DType::F32 => f32::from_bits(u64::from_le_bytes(b) as u32) as f64,
                DType::I32 => u64::from_le_bytes(b) as i32 as f64,
                _ => i64::from_le_bytes(b) as f64,
            }))
        })
    }

    /// On another device, or in another dtype; the tensor itself where it is that already. Gradients flow back.
    ///
    /// ```js
    /// const y = x.to("webgpu:0").to("float16");
    /// ```
    /// @throws {Error} from a GPU to the CPU: await `data()` and make a tensor of it
    pub fn to(
        &self,
        #[wasm_bindgen(unchecked_param_type = "DType | (string & {})")] target: &str,
    ) -> Made<Tensor> {
        let tensor = self.get()?;
        if let Some(dtype) = DType::from_name(target) {
            tensor.device().check_dtype(dtype).map_err(thrown)?;
            return done(phynexus::cast(&tensor, dtype));
        }
        done(phynexus::to_device(&tensor, convert::device(target)?))
    }

    /// The same values, off the tape; the memory is shared.
    pub fn detach(&self) -> Made<Tensor> {
        Ok(self.get()?.detach().into())
    }

    /// A copy that gradients flow through.
    pub fn clone(&self) -> Made<Tensor> {
        done(self.get()?.copy())
    }

    /// Overwrites the values by those of another tensor, which broadcasts, or by a number. Of a parameter within `noGrad`.
    pub fn assign(
        &self,
        #[wasm_bindgen(unchecked_param_type = "Tensor | number")] value: &JsValue,
    ) -> Made<()> {
        let tensor = self.get()?;
        match Arg::of("assign", value)? {
            Arg::Tensor(other) => tensor.assign(&other, "assign"),
            Arg::Number(value, _) => tensor.fill(value),
        }
        .map_err(thrown)
    }

    /// Adds the gradients of this tensor to the `.grad` of all leaves that it depends on, and frees what was recorded.
    ///
    /// @param gradient - that of the result with respect to this tensor; needed unless it has one element
    /// @param retainGraph - keep what another backward pass needs
    /// @throws {Error} nothing requires gradients, the graph was used up, or a value that is needed was changed
    pub fn backward(
        &self,
        #[wasm_bindgen(unchecked_optional_param_type = "Tensor | null")] gradient: JsValue,
        #[wasm_bindgen(js_name = retainGraph, unchecked_optional_param_type = "boolean")]
        retain_graph: Option<bool>,
    ) -> Made<()> {
        let gradient = convert::optional_tensor("backward", &gradient)?;
        phynexus::backward(&[self.get()?], &[gradient], retain_graph.unwrap_or(false), false).map_err(thrown)
    }

    /// What it is, without its values: "Tensor([2, 3], float32, cpu)".
    #[wasm_bindgen(js_name = toString)]
    pub fn text(&self) -> String {
        let Ok(tensor) = self.get() else { return "Tensor(freed)".into() };
        format!("Tensor({:?}, {}, {})", &tensor.shape()[..], tensor.dtype(), tensor.device().id())
    }
}
