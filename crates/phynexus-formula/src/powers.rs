//! Powers with a small constant exponent as products and roots.
//!
//! The value of a power keeps its special cases; of a float it may differ in the last two bits, since each product is rounded.
//! Until a kernel is made a power stays a power, because its derivative is again one.

use crate::expr::{Expr, infix};
use crate::{Binary, Builder, Id, Node, Type};

/// The largest whole part of a float's exponent that becomes products: more of them would round too often.
const MOST: f64 = 4.0;
/// The same of an integer's, whose products are exact.
const MOST_WHOLE: f64 = 64.0;

/// Whether a power of numbers of this type with this exponent becomes products and roots.
///
/// ```
/// use phynexus_formula::{Type, is_product};
/// assert!(is_product(Type::F32, -1.5) && !is_product(Type::F32, 0.3));
/// ```
pub fn is_product(ty: Type, exponent: f64) -> bool {
    match ty {
        Type::F32 | Type::F64 => {
            let whole = exponent.fract() == 0.0 && exponent.abs() <= MOST;
            whole || exponent.abs() == 0.5 || exponent.abs() == 1.5
        }
        Type::I32 | Type::I64 => exponent.fract() == 0.0 && (0.0..=MOST_WHOLE).contains(&exponent),
        Type::Bool => false,
    }
}

/// The products and roots that a node is, if it is a power with such an exponent.
pub(crate) fn expand(b: &mut Builder, node: Node) -> Option<Id> {
    let Node::Binary(Binary::Pow, base, exponent) = node else { return None };
    let Node::Const(c) = b.node(exponent) else { return None };
    let (ty, n) = (b.ty(base), c.as_f64());
    if !is_product(ty, n) {
        return None;
    }
    infix(b, &[base], &[], |x, _| vec![power(x[0], n)]).pop()
}

fn power(x: Expr<'_>, n: f64) -> Expr<'_> {
    if n.fract() == 0.0 {
        let size = whole(x, n.abs() as u32);
        return if n < 0.0 { 1.0 / size } else { size };
    }
    // Of minus zero and of minus infinity a power to a half is that of plus zero and plus infinity, unlike a root.
    let positive = x + 0.0;
    let root = if n == -0.5 { positive.rsqrt() } else { positive.sqrt() };
    let size = if n.abs() == 1.5 { positive * root } else { root };
    let size = if n == -1.5 { 1.0 / size } else { size };
    let at_infinity = if n > 0.0 { f64::INFINITY } else { 0.0 };
    size.except(x.eq(f64::NEG_INFINITY), at_infinity)
}

/// By squaring.
fn whole(x: Expr<'_>, n: u32) -> Expr<'_> {
    match n {
        0 => x.number(1.0),
        1 => x,
        _ if n % 2 == 1 => whole(x, n - 1) * x,
        _ => {
            let half = whole(x, n / 2);
            half * half
        }
    }
}
