"""Row-sparse gradients of large tables: only the rows that are in them are read and written."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from neurenix._phynexus import RowSparse, Tensor

from .binding import Unit, bind
from .groups import Group, describe
from .limits import has_schedule
from .options import HYPER
from .states import default_view

if TYPE_CHECKING:
    from .optimizer import Optimizer
    from .plan import Plan

Place: TypeAlias = tuple["Plan", Unit, int]

#: Options that rows alone can have; others look at the whole table.
_BY_ROW: Final = ("clip_value", "clip_adaptive", "centralize")


def is_sparse(param: Tensor) -> bool:
    """Whether a parameter's gradient is row-sparse."""
    grad: Any = param.grad
    return type(grad) is RowSparse


def find(plans: list[Plan]) -> list[Place]:
    """The parameters whose gradients are row-sparse."""
    return [
        (plan, unit, place)
        for plan in plans
        for unit in plan.units
        for place, param in enumerate(unit.batch.members)
        if is_sparse(param)
    ]


def refusal(optimizer: Optimizer, group: Group) -> str | None:
    """Why rows cannot be stepped alone; None if they can."""
    owner = next(cls for cls in type(optimizer).__mro__ if "formula" in vars(cls))
    kind = vars(owner).get("takes_rows")
    if kind is None:
        return "moves rows that have no gradient"
    options: list[str] = [name for name in HYPER if name in group and name not in _BY_ROW]
    plain = {"accumulate": 1, "state_dtype": None, "param_update": "nearest"}
    options += [name for name, value in plain.items() if getattr(optimizer, name) != value]
    if options:
        return f"has the option {options[0]}, which needs the whole table"
    for name in ("weight_decay", "momentum") if kind == "still" else ():
        if name in group and (has_schedule(group[name]) or group[name] != 0):
            return f"has {name}={group[name]!r}, which moves rows that have no gradient"
    return None


def check(optimizer: Optimizer, found: list[Place]) -> None:
    """TypeError where a row-sparse gradient cannot be taken; nothing has changed then."""
    for plan, unit, place in found:
        group, param = plan.group, unit.batch.members[place]
        if reason := refusal(optimizer, group):
            position = next(i for i, other in enumerate(group["params"]) if other is param)
            raise TypeError(
                f"{plan.label}: {describe(group, position)} of shape {tuple(param.shape)} has a row-sparse gradient, "
                f"and {type(optimizer).__name__} {reason}; use SparseAdam, SGD without momentum, Adagrad, "
                "Embedding(sparse=False), or param.grad = param.grad.to_dense()"
            )


def nonfinite(found: list[Place]) -> list[Tensor]:
    """The parameters whose row-sparse gradients hold a NaN or an infinity."""
    params = [unit.batch.members[place] for _, unit, place in found]
    return [param for param in params if param.grad is not None and not bool(param.grad.isfinite().all())]


@contextmanager
def aside(found: list[Place]) -> Iterator[None]:
    """Without the row-sparse gradients while it lasts."""
    params = [unit.batch.members[place] for _, unit, place in found]
    kept = [param.grad for param in params]
    for param in params:
        param.grad = None
    try:
        yield
    finally:
        for param, grad in zip(params, kept, strict=True):
            param.grad = grad


def step(optimizer: Optimizer, plan: Plan, unit: Unit, place: int) -> None:
    """One step of the rows of one parameter: of a small one that is made of them."""
    param = unit.batch.members[place]
    grad: Any = param.grad
    grad = grad.coalesce()
    rows = grad.indices()
    entry = optimizer._state[param]
    names = [state.name for state in unit.states]
    few = param.detach()[rows].requires_grad_()
    few.grad = grad.values()
    kept = {"step": unit.stepper.steps[place], **{name: entry[name][rows] for name in names}}
    stepper, _ = bind(unit.rule, [few], [default_view(few)], unit.states, [], {few: kept}, [])
    stepper.step(plan.scalars)
    param.detach()[rows] = few.detach()
    for name in names:
        entry[name][rows] = kept[name]
    unit.counted(place)
