//! What layers and losses are made of.
#![allow(non_snake_case)] // names are JavaScript's

use super::{Tensor, done};
use crate::convert;
use crate::error::{Made, wrong_value};
use phynexus::Generator;
use phynexus::formula::ops::Op as Row;
use wasm_bindgen::prelude::*;

#[wasm_bindgen(typescript_custom_section)]
const TYPES: &str = r#"
/** Options of `crossEntropy`. */
export interface CrossEntropyOptions {
  /** A weight for each class. */
  weight?: Tensor;
  /** The label that does not count, -100 by default. */
  ignoreIndex?: number;
  /** "mean" by default. */
  reduction?: Reduction;
  /** What part of the target is spread over all classes, from 0 (the default) to 1. */
  labelSmoothing?: number;
}

/** Options of the losses between two tensors of one shape. */
export interface LossOptions {
  /** "mean" by default. */
  reduction?: Reduction;
}
"#;

impl Tensor {
    fn loss(
        &self,
        what: &str,
        row: Row,
        target: &Tensor,
        options: &JsValue,
        scalars: &[f64],
    ) -> Made<Tensor> {
        let reduction = convert::reduction(what, convert::text_option(options, "reduction")?.as_deref())?;
        done(phynexus::elementwise_loss(row, &self.get()?, &target.get()?, reduction, scalars))
    }
}

#[wasm_bindgen]
impl Tensor {
    /// `activation(x Wᵀ + b)` over the last dimension, as one kernel.
    ///
    /// @param weight - (outputs, inputs), as in PyTorch
    /// @param bias - (outputs), or null
    /// @param activation - "relu" or another function of one tensor without further arguments, such as "tanh" or "gelu"
    /// @throws {RangeError} sizes that do not fit, or an unknown activation
    pub fn linear(
        &self,
        weight: &Tensor,
        #[wasm_bindgen(unchecked_optional_param_type = "Tensor | null")] bias: JsValue,
        #[wasm_bindgen(unchecked_optional_param_type = "string | null")] activation: Option<String>,
    ) -> Made<Tensor> {
        let known = |row: &&Row| row.row().inputs == 1 && row.row().scalars == 0 && !row.row().row_wise;
        let row = match &activation {
            None => None,
            Some(name) => match Row::ALL.iter().filter(known).find(|row| row.name() == name) {
                Some(row) => Some(*row),
                None => {
                    return wrong_value(format!(
                        "linear: no activation is called {name:?}; \"relu\", \"tanh\" and \"gelu\" are some"
                    ));
                }
            },
        };
        let bias = convert::optional_tensor("linear", &bias)?;
        done(phynexus::linear(&self.get()?, &weight.get()?, bias.as_ref(), row))
    }

    /// Rows of this table (rows, columns) by number: an integer tensor of any shape gives its shape and columns.
    pub fn embedding(&self, index: &Tensor) -> Made<Tensor> {
        done(phynexus::embedding(&index.get()?, &self.get()?, None, false))
    }

    /// `(x - mean) / sqrt(var + eps) * weight + bias` over the last dimensions.
    ///
    /// @param normalizedShape - their sizes
    /// @param eps - 1e-5 by default
    pub fn layerNorm(
        &self,
        #[wasm_bindgen(unchecked_param_type = "number | number[]")] normalizedShape: &JsValue,
        #[wasm_bindgen(unchecked_optional_param_type = "Tensor | null")] weight: JsValue,
        #[wasm_bindgen(unchecked_optional_param_type = "Tensor | null")] bias: JsValue,
        #[wasm_bindgen(unchecked_optional_param_type = "number")] eps: Option<f64>,
    ) -> Made<Tensor> {
        let normalized = convert::shape("layerNorm", normalizedShape)?;
        let weight = convert::optional_tensor("layerNorm", &weight)?;
        let bias = convert::optional_tensor("layerNorm", &bias)?;
        let eps = eps.unwrap_or(1e-5);
        done(phynexus::layer_norm(&self.get()?, &normalized, weight.as_ref(), bias.as_ref(), eps))
    }

    /// Zeros with probability p, the rest scaled by 1 / (1 - p).
    ///
    /// @param p - in [0, 1], 0.5 by default
    pub fn dropout(&self, p: Option<f64>) -> Made<Tensor> {
        let p = p.unwrap_or(0.5);
        if !(0.0..=1.0).contains(&p) {
            return wrong_value(format!("dropout: p must be in [0, 1], got {p}"));
        }
        done(phynexus::dropout(&self.get()?, p, Generator::default_one()))
    }

    /// Cross entropy of logits (batch, classes, ...) against class numbers (batch, ...) or probabilities of the logits' shape.
    ///
    /// @throws {RangeError} a label out of range (on a GPU when something is read), or shapes that do not fit
    pub fn crossEntropy(
        &self,
        target: &Tensor,
        #[wasm_bindgen(unchecked_optional_param_type = "CrossEntropyOptions")] options: JsValue,
    ) -> Made<Tensor> {
        let what = "crossEntropy";
        convert::check_options(what, &options, &["weight", "ignoreIndex", "reduction", "labelSmoothing"])?;
        let weight = convert::option(&options, "weight")?.map(|w| convert::tensor(what, &w)).transpose()?;
        let ignored =
            convert::whole(what, convert::number_option(&options, "ignoreIndex")?.unwrap_or(-100.0))?;
        let reduction = convert::reduction(what, convert::text_option(&options, "reduction")?.as_deref())?;
        let smoothing = convert::number_option(&options, "labelSmoothing")?.unwrap_or(0.0);
        let (x, target) = (self.get()?, target.get()?);
        done(phynexus::cross_entropy(&x, &target, weight.as_ref(), ignored, reduction, smoothing))
    }

    /// The squared difference to a target of the same shape, `mean((x - y)^2)` by default.
    ///
    /// @throws {RangeError} shapes that differ
    pub fn mseLoss(
        &self,
        target: &Tensor,
        #[wasm_bindgen(unchecked_optional_param_type = "LossOptions")] options: JsValue,
    ) -> Made<Tensor> {
        self.loss("mseLoss", Row::SquaredError, target, &options, &[])
    }

    /// The absolute difference to a target of the same shape.
    pub fn l1Loss(
        &self,
        target: &Tensor,
        #[wasm_bindgen(unchecked_optional_param_type = "LossOptions")] options: JsValue,
    ) -> Made<Tensor> {
        self.loss("l1Loss", Row::AbsoluteError, target, &options, &[])
    }

    /// Half the squared difference where it is at most delta, else delta times the difference less half of delta.
    ///
    /// @param delta - 1 by default
    pub fn huberLoss(
        &self,
        target: &Tensor,
        #[wasm_bindgen(unchecked_optional_param_type = "number")] delta: Option<f64>,
        #[wasm_bindgen(unchecked_optional_param_type = "LossOptions")] options: JsValue,
    ) -> Made<Tensor> {
        self.loss("huberLoss", Row::Huber, target, &options, &[delta.unwrap_or(1.0)])
    }

    /// Cross entropy of logits of two classes against probabilities of the same shape.
    pub fn bceWithLogits(
        &self,
        target: &Tensor,
        #[wasm_bindgen(unchecked_optional_param_type = "LossOptions")] options: JsValue,
    ) -> Made<Tensor> {
        self.loss("bceWithLogits", Row::BceWithLogits, target, &options, &[])
    }
}
