//! Functions of neural networks that are one formula each.

use crate::op::{Op, apply, apply1};
use crate::ops::function::MapFn;
use crate::ops::index::Hands;
use crate::ops::map::{Map, result_dtype};
use crate::random::Generator;
use crate::tensor::Tensor;
use phynexus_core::{DType, Error, Once, ReduceOp, Result, Shape, Value};
use phynexus_formula::ops::Op as Row;
use phynexus_formula::{Builder, Type};
use smallvec::{SmallVec, smallvec};
use std::sync::Arc;

/// What becomes of the losses of the single elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Reduction {
    None,
    Mean,
    Sum,
}

/// An elementwise loss between two tensors of one shape, reduced within the same formula.
pub fn elementwise_loss(
    row: Row,
    x: &Tensor,
    target: &Tensor,
    reduction: Reduction,
    scalars: &[f64],
) -> Result<Tensor> {
    super::elementwise::check_arity(row, 2, scalars.len())?;
    if row.row().row_wise || row.row().outputs != 1 || result_dtype(row, DType::F32) != DType::F32 {
        return Err(Error::Type(format!("{} is no loss of two numbers", row.name())));
    }
    let (shape, other) = (x.shape(), target.shape());
    if shape != other {
        return Err(Error::Value(format!(
            "{}: the input has shape {shape}, the target {other}; they must be equal (a silent broadcast would give a wrong loss)",
            row.name()
        )));
    }
    if row == Row::Bce {
        check_probabilities("input", x)?;
        check_probabilities("target", target)?;
    }
    let dtype = x.dtype();
    let target = super::cast(target, dtype)?;
    if reduction == Reduction::None || !dtype.is_float() || shape.elements() == 0 {
        let each = super::elementwise(row, &[x.into(), (&target).into()], scalars)?.remove(0);
        return match reduction {
            Reduction::None => Ok(each),
            Reduction::Mean => each.reduce(ReduceOp::Mean, None, false),
            Reduction::Sum => each.reduce(ReduceOp::Sum, None, false),
        };
    }
    let function = MapFn::reduced(row, dtype.compute(), reduction == Reduction::Mean);
    let scalars = scalars.iter().map(|&s| Value::F(s)).collect();
    apply1(Op::Map(Map { function, scalars, outputs: smallvec![dtype], whole: true }), &[x, &target])
}

fn check_probabilities(what: &str, t: &Tensor) -> Result<()> {
    let found = t.extremes()?.map(|(low, high)| [low.as_f64(), high.as_f64()]);
    match found.and_then(|both| both.into_iter().find(|p| !(0.0..=1.0).contains(p))) {
        None => Ok(()),
        Some(p) => Err(Error::Value(format!(
            "bce: the {what} must hold probabilities in [0, 1], got {p}; for logits use bce_with_logits"
        ))),
    }
}

/// `(x - mean) / sqrt(var + eps) * weight + bias` over the last dimensions, whose sizes are `normalized`.
pub fn layer_norm(
    x: &Tensor,
    normalized: &Shape,
    weight: Option<&Tensor>,
    bias: Option<&Tensor>,
    eps: f64,
) -> Result<Tensor> {
    if eps.is_nan() || eps < 0.0 {
        return Err(Error::Value(format!("layer_norm: eps must be at least 0, got {eps}")));
    }
    let shape = x.shape();
    let tail = shape.len().checked_sub(normalized.len());
    let Some(kept) = tail.filter(|&k| shape[k..] == normalized[..] && !normalized.is_empty()) else {
        return Err(Error::Value(format!(
            "layer_norm: the input's last sizes must be {normalized}, got an input of shape {shape}"
        )));
    };
    for (name, t) in [("weight", weight), ("bias", bias)] {
        if let Some(t) = t
            && t.shape() != *normalized
        {
            return Err(Error::Value(format!(
                "layer_norm: expected a {name} of shape {normalized}, got {}",
                t.shape()
            )));
        }
    }
    let row = normalized.elements();
    let mut dims: SmallVec<[usize; 8]> = shape[..kept].into();
    dims.push(row);
    let line = |t: &Tensor| super::reshape(t, Shape::new(&[row])?);
    let flat = super::reshape(x, Shape::new(&dims)?)?;
    let y = match (weight, bias) {
        (Some(w), Some(b)) => {
            let (w, b) = (line(w)?, line(b)?);
            super::elementwise(Row::LayerNorm, &[(&flat).into(), (&w).into(), (&b).into()], &[eps])?.remove(0)
        }
        _ => {
            let mut y = super::elementwise(Row::LayerNormPlain, &[(&flat).into()], &[eps])?.remove(0);
            if let Some(w) = weight {
                y = super::mul(&y, &line(w)?)?;
            }
            if let Some(b) = bias {
                y = super::add(&y, &line(b)?)?;
            }
            y
        }
    };
    super::reshape(&y, shape)
}

/// Rows of `weight` by number. Gradients of row `padding` are left out; if `sparse`, a leaf gets those of the rows taken.
pub fn embedding(index: &Tensor, weight: &Tensor, padding: Option<usize>, sparse: bool) -> Result<Tensor> {
    let table = weight.shape();
    if table.len() != 2 {
        return Err(Error::Value(format!(
            "embedding: expected a weight of two dimensions, got shape {table}"
        )));
    }
    if index.dtype().is_float() || index.dtype() == DType::Bool {
        return Err(Error::Type(format!(
            "embedding: indices must be integers, got {}; convert with .long()",
            index.dtype()
        )));
    }
    let shape = index.shape();
    let flat = super::reshape(&super::cast(index, DType::I64)?, Shape::new(&[shape.elements()])?)?;
    let hands = if sparse { Hands::Rows { except: padding } } else { Hands::All };
    let mut rows = weight.pick(0, &flat, hands)?;
    if let Some(padding) = padding {
        let number = super::Operand::Number(Value::I(padding as i64), phynexus_core::Category::Integer);
        let is_padding =
            super::reshape(&super::binary(Row::Eq, &flat, number)?, Shape::new(&[shape.elements(), 1])?)?;
        rows = super::where_tensors(&is_padding, &rows.detach(), &rows)?;
    }
    let mut dims = shape.to_vec();
    dims.push(table[1]);
    super::reshape(&rows, Shape::new(&dims)?)
}

/// Zeros with probability p, the rest scaled by 1 / (1 - p).
pub fn dropout(x: &Tensor, p: f64, g: &Generator) -> Result<Tensor> {
    if p >= 1.0 {
        return super::scale(x, 0.0);
    }
    let draws = super::uniform(x.shape(), DType::F32, x.device(), g)?;
    let kept = super::cast(&super::binary(Row::Ge, &draws, p)?, x.dtype())?;
    super::mul(
        &super::mul(x, &kept)?,
        &super::full(Shape::SCALAR, Value::F(1.0 / (1.0 - p)), x.dtype(), x.device())?,
    )
}

/// Labels and logits with the classes in the last dimension: (rows, classes) and (rows).
fn classes_last(x: &Tensor, target: &Tensor, labels: bool) -> Result<(Tensor, Tensor, Shape)> {
    let (shape, other) = (x.shape(), target.shape());
    let expected = match shape.len() {
        0 => None,
        1 => Some(Shape::SCALAR),
        _ => Some(shape.without(1, false)),
    };
    let fits = if labels { expected == Some(other) } else { shape == other && !shape.is_empty() };
    let Some(rows_shape) = expected.filter(|_| fits) else {
        return Err(Error::Value(format!(
            "cross_entropy: for an input of shape {shape} (batch, classes, ...) the target must hold class indices of shape {} or \
             probabilities of shape {shape}, got {} of shape {other}",
            expected.unwrap_or(Shape::SCALAR),
            target.dtype()
        )));
    };
    let axis = if shape.len() == 1 { 0 } else { 1 };
    let (classes, rows) = (shape[axis], rows_shape.elements());
    let mut order: SmallVec<[usize; 8]> = (0..shape.len()).filter(|&a| a != axis).collect();
    order.push(axis);
    let wide = Shape::new(&[rows, classes])?;
    let logits = super::reshape(&super::permute(x, &order)?, wide)?;
    let target = if labels {
        super::reshape(target, Shape::new(&[rows, 1])?)?
    } else {
        super::reshape(&super::permute(target, &order)?, wide)?
    };
    Ok((logits, target, rows_shape))
}

/// Cross entropy of logits (N, C, ...) against class indices (N, ...) or probabilities (N, C, ...).
pub fn cross_entropy(
    x: &Tensor,
    target: &Tensor,
    weight: Option<&Tensor>,
    ignore_index: i64,
    reduction: Reduction,
    label_smoothing: f64,
) -> Result<Tensor> {
    if !x.dtype().is_float() {
        return Err(Error::Type(format!("cross_entropy: logits must be floating-point, got {}", x.dtype())));
    }
    if !(0.0..=1.0).contains(&label_smoothing) {
        return Err(Error::Value(format!(
            "cross_entropy: label_smoothing must be in [0, 1], got {label_smoothing}"
        )));
    }
    let labels = !target.dtype().is_float();
    let (logits, target, rows_shape) = classes_last(x, target, labels)?;
    let classes = logits.shape()[1];
    if let Some(w) = weight
        && (w.shape().len() != 1 || w.shape()[0] != classes)
    {
        return Err(Error::Value(format!(
            "cross_entropy: expected {classes} class weights, got shape {}",
            w.shape()
        )));
    }
    let target = if labels { super::cast(&target, DType::I64)? } else { super::cast(&target, x.dtype())? };
    if labels {
        check_labels(&logits, &target, ignore_index)?;
    }
    let (row, scalars): (Row, SmallVec<[f64; 2]>) = match (labels, weight.is_some()) {
        (true, false) => (Row::CrossEntropy, smallvec![ignore_index as f64, label_smoothing]),
        (true, true) => (Row::CrossEntropyWeighted, smallvec![ignore_index as f64, label_smoothing]),
        (false, false) => (Row::CrossEntropySoft, smallvec![label_smoothing]),
        (false, true) => (Row::CrossEntropySoftWeighted, smallvec![label_smoothing]),
    };
    let weight = weight.map(|w| super::cast(w, x.dtype())).transpose()?;
    let mut operands: SmallVec<[super::Operand<'_>; 3]> = smallvec![(&logits).into(), (&target).into()];
    operands.extend(weight.as_ref().map(super::Operand::from));
    let results = super::elementwise(row, &operands, &scalars)?;
    let each = super::reshape(&results[0], rows_shape)?;
    match reduction {
        Reduction::None => Ok(each),
        Reduction::Sum => each.reduce(ReduceOp::Sum, None, false),
        Reduction::Mean if !labels => each.reduce(ReduceOp::Mean, None, false),
        Reduction::Mean => {
            let function = weighted_mean(x.dtype().compute()).clone();
            let map =
                Map { function, scalars: SmallVec::new(), outputs: smallvec![x.dtype(); 2], whole: true };
            apply(Op::Map(map), &[&results[0], &results[1].detach()]).map(|mut both| both.remove(0))
        }
    }
}

/// The sum of its first operand by the sum of its second, and the inverse of the latter: the derivative of the former.
fn weighted_mean(ty: Type) -> &'static Arc<MapFn> {
    static FUNCTIONS: [Once<Arc<MapFn>>; 5] = [const { Once::new() }; 5];
    FUNCTIONS[ty as usize].get_or_init(|| {
        let mut b = Builder::new();
        let sums = [(); 2].map(|()| {
            let x = b.input(ty);
            b.reduce(phynexus_formula::Reduction::Sum, x)
        });
        let (mean, one) = (b.div(sums[0], sums[1]), b.number(ty, 1.0));
        let inverse = b.div(one, sums[1]);
        MapFn::new("weighted_mean".into(), b.finish(&[mean, inverse]), 0b11, true)
    })
}

fn check_labels(logits: &Tensor, target: &Tensor, ignore_index: i64) -> Result<()> {
    let classes = logits.shape()[1];
    let integer = |n: i64| super::Operand::Number(Value::I(n), phynexus_core::Category::Integer);
    let valid = 0..classes as i64;
    if target.device().id() != crate::machine::cpu().id() {
        return Ok(()); // the formula itself finds what is wrong, and does not wait for it
    }
    let wrong = |target: &Tensor| -> Result<Option<i64>> {
        let found = target.extremes()?.map(|(low, high)| [low.as_i64(), high.as_i64()]);
        Ok(found.and_then(|both| both.into_iter().find(|label| !valid.contains(label))))
    };
    let Some(mut label) = wrong(target)? else { return Ok(()) };
    if !valid.contains(&ignore_index) {
        let ignored = super::binary(Row::Eq, &target.detach(), integer(ignore_index))?;
        match wrong(&super::where_(&ignored, integer(0), target.into())?)? {
            Some(other) => label = other,
            None => return Ok(()),
        }
    }
    Err(Error::Index(format!(
        "cross_entropy: label {label} is out of range for {classes} classes; labels go from 0 to {}, or ignore_index \
         {ignore_index}",
        classes as i64 - 1
    )))
}
