"""The scheduler that follows a metric."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Literal

from ..optimizer import Optimizer
from ..schedule.arguments import Between, OneOf, Whole
from .base import LRScheduler, numbers


class ReduceLROnPlateau(LRScheduler):
    """Multiplies each group's learning rate by `factor` whenever a metric has stopped improving.

    Unlike PyTorch's, the relative threshold is a share of the best value's size also for negative metrics, so that a
    worse value is never an improvement, and infinite values never are.

    Args:
        optimizer: its groups' learning rates are written.
        mode: "min" or "max": which metric is good.
        factor: in (0, 1).
        patience: steps without improvement before the rate is reduced, ≥ 0.
        threshold: least improvement, ≥ 0.
        threshold_mode: "rel", a share of the best value, or "abs".
        cooldown: steps after a reduction in which nothing counts against the metric, ≥ 0.
        min_lr: least rate, or a list with one for each group.
        eps: least change of a rate that is made, ≥ 0.

    >>> import neurenix as nx
    >>> from neurenix.optim.lr_scheduler import ReduceLROnPlateau
    >>> optimizer = nx.optim.SGD(nx.nn.Linear(2, 1).parameters(), lr=1.0)
    >>> scheduler = ReduceLROnPlateau(optimizer, factor=0.5, patience=1)
    >>> for loss in (3.0, 2.0, 2.0, 2.0):
    ...     scheduler.step(loss)
    >>> scheduler.get_last_lr(), scheduler.best
    ([0.5], 2.0)
    """

    best: float  #: the best metric so far
    num_bad_epochs: int  #: steps since then

    def __init__(
        self,
        optimizer: Optimizer,
        mode: Literal["min", "max"] = "min",
        factor: float = 0.1,
        patience: int = 10,
        threshold: float = 1e-4,
        threshold_mode: Literal["rel", "abs"] = "rel",
        cooldown: int = 0,
        min_lr: float | list[float] = 0,
        eps: float = 1e-8,
    ) -> None:
        kind = type(self).__name__
        self.min_lrs = numbers(kind, "min_lr", optimizer, min_lr)
        self.default_min_lr = None if isinstance(min_lr, (list, tuple)) else self.min_lrs[0]
        self.mode = OneOf(("min", "max")).check(f"{kind}: mode", mode)
        self.factor = Between(0, 1, open=True).check(f"{kind}: factor", factor)
        self.patience = Whole(0).check(f"{kind}: patience", patience)
        self.threshold = Between(0).check(f"{kind}: threshold", threshold)
        self.threshold_mode = OneOf(("rel", "abs")).check(f"{kind}: threshold_mode", threshold_mode)
        self.cooldown = Whole(0).check(f"{kind}: cooldown", cooldown)
        self.eps = Between(0).check(f"{kind}: eps", eps)
        self.optimizer = optimizer
        self.last_epoch = 0
        self._last_lr = [group["lr"] for group in optimizer.param_groups]
        self.mode_worse = math.inf if mode == "min" else -math.inf
        self._reset()

    def _reset(self) -> None:
        """Forgets all metrics."""
        self.best, self.cooldown_counter, self.num_bad_epochs = self.mode_worse, 0, 0

    @property
    def in_cooldown(self) -> bool:
        """Whether bad metrics do not count now."""
        return self.cooldown_counter > 0

    def step(self, metrics: Any, epoch: float | None = None) -> None:  # type: ignore[override]
        """Takes in a metric: a number, or a tensor of one element."""
        try:
            current = float(metrics)
        except (TypeError, ValueError) as error:
            raise TypeError(f"{type(self).__name__}: step() takes the metric, got {metrics!r}") from error
        with self._all_or_nothing():
            self.last_epoch = self.last_epoch + 1 if epoch is None else epoch
            if self._is_better(current):
                self.best, self.num_bad_epochs = current, 0
            else:
                self.num_bad_epochs += 1
            if self.in_cooldown:
                self.cooldown_counter -= 1
                self.num_bad_epochs = 0
            if self.num_bad_epochs > self.patience:
                self._reduce()
                self.cooldown_counter, self.num_bad_epochs = self.cooldown, 0
            self._last_lr = [group["lr"] for group in self.optimizer.param_groups]

    def _is_better(self, value: float) -> bool:
        if not math.isfinite(value) or math.isinf(self.best):
            return math.isfinite(value)
        margin = self.threshold if self.threshold_mode == "abs" else self.threshold * abs(self.best)
        return value < self.best - margin if self.mode == "min" else value > self.best + margin

    def _reduce(self) -> None:
        groups = self.optimizer.param_groups
        if len(groups) != len(self.min_lrs):
            if self.default_min_lr is None:
                raise ValueError(
                    f"{type(self).__name__}: min_lrs has {len(self.min_lrs)} values for {len(groups)} groups; give it "
                    "one for each group that was added"
                )
            self.min_lrs = [self.default_min_lr] * len(groups)
        for group, least in zip(groups, self.min_lrs, strict=True):
            lower = max(group["lr"] * self.factor, least)
            if group["lr"] - lower > self.eps:
                group["lr"] = lower

    def _initial_step(self) -> None:
        self.last_epoch = 0
        self._reset()

    def _update_lr(self, epoch: float | None = None) -> None:
        """Begins, as part of a combination, at the rates that the groups began with."""
        for group in self.optimizer.param_groups:
            group["lr"] = group.get("initial_lr", group["lr"])
        self._initial_step()

    def _resume(self, state: Mapping[str, Any]) -> None:
        for name in ("last_epoch", "best", "num_bad_epochs", "cooldown_counter"):
            if name in state:
                setattr(self, name, state[name])
