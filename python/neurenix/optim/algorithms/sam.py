"""SAM and ASAM."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

from neurenix._phynexus import Tensor

from ..formula import Value, global_norm
from ..groups import Group, Scheduled
from ..limits import NOT_NEGATIVE, Flag
from ..optimizer import Optimizer
from ..states import State
from ..wrapper import Wrapper


class SAM(Wrapper):
    """Any optimizer with gradients from the worst place nearby: flatter minima, which generalise better.

        e ← ρ·g / ‖g‖                      over all parameters together
        e ← ρ·p²·g / ‖|p|·g‖               with adaptive=True (ASAM)
        step of the wrapped optimizer from p with the gradient at p + e

    A step calls its closure twice and costs twice as much. Keeps one more float for each parameter, which is not saved.
    Batch statistics should be gathered in the first of both calls only.

    Args:
        optimizer: the optimizer to wrap.
        rho: ρ, how far away the gradient is taken, ≥ 0 (about 0.05; 0.5 with adaptive=True).
        adaptive: measure the distance in units of each parameter (ASAM).

    Raises:
        ValueError, TypeError: for a value out of its range, or a step without a closure.

    Example:
        >>> import neurenix as nx
        >>> w = nx.Tensor([1.0], requires_grad=True)
        >>> optimizer = nx.optim.SAM(nx.optim.SGD([w], lr=0.25), rho=0.5)
        >>> def closure():
        ...     optimizer.zero_grad()
        ...     loss = (w * w).sum()
        ...     loss.backward()
        ...     return loss
        >>> optimizer.step(closure).item()
        1.0
        >>> w.item()
        0.25

    References:
        P. Foret et al., Sharpness-aware minimization for efficiently improving generalization, arXiv 2010.01412.
        J. Kwon et al., ASAM, arXiv 2102.11600.
    """

    limits: ClassVar = {"rho": NOT_NEGATIVE, "adaptive": Flag()}

    def __init__(self, optimizer: Optimizer, rho: Scheduled = 0.05, adaptive: bool = False) -> None:
        super().__init__(optimizer, {"rho": rho, "adaptive": adaptive})

    @staticmethod
    def formula(p: Value, g: Value, *, inner: Callable[[Value, Value], Value]) -> Value:
        """The wrapped rule."""
        return inner(p, g)

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Calls the closure at the parameters, then at the worst place nearby; steps with the gradients of there."""
        if closure is None:
            raise TypeError(
                f"{type(self).__name__}.step needs a closure that computes the loss and its gradients, for two calls"
            )
        loss = closure()
        climb = self._climb()
        moved = [p for group in self.param_groups for p in group["params"] if p.grad is not None]
        climb.step()
        try:
            self.zero_grad()
            closure()
        finally:
            for param in moved:
                param.copy_(climb.decoded(param, "start"))
        super()._advance()
        return loss

    def _climb(self) -> _Climb:
        """The step to the worst place nearby, of parameters that have a gradient now."""
        groups = self.param_groups
        known = self.__dict__.get("_climber")
        if known is None or [group["params"] for group in known.param_groups] != [
            g["params"] for g in groups
        ]:
            known = self._climber = _Climb(groups)
        for mine, group in zip(known.param_groups, groups, strict=True):
            mine.update({name: value for name, value in self.hyperparameters(group).items() if name in _OWN})
        return known

    def __getstate__(self) -> dict[str, Any]:
        """Without the climb, which begins anew at each step."""
        return {name: value for name, value in super().__getstate__().items() if name != "_climber"}


_OWN = ("rho", "adaptive")


def _members(groups: list[Group]) -> list[list[int]]:
    return [[id(param) for param in group["params"]] for group in groups]


class _Climb(Optimizer):
    """p ← p + e, and what p was."""

    states: ClassVar = (State("start", role="position"),)
    limits: ClassVar = SAM.limits

    def __init__(self, groups: list[Group]) -> None:
        parts = [{"params": group["params"]} for group in groups]
        super().__init__(parts, {"rho": 0.0, "adaptive": False})

    def _claim(self, params: list[Tensor]) -> None:
        """The parameters stay those of the optimizer that it climbs for."""

    @staticmethod
    def formula(p: Value, g: Value, start: Value, *, rho: Value, adaptive: bool) -> tuple[Value, Value]:
        """The way to the worst place nearby."""
        weighted = abs(p) * g if adaptive else g
        length = global_norm(weighted) + 1e-12
        return p + rho / length * (p * p * g if adaptive else g), p
