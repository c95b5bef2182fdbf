"""Who runs how far: halving within each optimizer's grid, then several seeds of the rate that is left."""

from __future__ import annotations

import math
import statistics
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from .candidates import Candidate
from .crews import Alone, Forked
from .trials import Event, Goal, Trial

WIDEN: Final = 3  # how many further rates a grid of usual ones may get


def shares(grid: int) -> list[float]:
    """How far the trials of a grid go before each halving, as shares of a full run; the last goes all the way.

    >>> shares(5), shares(1)
    ([0.25, 0.5, 0.75], [])
    """
    rounds = math.ceil(math.log2(grid))
    return [(k + 1) / (rounds + 1) for k in range(rounds)]


def work(grid: int, seeds: int) -> float:
    """How many full runs the race of one optimizer is worth.

    >>> work(5, 3)
    4.75
    """
    total, done, left = float(seeds), 0.0, grid
    for share in shares(grid):
        total += (left - 1) * (share - done)
        done, left = share, math.ceil(left / 2)
    return total


@dataclass
class Heat:
    """The race of one optimizer.

    Attributes:
        candidate: whose.
        trials: all of them.
        alive: those that still run: of the grid, then the seeds of one rate.
        round: halvings that are done.
        lr: the rate that was chosen, or None.
        widened: how often the grid got a further rate.
    """

    candidate: Candidate
    trials: list[Trial] = field(default_factory=list)
    alive: list[Trial] = field(default_factory=list)
    round: int = 0
    lr: float | None = None
    widened: int = 0
    finished: bool = False

    @property
    def grid(self) -> list[float]:
        """All rates that were tried, rising."""
        return sorted({trial.lr for trial in self.trials})

    @property
    def leader(self) -> Trial | None:
        """The trial that is best of those that came furthest."""
        ready = [trial for trial in self.alive if trial.curve and not trial.lost]
        return min(ready, key=lambda trial: trial.loss, default=None)

    @property
    def final(self) -> list[Trial]:
        """The trials that count: those of the chosen rate, else of the leader."""
        if self.lr is not None:
            return [trial for trial in self.alive if trial.lr == self.lr]
        return [self.leader] if self.leader else []


class Conductor:
    """Runs a race.

    Args:
        candidates: what races.
        seeds: how many seeds of the chosen rate.
        goal: of a full run.
        deadline: when to stop by `time.monotonic()`; infinite for never.
        tell: called with a heat when one of its stages is complete.
        tick: called often, to show how things are.
    """

    def __init__(
        self,
        candidates: Sequence[Candidate],
        seeds: int,
        goal: Goal,
        deadline: float = math.inf,
        tell: Callable[[Heat], None] = lambda heat: None,
        tick: Callable[[], None] = lambda: None,
    ) -> None:
        self.seeds, self.goal, self.deadline, self.tell, self.tick = seeds, goal, deadline, tell, tick
        self.trials: list[Trial] = []
        self.heats = [Heat(candidate) for candidate in candidates]
        self._tasks: deque[tuple[Trial, Goal]] = deque()
        self._at_work: dict[int, Goal] = {}
        self._places = {candidate.name: heat for candidate, heat in zip(candidates, self.heats, strict=True)}
        longest = max(len(candidate.lrs) for candidate in candidates)
        for place in range(longest):  # all optimizers side by side, so that a race cut short knows of all
            for heat in self.heats:
                if place < len(heat.candidate.lrs):
                    heat.alive.append(self._enter(heat, heat.candidate.lrs[place], 0))
        for heat in self.heats:
            self._start(heat)
        self._tasks = deque(sorted(self._tasks, key=lambda task: task[0].key))

    def run(self, crew: Alone | Forked) -> bool:
        """Until all is done; False if the time was up before."""
        while self._tasks or crew.busy:
            for _ in range(len(self._tasks)):
                trial, goal = self._tasks.popleft()
                if crew.accept(trial, goal):
                    trial.state = "running"
                else:
                    self._tasks.append((trial, goal))
            left = self.deadline - time.monotonic()
            if left <= 0:
                return False
            for event in crew.events(min(0.2, left)):
                self._take(event, crew)
            self.tick()
        return True

    def _enter(self, heat: Heat, lr: float, seed: int) -> Trial:
        trial = Trial(len(self.trials), heat.candidate.name, lr, seed)
        self.trials.append(trial)
        heat.trials.append(trial)
        return trial

    def _start(self, heat: Heat) -> None:
        """Sends all that are alive on their way to the next halving, or to the end."""
        for trial in heat.alive:
            if trial.state != "complete" and not trial.lost:
                self._send(heat, trial)

    def _send(self, heat: Heat, trial: Trial) -> None:
        stages = shares(len(heat.candidate.lrs))
        goal = self.goal.part(stages[heat.round] if heat.round < len(stages) else 1.0)
        self._tasks.append((trial, goal))
        self._at_work[trial.key] = goal

    def _take(self, event: Event, crew: Alone | Forked) -> None:
        trial = self.trials[event.trial]
        if event.kind == "point":
            if event.value.pieces == 1:
                trial.curve.clear()  # after the loss of a process
            trial.curve.append(event.value)
            return
        goal = self._at_work.pop(trial.key)
        if event.kind in ("diverged", "failed"):
            trial.state, trial.error = event.kind, event.value
        elif event.kind == "ended" or goal == self.goal.part(1.0):
            trial.state = "complete" if trial.curve else "failed"
            trial.error = None if trial.curve else "the function yielded nothing"
        if trial.lost or trial.state == "complete":
            crew.drop(trial.key)
        heat = self._places[trial.name]
        if not any(other.key in self._at_work for other in heat.alive):
            self._next(heat, crew)

    def _next(self, heat: Heat, crew: Alone | Forked) -> None:
        """All trials of a stage are through."""
        ready = sorted((trial for trial in heat.alive if not trial.lost), key=lambda trial: trial.loss)
        if heat.round == 0 and heat.candidate.open and heat.widened < WIDEN and self._widen(heat, ready):
            return
        if heat.lr is None and ready:
            heat.round += 1
            keep = max(1, math.ceil(len(heat.candidate.lrs) / 2**heat.round))
            for trial in ready[keep:]:
                if trial.state != "complete":
                    trial.state = "dropped"
                    crew.drop(trial.key)
            heat.alive = ready[:keep]
            if keep == 1:
                self._choose(heat, heat.alive[0].lr)
        elif len(ready) == len(heat.alive):
            heat.finished = bool(ready)
        else:
            self._fall_back(heat)
        self.tell(heat)
        if not heat.finished and any(not trial.lost for trial in heat.alive):
            self._start(heat)
            if not any(trial.key in self._at_work for trial in heat.alive):
                self._next(heat, crew)  # a function that ended by itself has nothing left to do

    def _widen(self, heat: Heat, ready: list[Trial]) -> bool:
        """Adds a rate where the best is the outermost so far, or a much lower one where all are lost."""
        grid = heat.grid
        if ready and ready[0].lr == grid[-1]:
            rate = grid[-1] * 3
        elif ready and ready[0].lr == grid[0]:
            rate = grid[0] / 3
        elif not ready:
            rate = grid[0] / 10
        else:
            return False
        heat.widened += 1
        trial = self._enter(heat, float(f"{rate:.3g}"), 0)
        heat.alive.append(trial)
        self._send(heat, trial)
        return True

    def _choose(self, heat: Heat, lr: float) -> None:
        heat.lr = lr
        seeds = {trial.seed for trial in heat.alive}
        heat.alive += [self._enter(heat, lr, seed) for seed in range(self.seeds) if seed not in seeds]

    def _fall_back(self, heat: Heat) -> None:
        """The chosen rate was too large for one of the seeds: the next best that lost nowhere takes its place."""
        lost = {trial.lr for trial in heat.trials if trial.lost}
        others = [trial for trial in heat.trials if trial.seed == 0 and trial.curve and trial.lr not in lost]
        if heat.lr is None or not others:
            heat.finished = True
            return
        best = min(others, key=lambda trial: (-len(trial.curve), trial.loss))
        heat.alive = [best] if best.state == "complete" else []
        self._choose(heat, best.lr)


@dataclass(frozen=True)
class Place:
    """One optimizer's result.

    Attributes:
        name: of the optimizer.
        lr: the best learning rate.
        losses: the loss of each seed at the end of its run.
        loss: their mean; infinite if one of them is lost.
        spread: their standard deviation; 0 for a single one.
        complete: whether all seeds came to the end.
        pieces, seconds: of work in a run, the mean over seeds.
        lost: how many of all trials of this optimizer diverged or failed, and of how many.
        tied: whether it cannot be told from the first: the difference is no larger than both spreads together.
        at_edge: "lowest" or "highest" if the rate is the outermost of several.
    """

    name: str
    lr: float
    losses: tuple[float, ...]
    loss: float
    spread: float
    complete: bool
    pieces: float
    seconds: float
    lost: tuple[int, int]
    tied: bool = False
    at_edge: str | None = None


def rank(heats: Sequence[Heat]) -> list[Place]:
    """The places, best first; without those of which nothing is known."""
    places = [place for heat in heats if (place := _place(heat)) is not None]
    places.sort(key=lambda place: (place.loss, place.name))
    for i, place in enumerate(places[1:], 1):
        first = places[0]
        gap = math.hypot(first.spread, place.spread)
        if math.isfinite(place.loss) and place.loss - first.loss <= gap:
            places[i] = replace(place, tied=True)
    return places


def _place(heat: Heat) -> Place | None:
    final = [trial for trial in heat.final if trial.curve or trial.lost]
    if not final:  # nothing won, or nothing came so far: the best there is
        final = sorted((t for t in heat.trials if t.curve or t.lost), key=lambda t: (t.loss, t.lr))[:1]
    if not final:
        return None
    losses = tuple(trial.loss for trial in final)
    finite = all(map(math.isfinite, losses))
    ends = [trial.curve[-1] for trial in final if trial.curve]
    lrs, lr = heat.grid, final[0].lr
    edge = {lrs[0]: "lowest", lrs[-1]: "highest"}.get(lr) if len(lrs) > 1 and finite else None
    return Place(
        name=heat.candidate.name,
        lr=lr,
        losses=losses,
        loss=statistics.fmean(losses) if finite else math.inf,
        spread=statistics.stdev(losses) if finite and len(losses) > 1 else 0.0,
        complete=heat.finished and all(trial.state == "complete" for trial in final),
        pieces=statistics.fmean(point.pieces for point in ends) if ends else 0.0,
        seconds=statistics.fmean(point.seconds for point in ends) if ends else 0.0,
        lost=(sum(trial.lost for trial in heat.trials), len(heat.trials)),
        at_edge=edge,
    )
