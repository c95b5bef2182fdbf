//! Changes in place.

use super::PyTensor;
use super::arithmetic::{Bounds, times};
use crate::convert::{self, Arg, Given, Other};
use crate::error::{run, to_python};
use crate::generator::PyGenerator;
use phynexus::formula::ops::Op as Row;
use phynexus::{Category, DType, Operand, ScatterOp, Tensor, Value};
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;

type This<'py> = Bound<'py, PyTensor>;

fn update(this: This<'_>, what: &str, row: Row, others: &[Operand<'_>], scalars: &[f64]) -> PyResult<()> {
    let t = &this.get().0;
    run(this.py(), t.shape().elements(), || {
        t.update(what, |x| {
            let mut operands = vec![Operand::Tensor(x)];
            operands.extend_from_slice(others);
            phynexus::elementwise(row, &operands, scalars).map(|mut r| r.remove(0))
        })
    })
}

/// Adds or writes elements in place.
fn scatter(
    this: &This<'_>,
    what: &str,
    op: ScatterOp,
    (dim, index, source): (isize, &Tensor, &Tensor),
) -> PyResult<()> {
    let t = &this.get().0;
    run(this.py(), t.shape().elements(), || t.update(what, |t| t.scatter(dim, index, source, op)))
}

/// Draws new values in place.
fn draw(this: &This<'_>, make: impl Send + FnOnce(&Tensor) -> phynexus::Result<Tensor>) -> PyResult<()> {
    let t = &this.get().0;
    if !t.dtype().is_float() {
        return Err(PyTypeError::new_err(format!(
            "random numbers need a floating-point tensor, got {}",
            t.dtype()
        )));
    }
    run(this.py(), t.shape().elements(), || t.update("random numbers", make))
}

/// Copies the values of each source into its target, of the same shape; all or nothing: what can fail is done before the
/// first is written.
#[pyfunction]
fn copy_all(
    py: Python<'_>,
    targets: Vec<Bound<'_, PyTensor>>,
    sources: Vec<Bound<'_, PyTensor>>,
) -> PyResult<()> {
    if targets.len() != sources.len() {
        let (to, from) = (targets.len(), sources.len());
        return Err(PyValueError::new_err(format!("copy_all: {from} sources for {to} targets")));
    }
    let mut pairs = Vec::with_capacity(targets.len());
    let mut elements = 0;
    for (target, source) in targets.iter().zip(&sources) {
        let (target, source) = (&target.get().0, &source.get().0);
        if target.shape() != source.shape() {
            return Err(PyValueError::new_err(format!(
                "copy_all: a source has shape {}, its target {}",
                source.shape(),
                target.shape()
            )));
        }
        elements += target.shape().elements();
        pairs.push((target.clone(), source.detach()));
    }
    run(py, elements, || {
        for (target, source) in &mut pairs {
            target.check_writable("copy_all")?;
            *source = phynexus::to(source, target.device(), target.dtype())?;
        }
        pairs.iter().try_for_each(|(target, source)| target.assign(source, "copy_"))
    })
}

/// Adds the functions to the module.
pub fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add_function(wrap_pyfunction!(copy_all, m)?)
}

#[pymethods]
impl PyTensor {
    /// Sets all elements to zero.
    fn zero_(this: This<'_>) -> PyResult<This<'_>> {
        this.get().0.fill(Value::I(0)).map_err(to_python)?;
        Ok(this)
    }
    /// Sets all elements to one value.
    fn fill_<'py>(this: This<'py>, value: &Bound<'_, PyAny>) -> PyResult<This<'py>> {
        let (value, _) = convert::number(value)?;
        this.get().0.fill(value).map_err(to_python)?;
        Ok(this)
    }
    /// Takes over the values of another tensor, broadcast and cast to this one's shape and dtype.
    fn copy_<'py>(this: This<'py>, source: Given<'_, '_>) -> PyResult<This<'py>> {
        let (t, source): (_, &Tensor) = (&this.get().0, &source);
        run(this.py(), t.shape().elements(), || {
            let source = if source.device().id() == t.device().id() {
                source.clone()
            } else {
                phynexus::to(source, t.device(), t.dtype())?
            };
            t.assign(&source, "copy_")
        })?;
        Ok(this)
    }
    /// Adds the source's elements where the index says, as `scatter_add`.
    fn scatter_add_<'py>(
        this: This<'py>,
        dim: isize,
        index: Given<'_, '_>,
        source: Given<'_, '_>,
    ) -> PyResult<This<'py>> {
        scatter(&this, "scatter_add_", ScatterOp::Add, (dim, &index, &source))?;
        Ok(this)
    }
    /// Writes the source's elements where the index says, as `scatter`.
    fn scatter_<'py>(
        this: This<'py>,
        dim: isize,
        index: Given<'_, '_>,
        source: Given<'_, '_>,
    ) -> PyResult<This<'py>> {
        scatter(&this, "scatter_", ScatterOp::Set, (dim, &index, &source))?;
        Ok(this)
    }
    /// Adds alpha * other.
    #[pyo3(signature = (other, *, alpha=None))]
    fn add_(this: This<'_>, other: Arg, alpha: Option<Arg>) -> PyResult<This<'_>> {
        update(this.clone(), "add_", Row::Add, &[times(this.py(), other, alpha)?.operand()], &[])?;
        Ok(this)
    }
    /// Subtracts alpha * other.
    #[pyo3(signature = (other, *, alpha=None))]
    fn sub_(this: This<'_>, other: Arg, alpha: Option<Arg>) -> PyResult<This<'_>> {
        update(this.clone(), "sub_", Row::Sub, &[times(this.py(), other, alpha)?.operand()], &[])?;
        Ok(this)
    }
    /// Multiplies by another.
    fn mul_(this: This<'_>, other: Arg) -> PyResult<This<'_>> {
        update(this.clone(), "mul_", Row::Mul, &[other.operand()], &[])?;
        Ok(this)
    }
    /// Divides by another.
    fn div_(this: This<'_>, other: Arg) -> PyResult<This<'_>> {
        update(this.clone(), "div_", Row::Div, &[other.operand()], &[])?;
        Ok(this)
    }
    /// Cuts off below `min` and above `max`.
    #[pyo3(signature = (min=None, max=None))]
    fn clamp_(this: This<'_>, min: Option<Arg>, max: Option<Arg>) -> PyResult<This<'_>> {
        match Bounds::new("clamp_", &this.get().0, min, max)? {
            Bounds::Numbers(row, bounds, _) => update(this.clone(), "clamp_", row, &[], &bounds)?,
            Bounds::Tensors(bounds) => {
                for (row, bound) in &bounds {
                    update(this.clone(), "clamp_", *row, &[bound.operand()], &[])?;
                }
            }
        }
        Ok(this)
    }
    /// Moves by `weight` of the way to `end`.
    fn lerp_(this: This<'_>, end: Arg, weight: Arg) -> PyResult<This<'_>> {
        update(this.clone(), "lerp_", Row::Lerp, &[end.operand(), weight.operand()], &[])?;
        Ok(this)
    }
    /// Draws uniform numbers of [low, high).
    #[pyo3(signature = (low=0.0, high=1.0, *, generator=None))]
    fn uniform_<'py>(
        this: This<'py>,
        low: f64,
        high: f64,
        generator: Option<&Bound<'_, PyGenerator>>,
    ) -> PyResult<This<'py>> {
        if !(low <= high && (high - low).is_finite()) {
            return Err(PyValueError::new_err(format!(
                "uniform_: need finite low <= high, got {low} and {high}"
            )));
        }
        let g = PyGenerator::pick(generator);
        draw(&this, |t| {
            let draws = phynexus::uniform(t.shape(), t.dtype(), t.device(), g)?;
            let wide = phynexus::binary(Row::Mul, &draws, high - low)?;
            phynexus::binary(Row::Add, &wide, low)
        })?;
        Ok(this)
    }
    /// Draws normal numbers.
    #[pyo3(signature = (mean=0.0, std=1.0, *, generator=None))]
    fn normal_<'py>(
        this: This<'py>,
        mean: f64,
        std: f64,
        generator: Option<&Bound<'_, PyGenerator>>,
    ) -> PyResult<This<'py>> {
        if !(std >= 0.0 && std.is_finite() && mean.is_finite()) {
            return Err(PyValueError::new_err(format!(
                "normal_: need a finite mean and std >= 0, got {mean} and {std}"
            )));
        }
        let g = PyGenerator::pick(generator);
        draw(&this, |t| {
            let draws = phynexus::normal(t.shape(), t.dtype(), t.device(), g)?;
            let wide = phynexus::binary(Row::Mul, &draws, std)?;
            phynexus::binary(Row::Add, &wide, mean)
        })?;
        Ok(this)
    }
    /// Draws 1 with probability p, else 0.
    #[pyo3(signature = (p=0.5, *, generator=None))]
    fn bernoulli_<'py>(
        this: This<'py>,
        p: f64,
        generator: Option<&Bound<'_, PyGenerator>>,
    ) -> PyResult<This<'py>> {
        if !(0.0..=1.0).contains(&p) {
            return Err(PyValueError::new_err(format!("bernoulli_: p must be in [0, 1], got {p}")));
        }
        let (t, g) = (&this.get().0, PyGenerator::pick(generator));
        run(this.py(), t.shape().elements(), || {
            t.update("bernoulli_", |t| {
                let draws = phynexus::uniform(t.shape(), DType::F32, t.device(), g)?;
                phynexus::cast(
                    &phynexus::binary(Row::Lt, &draws, Operand::Number(Value::F(p), Category::Float))?,
                    t.dtype(),
                )
            })
        })?;
        Ok(this)
    }
    fn __iadd__(this: This<'_>, other: Other) -> PyResult<()> {
        update(this, "+=", Row::Add, &[other.get()?.operand()], &[])
    }
    fn __isub__(this: This<'_>, other: Other) -> PyResult<()> {
        update(this, "-=", Row::Sub, &[other.get()?.operand()], &[])
    }
    fn __imul__(this: This<'_>, other: Other) -> PyResult<()> {
        update(this, "*=", Row::Mul, &[other.get()?.operand()], &[])
    }
    fn __itruediv__(this: This<'_>, other: Other) -> PyResult<()> {
        update(this, "/=", Row::Div, &[other.get()?.operand()], &[])
    }
}
