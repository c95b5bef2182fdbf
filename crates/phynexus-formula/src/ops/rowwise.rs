//! Formulas with reductions over the row.

use crate::expr::Expr;
use crate::{Reduction, Type};

/// The row shifted so that its maximum is 0, which changes neither softmax nor its derivatives: hence detached.
fn shifted(x: Expr) -> Expr {
    x - x.reduce(Reduction::Max).detach()
}

pub(super) fn softmax(x: Expr) -> Expr {
    let e = shifted(x).exp();
    e / e.sum()
}

pub(super) fn log_softmax(x: Expr) -> Expr {
    let z = shifted(x);
    z - z.exp().sum().log()
}

/// A row of nothing but -inf gives -inf: an infinite maximum is not subtracted.
pub(super) fn logsumexp(x: Expr) -> Expr {
    let max = x.reduce(Reduction::Max).detach();
    let max = max.is_finite().select(max, 0.0);
    max + (x - max).exp().sum().log()
}

/// Mean, and variance with divisor `n - correction`, in two passes.
pub(super) fn moments<'g>(x: &[Expr<'g>], s: &[Expr<'g>]) -> Vec<Expr<'g>> {
    let mean = x[0].mean();
    let d = x[0] - mean;
    let divisor = d.length() - s[0];
    vec![mean, (d * d).sum() / divisor.except(divisor.lt(0.0), 0.0)]
}

/// The derivative of a row of zeros is 0, as PyTorch's.
pub(super) fn norm2(x: Expr) -> Expr {
    let squares = (x * x).sum();
    let zero = squares.eq(0.0);
    squares.except(zero, 1.0).sqrt().except(zero, 0.0)
}

pub(super) fn layer_norm<'g>(x: Expr<'g>, eps: Expr<'g>) -> Expr<'g> {
    let d = x - x.mean();
    d * ((d * d).mean() + eps).rsqrt()
}

pub(super) fn rms_norm<'g>(x: Expr<'g>, eps: Expr<'g>) -> Expr<'g> {
    x * ((x * x).mean() + eps).rsqrt()
}

/// Inputs: logits, label, perhaps a weight for each class; scalars: label to ignore, label smoothing.
/// Results: the loss, and the weight that a mean divides by (0 where the label is ignored).
pub(super) fn cross_entropy<'g>(x: &[Expr<'g>], s: &[Expr<'g>]) -> Vec<Expr<'g>> {
    // What is said of the label is computed once for each row.
    let (label, smoothing) = (x[1].reduce(Reduction::Max), s[1]);
    let z = shifted(x[0]);
    let log_sum = z.exp().sum().log();
    let valid = label.ne(s[0].cast(label.ty()));
    let class = valid.select(label, 0.0).within(label.length()).cast(Type::I32);
    let class = valid.select(class, -1.0);
    let hit = class.index(Type::I32).eq(class);
    let picked = |value: Expr<'g>| hit.select(value, 0.0).sum();
    let (weight, all) = match x.get(2) {
        None => (valid.select(z.number(1.0), 0.0), log_sum * z.length() - z.sum()),
        Some(&w) => (picked(w), (w * (log_sum - z)).sum()),
    };
    let own = weight * (log_sum - picked(z));
    // Without smoothing the sum over all classes may be infinite, and must not become 0 * inf.
    let spread = smoothing.gt(0.0).select(smoothing / z.length() * all, 0.0);
    vec![valid.select((1.0 - smoothing) * own + spread, 0.0), weight]
}

/// Inputs: logits, probabilities, perhaps a weight for each class; scalar: label smoothing.
pub(super) fn cross_entropy_soft<'g>(x: &[Expr<'g>], s: &[Expr<'g>]) -> Vec<Expr<'g>> {
    let target = (1.0 - s[0]) * x[1] + s[0] / x[1].length();
    let target = x.get(2).map_or(target, |&w| w * target);
    vec![-(target * log_softmax(x[0])).sum()]
}
