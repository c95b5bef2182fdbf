"""Schedulers that move learning rate and momentum against each other."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any, ClassVar, Literal

from ..optimizer import Optimizer
from ..schedule.arguments import Between, OneOf, Whole
from ..schedule.shapes import between, power
from .base import LRScheduler, groups_of, numbers
from .simple import load_function, saved_function


class _Cyclical(LRScheduler):
    """Base of those that move momentum, too."""

    cycle_momentum: bool
    use_beta1: bool

    def _momenta(self) -> list[float]:
        """The momentum of each group at this step."""
        raise NotImplementedError

    def _check_momentum(self, wanted: bool) -> None:
        kind = type(self).__name__
        OneOf((True, False)).check(f"{kind}: cycle_momentum", wanted)
        if wanted and not {"momentum", "betas"} & set(self.optimizer.defaults):
            raise ValueError(
                f"{kind}: {type(self.optimizer).__name__} has neither momentum nor betas; pass cycle_momentum=False"
            )
        self.cycle_momentum = wanted
        self.use_beta1 = "betas" in self.optimizer.defaults

    def _write(self, rates: Iterable[float]) -> None:
        momenta = self._momenta() if self.cycle_momentum else ()
        super()._write(rates)
        for group, momentum in zip(self.optimizer.param_groups, momenta, strict=False):
            if self.use_beta1:
                group["betas"] = (momentum, *group["betas"][1:])
            else:
                group["momentum"] = momentum


class CyclicLR(_Cyclical):
    """Moves the rate in triangles between `base_lr` and `max_lr`, and momentum against it.

    Args:
        optimizer: its groups' learning rates are written.
        base_lr: least rate, or a list with one for each group.
        max_lr: greatest rate, or a list with one for each group.
        step_size_up: steps of a rise, ≥ 1.
        step_size_down: steps of a fall, ≥ 0; None is as many.
        mode: "triangular", "triangular2" or "exp_range".
        gamma: ≥ 0, for "exp_range".
        scale_fn: scale of a cycle instead of `mode`.
        scale_mode: whether `scale_fn` is given the "cycle", from 1, or the step ("iterations").
        cycle_momentum: whether momentum, or the first of betas, moves too.
        base_momentum: least momentum, or a list.
        max_momentum: greatest momentum, or a list.
        last_epoch: the step before the first, see `LRScheduler`.

    >>> import neurenix as nx
    >>> from neurenix.optim.lr_scheduler import CyclicLR
    >>> optimizer = nx.optim.SGD(nx.nn.Linear(2, 1).parameters(), momentum=0.9)
    >>> scheduler = CyclicLR(optimizer, 0.1, 0.5, step_size_up=2)
    >>> for _ in range(2):
    ...     optimizer.step()
    ...     scheduler.step()
    >>> scheduler.get_last_lr(), round(optimizer.param_groups[0]["momentum"], 6)
    ([0.5], 0.8)
    """

    _lists: ClassVar[tuple[str, ...]] = ("base_lrs", "max_lrs", "base_momentums", "max_momentums")

    def __init__(
        self,
        optimizer: Optimizer,
        base_lr: float | list[float],
        max_lr: float | list[float],
        step_size_up: int = 2000,
        step_size_down: int | None = None,
        mode: Literal["triangular", "triangular2", "exp_range"] = "triangular",
        gamma: float = 1.0,
        scale_fn: Callable[[float], float] | None = None,
        scale_mode: Literal["cycle", "iterations"] = "cycle",
        cycle_momentum: bool = True,
        base_momentum: float | list[float] = 0.8,
        max_momentum: float | list[float] = 0.9,
        last_epoch: int = -1,
    ) -> None:
        kind = type(self).__name__
        self.optimizer = optimizer
        self.base_lrs = numbers(kind, "base_lr", optimizer, base_lr)
        self.max_lrs = numbers(kind, "max_lr", optimizer, max_lr)
        up = Whole(1).check(f"{kind}: step_size_up", step_size_up)
        down = up if step_size_down is None else Whole(0).check(f"{kind}: step_size_down", step_size_down)
        self.total_size = float(up + down)
        self.step_ratio = up / self.total_size
        if scale_fn is None:
            OneOf(("triangular", "triangular2", "exp_range")).check(f"{kind}: mode", mode)
        elif not callable(scale_fn):
            raise TypeError(f"{kind}: scale_fn must be a function, got {scale_fn!r}")
        self.mode = mode
        self.gamma = Between(0).check(f"{kind}: gamma", gamma)
        self.scale_mode = OneOf(("cycle", "iterations")).check(f"{kind}: scale_mode", scale_mode)
        self._scale_fn_custom = scale_fn
        self._check_momentum(cycle_momentum)
        start: dict[str, list[float]] = {"lr": self.base_lrs}
        if cycle_momentum:
            self.base_momentums = numbers(kind, "base_momentum", optimizer, base_momentum)
            self.max_momentums = numbers(kind, "max_momentum", optimizer, max_momentum)
            start |= {"base_momentum": self.base_momentums, "max_momentum": self.max_momentums}
        super().__init__(optimizer, last_epoch, start=start)

    def scale_fn(self, x: float) -> float:
        """The height of a triangle, given its number or the step."""
        if self._scale_fn_custom is not None:
            return self._scale_fn_custom(x)
        if self.mode == "triangular2":
            return power(1.0, 2.0, 1 - x)
        return power(1.0, self.gamma, x) if self.mode == "exp_range" else 1.0

    def get_lr(self) -> list[float]:
        """See `LRScheduler`."""
        height = self._height()
        return [between(low, high, height) for low, high in zip(self.base_lrs, self.max_lrs, strict=True)]

    _get_closed_form_lr = get_lr

    def _momenta(self) -> list[float]:
        height = self._height()
        pairs = zip(self.base_momentums, self.max_momentums, strict=True)
        return [between(high, low, height) for low, high in pairs]

    def _height(self) -> float:
        """How far from the base the step is."""
        t = self.last_epoch
        x = t % self.total_size / self.total_size
        height = x / self.step_ratio if x <= self.step_ratio else (x - 1) / (self.step_ratio - 1)
        by_step = self.scale_mode == "iterations" if self._scale_fn_custom else self.mode == "exp_range"
        return height * self.scale_fn(t if by_step else t // self.total_size + 1)

    def _first_lrs(self) -> list[float]:
        return self.base_lrs

    def state_dict(self) -> dict[str, Any]:
        """As of `LRScheduler`. A function is not saved, but the attributes of an object that can be called are."""
        return {**super().state_dict(), "_scale_fn_custom": saved_function(self._scale_fn_custom)}

    def _take_state(self, state: Mapping[str, Any]) -> None:
        super()._take_state({name: value for name, value in state.items() if name != "_scale_fn_custom"})
        load_function(self._scale_fn_custom, state.get("_scale_fn_custom"))


class OneCycleLR(_Cyclical):
    """Raises the rate to `max_lr` and lets it fall for long, with momentum against it.

    Past the last step both stay where they are, where PyTorch's raises. The groups keep the levels ("initial_lr",
    "max_lr", "min_lr", and for momentum "base_momentum", "max_momentum"); one that is added has those of the others.

    Args:
        optimizer: its groups' learning rates are written.
        max_lr: greatest rate, or a list with one for each group.
        total_steps: of all; or give `epochs` and `steps_per_epoch`.
        epochs: ≥ 1.
        steps_per_epoch: ≥ 1.
        pct_start: share of the steps of the rise, in [0, 1].
        anneal_strategy: "cos" or "linear".
        cycle_momentum: whether momentum, or the first of betas, moves too.
        base_momentum: least momentum, or a list.
        max_momentum: greatest momentum, or a list.
        div_factor: what `max_lr` is divided by at the beginning, > 0.
        final_div_factor: what the beginning is divided by at the end, > 0.
        three_phase: whether to fall to the beginning as fast as it rose, then on to the end.
        last_epoch: the step before the first, see `LRScheduler`.

    >>> import neurenix as nx
    >>> from neurenix.optim.lr_scheduler import OneCycleLR
    >>> optimizer = nx.optim.AdamW(nx.nn.Linear(2, 1).parameters())
    >>> scheduler = OneCycleLR(optimizer, max_lr=0.5, total_steps=10)
    >>> for _ in range(2):
    ...     optimizer.step()
    ...     scheduler.step()
    >>> scheduler.get_last_lr(), round(optimizer.param_groups[0]["betas"][0], 6)
    ([0.5], 0.85)
    """

    _keys: ClassVar[tuple[str, ...]] = ("initial_lr", "max_lr", "min_lr", "base_momentum", "max_momentum")

    def __init__(
        self,
        optimizer: Optimizer,
        max_lr: float | list[float],
        total_steps: int | None = None,
        epochs: int | None = None,
        steps_per_epoch: int | None = None,
        pct_start: float = 0.3,
        anneal_strategy: Literal["cos", "linear"] = "cos",
        cycle_momentum: bool = True,
        base_momentum: float | list[float] = 0.85,
        max_momentum: float | list[float] = 0.95,
        div_factor: float = 25.0,
        final_div_factor: float = 1e4,
        three_phase: bool = False,
        last_epoch: int = -1,
    ) -> None:
        kind = type(self).__name__
        self.optimizer = optimizer
        groups_of(kind, optimizer)
        if total_steps is None and (epochs is None or steps_per_epoch is None):
            raise ValueError(f"{kind}: give total_steps, or epochs and steps_per_epoch")
        if total_steps is None:
            epochs = Whole(1).check(f"{kind}: epochs", epochs)
            self.total_steps = epochs * Whole(1).check(f"{kind}: steps_per_epoch", steps_per_epoch)
        else:
            self.total_steps = Whole(1).check(f"{kind}: total_steps", total_steps)
        share = Between(0, 1).check(f"{kind}: pct_start", pct_start)
        if OneOf((True, False)).check(f"{kind}: three_phase", three_phase) and share > 0.5:
            raise ValueError(f"{kind}: pct_start must be at most 0.5 with three_phase, got {pct_start!r}")
        self._anneal_func_type = OneOf(("cos", "linear")).check(f"{kind}: anneal_strategy", anneal_strategy)
        self._schedule_phases = _phases(self.total_steps, share, three_phase)
        div = Between(0, open=True).check(f"{kind}: div_factor", div_factor)
        final_div = Between(0, open=True).check(f"{kind}: final_div_factor", final_div_factor)
        highs = numbers(kind, "max_lr", optimizer, max_lr)
        lows = [high / div for high in highs]
        start = {"initial_lr": lows, "max_lr": highs, "min_lr": [low / final_div for low in lows]}
        self._check_momentum(cycle_momentum)
        if cycle_momentum:
            start["base_momentum"] = numbers(kind, "base_momentum", optimizer, base_momentum)
            start["max_momentum"] = numbers(kind, "max_momentum", optimizer, max_momentum)
        super().__init__(optimizer, last_epoch, start=start)

    def get_lr(self) -> list[float]:
        """See `LRScheduler`."""
        return self._levels("lr")

    _get_closed_form_lr = get_lr

    def _momenta(self) -> list[float]:
        return self._levels("momentum")

    def _levels(self, what: str) -> list[float]:
        """The rate or the momentum of each group at this step."""
        t, begin = min(self.last_epoch, self.total_steps - 1), 0.0
        for phase in self._schedule_phases:
            if t <= phase["end_step"]:
                break
            begin = phase["end_step"]
        length = phase["end_step"] - begin
        done = (t - begin) / length if length > 0 else 1.0
        left = (1 + math.cos(math.pi * done)) / 2 if self._anneal_func_type == "cos" else 1 - done
        levels = phase[f"start_{what}"], phase[f"end_{what}"]
        pairs = [[group[level] for level in levels] for group in self.optimizer.param_groups]
        return [between(end, start, left) for start, end in pairs]


def _phases(steps: int, rise: float, three: bool) -> list[dict[str, Any]]:
    """Where each phase ends, and the keys of its levels in a group."""
    lr = ["initial_lr", "max_lr", *["initial_lr"] * three, "min_lr"]
    momentum = ["max_momentum", "base_momentum", *["max_momentum"] * three, "max_momentum"]
    ends = [*(i * rise * steps - i for i in range(1, len(lr) - 1)), steps - 1]
    keys = ("end_step", "start_lr", "end_lr", "start_momentum", "end_momentum")
    return [
        dict(zip(keys, phase, strict=True))
        for phase in zip(ends, lr, lr[1:], momentum, momentum[1:], strict=False)
    ]
