"""The option `accumulate`: gradients of several calls of `step()` that wait for one step."""

from __future__ import annotations

from typing import TYPE_CHECKING

from neurenix._phynexus import Tensor, step_together

from . import rows

if TYPE_CHECKING:
    from .binding import Then, Unit
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
        units = [unit for plan in plans for unit in plan.units]
        then: list[Then] = [plan.waited() for plan in plans]
        for unit in units:
            members = enumerate(unit.batch.members)
            then += unit.waited(place for place, param in members if param.grad is not None)
        step_together([(unit.gather, (), None) for unit in units if unit.gather is not None], then)
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
    return [unit.batch.members[place] for place in unit.waiting()]


def finish(optimizer: Optimizer) -> None:
    """After a step of all gradients that waited: rules without sums are enough where none will wait."""
    if optimizer.accumulate == 1:
        optimizer._keep_sums(False)
