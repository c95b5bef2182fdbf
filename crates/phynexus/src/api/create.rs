//! New tensors.

use crate::machine::with_float64;
use crate::op::{Op, Spec, apply1};
use crate::ops::random::{Fill, Random, Range};
use crate::ops::sort::Sort;
use crate::random::Generator;
use crate::tensor::Tensor;
use phynexus_core::{DType, Device, Distribution, Error, Result, ScatterOp, Shape, Value};

type On = &'static dyn Device;

/// One value everywhere.
pub fn full(shape: Shape, value: Value, dtype: DType, device: On) -> Result<Tensor> {
    dtype.check("full", value)?;
    apply1(Op::Fill(Fill { spec: Spec { shape, dtype, device }, value }), &[])
}

fn draw(shape: Shape, dtype: DType, device: On, distribution: Distribution, g: &Generator) -> Result<Tensor> {
    let (seed, counter) = g.take(shape.elements(), dtype, distribution);
    apply1(Op::Random(Random { spec: Spec { shape, dtype, device }, distribution, seed, counter }), &[])
}

fn check_float(what: &str, dtype: DType) -> Result<()> {
    if dtype.is_float() {
        return Ok(());
    }
    Err(Error::Type(format!(
        "{what} draws floating-point numbers, got dtype {dtype}; use randint for integers"
    )))
}

/// Uniform in [0, 1).
pub fn uniform(shape: Shape, dtype: DType, device: On, g: &Generator) -> Result<Tensor> {
    check_float("rand", dtype)?;
    draw(shape, dtype, device, Distribution::Uniform, g)
}

/// Standard normal.
pub fn normal(shape: Shape, dtype: DType, device: On, g: &Generator) -> Result<Tensor> {
    check_float("randn", dtype)?;
    draw(shape, dtype, device, Distribution::Normal, g)
}

/// Integers of [low, high).
pub fn random_integers(
    low: i64,
    high: i64,
    shape: Shape,
    dtype: DType,
    device: On,
    g: &Generator,
) -> Result<Tensor> {
    if low >= high {
        return Err(Error::Value(format!("randint: low {low} must be less than high {high}")));
    }
    let finite = (dtype == DType::F16).then_some(-65504..=65504); // wider floats hold every int64 or its neighbour
    if let Some(range) = dtype.integers().or(finite)
        && !(range.contains(&low) && range.contains(&(high - 1)))
    {
        return Err(Error::Value(format!(
            "randint: numbers of [{low}, {high}) do not fit into {dtype} ({} to {}); use a wider dtype",
            range.start(),
            range.end()
        )));
    }
    let span = high.wrapping_sub(low) as u64;
    let numbers = draw(shape, DType::I64, device, Distribution::Integer { low, span }, g)?;
    super::cast(&numbers, dtype)
}

/// The numbers below n in random order.
pub fn permutation(n: usize, dtype: DType, device: On, g: &Generator) -> Result<Tensor> {
    let whole = Distribution::Integer { low: 0, span: u64::MAX };
    // Keys of 64 bits, which not every device computes with.
    let keys = draw(Shape::new(&[n])?, DType::I64, with_float64(device), whole, g)?;
    let order = crate::op::apply(Op::Sort(Sort { descending: false, first: None }), &[&keys])?;
    super::cast(&super::to_device(&order[1], device)?, dtype)
}

/// `start, start + step, ...` before `end`.
pub fn arange(start: Value, end: Value, step: Value, dtype: DType, device: On) -> Result<Tensor> {
    let (a, b, s) = (start.as_f64(), end.as_f64(), step.as_f64());
    if s == 0.0 || !a.is_finite() || !b.is_finite() || !s.is_finite() {
        return Err(Error::Value(format!(
            "arange: need finite bounds and a step that is not 0, got {a}, {b}, step {s}"
        )));
    }
    let count = match (start, end, step) {
        (Value::I(a), Value::I(b), Value::I(s)) => {
            let (distance, step) = (b as i128 - a as i128, s as i128);
            if distance * step <= 0 { 0.0 } else { (distance.abs() as f64 / step.abs() as f64).ceil() }
        }
        _ => ((b - a) / s).ceil().max(0.0),
    };
    if count > (isize::MAX / 8) as f64 {
        return Err(Error::Value(format!("arange: {count} elements are more than memory can address")));
    }
    if count > 0.0 && !dtype.is_float() {
        let last = match (start, step) {
            (Value::I(a), Value::I(s)) => Value::I((a as i128 + (count as i128 - 1) * s as i128) as i64),
            _ => Value::F(a + (count - 1.0) * s),
        };
        dtype.check("arange", start).and(dtype.check("arange", last))?;
    }
    let (start, step) = if dtype.is_float() { (Value::F(a), Value::F(s)) } else { (start, step) };
    range(start, step, None, count as usize, dtype, device)
}

/// `steps` numbers from `start` to `end`, both included and exact.
pub fn linspace(start: f64, end: f64, steps: usize, dtype: DType, device: On) -> Result<Tensor> {
    let (gaps, distance) = (steps.saturating_sub(1).max(1) as f64, end - start);
    // Bounds near the largest number are farther apart than it.
    let step = if distance.is_finite() { distance / gaps } else { end / gaps - start / gaps };
    let end = if steps == 1 { start } else { end };
    if !dtype.is_float() {
        dtype.check("linspace", Value::F(start)).and(dtype.check("linspace", Value::F(end)))?;
        let place = with_float64(device);
        let floats = range(Value::F(start), Value::F(step), Some(end), steps, DType::F64, place)?;
        return super::to_device(&super::cast(&floats, dtype)?, device);
    }
    range(Value::F(start), Value::F(step), Some(end), steps, dtype, device)
}

fn range(
    start: Value,
    step: Value,
    end: Option<f64>,
    count: usize,
    dtype: DType,
    device: On,
) -> Result<Tensor> {
    let integer = |v: Value| if dtype.is_float() { v } else { Value::I(v.as_i64()) };
    let spec = Spec { shape: Shape::new(&[count])?, dtype, device };
    apply1(Op::Range(Range { spec, start: integer(start), step: integer(step), end }), &[])
}

/// Ones on the diagonal.
pub fn eye(n: usize, m: usize, dtype: DType, device: On) -> Result<Tensor> {
    let everywhere = |value, dims: [usize; 2]| {
        super::expand(&full(Shape::SCALAR, Value::I(value), dtype, device)?, Shape::new(&dims)?)
    };
    let (zeros, count) = (everywhere(0, [n, m])?, n.min(m));
    let places = range(Value::I(0), Value::I(1), None, count, DType::I64, device)?;
    let places = super::reshape(&places, Shape::new(&[count, 1])?)?;
    zeros.scatter(1, &places, &everywhere(1, [count, 1])?, ScatterOp::Set)
}
