"""Schedulers that multiply the learning rate, or move it towards an end."""

from __future__ import annotations

import math
import warnings
from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from types import FunctionType, MethodType
from typing import Any, ClassVar, Literal, TypeAlias

from ..optimizer import Optimizer
from ..schedule.arguments import Between, Each, OneOf, Whole
from ..schedule.shapes import between
from ..schedule.shapes import power as powered
from .base import LRScheduler, each, is_number, numbers

Function: TypeAlias = Callable[[float], float]


def _function(label: str, value: Any) -> Function:
    if not callable(value):
        raise TypeError(f"{label} must be a function of the step, got {value!r} ({type(value).__name__})")
    function: Function = value
    return function


def saved_function(function: Any) -> dict[str, Any] | None:
    """What of a function belongs into a state: the attributes of an object that can be called."""
    if isinstance(function, (FunctionType, MethodType)) or not hasattr(function, "__dict__"):
        return None
    return dict(vars(function))


def load_function(function: Any, saved: Mapping[str, Any] | None) -> None:
    """Gives an object that can be called its saved attributes."""
    if saved:
        vars(function).update(saved)


class _Functions(LRScheduler):
    """Base of those that take functions of the step."""

    _lists: ClassVar[tuple[str, ...]] = ("lr_lambdas",)

    def __init__(
        self, optimizer: Optimizer, lr_lambda: Function | list[Function], last_epoch: int = -1
    ) -> None:
        self.lr_lambdas = each(type(self).__name__, "lr_lambda", optimizer, lr_lambda, _function)
        super().__init__(optimizer, last_epoch)

    def state_dict(self) -> dict[str, Any]:
        """As of `LRScheduler`. Functions are not saved, but the attributes of objects that can be called are."""
        return {**super().state_dict(), "lr_lambdas": list(map(saved_function, self.lr_lambdas))}

    def _fits(self, name: str, own: Any, value: Any) -> bool:
        if name != "lr_lambdas":
            return super()._fits(name, own, value)
        return isinstance(value, (list, tuple)) and len(value) == len(own)

    def _take_state(self, state: Mapping[str, Any]) -> None:
        super()._take_state({name: value for name, value in state.items() if name != "lr_lambdas"})
        for function, saved in zip(self.lr_lambdas, state.get("lr_lambdas", ()), strict=False):
            load_function(function, saved)


class LambdaLR(_Functions):
    """Each group's learning rate times a function of the step.

    Args:
        optimizer: its groups' learning rates are written.
        lr_lambda: `f(t) -> float`, or a list with one for each group.
        last_epoch: the step before the first, see `LRScheduler`.

    >>> import neurenix as nx
    >>> from neurenix.optim.lr_scheduler import LambdaLR
    >>> optimizer = nx.optim.SGD(nx.nn.Linear(2, 1).parameters(), lr=1.0)
    >>> scheduler = LambdaLR(optimizer, lambda t: 1 / (1 + t))
    >>> optimizer.step()
    >>> scheduler.step()
    >>> scheduler.get_last_lr()
    [0.5]
    """

    def get_lr(self) -> list[float]:
        """See `LRScheduler`."""
        functions = zip(self.base_lrs, self.lr_lambdas, strict=True)
        return [base * function(self.last_epoch) for base, function in functions]

    _get_closed_form_lr = get_lr


class MultiplicativeLR(_Functions):
    """Multiplies each group's learning rate by a function's value at every step.

    Args:
        optimizer: its groups' learning rates are written.
        lr_lambda: `f(t) -> float`, or a list with one for each group; asked from step 1 on.
        last_epoch: the step before the first, see `LRScheduler`.

    >>> import neurenix as nx
    >>> from neurenix.optim.lr_scheduler import MultiplicativeLR
    >>> optimizer = nx.optim.SGD(nx.nn.Linear(2, 1).parameters(), lr=1.0)
    >>> scheduler = MultiplicativeLR(optimizer, lambda t: 0.5)
    >>> for _ in range(3):
    ...     optimizer.step()
    ...     scheduler.step()
    >>> scheduler.get_last_lr()
    [0.125]
    """

    def get_lr(self) -> list[float]:
        """See `LRScheduler`."""
        rates = [group["lr"] for group in self.optimizer.param_groups]
        if self._is_initial:
            return rates
        functions = zip(rates, self.lr_lambdas, strict=True)
        return [rate * function(self.last_epoch) for rate, function in functions]


class _Curve(LRScheduler):
    """Base of those that follow a factor f: the rate is end + (base − end)·f(t).

    A step multiplies what is left to the end by f(t)/f(t − 1), so that it works together with other schedulers. Where
    the factor was 0, nothing is left to multiply, and (base − end)·f(t) is added.
    """

    def _factor(self, t: float) -> float:
        raise NotImplementedError

    def _ratio(self, t: float) -> float | None:
        """f(t)/f(t − 1), or None where f(t − 1) is 0."""
        before = self._factor(t - 1)
        return self._factor(t) / before if before else None

    def _ends(self) -> list[float]:
        return [0.0] * len(self.base_lrs)

    def get_lr(self) -> list[float]:
        """See `LRScheduler`."""
        if not self._get_lr_called_within_step:
            warnings.warn("for the rate that was written last call get_last_lr()", UserWarning, stacklevel=2)
        t, rates = self.last_epoch, [group["lr"] for group in self.optimizer.param_groups]
        if self._is_initial and t > 0:  # the optimizer was loaded with the rate of this step
            return rates
        ends = self._ends()
        ratio = self._ratio(t) if t > 0 else self._factor(0)
        if ratio is None:
            now = self._factor(t)
            parts = zip(rates, self.base_lrs, ends, strict=True)
            return [rate + (base - end) * now for rate, base, end in parts]
        return [between(end, rate, ratio) for rate, end in zip(rates, ends, strict=True)]

    def _get_closed_form_lr(self) -> list[float]:
        factor = self._factor(self.last_epoch)
        return [between(end, base, factor) for base, end in zip(self.base_lrs, self._ends(), strict=True)]


class StepLR(_Curve):
    """Multiplies each group's learning rate by gamma after every `step_size` steps.

    Args:
        optimizer: its groups' learning rates are written.
        step_size: ≥ 1.
        gamma: ≥ 0.
        last_epoch: the step before the first, see `LRScheduler`.

    >>> import neurenix as nx
    >>> from neurenix.optim.lr_scheduler import StepLR
    >>> optimizer = nx.optim.SGD(nx.nn.Linear(2, 1).parameters(), lr=1.0)
    >>> scheduler = StepLR(optimizer, step_size=2, gamma=0.5)
    >>> for _ in range(4):
    ...     optimizer.step()
    ...     scheduler.step()
    >>> scheduler.get_last_lr()
    [0.25]
    """

    def __init__(
        self, optimizer: Optimizer, step_size: int, gamma: float = 0.1, last_epoch: int = -1
    ) -> None:
        self.step_size = Whole(1).check("StepLR: step_size", step_size)
        self.gamma = Between(0).check("StepLR: gamma", gamma)
        super().__init__(optimizer, last_epoch)

    def _factor(self, t: float) -> float:
        return powered(1.0, self.gamma, t // self.step_size)

    def _ratio(self, t: float) -> float:
        return 1.0 if t % self.step_size else self.gamma


class MultiStepLR(_Curve):
    """Multiplies each group's learning rate by gamma at each milestone.

    Args:
        optimizer: its groups' learning rates are written.
        milestones: steps; one that is given twice counts twice.
        gamma: ≥ 0.
        last_epoch: the step before the first, see `LRScheduler`.

    >>> import neurenix as nx
    >>> from neurenix.optim.lr_scheduler import MultiStepLR
    >>> optimizer = nx.optim.SGD(nx.nn.Linear(2, 1).parameters(), lr=1.0)
    >>> scheduler = MultiStepLR(optimizer, milestones=[2, 4], gamma=0.5)
    >>> for _ in range(4):
    ...     optimizer.step()
    ...     scheduler.step()
    >>> scheduler.get_last_lr()
    [0.25]
    """

    def __init__(
        self, optimizer: Optimizer, milestones: Iterable[int], gamma: float = 0.1, last_epoch: int = -1
    ) -> None:
        places: Any = list(milestones) if hasattr(milestones, "__iter__") else milestones
        self.milestones = Counter(Each(Between(0)).check("MultiStepLR: milestones", places))
        self.gamma = Between(0).check("MultiStepLR: gamma", gamma)
        super().__init__(optimizer, last_epoch)

    def _factor(self, t: float) -> float:
        return powered(1.0, self.gamma, bisect_right(sorted(self.milestones.elements()), t))

    def _ratio(self, t: float) -> float:
        return powered(1.0, self.gamma, self.milestones.get(t, 0))

    def state_dict(self) -> dict[str, Any]:
        """As of `LRScheduler`, with the milestones as a list."""
        return {**super().state_dict(), "milestones": sorted(self.milestones.elements())}

    def _fits(self, name: str, own: Any, value: Any) -> bool:
        if name != "milestones":
            return super()._fits(name, own, value)
        return isinstance(value, Counter) or (isinstance(value, (list, tuple)) and all(map(is_number, value)))

    def _take_state(self, state: Mapping[str, Any]) -> None:
        super()._take_state(state)
        self.milestones = Counter(self.milestones)


class ConstantLR(_Curve):
    """Multiplies each group's learning rate by `factor` for `total_iters` steps.

    Args:
        optimizer: its groups' learning rates are written.
        factor: ≥ 0.
        total_iters: ≥ 0; after so many steps the rate is as without the factor.
        last_epoch: the step before the first, see `LRScheduler`.

    >>> import neurenix as nx
    >>> from neurenix.optim.lr_scheduler import ConstantLR
    >>> optimizer = nx.optim.SGD(nx.nn.Linear(2, 1).parameters(), lr=1.0)
    >>> ConstantLR(optimizer, factor=0.5).get_last_lr()
    [0.5]
    """

    def __init__(
        self, optimizer: Optimizer, factor: float = 1 / 3, total_iters: int = 5, last_epoch: int = -1
    ) -> None:
        self.factor = Between(0).check("ConstantLR: factor", factor)
        self.total_iters = Whole(0).check("ConstantLR: total_iters", total_iters)
        super().__init__(optimizer, last_epoch)

    def _factor(self, t: float) -> float:
        return self.factor if t < self.total_iters else 1.0


class LinearLR(_Curve):
    """Multiplies each group's learning rate by a factor that moves in equal steps.

    Args:
        optimizer: its groups' learning rates are written.
        start_factor: at the first step, ≥ 0.
        end_factor: from step `total_iters` on, ≥ 0.
        total_iters: ≥ 0.
        last_epoch: the step before the first, see `LRScheduler`.

    >>> import neurenix as nx
    >>> from neurenix.optim.lr_scheduler import LinearLR
    >>> optimizer = nx.optim.SGD(nx.nn.Linear(2, 1).parameters(), lr=1.0)
    >>> scheduler = LinearLR(optimizer, start_factor=0.5, total_iters=2)
    >>> optimizer.step()
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
        self.start_factor = Between(0).check("LinearLR: start_factor", start_factor)
        self.end_factor = Between(0).check("LinearLR: end_factor", end_factor)
        self.total_iters = Whole(0).check("LinearLR: total_iters", total_iters)
        super().__init__(optimizer, last_epoch)

    def _factor(self, t: float) -> float:
        if t >= self.total_iters:
            return self.end_factor
        return self.start_factor + (self.end_factor - self.start_factor) * t / self.total_iters


class ExponentialLR(_Curve):
    """Multiplies each group's learning rate by gamma at every step.

    Args:
        optimizer: its groups' learning rates are written.
        gamma: ≥ 0.
        last_epoch: the step before the first, see `LRScheduler`.

    >>> import neurenix as nx
    >>> from neurenix.optim.lr_scheduler import ExponentialLR
    >>> optimizer = nx.optim.SGD(nx.nn.Linear(2, 1).parameters(), lr=1.0)
    >>> scheduler = ExponentialLR(optimizer, gamma=0.5)
    >>> optimizer.step()
    >>> scheduler.step()
    >>> scheduler.get_last_lr()
    [0.5]
    """

    def __init__(self, optimizer: Optimizer, gamma: float, last_epoch: int = -1) -> None:
        self.gamma = Between(0).check("ExponentialLR: gamma", gamma)
        super().__init__(optimizer, last_epoch)

    def _factor(self, t: float) -> float:
        return powered(1.0, self.gamma, t)

    def _ratio(self, t: float) -> float:
        return self.gamma


class PolynomialLR(_Curve):
    """Lets each group's learning rate fall to 0 as a power of the steps that are left.

    Args:
        optimizer: its groups' learning rates are written.
        total_iters: steps to 0, ≥ 0.
        power: > 0.
        last_epoch: the step before the first, see `LRScheduler`.

    >>> import neurenix as nx
    >>> from neurenix.optim.lr_scheduler import PolynomialLR
    >>> optimizer = nx.optim.SGD(nx.nn.Linear(2, 1).parameters(), lr=1.0)
    >>> scheduler = PolynomialLR(optimizer, total_iters=2, power=2.0)
    >>> optimizer.step()
    >>> scheduler.step()
    >>> scheduler.get_last_lr()
    [0.25]
    """

    def __init__(
        self, optimizer: Optimizer, total_iters: int = 5, power: float = 1.0, last_epoch: int = -1
    ) -> None:
        self.total_iters = Whole(0).check("PolynomialLR: total_iters", total_iters)
        self.power = Between(0, open=True).check("PolynomialLR: power", power)
        super().__init__(optimizer, last_epoch)

    def _factor(self, t: float) -> float:
        left = 1.0 - t / self.total_iters if t < self.total_iters else 0.0
        return float(left**self.power)


class CosineAnnealingLR(_Curve):
    """Lets each group's learning rate follow a cosine to `eta_min`, and after `T_max` steps back.

    Args:
        optimizer: its groups' learning rates are written.
        T_max: steps to `eta_min`, > 0.
        eta_min: ≥ 0, or a list with one for each group.
        last_epoch: the step before the first, see `LRScheduler`.

    >>> import neurenix as nx
    >>> from neurenix.optim.lr_scheduler import CosineAnnealingLR
    >>> optimizer = nx.optim.SGD(nx.nn.Linear(2, 1).parameters(), lr=1.0)
    >>> scheduler = CosineAnnealingLR(optimizer, T_max=2)
    >>> for _ in range(2):
    ...     optimizer.step()
    ...     scheduler.step()
    >>> scheduler.get_last_lr()
    [0.0]
    """

    _lists: ClassVar[tuple[str, ...]] = ("eta_min",)

    def __init__(
        self, optimizer: Optimizer, T_max: float, eta_min: float | list[float] = 0.0, last_epoch: int = -1
    ) -> None:
        self.T_max = Between(0, open=True).check("CosineAnnealingLR: T_max", T_max)
        self.eta_min = _minimum("CosineAnnealingLR", optimizer, eta_min)
        super().__init__(optimizer, last_epoch)

    def _factor(self, t: float) -> float:
        # The angle stays small, and exact, however far it goes.
        return (1 + math.cos(math.pi * (t % (2 * self.T_max)) / self.T_max)) / 2

    def _ends(self) -> list[float]:
        return _per_group(self.eta_min, self.base_lrs)


class CosineAnnealingWarmRestarts(LRScheduler):
    """Lets each group's learning rate fall along half cosines, each `T_mult` times as long as the one before.

    A fraction, `step(epoch + i / batches)`, is a step too; `last_epoch` is then rounded down.

    Args:
        optimizer: its groups' learning rates are written.
        T_0: steps of the first, ≥ 1.
        T_mult: ≥ 1.
        eta_min: ≥ 0, or a list with one for each group; what each of them falls towards.
        last_epoch: the step before the first, see `LRScheduler`.

    >>> import neurenix as nx
    >>> from neurenix.optim.lr_scheduler import CosineAnnealingWarmRestarts
    >>> optimizer = nx.optim.SGD(nx.nn.Linear(2, 1).parameters(), lr=1.0)
    >>> scheduler = CosineAnnealingWarmRestarts(optimizer, T_0=2, T_mult=2)
    >>> optimizer.step()
    >>> scheduler.step(4)
    >>> round(scheduler.get_last_lr()[0], 6)
    0.5
    """

    T_cur: float  #: steps since the last restart
    T_i: float  #: steps from there to the next
    _lists: ClassVar[tuple[str, ...]] = ("eta_min",)

    def __init__(
        self,
        optimizer: Optimizer,
        T_0: int,
        T_mult: float = 1,
        eta_min: float | list[float] = 0.0,
        last_epoch: int = -1,
    ) -> None:
        self.T_0 = Whole(1).check("CosineAnnealingWarmRestarts: T_0", T_0)
        self.T_mult = Between(1).check("CosineAnnealingWarmRestarts: T_mult", T_mult)
        self.eta_min = _minimum("CosineAnnealingWarmRestarts", optimizer, eta_min)
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        """See `LRScheduler`."""
        ends = _per_group(self.eta_min, self.base_lrs)
        factor = (1 + math.cos(math.pi * self.T_cur / self.T_i)) / 2
        return [between(end, base, factor) for base, end in zip(self.base_lrs, ends, strict=True)]

    _get_closed_form_lr = get_lr

    def _update_lr(self, epoch: float | None = None) -> None:
        if epoch is None and self._is_initial:
            epoch = self.last_epoch + 1
        if epoch is None:
            self.T_cur += 1
            if self.T_cur >= self.T_i:
                self.T_cur, self.T_i = self.T_cur % self.T_i, self.T_i * self.T_mult
            super()._update_lr()
            return
        self.T_cur, self.T_i = epoch, self.T_0
        if self.T_mult == 1:
            self.T_cur = epoch % self.T_0
        while self.T_cur >= self.T_i:
            self.T_cur, self.T_i = self.T_cur - self.T_i, self.T_i * self.T_mult
        super()._update_lr(math.floor(epoch))


class SWALR(LRScheduler):
    """Moves each group's learning rate to `swa_lr` in `anneal_epochs` steps.

    It begins at the rate that is there when it is first stepped.

    Args:
        optimizer: its groups' learning rates are written.
        swa_lr: ≥ 0, or a list with one for each group.
        anneal_epochs: ≥ 0.
        anneal_strategy: "cos" or "linear".
        last_epoch: the step before the first, see `LRScheduler`.

    >>> import neurenix as nx
    >>> from neurenix.optim.lr_scheduler import SWALR
    >>> optimizer = nx.optim.SGD(nx.nn.Linear(2, 1).parameters(), lr=1.0)
    >>> scheduler = SWALR(optimizer, swa_lr=0.5, anneal_epochs=2, anneal_strategy="linear")
    >>> optimizer.step()
    >>> scheduler.step()
    >>> scheduler.get_last_lr()
    [0.75]
    """

    _keys: ClassVar[tuple[str, ...]] = ("swa_lr",)

    def __init__(
        self,
        optimizer: Optimizer,
        swa_lr: float | list[float],
        anneal_epochs: int = 10,
        anneal_strategy: Literal["cos", "linear"] = "cos",
        last_epoch: int = -1,
    ) -> None:
        OneOf(("cos", "linear")).check("SWALR: anneal_strategy", anneal_strategy)
        self.anneal_epochs = Whole(0).check("SWALR: anneal_epochs", anneal_epochs)
        self._anneal_strategy = anneal_strategy
        rates = numbers("SWALR", "swa_lr", optimizer, swa_lr)
        super().__init__(optimizer, last_epoch, start={"swa_lr": rates})
        for group, rate in zip(optimizer.param_groups, rates, strict=True):
            group["swa_lr"] = rate  # also where the optimizer was loaded with another

    def get_lr(self) -> list[float]:
        """See `LRScheduler`."""
        t, groups = self.last_epoch, self.optimizer.param_groups
        left, before = self._left(t), self._left(t - 1)
        if left == before > 0 or (self._is_initial and t > 0):
            return [group["lr"] for group in groups]
        if left == 0 or before == 0:
            return [group["swa_lr"] for group in groups]
        return [group["swa_lr"] + (group["lr"] - group["swa_lr"]) * (left / before) for group in groups]

    def _left(self, t: float) -> float:
        """The share of the way that is left."""
        if not self.anneal_epochs:
            return float(t < 0)
        done = min(max(t / self.anneal_epochs, 0.0), 1.0)
        return (1 + math.cos(math.pi * done)) / 2 if self._anneal_strategy == "cos" else 1 - done


def _minimum(kind: str, optimizer: Optimizer, eta_min: float | list[float]) -> float | list[float]:
    """The argument `eta_min`, checked."""
    values = numbers(kind, "eta_min", optimizer, eta_min)
    return values if isinstance(eta_min, (list, tuple)) else values[0]


def _per_group(eta_min: float | list[float], rates: list[float]) -> list[float]:
    """The `eta_min` of each group."""
    return eta_min if isinstance(eta_min, list) else [eta_min] * len(rates)
