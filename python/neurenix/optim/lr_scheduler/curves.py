"""What schedulers make of the learning rates of all groups: functions of the step that compose."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeAlias, TypeVar

from ..schedule.multiplier import Multiplier, Plateau

Rates: TypeAlias = list[float]
Function: TypeAlias = Callable[[float], float]
S = TypeVar("S")
T_co = TypeVar("T_co", covariant=True)


@dataclass(frozen=True)
class PerGroup(Generic[T_co]):
    """A value for all groups, or a list with one for each."""

    name: str
    values: tuple[T_co, ...]
    listed: bool = False

    def of(self, count: int) -> tuple[T_co, ...]:
        """The value of each of so many groups.

        Raises:
            ValueError: if there is a list of another length.
        """
        if not self.listed:
            return self.values * count
        if len(self.values) != count:
            raise ValueError(
                f"{self.name} has {len(self.values)} values for {count} groups; give one for all, or one for each"
            )
        return self.values

    def map(self, change: Callable[[T_co], S]) -> PerGroup[S]:
        """The same of changed values."""
        return PerGroup(self.name, tuple(map(change, self.values)), self.listed)

    def paired(self, other: PerGroup[S]) -> PerGroup[tuple[T_co, S]]:
        """Each value with that of another."""
        count = max(len(self.values), len(other.values))
        pairs = tuple(zip(self.of(count), other.of(count), strict=True))
        return PerGroup(self.name, pairs, self.listed or other.listed)


class Curve:
    """Learning rates by the step, given those that the groups would have without it."""

    def rates(self, t: float, rates: Rates) -> Rates:
        """The learning rate of each group at step t."""
        raise NotImplementedError

    def momenta(self, t: float, count: int) -> Rates | None:
        """The momentum of each group at step t, if this curve says anything about it."""
        return None

    def update(self, t: float, metric: Any) -> None:
        """Takes in a metric for step t."""

    def factors(self) -> list[Multiplier]:
        """What has a state besides the step."""
        return []


@dataclass
class Toward(Curve):
    """From a group's own rate towards an end: end + (rate − end)·left(t)."""

    left: PerGroup[Function]
    ends: PerGroup[float]

    def rates(self, t: float, rates: Rates) -> Rates:
        """See `Curve`."""
        parts = zip(rates, self.left.of(len(rates)), self.ends.of(len(rates)), strict=True)
        return [end + (rate - end) * left(t) for rate, left, end in parts]


@dataclass
class Fixed(Curve):
    """Whatever the groups' own rates are."""

    lr: PerGroup[Function]
    momentum: PerGroup[Function] | None

    def rates(self, t: float, rates: Rates) -> Rates:
        """See `Curve`."""
        return [function(t) for function in self.lr.of(len(rates))]

    def momenta(self, t: float, count: int) -> Rates | None:
        """See `Curve`."""
        return None if self.momentum is None else [function(t) for function in self.momentum.of(count)]


@dataclass
class Reduced(Curve):
    """Multiplied once more by a factor each time a plateau is met, for each group down to a least rate."""

    plateau: Plateau
    least: PerGroup[float]
    eps: float

    def rates(self, t: float, rates: Rates) -> Rates:
        """See `Curve`."""
        return [self._reduced(*pair) for pair in zip(rates, self.least.of(len(rates)), strict=True)]

    def _reduced(self, rate: float, least: float) -> float:
        for _ in range(self.plateau.state["reductions"]):
            lower = max(rate * self.plateau.arguments["factor"], least)
            if rate - lower <= self.eps:
                break
            rate = lower
        return rate

    def update(self, t: float, metric: Any) -> None:
        """See `Curve`."""
        self.plateau.update(metric)

    def factors(self) -> list[Multiplier]:
        """See `Curve`."""
        return [self.plateau]


@dataclass
class Product(Curve):
    """One curve after another at the same step, each of the rates that the one before gives."""

    curves: list[Curve]

    def rates(self, t: float, rates: Rates) -> Rates:
        """See `Curve`."""
        for curve in self.curves:
            rates = curve.rates(t, rates)
        return rates

    def momenta(self, t: float, count: int) -> Rates | None:
        """See `Curve`."""
        found = [curve.momenta(t, count) for curve in self.curves]
        return next((momenta for momenta in reversed(found) if momenta), None)

    def update(self, t: float, metric: Any) -> None:
        """See `Curve`."""
        for curve in self.curves:
            curve.update(t, metric)

    def factors(self) -> list[Multiplier]:
        """See `Curve`."""
        return [factor for curve in self.curves for factor in curve.factors()]


@dataclass
class Joined(Product):
    """One curve at a time: the i-th begins at step `at[i - 1]`, with its own step 0."""

    at: tuple[int, ...]

    def _active(self, t: float) -> tuple[Curve, float]:
        place = bisect_right(self.at, t)
        return self.curves[place], t - (0, *self.at)[place]

    def rates(self, t: float, rates: Rates) -> Rates:
        """See `Curve`."""
        curve, own = self._active(t)
        return curve.rates(own, rates)

    def momenta(self, t: float, count: int) -> Rates | None:
        """See `Curve`."""
        curve, own = self._active(t)
        return curve.momenta(own, count)

    def update(self, t: float, metric: Any) -> None:
        """See `Curve`."""
        curve, own = self._active(t)
        curve.update(own, metric)
