"""Schedulers of schedulers."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any

from ..optimizer import Optimizer
from ..schedule.arguments import Each, Whole
from .base import LRScheduler, groups_of
from .plateau import ReduceLROnPlateau


class _Combined(LRScheduler):
    """Base of both kinds of combination."""

    _schedulers: list[LRScheduler]

    def __init__(self, optimizer: Optimizer, schedulers: Sequence[LRScheduler]) -> None:
        kind = type(self).__name__
        groups_of(kind, optimizer)
        for place, scheduler in enumerate(schedulers):
            if not isinstance(scheduler, LRScheduler):
                raise TypeError(f"{kind}: schedulers[{place}] must be a scheduler, got {scheduler!r}")
            if scheduler.optimizer is not optimizer:
                raise ValueError(f"{kind}: schedulers[{place}] is of another optimizer")
        self.optimizer = optimizer
        self._schedulers = list(schedulers)
        self._last_lr = [group["lr"] for group in optimizer.param_groups]

    def step(self, metrics: Any = None) -> None:
        """Goes one step further.

        Args:
            metrics: for a `ReduceLROnPlateau` among the schedulers; without it that one learns nothing at this step.
        """
        with self._all_or_nothing():
            self._advance(metrics)
            self._last_lr = [group["lr"] for group in self.optimizer.param_groups]

    def _advance(self, metrics: Any) -> None:
        raise NotImplementedError

    def state_dict(self) -> dict[str, Any]:
        """As of `LRScheduler`, with the states of the schedulers."""
        return {**super().state_dict(), "_schedulers": [each.state_dict() for each in self._schedulers]}

    def _check_state(self, state: Any) -> None:
        super()._check_state(state)
        parts = state.get("_schedulers")
        if not isinstance(parts, (list, tuple)) or len(parts) != len(self._schedulers):
            raise ValueError(
                f"{type(self).__name__}: the states of {len(self._schedulers)} schedulers are needed, got {parts!r}"
            )
        for scheduler, part in zip(self._schedulers, parts, strict=True):
            scheduler._check_state(part)

    def _take_state(self, state: Mapping[str, Any]) -> None:
        super()._take_state({name: value for name, value in state.items() if name != "_schedulers"})
        for scheduler, part in zip(self._schedulers, state["_schedulers"], strict=True):
            scheduler._take_state(part)

    def _all(self) -> Iterator[LRScheduler]:
        yield self
        for scheduler in self._schedulers:
            yield from scheduler._all()

    def _to_base(self) -> None:
        """Gives the groups the rates that they began with."""
        for group in self.optimizer.param_groups:
            group["lr"] = group.setdefault("initial_lr", group["lr"])

    def _update_lr(self, epoch: float | None = None) -> None:
        """Begins anew, as part of another combination."""
        if epoch != 0:
            self.step()
            return
        self._to_base()
        for scheduler in self._leaves():
            scheduler.last_epoch, scheduler._step_count = -1, 1
        self._initial_step()

    def _go(self, steps: float) -> None:
        if any(isinstance(scheduler, ReduceLROnPlateau) for scheduler in self._all()):
            raise ValueError(
                f"{type(self).__name__}: the steps of a ReduceLROnPlateau cannot be made again without its metrics"
            )
        self._update_lr(0)
        for scheduler in self._leaves():
            scheduler._step_count += 1
        for _ in range(int(steps)):
            self.step()

    def _leaves(self) -> list[LRScheduler]:
        """All schedulers that are no combinations."""
        return [scheduler for scheduler in self._all() if not isinstance(scheduler, _Combined)]


class SequentialLR(_Combined):
    """Runs one scheduler after the other, each from its own step 0; also `ReduceLROnPlateau`, with `step(metric)`.

    Each but `MultiplicativeLR` and `SWALR`, which go on from the rate that is there, begins at the groups' first rate.
    Unlike PyTorch's, a combination among them may stand anywhere, and begins with its first value.

    Args:
        optimizer: its groups' learning rates are written.
        schedulers: n of them, of the same optimizer; they are stepped through this one from now on.
        milestones: n - 1 steps at which the next begins, rising.
        last_epoch: the step before the first, see `LRScheduler`; all steps so far are made again.

    >>> import neurenix as nx
    >>> from neurenix.optim.lr_scheduler import ExponentialLR, LinearLR, SequentialLR
    >>> optimizer = nx.optim.SGD(nx.nn.Linear(2, 1).parameters(), lr=1.0)
    >>> parts = [LinearLR(optimizer, 0.5, total_iters=2), ExponentialLR(optimizer, 0.5)]
    >>> scheduler, rates = SequentialLR(optimizer, parts, milestones=[2]), []
    >>> for _ in range(5):
    ...     rates += scheduler.get_last_lr()
    ...     optimizer.step()
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
        at = Each(Whole(0)).check("SequentialLR: milestones", milestones)
        before = Whole(-1).check("SequentialLR: last_epoch", last_epoch)
        if len(schedulers) != len(at) + 1:
            raise ValueError(
                f"SequentialLR: n schedulers need n - 1 milestones, got {len(schedulers)} and {len(at)}"
            )
        if any(b < a for a, b in pairwise(at)):
            raise ValueError(f"SequentialLR: milestones must rise, got {list(at)}")
        super().__init__(optimizer, schedulers)
        self._milestones = list(at)
        self.last_epoch = 0
        with self._all_or_nothing():
            self._go(before + 1) if before >= 0 else self._update_lr(0)

    def _initial_step(self) -> None:
        self.last_epoch = 0
        place = bisect_right(self._milestones, 0)
        self._schedulers[place]._initial_step()
        self._last_lr = [group["lr"] for group in self.optimizer.param_groups]

    def _advance(self, metrics: Any) -> None:
        self.last_epoch += 1
        place = bisect_right(self._milestones, self.last_epoch)
        scheduler = self._schedulers[place]
        if place and self._milestones[place - 1] == self.last_epoch:
            scheduler._update_lr(0)
        if (
            not place
            or self._milestones[place - 1] < self.last_epoch
            or isinstance(scheduler, ReduceLROnPlateau)
        ):
            _step(scheduler, metrics)


class ChainedScheduler(_Combined):
    """Steps several schedulers together: each changes what the one before gives.

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
    ...     optimizer.step()
    ...     scheduler.step()
    >>> rates
    [0.5, 0.25, 0.25, 0.125]
    """

    def __init__(self, schedulers: Sequence[LRScheduler], optimizer: Optimizer | None = None) -> None:
        if not schedulers:
            raise ValueError("ChainedScheduler: schedulers must have at least one, got none")
        own = optimizer or getattr(schedulers[0], "optimizer", None)
        super().__init__(own, schedulers)  # type: ignore[arg-type]

    def _initial_step(self) -> None:
        for scheduler in self._schedulers:
            scheduler._initial_step()
        self._last_lr = [group["lr"] for group in self.optimizer.param_groups]

    def _advance(self, metrics: Any) -> None:
        for scheduler in self._schedulers:
            _step(scheduler, metrics)

    def _resume(self, state: Mapping[str, Any]) -> None:
        self._go(max(part.get("last_epoch", 0) for part in state["_schedulers"]))


def _step(scheduler: LRScheduler, metrics: Any) -> None:
    """One step of a part of a combination."""
    if isinstance(scheduler, _Combined):
        scheduler.step(metrics)
    elif not isinstance(scheduler, ReduceLROnPlateau):
        scheduler.step()
    elif metrics is not None:
        scheduler.step(metrics)
