"""Schedules as objects that are stepped, for loops written that way."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from .multiplier import load_states, multipliers

if TYPE_CHECKING:
    from ..optimizer import Optimizer


class Scheduler:
    """Writes a schedule's value into an optimizer's groups, one step further at each `step()`.

    Passing the schedule itself as the hyperparameter, `AdamW(params, lr=cosine(...))`, needs no such object;
    this form is for steps that are not the optimizer's, such as epochs.

    Args:
        optimizer: whose groups are written.
        schedule: a function of the step, counted from 0; its first value is written at once.
        hyper: the hyperparameter.
        relative: multiply the value that each group began with by the schedule's instead of replacing it. Groups keep
            it, as "initial_lr".

    Warns:
        UserWarning: at a step before the first of the optimizer.

    Example:
        >>> import neurenix as nx
        >>> from neurenix.optim.schedule import step
        >>> w = nx.Tensor([1.0], requires_grad=True)
        >>> optimizer = nx.optim.SGD([w], lr=0.5)
        >>> scheduler = nx.optim.Scheduler(optimizer, step(1.0, every=2, gamma=0.1), relative=True)
        >>> for epoch in range(2):
        ...     optimizer.step()
        ...     scheduler.step()
        >>> scheduler.get_last_lr()
        [0.05]
    """

    def __init__(
        self,
        optimizer: Optimizer,
        schedule: Callable[[int], float],
        hyper: str = "lr",
        relative: bool = False,
    ) -> None:
        if not callable(schedule):
            raise TypeError(f"Scheduler: schedule must be a function of the step, got {schedule!r}")
        if hyper not in optimizer.defaults:
            known = ", ".join(optimizer.defaults)
            raise ValueError(f"Scheduler: {type(optimizer).__name__} has no {hyper!r}; it has {known}")
        self.optimizer = optimizer
        self.schedule = schedule
        self.hyper = hyper
        self.relative = relative
        self._base: list[float] = []  # what the groups' values were
        self._go(0)

    @property
    def last_step(self) -> int:
        """How many steps have been made."""
        return self._t

    def step(self) -> None:
        """Goes one step further."""
        if self._t == 0 and not self.optimizer._has_stepped():
            warnings.warn(
                "Scheduler.step() comes before the first optimizer.step(), so the first value is never used; call "
                "optimizer.step() before it",
                UserWarning,
                stacklevel=2,
            )
        self._go(self._t + 1)

    def get_last_lr(self) -> list[float]:
        """The value that each group has now."""
        return [group[self.hyper] for group in self.optimizer.param_groups]

    def state_dict(self) -> dict[str, Any]:
        """The step, what relative schedules multiply, and the states of factors such as `Plateau`."""
        states = [factor.state_dict() for factor in multipliers(self.schedule)]
        return {"step": self._t, "base": list(self._base), **({"multipliers": states} if states else {})}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Goes on where `state_dict` was made; before or after the optimizer's own state is loaded."""
        step, base = state_dict.get("step"), state_dict.get("base")
        if isinstance(step, bool) or not isinstance(step, int) or step < 0:
            raise ValueError(f"Scheduler: step must be an integer ≥ 0, got {step!r}")
        if not isinstance(base, (list, tuple)) or len(base) != len(self.optimizer.param_groups):
            raise ValueError(
                f"Scheduler: base needs {len(self.optimizer.param_groups)} values, one a group, got {base!r}"
            )
        load_states("Scheduler", multipliers(self.schedule), state_dict.get("multipliers", ()))
        self._go(step, list(base))

    def _go(self, step: int, base: list[float] | None = None) -> None:
        value = self.schedule(step)
        self._base = self._base if base is None else base
        for group in self.optimizer.param_groups[len(self._base) :]:
            own: Any = group[self.hyper]
            self._base.append(group.setdefault(f"initial_{self.hyper}", own) if self.relative else own)
        for first, group in zip(self._base, self.optimizer.param_groups, strict=False):
            group[self.hyper] = first * value if self.relative else value
        self._t = step

    def __repr__(self) -> str:
        relative = ", relative=True" if self.relative else ""
        return f"Scheduler({self.schedule!r}, hyper={self.hyper!r}{relative}, last_step={self._t})"
