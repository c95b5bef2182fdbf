"""What an update rule is: its formula, its states, and what of them depends on the group or the parameter."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from neurenix._phynexus import Tensor

from .groups import Group
from .limits import ANYTHING, COMMON, Limit
from .options import surround
from .packing import Option
from .states import State, View, as_states, default_view
from .tracing import Layer, Recipe, keywords

if TYPE_CHECKING:
    from .binding import Batch


class UpdateRule:
    """The part of an optimizer that its authors write; override the methods where a group or a parameter decides."""

    states: ClassVar[Sequence[str | State]] = ()
    """The states of a parameter: what the formula takes after p and g, and returns after p. Plain names are
    tensors of the parameter's shape that begin as zeros, in float32 (float64 for float64 parameters)."""
    formula: ClassVar[Callable[..., Any] | None] = None
    """`formula(p, g, *states, t, **hyperparameters) -> (p, *states)`; t counts the parameter's steps from
    1."""
    decay_mode: ClassVar[str] = "l2"
    """How `weight_decay` acts by default, see `Options`; a formula that asks for `weight_decay` applies it itself."""
    limits: ClassVar[Mapping[str, Limit]] = COMMON
    """What hyperparameters may be; a subclass gives those that differ from its base."""
    takes_rows: ClassVar[Literal["still", "lazy"] | None] = None
    """Whether of a row-sparse gradient only its rows are stepped: "still" if the formula leaves all others as they are
    where there is neither momentum nor weight decay, "lazy" if they are to wait whatever it says."""

    _sums: bool = False  # whether gradients may wait for others
    param_update: str
    state_dtype: Option
    _mode: str | None

    def states_for(self, group: Group, variant: Any = None) -> Sequence[str | State]:
        """The states that parameters of a variant need under these hyperparameters."""
        return self.states

    def variant(self, param: Tensor, group: Group) -> Any:
        """What a formula is told of a parameter when it is traced, by the keyword `variant`; must be hashable."""
        return None

    def view(self, param: Tensor, group: Group) -> View:
        """A parameter as (batch, rows, columns), along which formulas reduce."""
        return default_view(param)

    def is_directed(self, variant: Any) -> bool:
        """Whether `direction` is called for parameters of a variant."""
        return type(self).direction is not UpdateRule.direction

    def direction(self, batch: Batch) -> list[Tensor]:
        """For each of `batch.params` a float32 tensor of its shape, which the formula takes after g.

        Ordinary tensor code, run without recording gradients, for rules that need products or factorizations.
        """
        raise NotImplementedError

    def recipe(self, group: Group, variant: Any, layers: tuple[Layer, ...] = ()) -> Recipe:
        """The rule with these layers and everything that options put around it."""
        assert self.formula is not None
        states = tuple(s for s in as_states(self.states_for(group, variant)) if s.kind != "tensor")
        rule = Recipe(self.formula, states, layers, True, self.is_directed(variant))
        named = keywords(self.formula)
        own = named is None or "weight_decay" in named
        mode = self._mode or ("inside" if own else self.decay_mode)
        return surround(rule, group, mode, self._sums, self.param_update)

    def all_states(self, group: Group, variant: Any) -> tuple[State, ...]:
        """The states of a parameter: those of the rule, of what options put around it, and of its tensor code."""
        own = [s for s in as_states(self.states_for(group, variant)) if s.kind == "tensor"]
        states = (*self.recipe(group, variant).all_states(), *own)
        names = [state.name for state in states]
        if "step" in names or len(set(names)) < len(names):
            raise ValueError(
                f"{type(self).__name__}: each state needs a name of its own that is not 'step', got {', '.join(names)}"
            )
        return states

    def evaluation(self, param: Tensor, group: Group, entry: Mapping[str, Any]) -> Tensor | None:
        """The weights to evaluate in place of a parameter, of its decoded state; None where they are the parameter."""
        return None

    def variants(self, group: Group) -> list[Any]:
        """The variants of a group's parameters."""
        return list(dict.fromkeys(self.variant(param, group) for param in group["params"]))

    def limit(self, name: str) -> Limit:
        """What a hyperparameter may be."""
        return self.limits.get(name, ANYTHING)
