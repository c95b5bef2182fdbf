//! Elementwise functions. Each is a row of the engine's table of formulas.
#![allow(non_snake_case)] // names are JavaScript's

use super::{Tensor, done};
use crate::convert::Arg;
use crate::error::{Made, wrong_type, wrong_value};
use phynexus::Operand;
use phynexus::formula::ops::Op as Row;
use wasm_bindgen::prelude::*;

/// Runs a row of the table.
fn apply(row: Row, operands: &[Operand<'_>], scalars: &[f64]) -> Made<Tensor> {
    done(phynexus::elementwise(row, operands, scalars).map(|mut results| results.remove(0)))
}

impl Tensor {
    fn map(&self, row: Row, scalars: &[f64]) -> Made<Tensor> {
        apply(row, &[(&self.get()?).into()], scalars)
    }
}

/// Functions of one tensor.
macro_rules! unary {
    ($($name:ident $row:ident $doc:literal;)*) => {
        #[wasm_bindgen]
        impl Tensor {
            $(
                #[doc = $doc]
                pub fn $name(&self) -> Made<Tensor> {
                    self.map(Row::$row, &[])
                }
            )*
        }
    };
}

unary! {
    neg Neg "-x, elementwise.";
    abs Abs "|x|, elementwise.";
    sign Sign "-1, 0 or 1 by the sign, elementwise; the sign of 0 is 0.";
    square Square "x times x, elementwise.";
    reciprocal Reciprocal "1 / x, elementwise.";
    exp Exp "e to the power of x, elementwise.";
    exp2 Exp2 "2 to the power of x, elementwise.";
    expm1 Expm1 "exp(x) - 1, accurate near 0.";
    log Log "The natural logarithm, elementwise; NaN below 0, -inf at 0.";
    log2 Log2 "The logarithm to base 2, elementwise.";
    log10 Log10 "The logarithm to base 10, elementwise.";
    log1p Log1p "log(1 + x), accurate near 0.";
    sqrt Sqrt "The square root, elementwise; NaN below 0.";
    rsqrt Rsqrt "1 / sqrt(x), elementwise.";
    sin Sin "The sine of x in radians, elementwise.";
    cos Cos "The cosine of x in radians, elementwise.";
    tan Tan "The tangent of x in radians, elementwise.";
    asin Asin "The angle in radians whose sine is x, elementwise; NaN outside of [-1, 1].";
    acos Acos "The angle in radians whose cosine is x, elementwise; NaN outside of [-1, 1].";
    atan Atan "The angle in radians whose tangent is x, elementwise.";
    tanh Tanh "The hyperbolic tangent, elementwise.";
    sigmoid Sigmoid "1 / (1 + exp(-x)), elementwise.";
    erf Erf "The error function, elementwise.";
    floor Floor "The largest integer that is not larger, elementwise.";
    ceil Ceil "The smallest integer that is not smaller, elementwise.";
    trunc Trunc "The integer part, elementwise.";
    round Round "The nearest integer, ties to even, elementwise.";
    relu Relu "max(x, 0), elementwise.";
    silu Silu "x * sigmoid(x), elementwise (arXiv:1606.08415).";
    mish Mish "x * tanh(softplus(x)), elementwise (arXiv:1908.08681).";
    softsign Softsign "x / (1 + |x|), elementwise.";
    logicalNot LogicalNot "Where the tensor is zero.";
    isnan IsNan "Where the tensor is NaN.";
    isinf IsInf "Where the tensor is infinite.";
    isfinite IsFinite "Where the tensor is neither NaN nor infinite.";
}

/// Functions of a tensor and a tensor or number.
macro_rules! binary {
    ($($name:ident $row:ident $doc:literal;)*) => {
        #[wasm_bindgen]
        impl Tensor {
            $(
                #[doc = $doc]
                pub fn $name(
                    &self,
                    #[wasm_bindgen(unchecked_param_type = "Tensor | number")] other: &JsValue,
                ) -> Made<Tensor> {
                    let (tensor, other) = (self.get()?, Arg::of(stringify!($name), other)?);
                    apply(Row::$row, &[(&tensor).into(), other.operand()], &[])
                }
            )*
        }
    };
}

binary! {
    add Add "The sum, elementwise, with broadcasting.";
    sub Sub "The difference, elementwise, with broadcasting.";
    mul Mul "The product, elementwise, with broadcasting.";
    div Div "The quotient, elementwise, with broadcasting; integers become float32 first.";
    floorDivide FloorDivide "The quotient rounded towards minus infinity.";
    remainder Remainder "What floor division leaves; it has the sign of the divisor.";
    pow Pow "Raised to a power, elementwise.";
    minimum Minimum "The smaller of both, elementwise; NaN if either is.";
    maximum Maximum "The larger of both, elementwise; NaN if either is.";
    atan2 Atan2 "The angle of the point (other, this), elementwise, in radians.";
    eq Eq "Where both are equal.";
    ne Ne "Where both differ.";
    lt Lt "Where the tensor is less than the other.";
    le Le "Where the tensor is not larger than the other.";
    gt Gt "Where the tensor is larger than the other.";
    ge Ge "Where the tensor is not less than the other.";
    logicalAnd LogicalAnd "Where both are not zero.";
    logicalOr LogicalOr "Where one or both are not zero.";
    logicalXor LogicalXor "Where exactly one is not zero.";
    bitwiseAnd BitwiseAnd "The bits that both have, of integers or truth values.";
    bitwiseOr BitwiseOr "The bits that one or both have.";
    bitwiseXor BitwiseXor "The bits that exactly one has.";
}

#[wasm_bindgen]
impl Tensor {
    /// x times the probability that a normal variable is below x (arXiv:1606.08415).
    ///
    /// @param approximate - "none" (the default), or "tanh" for the usual approximation
    pub fn gelu(
        &self,
        #[wasm_bindgen(unchecked_optional_param_type = "\"none\" | \"tanh\"")] approximate: Option<String>,
    ) -> Made<Tensor> {
        match approximate.as_deref().unwrap_or("none") {
            "none" => self.map(Row::Gelu, &[]),
            "tanh" => self.map(Row::GeluTanh, &[]),
            other => wrong_value(format!("gelu: approximate must be \"none\" or \"tanh\", got {other:?}")),
        }
    }

    /// log(1 + exp(beta x)) / beta; x itself where beta x is above the threshold.
    ///
    /// @param beta - 1 by default
    /// @param threshold - 20 by default
    pub fn softplus(&self, beta: Option<f64>, threshold: Option<f64>) -> Made<Tensor> {
        self.map(Row::Softplus, &[beta.unwrap_or(1.0), threshold.unwrap_or(20.0)])
    }

    /// x where positive, slope * x elsewhere.
    ///
    /// @param slope - 0.01 by default
    pub fn leakyRelu(&self, slope: Option<f64>) -> Made<Tensor> {
        self.map(Row::LeakyRelu, &[slope.unwrap_or(0.01)])
    }

    /// x where positive, alpha * (exp(x) - 1) elsewhere (arXiv:1511.07289).
    ///
    /// @param alpha - 1 by default
    pub fn elu(&self, alpha: Option<f64>) -> Made<Tensor> {
        self.map(Row::Elu, &[alpha.unwrap_or(1.0)])
    }

    /// Cut off below `min` and above `max`, elementwise; null leaves a side open.
    pub fn clamp(&self, min: Option<f64>, max: Option<f64>) -> Made<Tensor> {
        match (min, max) {
            (Some(low), Some(high)) => self.map(Row::Clamp, &[low, high]),
            (Some(low), None) => self.map(Row::ClampMin, &[low]),
            (None, Some(high)) => self.map(Row::ClampMax, &[high]),
            (None, None) => wrong_type("clamp: needs min, max or both"),
        }
    }

    /// this + weight * (end - this), elementwise.
    pub fn lerp(
        &self,
        #[wasm_bindgen(unchecked_param_type = "Tensor | number")] end: &JsValue,
        #[wasm_bindgen(unchecked_param_type = "Tensor | number")] weight: &JsValue,
    ) -> Made<Tensor> {
        let (tensor, end, weight) = (self.get()?, Arg::of("lerp", end)?, Arg::of("lerp", weight)?);
        apply(Row::Lerp, &[(&tensor).into(), end.operand(), weight.operand()], &[])
    }

    /// `yes` where this tensor is not zero, `no` elsewhere, elementwise.
    #[wasm_bindgen(js_name = where)]
    pub fn choose(
        &self,
        #[wasm_bindgen(unchecked_param_type = "Tensor | number")] yes: &JsValue,
        #[wasm_bindgen(unchecked_param_type = "Tensor | number")] no: &JsValue,
    ) -> Made<Tensor> {
        let (condition, yes, no) = (self.get()?, Arg::of("where", yes)?, Arg::of("where", no)?);
        apply(Row::Where, &[(&condition).into(), yes.operand(), no.operand()], &[])
    }
}
