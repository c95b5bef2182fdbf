"""Shapes that rise and fall: restarts, triangles, one cycle, Chebyshev's steps."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Annotated, Any, Literal

from .arguments import Between, Count, Length, Positive, Share, Value
from .base import Schedule, schedule
from .shapes import FALLS, between, power


@schedule
def cosine_restarts(t: float, value: Value, *, steps: int, cycles: Positive = 1, end: Value = 0.0) -> float:
    """Several equal half cosines, each from `value`, and `end` after the last (Transformers' "hard restarts").

    The value is end + (value − end)·(1 + cos π((cycles·p) mod 1))/2 while p = t/steps < 1.

    >>> [round(cosine_restarts(1.0, steps=4, cycles=2)(t), 6) for t in range(6)]
    [1.0, 0.5, 1.0, 0.5, 0.0, 0.0]
    """
    if t >= steps:
        return end
    return between(end, value, (1 + math.cos(math.pi * (cycles * t / steps % 1))) / 2)


@schedule
def warm_restarts(
    t: float,
    value: Value,
    *,
    steps: Length,
    mult: Annotated[float, Between(1)] = 1,
    end: Value = 0.0,
    decay: Value = 1.0,
    cycles: Length | None = None,
    inclusive: bool = False,
) -> float:
    """Half cosines one after the other, each longer than the one before by a factor: SGDR.

    u steps into cycle n of length Tₙ = steps·multⁿ the value is end + (value·decayⁿ − end)·(1 + cos πu/Tₙ)/2.

    Args:
        t: the step.
        value: the first value, ≥ 0.
        steps: length of the first cycle, ≥ 1.
        mult: how much longer each cycle is than the one before, ≥ 1.
        end: what each cycle falls towards, ≥ 0.
        decay: how much lower each cycle begins, ≥ 0 (Keras' `m_mul`, timm's `cycle_decay`).
        cycles: how many; afterwards the value is `end`. None is without end.
        inclusive: whether the last step of a cycle has `end` itself, πu/(Tₙ − 1), which is otherwise one step further,
            where the next cycle begins, and so never had.

    >>> [round(warm_restarts(1.0, steps=2, mult=2)(t), 6) for t in range(7)]
    [1.0, 0.5, 1.0, 0.853553, 0.5, 0.146447, 1.0]
    >>> [round(warm_restarts(1.0, steps=3, decay=0.5, cycles=2, inclusive=True)(t), 6) for t in range(8)]
    [1.0, 0.5, 0.0, 0.5, 0.25, 0.0, 0.0, 0.0]

    References:
        I. Loshchilov, F. Hutter, SGDR: stochastic gradient descent with warm restarts, arXiv 1608.03983.
    """
    n, begin, length = 0, 0.0, float(steps)
    if mult == 1:
        n = int(t // steps)
        begin = float(n * steps)
    else:
        while t >= begin + length and (cycles is None or n < cycles):
            n, begin, length = n + 1, begin + length, length * mult
    if cycles is not None and n >= cycles:
        return end
    last = length - 1 if inclusive else length
    q = min((t - begin) / last, 1) if last > 0 else 0.0
    return between(end, power(value, decay, n), (1 + math.cos(math.pi * q)) / 2)


@schedule
def cyclic(
    t: float,
    low: Value,
    high: Value,
    *,
    up: Length = 2000,
    down: Count | None = None,
    mode: Literal["triangular", "triangular2", "exp_range"] = "triangular",
    gamma: Value = 1.0,
    scale: Callable[[float], float] | None = None,
    scale_mode: Literal["cycle", "iterations"] = "cycle",
    inverse: bool = False,
) -> float:
    """Triangles between `low` and `high`, without end: low + (high − low)·h·s, where h goes from 0 to 1 and back.

    Args:
        t: the step.
        low: the least value, ≥ 0.
        high: the greatest value, ≥ 0.
        up: steps of a rise, ≥ 1.
        down: steps of a fall, ≥ 0; None is as many as `up`.
        mode: what s is in cycle c = 1, 2, …: "triangular" 1, "triangular2" 2^(1 − c), "exp_range" gamma^t.
        gamma: ≥ 0, for "exp_range".
        scale: s as a function of one's own, instead of `mode`.
        scale_mode: what `scale` is given: the "cycle" c or the step ("iterations").
        inverse: whether to begin at `high` and fall first, high − (high − low)·h·s, as momentum does while the
            learning rate rises.

    >>> [cyclic(0.0, 1.0, up=2)(t) for t in range(6)]
    [0.0, 0.5, 1.0, 0.5, 0.0, 0.5]
    >>> [cyclic(0.0, 1.0, up=1, mode="triangular2", inverse=True)(t) for t in range(5)]
    [1.0, 0.0, 1.0, 0.5, 1.0]

    References:
        L. N. Smith, Cyclical learning rates for training neural networks, arXiv 1506.01186.
    """
    period = up + (up if down is None else down)
    cycle, u = t // period + 1, t % period
    height = (high - low) * (u / up if u <= up else (period - u) / (period - up))
    if scale is not None:
        height *= scale(cycle if scale_mode == "cycle" else t)
    elif mode == "triangular2":
        height = power(height, 2.0, 1 - cycle)
    elif mode == "exp_range":
        height = power(height, gamma, t)
    return high - height if inverse else low + height


def cyclic_pair(
    low: float, high: float, *, momentum: tuple[float, float] = (0.8, 0.9), **shape: Any
) -> tuple[Schedule, Schedule]:
    """A cyclic learning rate, and a momentum that is low while the rate is high.

    Args:
        low: the least rate.
        high: the greatest rate.
        momentum: the least and the greatest momentum.
        shape: what `cyclic` takes besides: up, down, mode, gamma, scale, scale_mode.

    >>> import neurenix as nx
    >>> lr, momentum = cyclic_pair(0.01, 0.1, up=2)
    >>> [(round(lr(t), 3), round(momentum(t), 3)) for t in range(4)]
    [(0.01, 0.9), (0.055, 0.85), (0.1, 0.8), (0.055, 0.85)]
    >>> optimizer = nx.optim.SGD(nx.nn.Linear(2, 1).parameters(), lr=lr, momentum=momentum)
    """
    return cyclic(low, high, **shape), cyclic(*_two("cyclic_pair", momentum), inverse=True, **shape)


Annealing = Literal["cosine", "linear"]


@schedule
def one_cycle(
    t: float,
    value: Value,
    *,
    steps: Length,
    rise: Share = 0.3,
    div: Positive = 25.0,
    final_div: Positive = 1e4,
    shape: Annealing = "cosine",
    three_phase: bool = False,
) -> float:
    """One rise to `value` and one long fall to far below the beginning: value/div → value → value/(div·final_div).

    Args:
        t: the step.
        value: the highest value, ≥ 0, reached at step rise·steps − 1.
        steps: of all, ≥ 1; step steps − 1 has the last value, kept from then on.
        rise: share of the steps in which it rises, in [0, 1]; with `three_phase` at most one half.
        div: what `value` is divided by at the beginning, > 0.
        final_div: what the beginning is divided by at the end, > 0.
        shape: "cosine" or "linear", of each phase.
        three_phase: whether to fall to the beginning as fast as it rose, then on to the end.

    >>> lr = one_cycle(1.0, steps=11, rise=3 / 11)
    >>> [round(lr(t), 6) for t in (0, 1, 2, 6, 10, 11)]
    [0.04, 0.52, 1.0, 0.500002, 4e-06, 4e-06]

    References:
        L. N. Smith, N. Topin, Super-convergence: very fast training of neural networks using large learning rates,
        arXiv 1708.07120.
    """
    begin = value / div
    levels = (begin, value, begin, begin / final_div) if three_phase else (begin, value, begin / final_div)
    return _phases("one_cycle", t, levels, steps, rise, shape)


@schedule
def one_cycle_momentum(
    t: float,
    low: Value = 0.85,
    high: Value = 0.95,
    *,
    steps: Length,
    rise: Share = 0.3,
    shape: Annealing = "cosine",
    three_phase: bool = False,
) -> float:
    """The momentum beside a learning rate of `one_cycle`: high → low → high.

    >>> momentum = one_cycle_momentum(steps=11, rise=3 / 11)
    >>> [round(momentum(t), 6) for t in (0, 2, 6, 10, 11)]
    [0.95, 0.85, 0.9, 0.95, 0.95]
    """
    levels = (high, low, high, high) if three_phase else (high, low, high)
    return _phases("one_cycle_momentum", t, levels, steps, rise, shape)


def one_cycle_pair(
    value: float,
    *,
    momentum: tuple[float, float] = (0.85, 0.95),
    div: float = 25.0,
    final_div: float = 1e4,
    **shape: Any,
) -> tuple[Schedule, Schedule]:
    """A learning rate of one cycle, and the momentum beside it.

    Args:
        value: the highest rate.
        momentum: the least and the greatest momentum.
        div: as of `one_cycle`.
        final_div: as of `one_cycle`.
        shape: what both take: steps, rise, shape, three_phase.

    >>> import neurenix as nx
    >>> lr, beta1 = one_cycle_pair(0.01, steps=100)
    >>> optimizer = nx.optim.AdamW(nx.nn.Linear(2, 1).parameters(), lr=lr, betas=(beta1, 0.999))
    """
    low, high = _two("one_cycle_pair", momentum)
    return one_cycle(value, div=div, final_div=final_div, **shape), one_cycle_momentum(low, high, **shape)


def _phases(kind: str, t: float, levels: tuple[float, ...], steps: int, rise: float, shape: str) -> float:
    """From level to level: the first phase ends at rise·steps − 1, the last at steps − 1."""
    ends = [*(i * rise * steps - i for i in range(1, len(levels) - 1)), steps - 1]
    if len(ends) == 3 and ends[1] > ends[2]:
        raise ValueError(f"{kind}: rise must be at most 0.5 with three_phase, got {rise!r}")
    t, begin = min(t, steps - 1), 0.0
    for end, low, high in zip(ends, levels, levels[1:], strict=False):
        if t <= end:
            q = (t - begin) / (end - begin) if end > begin else 1.0
            return between(high, low, FALLS[shape](q, 1 - q))
        begin = end
    return levels[-1]


def _two(kind: str, momentum: tuple[float, float]) -> tuple[float, float]:
    if not isinstance(momentum, (tuple, list)) or len(momentum) != 2:
        raise ValueError(f"{kind}: momentum must be the least and the greatest value, got {momentum!r}")
    return momentum[0], momentum[1]


@schedule
def chebyshev(t: float, value: Value, *, steps: Length, low: Positive = 0.05, high: Positive = 1.0) -> float:
    """The steps of Chebyshev's iteration, in the fractal order that stays stable.

    The multiples of `value` are 1/(c − r·cos π(i + ½)/steps), with c = (high + low)/2 and r = (high − low)/2.

    Args:
        t: the step; from `steps` on the value stays what it was last.
        value: > 0 for rates; the multiples lie between 1/high and 1/low.
        steps: how many, ≥ 1. For no power of two the order is that of the next one, without the rest.
        low: least curvature, > 0.
        high: greatest curvature, ≥ low.

    >>> [round(chebyshev(1.0, steps=4)(t), 3) for t in range(5)]
    [11.607, 1.038, 2.914, 1.415, 1.415]

    References:
        N. Agarwal, S. Goel, C. Zhang, Acceleration via fractal learning rate schedules, arXiv 2103.01338.
    """
    if low > high:
        raise ValueError(f"chebyshev: low must be at most high, got {low!r} and {high!r}")
    i = _fractal(steps)[min(int(t), steps - 1)]
    return value / ((high + low) / 2 - (high - low) / 2 * math.cos(math.pi * (i + 0.5) / steps))


@functools.lru_cache(maxsize=8)
def _fractal(count: int) -> tuple[int, ...]:
    """The order: of twice as many, each i is followed by its mirror image."""
    order = [0]
    while len(order) < count:
        last = 2 * len(order) - 1
        order = [place for i in order for place in (i, last - i)]
    return tuple(place for place in order if place < count)
