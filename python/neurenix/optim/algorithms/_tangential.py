"""Updates that leave the length of scale-invariant weights alone."""

from __future__ import annotations

from collections.abc import Sequence

from ..formula import Value, abs_, count, largest, maximum, sqrt, total, where


def tangential(
    p: Value, g: Value, u: Value, delta: Value, wd_ratio: Value, eps: Value
) -> tuple[Value, Value]:
    """An update without its part along the weights, where the gradient says that these are scale-invariant.

    That is tried for each row of a matrix, then for all of it. Also what weight decay is multiplied by.
    """
    sums = [total(x, axis=-1) for x in (p * g, p * p, g * g, p * u)]
    cosine, part = _along(sums, eps)
    rows = largest(cosine) < delta / sqrt(count(p, axis=-1))
    cosine, whole_part = _along([total(x) for x in sums], eps)
    whole = cosine < delta / sqrt(count(p))
    return u - p * where(rows, part, where(whole, whole_part, 0)), where(rows | whole, wd_ratio, 1)


def _along(sums: Sequence[Value], eps: Value) -> tuple[Value, Value]:
    """From the sums of p·g, p·p, g·g and p·u: |cos(p, g)|, and how often p is in u."""
    pg, pp, gg, pu = sums
    length = sqrt(pp)
    return abs_(pg) / maximum(length * sqrt(gg), eps), pu / ((length + eps) * (length + eps))
