"""What all schedulers have: a place in the optimizer's row of curves, and a step."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from numbers import Real
from typing import Any, Final, TypeVar
from weakref import WeakKeyDictionary

from ..optimizer import Optimizer
from ..schedule.arguments import Between, Whole
from ..schedule.multiplier import load_states
from .curves import Curve, PerGroup

T = TypeVar("T")


@dataclass(eq=False)
class Link:
    """A scheduler's curve and the step that it is at."""

    curve: Curve
    t: float


# The schedulers of an optimizer, in the order in which they were made. Links know no optimizer, so that it goes with
# its last user.
_ROWS: Final[WeakKeyDictionary[Optimizer, list[Link]]] = WeakKeyDictionary()


class LRScheduler:
    """Base of the schedulers that have PyTorch's names.

    Each is a function of the step alone: groups keep the rate that they began with as `group["initial_lr"]`, and every
    `step()` writes what follows from it. Several schedulers of one optimizer multiply, in the order in which they were
    made. A scheduler of your own is `LambdaLR`, or better a schedule given as the learning rate itself.

    >>> import neurenix as nx
    >>> from neurenix.optim.lr_scheduler import ExponentialLR, LRScheduler
    >>> optimizer = nx.optim.SGD(nx.nn.Linear(2, 1).parameters(), lr=1.0)
    >>> scheduler = ExponentialLR(optimizer, gamma=0.5)
    >>> scheduler.step()
    >>> isinstance(scheduler, LRScheduler), scheduler.last_epoch, scheduler.get_last_lr()
    (True, 1, [0.5])
    """

    def __init__(self, optimizer: Optimizer, curve: Curve, last_epoch: int = -1) -> None:
        name = type(self).__name__
        start = Whole(-1).check(f"{name}: last_epoch", last_epoch) + 1
        for place, group in enumerate(groups_of(name, optimizer)):
            if not isinstance(group["lr"], Real):
                raise TypeError(
                    f"{name}: the lr of group {place} is {group['lr']!r}; give the optimizer a number where a "
                    "scheduler writes it, or multiply the schedules"
                )
        self.optimizer = optimizer
        self._row = _ROWS.setdefault(optimizer, [])
        self._link = Link(curve, start)
        self._row.append(self._link)
        self._write()

    @property
    def last_epoch(self) -> float:
        """The step that it is at, from 0."""
        return self._link.t

    @property
    def base_lrs(self) -> list[float]:
        """The learning rates that the groups began with."""
        for group in self.optimizer.param_groups:
            group.setdefault("initial_lr", group["lr"])
        return [group["initial_lr"] for group in self.optimizer.param_groups]

    def get_last_lr(self) -> list[float]:
        """The learning rate that each group has now."""
        return [group["lr"] for group in self.optimizer.param_groups]

    def step(self, epoch: float | None = None) -> None:
        """Goes one step further, or to the step `epoch`, which may be a fraction."""
        self._go(
            self._link.t + 1 if epoch is None else Between(0).check(f"{type(self).__name__}: epoch", epoch)
        )

    def state_dict(self) -> dict[str, Any]:
        """The step and what it began with, as plain values."""
        states = [factor.state_dict() for factor in self._link.curve.factors()]
        whole = {"last_epoch": self._link.t, "base_lrs": self.base_lrs}
        return {**whole, "multipliers": states} if states else whole

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Goes on where `state_dict` was made; before or after the optimizer's own state is loaded.

        Raises:
            ValueError: if the state does not fit; nothing has changed then.
        """
        name, groups = type(self).__name__, self.optimizer.param_groups
        bases, factors = state_dict.get("base_lrs"), self._link.curve.factors()
        try:
            t = Between(0).check(f"{name}: last_epoch", state_dict.get("last_epoch"))
        except TypeError as error:
            raise ValueError(str(error)) from None
        if not isinstance(bases, (list, tuple)) or len(bases) != len(groups):
            raise ValueError(f"{name}: base_lrs needs {len(groups)} values, one a group, got {bases!r}")
        load_states(name, factors, state_dict.get("multipliers", ()))
        for group, base in zip(groups, bases, strict=True):
            group["initial_lr"] = base
        self._go(t)

    def _go(self, t: float) -> None:
        before, self._link.t = self._link.t, t
        try:
            self._write()
        except BaseException:
            self._link.t = before
            raise

    def _write(self) -> None:
        groups, rates, momenta = self.optimizer.param_groups, self.base_lrs, None
        for link in self._row:
            rates = link.curve.rates(link.t, rates)
            momenta = link.curve.momenta(link.t, len(groups)) or momenta
        for place, group in enumerate(groups):
            group["lr"] = rates[place]
            if momenta and "betas" in group:
                group["betas"] = (momenta[place], *group["betas"][1:])
            elif momenta:
                group["momentum"] = momenta[place]

    def _taken(self) -> Curve:
        """The curve, out of the optimizer's row: another scheduler has it now."""
        if self._link in self._row:
            self._row.remove(self._link)
        return self._link.curve

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._link.curve!r}, last_epoch={self._link.t})"


def groups_of(name: str, optimizer: Any) -> list[dict[str, Any]]:
    """The optimizer's groups, or the TypeError that it is none."""
    if not isinstance(optimizer, Optimizer):
        raise TypeError(
            f"{name}: optimizer must be an Optimizer, got {optimizer!r} ({type(optimizer).__name__})"
        )
    return optimizer.param_groups


def each(name: str, optimizer: Any, value: Any, check: Callable[[str, Any], T] | None = None) -> PerGroup[T]:
    """An argument that may have one value for each group, numbers ≥ 0 unless said; `name` begins with the class."""
    checked: Callable[[str, Any], Any] = check or Between(0).check
    groups = groups_of(name.split(":", maxsplit=1)[0], optimizer)
    if not isinstance(value, (list, tuple)):
        return PerGroup(name, (checked(name, value),))
    found = PerGroup(name, tuple(checked(f"{name}[{i}]", item) for i, item in enumerate(value)), listed=True)
    found.of(len(groups))
    return found
