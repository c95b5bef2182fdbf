"""The base of all schedulers: it writes the learning rates of an optimizer's groups, one step further each time."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from numbers import Real
from typing import Any, ClassVar, Final, Literal, TypeVar

from ..optimizer import Optimizer
from ..schedule.arguments import Between, OneOf, Whole

T = TypeVar("T")

#: Attributes that are not saved.
_PASSING: Final = ("optimizer", "_is_initial", "_get_lr_called_within_step")


class LRScheduler:
    """Base of PyTorch's schedulers, and of your own, with PyTorch's semantics.

    A scheduler keeps its step as `last_epoch` and the rates that its groups began with as `base_lrs`; everything else
    is in the groups: the rate as `group["lr"]`, the first one as `group["initial_lr"]`, and both are saved with the
    optimizer. Each `step()` writes what `get_lr()` returns. Most schedulers multiply the rate that is there, so that
    several of one optimizer work together, and one that is no longer stepped has no effect.

    A class of your own gives `get_lr()`, and if it can `_get_closed_form_lr()`, the same from `base_lrs` and
    `last_epoch` alone, for `step(epoch)` and `SequentialLR`.

    Args:
        optimizer: its groups' learning rates are written.
        last_epoch: -1 to begin. To go on without a saved scheduler, give the step before the next one to an optimizer
            that was loaded: the rate there is that of step last_epoch + 1, and stays.

    Raises:
        KeyError: with a `last_epoch`, for a group without "initial_lr".

    >>> import neurenix as nx
    >>> from neurenix.optim.lr_scheduler import LRScheduler
    >>> class Halving(LRScheduler):
    ...     def get_lr(self):
    ...         return [base * 0.5**self.last_epoch for base in self.base_lrs]
    >>> optimizer = nx.optim.SGD(nx.nn.Linear(2, 1).parameters(), lr=1.0)
    >>> scheduler = Halving(optimizer)
    >>> for epoch in range(2):
    ...     optimizer.step()
    ...     scheduler.step()
    >>> scheduler.last_epoch, scheduler.get_last_lr(), optimizer.param_groups[0]["initial_lr"]
    (2, [0.25], 1.0)
    """

    optimizer: Optimizer
    base_lrs: list[float]  #: the learning rates that the groups began with
    last_epoch: float  #: the step that it is at, from 0
    _last_lr: list[float]
    _step_count: int
    _is_initial: bool = False
    _get_lr_called_within_step: bool = False
    _lists: ClassVar[tuple[str, ...]] = ()
    """Attributes that may be a list with a value for each group."""
    _keys: ClassVar[tuple[str, ...]] = ()
    """What it keeps in each group besides "initial_lr"."""

    def __init__(
        self,
        optimizer: Optimizer,
        last_epoch: int = -1,
        *,
        start: Mapping[str, Sequence[float]] | None = None,
    ) -> None:
        """`start` is what the groups begin with, by key, besides their first rate."""
        kind = type(self).__name__
        groups = groups_of(kind, optimizer)
        before = Whole(-1).check(f"{kind}: last_epoch", last_epoch)
        for place, group in enumerate(groups):
            if not isinstance(group["lr"], Real):
                raise TypeError(
                    f"{kind}: the lr of group {place} is {group['lr']!r}; give the optimizer a number where a "
                    "scheduler writes it, or multiply the schedules"
                )
        self.optimizer = optimizer
        with self._all_or_nothing():
            for place, group in enumerate(groups):
                if before >= 0 and "initial_lr" not in group:
                    raise KeyError(
                        f"{kind}: group {place} has no 'initial_lr', which last_epoch={before} needs; load the "
                        "optimizer's state before, or give the group this key"
                    )
                own = {key: values[place] for key, values in (start or {}).items()}
                group.update(own if before == -1 else {**own, **group})
                group.setdefault("initial_lr", group["lr"])
            self.base_lrs = self._first_lrs()
            self.last_epoch = before
            self._initial_step()

    def get_lr(self) -> Sequence[float]:
        """The rates of step `last_epoch`, given those of the step before in the groups; for `step()` alone."""
        raise NotImplementedError(
            f"{type(self).__name__} needs a get_lr() that returns a rate for each group"
        )

    def get_last_lr(self) -> list[float]:
        """The learning rates that this scheduler wrote last."""
        return list(self._last_lr)

    def step(self, epoch: float | None = None) -> None:
        """Goes one step further, or to the step `epoch`, which may be a fraction.

        The rate of any step is known where there is `_get_closed_form_lr()`; others write `get_lr()` for that step.
        """
        if epoch is not None:
            epoch = Between(0).check(f"{type(self).__name__}: epoch", epoch)
        if self._step_count == 1:
            warn_if_early(type(self).__name__, self.optimizer)
        before = dict(vars(self))
        try:
            self._step_count += 1
            self._update_lr(epoch)
        except BaseException:
            vars(self).clear()
            vars(self).update(before)
            raise

    def state_dict(self) -> dict[str, Any]:
        """Its attributes but the optimizer. The rates themselves are in the optimizer's state: save both."""
        kept = {name: value for name, value in vars(self).items() if name not in _PASSING}
        return {name: list(value) if isinstance(value, list) else value for name, value in kept.items()}

    def load_state_dict(
        self, state_dict: Mapping[str, Any], arguments: Literal["load", "keep"] = "load"
    ) -> None:
        """Goes on where `state_dict` was made.

        The order in which optimizer and scheduler are loaded does not matter. If the groups still have the rates that
        this scheduler gave them, because the optimizer was not loaded, they get those of the state.

        Args:
            state_dict: what `state_dict()` returned.
            arguments: "load" takes everything, `T_max` and the like, too. "keep" takes the step alone and computes
                the rate anew, as if all steps so far had been made with the arguments given here: for a training that
                is lengthened. Load the optimizer before, then.

        Raises:
            ValueError: if the state does not fit; nothing has changed then.

        >>> import neurenix as nx
        >>> from neurenix.optim.lr_scheduler import PolynomialLR
        >>> optimizer = nx.optim.SGD(nx.nn.Linear(2, 1).parameters(), lr=1.0)
        >>> longer = PolynomialLR(optimizer, total_iters=4)
        >>> longer.load_state_dict({"last_epoch": 2, "total_iters": 2}, arguments="keep")
        >>> longer.get_last_lr()
        [0.5]
        """
        name = f"{type(self).__name__}: load_state_dict: arguments"
        OneOf(("load", "keep")).check(name, arguments)
        self._check_state(state_dict)
        with self._all_or_nothing():
            if arguments == "keep":
                self._resume(state_dict)
                return
            is_ours = [group["lr"] for group in self.optimizer.param_groups] == self._last_lr
            self._take_state(state_dict)
            if is_ours:
                self._write(self._last_lr)

    # What subclasses here change
    def _first_lrs(self) -> list[float]:
        """What `base_lrs` begins with."""
        return [group["initial_lr"] for group in self.optimizer.param_groups]

    def _initial_step(self) -> None:
        """The step to the first rate."""
        self._step_count = 0
        self._is_initial = True
        try:
            self.step()
        finally:
            self._is_initial = False

    def _update_lr(self, epoch: float | None = None) -> None:
        """Goes to a step and writes its rates."""
        self._follow_groups()
        self._get_lr_called_within_step = True
        try:
            self.last_epoch = self.last_epoch + 1 if epoch is None else epoch
            closed = None if epoch is None else getattr(self, "_get_closed_form_lr", None)
            self._write((closed or self.get_lr)())
        finally:
            self._get_lr_called_within_step = False

    def _write(self, rates: Iterable[float]) -> None:
        """Gives the groups their rates."""
        groups = self.optimizer.param_groups
        values = [rate if type(rate) in (float, int) else float(rate) for rate in rates]
        if len(values) != len(groups):
            raise ValueError(
                f"{type(self).__name__}: get_lr() gave {len(values)} rates for {len(groups)} groups"
            )
        for group, value in zip(groups, values, strict=True):
            group["lr"] = value
        self._last_lr = values

    def _follow_groups(self) -> None:
        """Takes in groups that were added; they get what all others have in common."""
        groups, kind = self.optimizer.param_groups, type(self).__name__
        if len(groups) == len(self.base_lrs):
            return
        added = groups[len(self.base_lrs) :]
        for name in self._lists:
            values = vars(self).get(name)
            if isinstance(values, list):
                value = common(kind, name, values, len(groups))
                setattr(self, name, [*values, *[value] * len(added)])
        for key in self._keys:
            known = [group[key] for group in groups if key in group]
            for group in groups:
                if known and key not in group:
                    group[key] = common(kind, f'group["{key}"]', known, len(groups))
        for group in added:
            group.setdefault("initial_lr", group["lr"])
        self.base_lrs = [*self.base_lrs, *(group["initial_lr"] for group in groups[len(self.base_lrs) :])]

    def _go(self, steps: float) -> None:
        """To this step from the beginning."""
        if hasattr(self, "_get_closed_form_lr"):
            self._update_lr(steps)
            return
        for group, base in zip(self.optimizer.param_groups, self.base_lrs, strict=True):
            group["lr"] = base
        self.last_epoch = -1
        self._initial_step()
        while self.last_epoch < steps:
            self._update_lr()

    def _check_state(self, state: Any) -> None:
        """ValueError for what `load_state_dict` does not take."""
        kind, own = type(self).__name__, vars(self)
        if not isinstance(state, Mapping):
            raise ValueError(f"{kind}: a state is a dict, got {state!r}")
        t = state.get("last_epoch")
        if "last_epoch" in own and (t is None or not is_number(t) or t < -1):
            raise ValueError(f"{kind}: a state has a last_epoch ≥ -1, got {state!r}")
        for name, value in state.items():
            if name in own and not self._fits(name, own[name], value):
                raise ValueError(
                    f"{kind}: {name} cannot be {value!r}; here it is {own[name]!r}, of {len(self._last_lr)} groups"
                )
        foreign = [
            name for name in state if name not in own and not name.startswith("_") and name != "verbose"
        ]
        missing = [name for name in self.state_dict() if name not in state and not name.startswith("_")]
        if foreign and missing:
            raise ValueError(
                f"{kind}: this state is of another scheduler: it has {', '.join(foreign)}, and not {', '.join(missing)}"
            )

    def _fits(self, name: str, own: Any, value: Any) -> bool:
        """Whether a loaded value may stand for one that is here."""
        if isinstance(own, (bool, str)):
            return type(value) is type(own)
        if isinstance(own, (int, float)):
            return is_number(value)
        if isinstance(own, list) and all(map(is_number, own)):
            return isinstance(value, (list, tuple)) and len(value) == len(own) and all(map(is_number, value))
        return True

    def _take_state(self, state: Mapping[str, Any]) -> None:
        """Takes the attributes of a state that was checked."""
        kept = {name: value for name, value in state.items() if name not in _PASSING and name != "verbose"}
        vars(self).update({name: list(v) if isinstance(v, (list, tuple)) else v for name, v in kept.items()})

    def _resume(self, state: Mapping[str, Any]) -> None:
        """Goes to the step of a state with the present arguments."""
        self._go(state["last_epoch"])

    def _all(self) -> Iterator[LRScheduler]:
        """This scheduler, and those that it steps."""
        yield self

    @contextmanager
    def _all_or_nothing(self) -> Iterator[None]:
        """Leaves groups and schedulers as they were if an error passes."""
        parts = [vars(scheduler) for scheduler in self._all()] + self.optimizer.param_groups
        before = [dict(part) for part in parts]
        try:
            yield
        except BaseException:
            for part, values in zip(parts, before, strict=True):
                part.clear()
                part.update(values)
            raise

    def __repr__(self) -> str:
        shown = {name: value for name, value in self.state_dict().items() if not name.startswith("_")}
        shown.pop("base_lrs", None)
        return f"{type(self).__name__}({', '.join(f'{name}={value!r}' for name, value in shown.items())})"


def warn_if_early(kind: str, optimizer: Optimizer) -> None:
    """Warns of a scheduler's step before the first of the optimizer."""
    if not optimizer._has_stepped():
        warnings.warn(
            f"{kind}.step() comes before the first optimizer.step(), so the first learning rate is never used; call "
            "optimizer.step() before it",
            UserWarning,
            stacklevel=3,
        )


def groups_of(kind: str, optimizer: Any) -> list[dict[str, Any]]:
    """The optimizer's groups, or the TypeError that it is none."""
    if not isinstance(optimizer, Optimizer):
        raise TypeError(
            f"{kind}: optimizer must be an Optimizer, got {optimizer!r} ({type(optimizer).__name__})"
        )
    return optimizer.param_groups


def each(kind: str, name: str, optimizer: Any, value: Any, check: Callable[[str, Any], T]) -> list[T]:
    """An argument that is one value for all groups or a list with one for each, as a list."""
    count = len(groups_of(kind, optimizer))
    if not isinstance(value, (list, tuple)):
        return [check(f"{kind}: {name}", value)] * count
    if len(value) != count:
        raise ValueError(
            f"{kind}: {name} has {len(value)} values for {count} groups; give one for all, or one for each"
        )
    return [check(f"{kind}: {name}[{i}]", item) for i, item in enumerate(value)]


def numbers(kind: str, name: str, optimizer: Any, value: Any) -> list[float]:
    """As `each`, of numbers ≥ 0."""
    return each(kind, name, optimizer, value, Between(0).check)


def common(kind: str, name: str, values: Sequence[T], count: int) -> T:
    """What the values of all groups are, for one that was added."""
    if not values or any(value != values[0] for value in values):
        raise ValueError(
            f"{kind}: {name} differs from group to group ({len(values)} values for {count} groups); give it one for "
            "each group that was added"
        )
    return values[0]


def is_number(value: Any) -> bool:
    """Whether a value is a number."""
    return isinstance(value, Real) and value is not True and value is not False
