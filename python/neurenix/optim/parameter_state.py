"""`optimizer.state`: what is kept of each parameter, to be read and written."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, MutableMapping, Sequence
from typing import Any

from neurenix._phynexus import Counts, Tensor

from .packing import scale_key


class Written:
    """Whether a state was written since the compiled rules were bound to it."""

    __slots__ = ("flag",)

    def __init__(self) -> None:
        self.flag = False


class ParameterState(MutableMapping[str, Any]):
    """The state of one parameter: "step", and tensors and numbers by name. What is written holds at the next step.

    The step count and the numbers are the engine's own once a rule is bound: they are kept nowhere else. A tensor that
    is assigned takes the place of the old one, and what is deleted begins anew.

    >>> import neurenix as nx
    >>> w = nx.Tensor([1.0], requires_grad=True)
    >>> optimizer = nx.optim.Adam([w])
    >>> w.grad = nx.Tensor([1.0])
    >>> optimizer.step()
    >>> optimizer.state[w]["step"] = 0
    >>> optimizer.state[w]["exp_avg"] = nx.zeros(1)
    >>> optimizer.step()
    >>> optimizer.state[w]["step"], round(optimizer.state[w]["exp_avg"].item(), 3)
    (1, 0.1)
    """

    __slots__ = ("_counts", "_numbers", "_values", "_written")

    def __init__(self, written: Written, values: Mapping[str, Any] | Iterable[tuple[str, Any]] = ()) -> None:
        self._written = written
        self._values: dict[str, Any] = dict(values)  # None in the place of what the engine counts
        self._counts: Counts | None = None
        self._numbers: tuple[str, ...] = ()  # which states are numbers of the engine's

    def __getitem__(self, name: str) -> Any:
        if self._counts is not None:
            if name == "step":
                return self._counts.step
            if name in self._numbers:
                return self._counts.numbers[self._numbers.index(name)]
        return self._values[name]

    def __setitem__(self, name: str, value: Any) -> None:
        counts = self._counts
        if counts is not None and name == "step":
            counts.step = as_count(value)
        elif counts is not None and name in self._numbers:
            numbers = counts.numbers
            numbers[self._numbers.index(name)] = as_number(name, value)
            counts.numbers = numbers
        else:
            if not isinstance(name, str):
                raise TypeError(f"a state's name is a string, got {name!r}")
            values = {**self._values, name: value}
            if isinstance(value, Tensor) and value.dtype.name != "uint8":
                values.pop(scale_key(name), None)  # of the codes that were there
            self._values, self._written.flag = values, True

    def __delitem__(self, name: str) -> None:
        values = dict(self.items())
        del values[name]
        self._written.flag = True
        self.replace(values)

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __contains__(self, name: object) -> bool:
        return name in self._values

    def clear(self) -> None:
        """Forgets all of it; the next step begins anew."""
        self._written.flag = True
        self.replace({})

    def keep(self, values: Mapping[str, Any]) -> None:
        """Takes what no compiled rule is bound to: what tensor code made, and codes; None takes away."""
        gone = {name for name, value in values.items() if value is None}
        merged = {**self._values, **values}
        self._values = {name: value for name, value in merged.items() if name not in gone}

    def replace(self, values: dict[str, Any]) -> None:
        """Takes these values instead, none of which the engine counts."""
        self._values, self._counts, self._numbers = values, None, ()

    def bind(self, values: dict[str, Any], numbers: Sequence[str], further: Sequence[float] = ()) -> None:
        """Takes these values instead, with "step" and `numbers` as the engine's, and `further` ones without a name."""
        step, own = as_count(values["step"]), [as_number(name, values[name]) for name in numbers]
        own += further
        counts = self._counts
        if counts is None or self._numbers != tuple(numbers) or counts.numbers != own:
            counts = Counts(step, own)
        shown = {**values, "step": None, **dict.fromkeys(numbers)}
        self._values, self._counts, self._numbers = shown, counts, tuple(numbers)

    @property
    def counts(self) -> Counts:
        """The engine's part."""
        assert self._counts is not None
        return self._counts

    def __copy__(self) -> dict[str, Any]:
        return dict(self)

    def __deepcopy__(self, memo: dict[int, Any]) -> dict[str, Any]:
        import copy

        return copy.deepcopy(dict(self), memo)

    def __reduce__(self) -> tuple[Any, ...]:
        return dict, (list(self.items()),)

    def __repr__(self) -> str:
        return repr(dict(self))


class OptimizerState(MutableMapping[Tensor, ParameterState]):
    """The states of all parameters; one that has none yet is given an empty one, as by a defaultdict."""

    __slots__ = ("_entries", "written")

    def __init__(self, entries: Mapping[Tensor, Any] | Iterable[tuple[Tensor, Any]] = ()) -> None:
        self.written = Written()
        self._entries = {
            param: ParameterState(self.written, values) for param, values in dict(entries).items()
        }

    def __getitem__(self, param: Tensor) -> ParameterState:
        entry = self._entries.get(param)
        if entry is None:
            entry = self._entries[param] = ParameterState(self.written)
        return entry

    def __setitem__(self, param: Tensor, values: Mapping[str, Any]) -> None:
        if not isinstance(param, Tensor):
            raise TypeError(f"optimizer.state is by parameter, got the key {param!r}")
        if not isinstance(values, Mapping):
            raise TypeError(f"the state of a parameter is a dict of names and values, got {values!r}")
        self.written.flag = True
        if not (isinstance(values, ParameterState) and values._written is self.written):
            values = ParameterState(self.written, values)
        self._entries[param] = values

    def __delitem__(self, param: Tensor) -> None:
        self.written.flag = True
        del self._entries[param]

    def __iter__(self) -> Iterator[Tensor]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)

    def __contains__(self, param: object) -> bool:
        return param in self._entries

    def get(self, param: Tensor, default: Any = None) -> Any:
        """The state of a parameter if it has one."""
        return self._entries.get(param, default)

    def pop(self, param: Tensor, *default: Any) -> Any:
        """Takes the state of a parameter away and gives it."""
        entry = self._entries[param] if not default else self._entries.get(param, default[0])
        if param in self._entries:
            del self[param]
        return entry

    def __repr__(self) -> str:
        return repr(dict(self))


def as_count(value: Any) -> int:
    """A step count: an integer, also as a float or a tensor of one element."""
    count = value.item() if isinstance(value, Tensor) and value.numel() == 1 else value
    if isinstance(count, float) and count.is_integer():
        count = int(count)
    if isinstance(count, bool) or not isinstance(count, int) or count < 0:
        raise ValueError(f"step must be an integer ≥ 0, got {value!r}")
    return count


def as_number(name: str, value: Any) -> float:
    """A state that is one number."""
    number = value.item() if isinstance(value, Tensor) and value.numel() == 1 else value
    if isinstance(number, bool) or not isinstance(number, (int, float)):
        raise ValueError(f"{name} must be a number, got {value!r}")
    return float(number)
