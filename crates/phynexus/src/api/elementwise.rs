//! Elementwise functions: promotion as PyTorch's, then one formula.

use crate::op::{Few, Op, apply, apply1};
use crate::ops::function::MapFn;
use crate::ops::map::{Cast, Map, result_dtype};
use crate::ops::place::Move;
use crate::tensor::Tensor;
use phynexus_core::{Category, DType, Device, Error, ReduceOp, Result, Value};
use phynexus_formula::ops::{Op as Row, Promotion, ResultType, Special};
use phynexus_formula::{Rank, Type};
use smallvec::SmallVec;
use std::sync::Arc;

/// An operand of an elementwise function.
#[derive(Clone, Copy, Debug)]
pub enum Operand<'a> {
    /// A tensor.
    Tensor(&'a Tensor),
    /// A Python number: it takes the tensors' dtype unless its kind is higher.
    Number(Value, Category),
}

impl From<f64> for Operand<'_> {
    fn from(x: f64) -> Self {
        Operand::Number(Value::F(x), Category::Float)
    }
}

impl<'a> From<&'a Tensor> for Operand<'a> {
    fn from(t: &'a Tensor) -> Self {
        Operand::Tensor(t)
    }
}

/// The common dtype: of tensors with dimensions first, then of scalar tensors and numbers if their kind is higher.
pub fn promote(operands: &[Operand<'_>]) -> DType {
    let (mut full, mut scalar, mut number) = (None::<DType>, None::<DType>, None::<Category>);
    for operand in operands {
        match operand {
            Operand::Tensor(t) => {
                let (shape, dtype) = (t.shape(), t.dtype());
                let slot = if shape.is_empty() { &mut scalar } else { &mut full };
                *slot = Some(slot.map_or(dtype, |d| d.promote(dtype)));
            }
            Operand::Number(_, kind) => number = number.max(Some(*kind)),
        }
    }
    let dtype = match (full, scalar) {
        (Some(f), Some(s)) if s.category() > f.category() => Some(s),
        (Some(f), _) => Some(f),
        (None, s) => s,
    };
    match (dtype, number) {
        (Some(dtype), Some(kind)) => dtype.promote_scalar(kind),
        (Some(dtype), None) => dtype,
        (None, Some(Category::Float)) => DType::F32,
        (None, Some(Category::Integer)) => DType::I64,
        (None, _) => DType::Bool,
    }
}

/// The dtype in which a table row computes operands of this common dtype.
fn computed(row: Row, dtype: DType) -> Result<DType> {
    let refuse = |need: &str| {
        Err(Error::Type(format!("{}: needs {need} operands, got {dtype}; convert with .to()", row.name())))
    };
    match row.row().promotion {
        Promotion::Float if !dtype.is_float() => Ok(DType::F32),
        Promotion::Number if dtype == DType::Bool => refuse("number"),
        Promotion::Integer if dtype.is_float() => refuse("integer or bool"),
        Promotion::Bool => Ok(DType::Bool),
        _ => Ok(dtype),
    }
}

/// An error where a row takes other numbers of operands.
pub(super) fn check_arity(row: Row, tensors: usize, scalars: usize) -> Result<()> {
    let about = row.row();
    if (tensors, scalars) == (about.inputs, about.scalars) {
        return Ok(());
    }
    Err(Error::Type(format!(
        "{}: takes {} tensors and {} numbers, got {tensors} and {scalars}",
        about.name, about.inputs, about.scalars
    )))
}

/// Any row of the operation table.
pub fn elementwise(row: Row, operands: &[Operand<'_>], scalars: &[f64]) -> Result<Few<Tensor>> {
    let about = row.row();
    check_arity(row, operands.len(), scalars.len())?;
    let skip = match about.special {
        Special::None => usize::MAX,
        Special::Condition => 0,
        Special::Label => 1,
    };
    let mut voters: SmallVec<[Operand<'_>; 3]> = SmallVec::new();
    voters.extend(operands.iter().enumerate().filter(|(i, _)| *i != skip).map(|(_, o)| *o));
    let dtype = in_range(row, computed(row, promote(&voters))?, &voters)?;
    let ty = dtype.compute();
    let (mut numbers, mut control) = (0u32, SmallVec::<[Value; 2]>::new());
    let mut converted: SmallVec<[Option<Tensor>; 3]> = SmallVec::new();
    for (slot, operand) in operands.iter().enumerate() {
        let want = about.input_type(slot, ty);
        match *operand {
            Operand::Tensor(t) => {
                let own = t.dtype();
                converted.push(if own.compute() == want {
                    None
                } else {
                    Some(cast(t, stored(want, dtype))?)
                });
            }
            Operand::Number(value, _) => {
                numbers |= 1 << slot;
                control.push(number(want, value));
                converted.push(None);
            }
        }
    }
    let mut tensors: SmallVec<[&Tensor; 3]> = SmallVec::new();
    for (operand, converted) in operands.iter().zip(&converted) {
        if let Operand::Tensor(t) = operand {
            tensors.push(converted.as_ref().unwrap_or(t));
        }
    }
    if tensors.is_empty() {
        return Err(Error::Type(format!("{}: at least one operand must be a tensor", about.name)));
    }
    if about.row_wise && tensors.iter().all(|t| t.shape().is_empty()) {
        return Err(Error::Value(format!(
            "{}: works along the last dimension, got a tensor without dimensions",
            about.name
        )));
    }
    check_integers(row, dtype, operands)?;
    control.extend(scalars.iter().enumerate().map(|(k, &s)| number(about.scalar_type(k, ty), Value::F(s))));
    let outputs = (0..about.outputs).map(|_| result_dtype(row, dtype)).collect();
    let power = if row == Row::Pow && numbers == 0b10 { MapFn::power(ty, control[0]) } else { None };
    if power.is_some() {
        control.clear();
    }
    let function = power.unwrap_or_else(|| MapFn::of(row, ty, numbers).clone());
    let map = Map { function, scalars: control, outputs, whole: false };
    apply(Op::Map(map), &tensors)
}

fn number(ty: Type, value: Value) -> Value {
    match ty {
        Type::F32 | Type::F64 => Value::F(value.as_f64()),
        Type::Bool => Value::I((value.as_f64() != 0.0) as i64),
        _ => Value::I(value.as_i64()),
    }
}

/// The dtype that computes in `ty`: `dtype` itself if it does.
fn stored(ty: Type, dtype: DType) -> DType {
    match ty {
        ty if ty == dtype.compute() => dtype,
        Type::Bool => DType::Bool,
        Type::I64 => DType::I64,
        Type::I32 => DType::I32,
        Type::F32 => DType::F32,
        Type::F64 => DType::F64,
    }
}

/// The one rule for integers that have no say in the dtype, Python's numbers and tensors without dimensions: what the dtype
/// does not hold is an error, since it would wrap around; a comparison is made in a dtype that holds it.
fn in_range(row: Row, dtype: DType, operands: &[Operand<'_>]) -> Result<DType> {
    let mut wide = dtype;
    if dtype.category() != Category::Integer {
        return Ok(dtype);
    }
    for operand in operands {
        let value = match operand {
            Operand::Number(value @ Value::I(_), _) => *value,
            Operand::Tensor(t) if t.shape().is_empty() && !contains(dtype, t.dtype()) => t.array().first()?,
            _ => continue,
        };
        match row.row().result {
            ResultType::Same => dtype.check(row.name(), value)?,
            ResultType::Bool if dtype.holds(value) => {}
            ResultType::Bool if DType::I32.holds(value) => wide = wide.max(DType::I32),
            ResultType::Bool => wide = DType::I64,
        }
    }
    Ok(wide)
}

/// Whether one integer type holds all numbers of another.
fn contains(dtype: DType, other: DType) -> bool {
    dtype
        .integers()
        .zip(other.integers())
        .is_some_and(|(own, other)| own.start() <= other.start() && other.end() <= own.end())
}

/// An error for a tensor without dimensions whose value an integer type does not hold.
pub(super) fn check_scalar(what: &str, t: &Tensor, dtype: DType) -> Result<()> {
    if dtype.category() != Category::Integer || !t.shape().is_empty() || contains(dtype, t.dtype()) {
        return Ok(());
    }
    dtype.check(what, t.array().first()?)
}

/// Integers have no infinity to answer with where they are divided by zero, and no fractions for negative powers.
fn check_integers(row: Row, dtype: DType, operands: &[Operand<'_>]) -> Result<()> {
    if dtype.is_float() || !matches!(row, Row::FloorDivide | Row::Remainder | Row::Pow) {
        return Ok(());
    }
    if row == Row::Pow {
        let least = match operands[1] {
            Operand::Number(value, _) => Some(value),
            Operand::Tensor(t) if t.dtype() == DType::U8 => None,
            Operand::Tensor(t) => t.bound(ReduceOp::Min)?,
        };
        return match least.map(Value::as_i64) {
            Some(n @ ..0) => Err(Error::Value(format!(
                "pow: integers to the negative power {n} are not integers; convert the tensor with .float()"
            ))),
            _ => Ok(()),
        };
    }
    let zero = match operands[1] {
        Operand::Number(value, _) => value.as_i64() == 0,
        Operand::Tensor(t) => {
            let axes: Few<usize> = (0..t.shape().len()).collect();
            super::reduce(&t.detach(), ReduceOp::All, &axes, false)?.array().first()?.as_i64() == 0
        }
    };
    if zero {
        return Err(Error::Value(format!("{}: integer division by zero", row.name())));
    }
    Ok(())
}

/// A function of one tensor.
pub fn unary(row: Row, x: &Tensor) -> Result<Tensor> {
    elementwise(row, &[Operand::Tensor(x)], &[]).map(|mut r| r.remove(0))
}

/// A function of two operands.
pub fn binary<'a>(row: Row, a: impl Into<Operand<'a>>, b: impl Into<Operand<'a>>) -> Result<Tensor> {
    elementwise(row, &[a.into(), b.into()], &[]).map(|mut r| r.remove(0))
}

/// The sum of two tensors.
pub fn add(a: &Tensor, b: &Tensor) -> Result<Tensor> {
    binary(Row::Add, a, b)
}

/// The product of two tensors.
pub fn mul(a: &Tensor, b: &Tensor) -> Result<Tensor> {
    binary(Row::Mul, a, b)
}

/// A tensor times a number.
pub fn scale(a: &Tensor, factor: f64) -> Result<Tensor> {
    binary(Row::Mul, a, factor)
}

/// `condition ? yes : no`, elementwise.
pub fn where_(condition: &Tensor, yes: Operand<'_>, no: Operand<'_>) -> Result<Tensor> {
    elementwise(Row::Where, &[Operand::Tensor(condition), yes, no], &[]).map(|mut r| r.remove(0))
}

/// The same for tensors.
pub fn where_tensors(condition: &Tensor, yes: &Tensor, no: &Tensor) -> Result<Tensor> {
    where_(condition, Operand::Tensor(yes), Operand::Tensor(no))
}

/// On another device; itself where it is there already.
pub fn to_device(x: &Tensor, device: &'static dyn Device) -> Result<Tensor> {
    if x.device().id() == device.id() {
        return Ok(x.clone());
    }
    device.check_dtype(x.dtype())?;
    apply1(Op::Move(Move { device }), &[x])
}

/// Another dtype; the tensor itself where it has it.
pub fn cast(x: &Tensor, dtype: DType) -> Result<Tensor> {
    if x.dtype() == dtype { Ok(x.clone()) } else { apply1(Op::Cast(Cast { dtype }), &[x]) }
}

/// On another device in another dtype; converted where both dtypes are.
pub fn to(x: &Tensor, device: &'static dyn Device, dtype: DType) -> Result<Tensor> {
    match device.check_dtype(x.dtype()) {
        Ok(()) => cast(&to_device(x, device)?, dtype),
        Err(_) => to_device(&cast(x, dtype)?, device),
    }
}

/// A function applied to tensors that broadcast together, off the tape; `dtypes` are those of its results.
pub fn apply_function(
    function: &Arc<MapFn>,
    inputs: &[Tensor],
    dtypes: &[DType],
    scalars: &[Value],
) -> Result<Few<Tensor>> {
    let formula = function.formula();
    let counts = (formula.inputs().len(), formula.outputs().len(), formula.scalars().len());
    if inputs.is_empty() || counts != (inputs.len(), dtypes.len(), scalars.len()) {
        return Err(Error::Value(format!(
            "the formula takes {} tensors and {} numbers and has {} results, got {}, {} and {} dtypes",
            counts.0,
            counts.2,
            counts.1,
            inputs.len(),
            scalars.len(),
            dtypes.len()
        )));
    }
    for (i, (&id, dtype)) in formula.outputs().iter().zip(dtypes).enumerate() {
        let rank = formula.rank(id);
        if rank == Rank::Scalar || rank == Rank::Row && !formula.reduces() {
            return Err(Error::Value(format!(
                "result {i} of the formula is one number for all elements and makes no tensor; compute it beforehand"
            )));
        }
        if dtype.compute() != formula.ty(id) {
            return Err(Error::Type(format!(
                "result {i} of the formula is {}, which cannot be stored as {dtype}; cast it in the formula",
                formula.ty(id).name()
            )));
        }
    }
    for (i, (tensor, &ty)) in inputs.iter().zip(formula.inputs()).enumerate() {
        if tensor.dtype().compute() != ty {
            return Err(Error::Type(format!(
                "operand {i} of the formula is {ty:?}, got a tensor of {}",
                tensor.dtype()
            )));
        }
    }
    let detached: SmallVec<[Tensor; 4]> = inputs.iter().map(Tensor::detach).collect();
    let refs: SmallVec<[&Tensor; 4]> = detached.iter().collect();
    let map = Map {
        function: function.clone(),
        scalars: scalars.iter().copied().collect(),
        outputs: dtypes.iter().copied().collect(),
        whole: false,
    };
    apply(Op::Map(map), &refs)
}
