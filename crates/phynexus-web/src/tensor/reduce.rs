//! Reductions, functions along dimensions, and products.
#![allow(non_snake_case)] // names are JavaScript's

use super::{Tensor, done};
use crate::convert;
use crate::error::{Made, thrown};
use phynexus::formula::ops::Op as Row;
use phynexus::{ArgOf, ReduceOp};
use wasm_bindgen::prelude::*;

/// Reductions over some dimensions, or all.
macro_rules! reductions {
    ($($name:ident $op:ident $doc:literal;)*) => {
        #[wasm_bindgen]
        impl Tensor {
            $(
                #[doc = $doc]
                ///
                /// @param dims - over which dimensions, counted from the end where negative; all where nothing is said
                /// @param keepdim - keep them with size 1
                pub fn $name(
                    &self,
                    #[wasm_bindgen(unchecked_optional_param_type = "number | number[] | null")] dims: JsValue,
                    #[wasm_bindgen(unchecked_optional_param_type = "boolean")] keepdim: Option<bool>,
                ) -> Made<Tensor> {
                    let dims = convert::dims(stringify!($name), &dims)?;
                    done(self.get()?.reduce(ReduceOp::$op, dims.as_deref(), keepdim.unwrap_or(false)))
                }
            )*
        }
    };
}

reductions! {
    sum Sum "The sum. Integers add up in int64.";
    mean Mean "The mean of floating-point numbers.";
    prod Prod "The product.";
    max Max "The largest element; NaN if any is.";
    min Min "The smallest element; NaN if any is.";
    argmax ArgMax "The position of the first largest element, over all or along one dimension, as int64.";
    argmin ArgMin "The position of the first smallest element, over all or along one dimension, as int64.";
    any Any "Whether any element is not zero.";
    all All "Whether no element is zero.";
}

#[wasm_bindgen]
impl Tensor {
    /// The variance.
    ///
    /// @param dims - over which dimensions; all where nothing is said
    /// @param keepdim - keep them with size 1
    /// @param correction - what is subtracted from the number of elements to divide by, 1 by default
    #[wasm_bindgen(js_name = var)]
    pub fn variance(
        &self,
        #[wasm_bindgen(unchecked_optional_param_type = "number | number[] | null")] dims: JsValue,
        #[wasm_bindgen(unchecked_optional_param_type = "boolean")] keepdim: Option<bool>,
        #[wasm_bindgen(unchecked_optional_param_type = "number")] correction: Option<f64>,
    ) -> Made<Tensor> {
        let dims = convert::dims("var", &dims)?;
        let moments =
            self.get()?.moments(dims.as_deref(), correction.unwrap_or(1.0), keepdim.unwrap_or(false));
        done(moments.map(|(_, variance)| variance))
    }

    /// The square root of the variance, as `var`.
    pub fn std(
        &self,
        #[wasm_bindgen(unchecked_optional_param_type = "number | number[] | null")] dims: JsValue,
        #[wasm_bindgen(unchecked_optional_param_type = "boolean")] keepdim: Option<bool>,
        #[wasm_bindgen(unchecked_optional_param_type = "number")] correction: Option<f64>,
    ) -> Made<Tensor> {
        self.variance(dims, keepdim, correction)?.sqrt()
    }

    /// The p-norm: `(sum |x|^p)^(1/p)`; Infinity is the largest size, 0 counts what is not zero.
    ///
    /// @param p - 2 by default
    pub fn norm(
        &self,
        #[wasm_bindgen(unchecked_optional_param_type = "number")] p: Option<f64>,
        #[wasm_bindgen(unchecked_optional_param_type = "number | number[] | null")] dims: JsValue,
        #[wasm_bindgen(unchecked_optional_param_type = "boolean")] keepdim: Option<bool>,
    ) -> Made<Tensor> {
        let dims = convert::dims("norm", &dims)?;
        done(self.get()?.norm(p.unwrap_or(2.0), dims.as_deref(), keepdim.unwrap_or(false)))
    }

    /// exp(x) divided by its sum along a dimension, without overflow.
    ///
    /// @param dim - the last by default
    pub fn softmax(&self, dim: Option<f64>) -> Made<Tensor> {
        self.along("softmax", Row::Softmax, dim)
    }

    /// The logarithm of `softmax`.
    ///
    /// @param dim - the last by default
    pub fn logSoftmax(&self, dim: Option<f64>) -> Made<Tensor> {
        self.along("logSoftmax", Row::LogSoftmax, dim)
    }

    /// log(sum(exp(x))) along dimensions, without overflow.
    pub fn logsumexp(
        &self,
        #[wasm_bindgen(unchecked_param_type = "number | number[]")] dims: &JsValue,
        keepdim: Option<bool>,
    ) -> Made<Tensor> {
        let dims = convert::positions("logsumexp", dims)?;
        done(self.get()?.along(Row::LogSumExp, &dims, keepdim.unwrap_or(false)))
    }

    /// Running sums along a dimension.
    pub fn cumsum(&self, dim: f64) -> Made<Tensor> {
        done(self.get()?.cumsum(convert::position("cumsum", &dim.into())?))
    }

    /// Values in order along a dimension, and where they were (int64).
    ///
    /// @param dim - the last by default
    #[wasm_bindgen(unchecked_return_type = "[Tensor, Tensor]")]
    pub fn sort(&self, dim: Option<f64>, descending: Option<bool>) -> Made<js_sys::Array> {
        let dim = convert::position("sort", &dim.unwrap_or(-1.0).into())?;
        let (values, places) = self.get()?.sort(dim, descending.unwrap_or(false), None).map_err(thrown)?;
        Ok([values, places].into_iter().map(|t| JsValue::from(Tensor::from(t))).collect())
    }

    /// The largest element along a dimension, and where it is (int64).
    #[wasm_bindgen(unchecked_return_type = "[Tensor, Tensor]")]
    pub fn maxWithIndex(&self, dim: f64, keepdim: Option<bool>) -> Made<js_sys::Array> {
        let dim = convert::position("maxWithIndex", &dim.into())?;
        let (values, places) =
            self.get()?.extreme(ArgOf::Max, dim, keepdim.unwrap_or(false)).map_err(thrown)?;
        Ok([values, places].into_iter().map(|t| JsValue::from(Tensor::from(t))).collect())
    }

    /// The matrix product as NumPy's `@`: vectors count as a row on the left and a column on the right, leading dimensions
    /// broadcast.
    ///
    /// @throws {RangeError} inner sizes that differ
    pub fn matmul(&self, other: &Tensor) -> Made<Tensor> {
        done(phynexus::matmul(&self.get()?, &other.get()?))
    }
}

impl Tensor {
    fn along(&self, what: &str, row: Row, dim: Option<f64>) -> Made<Tensor> {
        let dim = convert::position(what, &dim.unwrap_or(-1.0).into())?;
        done(self.get()?.along(row, &[dim], false))
    }
}
