"""One training each: its place, its curve, and the random numbers that belong to it alone."""

from __future__ import annotations

import math
import random
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, NamedTuple, TypeAlias

import numpy as np

from neurenix._phynexus import default_generator, manual_seed

from .candidates import MakeOptimizer

TrainFunction: TypeAlias = Callable[[MakeOptimizer, int], Iterator[Any]]
State: TypeAlias = Literal["waiting", "running", "complete", "dropped", "diverged", "failed"]


class Point(NamedTuple):
    """A place on a curve: pieces of work and seconds so far, and the loss there."""

    pieces: int
    seconds: float
    loss: float


class Goal(NamedTuple):
    """How far to go: so many pieces, or so many seconds."""

    unit: Literal["pieces", "seconds"]
    amount: float

    def part(self, share: float) -> Goal:
        """A share of the way; a piece at least."""
        amount = self.amount * share
        return Goal(self.unit, max(1, math.ceil(amount)) if self.unit == "pieces" else amount)


class Event(NamedTuple):
    """What happened to a trial: a point; its goal or its end is reached; its loss is no number; or it failed."""

    trial: int
    kind: Literal["point", "reached", "ended", "diverged", "failed"]
    value: Any = None


@dataclass
class Trial:
    """What is known of one training.

    Attributes:
        key: its number.
        name, lr, seed: what it trains with.
        state: "waiting" or "running" of those that were not brought to an end, "complete", "dropped" for a better
            learning rate, "diverged" (a loss that is no number), "failed" (an exception).
        curve: its points.
        error: what went wrong.
    """

    key: int
    name: str
    lr: float
    seed: int
    state: State = "waiting"
    curve: list[Point] = field(default_factory=list)
    error: str | None = None

    @property
    def lost(self) -> bool:
        """Whether it can no longer win."""
        return self.state in ("diverged", "failed")

    @property
    def loss(self) -> float:
        """The last loss; infinite when the trial is lost or has not begun."""
        return math.inf if self.lost or not self.curve else self.curve[-1].loss


class Running:
    """A training in progress, where it happens.

    Args:
        train: the user's function.
        make_optimizer: what it is given.
        seed: of the function and of all global random numbers.
    """

    def __init__(self, train: TrainFunction, make_optimizer: MakeOptimizer, seed: int) -> None:
        self._numbers = _seeded(seed)
        self._steps = self._begin(train, make_optimizer, seed)
        self.pieces, self.seconds = 0, 0.0

    def advance(self, trial: int, goal: Goal) -> Iterator[Event]:
        """Goes on to the goal; the last event is no point."""
        while (self.pieces if goal.unit == "pieces" else self.seconds) < goal.amount:
            start = time.perf_counter()
            try:
                with self._own_numbers():
                    loss = float(next(self._steps))
            except StopIteration:
                yield Event(trial, "ended")
                return
            except Exception as error:
                yield Event(trial, "failed", f"{type(error).__name__}: {error}{_place(error)}")
                return
            self.pieces += 1
            self.seconds += time.perf_counter() - start
            yield Event(trial, "point", Point(self.pieces, self.seconds, loss))
            if not math.isfinite(loss):
                yield Event(trial, "diverged", f"the loss was {loss} after {self.pieces} pieces of work")
                return
        yield Event(trial, "reached")

    @staticmethod
    def _begin(train: TrainFunction, make_optimizer: MakeOptimizer, seed: int) -> Iterator[Any]:
        yield from train(make_optimizer, seed)  # also the part of a function before its first yield

    @contextmanager
    def _own_numbers(self) -> Iterator[None]:
        outside = _numbers()
        _put(self._numbers)
        try:
            yield
        finally:
            self._numbers = _numbers()
            _put(outside)


def _place(error: Exception) -> str:
    """Where in the user's own code an error came from."""
    package = Path(__file__).parents[1]
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if package not in Path(frame.filename).parents]
    return f" ({Path(own[-1].filename).name}, line {own[-1].lineno})" if own else ""


def _numbers() -> tuple[Any, ...]:
    own = default_generator()
    return own.seed, own.offset, random.getstate(), np.random.get_state()


def _put(numbers: tuple[Any, ...]) -> None:
    seed, offset, python, numpy = numbers
    manual_seed(seed).offset = offset
    random.setstate(python)
    np.random.set_state(numpy)


def _seeded(seed: int) -> tuple[Any, ...]:
    return seed, 0, random.Random(seed).getstate(), np.random.RandomState(seed % 2**32).get_state()
