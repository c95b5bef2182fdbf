//! New tensors.

use crate::convert::{self, described};
use crate::error::{Made, thrown, wrong_type, wrong_value};
use crate::tensor::Tensor;
use js_sys::{Array as JsArray, ArrayBuffer, Reflect, Symbol, Uint8Array};
use phynexus::{Array, DType, Device, Generator, Shape, Value};
use wasm_bindgen::prelude::*;

/// What a new tensor is like.
struct Options {
    dtype: Option<DType>,
    device: &'static dyn Device,
    requires_grad: bool,
}

impl Options {
    fn of(options: &JsValue) -> Made<Options> {
        convert::check_options("Tensor", options, &["dtype", "device", "requiresGrad"])?;
        let device = convert::text_option(options, "device")?;
        Ok(Options {
            dtype: convert::text_option(options, "dtype")?.map(|name| convert::dtype(&name)).transpose()?,
            device: device.map_or(Ok(phynexus::cpu()), |name| convert::device(&name))?,
            requires_grad: convert::option(options, "requiresGrad")?.is_some_and(|value| value.is_truthy()),
        })
    }

    fn float(&self) -> DType {
        self.dtype.unwrap_or(DType::F32)
    }

    fn finish(&self, tensor: phynexus::Result<phynexus::Tensor>) -> Made<Tensor> {
        let tensor = tensor.map_err(thrown)?.detach();
        if self.requires_grad {
            tensor.set_requires_grad(true).map_err(thrown)?;
        }
        Ok(tensor.into())
    }
}

/// Elements as the host has them.
struct Data {
    bytes: Vec<u8>,
    /// Of the bytes.
    stored: DType,
    /// That the tensor gets.
    dtype: DType,
    shape: Shape,
}

/// The elements of a typed array.
fn typed(value: &JsValue, dtype: Option<DType>) -> Made<Data> {
    let tag = Reflect::get(value, &Symbol::to_string_tag())?.as_string().unwrap_or_default();
    let stored = match tag.as_str() {
        "Float32Array" => DType::F32,
        "Float64Array" => DType::F64,
        "Float16Array" => DType::F16,
        "Int32Array" => DType::I32,
        "BigInt64Array" => DType::I64,
        "Uint8Array" | "Uint8ClampedArray" => DType::U8,
        other => {
            return wrong_type(format!(
                "Tensor: elements of a {other} are of no dtype; expected a Float32Array, Float64Array, Int32Array, Uint8Array, \
                 Uint8ClampedArray or BigInt64Array"
            ));
        }
    };
    let field =
        |name: &str| Ok::<_, JsValue>(Reflect::get(value, &name.into())?.as_f64().unwrap_or(0.0) as u32);
    let buffer = Reflect::get(value, &"buffer".into())?;
    let view =
        Uint8Array::new_with_byte_offset_and_length(&buffer, field("byteOffset")?, field("byteLength")?);
    let bytes = view.to_vec();
    let shape = Shape::new(&[bytes.len() / stored.size()]).map_err(thrown)?;
    Ok(Data { bytes, stored, dtype: dtype.unwrap_or(stored), shape })
}

/// Numbers of nested arrays, row-major; the sizes are those of the first element of each.
fn flatten(value: &JsValue, depth: usize, sizes: &mut Vec<usize>, out: &mut Vec<f64>) -> Made<bool> {
    if !JsArray::is_array(value) {
        let number = value.as_f64().or_else(|| value.as_bool().map(|b| b as u8 as f64));
        let Some(number) = number else {
            return wrong_type(format!("Tensor: expected numbers or truth values, got {}", described(value)));
        };
        if depth != sizes.len() {
            return wrong_value("Tensor: nested arrays must all be equally deep");
        }
        out.push(number);
        return Ok(value.as_bool().is_some());
    }
    let array: &JsArray = value.unchecked_ref();
    let length = array.length() as usize;
    if depth == sizes.len() && out.is_empty() {
        sizes.push(length);
    }
    if depth >= 8 || sizes.get(depth) != Some(&length) {
        return wrong_value(format!(
            "Tensor: nested arrays must have equal lengths and be at most 8 deep; at depth {depth} one has length {length}, \
             others {:?}",
            sizes.get(depth)
        ));
    }
    let mut truth = true;
    for i in 0..array.length() {
        truth &= flatten(&array.get(i), depth + 1, sizes, out)?;
    }
    Ok(truth && length > 0)
}

/// The elements of numbers, in the dtype that was asked for.
fn numbers(value: &JsValue, dtype: Option<DType>) -> Made<Data> {
    let (mut sizes, mut found) = (vec![], vec![]);
    let truth = flatten(value, 0, &mut sizes, &mut found)?;
    let dtype = dtype.unwrap_or(if truth { DType::Bool } else { DType::F32 });
    for &x in &found {
        dtype.check("Tensor", Value::F(x)).map_err(thrown)?;
    }
    let shape = Shape::new(&sizes).map_err(thrown)?;
    let (stored, bytes) = match dtype {
        DType::F32 => (DType::F32, found.iter().flat_map(|&x| (x as f32).to_le_bytes()).collect()),
        _ => (DType::F64, found.iter().flat_map(|x| x.to_le_bytes()).collect()),
    };
    Ok(Data { bytes, stored, dtype, shape })
}

/// `0` and the end, or the first two of the arguments of `arange`.
fn bounds(start: f64, end: Option<f64>) -> (f64, f64) {
    end.map_or((0.0, start), |end| (start, end))
}

fn value(x: f64) -> Value {
    if x.trunc() == x && x.abs() < 9e15 { Value::I(x as i64) } else { Value::F(x) }
}

#[wasm_bindgen]
impl Tensor {
    /// A tensor of these elements, row-major: a typed array, whose type decides the dtype, or numbers or truth values,
    /// perhaps nested, which become float32 or bool.
    ///
    /// ```js
    /// const w = new Tensor([[1, 2], [3, 4]], undefined, { requiresGrad: true });
    /// const x = new Tensor(new Float32Array(640), [10, 64], { device: "webgpu:0" });
    /// ```
    /// @param shape - sizes whose product is the number of elements; one may be -1. Left out: that of the nesting.
    /// @throws {RangeError} a shape that does not fit, or a number that the dtype does not hold
    /// @throws {TypeError} elements that are no numbers
    #[wasm_bindgen(constructor)]
    pub fn new(
        #[wasm_bindgen(unchecked_param_type = "TypedArray | Nested")] data: &JsValue,
        #[wasm_bindgen(unchecked_optional_param_type = "number[]")] shape: JsValue,
        #[wasm_bindgen(unchecked_optional_param_type = "TensorOptions")] options: JsValue,
    ) -> Made<Tensor> {
        let options = Options::of(&options)?;
        let read = if ArrayBuffer::is_view(data) { typed } else { numbers };
        let data = read(data, options.dtype)?;
        let shape = if convert::is_nothing(&shape) {
            data.shape
        } else {
            convert::shape_of("Tensor", &shape, data.shape.elements())?
        };
        let made = || {
            options.device.check_dtype(data.dtype)?;
            let host = Array::from_bytes(&data.bytes, shape, data.stored, phynexus::cpu())?;
            let host = if data.dtype == data.stored { host } else { host.cast(data.dtype)? };
            host.to_device(options.device).map(phynexus::Tensor::new)
        };
        options.finish(made())
    }

    /// Zeros.
    ///
    /// @param shape - the sizes of the dimensions, `[]` for a scalar
    pub fn zeros(
        #[wasm_bindgen(unchecked_param_type = "number | number[]")] shape: &JsValue,
        #[wasm_bindgen(unchecked_optional_param_type = "TensorOptions")] options: JsValue,
    ) -> Made<Tensor> {
        Tensor::full(shape, 0.0, options)
    }

    /// Ones.
    pub fn ones(
        #[wasm_bindgen(unchecked_param_type = "number | number[]")] shape: &JsValue,
        #[wasm_bindgen(unchecked_optional_param_type = "TensorOptions")] options: JsValue,
    ) -> Made<Tensor> {
        Tensor::full(shape, 1.0, options)
    }

    /// One number everywhere, as float32 where no dtype is asked for.
    pub fn full(
        #[wasm_bindgen(unchecked_param_type = "number | number[]")] shape: &JsValue,
        number: f64,
        #[wasm_bindgen(unchecked_optional_param_type = "TensorOptions")] options: JsValue,
    ) -> Made<Tensor> {
        let (shape, options) = (convert::shape("full", shape)?, Options::of(&options)?);
        options.finish(phynexus::full(shape, value(number), options.float(), options.device))
    }

    /// Uniform random numbers in [0, 1), the same bits on every device.
    pub fn rand(
        #[wasm_bindgen(unchecked_param_type = "number | number[]")] shape: &JsValue,
        #[wasm_bindgen(unchecked_optional_param_type = "TensorOptions")] options: JsValue,
    ) -> Made<Tensor> {
        let (shape, options) = (convert::shape("rand", shape)?, Options::of(&options)?);
        options.finish(phynexus::uniform(shape, options.float(), options.device, Generator::default_one()))
    }

    /// Random numbers of the standard normal distribution.
    pub fn randn(
        #[wasm_bindgen(unchecked_param_type = "number | number[]")] shape: &JsValue,
        #[wasm_bindgen(unchecked_optional_param_type = "TensorOptions")] options: JsValue,
    ) -> Made<Tensor> {
        let (shape, options) = (convert::shape("randn", shape)?, Options::of(&options)?);
        options.finish(phynexus::normal(shape, options.float(), options.device, Generator::default_one()))
    }

    /// Random integers of [low, high), as int64 where no dtype is asked for.
    pub fn randint(
        low: f64,
        high: f64,
        #[wasm_bindgen(unchecked_param_type = "number | number[]")] shape: &JsValue,
        #[wasm_bindgen(unchecked_optional_param_type = "TensorOptions")] options: JsValue,
    ) -> Made<Tensor> {
        let (low, high) = (convert::whole("randint", low)?, convert::whole("randint", high)?);
        let (shape, options) = (convert::shape("randint", shape)?, Options::of(&options)?);
        let (dtype, generator) = (options.dtype.unwrap_or(DType::I64), Generator::default_one());
        options.finish(phynexus::random_integers(low, high, shape, dtype, options.device, generator))
    }

    /// The integers below n in random order, as int64 where no dtype is asked for.
    pub fn randperm(
        n: f64,
        #[wasm_bindgen(unchecked_optional_param_type = "TensorOptions")] options: JsValue,
    ) -> Made<Tensor> {
        let (n, options) = (convert::shape("randperm", &n.into())?.elements(), Options::of(&options)?);
        let dtype = options.dtype.unwrap_or(DType::I64);
        options.finish(phynexus::permutation(n, dtype, options.device, Generator::default_one()))
    }

    /// `start, start + step, ...` before `end`; with one number those from 0 before it. float32 where no dtype is asked for.
    pub fn arange(
        start: f64,
        #[wasm_bindgen(unchecked_optional_param_type = "number")] end: Option<f64>,
        #[wasm_bindgen(unchecked_optional_param_type = "number")] step: Option<f64>,
        #[wasm_bindgen(unchecked_optional_param_type = "TensorOptions")] options: JsValue,
    ) -> Made<Tensor> {
        let (options, (start, end)) = (Options::of(&options)?, bounds(start, end));
        let (start, end, step) = (value(start), value(end), value(step.unwrap_or(1.0)));
        options.finish(phynexus::arange(start, end, step, options.float(), options.device))
    }

    /// `steps` numbers from `start` to `end`, both included.
    pub fn linspace(
        start: f64,
        end: f64,
        steps: f64,
        #[wasm_bindgen(unchecked_optional_param_type = "TensorOptions")] options: JsValue,
    ) -> Made<Tensor> {
        let (steps, options) =
            (convert::shape("linspace", &steps.into())?.elements(), Options::of(&options)?);
        options.finish(phynexus::linspace(start, end, steps, options.float(), options.device))
    }

    /// Ones on the diagonal of n rows and m columns, or n.
    pub fn eye(
        n: f64,
        #[wasm_bindgen(unchecked_optional_param_type = "number")] m: Option<f64>,
        #[wasm_bindgen(unchecked_optional_param_type = "TensorOptions")] options: JsValue,
    ) -> Made<Tensor> {
        let size = |x: f64| convert::shape("eye", &x.into()).map(|s| s.elements());
        let (n, m, options) = (size(n)?, size(m.unwrap_or(n))?, Options::of(&options)?);
        options.finish(phynexus::eye(n, m, options.float(), options.device))
    }
}
