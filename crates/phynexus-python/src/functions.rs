//! Functions of several tensors, and the fused ones behind `neurenix.nn.functional`.

use crate::convert::{self, Arg, Dim, Given};
use crate::error::{run, to_python};
use crate::generator::PyGenerator;
use crate::tensor::{Made, PyTensor, values};
use phynexus::formula::ops::Op as Row;
use phynexus::{Reduction, Tensor};
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::PyTuple;
use std::collections::HashMap;
use std::sync::LazyLock;

fn all(tensors: &Bound<'_, PyAny>) -> PyResult<Vec<Tensor>> {
    let wrong = |t: &Bound<'_, PyAny>| {
        PyTypeError::new_err(format!("expected a sequence of tensors, got {}", t.get_type()))
    };
    tensors
        .try_iter()
        .map_err(|_| wrong(tensors))?
        .map(|t| {
            let t = t?;
            t.cast::<PyTensor>().map(|t| t.get().0.clone()).map_err(|_| wrong(&t))
        })
        .collect()
}

fn reduction(text: &str) -> PyResult<Reduction> {
    match text {
        "none" => Ok(Reduction::None),
        "mean" => Ok(Reduction::Mean),
        "sum" => Ok(Reduction::Sum),
        other => Err(PyValueError::new_err(format!(
            "reduction must be \"none\", \"mean\" or \"sum\", got {other:?}"
        ))),
    }
}

fn row(name: &str) -> PyResult<Row> {
    static ROWS: LazyLock<HashMap<&str, Row>> =
        LazyLock::new(|| Row::ALL.iter().map(|r| (r.name(), *r)).collect());
    ROWS.get(name).copied().ok_or_else(|| {
        let names: Vec<&str> = Row::ALL.iter().map(|r| r.name()).collect();
        PyValueError::new_err(format!("no operation is called {name:?}; known: {}", names.join(", ")))
    })
}

/// Tensors one after the other along a dimension, promoted to a common dtype.
///
/// Raises:
///     ValueError: no tensors, or sizes of other dimensions that differ.
///
/// Example:
///     >>> import neurenix
///     >>> neurenix.cat([neurenix.zeros(1), neurenix.ones(2)]).tolist()
///     [0.0, 1.0, 1.0]
#[pyfunction]
#[pyo3(signature = (tensors, dim=None, *, axis=None), text_signature = "(tensors, dim=0, *, axis=None)")]
fn cat(py: Python<'_>, tensors: &Bound<'_, PyAny>, dim: Option<Dim>, axis: Option<Dim>) -> Made {
    let (tensors, dim) = (all(tensors)?, convert::dim_or(0, dim, axis)?);
    let elements = tensors.iter().map(|t| t.shape().elements()).sum();
    run(py, elements, || phynexus::cat(&tensors, dim)).map(PyTensor)
}

/// Tensors of one shape side by side along a new dimension.
///
/// Example:
///     >>> import neurenix
///     >>> neurenix.stack([neurenix.zeros(2), neurenix.ones(2)]).shape
///     (2, 2)
#[pyfunction]
#[pyo3(signature = (tensors, dim=None, *, axis=None), text_signature = "(tensors, dim=0, *, axis=None)")]
fn stack(py: Python<'_>, tensors: &Bound<'_, PyAny>, dim: Option<Dim>, axis: Option<Dim>) -> Made {
    let (tensors, dim) = (all(tensors)?, convert::dim_or(0, dim, axis)?);
    let elements = tensors.iter().map(|t| t.shape().elements()).sum();
    run(py, elements, || phynexus::stack(&tensors, dim)).map(PyTensor)
}

/// `input` where the condition holds, else `other`, elementwise, with broadcasting.
///
/// Example:
///     >>> import neurenix
///     >>> x = neurenix.Tensor([-1.0, 2.0])
///     >>> neurenix.where(x > 0, x, 0.0).tolist()
///     [0.0, 2.0]
#[pyfunction(name = "where")]
fn where_(py: Python<'_>, condition: Given<'_, '_>, input: Arg, other: Arg) -> Made {
    let condition: &Tensor = &condition;
    run(py, condition.shape().elements(), || phynexus::where_(condition, input.operand(), other.operand()))
        .map(PyTensor)
}

/// `activation(input @ weight.T + bias)` in one kernel.
///
/// Args:
///     input: (..., in).
///     weight: (out, in).
///     bias: (out,), or None.
///     activation: the name of an elementwise operation such as "relu", or None.
///
/// Raises:
///     ValueError: sizes that do not fit, or an unknown activation.
///     TypeError: dtypes that differ.
#[pyfunction]
#[pyo3(signature = (input, weight, bias=None, activation=None))]
fn linear(
    py: Python<'_>,
    input: Given<'_, '_>,
    weight: Given<'_, '_>,
    bias: Option<Given<'_, '_>>,
    activation: Option<&str>,
) -> Made {
    let activation = activation.map(row).transpose()?;
    let (x, w, bias): (&Tensor, &Tensor, _) = (&input, &weight, bias.as_deref());
    let work = x.shape().elements().saturating_mul(w.shape().first().copied().unwrap_or(1)) / 4;
    run(py, work, || phynexus::linear(x, w, bias, activation)).map(PyTensor)
}

/// `(x - mean) / sqrt(var + eps) * weight + bias` over the last dimensions (arXiv:1607.06450).
#[pyfunction]
#[pyo3(signature = (input, normalized_shape, weight=None, bias=None, eps=1e-5))]
fn layer_norm(
    py: Python<'_>,
    input: Given<'_, '_>,
    normalized_shape: &Bound<'_, PyAny>,
    weight: Option<Given<'_, '_>>,
    bias: Option<Given<'_, '_>>,
    eps: f64,
) -> Made {
    let (x, shape): (&Tensor, _) = (&input, convert::shape_from(normalized_shape)?);
    let (weight, bias) = (weight.as_deref(), bias.as_deref());
    run(py, x.shape().elements(), || phynexus::layer_norm(x, &shape, weight, bias, eps)).map(PyTensor)
}

/// Rows of `weight` by number; no gradient goes to row `padding_idx`. With `sparse`, the gradient of a weight that is a
/// leaf is a `RowSparse` of the rows taken, which `SparseAdam` uses.
///
/// Raises:
///     IndexError: a number out of range.
#[pyfunction]
#[pyo3(signature = (input, weight, padding_idx=None, *, sparse=false))]
fn embedding(
    py: Python<'_>,
    input: Given<'_, '_>,
    weight: Given<'_, '_>,
    padding_idx: Option<isize>,
    sparse: bool,
) -> Made {
    let (x, w): (&Tensor, &Tensor) = (&input, &weight);
    let rows = w.shape().first().copied().unwrap_or(0) as isize;
    let padding = match padding_idx {
        Some(i) if i < -rows || i >= rows => {
            return Err(PyValueError::new_err(format!(
                "embedding: padding_idx {i} is out of range for {rows} rows"
            )));
        }
        Some(i) => Some(if i < 0 { i + rows } else { i } as usize),
        None => None,
    };
    run(py, x.shape().elements(), || phynexus::embedding(x, w, padding, sparse)).map(PyTensor)
}

/// Zeros with probability p and the rest scaled by 1 / (1 - p) while training (arXiv:1207.0580).
#[pyfunction]
#[pyo3(signature = (input, p=0.5, training=true, generator=None))]
fn dropout(
    py: Python<'_>,
    input: Given<'_, '_>,
    p: f64,
    training: bool,
    generator: Option<&Bound<'_, PyGenerator>>,
) -> Made {
    if !(0.0..=1.0).contains(&p) {
        return Err(PyValueError::new_err(format!("dropout: p must be in [0, 1], got {p}")));
    }
    let x: &Tensor = &input;
    if !training || p == 0.0 {
        return Ok(PyTensor(x.clone()));
    }
    let g = PyGenerator::pick(generator);
    run(py, x.shape().elements(), || phynexus::dropout(x, p, g)).map(PyTensor)
}

/// The mean (or sum, or every single) squared difference.
///
/// Raises:
///     ValueError: shapes that differ.
#[pyfunction]
#[pyo3(signature = (input, target, reduction="mean"))]
fn mse_loss(py: Python<'_>, input: Given<'_, '_>, target: Given<'_, '_>, reduction: &str) -> Made {
    let (x, y, r): (&Tensor, &Tensor, _) = (&input, &target, self::reduction(reduction)?);
    run(py, x.shape().elements(), || phynexus::elementwise_loss(Row::SquaredError, x, y, r, &[]))
        .map(PyTensor)
}

/// An elementwise loss of the operation table, reduced in the same kernel where there is no weight.
#[pyfunction]
#[pyo3(signature = (name, input, target, reduction, *scalars, weight=None))]
fn elementwise_loss(
    py: Python<'_>,
    name: &str,
    input: Given<'_, '_>,
    target: Given<'_, '_>,
    reduction: &str,
    scalars: &Bound<'_, PyTuple>,
    weight: Option<Given<'_, '_>>,
) -> Made {
    let (row, r) = (row(name)?, self::reduction(reduction)?);
    let scalars: Vec<f64> = scalars.extract::<Vec<f64>>()?;
    let (x, y, weight): (&Tensor, &Tensor, _) = (&input, &target, weight.as_deref());
    run(py, x.shape().elements(), || {
        let Some(weight) = weight else { return phynexus::elementwise_loss(row, x, y, r, &scalars) };
        let each = phynexus::elementwise_loss(row, x, y, Reduction::None, &scalars)?;
        let each = phynexus::binary(Row::Mul, &each, weight)?;
        match r {
            Reduction::None => Ok(each),
            Reduction::Mean => each.reduce(phynexus::ReduceOp::Mean, None, false),
            Reduction::Sum => each.reduce(phynexus::ReduceOp::Sum, None, false),
        }
    })
    .map(PyTensor)
}

/// Cross entropy of logits (N, C, ...) against class indices (N, ...) or probabilities (N, C, ...).
///
/// Raises:
///     IndexError: a label out of range.
///     ValueError: shapes that do not fit.
#[pyfunction]
#[pyo3(signature = (input, target, weight=None, ignore_index=-100, reduction="mean", label_smoothing=0.0))]
fn cross_entropy(
    py: Python<'_>,
    input: Given<'_, '_>,
    target: Given<'_, '_>,
    weight: Option<Given<'_, '_>>,
    ignore_index: i64,
    reduction: &str,
    label_smoothing: f64,
) -> Made {
    let (x, y, r): (&Tensor, &Tensor, _) = (&input, &target, self::reduction(reduction)?);
    let weight = weight.as_deref();
    run(py, x.shape().elements(), || phynexus::cross_entropy(x, y, weight, ignore_index, r, label_smoothing))
        .map(PyTensor)
}

/// Any operation that is a formula, by name.
///
/// Example:
///     >>> import neurenix
///     >>> neurenix._phynexus.apply("add_scaled", [neurenix.ones(1), neurenix.ones(1)], [2.0]).tolist()
///     [3.0]
#[pyfunction]
#[pyo3(signature = (name, inputs, scalars=None))]
fn apply(
    py: Python<'_>,
    name: &str,
    inputs: &Bound<'_, PyAny>,
    scalars: Option<Vec<f64>>,
) -> PyResult<Py<PyAny>> {
    let (row, inputs) = (row(name)?, all(inputs)?);
    let operands: Vec<phynexus::Operand<'_>> = inputs.iter().map(Into::into).collect();
    let results = phynexus::elementwise(row, &operands, &scalars.unwrap_or_default()).map_err(to_python)?;
    let mut results: Vec<PyTensor> = results.into_iter().map(PyTensor).collect();
    if results.len() == 1 {
        return Ok(Py::new(py, results.remove(0))?.into_any());
    }
    Ok(PyTuple::new(py, results)?.into_any().unbind())
}

/// Adds the functions to the module.
pub fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add_function(wrap_pyfunction!(cat, m)?)?;
    m.add_function(wrap_pyfunction!(stack, m)?)?;
    m.add_function(wrap_pyfunction!(where_, m)?)?;
    m.add_function(wrap_pyfunction!(linear, m)?)?;
    m.add_function(wrap_pyfunction!(layer_norm, m)?)?;
    m.add_function(wrap_pyfunction!(embedding, m)?)?;
    m.add_function(wrap_pyfunction!(dropout, m)?)?;
    m.add_function(wrap_pyfunction!(mse_loss, m)?)?;
    m.add_function(wrap_pyfunction!(elementwise_loss, m)?)?;
    m.add_function(wrap_pyfunction!(cross_entropy, m)?)?;
    m.add_function(wrap_pyfunction!(apply, m)?)?;
    m.add_function(wrap_pyfunction!(values::_rebuild, m)?)
}
