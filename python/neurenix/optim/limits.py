"""What hyperparameters may be: checked when they are given and again when they change."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any, Final, Protocol

import numpy as np


class Limit(Protocol):
    """Says whether a value is allowed.

    A class lists what its hyperparameters may be; those of `COMMON` names need no entry.

    >>> from neurenix.optim import Number, Optimizer
    >>> class Cooled(Optimizer):
    ...     limits = {"temperature": Number(0)}
    """

    def check(self, name: str, value: Any) -> Any:
        """The value in its normal form; TypeError or ValueError with name, value and range otherwise."""


@dataclass(frozen=True)
class Number:
    """A finite number of an interval, or a schedule (a callable of the step) that gives such numbers.

    >>> from neurenix.optim import Number
    >>> Number(0, 1).check("rho", 1.0)
    Traceback (most recent call last):
    ValueError: rho must be a number in [0, 1), got 1.0
    """

    low: float = -math.inf
    high: float = math.inf
    high_included: bool = False
    low_included: bool = True

    def __str__(self) -> str:
        opening = "[" if self.low_included and self.low > -math.inf else "("
        return f"a number in {opening}{self.low:g}, {self.high:g}{']' if self.high_included else ')'}"

    def check(self, name: str, value: Any) -> Any:
        """The value; numbers of NumPy become Python's."""
        if callable(value):
            return value
        if isinstance(value, (bool, np.bool_)) or not isinstance(value, Real):
            raise TypeError(
                f"{name} must be {self} or a schedule of the step, got {value!r} ({_kind(value)})"
            )
        try:
            number = float(value)
        except OverflowError:
            number = math.inf
        outside = (number == self.high and not self.high_included) or (
            number == self.low and not self.low_included
        )
        if not (math.isfinite(number) and self.low <= number <= self.high) or outside:
            raise ValueError(f"{name} must be {self}, got {value!r}")
        return int(value) if isinstance(value, Integral) else number


@dataclass(frozen=True)
class Whole:
    """An integer that is not below a bound; fixed, not scheduled.

    >>> from neurenix.optim import Whole
    >>> Whole(1).check("every", 0)
    Traceback (most recent call last):
    ValueError: every must be an integer ≥ 1, got 0
    """

    low: int

    def check(self, name: str, value: Any) -> Any:
        """The value; integers of NumPy become Python's."""
        if isinstance(value, (bool, np.bool_)) or not isinstance(value, Integral):
            raise TypeError(f"{name} must be an integer ≥ {self.low}, got {value!r} ({_kind(value)})")
        if value < self.low:
            raise ValueError(f"{name} must be an integer ≥ {self.low}, got {value!r}")
        return int(value)


@dataclass(frozen=True)
class Fixed:
    """What another limit allows, but no schedule: what begins or sizes a state.

    >>> from neurenix.optim import Fixed, Number
    >>> Fixed(Number(0)).check("d0", lambda step: 1.0)
    Traceback (most recent call last):
    TypeError: d0 must be a number in [0, inf), and cannot be a schedule: it counts at the beginning alone
    """

    limit: Limit

    def check(self, name: str, value: Any) -> Any:
        """The value as the other limit has it."""
        if callable(value):
            raise TypeError(
                f"{name} must be {self.limit}, and cannot be a schedule: it counts at the beginning alone"
            )
        return self.limit.check(name, value)


@dataclass(frozen=True)
class OrNone:
    """What another limit allows, or None.

    >>> from neurenix.optim import Number, OrNone
    >>> OrNone(Number(0)).check("momentum_decay", -1)
    Traceback (most recent call last):
    ValueError: momentum_decay must be a number in [0, inf), got -1
    """

    limit: Limit

    def check(self, name: str, value: Any) -> Any:
        """The value as the other limit has it."""
        return None if value is None else self.limit.check(name, value)


@dataclass(frozen=True)
class Each:
    """A tuple with one limit for its items, of a fixed length or, without one, of any but 0.

    >>> from neurenix.optim import Each, Number
    >>> Each(Number(0, 1), 2).check("betas", [0.9, 0.99])
    (0.9, 0.99)
    """

    limit: Limit
    length: int | None = None

    def check(self, name: str, value: Any) -> Any:
        """The value as a tuple."""
        count = "one or more" if self.length is None else self.length
        if not isinstance(value, (tuple, list)):
            raise TypeError(f"{name} must be a tuple of {count} numbers, got {value!r} ({_kind(value)})")
        if not value or len(value) != (self.length or len(value)):
            raise ValueError(
                f"{name} must have {count} values, each {self.limit}, got {len(value)}: {value!r}"
            )
        return tuple(self.limit.check(f"{name}[{i}]", item) for i, item in enumerate(value))


@dataclass(frozen=True)
class Flag:
    """True or False.

    >>> from neurenix.optim import Flag
    >>> Flag().check("nesterov", 1)
    Traceback (most recent call last):
    TypeError: nesterov must be True or False, got 1 (int)
    """

    def check(self, name: str, value: Any) -> Any:
        """The value as bool."""
        if not isinstance(value, (bool, np.bool_)):
            raise TypeError(f"{name} must be True or False, got {value!r} ({_kind(value)})")
        return bool(value)


@dataclass(frozen=True)
class Choice:
    """One of several values.

    >>> from neurenix.optim import Choice
    >>> Choice(("sum", "mean")).check("mode", "mean")
    'mean'
    """

    options: tuple[Any, ...]

    def check(self, name: str, value: Any) -> Any:
        """The value."""
        if not any(
            value is option or (type(value) is type(option) and value == option) for option in self.options
        ):
            raise ValueError(f"{name} must be one of {', '.join(map(repr, self.options))}, got {value!r}")
        return value


class Anything:
    """What a rule can be traced with: numbers, truth values, strings, None, schedules and tuples of them."""

    def check(self, name: str, value: Any) -> Any:
        """The value; lists become tuples."""
        if isinstance(value, (bool, str)) or value is None:
            return value
        if isinstance(value, (tuple, list)):
            return tuple(self.check(f"{name}[{i}]", item) for i, item in enumerate(value))
        return ANY_NUMBER.check(name, value)


ANY_NUMBER: Final = Number()
NOT_NEGATIVE: Final = Number(0)
POSITIVE: Final = Number(0, low_included=False)
FRACTION: Final = Number(0, 1)
ANYTHING: Final = Anything()

# Names that mean the same in every optimizer, users' own included. A class adds its own or replaces some.
COMMON: Final[Mapping[str, Limit]] = {
    "lr": NOT_NEGATIVE,
    "weight_decay": NOT_NEGATIVE,
    "eps": NOT_NEGATIVE,
    "momentum": NOT_NEGATIVE,
    "betas": Each(FRACTION, 2),
    "clip_norm": POSITIVE,
    "clip_value": POSITIVE,
    "clip_adaptive": POSITIVE,
    "centralize": Flag(),
    "cautious": Flag(),
    "ema": FRACTION,
    "maximize": Flag(),
}


def has_schedule(value: Any) -> bool:
    """Whether a hyperparameter's value is, or holds, a schedule."""
    return any(map(has_schedule, value)) if isinstance(value, tuple) else callable(value)


def resolve(limit: Limit, name: str, value: Any, step: int) -> Any:
    """The value of a hyperparameter at a step (from 0), its schedules evaluated and checked."""
    return limit.check(name, _evaluated(value, step)) if has_schedule(value) else value


def _evaluated(value: Any, step: int) -> Any:
    if isinstance(value, tuple):
        return tuple(_evaluated(item, step) for item in value)
    if not callable(value):
        return value
    result = value(step)
    if callable(result):
        raise TypeError(f"{value!r} returned {result!r} for step {step}, expected a number")
    return result


def _kind(value: object) -> str:
    return type(value).__name__
