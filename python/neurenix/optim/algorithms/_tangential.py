"""Updates that leave the length of scale-invariant weights alone."""

from __future__ import annotations

from ..formula import Axis, Value, abs_, count, largest, maximum, norm, sqrt, total, where


def tangential(
    p: Value, g: Value, u: Value, delta: Value, wd_ratio: Value, eps: Value
) -> tuple[Value, Value]:
    """An update without its part along the weights, where the gradient says that these are scale-invariant.

    That is tried for each row of a matrix, then for all of it. Also what weight decay is multiplied by.
    """
    rows, whole = (_invariant(p, g, delta, eps, axis) for axis in (-1, None))
    ratio = where(rows | whole, wd_ratio, 1)
    return where(rows, _projected(p, u, eps, -1), where(whole, _projected(p, u, eps, None), u)), ratio


def _invariant(p: Value, g: Value, delta: Value, eps: Value, axis: Axis) -> Value:
    """Whether the gradient is nearly orthogonal to the weights everywhere."""
    cosine = total(p * g, axis) / maximum(norm(p, axis) * norm(g, axis), eps)
    most = largest(abs_(cosine)) if axis is not None else abs_(cosine)
    return most < delta / sqrt(count(p, axis))


def _projected(p: Value, u: Value, eps: Value, axis: Axis) -> Value:
    along = p / (norm(p, axis) + eps)
    return u - along * total(along * u, axis)
