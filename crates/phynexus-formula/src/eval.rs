//! The meaning of formulas: slow and obvious.
//!
//! F32 arithmetic is done in f64 and rounded after every node, which for + - * / and sqrt is exactly f32 arithmetic;
//! sums are rounded once, at the end. Integers wrap. Truth values are 0 and 1.

use crate::{Binary, Constant, Formula, Id, Node, Rank, Reduction, Type, Unary};

/// A number: a float (also of F32), or an integer or truth value.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Value {
    /// A float.
    F(f64),
    /// An integer, or a truth value as 0 and 1.
    I(i64),
}

impl Value {
    /// The value as f64.
    pub fn as_f64(self) -> f64 {
        match self {
            Value::F(v) => v,
            Value::I(v) => v as f64,
        }
    }
    /// The value as i64; floats are truncated.
    pub fn as_i64(self) -> i64 {
        match self {
            Value::F(v) => v as i64,
            Value::I(v) => v,
        }
    }
    /// Whether it is not zero (NaN is not).
    pub fn is_true(self) -> bool {
        match self {
            Value::F(v) => v != 0.0,
            Value::I(v) => v != 0,
        }
    }
}

impl From<Constant> for Value {
    fn from(c: Constant) -> Value {
        if c.ty.is_float() { Value::F(c.as_f64()) } else { Value::I(c.as_i64()) }
    }
}

/// Evaluates a formula for one row: `inputs` are vectors of its length (or of one element, which then holds for all).
///
/// Results of rank `Element` are vectors of the row's length, others have one element.
pub fn evaluate(f: &Formula, inputs: &[Vec<Value>], scalars: &[Value]) -> Vec<Vec<Value>> {
    let length = inputs.iter().map(Vec::len).max().unwrap_or(1);
    let mut values: Vec<Vec<Value>> = Vec::with_capacity(f.nodes.len());
    for (i, &node) in f.nodes.iter().enumerate() {
        let value = match node {
            Node::Reduce(op, a) => {
                let a = &values[a.index()];
                vec![reduce(op, f.types[i], (0..length).map(|k| a[k % a.len()]))]
            }
            node => (0..if f.ranks[i] == Rank::Element { length } else { 1 })
                .map(|k| match node {
                    Node::Input { slot, .. } => inputs[slot as usize][k % inputs[slot as usize].len()],
                    Node::Index => Value::I(k as i64),
                    Node::Length => Value::I(length as i64),
                    node => {
                        pointwise(f, node, scalars, |id| values[id.index()][k % values[id.index()].len()])
                    }
                })
                .collect(),
        };
        values.push(value);
    }
    f.outputs.iter().map(|id| values[id.index()].clone()).collect()
}

/// Evaluates a formula of scalars alone, such as the host part of [`crate::hoist`].
///
/// # Panics
/// If the formula has nodes of rank `Row` or `Element`.
pub fn evaluate_scalars(f: &Formula, scalars: &[Value]) -> Vec<Value> {
    let mut results = vec![];
    evaluate_scalars_into(f, scalars, &mut vec![], &mut results);
    results
}

/// As [`evaluate_scalars`], but into `results`, with `scratch` for the values between: no allocation when both are
/// used again.
pub fn evaluate_scalars_into(
    f: &Formula,
    scalars: &[Value],
    scratch: &mut Vec<Value>,
    results: &mut Vec<Value>,
) {
    scratch.clear();
    for &node in &f.nodes {
        let value = pointwise(f, node, scalars, |id| scratch[id.index()]);
        scratch.push(value);
    }
    results.clear();
    results.extend(f.outputs.iter().map(|id| scratch[id.index()]));
}

fn pointwise(f: &Formula, node: Node, scalars: &[Value], at: impl Fn(Id) -> Value) -> Value {
    match node {
        Node::Const(c) => c.into(),
        Node::Scalar { slot, ty } => convert(ty, scalars[slot as usize]),
        Node::Unary(op, a) => unary(op, f.ty(a), at(a)),
        Node::Binary(op, a, b) => binary(op, f.ty(a), at(a), at(b)),
        Node::Select(c, yes, no) => {
            if at(c).is_true() {
                at(yes)
            } else {
                at(no)
            }
        }
        Node::Cast(ty, a) => convert(ty, at(a)),
        Node::Input { .. } | Node::Index | Node::Length | Node::Reduce(..) => {
            panic!("{node:?} in a formula of scalars")
        }
    }
}

fn float(ty: Type, value: f64) -> Value {
    Value::F(if ty == Type::F32 { value as f32 as f64 } else { value })
}

fn int(ty: Type, value: i64) -> Value {
    Value::I(Constant::int(ty, value).as_i64())
}

/// Conversion as [`Node::Cast`]; floats out of an integer's range give its nearest value, NaN gives 0.
pub(crate) fn convert(ty: Type, value: Value) -> Value {
    match (ty, value) {
        (Type::Bool, v) => Value::I(v.is_true() as i64),
        (Type::I32, Value::F(v)) => Value::I(v as i32 as i64),
        (Type::F32, Value::I(v)) => Value::F(v as f32 as f64),
        (ty, v) if ty.is_float() => float(ty, v.as_f64()),
        (ty, v) => int(ty, v.as_i64()),
    }
}

/// A function of one operand of type `ty`.
pub(crate) fn unary(op: Unary, ty: Type, a: Value) -> Value {
    let Value::F(x) = a else {
        let x = a.as_i64();
        return match op {
            Unary::Neg => int(ty, x.wrapping_neg()),
            Unary::Abs => int(ty, x.wrapping_abs()),
            Unary::Sign => Value::I(x.signum()),
            Unary::Not if ty == Type::Bool => Value::I(1 - x),
            Unary::Not => int(ty, !x),
            Unary::IsNan => Value::I(0),
            Unary::IsFinite => Value::I(1),
            Unary::Floor | Unary::Ceil | Unary::Round | Unary::Detach => a,
            Unary::FromBits if ty == Type::I32 => Value::F(f32::from_bits(x as u32) as f64),
            Unary::FromBits => Value::F(f64::from_bits(x as u64)),
            op => panic!("{op:?} of an integer"),
        };
    };
    let value = match op {
        Unary::Neg => -x,
        Unary::Abs => x.abs(),
        Unary::Sign => (x > 0.0) as i8 as f64 - (x < 0.0) as i8 as f64,
        Unary::Exp => x.exp(),
        Unary::Exp2 => x.exp2(),
        Unary::Log => x.ln(),
        Unary::Log1p => x.ln_1p(),
        Unary::Expm1 => x.exp_m1(),
        Unary::Sqrt => x.sqrt(),
        Unary::Rsqrt => 1.0 / float(ty, x.sqrt()).as_f64(),
        Unary::Sin => x.sin(),
        Unary::Cos => x.cos(),
        Unary::Tanh => x.tanh(),
        Unary::Sigmoid if x < 0.0 => x.exp() / (1.0 + x.exp()),
        Unary::Sigmoid => 1.0 / (1.0 + (-x).exp()),
        Unary::Erf => erf(x),
        Unary::Floor => x.floor(),
        Unary::Ceil => x.ceil(),
        Unary::Round => x.round_ties_even(),
        Unary::Detach => x,
        Unary::Not => return Value::I((x == 0.0) as i64),
        Unary::IsNan => return Value::I(x.is_nan() as i64),
        Unary::IsFinite => return Value::I(x.is_finite() as i64),
        Unary::Bits if ty == Type::F32 => return Value::I((x as f32).to_bits() as i32 as i64),
        Unary::Bits => return Value::I(x.to_bits() as i64),
        Unary::RoundBf16 => nearest(x, 7, -126, f32::MAX as f64),
        Unary::RoundF16 => nearest(x, 10, -14, 65504.0),
        Unary::FromBits => panic!("{op:?} of a float"),
    };
    float(ty, value)
}

/// A function of two operands of type `ty`.
pub(crate) fn binary(op: Binary, ty: Type, a: Value, b: Value) -> Value {
    match (a, b) {
        (Value::F(a), Value::F(b)) => binary_float(op, ty, a, b),
        _ => binary_int(op, ty, a.as_i64(), b.as_i64()),
    }
}

fn binary_float(op: Binary, ty: Type, a: f64, b: f64) -> Value {
    let round = |v: f64| float(ty, v).as_f64();
    let value = match op {
        Binary::Add => a + b,
        Binary::Sub => a - b,
        Binary::Mul => a * b,
        Binary::Div => a / b,
        Binary::FloorDiv => floor_div_float(a, b, round),
        Binary::Rem => rem_float(a, b),
        Binary::Pow if b == 2.0 => a * a,
        Binary::Pow => a.powf(b),
        Binary::Min | Binary::Max if a.is_nan() || b.is_nan() => f64::NAN,
        // of two zeros of either sign the second, as processors do it
        Binary::Min => {
            if a < b {
                a
            } else {
                b
            }
        }
        Binary::Max => {
            if a > b {
                a
            } else {
                b
            }
        }
        Binary::Atan2 => a.atan2(b),
        Binary::Eq => return Value::I((a == b) as i64),
        Binary::Ne => return Value::I((a != b) as i64),
        Binary::Lt => return Value::I((a < b) as i64),
        Binary::Le => return Value::I((a <= b) as i64),
        Binary::And
        | Binary::Or
        | Binary::Xor
        | Binary::Shl
        | Binary::Shr
        | Binary::Ushr
        | Binary::Within => {
            panic!("{op:?} of floats")
        }
    };
    float(ty, value)
}

fn binary_int(op: Binary, ty: Type, a: i64, b: i64) -> Value {
    let value = match op {
        Binary::Add => a.wrapping_add(b),
        Binary::Sub => a.wrapping_sub(b),
        Binary::Mul => a.wrapping_mul(b),
        Binary::FloorDiv => floor_div(a, b),
        Binary::Rem => a.wrapping_sub(b.wrapping_mul(floor_div(a, b))),
        Binary::Pow => power(ty, a, b),
        Binary::Min => a.min(b),
        Binary::Max => a.max(b),
        Binary::And => a & b,
        Binary::Or => a | b,
        Binary::Xor => a ^ b,
        Binary::Eq => (a == b) as i64,
        Binary::Ne => (a != b) as i64,
        Binary::Lt => (a < b) as i64,
        Binary::Le => (a <= b) as i64,
        Binary::Shl if ty == Type::I32 => a << (b & 31),
        Binary::Shr if ty == Type::I32 => a >> (b & 31),
        Binary::Ushr if ty == Type::I32 => (a as u32 >> (b & 31)) as i64,
        Binary::Shl => a << (b & 63),
        Binary::Shr => a >> (b & 63),
        Binary::Ushr => (a as u64 >> (b & 63)) as i64,
        Binary::Within => a,
        Binary::Div | Binary::Atan2 => panic!("{op:?} of integers"),
    };
    if matches!(op, Binary::Eq | Binary::Ne | Binary::Lt | Binary::Le) {
        Value::I(value)
    } else {
        int(ty, value)
    }
}

/// The nearest number with `bits` binary places at an exponent of at least `least`, ties to even; beyond `most` infinite.
fn nearest(x: f64, bits: i32, least: i32, most: f64) -> f64 {
    if x == 0.0 || !x.is_finite() {
        return x;
    }
    let exponent = (x.to_bits() >> 52 & 0x7ff) as i32 - 1023;
    let unit = 2f64.powi(exponent.max(least) - bits);
    let rounded = (x / unit).round_ties_even() * unit;
    if rounded.abs() > most { f64::INFINITY.copysign(x) } else { rounded }
}

/// Not through the rounded quotient: `7 // 0.01` is 699, because 0.01 is a little more than a hundredth. With an infinite
/// operand it is `floor(a / b)`, as the Array API standard prefers.
fn floor_div_float(a: f64, b: f64, round: impl Fn(f64) -> f64) -> f64 {
    if b == 0.0 || a.is_infinite() || b.is_infinite() {
        return (a / b).floor();
    }
    let rest = a % b;
    let mut quotient = round(round(a - rest) / b);
    if rest != 0.0 && (rest < 0.0) != (b < 0.0) {
        quotient = round(quotient - 1.0);
    }
    if quotient == 0.0 {
        return 0f64.copysign(a / b);
    }
    let floor = quotient.floor();
    if quotient - floor > 0.5 { round(floor + 1.0) } else { floor }
}

/// Of the divisor's sign, a remainder of 0 as well.
fn rem_float(a: f64, b: f64) -> f64 {
    let rest = a % b;
    if rest == 0.0 {
        return 0f64.copysign(b);
    }
    if (rest < 0.0) != (b < 0.0) { rest + b } else { rest }
}

fn floor_div(a: i64, b: i64) -> i64 {
    if b == 0 {
        return 0;
    }
    let (quotient, remainder) = (a.wrapping_div(b), a.wrapping_rem(b));
    if remainder != 0 && (remainder < 0) != (b < 0) { quotient - 1 } else { quotient }
}

/// Negative exponents round towards zero: only of 1 and -1 is anything left.
fn power(ty: Type, a: i64, b: i64) -> i64 {
    match (a, b) {
        (1, _) => 1,
        (-1, b) => 1 - 2 * (b & 1),
        (_, ..0) => 0,
        _ => {
            let (mut result, mut base, mut exponent) = (1i64, a, b);
            while exponent > 0 {
                if exponent & 1 == 1 {
                    result = result.wrapping_mul(base);
                }
                base = base.wrapping_mul(base);
                exponent >>= 1;
            }
            int(ty, result).as_i64()
        }
    }
}

fn reduce(op: Reduction, ty: Type, values: impl Iterator<Item = Value>) -> Value {
    let combine = match op {
        Reduction::Sum => Binary::Add,
        Reduction::Prod => Binary::Mul,
        Reduction::Max => Binary::Max,
        Reduction::Min => Binary::Min,
    };
    if ty.is_float() {
        let start = match op {
            Reduction::Sum => 0.0,
            Reduction::Prod => 1.0,
            Reduction::Max => f64::NEG_INFINITY,
            Reduction::Min => f64::INFINITY,
        };
        convert(ty, values.fold(Value::F(start), |a, b| binary(combine, Type::F64, a, b)))
    } else {
        values.reduce(|a, b| binary(combine, ty, a, b)).unwrap_or(int(ty, (op == Reduction::Prod) as i64))
    }
}

/// `2/sqrt(pi) exp(-x^2) sum 2^n x^(2n+1) / (1 3 5 ... (2n+1))`: all terms have one sign, so nothing cancels.
fn erf(x: f64) -> f64 {
    if x.is_nan() || x.abs() > 6.0 {
        return if x.is_nan() { x } else { x.signum() };
    }
    let (mut term, mut sum, mut n) = (x, x, 1.0);
    while term.abs() > f64::EPSILON * 0.1 * sum.abs() {
        term *= 2.0 * x * x / (2.0 * n + 1.0);
        sum += term;
        n += 1.0;
    }
    (std::f64::consts::FRAC_2_SQRT_PI * (-x * x).exp() * sum).clamp(-1.0, 1.0)
}
