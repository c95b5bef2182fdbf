"""What an optimizer keeps for each parameter."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeAlias

from neurenix._phynexus import Tensor

Kind: TypeAlias = Literal["full", "row", "column", "batch", "scalar", "tensor"]
Role: TypeAlias = Literal["average", "square", "position"]
View: TypeAlias = tuple[int, int, int]

# Which of (batch, rows, columns) a state of a kind has a value for.
_KEPT: Final[dict[str, tuple[bool, bool, bool]]] = {
    "full": (True, True, True),
    "row": (True, True, False),
    "column": (True, False, True),
    "batch": (True, False, False),
}

# The formats that values of a role bear, and what is next wider.
_BORNE: Final[dict[str, tuple[str, ...]]] = {
    "average": ("bfloat16", "float16", "int8", "int4"),
    "square": ("bfloat16", "int8", "int4"),
}
#: Of an average that is the step itself, not divided by the root of its squares, and of a largest value so far, which
#: keeps what was rounded up: four bits of them train worse.
EIGHT_BITS: Final = ("bfloat16", "float16", "int8")
_WIDER: Final = {"int4": "int8", "int8": "bfloat16", "float16": "bfloat16", "bfloat16": "float32"}


@dataclass(frozen=True)
class State:
    """A state of an update rule; a plain name is the same as `State(name)`.

    Args:
        name: its key in `optimizer.state[param]`.
        kind: "full" is a tensor of the parameter's shape; "row", "column" and "batch" hold one value for each row,
            column or matrix of the parameter seen as (batch, rows, columns); "scalar" is one float64 number; "tensor"
            is of any shape and belongs to the optimizer's tensor code, formulas do not see it.
        init: what it begins as: a number, "param" (the parameter's value, of a row, column or matrix the first), or a
            function of the group.
        sized: for "tensor", its shape as a function of (parameter, group); without it the tensor code makes it.
        stored: "asked" in the format of the option `state_dtype`, "param" in the parameter's dtype, "own" always in
            float32: sums that must be exact, states of which the difference or the largest value counts.
        role: what its values are, which says what formats they bear. An "average" is of gradients or updates and has
            either sign; it bears all. A "square" is never negative: averages and sums of squares, magnitudes. Its range
            is too wide for float16, and no positive value becomes 0. A "position" is a place among the weights, or a
            sum that weights are computed from; it keeps float32.
        formats: those that it bears, of "bfloat16", "float16", "int8" and "int4"; by default as its role says. Where
            another is asked for it has the next wider: int8 for int4, bfloat16 for int8 and float16, then float32.

    >>> from neurenix.optim import State
    >>> State("exp_avg_sq", role="square").is_signed
    False
    """

    name: str
    kind: Kind = "full"
    init: float | Literal["param"] | Callable[[dict[str, Any]], float] = 0.0
    sized: Callable[[Tensor, dict[str, Any]], tuple[int, ...]] | None = None
    stored: Literal["asked", "param", "own"] = "asked"
    role: Role = "average"
    formats: tuple[str, ...] | None = None

    @property
    def is_signed(self) -> bool:
        """Whether values can be negative."""
        return self.role != "square"

    @property
    def is_exact(self) -> bool:
        """Whether it keeps float32 whatever `state_dtype` asks for."""
        return self.kind != "full" or self.stored == "own" or self.role == "position"

    def stored_as(self, asked: str) -> str:
        """The format that it has where this one is asked for."""
        bears = _BORNE.get(self.role, ())
        own = bears if self.formats is None else self.formats
        while asked in _WIDER and not (asked in bears and asked in own):
            asked = _WIDER[asked]
        return asked

    def shape(self, param: Tensor, view: View) -> tuple[int, ...]:
        """The shape of the state of a parameter that is seen as `view`."""
        if self.kind == "full":
            return tuple(param.shape)
        kept = tuple(size if keep else 1 for size, keep in zip(view, _KEPT[self.kind], strict=True))
        return kept if param.ndim > 2 or view[0] > 1 else kept[1:]

    def _first(self, value: Tensor, view: View) -> Tensor:
        """Of each row, column or matrix of a tensor the first value."""
        keeps = zip(view, _KEPT[self.kind], strict=True)
        places = tuple(slice(None) if keep else slice(1) for _, keep in keeps)
        return value.reshape(view)[places].clone()

    def expected(self, param: Tensor, view: View, group: dict[str, Any]) -> tuple[int, ...] | None:
        """The shape that it must have; None where tensor code decides, or for a number."""
        if self.kind == "scalar" or (self.kind == "tensor" and self.sized is None):
            return None
        return self.sized(param, group) if self.sized else self.shape(param, view)

    def start(self, param: Tensor, view: View, group: dict[str, Any], dtype: str) -> Tensor | float | None:
        """What it is before the first step; None for what tensor code makes."""
        if self.kind == "tensor" and self.sized is None:
            return None
        if self.init == "param":
            own = param.detach().to(dtype).clone()
            return own if self.kind == "full" else self._first(own, view).reshape(self.shape(param, view))
        value = float(self.init(group) if callable(self.init) else self.init)
        if self.kind == "scalar":
            return value
        shape = self.expected(param, view, group)
        assert shape is not None
        return Tensor.full(shape, value, dtype=dtype, device=param.device)


def as_states(states: Iterable[str | State]) -> tuple[State, ...]:
    """Names as states."""
    return tuple(State(state) if isinstance(state, str) else state for state in states)


def default_view(param: Tensor) -> View:
    """(batch, rows, columns): all dimensions but the first are columns; a vector is one row."""
    if param.ndim < 2:
        return 1, 1, param.numel()
    return 1, param.shape[0], math.prod(param.shape[1:])
