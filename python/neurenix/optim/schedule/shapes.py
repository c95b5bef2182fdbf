"""The basic shapes. `t` is the step from 0; p = min(t/steps, 1) is how much of the way is done."""

from __future__ import annotations

import math
from collections.abc import Sequence

from .base import schedule


def _progress(t: float, steps: int) -> float:
    return 1.0 if t >= steps else t / steps


@schedule
def constant(t: float, value: float) -> float:
    """Always `value`.

    >>> constant(0.1)(1000)
    0.1
    """
    return value


@schedule
def linear(t: float, start: float, end: float, *, steps: int) -> float:
    """From `start` to `end` in equal steps: start + (end − start)·p.

    >>> [linear(1.0, 0.0, steps=4)(t) for t in (0, 1, 4, 9)]
    [1.0, 0.75, 0.0, 0.0]
    """
    p = _progress(t, steps)
    return end if p == 1 else start + (end - start) * p


@schedule
def step(t: float, value: float, *, every: int, gamma: float = 0.1) -> float:
    """`value` times gamma once more after `every` steps: value·γ^⌊t/every⌋.

    >>> [step(1.0, every=10, gamma=0.5)(t) for t in (0, 9, 10, 25)]
    [1.0, 1.0, 0.5, 0.25]
    """
    return float(value * gamma ** (t // every))


@schedule
def multi_step(t: float, value: float, *, milestones: Sequence[float], gamma: float = 0.1) -> float:
    """`value` times gamma at each milestone (one that is given twice counts twice): value·γ^#{m ≤ t}.

    >>> [multi_step(1.0, milestones=[10, 30], gamma=0.5)(t) for t in (9, 10, 29, 30)]
    [1.0, 0.5, 0.5, 0.25]
    """
    return float(value * gamma ** sum(m <= t for m in milestones))


@schedule
def exponential(t: float, value: float, *, gamma: float, steps: int = 1) -> float:
    """`value` times gamma in every `steps` steps, smoothly: value·γ^(t/steps). It has no end.

    >>> [exponential(1.0, gamma=0.5)(t) for t in (0, 1, 3)]
    [1.0, 0.5, 0.125]
    """
    if gamma < 0 or steps < 1:
        raise ValueError(f"exponential: gamma must be ≥ 0 and steps ≥ 1, got {gamma!r} and {steps!r}")
    return float(value * gamma ** (t / steps))


@schedule
def polynomial(t: float, value: float, *, steps: int, end: float = 0.0, power: float = 1.0) -> float:
    """From `value` to `end` as a power: end + (value − end)·(1 − p)^power.

    >>> [polynomial(1.0, steps=4, power=2)(t) for t in (0, 2, 4, 5)]
    [1.0, 0.25, 0.0, 0.0]
    """
    if power <= 0:
        raise ValueError(f"polynomial: power must be > 0, got {power!r}")
    return float(end + (value - end) * (1 - _progress(t, steps)) ** power)


@schedule
def cosine(t: float, value: float, *, steps: int, end: float = 0.0) -> float:
    """From `value` to `end` along half a cosine: end + (value − end)·(1 + cos πp)/2.

    Unlike torch's it stays at `end` instead of rising again.

    >>> [round(cosine(1.0, steps=4)(t), 6) for t in (0, 1, 2, 4, 8)]
    [1.0, 0.853553, 0.5, 0.0, 0.0]

    References:
        I. Loshchilov, F. Hutter, SGDR: stochastic gradient descent with warm restarts, arXiv 1608.03983.
    """
    return end + (value - end) * (1 + math.cos(math.pi * _progress(t, steps))) / 2
