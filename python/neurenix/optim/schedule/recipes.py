"""Schedules that trainings are usually given, as compositions of the others."""

from __future__ import annotations

from typing import Any, Final, Literal

from .arguments import Between, Length, Limit, OneOf, OrNone, Value, Whole
from .base import Schedule, schedule
from .compose import delay, warmup
from .shapes import FALLS, Fall, anneal, cosine, inverse_sqrt

Start = Literal["one", "zero"]
_rise = warmup  # its name is an argument below


def warmup_cosine(
    value: float, *, warmup: int, total: int, end: float = 0.0, start: Start = "one", init: float = 0.0
) -> Schedule:
    """The usual schedule of a training: a linear rise to `value`, then half a cosine to `end`.

    Args:
        value: the highest value, ≥ 0.
        warmup: steps of the rise, ≥ 0.
        total: steps of all, those of the rise included (optax's `decay_steps`).
        end: the last value, ≥ 0, kept from then on.
        start: as of `warmup`.
        init: where the rise begins, ≥ 0.

    >>> lr = warmup_cosine(1e-3, warmup=2, total=6)
    >>> [round(lr(t), 6) for t in range(8)]
    [0.0005, 0.001, 0.001, 0.000854, 0.0005, 0.000146, 0.0, 0.0]
    """
    _check("warmup_cosine", value=value, warmup=warmup, total=total, end=end, start=start, init=init)
    rest = _rest("warmup_cosine", total, warmup)
    return _rise(cosine(value, steps=rest, end=end), steps=warmup, start=start, init=init)


def warmup_stable_decay(
    value: float,
    *,
    warmup: int,
    total: int,
    decay: int,
    end: float = 0.0,
    start: Start = "one",
    init: float = 0.0,
    rise: Fall = "linear",
    fall: Fall = "sqrt",
) -> Schedule:
    """A rise, a long stay at `value`, and a fall at the end: WSD, or a trapezoid.

    A training can go on from any step before the fall, so that its length need not be known beforehand.

    Args:
        value: the highest value, ≥ 0.
        warmup: steps of the rise, ≥ 0.
        total: steps of all.
        decay: steps of the fall, the last of `total`.
        end: the last value, ≥ 0, kept from then on.
        start: as of `warmup`.
        init: where the rise begins, ≥ 0.
        rise: its shape, as of `warmup`.
        fall: its shape, as of `anneal`; Transformers' default is "cosine".

    >>> lr = warmup_stable_decay(1.0, warmup=2, total=8, decay=4, fall="linear")
    >>> [lr(t) for t in range(9)]
    [0.5, 1.0, 1.0, 1.0, 1.0, 0.75, 0.5, 0.25, 0.0]

    References:
        S. Hu et al., MiniCPM, arXiv 2404.06395. A. Hägele et al., Scaling laws and compute-optimal training beyond
        fixed training durations, arXiv 2405.18392.
    """
    kind = "warmup_stable_decay"
    _check(kind, value=value, warmup=warmup, total=total, decay=decay, end=end, start=start, init=init)
    _check(kind, rise=rise, fall=fall)
    stable = _rest(kind, total, warmup, decay)
    then = delay(anneal(value, steps=decay, end=end, shape=fall), steps=stable)
    return _rise(then, steps=warmup, start=start, init=init, shape=rise)


def warmup_inverse_sqrt(
    value: float, *, warmup: int, timescale: int | None = None, start: Start = "one", init: float = 0.0
) -> Schedule:
    """A linear rise to `value`, then a fall as one over the root of time: value·√(T/(t − warmup + T)).

    Args:
        value: the highest value, ≥ 0.
        warmup: steps of the rise, ≥ 0.
        timescale: T ≥ 1; None is `warmup`, for which the fall is value·√(warmup/t) (fairseq, Transformers), or 10,000
            without a rise.
        start: as of `warmup`.
        init: where the rise begins, ≥ 0.

    >>> lr = warmup_inverse_sqrt(1.0, warmup=4, start="zero")
    >>> [lr(t) for t in (0, 2, 4, 16, 64)]
    [0.0, 0.5, 1.0, 0.5, 0.25]
    """
    _check("warmup_inverse_sqrt", value=value, warmup=warmup, timescale=timescale, start=start, init=init)
    then = inverse_sqrt(value, timescale=warmup or 10_000 if timescale is None else timescale)
    return _rise(then, steps=warmup, start=start, init=init)


@schedule
def noam(t: float, value: Value = 1.0, *, dim: Length, warmup: Length) -> float:
    """The Transformer's: value·dim^(−½)·min(n^(−½), n·warmup^(−3/2)) at its n-th step, n = t + 1.

    >>> [noam(dim=4, warmup=4)(t) for t in (0, 3, 15)]
    [0.0625, 0.25, 0.125]

    References:
        A. Vaswani et al., Attention is all you need, arXiv 1706.03762.
    """
    n = t + 1
    return float(value * dim**-0.5 * min(n**-0.5, n * warmup**-1.5))


_LIMITS: Final[dict[str, Limit]] = {
    **dict.fromkeys(("value", "end", "init"), Between(0)),
    **dict.fromkeys(("warmup", "total", "decay"), Whole(0)),
    **dict.fromkeys(("rise", "fall"), OneOf(tuple(FALLS))),
    "timescale": OrNone(Whole(1)),
    "start": OneOf(("one", "zero")),
}


def _check(kind: str, **arguments: Any) -> None:
    """Checks arguments by the names that they have here, before they go into other schedules."""
    for name, value in arguments.items():
        _LIMITS[name].check(f"{kind}: {name}", value)


def _rest(kind: str, total: int, *parts: int) -> int:
    """The steps that are left of all."""
    rest = total - sum(parts)
    if rest < 0:
        raise ValueError(
            f"{kind}: total must be an integer ≥ {sum(parts)}, the sum of its parts, got {total}"
        )
    return rest
