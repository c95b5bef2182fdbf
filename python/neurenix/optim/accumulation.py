"""The option `accumulate`: gradients of several calls of `step()` that wait for one step."""

from __future__ import annotations

from typing import TYPE_CHECKING

from neurenix._phynexus import Tensor

from . import rows
from .options import COUNT

if TYPE_CHECKING:
    from .binding import Unit
    from .optimizer import Optimizer


def pending(optimizer: Optimizer) -> int:
    """How many calls of `step()` have gradients that wait."""
    return max((plan.pending for plan in optimizer._plans), default=0)


def advance(optimizer: Optimizer, flush: bool) -> None:
    """Adds the gradients to those that wait, or makes the step of all of them; `.grad` is None afterwards."""
    plans = optimizer._plans
    rows.check(optimizer, rows.find(plans))
    params = [param for plan in plans for unit in plan.units for param in unit.batch.members]
    given = [param for param in params if param.grad is not None]
    count = pending(optimizer) + bool(given)
    if count == 0 or not (given or flush):
        return
    if count < optimizer.accumulate and not flush:
        for plan in plans:
            plan.wait()
    else:
        lent = [
            param for plan in plans for unit in plan.units for param in waiting(unit) if param.grad is None
        ]
        try:
            for param in lent:
                param.grad = Tensor.zeros_like(param)
            for plan in plans:
                plan.average(optimizer, count)
            optimizer._run(plans)
        finally:
            for param in lent:
                param.grad = None
        finish(optimizer)
    for param in given:
        param.grad = None


def waiting(unit: Unit) -> list[Tensor]:
    """The parameters of which gradients wait."""
    if COUNT not in unit.scalars:
        return []
    at = unit.scalars.index(COUNT)
    members = zip(unit.batch.members, unit.stepper.numbers, strict=True)
    return [param for param, numbers in members if numbers[at] > 0]


def finish(optimizer: Optimizer) -> None:
    """After a step of all gradients that waited: rules without sums are enough where none will wait."""
    if optimizer.accumulate == 1:
        optimizer._keep_sums(False)
