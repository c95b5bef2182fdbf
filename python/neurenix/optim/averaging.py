"""Averages of the weights in place of the weights."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from neurenix.autograd import no_grad

if TYPE_CHECKING:
    from .optimizer import Optimizer


@contextmanager
def averaged(optimizer: Optimizer) -> Iterator[None]:
    """Gives the parameters their averages, and at the end their own values back."""
    if "ema" not in optimizer.defaults:
        raise ValueError(f"{type(optimizer).__name__} keeps no average; give it one: ema=0.999")
    params = [param for group in optimizer.param_groups for param in group["params"]]
    own = [param.detach().clone() for param in params]
    with no_grad():
        for param in params:
            average = optimizer.state[param].get("ema")
            if average is not None:
                param.copy_(average)
    try:
        yield
    finally:
        with no_grad():
            for param, value in zip(params, own, strict=True):
                param.copy_(value)
