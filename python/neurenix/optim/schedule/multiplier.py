"""Factors that react to a metric: the only schedules with a state besides the step."""

from __future__ import annotations

import inspect
import math
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, ClassVar, Literal

from .arguments import Between, Count, Inside, Length, Share, Value, limits, signature
from .base import Schedule, register

State = dict[str, Any]


class Multiplier(Schedule):
    """Base of the factors that follow a metric: `lr = cosine(0.1, steps=1000) * Plateau()`.

    The value is the same for all steps until the next `update`. Unlike other schedules two of them are never equal,
    and the state is part of `to_dict`, so that an optimizer's `state_dict` carries it. One that is loaded back into an
    optimizer with the same schedule goes into the factors that are there.

    >>> from neurenix.optim.schedule import Multiplier, Plateau
    >>> isinstance(Plateau(), Multiplier), Plateau() == Plateau()
    (True, False)
    """

    __slots__ = ("state",)
    state: State
    begin: ClassVar[State]
    """The state before the first metric."""

    def __init_subclass__(cls) -> None:
        register(cls.__name__, cls)

    def __init__(self, state: Mapping[str, Any] | None, **arguments: Any) -> None:
        """Takes the arguments of the subclass's `__init__` and checks them by its annotations."""
        kind, known = type(self).__name__, limits(type(self).__init__)
        checked = {name: known[name].check(f"{kind}: {name}", value) for name, value in arguments.items()}
        object.__setattr__(self, "kind", kind)
        object.__setattr__(self, "arguments", checked)
        object.__setattr__(self, "state", _copy(self.begin))
        if state is not None:
            self.load_state_dict(state)

    def __call__(self, t: float) -> float:
        """The factor now, whatever the step."""
        factor: float = self.state["factor"]
        return factor

    def start(self) -> float:
        """The factor now."""
        return self(0)

    def update(self, metric: Any) -> bool:
        """Takes in a metric: a number, or a tensor of one element. NaN and infinity count as no improvement.

        Returns:
            Whether the factor changed.
        """
        before = self(0)
        value = self._mean(float(metric))
        if value is not None:
            self._react(value)
        return self(0) != before

    def step(self, metric: Any) -> bool:
        """The same as `update`."""
        return self.update(metric)

    def state_dict(self) -> State:
        """The state as plain values."""
        return _copy(self.state)

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Goes on where `state_dict` was made.

        Raises:
            ValueError: for anything else; the state is then unchanged.
        """
        self.check_state(state_dict)
        self.state.update(_copy(state_dict))

    def check_state(self, state_dict: Any) -> None:
        """ValueError for what `load_state_dict` does not take."""
        if not isinstance(state_dict, Mapping) or set(state_dict) != set(self.begin):
            raise ValueError(f"{self.kind}: a state is a dict of {', '.join(self.begin)}, got {state_dict!r}")
        for name, value in state_dict.items():
            _check(f"{self.kind}: state {name}", self.begin[name], value)

    def to_dict(self) -> dict[str, Any]:
        """Arguments and state as plain values; `from_dict` makes one like it."""
        return {**super().to_dict(), "state": self.state_dict()}

    def __eq__(self, other: object) -> bool:
        return self is other

    def __hash__(self) -> int:
        return id(self)

    def __reduce__(self) -> tuple[Any, ...]:
        return _remade, (type(self), self.arguments, self.state_dict())

    def _parameters(self) -> Mapping[str, inspect.Parameter]:
        return signature(type(self).__init__).parameters

    def _mean(self, value: float) -> float | None:
        """What is judged after this metric, if it is time to."""
        raise NotImplementedError

    def _react(self, value: float) -> None:
        """Changes the state."""
        raise NotImplementedError

    def _improved(self, value: float) -> bool:
        """Whether a value is better than the best by enough."""
        best = self.state["best"]
        if best is None or not math.isfinite(value):
            return math.isfinite(value)
        margin = self.arguments["rtol"] * abs(best) + self.arguments["atol"]
        return bool(value < best - margin if self.arguments["mode"] == "min" else value > best + margin)


class Plateau(Multiplier):
    """Falls by `factor` whenever a metric has not improved for more than `patience` updates.

    Args:
        mode: whether a good metric is small ("min") or large ("max").
        factor: what the multiplier is multiplied with, in [0, 1].
        patience: updates without improvement that are borne, ≥ 0. Optax's counts one more: its n is n − 1 here.
        rtol: least improvement as a share of the best value's size, ≥ 0.
        atol: least improvement besides, ≥ 0. Torch's threshold mode "abs" is `rtol=0, atol=threshold`.
        cooldown: updates after a fall in which nothing counts against the metric, ≥ 0.
        least: the least multiplier, ≥ 0.
        every: metrics that are averaged before they are judged, ≥ 1.
        state: of another, as `state_dict` gives it.

    >>> from neurenix.optim.schedule import Plateau, cosine
    >>> plateau = Plateau(patience=1)
    >>> lr = cosine(0.5, steps=100) * plateau
    >>> [plateau.update(loss) for loss in (3.0, 2.0, 2.0, 2.0)]
    [False, False, False, True]
    >>> lr(0)
    0.05
    """

    __slots__ = ()
    begin: ClassVar[State] = {
        "factor": 1.0,
        "reductions": 0,
        "best": None,
        "bad": 0,
        "cooldown": 0,
        "metrics": [],
    }

    def __init__(
        self,
        *,
        mode: Literal["min", "max"] = "min",
        factor: Share = 0.1,
        patience: Count = 10,
        rtol: Value = 1e-4,
        atol: Value = 0.0,
        cooldown: Count = 0,
        least: Value = 0.0,
        every: Length = 1,
        state: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(
            state,
            mode=mode,
            factor=factor,
            patience=patience,
            rtol=rtol,
            atol=atol,
            cooldown=cooldown,
            least=least,
            every=every,
        )

    def _mean(self, value: float) -> float | None:
        metrics = self.state["metrics"]
        metrics.append(value)
        if len(metrics) < self.arguments["every"]:
            return None
        self.state["metrics"] = []
        return sum(metrics) / len(metrics)

    def _react(self, value: float) -> None:
        state, arguments = self.state, self.arguments
        if self._improved(value):
            state["best"], state["bad"] = value, 0
        else:
            state["bad"] += 1
        if state["cooldown"]:
            state["cooldown"], state["bad"] = state["cooldown"] - 1, 0
        if state["bad"] > arguments["patience"]:
            state["reductions"] += 1
            state["factor"] = min(
                state["factor"], max(state["factor"] * arguments["factor"], arguments["least"])
            )
            state["cooldown"], state["bad"] = arguments["cooldown"], 0


class Greedy(Multiplier):
    """Grows while a metric improves and falls while it does not, a little each time: GreedyLR.

    Args:
        mode: whether a good metric is small ("min") or large ("max").
        factor: the multiplier is divided by it to grow and multiplied with it to fall, in (0, 1).
        patience: updates of the same kind that are let pass before each change, ≥ 0.
        rtol: least improvement as a share of the best value's size, ≥ 0.
        atol: least improvement besides, ≥ 0.
        cooldown: updates after a fall in which nothing is judged, ≥ 0.
        warmup: updates after a growth in which nothing is judged, ≥ 0.
        least: the least multiplier, in [0, 1].
        most: the greatest multiplier, ≥ 1.
        window: how many of the last metrics are averaged, ≥ 1.
        reset: falls at the least multiplier after which everything begins anew, ≥ 1; None is never.
        state: of another, as `state_dict` gives it.

    >>> from neurenix.optim.schedule import Greedy
    >>> greedy = Greedy(factor=0.5, patience=0, most=4.0)
    >>> lr = 0.1 * greedy
    >>> [(greedy.update(loss), greedy(0)) for loss in (3.0, 2.0, 1.0, 1.0, 1.0)]
    [(True, 2.0), (True, 4.0), (False, 4.0), (True, 2.0), (True, 1.0)]

    References:
        Dynamic learning rate scheduling based on loss changes leads to faster convergence, arXiv 2512.14527.
    """

    __slots__ = ()
    begin: ClassVar[State] = {
        "factor": 1.0,
        "best": None,
        "good": 0,
        "bad": 0,
        "wait": 0,
        "low": 0,
        "metrics": [],
    }

    def __init__(
        self,
        *,
        mode: Literal["min", "max"] = "min",
        factor: Inside = 0.95,
        patience: Count = 10,
        rtol: Value = 0.0,
        atol: Value = 1e-6,
        cooldown: Count = 0,
        warmup: Count = 0,
        least: Share = 0.01,
        most: Annotated[float, Between(1)] = 10.0,
        window: Length = 1,
        reset: Length | None = 500,
        state: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(
            state,
            mode=mode,
            factor=factor,
            patience=patience,
            rtol=rtol,
            atol=atol,
            cooldown=cooldown,
            warmup=warmup,
            least=least,
            most=most,
            window=window,
            reset=reset,
        )

    def _mean(self, value: float) -> float:
        metrics: list[float] = [*self.state["metrics"], value][-self.arguments["window"] :]
        self.state["metrics"] = metrics
        return sum(metrics) / len(metrics)

    def _react(self, value: float) -> None:
        state, arguments = self.state, self.arguments
        if state["wait"]:
            state["wait"] -= 1
            return
        if self._improved(value):
            state["best"], state["good"], state["bad"] = value, state["good"] + 1, 0
        else:
            state["good"], state["bad"] = 0, state["bad"] + 1
        if state["good"] > arguments["patience"]:
            state["factor"] = min(state["factor"] / arguments["factor"], arguments["most"])
            state["wait"], state["good"], state["low"] = arguments["warmup"], 0, 0
        elif state["bad"] > arguments["patience"]:
            state["factor"] = max(state["factor"] * arguments["factor"], arguments["least"])
            state["low"] += state["factor"] == arguments["least"]
            if state["low"] == arguments["reset"]:
                state.update(_copy(self.begin))
            state["wait"], state["bad"] = arguments["cooldown"], 0


def multipliers(schedule: Any) -> list[Multiplier]:
    """All factors with a state that a schedule is made of, in order."""
    if isinstance(schedule, Multiplier):
        return [schedule]
    if isinstance(schedule, Schedule):
        return multipliers(tuple(schedule.arguments.values()))
    return [found for part in schedule for found in multipliers(part)] if isinstance(schedule, tuple) else []


def load_states(label: str, factors: Sequence[Multiplier], states: Any) -> None:
    """Gives each factor its state, or none of them any."""
    if not isinstance(states, (list, tuple)) or len(states) != len(factors):
        raise ValueError(f"{label}: the state of {len(factors)} multipliers is needed, got {states!r}")
    for factor, state in zip(factors, states, strict=True):
        factor.check_state(state)
    for factor, state in zip(factors, states, strict=True):
        factor.load_state_dict(state)


def matching(present: Any, loaded: Any) -> list[tuple[Multiplier, Multiplier]]:
    """Pairs of factors whose states correspond: as many of the same kinds, in the same order; else none."""
    ours, theirs = multipliers(present), multipliers(loaded)
    same = [type(factor) for factor in ours] == [type(factor) for factor in theirs]
    return list(zip(ours, theirs, strict=True)) if same else []


def _remade(cls: type[Multiplier], arguments: dict[str, Any], state: State) -> Multiplier:
    return cls(**arguments, state=state)


def _copy(state: Mapping[str, Any]) -> State:
    return {name: list(value) if isinstance(value, (list, tuple)) else value for name, value in state.items()}


def _check(label: str, begin: Any, value: Any) -> None:
    """That a loaded value is of the kind that it was in the beginning."""
    if isinstance(begin, list):
        good = isinstance(value, (list, tuple)) and all(_is_number(item) for item in value)
    elif isinstance(begin, int):
        good = isinstance(value, int) and not isinstance(value, bool) and value >= 0
    else:
        good = (begin is None and value is None) or _is_number(value)
    if not good:
        raise ValueError(f"{label} cannot be {value!r}")


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
