"""Which optimizer, and which learning rate: `neurenix.optim.race` and `neurenix race`.

>>> import neurenix as nx
>>> def train(make_optimizer, seed):
...     nx.manual_seed(seed)
...     model = nx.nn.Linear(3, 1)
...     x = nx.randn(64, 3)
...     y = x.sum(1, keepdim=True)
...     optimizer = make_optimizer(model)
...     for _ in range(8):
...         for _ in range(5):
...             optimizer.zero_grad()
...             loss = nx.nn.functional.mse_loss(model(x), y)
...             loss.backward()
...             optimizer.step()
...         yield loss.item()
>>> result = nx.optim.race(train, ["sgd", "adamw"], lrs=[0.001, 0.1], seeds=2, steps=8, jobs=1)
>>> result.best.lr
0.1
"""

from __future__ import annotations

import datetime as dt
import math
import os
import platform
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from neurenix._phynexus import version

from .candidates import Candidate, MakeOptimizer, Optimizers, Rates, candidates
from .crews import CAN_FORK, Alone, Forked
from .halving import Conductor, Place, rank, work
from .report import write
from .result import Result
from .show import display
from .trials import Goal, Point, Running, TrainFunction, Trial

__all__ = ["MakeOptimizer", "Place", "Point", "Result", "Trial", "race"]


def race(
    train: TrainFunction,
    optimizers: Optimizers = ("sgd", "adamw", "lion", "muon"),
    *,
    lrs: Rates | None = None,
    seeds: int = 3,
    steps: int | None = None,
    budget: float | None = None,
    jobs: int | None = None,
    output: str | os.PathLike[str] | None = None,
    weight_decay: float | None = None,
    show: bool | None = None,
    title: str = "",
    steps_per_piece: int = 1,
    command: Callable[[str, float, int], str] | None = None,
) -> Result:
    """Finds out which optimizer, and which learning rate of it, is best for a training.

    Each optimizer's learning rates begin with the same seed. At even distances the worse half of them is dropped, until
    one is left, which goes on to the end and then again with other seeds. What is compared is the last loss that each
    has yielded by then, and in the ranking the loss at the end of the runs, so that nobody wins by many looks.
    Trainings stay where they are between two halvings, so nothing is computed twice. With `steps` the result does not
    depend on the number of processes.

    Args:
        train: a function (make_optimizer, seed) that trains, and yields the loss to compare (of validation data, if
            there are such) after each piece of work. `make_optimizer(model)` gives the optimizer of a trial; see
            `MakeOptimizer`. Global random numbers (Neurenix's, Python's, NumPy's) belong to each trial alone and
            begin at its seed.
        optimizers: names, see `neurenix.optim.named`, and "all"; or a dict of functions (params, lr) -> optimizer.
        lrs: learning rates for all; or a dict by name; by default five or so around each optimizer's usual one,
            and up to three more where the best is the outermost.
        seeds: how many runs with the best rate, ≥ 1.
        steps: how long a run is, ≥ 1.
        budget: seconds for the whole race, > 0. Without `steps` all runs get the same share of it; with them the
            race ends there in any case. One of both is needed.
        jobs: processes, each with one thread; as many as there are free cores when None. With 1, or where processes
            cannot be forked, all happens in this process.
        output: a folder for the report: race.json, ranking.csv, curves.png (with matplotlib), report.html.
        weight_decay: of optimizers given by name; their usual ones when None.
        show: whether to show how it goes; None is only on a terminal.
        title: what the report is of.
        steps_per_piece: how many steps `train` does before each yield.
        command: gives the command line for (name, learning rate, steps that its run with the first seed did), for the
            report.

    Returns:
        The ranking, which is what it prints as. Ctrl-C ends a race early: the result is what is known by then.

    Raises:
        ValueError, TypeError: for values out of their range; if every single trial fails, with the first error.

    Example:
        >>> import neurenix as nx
        >>> def train(make_optimizer, seed):
        ...     w = nx.Tensor([1.0 + seed], requires_grad=True)
        ...     optimizer = make_optimizer([w])
        ...     while True:
        ...         optimizer.zero_grad()
        ...         (w * w).sum().backward()
        ...         optimizer.step()
        ...         yield w.item() ** 2
        >>> result = nx.optim.race(train, ["sgd"], lrs=[0.0001, 0.001, 0.01], seeds=2, steps=12, jobs=1)
        >>> result.best.lr, len(result.best.losses)
        (0.01, 2)

    References:
        K. Jamieson, A. Talwalkar, Non-stochastic best arm identification and hyperparameter optimization,
        arXiv 1502.07943.
    """
    entries = candidates(optimizers, lrs, weight_decay)
    _check(train, seeds=seeds, steps=steps, budget=budget, jobs=jobs, steps_per_piece=steps_per_piece)
    first = sum(len(entry.lrs) for entry in entries)
    jobs = min(jobs or _free_cores(), max(first, len(entries) * seeds)) if CAN_FORK else 1
    start = time.monotonic()
    goal = _goal(entries, seeds, steps, steps_per_piece, budget, jobs)
    deadline = math.inf if budget is None else start + budget
    folder = None if output is None else Path(output)
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)  # a folder that cannot be is better known now
    with display(show) as shown:
        conductor = Conductor(
            *(entries, seeds, goal, deadline), tell=shown.tell, tick=lambda: shown.tick(conductor)
        )
        complete, interrupted = _run(conductor, train, entries, jobs)
    settings: dict[str, Any] = {
        "title": title,
        "optimizers": {entry.name: entry.lrs for entry in entries},
        "seeds": seeds,
        "steps": steps,
        "budget": budget,
        "steps_per_piece": steps_per_piece,
        "jobs": jobs,
        "weight_decay": weight_decay,
        "seconds": round(time.monotonic() - start, 3),
        "when": dt.datetime.now().astimezone().isoformat(timespec="seconds"),
        "version": version(),
        "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores",
    }
    ranking = rank(conductor.heats)
    by_name = {entry.name: entry.named for entry in entries}
    lines = {p.name: n.line(p.lr, weight_decay) for p in ranking if (n := by_name[p.name])}
    result = Result(ranking, conductor.trials, settings, complete, interrupted, lines, folder=folder)
    if command is not None:
        firsts = {(t.name, t.lr): t for t in reversed(conductor.trials)}
        for place in ranking:
            curve = firsts[place.name, place.lr].curve
            done = int(result.steps(curve[-1].pieces)) if curve else 0
            result.commands[place.name] = command(place.name, place.lr, done)
    if folder is not None:
        write(result, folder)
    if complete and all(trial.lost for trial in conductor.trials):
        trial = next(trial for trial in conductor.trials if trial.lost)
        raise ValueError(f"every trial failed; the first, {trial.name} with lr {trial.lr:g}: {trial.error}")
    return result


def _run(
    conductor: Conductor, train: TrainFunction, entries: list[Candidate], jobs: int
) -> tuple[bool, bool]:
    """Whether the race came to its end, and whether somebody stopped it."""
    by_name = {entry.name: entry for entry in entries}

    # A worker is a copy of this process at the moment it began, so it learns of later trials by these values.
    def begin(name: str, lr: float, seed: int) -> Running:
        return Running(train, MakeOptimizer(by_name[name], lr), seed)

    crew: Alone | Forked | None = None
    try:
        crew = Alone(begin) if jobs == 1 else Forked(begin, jobs)
        return conductor.run(crew), False
    except KeyboardInterrupt:
        return False, True
    finally:
        if crew is not None:
            crew.close()


def _goal(
    entries: list[Candidate], seeds: int, steps: int | None, piece: int, budget: float | None, jobs: int
) -> Goal:
    if steps is not None:
        return Goal("pieces", -(-steps // piece))
    assert budget is not None
    total = sum(work(len(entry.lrs) + entry.open, seeds) for entry in entries)
    # Workers cannot always share their work evenly, and the last piece of a run ends when it ends.
    return Goal("seconds", 0.8 * budget * min(jobs, os.cpu_count() or 1) / total)


def _free_cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _check(train: Any, *, steps: Any, budget: Any, **counts: Any) -> None:
    if not callable(train):
        raise TypeError(
            f"race: train must be a function (make_optimizer, seed) that yields losses, got {train!r}"
        )
    if steps is None and budget is None:
        raise ValueError("race: say how long: steps=… of each run, or budget=… seconds for the whole race")
    for name, value in {**counts, "steps": steps}.items():
        if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < 1):
            raise ValueError(f"race: {name} must be a whole number of at least 1, got {value!r}")
    if budget is not None and not (isinstance(budget, (int, float)) and 0 < budget < math.inf):
        raise ValueError(f"race: budget must be a number of seconds above 0, got {budget!r}")
