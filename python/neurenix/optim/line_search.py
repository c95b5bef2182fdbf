"""How far to go along a direction."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

from neurenix._phynexus import Tensor


class Point(NamedTuple):
    """What is known of the loss at x + t·d."""

    t: float
    loss: float
    gradient: Tensor
    slope: float
    """Along d, the derivative by t."""

    @property
    def finite(self) -> bool:
        """Whether loss and gradient are numbers."""
        return math.isfinite(self.loss) and bool(self.gradient.isfinite().all())


def strong_wolfe(
    evaluate: Callable[[float], Point],
    start: Point,
    t: float,
    extent: float,
    tolerance: float,
    trials: int,
    decrease: float = 1e-4,
    curvature: float = 0.9,
) -> tuple[Point, int]:
    """A point with enough decrease and a flat enough slope: f(t) ≤ f(0) + c₁·t·f'(0), |f'(t)| ≤ c₂·|f'(0)|.

    Steps grow until they enclose such a point; the enclosure then shrinks around it, by cubic interpolation.
    From where the loss is no number the search goes back by halves.

    Args:
        evaluate: the point at t.
        start: the point at 0; its slope must be negative.
        t: the first step to try.
        extent: largest element of |d|, which makes changes of t comparable with `tolerance`.
        tolerance: an enclosure that moves no parameter by this much is not divided further.
        trials: how many points to try after the first.
        decrease: c₁.
        curvature: c₂.

    Returns:
        The best point that was found, and how often `evaluate` was called.

    References:
        J. Nocedal, S. Wright, Numerical optimization, 2nd edition, algorithms 3.5 and 3.6.
    """

    def too_high(point: Point) -> bool:
        return point.loss > start.loss + decrease * point.t * start.slope

    def flat(point: Point) -> bool:
        return abs(point.slope) <= -curvature * start.slope

    before, point, used = start, evaluate(t), 0
    ends = None
    while ends is None and used < trials:
        if not point.finite:
            point = evaluate((before.t + point.t) / 2)
            used += 1
        elif too_high(point) or (used > 1 and point.loss >= before.loss):
            ends = [before, point]
        elif flat(point):
            return point, used + 1
        elif point.slope >= 0:
            ends = [before, point]
        else:
            t = cubic_minimum(before, point, point.t + 0.01 * (point.t - before.t), 10 * point.t)
            before, point = point, evaluate(t)
            used += 1
    if not point.finite:
        return before, used + 1
    ends = ends or [start, point]

    low, high = _by_loss(ends)
    near_end = False
    while used < trials and abs(ends[1].t - ends[0].t) * extent >= tolerance:
        left, right = sorted((ends[0].t, ends[1].t))
        t = cubic_minimum(ends[0], ends[1], left, right)
        margin = 0.1 * (right - left)
        if min(right - t, t - left) >= margin:
            near_end = False
        elif near_end or t >= right or t <= left:
            t = right - margin if abs(t - right) < abs(t - left) else left + margin
            near_end = False
        else:
            near_end = True  # once is allowed
        point = evaluate(t)
        used += 1
        if not point.finite:
            break
        if too_high(point) or point.loss >= ends[low].loss:
            ends[high] = point
            low, high = _by_loss(ends)
        elif flat(point):
            return point, used + 1
        else:
            if point.slope * (ends[high].t - ends[low].t) >= 0:
                ends[high] = ends[low]
            ends[low] = point
    return ends[low], used + 1


def cubic_minimum(a: Point, b: Point, low: float, high: float) -> float:
    """Where in [low, high] the cubic with these values and slopes is least; the middle if it has no minimum."""
    if a.t > b.t:
        a, b = b, a
    middle = (low + high) / 2
    if a.t == b.t:
        return middle
    bend = a.slope + b.slope - 3 * (a.loss - b.loss) / (a.t - b.t)
    square = bend**2 - a.slope * b.slope
    root = math.sqrt(square) if square >= 0 else math.nan
    divisor = b.slope - a.slope + 2 * root
    t = b.t - (b.t - a.t) * ((b.slope + root - bend) / divisor) if divisor else math.nan
    return middle if math.isnan(t) else min(max(t, low), high)


def _by_loss(ends: list[Point]) -> tuple[int, int]:
    """The places of the better and the worse end."""
    return (0, 1) if ends[0].loss <= ends[1].loss else (1, 0)
