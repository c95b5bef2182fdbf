"""Schedules made of schedules. Where one is expected, a number or any function of the step will do too."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Callable, Sequence
from typing import TypeAlias

from .base import Schedule, schedule
from .shapes import cosine

Part: TypeAlias = Callable[[float], float] | float


def _at(part: Part, t: float) -> float:
    return part(t) if callable(part) else part


@schedule
def warmup(t: float, then: Part, *, steps: int, start: str = "one") -> float:
    """Rises in `steps` steps to the first value of `then`, which begins after them.

    Args:
        t: the step.
        then: what follows.
        steps: length of the rise.
        start: "one" begins with 1/steps of the value, (t + 1)/steps, so that no step is lost; "zero" begins
            with 0, t/steps.

    >>> [warmup(8.0, steps=4)(t) for t in range(6)]
    [2.0, 4.0, 6.0, 8.0, 8.0, 8.0]
    >>> [warmup(8.0, steps=4, start="zero")(t) for t in range(6)]
    [0.0, 2.0, 4.0, 6.0, 8.0, 8.0]
    """
    if start not in ("one", "zero"):
        raise ValueError(f"warmup: start must be 'one' or 'zero', got {start!r}")
    if t >= steps:
        return _at(then, t - steps)
    return _at(then, 0) * (t + (start == "one")) / steps


@schedule
def join(t: float, parts: Sequence[Part], *, at: Sequence[int]) -> float:
    """One after the other: the i-th part begins at step `at[i - 1]`, with its own step 0.

    >>> from neurenix.optim.schedule import linear
    >>> joined = join([linear(0.0, 1.0, steps=2), 1.0, linear(1.0, 0.0, steps=2)], at=[2, 4])
    >>> [joined(t) for t in range(7)]
    [0.0, 0.5, 1.0, 1.0, 1.0, 0.5, 0.0]
    """
    if isinstance(parts, (int, float)) or callable(parts) or len(parts) != len(at) + 1:
        raise ValueError(f"join: n parts need n - 1 steps in `at`, got {parts!r} and {at!r}")
    if any(b <= a for a, b in zip((0, *at), at, strict=False)):
        raise ValueError(f"join: at must rise from above 0, got {at!r}")
    index = bisect_right(at, t)
    return _at(parts[index], t - (0, *at)[index])


@schedule
def _product(t: float, factors: Sequence[Part]) -> float:
    return math.prod(_at(factor, t) for factor in factors)


def chain(*factors: Part) -> Schedule:
    """The product of all factors, each at the same step; `a * b` is `chain(a, b)`.

    >>> from neurenix.optim.schedule import linear, step
    >>> (linear(0.0, 1.0, steps=2) * step(8.0, every=2, gamma=0.5))(3)
    4.0
    """
    return _product(factors)


def warmup_cosine(value: float, *, warmup: int, total: int, end: float = 0.0, start: str = "one") -> Schedule:
    """The usual schedule of a training: a linear rise to `value`, then half a cosine to `end`.

    Args:
        value: the highest value.
        warmup: steps of the rise.
        total: steps of all, those of the rise included.
        end: the last value, kept from then on.
        start: as of `warmup`.

    >>> lr = warmup_cosine(1e-3, warmup=2, total=6)
    >>> [round(lr(t), 6) for t in range(8)]
    [0.0005, 0.001, 0.001, 0.000854, 0.0005, 0.000146, 0.0, 0.0]
    """
    if isinstance(total, bool) or not isinstance(total, int) or not isinstance(warmup, int) or total < warmup:
        raise ValueError(
            f"warmup_cosine: total must be an integer ≥ warmup, got total={total!r}, warmup={warmup!r}"
        )
    return _warmup(cosine(value, steps=total - warmup, end=end), steps=warmup, start=start)


_warmup = warmup
