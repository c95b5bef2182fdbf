"""What a schedule is: a named function of the step with its arguments bound."""

from __future__ import annotations

import functools
import inspect
import os
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Concatenate, Final, ParamSpec

from .arguments import bound, signature

if TYPE_CHECKING:
    from matplotlib.figure import Figure

P = ParamSpec("P")

_FUNCTIONS: Final[dict[str, Callable[..., float]]] = {}
MAKERS: Final[dict[str, Callable[..., Schedule]]] = {}


class Schedule:
    """A function of the step, `schedule(t) -> float`, that is also a value: comparable, printable, storable.

    Schedules multiply with each other, with numbers and with functions of the step.

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
        object.__setattr__(self, "_bound", functools.partial(_FUNCTIONS[kind], **arguments))

    def __setattr__(self, name: str, value: Any = None) -> None:
        raise AttributeError(f"schedules do not change; make a new {self.kind}(...) with another {name}")

    __delattr__ = __setattr__

    def __call__(self, t: float) -> float:
        """The value at step t, counted from 0; steps before the first are the first."""
        return float(self._bound(max(t, 0)))  # type: ignore[attr-defined]

    def start(self) -> float:
        """The value that it starts from. Without any steps that is its first argument; it is then at its end at once.

        >>> from neurenix.optim.schedule import cosine
        >>> fall = cosine(1.0, steps=0)
        >>> fall.start(), fall(0)
        (1.0, 0.0)
        """
        first = next(iter(self.arguments.values()), None)
        if self.arguments.get("steps") == 0 and (isinstance(first, (int, float)) or callable(first)):
            return start_of(first)
        return float(
            _FUNCTIONS[self.kind](0, **{name: _started(part) for name, part in self.arguments.items()})
        )

    def __mul__(self, other: Any) -> Schedule:
        from .compose import chain

        return chain(self, other) if _is_factor(other) else NotImplemented

    def __rmul__(self, other: Any) -> Schedule:
        from .compose import chain

        return chain(other, self) if _is_factor(other) else NotImplemented

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Schedule):
            return NotImplemented
        return self.kind == other.kind and self.arguments == other.arguments

    def __hash__(self) -> int:
        return hash((self.kind, tuple(self.arguments.items())))

    def __repr__(self) -> str:
        names = self._parameters()
        texts = [
            repr(value)
            if names[name].kind is inspect.Parameter.POSITIONAL_OR_KEYWORD
            else f"{name}={value!r}"
            for name, value in self.arguments.items()
            if names[name].default is inspect.Parameter.empty or value != names[name].default
        ]
        return f"{self.kind}({', '.join(texts)})"

    def __reduce__(self) -> tuple[Any, ...]:
        return Schedule, (self.kind, self.arguments)

    def _parameters(self) -> Mapping[str, inspect.Parameter]:
        return signature(_FUNCTIONS[self.kind]).parameters

    def is_data(self) -> bool:
        """Whether all of it can be stored: it holds no foreign callable."""
        return all(map(_is_data, self.arguments.values()))

    def to_dict(self) -> dict[str, Any]:
        """The schedule as plain values; `from_dict` makes it again.

        Raises:
            TypeError: if it holds a callable that is no schedule.

        >>> from neurenix.optim.schedule import linear
        >>> linear(0.1, 0.0, steps=5).to_dict()
        {'schedule': 'linear', 'start': 0.1, 'end': 0.0, 'steps': 5}
        """
        return {"schedule": self.kind, **{name: _pack(value) for name, value in self.arguments.items()}}

    def plot(self, steps: int, path: str | os.PathLike[str] | None = None) -> Figure:
        """Draws the values of the first steps; needs matplotlib.

        Args:
            steps: how many, ≥ 1.
            path: where to write the picture, if anywhere; the ending says the format.

        Returns:
            The matplotlib figure, which notebooks show.

        Raises:
            ImportError: where matplotlib is not installed.
            ValueError: if there is nothing to draw.

        >>> from neurenix.optim.schedule import one_cycle
        >>> figure = one_cycle(0.1, steps=100).plot(100)
        """
        from .plot import plot

        return plot(self, steps, path)


def schedule(function: Callable[Concatenate[float, P], float]) -> Callable[P, Schedule]:
    """Makes a kind of schedule of a function `f(t, ...)`, to be called with all arguments but the step.

    Arguments are checked when the schedule is made, by what their annotations say: `Literal` choices, `bool`,
    `Sequence`, and limits such as `Annotated[float, Between(0, 1)]` of `neurenix.optim.schedule.arguments`. Without
    annotations numbers must be finite, and `steps` an integer ≥ 0. The function is tried at step 0 as well. Kinds are
    known by the function's name, also in checkpoints; ValueError for the name of another kind.

    >>> from neurenix.optim.schedule import schedule
    >>> @schedule
    ... def sawtooth(t, height, *, steps):
    ...     return height * (t % steps) / steps
    >>> saw = sawtooth(1.0, steps=4)
    >>> saw, saw(3)
    (sawtooth(1.0, steps=4), 0.75)
    """
    kind = function.__name__

    @functools.wraps(function)
    def make(*args: P.args, **kwargs: P.kwargs) -> Schedule:
        made = Schedule(kind, bound(kind, function, args, kwargs))
        made(0)  # what the arguments together do not allow is an error now, not at the first step
        return made

    make.__signature__ = signature(function)  # type: ignore[attr-defined]
    register(kind, make)
    _FUNCTIONS[kind] = function
    return make


def register(kind: str, maker: Any) -> None:
    """Makes a kind known by its name. The same one may come again, as when a cell of a notebook is run twice.

    Raises:
        ValueError: for the name of another.
    """
    known: Any = MAKERS.get(kind)
    if known and (known.__module__, known.__qualname__) != (maker.__module__, maker.__qualname__):
        raise ValueError(
            f"{kind} is a schedule of {known.__module__} already, and saved schedules are found by name; give "
            f"{maker.__qualname__} of {maker.__module__} another"
        )
    MAKERS[kind] = maker


def from_dict(data: Mapping[str, Any]) -> Schedule:
    """The schedule that `to_dict` described. Arguments that it leaves out have their defaults.

    Raises:
        ValueError: for an unknown kind, or arguments that it does not take or allow.

    >>> from neurenix.optim.schedule import constant, from_dict
    >>> from_dict(constant(0.1).to_dict())
    constant(0.1)
    """
    kind = data.get("schedule")
    if not isinstance(kind, str) or kind not in MAKERS:
        raise ValueError(f"no schedule is called {kind!r}; there are: {', '.join(sorted(MAKERS))}")
    arguments = {str(name): _unpack(value) for name, value in data.items() if name != "schedule"}
    try:
        return MAKERS[kind](**arguments)
    except TypeError as error:
        raise ValueError(str(error)) from None


def start_of(part: Any) -> float:
    """The value that a number, a schedule or another function of the step starts from."""
    if isinstance(part, Schedule):
        return part.start()
    return float(part(0) if callable(part) else part)


def _started(value: Any) -> Any:
    """An argument with the values that its schedules start from in their place."""
    if isinstance(value, tuple):
        return tuple(map(_started, value))
    return value.start() if isinstance(value, Schedule) else value


def _is_factor(value: Any) -> bool:
    return callable(value) or (isinstance(value, (int, float)) and not isinstance(value, bool))


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
    return from_dict(value) if isinstance(value, Mapping) and "schedule" in value else value
