//! Arguments from JavaScript.

use crate::error::{Made, thrown, wrong_type, wrong_value};
use crate::scope;
use js_sys::{Array, Reflect};
use phynexus::{Category, DType, Device, DeviceId, DeviceType, Operand, Reduction, Shape, Tensor, Value};
use wasm_bindgen::{JsCast, JsValue};

/// How a value is named in an error.
pub fn described(value: &JsValue) -> String {
    match value.as_string() {
        Some(text) => format!("{text:?}"),
        None if value.is_object() => "an object".into(),
        None => format!("{value:?}").trim_start_matches("JsValue(").trim_end_matches(')').into(),
    }
}

/// A tensor.
pub fn tensor(what: &str, value: &JsValue) -> Made<Tensor> {
    match scope::find(value) {
        Some(handle) => scope::tensor(&handle),
        None => wrong_type(format!("{what}: expected a Tensor that is not freed, got {}", described(value))),
    }
}

/// A tensor, or nothing for undefined and null.
pub fn optional_tensor(what: &str, value: &JsValue) -> Made<Option<Tensor>> {
    if is_nothing(value) { Ok(None) } else { tensor(what, value).map(Some) }
}

/// Tensors of an array.
pub fn tensors(what: &str, values: &JsValue) -> Made<Vec<Tensor>> {
    if !Array::is_array(values) {
        return wrong_type(format!("{what}: expected an array of tensors, got {}", described(values)));
    }
    Array::from(values).iter().map(|value| tensor(what, &value)).collect()
}

/// Undefined or null.
pub fn is_nothing(value: &JsValue) -> bool {
    value.is_undefined() || value.is_null()
}

/// A number with its kind: JavaScript has one type for all, so that 1.0 is an integer.
pub fn number(value: &JsValue) -> Option<(Value, Category)> {
    if let Some(truth) = value.as_bool() {
        return Some((Value::I(truth as i64), Category::Bool));
    }
    let x = value.as_f64()?;
    Some(if x.trunc() == x && x.abs() < 9e15 {
        (Value::I(x as i64), Category::Integer)
    } else {
        (Value::F(x), Category::Float)
    })
}

/// A tensor or a number.
pub enum Arg {
    Tensor(Tensor),
    Number(Value, Category),
}

impl Arg {
    pub fn of(what: &str, value: &JsValue) -> Made<Arg> {
        match number(value) {
            Some((value, kind)) => Ok(Arg::Number(value, kind)),
            None => tensor(what, value).map(Arg::Tensor),
        }
    }
    pub fn operand(&self) -> Operand<'_> {
        match self {
            Arg::Tensor(tensor) => tensor.into(),
            Arg::Number(value, kind) => Operand::Number(*value, *kind),
        }
    }
}

/// An integer that a number holds exactly.
pub fn whole(what: &str, x: f64) -> Made<i64> {
    if x.trunc() == x && x.abs() < 9007199254740992.0 {
        return Ok(x as i64);
    }
    wrong_value(format!("{what}: expected an integer, got {x}"))
}

/// An integer of this machine's size: dimensions, positions.
pub fn position(what: &str, value: &JsValue) -> Made<isize> {
    let Some(x) = value.as_f64() else {
        return wrong_type(format!("{what}: expected an integer, got {}", described(value)));
    };
    let n = whole(what, x)?;
    isize::try_from(n).or_else(|_| wrong_value(format!("{what}: {n} is too large")))
}

/// Several integers, or one.
pub fn positions(what: &str, value: &JsValue) -> Made<Vec<isize>> {
    if Array::is_array(value) {
        return Array::from(value).iter().map(|v| position(what, &v)).collect();
    }
    position(what, value).map(|n| vec![n])
}

/// Dimensions: one, several, or all where nothing is said.
pub fn dims(what: &str, value: &JsValue) -> Made<Option<Vec<isize>>> {
    if is_nothing(value) { Ok(None) } else { positions(what, value).map(Some) }
}

/// A shape: sizes, or one size.
pub fn shape(what: &str, value: &JsValue) -> Made<Shape> {
    let sizes: Made<Vec<usize>> = positions(what, value)?
        .into_iter()
        .map(|n| {
            usize::try_from(n).or_else(|_| wrong_value(format!("{what}: a size must be at least 0, got {n}")))
        })
        .collect();
    Shape::new(&sizes?).map_err(thrown)
}

/// A shape of so many elements, of which one size may be -1.
pub fn shape_of(what: &str, value: &JsValue, elements: usize) -> Made<Shape> {
    let mut sizes = positions(what, value)?;
    if let Some(at) = sizes.iter().position(|&n| n == -1) {
        let others = sizes.iter().enumerate().filter(|(i, _)| *i != at);
        let known = others.map(|(_, &n)| n.max(0) as usize).fold(1usize, usize::saturating_mul);
        if known == 0 || !elements.is_multiple_of(known) {
            return wrong_value(format!("{what}: {elements} elements do not fit into shape {sizes:?}"));
        }
        sizes[at] = (elements / known) as isize;
    }
    let sizes: Array = sizes.into_iter().map(|n| JsValue::from(n as f64)).collect();
    shape(what, &sizes)
}

/// A device by its name.
pub fn device(name: &str) -> Made<&'static dyn Device> {
    let id = match name.split_once(':').unwrap_or((name, "0")) {
        ("cpu", "0") => Some(DeviceId { kind: DeviceType::Cpu, index: 0 }),
        ("webgpu", index) => index.parse().ok().map(|index| DeviceId { kind: DeviceType::WebGpu, index }),
        _ => None,
    };
    let Some(id) = id else {
        return wrong_value(format!("unknown device {name:?}; expected \"cpu\" or \"webgpu:0\""));
    };
    phynexus::device(id).map_err(|_| {
        let text =
            format!("device {id} is not available; `await devices()` looks for it, and says what there is");
        js_sys::Error::new(&text).into()
    })
}

/// An element type by its name.
pub fn dtype(name: &str) -> Made<DType> {
    DType::from_name(name).map_or_else(
        || {
            let names: Vec<&str> = DType::ALL.iter().map(|d| d.name()).collect();
            wrong_value(format!("unknown dtype {name:?}; known: {}", names.join(", ")))
        },
        Ok,
    )
}

/// What becomes of single losses.
pub fn reduction(what: &str, name: Option<&str>) -> Made<Reduction> {
    match name {
        Some("none") => Ok(Reduction::None),
        Some("mean") | None => Ok(Reduction::Mean),
        Some("sum") => Ok(Reduction::Sum),
        Some(other) => {
            wrong_value(format!("{what}: reduction must be \"none\", \"mean\" or \"sum\", got {other:?}"))
        }
    }
}

/// A member of an options object, which may be missing.
pub fn option(options: &JsValue, name: &str) -> Made<Option<JsValue>> {
    if is_nothing(options) {
        return Ok(None);
    }
    if !options.is_object() {
        return wrong_type(format!(
            "expected an object of options such as {{ {name}: ... }}, got {}",
            described(options)
        ));
    }
    let value = Reflect::get(options, &name.into())?;
    Ok(Some(value).filter(|value| !is_nothing(value)))
}

/// That an options object has no other members than these.
pub fn check_options(what: &str, options: &JsValue, known: &[&str]) -> Made<()> {
    if !options.is_object() {
        return Ok(());
    }
    for key in js_sys::Object::keys(options.unchecked_ref::<js_sys::Object>())
        .iter()
        .filter_map(|key| key.as_string())
    {
        if !known.contains(&key.as_str()) {
            return wrong_type(format!("{what}: no option is called {key:?}; known: {}", known.join(", ")));
        }
    }
    Ok(())
}

/// A text of an options object.
pub fn text_option(options: &JsValue, name: &str) -> Made<Option<String>> {
    let wrong = |value: JsValue| wrong_type(format!("{name}: expected a text, got {}", described(&value)));
    option(options, name)?.map(|value| value.as_string().map_or_else(|| wrong(value), Ok)).transpose()
}

/// A number of an options object.
pub fn number_option(options: &JsValue, name: &str) -> Made<Option<f64>> {
    let wrong = |value: JsValue| wrong_type(format!("{name}: expected a number, got {}", described(&value)));
    option(options, name)?.map(|value| value.as_f64().map_or_else(|| wrong(value), Ok)).transpose()
}
