"""What an optimizer keeps for each parameter."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeAlias

from neurenix._phynexus import Tensor

Kind: TypeAlias = Literal["full", "row", "column", "batch", "scalar", "tensor"]
View: TypeAlias = tuple[int, int, int]

# Which of (batch, rows, columns) a state of a kind has a value for.
_KEPT: Final[dict[str, tuple[bool, bool, bool]]] = {
    "full": (True, True, True),
    "row": (True, True, False),
    "column": (True, False, True),
    "batch": (True, False, False),
}


@dataclass(frozen=True)
class State:
    """A state of an update rule; a plain name is the same as `State(name)`.

    Args:
        name: its key in `optimizer.state[param]`.
        kind: "full" is a tensor of the parameter's shape; "row", "column" and "batch" hold one value for each row,
            column or matrix of the parameter seen as (batch, rows, columns); "scalar" is one float64 number; "tensor"
            is of any shape and belongs to the optimizer's tensor code, formulas do not see it.
        init: what it begins as: a number, "param" (the parameter's value), or a function of the group.
        sized: for "tensor", its shape as a function of (parameter, group); without it the tensor code makes it.

    >>> from neurenix.optim import State
    >>> State("row_var", kind="row")
    State(name='row_var', kind='row', init=0.0, sized=None)
    """

    name: str
    kind: Kind = "full"
    init: float | Literal["param"] | Callable[[dict[str, Any]], float] = 0.0
    sized: Callable[[Tensor, dict[str, Any]], tuple[int, ...]] | None = None

    def shape(self, param: Tensor, view: View) -> tuple[int, ...]:
        """The shape of the state of a parameter that is seen as `view`."""
        if self.kind == "full":
            return tuple(param.shape)
        kept = tuple(size if keep else 1 for size, keep in zip(view, _KEPT[self.kind], strict=True))
        return kept if param.ndim > 2 else kept[1:]

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
            return param.detach().to(dtype).clone()
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
