"""What a schedule is: a named function of the step with its arguments bound."""

from __future__ import annotations

import functools
import inspect
import math
from collections.abc import Callable, Mapping
from typing import Any, Concatenate, Final, ParamSpec

P = ParamSpec("P")

_KINDS: Final[dict[str, Callable[..., float]]] = {}


class Schedule:
    """A function of the step, `schedule(t) -> float`, that is also a value: comparable, printable, storable.

    Schedules multiply with each other and with numbers.

    >>> from neurenix.optim.schedule import linear
    >>> half = 0.5 * linear(1.0, 0.0, steps=4)
    >>> [half(t) for t in (0, 2, 9)], half == 0.5 * linear(1.0, 0.0, steps=4)
    ([0.5, 0.25, 0.0], True)
    """

    __slots__ = ("_bound", "arguments", "kind")
    kind: str
    arguments: dict[str, Any]

    def __init__(self, kind: str, arguments: dict[str, Any]) -> None:
        object.__setattr__(self, "kind", kind)
        object.__setattr__(self, "arguments", arguments)
        object.__setattr__(self, "_bound", functools.partial(_KINDS[kind], **arguments))

    def __setattr__(self, name: str, value: Any = None) -> None:
        raise AttributeError(f"schedules do not change; make a new {self.kind}(...) with another {name}")

    __delattr__ = __setattr__

    def __call__(self, t: float) -> float:
        """The value at step t, counted from 0; steps before the first are the first."""
        return float(self._bound(max(t, 0)))  # type: ignore[attr-defined]

    def __mul__(self, other: Any) -> Schedule:
        from .compose import chain

        return chain(self, other) if callable(other) or _is_number(other) else NotImplemented

    def __rmul__(self, other: Any) -> Schedule:
        from .compose import chain

        return chain(other, self) if callable(other) or _is_number(other) else NotImplemented

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Schedule):
            return NotImplemented
        return self.kind == other.kind and self.arguments == other.arguments

    def __hash__(self) -> int:
        return hash((self.kind, tuple(self.arguments.items())))

    def __repr__(self) -> str:
        names = inspect.signature(_KINDS[self.kind]).parameters
        texts = [
            repr(value)
            if names[name].kind is inspect.Parameter.POSITIONAL_OR_KEYWORD
            else f"{name}={value!r}"
            for name, value in self.arguments.items()
        ]
        return f"{self.kind}({', '.join(texts)})"

    def __reduce__(self) -> tuple[Any, ...]:
        return Schedule, (self.kind, self.arguments)

    def is_data(self) -> bool:
        """Whether all of it can be stored: it holds no foreign callable."""
        return all(map(_is_data, self.arguments.values()))

    def to_dict(self) -> dict[str, Any]:
        """The schedule as plain values; `from_dict` makes it again.

        Raises:
            TypeError: if it holds a callable that is no schedule.

        >>> from neurenix.optim.schedule import cosine
        >>> cosine(0.1, steps=5).to_dict()
        {'schedule': 'cosine', 'value': 0.1, 'steps': 5, 'end': 0.0}
        """
        return {"schedule": self.kind, **{name: _pack(value) for name, value in self.arguments.items()}}


def schedule(function: Callable[Concatenate[float, P], float]) -> Callable[P, Schedule]:
    """Makes a kind of schedule of a function `f(t, ...)`, to be called with all arguments but the step.

    Arguments are checked by name and type: numbers must be finite, counts of steps integers ≥ 0; callables
    may be schedules. Kinds are known by the function's name, also in checkpoints.

    >>> from neurenix.optim.schedule import schedule
    >>> @schedule
    ... def sawtooth(t, height, *, steps):
    ...     return height * (t % steps) / steps
    >>> saw = sawtooth(1.0, steps=4)
    >>> saw, saw(3)
    (sawtooth(1.0, steps=4), 0.75)
    """
    kind = function.__name__
    signature = inspect.signature(function)
    own = signature.replace(parameters=list(signature.parameters.values())[1:], return_annotation="Schedule")
    _KINDS[kind] = function

    @functools.wraps(function)
    def make(*args: P.args, **kwargs: P.kwargs) -> Schedule:
        try:
            bound = own.bind(*args, **kwargs)
        except TypeError as error:
            raise TypeError(f"{kind}{own.replace(return_annotation=own.empty)}: {error}") from None
        bound.apply_defaults()
        made = Schedule(
            kind, {name: _checked(f"{kind}: {name}", name, v) for name, v in bound.arguments.items()}
        )
        made(0)  # what the arguments together do not allow is an error now, not at the first step
        return made

    make.__signature__ = own  # type: ignore[attr-defined]
    return make


def from_dict(data: Mapping[str, Any]) -> Schedule:
    """The schedule that `to_dict` described.

    Raises:
        ValueError: for an unknown kind or arguments that it does not take.

    >>> from neurenix.optim.schedule import constant, from_dict
    >>> from_dict(constant(0.1).to_dict())
    constant(0.1)
    """
    kind = data.get("schedule")
    if not isinstance(kind, str) or kind not in _KINDS:
        raise ValueError(f"no schedule is called {kind!r}; there are: {', '.join(sorted(_KINDS))}")
    arguments = {str(name): _unpack(value) for name, value in data.items() if name != "schedule"}
    taken = list(inspect.signature(_KINDS[kind]).parameters)[1:]
    if sorted(arguments) != sorted(taken):
        raise ValueError(
            f"the schedule {kind} takes {', '.join(taken)}, got {', '.join(arguments) or 'nothing'}"
        )
    return Schedule(kind, {name: _checked(f"{kind}: {name}", name, arguments[name]) for name in taken})


_COUNTS: Final = ("steps", "every")


def _checked(label: str, name: str, value: Any) -> Any:
    if isinstance(value, (list, tuple)):
        return tuple(_checked(f"{label}[{i}]", "", item) for i, item in enumerate(value))
    if name in _COUNTS:
        least = 1 if name == "every" else 0
        if isinstance(value, bool) or not isinstance(value, int) or value < least:
            raise ValueError(f"{label} must be an integer ≥ {least}, got {value!r}")
        return value
    if isinstance(value, str) or callable(value):
        return value
    if not _is_number(value):
        raise TypeError(f"{label} must be a number, got {value!r} ({type(value).__name__})")
    if not math.isfinite(value):
        raise ValueError(f"{label} must be finite, got {value!r}")
    return value


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _is_data(value: Any) -> bool:
    if isinstance(value, tuple):
        return all(map(_is_data, value))
    return value.is_data() if isinstance(value, Schedule) else not callable(value)


def _pack(value: Any) -> Any:
    if isinstance(value, tuple):
        return [_pack(item) for item in value]
    if callable(value) and not isinstance(value, Schedule):
        raise TypeError(f"{value!r} is no schedule and cannot be stored; write it with @schedule")
    return value.to_dict() if isinstance(value, Schedule) else value


def _unpack(value: Any) -> Any:
    if isinstance(value, (list, tuple)):
        return tuple(map(_unpack, value))
    return from_dict(value) if isinstance(value, Mapping) else value
