"""Shapes that change at given steps."""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from itertools import accumulate
from operator import mul
from typing import Literal

from .arguments import Count, Length, Part, Value
from .base import schedule
from .shapes import FALLS, between, power


def at_step(part: Part, t: float) -> float:
    """The value of a number, a schedule or another function at a step."""
    return part(t) if callable(part) else part


@schedule
def step(t: float, value: Value, *, every: Length, gamma: Value = 0.1) -> float:
    """`value` times gamma once more after `every` steps: value·γ^⌊t/every⌋.

    >>> [step(1.0, every=10, gamma=0.5)(t) for t in (0, 9, 10, 25)]
    [1.0, 1.0, 0.5, 0.25]
    """
    return power(value, gamma, t // every)


@schedule
def multi_step(t: float, value: Value, *, milestones: Sequence[Value], gamma: Value = 0.1) -> float:
    """`value` times gamma at each milestone (one that is given twice counts twice): value·γ^#{m ≤ t}.

    >>> [multi_step(1.0, milestones=[10, 30], gamma=0.5)(t) for t in (9, 10, 29, 30)]
    [1.0, 0.5, 0.5, 0.25]
    """
    return power(value, gamma, sum(m <= t for m in milestones))


@schedule
def piecewise_constant(
    t: float,
    values: Sequence[Value],
    *,
    at: Sequence[Count],
    relative: bool = False,
    inclusive: bool = False,
) -> float:
    """One value after the other: the i-th begins at step `at[i - 1]`.

    Args:
        t: the step.
        values: n values ≥ 0.
        at: n − 1 steps, rising.
        relative: whether each value but the first is a factor of the one before (optax).
        inclusive: whether the step `at[i - 1]` itself still has the value before (Keras).

    >>> [piecewise_constant([1.0, 0.5, 0.1], at=[2, 3])(t) for t in range(5)]
    [1.0, 1.0, 0.5, 0.1, 0.1]
    >>> [piecewise_constant([1.0, 0.5, 0.5], at=[2, 3], relative=True, inclusive=True)(t) for t in range(5)]
    [1.0, 1.0, 1.0, 0.5, 0.25]
    """
    check_places("piecewise_constant", "values", values, at, first=0)
    values = tuple(accumulate(values, mul)) if relative else values
    return values[(bisect_left if inclusive else bisect_right)(at, t)]


@schedule
def piecewise_interpolate(
    t: float,
    values: Sequence[Value],
    *,
    at: Sequence[Count],
    shape: Literal["linear", "cosine"] = "linear",
    relative: bool = False,
) -> float:
    """From value to value: the first at step 0, the i-th at step `at[i - 1]`, the last from there on.

    Args:
        t: the step.
        values: n values ≥ 0.
        at: n − 1 steps > 0, rising.
        shape: of the ways between them.
        relative: whether each value but the first is a factor of the one before (optax).

    >>> [piecewise_interpolate([0.0, 1.0, 0.5], at=[2, 4])(t) for t in range(6)]
    [0.0, 0.5, 1.0, 0.75, 0.5, 0.5]
    """
    check_places("piecewise_interpolate", "values", values, at)
    values = tuple(accumulate(values, mul)) if relative else values
    place = bisect_right(at, t)
    if place == len(at):
        return values[-1]
    begin, end = (0, *at)[place : place + 2]
    q = (t - begin) / (end - begin)
    return between(values[place + 1], values[place], FALLS[shape](q, 1 - q))


@schedule
def multiplicative(t: float, value: Value, factor: Part) -> float:
    """`value` times the factors of all steps so far: value·∏ factor(i), i = 1…t.

    Each call multiplies anew, which takes time in proportion to t; a number as the factor is `exponential`.

    >>> [multiplicative(1.0, lambda i: i)(t) for t in range(5)]
    [1.0, 1.0, 2.0, 6.0, 24.0]
    """
    return value * math.prod(at_step(factor, i) for i in range(1, int(t) + 1))


@schedule
def range_test(
    t: float, value: Value, *, rate: Value = 1.0, every: Length = 2000, staircase: bool = False
) -> float:
    """Grows without end, to find the rate where training breaks: value·(1 + rate·t/every).

    Args:
        t: the step.
        value: the first value, ≥ 0.
        rate: growth in `every` steps, as a multiple of `value`.
        every: ≥ 1.
        staircase: whether at once after so many steps, ⌊t/every⌋, instead of smoothly.

    >>> [range_test(0.5, rate=5.0, every=10)(t) for t in (0, 10, 20)]
    [0.5, 3.0, 5.5]
    """
    return value * (1 + rate * (t // every if staircase else t / every))


def check_places(kind: str, name: str, values: Sequence[object], at: Sequence[int], first: int = 1) -> None:
    """That the places between n parts are n − 1 rising steps from `first`."""
    if len(values) != len(at) + 1:
        raise ValueError(
            f"{kind}: n {name} need n - 1 steps in `at`, got {len(values)} {name} and at={list(at)!r}"
        )
    if any(b <= a for a, b in zip((first - 1, *at), at, strict=False)):
        raise ValueError(f"{kind}: at must rise from {first} or above, got {list(at)!r}")
