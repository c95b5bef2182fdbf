//! Algebra that keeps every bit (of NaNs only that they are NaN).
//!
//! Constants are folded as [`crate::evaluate`] computes them. Floats are never reassociated, and rules that fail for
//! infinities, NaN or the sign of zero (`x * 0`, `x - x`, `x + 0`) are left to integers.

use crate::eval::{self, Value};
use crate::{Binary, Builder, Constant, Id, Node, Rank, Reduction, Type, Unary};

/// What the node is equal to, if that is simpler.
pub(crate) fn simplify(b: &mut Builder, node: Node) -> Option<Id> {
    match node {
        Node::Unary(op, a) => unary(b, op, a),
        Node::Binary(op, x, y) => binary(b, op, x, y),
        Node::Select(c, yes, no) => select(b, c, yes, no),
        Node::Cast(ty, a) => cast(b, ty, a),
        Node::Reduce(op, a) => reduce(b, op, a),
        _ => None,
    }
}

fn known(b: &Builder, id: Id) -> Option<Constant> {
    if let Node::Const(c) = b.node(id) { Some(c) } else { None }
}

/// Whether the node is exactly this number, the sign of zero included.
fn is(b: &Builder, id: Id, value: f64) -> bool {
    known(b, id) == Some(Constant::number(b.ty(id), value))
}

fn constant(b: &mut Builder, ty: Type, value: Value) -> Option<Id> {
    Some(b.constant(match value {
        Value::F(v) => Constant::float(ty, v),
        Value::I(v) => Constant::int(ty, v),
    }))
}

fn unary(b: &mut Builder, op: Unary, a: Id) -> Option<Id> {
    let ty = b.ty(a);
    if let Some(c) = known(b, a) {
        return constant(b, op.result(ty), eval::unary(op, ty, c.into()));
    }
    match (op, b.node(a)) {
        (Unary::Neg, Node::Unary(Unary::Neg, x)) => Some(x),
        (Unary::Not, Node::Unary(Unary::Not, x)) if b.ty(x) == Type::Bool => Some(x),
        (Unary::Abs, Node::Unary(Unary::Neg | Unary::Abs, x)) => Some(b.unary(Unary::Abs, x)),
        (Unary::FromBits, Node::Unary(Unary::Bits, x)) => Some(x),
        (Unary::Detach, Node::Unary(Unary::Detach, _)) => Some(a),
        // Nothing is ever differentiated with respect to these.
        (Unary::Detach, _) if !ty.is_float() || b.rank(a) == Rank::Scalar => Some(a),
        _ => None,
    }
}

fn binary(b: &mut Builder, op: Binary, x: Id, y: Id) -> Option<Id> {
    let ty = b.ty(x);
    if let (Some(p), Some(q)) = (known(b, x), known(b, y)) {
        let result = if is_comparison(op) { Type::Bool } else { ty };
        return constant(b, result, eval::binary(op, ty, p.into(), q.into()));
    }
    let whole = !ty.is_float();
    let negated = |b: &Builder, id| if let Node::Unary(Unary::Neg, v) = b.node(id) { Some(v) } else { None };
    match op {
        Binary::Add if whole && is(b, x, 0.0) || ty.is_float() && is(b, x, -0.0) => return Some(y),
        Binary::Add if whole && is(b, y, 0.0) || ty.is_float() && is(b, y, -0.0) => return Some(x),
        Binary::Add if let Some(v) = negated(b, y) => return Some(b.sub(x, v)),
        Binary::Add if let Some(v) = negated(b, x) => return Some(b.sub(y, v)),
        Binary::Sub if is(b, y, 0.0) => return Some(x),
        Binary::Sub if let Some(v) = negated(b, y) => return Some(b.add(x, v)),
        Binary::Sub if ty.is_float() && is(b, x, -0.0) => return Some(b.neg(y)),
        Binary::Mul if is(b, x, 1.0) => return Some(y),
        Binary::Mul if is(b, y, 1.0) => return Some(x),
        Binary::Mul if whole && is(b, x, 0.0) => return Some(x),
        Binary::Mul if whole && is(b, y, 0.0) => return Some(y),
        Binary::Div if is(b, y, 1.0) => return Some(x),
        Binary::Div if let Some(inverse) = exact_inverse(b, y) => {
            let inverse = b.number(ty, inverse);
            return Some(b.mul(x, inverse));
        }
        Binary::FloorDiv if whole && is(b, y, 1.0) => return Some(x),
        Binary::Shl | Binary::Shr | Binary::Ushr if is(b, y, 0.0) => return Some(x),
        Binary::Pow if is(b, y, 1.0) => return Some(x),
        Binary::Pow if is(b, y, 0.0) => return Some(b.number(ty, 1.0)),
        Binary::Pow if is(b, y, 2.0) => return Some(b.mul(x, x)),
        Binary::Min | Binary::Max | Binary::And | Binary::Or if x == y => return Some(x),
        Binary::Sub | Binary::Xor if whole && x == y => return Some(b.number(ty, 0.0)),
        Binary::And if ty == Type::Bool && (is(b, x, 0.0) || is(b, y, 1.0)) => return Some(x),
        Binary::And if ty == Type::Bool && (is(b, y, 0.0) || is(b, x, 1.0)) => return Some(y),
        Binary::Or if ty == Type::Bool && (is(b, x, 1.0) || is(b, y, 0.0)) => return Some(x),
        Binary::Or if ty == Type::Bool && (is(b, y, 1.0) || is(b, x, 0.0)) => return Some(y),
        _ => {}
    }
    // One order for both, so that they are found to be the same node.
    let commutes = matches!(op, Binary::Add | Binary::Mul | Binary::Eq | Binary::Ne)
        || matches!(op, Binary::And | Binary::Or | Binary::Xor);
    (commutes && y < x).then(|| b.insert(Node::Binary(op, y, x)))
}

pub(crate) fn is_comparison(op: Binary) -> bool {
    matches!(op, Binary::Eq | Binary::Ne | Binary::Lt | Binary::Le)
}

/// `1/c` if that is exact and normal in the type: for powers of two.
fn exact_inverse(b: &Builder, id: Id) -> Option<f64> {
    let c = known(b, id).filter(|c| c.ty.is_float())?.as_f64();
    let limit = if b.ty(id) == Type::F32 { 126 } else { 1022 };
    let exponent = (c.to_bits() >> 52 & 0x7ff) as i64 - 1023;
    let power_of_two = c.to_bits() << 12 == 0;
    (power_of_two && exponent.abs() <= limit).then(|| 1.0 / c)
}

fn select(b: &mut Builder, c: Id, yes: Id, no: Id) -> Option<Id> {
    if yes == no {
        return Some(yes);
    }
    if let Some(c) = known(b, c) {
        return Some(if c.as_i64() != 0 { yes } else { no });
    }
    if let Node::Unary(Unary::Not, c) = b.node(c)
        && b.ty(c) == Type::Bool
    {
        return Some(b.select(c, no, yes));
    }
    if b.ty(yes) == Type::Bool && is(b, yes, 1.0) && is(b, no, 0.0) {
        return Some(c);
    }
    // The same question asked again inside an arm has its answer.
    match (b.node(yes), b.node(no)) {
        (Node::Select(again, yes, _), _) if again == c => Some(b.select(c, yes, no)),
        (_, Node::Select(again, _, no)) if again == c => Some(b.select(c, yes, no)),
        _ => None,
    }
}

fn cast(b: &mut Builder, ty: Type, a: Id) -> Option<Id> {
    if let Some(c) = known(b, a) {
        return constant(b, ty, eval::convert(ty, c.into()));
    }
    match b.node(a) {
        Node::Cast(middle, x) if widens(b.ty(x), middle) => Some(b.cast(ty, x)),
        _ => None,
    }
}

/// Whether every value of `from` is also one of `to`.
fn widens(from: Type, to: Type) -> bool {
    use Type::*;
    matches!((from, to), (F32, F64) | (I32, I64 | F64)) || from == Bool
}

/// The extremum of a row of equals is one of them.
fn reduce(b: &mut Builder, op: Reduction, a: Id) -> Option<Id> {
    match op {
        Reduction::Max | Reduction::Min if b.rank(a) < Rank::Element => Some(a),
        Reduction::Sum if is(b, a, 0.0) => Some(a),
        Reduction::Prod if is(b, a, 1.0) => Some(a),
        _ => None,
    }
}
