"""Optimizers around optimizers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from neurenix._phynexus import Tensor

from .binding import Batch
from .groups import Group
from .limits import Limit
from .optimizer import Optimizer
from .plan import Plan
from .states import State, View, as_states
from .tracing import Layer, Recipe


class Wrapper(Optimizer):
    """Base of optimizers that change what another does: Lookahead, Grokfast, Schedule-Free, and your own.

    Its formula is `formula(p, g, *states, t, inner, **hyper)`, where `inner(p, g)` is the new p of the wrapped
    optimizer's step from p with gradient g. Both become one formula, so a wrapper costs no further pass over the
    parameters. The wrapped optimizer's groups become the wrapper's, with its hyperparameters beside their own;
    step the wrapper alone.

    Args:
        optimizer: the optimizer to wrap; it must be one with a formula.
        defaults: the wrapper's own hyperparameters.

    Raises:
        TypeError: if `optimizer` is none, or has a `step()` of its own instead of a formula.
        ValueError: if it has a hyperparameter or a state of the same name already.

    Example:
        >>> import neurenix as nx
        >>> class Doubled(nx.optim.Wrapper):
        ...     @staticmethod
        ...     def formula(p, g, *, inner):
        ...         return p + 2 * (inner(p, g) - p)
        >>> w = nx.Tensor([1.0], requires_grad=True)
        >>> optimizer = Doubled(nx.optim.SGD([w], lr=0.25), {})
        >>> w.grad = nx.Tensor([1.0])
        >>> optimizer.step()
        >>> w.item()
        0.5
    """

    def __init__(self, optimizer: Optimizer, defaults: Mapping[str, Any]) -> None:
        kind = type(self).__name__
        if not isinstance(optimizer, Optimizer) or optimizer.formula is None:
            raise TypeError(f"{kind} wraps an optimizer that has a formula, got {optimizer!r}")
        own = {state.name for state in as_states(self.states)}
        for group in optimizer.param_groups:
            known = {s.name for v in optimizer.variants(group) for s in optimizer.all_states(group, v)}
            if both := own & known | set(defaults) & set(optimizer.defaults):
                raise ValueError(f"{kind}: {type(optimizer).__name__} has {', '.join(sorted(both))} already")
        self.base = optimizer  #: what is wrapped
        self._begin(optimizer.nonfinite)
        sums = ("_accumulate", "_adds_up", "_sums")
        for name in ("_mode", *sums, "state_dtype", "param_update", "rounding_seed"):
            setattr(self, name, getattr(optimizer, name))
        self.defaults = {**optimizer.defaults, **defaults}
        self.normalize(kind, self.defaults)
        self._parameter_groups = optimizer.param_groups
        for group in self._parameter_groups:
            group.update({name: self.defaults[name] for name in defaults})
        self._state = self._kept()
        self._state.update({param: dict(entry) for param, entry in optimizer.state.items()})
        optimizer._replan()
        self._plans = [
            Plan(self._label(place), group, **plan.saved())
            for place, (group, plan) in enumerate(zip(self._parameter_groups, optimizer._plans, strict=True))
        ]
        optimizer._state, optimizer._plans = optimizer._kept(), []
        followed = optimizer._exchange.models
        self._claim([param for group in self.param_groups for param in group["params"]])
        for model in followed if self._has_evaluation() else ():
            self.follow(model)

    def _has_evaluation(self) -> bool:
        """Whether it, or the wrapped rule, wants other weights evaluated than it trains."""
        return type(self).evaluation is not Wrapper.evaluation or self.base._has_evaluation()

    def recipe(self, group: Group, variant: Any, layers: tuple[Layer, ...] = ()) -> Recipe:
        """The wrapped optimizer's rule with this layer around it."""
        assert self.formula is not None
        return self.base.recipe(group, variant, (*layers, Layer(self.formula, as_states(self.states))))

    def _keep_sums(self, keep: bool) -> None:
        super()._keep_sums(keep)
        self.base._keep_sums(keep)

    def normalize(self, label: str, group: Group) -> None:
        """Checks the hyperparameters of both."""
        super().normalize(label, group)
        self.base.normalize(label, group)

    def limit(self, name: str) -> Limit:
        """What a hyperparameter of either may be."""
        return self.base.limit(name) if name in self.base.defaults else super().limit(name)

    def states_for(self, group: Group, variant: Any = None) -> Sequence[str | State]:
        """The states of the wrapped rule."""
        return self.base.states_for(group, variant)

    def variant(self, param: Tensor, group: Group) -> Any:
        """As the wrapped rule has it."""
        return self.base.variant(param, group)

    def view(self, param: Tensor, group: Group) -> View:
        """As the wrapped rule has it."""
        return self.base.view(param, group)

    def is_directed(self, variant: Any) -> bool:
        """As the wrapped rule has it."""
        return self.base.is_directed(variant)

    def direction(self, batch: Batch) -> list[Tensor]:
        """The wrapped rule's."""
        return self.base.direction(batch)

    def evaluation(self, param: Tensor, group: Group, entry: Mapping[str, Any]) -> Tensor | None:
        """The wrapped rule's."""
        return self.base.evaluation(param, group, entry)
