"""Schedulers that multiply the learning rate, or move it towards an end."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal

from .. import schedule
from ..optimizer import Optimizer
from ..schedule.arguments import OneOf
from .base import LRScheduler, each
from .curves import Function, PerGroup, Toward


class _Toward(LRScheduler):
    """Shared by all here: what is left of the way, and the end of it."""

    def __init__(
        self,
        optimizer: Optimizer,
        left: Function | PerGroup[Function],
        last_epoch: int,
        end: PerGroup[float] | None = None,
    ) -> None:
        functions = left if isinstance(left, PerGroup) else PerGroup("", (left,))
        super().__init__(optimizer, Toward(functions, end or PerGroup("", (0.0,))), last_epoch)


def _function(name: str, value: Any) -> Function:
    if not callable(value):
        raise TypeError(f"{name} must be a function of the step, got {value!r} ({type(value).__name__})")
    function: Function = value
    return function


class _Running:
    """The product of a function's values so far, without multiplying all of them anew at each step."""

    def __init__(self, factor: Function) -> None:
        self.factor, self.t, self.product = factor, 0, 1.0

    def __call__(self, t: float) -> float:
        if t < self.t:
            self.t, self.product = 0, 1.0
        while self.t + 1 <= t:
            product = self.product * self.factor(self.t + 1)
            self.t, self.product = self.t + 1, product
        return self.product


class LambdaLR(_Toward):
    """Each group's learning rate times a function of the step.

    Args:
        optimizer: whose groups are written.
        lr_lambda: `f(t) -> float`, or a list with one for each group.
        last_epoch: the step before the first.

    >>> import neurenix as nx
    >>> from neurenix.optim.lr_scheduler import LambdaLR
    >>> optimizer = nx.optim.SGD(nx.nn.Linear(2, 1).parameters(), lr=1.0)
    >>> scheduler = LambdaLR(optimizer, lambda t: 1 / (1 + t))
    >>> scheduler.step()
    >>> scheduler.get_last_lr()
    [0.5]
    """

    def __init__(
        self, optimizer: Optimizer, lr_lambda: Function | list[Function], last_epoch: int = -1
    ) -> None:
        super().__init__(optimizer, each("LambdaLR: lr_lambda", optimizer, lr_lambda, _function), last_epoch)


class MultiplicativeLR(_Toward):
    """Each group's learning rate times the product of a function's values at all steps so far, from 1.

    Args:
        optimizer: whose groups are written.
        lr_lambda: `f(t) -> float`, or a list with one for each group.
        last_epoch: the step before the first.

    >>> import neurenix as nx
    >>> from neurenix.optim.lr_scheduler import MultiplicativeLR
    >>> optimizer = nx.optim.SGD(nx.nn.Linear(2, 1).parameters(), lr=1.0)
    >>> scheduler = MultiplicativeLR(optimizer, lambda t: 0.5)
    >>> for _ in range(3):
    ...     scheduler.step()
    >>> scheduler.get_last_lr()
    [0.125]
    """

    def __init__(
        self, optimizer: Optimizer, lr_lambda: Function | list[Function], last_epoch: int = -1
    ) -> None:
        factors = each("MultiplicativeLR: lr_lambda", optimizer, lr_lambda, _function)
        super().__init__(optimizer, factors.map(_Running), last_epoch)


class StepLR(_Toward):
    """Each group's learning rate times gamma once more after `step_size` steps: `schedule.step`.

    Args:
        optimizer: whose groups are written.
        step_size: ≥ 1.
        gamma: ≥ 0.
        last_epoch: the step before the first.

    >>> import neurenix as nx
    >>> from neurenix.optim.lr_scheduler import StepLR
    >>> optimizer = nx.optim.SGD(nx.nn.Linear(2, 1).parameters(), lr=1.0)
    >>> scheduler = StepLR(optimizer, step_size=2, gamma=0.5)
    >>> for _ in range(4):
    ...     scheduler.step()
    >>> scheduler.get_last_lr()
    [0.25]
    """

    def __init__(
        self, optimizer: Optimizer, step_size: int, gamma: float = 0.1, last_epoch: int = -1
    ) -> None:
        super().__init__(optimizer, schedule.step(1.0, every=step_size, gamma=gamma), last_epoch)


class MultiStepLR(_Toward):
    """Each group's learning rate times gamma at each milestone: `schedule.multi_step`.

    Args:
        optimizer: whose groups are written.
        milestones: steps; one that is given twice counts twice.
        gamma: ≥ 0.
        last_epoch: the step before the first.

    >>> import neurenix as nx
    >>> from neurenix.optim.lr_scheduler import MultiStepLR
    >>> optimizer = nx.optim.SGD(nx.nn.Linear(2, 1).parameters(), lr=1.0)
    >>> scheduler = MultiStepLR(optimizer, milestones=[2, 4], gamma=0.5)
    >>> for _ in range(4):
    ...     scheduler.step()
    >>> scheduler.get_last_lr()
    [0.25]
    """

    def __init__(
        self, optimizer: Optimizer, milestones: Iterable[int], gamma: float = 0.1, last_epoch: int = -1
    ) -> None:
        curve = schedule.multi_step(1.0, milestones=list(milestones), gamma=gamma)
        super().__init__(optimizer, curve, last_epoch)


class ConstantLR(_Toward):
    """Each group's learning rate times `factor` for `total_iters` steps, then as it is: `schedule.constant_factor`.

    Args:
        optimizer: whose groups are written.
        factor: ≥ 0.
        total_iters: ≥ 0.
        last_epoch: the step before the first.

    >>> import neurenix as nx
    >>> from neurenix.optim.lr_scheduler import ConstantLR
    >>> optimizer = nx.optim.SGD(nx.nn.Linear(2, 1).parameters(), lr=1.0)
    >>> ConstantLR(optimizer, factor=0.5).get_last_lr()
    [0.5]
    """

    def __init__(
        self, optimizer: Optimizer, factor: float = 1 / 3, total_iters: int = 5, last_epoch: int = -1
    ) -> None:
        super().__init__(
            optimizer, schedule.constant_factor(1.0, factor=factor, steps=total_iters), last_epoch
        )


class LinearLR(_Toward):
    """Each group's learning rate times a factor that moves in equal steps: `schedule.linear`.

    Args:
        optimizer: whose groups are written.
        start_factor: at the first step, ≥ 0.
        end_factor: from step `total_iters` on, ≥ 0.
        total_iters: ≥ 0.
        last_epoch: the step before the first.

    >>> import neurenix as nx
    >>> from neurenix.optim.lr_scheduler import LinearLR
    >>> optimizer = nx.optim.SGD(nx.nn.Linear(2, 1).parameters(), lr=1.0)
    >>> scheduler = LinearLR(optimizer, start_factor=0.5, total_iters=2)
    >>> scheduler.step()
    >>> scheduler.get_last_lr()
    [0.75]
    """

    def __init__(
        self,
        optimizer: Optimizer,
        start_factor: float = 1 / 3,
        end_factor: float = 1.0,
        total_iters: int = 5,
        last_epoch: int = -1,
    ) -> None:
        super().__init__(optimizer, schedule.linear(start_factor, end_factor, steps=total_iters), last_epoch)


class ExponentialLR(_Toward):
    """Each group's learning rate times gamma at every step: `schedule.exponential`.

    Args:
        optimizer: whose groups are written.
        gamma: ≥ 0.
        last_epoch: the step before the first.

    >>> import neurenix as nx
    >>> from neurenix.optim.lr_scheduler import ExponentialLR
    >>> optimizer = nx.optim.SGD(nx.nn.Linear(2, 1).parameters(), lr=1.0)
    >>> scheduler = ExponentialLR(optimizer, gamma=0.5)
    >>> scheduler.step()
    >>> scheduler.get_last_lr()
    [0.5]
    """

    def __init__(self, optimizer: Optimizer, gamma: float, last_epoch: int = -1) -> None:
        super().__init__(optimizer, schedule.exponential(1.0, gamma=gamma), last_epoch)


class PolynomialLR(_Toward):
    """Each group's learning rate falls to 0 as a power: `schedule.polynomial`.

    Args:
        optimizer: whose groups are written.
        total_iters: ≥ 0.
        power: > 0.
        last_epoch: the step before the first.

    >>> import neurenix as nx
    >>> from neurenix.optim.lr_scheduler import PolynomialLR
    >>> optimizer = nx.optim.SGD(nx.nn.Linear(2, 1).parameters(), lr=1.0)
    >>> scheduler = PolynomialLR(optimizer, total_iters=2, power=2.0)
    >>> scheduler.step()
    >>> scheduler.get_last_lr()
    [0.25]
    """

    def __init__(
        self, optimizer: Optimizer, total_iters: int = 5, power: float = 1.0, last_epoch: int = -1
    ) -> None:
        super().__init__(optimizer, schedule.polynomial(1.0, steps=total_iters, power=power), last_epoch)


class CosineAnnealingLR(_Toward):
    """Each group's learning rate follows a cosine to `eta_min`, and after `T_max` steps back: `schedule.cosine`.

    Args:
        optimizer: whose groups are written.
        T_max: steps to `eta_min`, ≥ 0.
        eta_min: ≥ 0.
        last_epoch: the step before the first.

    >>> import neurenix as nx
    >>> from neurenix.optim.lr_scheduler import CosineAnnealingLR
    >>> optimizer = nx.optim.SGD(nx.nn.Linear(2, 1).parameters(), lr=1.0)
    >>> scheduler = CosineAnnealingLR(optimizer, T_max=2)
    >>> for _ in range(2):
    ...     scheduler.step()
    >>> scheduler.get_last_lr()
    [0.0]
    """

    def __init__(self, optimizer: Optimizer, T_max: int, eta_min: float = 0.0, last_epoch: int = -1) -> None:
        end: PerGroup[float] = each("CosineAnnealingLR: eta_min", optimizer, eta_min)
        super().__init__(optimizer, schedule.cosine(1.0, steps=T_max, periodic=True), last_epoch, end)


class CosineAnnealingWarmRestarts(_Toward):
    """Each group's learning rate follows half cosines towards `eta_min`, each `T_mult` times as long as the one before.

    It is `schedule.warm_restarts`; a fraction, `step(epoch + i / batches)`, is a step too.

    Args:
        optimizer: whose groups are written.
        T_0: steps of the first, ≥ 1.
        T_mult: ≥ 1.
        eta_min: ≥ 0.
        last_epoch: the step before the first.

    >>> import neurenix as nx
    >>> from neurenix.optim.lr_scheduler import CosineAnnealingWarmRestarts
    >>> optimizer = nx.optim.SGD(nx.nn.Linear(2, 1).parameters(), lr=1.0)
    >>> scheduler = CosineAnnealingWarmRestarts(optimizer, T_0=2, T_mult=2)
    >>> scheduler.step(4)
    >>> round(scheduler.get_last_lr()[0], 6)
    0.5
    """

    def __init__(
        self, optimizer: Optimizer, T_0: int, T_mult: int = 1, eta_min: float = 0.0, last_epoch: int = -1
    ) -> None:
        end: PerGroup[float] = each("CosineAnnealingWarmRestarts: eta_min", optimizer, eta_min)
        super().__init__(optimizer, schedule.warm_restarts(1.0, steps=T_0, mult=T_mult), last_epoch, end)


class SWALR(_Toward):
    """Each group's learning rate goes to `swa_lr` in `anneal_epochs` steps: `schedule.anneal`.

    It begins at what earlier schedulers of the same optimizer give.

    Args:
        optimizer: whose groups are written.
        swa_lr: ≥ 0, or a list with one for each group.
        anneal_epochs: ≥ 0.
        anneal_strategy: "cos" or "linear".
        last_epoch: the step before the first.

    >>> import neurenix as nx
    >>> from neurenix.optim.lr_scheduler import SWALR
    >>> optimizer = nx.optim.SGD(nx.nn.Linear(2, 1).parameters(), lr=1.0)
    >>> scheduler = SWALR(optimizer, swa_lr=0.5, anneal_epochs=2, anneal_strategy="linear")
    >>> scheduler.step()
    >>> scheduler.get_last_lr()
    [0.75]
    """

    def __init__(
        self,
        optimizer: Optimizer,
        swa_lr: float | list[float],
        anneal_epochs: int = 10,
        anneal_strategy: Literal["cos", "linear"] = "cos",
        last_epoch: int = -1,
    ) -> None:
        OneOf(("cos", "linear")).check("SWALR: anneal_strategy", anneal_strategy)
        shape: Any = {"cos": "cosine"}.get(anneal_strategy, anneal_strategy)
        curve = schedule.anneal(1.0, steps=anneal_epochs, shape=shape)
        end: PerGroup[float] = each("SWALR: swa_lr", optimizer, swa_lr)
        super().__init__(optimizer, curve, last_epoch, end)
