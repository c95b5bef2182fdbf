//! Elementwise formulas that need more than a line.
//!
//! Where a branch of a select could overflow, its operand is replaced by a harmless one first: otherwise the
//! derivative of the branch that is not taken would be 0 * inf = NaN.

use crate::expr::Expr;
use crate::{Binary, Type, Unary};

/// Rounding to whole numbers leaves integers alone.
pub(super) fn to_integer(op: Unary, x: Expr) -> Expr {
    if x.ty().is_float() { x.unary(op) } else { x }
}

/// NaN for NaN, as the Array API standard has it; optimizers and derivatives use the node, which gives 0.
pub(super) fn sign(x: Expr) -> Expr {
    if x.ty().is_float() { is_nan(x).select(x.detach(), x.sign()) } else { x.sign() }
}

pub(super) fn truncated(x: Expr) -> Expr {
    if x.ty().is_float() { x.lt(0.0).select(x.unary(Unary::Ceil), x.unary(Unary::Floor)) } else { x }
}

/// Of the point (x, y), from the positive x axis.
pub(super) fn angle<'g>(y: Expr<'g>, x: Expr<'g>) -> Expr<'g> {
    y.binary(Binary::Atan2, x)
}

/// Of the right triangle of hypotenuse 1 that has `leg`; exact near 1 as well.
pub(super) fn other_leg(leg: Expr) -> Expr {
    ((1.0 - leg) * (1.0 + leg)).sqrt()
}

/// Not `max(x, 0)`: the derivative at 0 is 0, and it can be read off the result.
pub(super) fn relu(x: Expr) -> Expr {
    x.except(x.le(0.0), 0.0)
}

pub(super) fn elu<'g>(x: Expr<'g>, alpha: Expr<'g>) -> Expr<'g> {
    let positive = x.gt(0.0);
    positive.select(x, alpha * x.except(positive, 0.0).unary(Unary::Expm1))
}

pub(super) fn gelu(x: Expr) -> Expr {
    0.5 * x * (1.0 + (x * std::f64::consts::FRAC_1_SQRT_2).unary(Unary::Erf))
}

pub(super) fn gelu_tanh(x: Expr) -> Expr {
    let scale = std::f64::consts::FRAC_2_SQRT_PI * std::f64::consts::FRAC_1_SQRT_2;
    0.5 * x * (1.0 + (scale * (x + 0.044715 * (x * x * x))).tanh())
}

/// `log(1 + exp(beta x)) / beta`, and `x` itself above the threshold.
pub(super) fn softplus<'g>(x: Expr<'g>, beta: Expr<'g>, threshold: Expr<'g>) -> Expr<'g> {
    let scaled = x * beta;
    let linear = scaled.gt(threshold);
    linear.select(x, scaled.except(linear, 0.0).exp().log1p() / beta)
}

/// Not `max`, which splits the derivative at the bound: there it is 0, as PyTorch's.
pub(super) fn at_least<'g>(x: Expr<'g>, low: Expr<'g>) -> Expr<'g> {
    x.le(low).select(low, x)
}

pub(super) fn at_most<'g>(x: Expr<'g>, high: Expr<'g>) -> Expr<'g> {
    high.le(x).select(high, x)
}

pub(super) fn is_nan(x: Expr) -> Expr {
    if x.ty().is_float() { x.unary(Unary::IsNan) } else { x.ne(x) }
}

pub(super) fn is_finite(x: Expr) -> Expr {
    if x.ty().is_float() { x.is_finite() } else { x.eq(x) }
}

/// `|a - b| <= s[1] + s[0] |b|`, or the same infinity, or where s[2] is not 0 both NaN.
pub(super) fn is_close<'g>(x: &[Expr<'g>], s: &[Expr<'g>]) -> Expr<'g> {
    let distance = (x[0] - x[1]).abs();
    let near = is_finite(distance) & distance.le(s[1] + s[0] * x[1].abs());
    let either = |a: Expr<'g>, b: Expr<'g>| a.binary(Binary::Or, b);
    either(either(x[0].eq(x[1]), near), is_nan(x[0]) & is_nan(x[1]) & s[2].ne(0.0))
}

/// Arithmetic that truth values know too: plus and max are "or", times and min are "and".
pub(super) fn arithmetic<'g>(op: Binary, x: &[Expr<'g>]) -> Expr<'g> {
    let op = match op {
        Binary::Add | Binary::Max if x[0].ty() == Type::Bool => Binary::Or,
        Binary::Mul | Binary::Min if x[0].ty() == Type::Bool => Binary::And,
        op => op,
    };
    x[0].binary(op, x[1])
}

/// Comparison; truth values are compared as 0 and 1.
pub(super) fn less<'g>(op: Binary, a: Expr<'g>, b: Expr<'g>) -> Expr<'g> {
    if a.ty() == Type::Bool { a.cast(Type::I32).binary(op, b.cast(Type::I32)) } else { a.binary(op, b) }
}

/// From the nearer end, so that both ends are exact.
pub(super) fn lerp<'g>(a: Expr<'g>, b: Expr<'g>, weight: Expr<'g>) -> Expr<'g> {
    let near = weight.abs().lt(0.5);
    near.select(a + weight * (b - a), b - (b - a) * (1.0 - weight))
}
