"""Shapes that go from one value to another. `t` is the step from 0; p = min(t/steps, 1) is how much is done."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Annotated, Final, Literal, TypeAlias

from .arguments import Between, Inside, Length, Positive, Value
from .base import schedule


def progress(t: float, steps: float) -> float:
    """How much of so many steps is done, at most 1."""
    return 1.0 if t >= steps else t / steps


def power(value: float, base: float, exponent: float) -> float:
    """value·base^exponent, infinite instead of an OverflowError."""
    try:
        return float(value * base**exponent)
    except OverflowError:
        return math.inf if value else 0.0


def between(low: float, high: float, share: float) -> float:
    """`share` of the way from low up to high; `high` itself, not nearly, for a share of 1."""
    return high if share == 1 else low + (high - low) * share


@schedule
def constant(t: float, value: Value) -> float:
    """Always `value`.

    >>> constant(0.1)(1000)
    0.1
    """
    return value


@schedule
def constant_factor(t: float, value: Value, *, factor: Value = 1 / 3, steps: int = 5) -> float:
    """`value` times `factor` for `steps` steps, then `value`.

    >>> [constant_factor(1.0, factor=0.5, steps=2)(t) for t in range(4)]
    [0.5, 0.5, 1.0, 1.0]
    """
    return value * factor if t < steps else value


@schedule
def linear(t: float, start: Value, end: Value, *, steps: int) -> float:
    """From `start` to `end` in equal steps: start + (end − start)·p.

    >>> [linear(1.0, 0.0, steps=4)(t) for t in (0, 1, 4, 9)]
    [1.0, 0.75, 0.0, 0.0]
    """
    return between(start, end, progress(t, steps))


@schedule
def polynomial(
    t: float,
    value: Value,
    *,
    steps: int,
    end: Value = 0.0,
    power: Positive = 1.0,
    k: Positive = 1.0,
    cycle: bool = False,
) -> float:
    """From `value` to `end` as a power: end + (value − end)·(1 − pᵏ)^power.

    Args:
        t: the step.
        value: the first value, ≥ 0.
        steps: length, ≥ 0.
        end: the last value, ≥ 0, kept from then on. Transformers' default is 1e-7.
        power: of the rest of the way, > 0.
        k: of the way, > 0: above 1 it stays high longer (timm's `k_decay`).
        cycle: whether to begin again from a lower place instead of staying at the end, each time over one more
            `steps` (Keras): p = t/(steps·⌈t/steps⌉).

    >>> [polynomial(1.0, steps=4, power=2)(t) for t in (0, 2, 4, 5)]
    [1.0, 0.25, 0.0, 0.0]
    >>> [polynomial(1.0, steps=4, cycle=True)(t) for t in (0, 4, 6, 8)]
    [1.0, 0.0, 0.25, 0.0]
    """
    if cycle and steps:
        steps *= max(1, math.ceil(t / steps))
    return float(between(end, value, (1 - progress(t, steps) ** k) ** power))


@schedule
def cosine(
    t: float,
    value: Value,
    *,
    steps: int,
    end: Value = 0.0,
    exponent: Positive = 1.0,
    k: Positive = 1.0,
    periodic: bool = False,
) -> float:
    """From `value` to `end` along half a cosine: end + (value − end)·((1 + cos πpᵏ)/2)^exponent.

    Args:
        t: the step.
        value: the first value, ≥ 0.
        steps: length, ≥ 0.
        end: the last value, ≥ 0, kept from then on. Optax and Keras give it as a share `alpha` of `value`.
        exponent: > 0, optax's.
        k: of the way, > 0: above 1 it stays high longer (timm's `k_decay`).
        periodic: whether to rise again after `steps` instead of staying at the end, as torch's does.

    >>> [round(cosine(1.0, steps=4)(t), 6) for t in (0, 1, 2, 4, 8)]
    [1.0, 0.853553, 0.5, 0.0, 0.0]
    >>> [round(cosine(1.0, steps=4, periodic=True)(t), 6) for t in (4, 6, 8)]
    [0.0, 0.5, 1.0]

    References:
        I. Loshchilov, F. Hutter, SGDR: stochastic gradient descent with warm restarts, arXiv 1608.03983.
    """
    p = progress(t, steps)
    if periodic and steps:
        p = t % (2 * steps) / steps  # the angle stays small, and exact, however far it goes
    return float(between(end, value, ((1 + math.cos(math.pi * p**k)) / 2) ** exponent))


@schedule
def exponential(
    t: float,
    value: Value,
    *,
    gamma: Value,
    steps: Length = 1,
    staircase: bool = False,
    end: Value | None = None,
) -> float:
    """`value` times gamma in every `steps` steps: value·γ^(t/steps).

    Args:
        t: the step.
        value: the first value, ≥ 0.
        gamma: what it is multiplied with, ≥ 0.
        steps: in how many steps, ≥ 1.
        staircase: whether at once after so many steps instead of smoothly: γ^⌊t/steps⌋ (optax and Keras).
        end: where it stops, ≥ 0; None is never. A growing one, γ > 1, stops there from below.

    >>> [exponential(1.0, gamma=0.5)(t) for t in (0, 1, 3)]
    [1.0, 0.5, 0.125]
    >>> [exponential(1.0, gamma=0.5, steps=2, staircase=True, end=0.3)(t) for t in range(5)]
    [1.0, 1.0, 0.5, 0.5, 0.3]
    """
    reached = power(value, gamma, t // steps if staircase else t / steps)
    if end is None:
        return reached
    return max(reached, end) if gamma < 1 else min(reached, end)


@schedule
def inverse_time(t: float, value: Value, *, rate: Value, steps: Length = 1, staircase: bool = False) -> float:
    """Falls as one over time: value/(1 + rate·t/steps), with `staircase` by ⌊t/steps⌋.

    >>> [inverse_time(1.0, rate=0.5)(t) for t in (0, 2, 6)]
    [1.0, 0.5, 0.25]
    """
    return value / (1 + rate * (t // steps if staircase else t / steps))


@schedule
def inverse_sqrt(t: float, value: Value, *, timescale: Length = 10_000) -> float:
    """Falls as one over the root of time: value·√(timescale/(t + timescale)).

    After a warm-up of as many steps as `timescale` the fall goes on as 1/√t counted from the very beginning, see
    `warmup_inverse_sqrt`.

    >>> [inverse_sqrt(1.0, timescale=4)(t) for t in (0, 12)]
    [1.0, 0.5]
    """
    return value * math.sqrt(timescale / (t + timescale))


@schedule
def rex(t: float, value: Value, *, steps: int, end: Value = 0.0) -> float:
    """High for long, then falling fast: end + (value − end)·(1 − p)/(1 − p/2).

    >>> [round(rex(1.0, steps=4)(t), 6) for t in range(6)]
    [1.0, 0.857143, 0.666667, 0.4, 0.0, 0.0]

    References:
        J. Chen, C. Wolfe, A. Kyrillidis, REX: revisiting budgeted training with an improved schedule, arXiv 2107.04197.
    """
    p = progress(t, steps)
    return between(end, value, (1 - p) / (1 - p / 2))


@schedule
def tanh(
    t: float,
    value: Value,
    *,
    steps: int,
    end: Value = 0.0,
    lower: Annotated[float, Between()] = -7.0,
    upper: Annotated[float, Between()] = 3.0,
) -> float:
    """From `value` to `end` along a hyperbolic tangent.

    What is left of the way is (1 − tanh(lower·(1 − p) + upper·p))/2. It begins and stops a little away from `value` and
    `end`, by the tails of the tangent.

    >>> [round(tanh(1.0, steps=10)(t), 4) for t in (0, 7, 10, 99)]
    [1.0, 0.5, 0.0025, 0.0025]

    References:
        B.-Y. Hsueh, W. Li, I-C. Wu, Stochastic gradient descent with hyperbolic-tangent decay on classification,
        arXiv 1806.01593.
    """
    p = progress(t, steps)
    return between(end, value, (1 - math.tanh(lower * (1 - p) + upper * p)) / 2)


# What is left of the way, from 1 to 0 exactly, when q of it is done and r = 1 - q to do. Turned round, f(r, q), a rise.
FALLS: Final[dict[str, Callable[[float, float], float]]] = {
    "linear": lambda q, r: r,
    "cosine": lambda q, r: (1 + math.cos(math.pi * q)) / 2,
    "sqrt": lambda q, r: 1 - math.sqrt(q),
    "square": lambda q, r: 1 - q * q,
    "exponential": lambda q, r: (2 ** (10 * r) - 1) / 1023,  # half of it, but for the end, in each tenth
}
Fall: TypeAlias = Literal["linear", "cosine", "sqrt", "square", "exponential"]


@schedule
def anneal(t: float, value: Value, *, steps: int, end: Value = 0.0, shape: Fall = "sqrt") -> float:
    """From `value` to `end` in a shape: end + (value − end)·f(p).

    Args:
        t: the step.
        value: the first value, ≥ 0.
        steps: length, ≥ 0.
        end: the last value, ≥ 0, kept from then on.
        shape: f(p): "linear" 1 − p; "cosine" (1 + cos πp)/2; "sqrt" 1 − √p; "square" 1 − p²; "exponential"
            (2^(10 − 10p) − 1)/1023.

    >>> [anneal(1.0, steps=4)(t) for t in (0, 1, 4, 5)]
    [1.0, 0.5, 0.0, 0.0]
    >>> [anneal(1.0, steps=4, shape="square")(t) for t in (0, 1, 2, 4)]
    [1.0, 0.9375, 0.75, 0.0]
    """
    p = progress(t, steps)
    return between(end, value, FALLS[shape](p, 1 - p))


@schedule
def half_life(t: float, start: Inside, end: Inside, *, steps: int) -> float:
    """Between two decay rates of moving averages so that the half-life changes in equal steps.

    A rate β keeps half in h(β) = ln ½/ln β − 1 steps; β(t) = ½^(1/(h + 1)) with h from h(start) to h(end). AdEMAMix
    warms its slow average up this way.

    >>> [round(half_life(0.5, 0.5**0.25, steps=3)(t), 6) for t in range(4)] == [
    ...     round(0.5 ** (1 / (1 + h)), 6) for h in (0, 1, 2, 3)
    ... ]
    True

    References:
        M. Pagliardini, P. Ablin, D. Grangier, The AdEMAMix optimizer: better, faster, older, arXiv 2409.03137.
    """
    p = progress(t, steps)
    if p in (0, 1):
        return end if p else start
    lives = between(1 / math.log(start), 1 / math.log(end), p)  # (h + 1)/ln ½
    return math.exp(1 / lives)
