"""What the arguments of schedules may be, said in the annotations of their functions and checked from there."""

from __future__ import annotations

import functools
import inspect
import math
import typing
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from numbers import Integral, Real
from types import NoneType, UnionType
from typing import Annotated, Any, Final, Literal, Protocol, TypeAlias, Union

import numpy as np


class Limit(Protocol):
    """Says whether an argument is allowed."""

    def check(self, label: str, value: Any) -> Any:
        """The value in its normal form; TypeError or ValueError with label, value and range otherwise."""


@dataclass(frozen=True)
class Between:
    """A finite number from `low` to `high`, the ends included unless `open`."""

    low: float = -math.inf
    high: float = math.inf
    open: bool = False

    def __str__(self) -> str:
        if self.high < math.inf:
            ends = "()" if self.open else "[]"
            return f"a number in {ends[0]}{self.low:g}, {self.high:g}{ends[1]}"
        return "a number" + (f" {'>' if self.open else '≥'} {self.low:g}" if self.low > -math.inf else "")

    def check(self, label: str, value: Any) -> float:
        """The number as Python's own."""
        if isinstance(value, (bool, np.bool_)) or not isinstance(value, Real):
            raise TypeError(f"{label} must be {self}, got {value!r} ({type(value).__name__})")
        try:
            number = float(value)
        except OverflowError:
            number = math.inf
        if not math.isfinite(number):
            raise ValueError(f"{label} must be finite, got {value!r}")
        if not self.low <= number <= self.high or (self.open and number in (self.low, self.high)):
            raise ValueError(f"{label} must be {self}, got {value!r}")
        return int(value) if isinstance(value, Integral) else number


@dataclass(frozen=True)
class Whole:
    """An integer ≥ `low`."""

    low: int = 0

    def check(self, label: str, value: Any) -> int:
        """The integer as Python's own."""
        if isinstance(value, (bool, np.bool_)) or not isinstance(value, Integral) or value < self.low:
            raise ValueError(f"{label} must be an integer ≥ {self.low}, got {value!r}")
        return int(value)


@dataclass(frozen=True)
class OneOf:
    """One of several values."""

    options: tuple[Any, ...]

    def check(self, label: str, value: Any) -> Any:
        """The value."""
        if not any(type(value) is type(option) and value == option for option in self.options):
            raise ValueError(f"{label} must be {' or '.join(map(repr, self.options))}, got {value!r}")
        return value


@dataclass(frozen=True)
class FunctionOr:
    """A function of the step, else what `limit` allows."""

    limit: Limit

    def check(self, label: str, value: Any) -> Any:
        """The function, or the checked number."""
        return value if callable(value) else self.limit.check(label, value)


@dataclass(frozen=True)
class Each:
    """A list of what `limit` allows."""

    limit: Limit

    def check(self, label: str, value: Any) -> tuple[Any, ...]:
        """The list as a tuple."""
        if isinstance(value, (str, bytes)) or not isinstance(value, Sequence):
            raise TypeError(f"{label} must be a list, got {value!r} ({type(value).__name__})")
        return tuple(self.limit.check(f"{label}[{i}]", item) for i, item in enumerate(value))


@dataclass(frozen=True)
class OrNone:
    """None, else what `limit` allows."""

    limit: Limit

    def check(self, label: str, value: Any) -> Any:
        """None or the checked value."""
        return None if value is None else self.limit.check(label, value)


class Free:
    """What an annotation leaves open: numbers, strings, truth values, functions, and lists of them."""

    def check(self, label: str, value: Any) -> Any:
        """The value; lists become tuples."""
        if isinstance(value, (list, tuple)):
            return tuple(self.check(f"{label}[{i}]", item) for i, item in enumerate(value))
        return value if isinstance(value, str) or callable(value) else Between().check(label, value)


Value: TypeAlias = Annotated[float, Between(0)]
"""What a hyperparameter may be, or a factor of one."""
Positive: TypeAlias = Annotated[float, Between(0, open=True)]
Share: TypeAlias = Annotated[float, Between(0, 1)]
Inside: TypeAlias = Annotated[float, Between(0, 1, open=True)]
Count: TypeAlias = Annotated[int, Whole(0)]
Length: TypeAlias = Annotated[int, Whole(1)]
Part: TypeAlias = Annotated[Callable[[Any], float] | float, FunctionOr(Between(0))]
"""A schedule, a number that stays, or any function of the step."""

_BY_NAME: Final[Mapping[str, Limit]] = {"steps": Whole(0), "every": Whole(1)}
_FREE: Final = Free()


def bound(kind: str, function: Callable[..., Any], args: tuple[Any, ...], kwargs: Any) -> dict[str, Any]:
    """All arguments of a schedule's function by name, but the first (the step, or self), checked.

    Raises:
        TypeError: for arguments that the function does not take, and of a wrong kind.
        ValueError: for values out of their range.
    """
    own = signature(function)
    try:
        given = own.bind(*args, **kwargs)
    except TypeError as error:
        raise TypeError(f"{kind} takes {', '.join(own.parameters)}: {error}") from None
    given.apply_defaults()
    known = limits(function)
    return {name: known[name].check(f"{kind}: {name}", value) for name, value in given.arguments.items()}


@functools.cache
def signature(function: Callable[..., Any]) -> inspect.Signature:
    """What a schedule's function takes beside the step."""
    whole = inspect.signature(function)
    return whole.replace(parameters=list(whole.parameters.values())[1:], return_annotation="Schedule")


@functools.cache
def limits(function: Callable[..., Any]) -> dict[str, Limit]:
    """What each argument may be. Annotations that cannot be looked up say nothing."""
    try:
        hints = typing.get_type_hints(function, include_extras=True)
    except NameError:
        hints = {}
    return {
        name: _limit(hints.get(name)) or _BY_NAME.get(name, _FREE) for name in signature(function).parameters
    }


def _limit(hint: Any) -> Limit | None:
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is Annotated:
        limit: Limit = arguments[1]
        return limit
    if origin is Literal:
        return OneOf(arguments)
    if hint is bool:
        return OneOf((True, False))
    if origin is Sequence:
        return Each(_limit(arguments[0]) or _FREE)
    if origin in (Union, UnionType) and NoneType in arguments:
        return OrNone(_limit(next(kind for kind in arguments if kind is not NoneType)) or _FREE)
    return None
