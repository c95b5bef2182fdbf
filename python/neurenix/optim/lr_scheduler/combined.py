"""Schedulers of schedulers, and the one that follows a metric."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from ..optimizer import Optimizer
from ..schedule import Plateau
from ..schedule.arguments import Between, Each, OneOf, Whole
from ..schedule.stairs import check_places
from .base import LRScheduler, each, groups_of
from .curves import Curve, Joined, PerGroup, Product, Reduced


class _Combined(LRScheduler):
    """Shared by both kinds of combination."""

    def step(self, metrics: Any = None) -> None:
        """Goes one step further.

        Args:
            metrics: for a `ReduceLROnPlateau` among the schedulers; without it that one learns nothing at this step.
        """
        if metrics is not None:
            self._link.curve.update(self._link.t + 1, metrics)
        super().step()


class SequentialLR(_Combined):
    """One scheduler after the other, each from its own step 0; also `ReduceLROnPlateau`, with `step(metric)`.

    Args:
        optimizer: whose groups are written.
        schedulers: n of them, of the same optimizer; they are stepped through this one from now on.
        milestones: n − 1 steps at which the next begins, rising.
        last_epoch: the step before the first.

    >>> import neurenix as nx
    >>> from neurenix.optim.lr_scheduler import ExponentialLR, LinearLR, SequentialLR
    >>> optimizer = nx.optim.SGD(nx.nn.Linear(2, 1).parameters(), lr=1.0)
    >>> parts = [LinearLR(optimizer, 0.5, total_iters=2), ExponentialLR(optimizer, 0.5)]
    >>> scheduler, rates = SequentialLR(optimizer, parts, milestones=[2]), []
    >>> for _ in range(5):
    ...     rates += scheduler.get_last_lr()
    ...     scheduler.step()
    >>> rates
    [0.5, 0.75, 1.0, 0.5, 0.25]
    """

    def __init__(
        self,
        optimizer: Optimizer,
        schedulers: Sequence[LRScheduler],
        milestones: Sequence[int],
        last_epoch: int = -1,
    ) -> None:
        groups_of("SequentialLR", optimizer)
        at = Each(Whole(1)).check("SequentialLR: milestones", milestones)
        check_places("SequentialLR", "schedulers", schedulers, at)
        super().__init__(optimizer, Joined(_taken("SequentialLR", optimizer, schedulers), at), last_epoch)


class ChainedScheduler(_Combined):
    """Several schedulers at once: each changes what the one before gives.

    Schedulers of one optimizer do so anyway; this steps them together.

    Args:
        schedulers: at least one, of the same optimizer; they are stepped through this one from now on.
        optimizer: theirs.

    >>> import neurenix as nx
    >>> from neurenix.optim.lr_scheduler import ChainedScheduler, ConstantLR, ExponentialLR
    >>> optimizer = nx.optim.SGD(nx.nn.Linear(2, 1).parameters(), lr=1.0)
    >>> parts = [ConstantLR(optimizer, 0.5, total_iters=2), ExponentialLR(optimizer, 0.5)]
    >>> scheduler, rates = ChainedScheduler(parts), []
    >>> for _ in range(4):
    ...     rates += scheduler.get_last_lr()
    ...     scheduler.step()
    >>> rates
    [0.5, 0.25, 0.25, 0.125]
    """

    def __init__(self, schedulers: Sequence[LRScheduler], optimizer: Optimizer | None = None) -> None:
        if not schedulers:
            raise ValueError("ChainedScheduler: schedulers must have at least one, got none")
        own = optimizer or getattr(schedulers[0], "optimizer", None)
        groups_of("ChainedScheduler", own)
        super().__init__(own, Product(_taken("ChainedScheduler", own, schedulers)))  # type: ignore[arg-type]


class ReduceLROnPlateau(LRScheduler):
    """Each group's learning rate times `factor` whenever a metric has stopped improving: `schedule.Plateau`.

    Unlike torch's, the relative threshold is a share of the best value's size also for negative metrics, so that a
    worse value is never an improvement.

    Args:
        optimizer: whose groups are written.
        mode: "min" or "max": which metric is good.
        factor: in (0, 1).
        patience: steps without improvement that are borne, ≥ 0.
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
    >>> scheduler.get_last_lr()
    [0.5]
    """

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
        OneOf(("rel", "abs")).check("ReduceLROnPlateau: threshold_mode", threshold_mode)
        Between(0, 1, open=True).check("ReduceLROnPlateau: factor", factor)
        Between(0).check("ReduceLROnPlateau: threshold", threshold)
        relative = threshold_mode == "rel"
        plateau = Plateau(
            mode=mode,
            factor=factor,
            patience=patience,
            rtol=threshold if relative else 0.0,
            atol=0.0 if relative else threshold,
            cooldown=cooldown,
        )
        least: PerGroup[float] = each("ReduceLROnPlateau: min_lr", optimizer, min_lr)
        super().__init__(optimizer, Reduced(plateau, least, Between(0).check("ReduceLROnPlateau: eps", eps)))

    def step(self, metrics: Any, epoch: float | None = None) -> None:  # type: ignore[override]
        """Takes in a metric: a number, or a tensor of one element."""
        self._link.curve.update(self._link.t, metrics)
        super().step(epoch)


def _taken(name: str, optimizer: Any, schedulers: Sequence[LRScheduler]) -> list[Curve]:
    """The schedulers' curves, all of them of this optimizer."""
    for place, scheduler in enumerate(schedulers):
        if not isinstance(scheduler, LRScheduler):
            raise TypeError(f"{name}: schedulers[{place}] must be a scheduler, got {scheduler!r}")
        if scheduler.optimizer is not optimizer:
            raise ValueError(f"{name}: schedulers[{place}] is of another optimizer")
    return [scheduler._taken() for scheduler in schedulers]
