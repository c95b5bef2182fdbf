//! Elementwise losses, before weighting and reduction.

use crate::expr::Expr;

/// `log` is not followed below this, as PyTorch has it: the result stays finite ...
const LOG_FLOOR: f64 = -100.0;
/// ... and below this probability the slope is that of PyTorch's derivative, which divides by no less.
const LEAST: f64 = 1e-12;

pub(super) fn squared_error<'g>(prediction: Expr<'g>, target: Expr<'g>) -> Expr<'g> {
    let d = prediction - target;
    d * d
}

/// `beta` = 0 is the absolute error; the division must not be by it.
pub(super) fn smooth_l1<'g>(prediction: Expr<'g>, target: Expr<'g>, beta: Expr<'g>) -> Expr<'g> {
    let d = (prediction - target).abs();
    let divisor = beta.gt(0.0).select(beta, 1.0);
    d.lt(beta).select(0.5 * d * d / divisor, d - 0.5 * beta)
}

pub(super) fn huber<'g>(prediction: Expr<'g>, target: Expr<'g>, delta: Expr<'g>) -> Expr<'g> {
    let d = (prediction - target).abs();
    d.le(delta).select(0.5 * d * d, delta * (d - 0.5 * delta))
}

pub(super) fn bce<'g>(p: Expr<'g>, target: Expr<'g>) -> Expr<'g> {
    // The logarithm of `distance` (p or 1 - p) as `log(p)`, or where the distance is tiny its value without a
    // derivative plus a zero whose derivative is `slope`.
    let bounded = |distance: Expr<'g>, slope: f64, safe: f64, log: fn(Expr<'g>) -> Expr<'g>| {
        let tiny = distance.lt(LEAST);
        let flat = log(p.detach()).max(LOG_FLOOR).detach() + slope * (p - p.detach());
        tiny.select(flat, log(p.except(tiny, safe)))
    };
    let log_p = bounded(p, 1.0 / LEAST, 1.0, |p| p.log());
    let log_q = bounded(1.0 - p, -1.0 / LEAST, 0.0, |p| (-p).log1p());
    (target - 1.0) * log_q - target * log_p
}

/// `log(1 + exp(-|x|))` never overflows; positive targets weigh `weight`.
pub(super) fn bce_with_logits<'g>(x: Expr<'g>, target: Expr<'g>, weight: Expr<'g>) -> Expr<'g> {
    let softplus = (-x).max(0.0) + (-x.abs()).exp().log1p();
    (1.0 - target) * x + ((weight - 1.0) * target + 1.0) * softplus
}

/// `target * (log(target) - input)`, 0 where the target is 0.
pub(super) fn kl_div<'g>(input: Expr<'g>, target: Expr<'g>) -> Expr<'g> {
    target * target.except(target.eq(0.0), 1.0).log() - target * input
}
