//! Shapes, parts of tensors, and several as one.
#![allow(non_snake_case)] // names are JavaScript's

use super::{Tensor, done};
use crate::convert::{self, described};
use crate::error::{Made, thrown, wrong_type, wrong_value};
use js_sys::Array;
use phynexus::{Index, Range, Shape};
use smallvec::SmallVec;
use wasm_bindgen::prelude::*;

/// One entry of an index.
fn entry(value: &JsValue) -> Made<Index> {
    if value.is_null() {
        return Ok(Index::New);
    }
    if value.as_string().as_deref() == Some("...") {
        return Ok(Index::Rest);
    }
    if value.as_f64().is_some() {
        return convert::position("index", value).map(Index::At);
    }
    if Array::is_array(value) {
        let array: &Array = value.unchecked_ref();
        let bound = |i: u32| {
            let value = array.get(i);
            if convert::is_nothing(&value) { Ok(None) } else { convert::position("index", &value).map(Some) }
        };
        if array.length() > 3 {
            return wrong_value(format!(
                "index: a range is [start, stop, step], got {} numbers",
                array.length()
            ));
        }
        return Ok(Index::Range(bound(0)?, bound(1)?, bound(2)?));
    }
    convert::tensor("index", value).map(Index::Tensor).or_else(|_| {
        wrong_type(format!(
            "index: expected a position, a range [start, stop, step], null, \"...\" or a tensor, got {}",
            described(value)
        ))
    })
}

impl Tensor {
    fn axis(&self, what: &str, dim: f64) -> Made<(phynexus::Tensor, usize)> {
        let tensor = self.get()?;
        let axis = tensor.shape().axis(convert::position(what, &dim.into())?).map_err(thrown)?;
        Ok((tensor, axis))
    }
}

#[wasm_bindgen]
impl Tensor {
    /// The same elements in another shape; one size may be -1.
    ///
    /// @throws {RangeError} a shape of another number of elements
    pub fn reshape(
        &self,
        #[wasm_bindgen(unchecked_param_type = "number | number[]")] shape: &JsValue,
    ) -> Made<Tensor> {
        let tensor = self.get()?;
        let shape = convert::shape_of("reshape", shape, tensor.shape().elements())?;
        done(phynexus::reshape(&tensor, shape))
    }

    /// The dimensions from `start` (0 by default) to `end` (the last by default) as one.
    pub fn flatten(&self, start: Option<f64>, end: Option<f64>) -> Made<Tensor> {
        let tensor = self.get()?;
        let shape = tensor.shape();
        if shape.is_empty() {
            return done(Shape::new(&[1]).and_then(|line| phynexus::reshape(&tensor, line)));
        }
        let (_, first) = self.axis("flatten", start.unwrap_or(0.0))?;
        let (_, last) = self.axis("flatten", end.unwrap_or(-1.0))?;
        if first > last {
            return wrong_value(format!("flatten: dimension {first} is after {last}"));
        }
        let mut sizes = shape[..first].to_vec();
        sizes.push(shape[first..=last].iter().product());
        sizes.extend(&shape[last + 1..]);
        done(Shape::new(&sizes).and_then(|shape| phynexus::reshape(&tensor, shape)))
    }

    /// Without a dimension of size 1, or without all of them.
    pub fn squeeze(&self, dim: Option<f64>) -> Made<Tensor> {
        let tensor = self.get()?;
        let axis = dim.map(|dim| self.axis("squeeze", dim).map(|(_, axis)| axis)).transpose()?;
        let goes = |i: usize, n: usize| n == 1 && axis.is_none_or(|axis| axis == i);
        let sizes: Vec<usize> =
            tensor.shape().iter().enumerate().filter(|(i, n)| !goes(*i, **n)).map(|(_, &n)| n).collect();
        done(Shape::new(&sizes).and_then(|shape| phynexus::reshape(&tensor, shape)))
    }

    /// With a new dimension of size 1.
    pub fn unsqueeze(&self, dim: f64) -> Made<Tensor> {
        let tensor = self.get()?;
        let mut sizes = tensor.shape().to_vec();
        sizes.push(1);
        let wide = Shape::new(&sizes).map_err(thrown)?;
        let axis = wide.axis(convert::position("unsqueeze", &dim.into())?).map_err(thrown)?;
        sizes.pop();
        sizes.insert(axis, 1);
        done(Shape::new(&sizes).and_then(|shape| phynexus::reshape(&tensor, shape)))
    }

    /// Two dimensions swapped.
    pub fn transpose(&self, dim0: f64, dim1: f64) -> Made<Tensor> {
        let ((tensor, a), (_, b)) = (self.axis("transpose", dim0)?, self.axis("transpose", dim1)?);
        let mut order: Vec<usize> = (0..tensor.shape().len()).collect();
        if !order.is_empty() {
            order.swap(a, b);
        }
        done(phynexus::permute(&tensor, &order))
    }

    /// The dimensions in another order.
    ///
    /// @throws {RangeError} an order that does not name each dimension once
    pub fn permute(
        &self,
        #[wasm_bindgen(unchecked_param_type = "number[]")] order: &JsValue,
    ) -> Made<Tensor> {
        let tensor = self.get()?;
        let axes: Made<Vec<usize>> = convert::positions("permute", order)?
            .into_iter()
            .map(|dim| tensor.shape().axis(dim).map_err(thrown))
            .collect();
        let axes = axes?;
        if axes.len() != tensor.shape().len() || (0..axes.len()).any(|axis| !axes.contains(&axis)) {
            let shape = tensor.shape();
            return wrong_value(format!(
                "permute: each dimension of shape {shape} must be named once, got {axes:?}"
            ));
        }
        done(phynexus::permute(&tensor, &axes))
    }

    /// Repeated to a larger shape, without a copy: sizes of 1 become any size.
    pub fn expand(
        &self,
        #[wasm_bindgen(unchecked_param_type = "number | number[]")] shape: &JsValue,
    ) -> Made<Tensor> {
        let (tensor, shape) = (self.get()?, convert::shape("expand", shape)?);
        let common = tensor.shape().broadcast(&shape).map_err(thrown)?;
        if common != shape {
            return wrong_value(format!("expand: shape {} does not broadcast to {shape}", tensor.shape()));
        }
        done(phynexus::expand(&tensor, shape))
    }

    /// Dimensions backwards.
    pub fn flip(
        &self,
        #[wasm_bindgen(unchecked_param_type = "number | number[]")] dims: &JsValue,
    ) -> Made<Tensor> {
        let tensor = self.get()?;
        let axes = tensor.axes(Some(&convert::positions("flip", dims)?)).map_err(thrown)?;
        done(phynexus::flip(&tensor, &axes))
    }

    /// Positions `start` to before `stop` of a dimension, counted from the end where negative, every `step`-th.
    pub fn slice(&self, dim: f64, start: Option<f64>, stop: Option<f64>, step: Option<f64>) -> Made<Tensor> {
        let (tensor, axis) = self.axis("slice", dim)?;
        let bound = |x: Option<f64>| x.map(|x| convert::position("slice", &x.into())).transpose();
        let mut entries = vec![Index::Range(None, None, None); axis];
        entries.push(Index::Range(bound(start)?, bound(stop)?, bound(step)?));
        done(tensor.at(&entries))
    }

    /// What an index names, as NumPy's: one entry for each dimension, the rest whole.
    ///
    /// ```js
    /// x.index([0, [1, 3], null, "..."]); // Python: x[0, 1:3, None, ...]
    /// ```
    /// @throws {RangeError} a position that is not there
    pub fn index(&self, #[wasm_bindgen(unchecked_param_type = "Index[]")] entries: &Array) -> Made<Tensor> {
        let entries: Made<Vec<Index>> = entries.iter().map(|value| entry(&value)).collect();
        done(self.get()?.at(&entries?))
    }

    /// The positions of a dimension that a one-dimensional tensor of integers names.
    pub fn indexSelect(&self, dim: f64, index: &Tensor) -> Made<Tensor> {
        done(self.get()?.index_select(convert::position("indexSelect", &dim.into())?, &index.get()?))
    }

    /// `out[.., i, ..] = this[.., index[.., i, ..], ..]` along a dimension.
    pub fn gather(&self, dim: f64, index: &Tensor) -> Made<Tensor> {
        done(self.get()?.gather(convert::position("gather", &dim.into())?, &index.get()?))
    }

    /// Positions of what is not zero, (count, dimensions), as int64. On the CPU only: the count must be waited for.
    pub fn nonzero(&self) -> Made<Tensor> {
        done(self.get()?.nonzero())
    }

    /// Pads the last dimensions with a number: `[before, after]` of the last, then of the one before it, and so on.
    ///
    /// @param value - 0 by default
    pub fn pad(
        &self,
        #[wasm_bindgen(unchecked_param_type = "number[]")] sizes: &JsValue,
        value: Option<f64>,
    ) -> Made<Tensor> {
        let tensor = self.get()?;
        let (shape, pads) = (tensor.shape(), convert::positions("pad", sizes)?);
        if pads.len() % 2 != 0 || pads.len() / 2 > shape.len() || pads.iter().any(|&n| n < 0) {
            return wrong_value(format!(
                "pad: expected pairs of sizes that are not negative for shape {shape}, got {pads:?}"
            ));
        }
        let mut result = tensor;
        for (k, pair) in pads.chunks_exact(2).enumerate() {
            let axis = shape.len() - 1 - k;
            let piece = |n: isize| {
                let sizes = result.shape().with(axis, n as usize)?;
                let value = phynexus::Value::F(value.unwrap_or(0.0));
                phynexus::full(sizes, value, result.dtype(), result.device())
            };
            let parts = (|| Ok([piece(pair[0])?, result.clone(), piece(pair[1])?]))().map_err(thrown)?;
            result = phynexus::cat(&parts, axis as isize).map_err(thrown)?;
        }
        Ok(result.into())
    }

    /// Parts of so many positions along a dimension; the last may be shorter.
    #[wasm_bindgen(unchecked_return_type = "Tensor[]")]
    pub fn split(&self, size: f64, dim: Option<f64>) -> Made<Array> {
        let (tensor, axis) = self.axis("split", dim.unwrap_or(0.0))?;
        let (shape, size) = (tensor.shape(), convert::whole("split", size)?);
        if size < 1 || shape.is_empty() {
            return wrong_value(format!(
                "split: parts of shape {shape} need a size of at least 1, got {size}"
            ));
        }
        let step = size as usize;
        let whole = |n: usize| Range { start: 0, size: n, step: 1 };
        let part = |start: usize| {
            let mut ranges: SmallVec<[Range; 4]> = shape.iter().map(|&n| whole(n)).collect();
            ranges[axis] = Range { start, size: step.min(shape[axis] - start), step: 1 };
            phynexus::slice(&tensor, ranges).map(|t| JsValue::from(Tensor::from(t))).map_err(thrown)
        };
        (0..shape[axis]).step_by(step).map(part).collect()
    }

    /// Tensors one after the other along a dimension (0 by default), promoted to a common dtype.
    pub fn cat(
        #[wasm_bindgen(unchecked_param_type = "Tensor[]")] tensors: &JsValue,
        dim: Option<f64>,
    ) -> Made<Tensor> {
        let dim = convert::position("cat", &dim.unwrap_or(0.0).into())?;
        done(phynexus::cat(&convert::tensors("cat", tensors)?, dim))
    }

    /// Tensors of one shape side by side along a new dimension (0 by default).
    pub fn stack(
        #[wasm_bindgen(unchecked_param_type = "Tensor[]")] tensors: &JsValue,
        dim: Option<f64>,
    ) -> Made<Tensor> {
        let dim = convert::position("stack", &dim.unwrap_or(0.0).into())?;
        done(phynexus::stack(&convert::tensors("stack", tensors)?, dim))
    }
}
