"""Averages of the weights, and averages in place of the weights."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from neurenix._phynexus import Tensor
from neurenix.autograd import no_grad

from .groups import Group
from .packing import Decoded

if TYPE_CHECKING:
    from .optimizer import Optimizer


def mean(averaged: Tensor, current: Tensor, count: Any) -> Tensor:
    """The mean of one more value, where `count` are in the old one."""
    new: Tensor = averaged + (current - averaged) / (count + 1)
    return new


def ema(averaged: Tensor, current: Tensor, decay: float) -> Tensor:
    """The exponential moving average with one more value."""
    return decay * averaged + (1 - decay) * current


def values(optimizer: Optimizer, group: Group, param: Tensor) -> Mapping[str, Any]:
    """The state of a parameter of a group, decoded; as it is where the optimizer's `step()` is its own."""
    entry = optimizer.state.get(param, {})
    if optimizer.formula is None:
        return entry
    return Decoded(entry, optimizer.all_states(group, optimizer.variant(param, group)), param)


@contextmanager
def averaged(optimizer: Optimizer) -> Iterator[None]:
    """Gives the parameters their averages, and at the end their own values back."""
    if "ema" not in optimizer.defaults:
        raise ValueError(f"{type(optimizer).__name__} keeps no average; give it one: ema=0.999")
    params = [(group, param) for group in optimizer.param_groups for param in group["params"]]
    own = {param: param.detach().clone() for _, param in params}
    outer, optimizer._away = optimizer._away, {**own, **optimizer._away}
    ours = optimizer._away
    try:
        with no_grad():
            for group, param in params:
                average = values(optimizer, group, param).get("ema")
                if average is not None:
                    param.copy_(average)
        yield
    finally:
        if optimizer._away is ours:  # else train() has put the weights of training in place
            optimizer._away = outer
            with no_grad():
                for param, value in own.items():
                    param.copy_(value)


def switch(optimizer: Optimizer, train: bool) -> None:
    """Exchanges the weights of training with those that the rule wants evaluated."""
    if not isinstance(train, bool):
        raise TypeError(f"train: mode must be True or False, got {train!r}")
    with no_grad():
        if train:
            for param, value in optimizer._away.items():
                param.copy_(value)
            optimizer._away = {}
        elif not optimizer._away:
            for group in optimizer.param_groups:
                for param in group["params"]:
                    better = optimizer.evaluation(param, group, values(optimizer, group, param))
                    if better is not None:
                        optimizer._away[param] = param.detach().clone()
                        param.copy_(better)
