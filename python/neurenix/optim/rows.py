"""Row-sparse gradients of large tables: only the rows that are in them are read and written."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from neurenix._phynexus import Counts, RowSparse, Tensor

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
_BY_ROW: Final = ("clip_value", "clip_norm", "clip_adaptive", "centralize")


def is_sparse(param: Tensor) -> bool:
    """Whether a parameter's gradient is row-sparse."""
    grad: Any = param.grad
    return type(grad) is RowSparse


def find(plans: list[Plan]) -> list[Place]:
    """The parameters whose gradients are row-sparse."""
    return [(plan, unit, place) for plan in plans for unit in plan.units for place in unit.stepper.sparse()]


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
            raise _error(optimizer, plan.label, group, param, reason)


def refuse_all(optimizer: Optimizer) -> None:
    """TypeError for any row-sparse gradient, in a step() that needs dense ones."""
    for place, group in enumerate(optimizer.param_groups):
        for param in filter(is_sparse, group["params"]):
            raise _error(optimizer, optimizer._label(place), group, param, "needs the whole table")


def _error(optimizer: Optimizer, label: str, group: Group, param: Tensor, reason: str) -> TypeError:
    position = next(i for i, other in enumerate(group["params"]) if other is param)
    return TypeError(
        f"{label}: {describe(group, position)} of shape {tuple(param.shape)} has a row-sparse gradient, "
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


class RowStep:
    """The step of the rows that are in a gradient, as a small parameter that is made of them."""

    def __init__(self, optimizer: Optimizer, plan: Plan, unit: Unit, place: int) -> None:
        self.plan, self.unit, self.place = plan, unit, place
        self.param = unit.batch.members[place]
        grad: Any = self.param.grad
        grad = grad.coalesce()
        self.rows = grad.indices()
        self.entry = optimizer._state[self.param]
        self.names = [state.name for state in unit.states]
        self.few = self.param.detach()[self.rows].requires_grad_()
        self.few.grad = grad.values()
        self.kept = {name: self.entry[name][self.rows] for name in self.names}
        entries, counts = {self.few: self.kept}, [Counts(self.entry["step"])]
        self.stepper, _ = bind(
            unit.rule, [self.few], [default_view(self.few)], unit.states, [], entries, counts
        )

    def finish(self) -> None:
        """Puts the rows back after the step."""
        self.param.detach()[self.rows] = self.few.detach()
        for name in self.names:
            self.entry[name][self.rows] = self.kept[name]
        self.entry["step"] += 1


def step(optimizer: Optimizer, plan: Plan, unit: Unit, place: int) -> None:
    """One step of the rows of one parameter."""
    own = RowStep(optimizer, plan, unit, place)
    own.stepper.step(plan.scalars)
    own.finish()
