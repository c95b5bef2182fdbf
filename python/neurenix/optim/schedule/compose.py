"""Schedules made of schedules. Where one is expected, a number or any function of the step will do too."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Sequence
from typing import Literal

from .arguments import Count, Part, Value
from .base import Schedule, schedule, start_of
from .shapes import FALLS, Fall, between
from .stairs import at_step, check_places


@schedule
def warmup(
    t: float,
    then: Part,
    *,
    steps: int,
    start: Literal["one", "zero"] = "one",
    init: Value = 0.0,
    shape: Fall = "linear",
    overlap: bool = False,
) -> float:
    """Rises in `steps` steps from `init` to the value that `then` starts from, which begins after them.

    Args:
        t: the step.
        then: what follows: a schedule, a number, or a function of the step.
        steps: length of the rise, ≥ 0.
        start: "one" begins one step above `init`, q = (t + 1)/steps, so that no step is lost at a rate of 0;
            "zero" with `init` itself, q = t/steps, as Transformers, optax and timm do.
        init: where the rise begins, ≥ 0.
        shape: of the rise, that of `anneal` turned round, f(1 − q): "linear" is q, "cosine" (1 − cos πq)/2, "sqrt"
            1 − √(1 − q).
        overlap: whether `then` counts its steps from 0 under the rise instead of after it (timm's default); the
            value then falls to `then(steps)` at once.

    >>> [warmup(8.0, steps=4)(t) for t in range(6)]
    [2.0, 4.0, 6.0, 8.0, 8.0, 8.0]
    >>> [warmup(8.0, steps=4, start="zero", init=4.0)(t) for t in range(6)]
    [4.0, 5.0, 6.0, 7.0, 8.0, 8.0]
    """
    if t >= steps:
        return at_step(then, t if overlap else t - steps)
    q = min((t + (start == "one")) / steps, 1)
    return between(init, start_of(then), FALLS[shape](1 - q, q))


@schedule
def delay(t: float, then: Part, *, steps: int) -> float:
    """The value that `then` starts from for `steps` steps, then the rest of it (optax's `transition_begin`).

    >>> from neurenix.optim.schedule import exponential
    >>> [delay(exponential(1.0, gamma=0.5), steps=2)(t) for t in range(5)]
    [1.0, 1.0, 1.0, 0.5, 0.25]
    """
    return at_step(then, t - steps) if t >= steps else start_of(then)


@schedule
def join(t: float, parts: Sequence[Part], *, at: Sequence[Count]) -> float:
    """One after the other: the i-th part begins at step `at[i - 1]`, with its own step 0.

    >>> from neurenix.optim.schedule import linear
    >>> joined = join([linear(0.0, 1.0, steps=2), 1.0, linear(1.0, 0.0, steps=2)], at=[2, 4])
    >>> [joined(t) for t in range(7)]
    [0.0, 0.5, 1.0, 1.0, 1.0, 0.5, 0.0]
    """
    check_places("join", "parts", parts, at)
    index = bisect_right(at, t)
    return at_step(parts[index], t - (0, *at)[index])


@schedule
def _product(t: float, factors: Sequence[Part]) -> float:
    return math.prod(at_step(factor, t) for factor in factors)


def chain(*factors: Part) -> Schedule:
    """The product of all factors, each at the same step; `a * b` is `chain(a, b)`.

    >>> from neurenix.optim.schedule import linear, step
    >>> (linear(0.0, 1.0, steps=2) * step(8.0, every=2, gamma=0.5))(3)
    4.0
    """
    return _product(factors)
