"""Schedulers that move learning rate and momentum against each other."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

from .. import schedule
from ..optimizer import Optimizer
from ..schedule.arguments import Between, OneOf, Whole
from .base import LRScheduler, each, groups_of
from .curves import Fixed, PerGroup


class CyclicLR(LRScheduler):
    """Triangles between `base_lr` and `max_lr`, momentum between `max_momentum` and `base_momentum`: `schedule.cyclic`.

    Args:
        optimizer: whose groups are written.
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
        last_epoch: the step before the first.

    >>> import neurenix as nx
    >>> from neurenix.optim.lr_scheduler import CyclicLR
    >>> optimizer = nx.optim.SGD(nx.nn.Linear(2, 1).parameters(), momentum=0.9)
    >>> scheduler = CyclicLR(optimizer, 0.1, 0.5, step_size_up=2)
    >>> for _ in range(2):
    ...     scheduler.step()
    >>> scheduler.get_last_lr(), round(optimizer.param_groups[0]["momentum"], 6)
    ([0.5], 0.8)
    """

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
        shape: dict[str, Any] = {"up": step_size_up, "down": step_size_down, "gamma": gamma}
        shape |= {"scale": scale_fn, "scale_mode": scale_mode, "mode": "triangular" if scale_fn else mode}
        lr = _pairs("CyclicLR", optimizer, base_lr=base_lr, max_lr=max_lr)
        momentum = None
        if _moves_momentum("CyclicLR", optimizer, cycle_momentum):
            pairs = _pairs("CyclicLR", optimizer, base_momentum=base_momentum, max_momentum=max_momentum)
            momentum = pairs.map(lambda pair: schedule.cyclic(*pair, inverse=True, **shape))
        super().__init__(
            optimizer, Fixed(lr.map(lambda pair: schedule.cyclic(*pair, **shape)), momentum), last_epoch
        )


class OneCycleLR(LRScheduler):
    """One rise to `max_lr` and one long fall, with momentum against it: `schedule.one_cycle`.

    Past the last step both stay where they are.

    Args:
        optimizer: whose groups are written.
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
        last_epoch: the step before the first.

    >>> import neurenix as nx
    >>> from neurenix.optim.lr_scheduler import OneCycleLR
    >>> optimizer = nx.optim.AdamW(nx.nn.Linear(2, 1).parameters())
    >>> scheduler = OneCycleLR(optimizer, max_lr=0.5, total_steps=10)
    >>> for _ in range(2):
    ...     scheduler.step()
    >>> scheduler.get_last_lr(), round(optimizer.param_groups[0]["betas"][0], 6)
    ([0.5], 0.85)
    """

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
        if total_steps is None and (epochs is None or steps_per_epoch is None):
            raise ValueError("OneCycleLR: give total_steps, or epochs and steps_per_epoch")
        given = {"total_steps": total_steps, "epochs": epochs, "steps_per_epoch": steps_per_epoch}
        steps = 1
        for name in ("epochs", "steps_per_epoch") if total_steps is None else ("total_steps",):
            steps *= Whole(1).check(f"OneCycleLR: {name}", given[name])
        OneOf(("cos", "linear")).check("OneCycleLR: anneal_strategy", anneal_strategy)
        shape: dict[str, Any] = {"steps": steps, "rise": pct_start, "three_phase": three_phase}
        shape["shape"] = {"cos": "cosine"}.get(anneal_strategy, anneal_strategy)
        divisors: dict[str, Any] = {"div": div_factor, "final_div": final_div_factor}
        lr = each("OneCycleLR: max_lr", optimizer, max_lr, _at_least_0)
        momentum = None
        if _moves_momentum("OneCycleLR", optimizer, cycle_momentum):
            pairs = _pairs("OneCycleLR", optimizer, base_momentum=base_momentum, max_momentum=max_momentum)
            momentum = pairs.map(lambda pair: schedule.one_cycle_momentum(*pair, **shape))
        curve = Fixed(lr.map(lambda rate: schedule.one_cycle(rate, **divisors, **shape)), momentum)
        super().__init__(optimizer, curve, last_epoch)


def _pairs(name: str, optimizer: Any, **values: Any) -> PerGroup[tuple[float, float]]:
    """Two arguments for each group, where either may be one for all."""
    low, high = (
        each(f"{name}: {argument}", optimizer, value, _at_least_0) for argument, value in values.items()
    )
    return low.paired(high)


def _at_least_0(name: str, value: Any) -> float:
    return Between(0).check(name, value)


def _moves_momentum(name: str, optimizer: Any, wanted: bool) -> bool:
    OneOf((True, False)).check(f"{name}: cycle_momentum", wanted)
    groups_of(name, optimizer)
    if wanted and not {"momentum", "betas"} & set(optimizer.defaults):
        raise ValueError(
            f"{name}: {type(optimizer).__name__} has neither momentum nor betas; pass cycle_momentum=False"
        )
    return wanted
