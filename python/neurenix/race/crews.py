"""Who does the work: forked processes, each with one thread of the engine, or this process alone."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection, wait
from typing import Any, TypeAlias

from neurenix import set_num_threads

from .trials import Event, Goal, Running, Trial

Begin: TypeAlias = Callable[[str, float, int], Running]
CAN_FORK = sys.platform != "win32" and "fork" in multiprocessing.get_all_start_methods()


class Alone:
    """This process: one piece of work in each call of `events`.

    Args:
        begin: gives a new training of (name, learning rate, seed).
    """

    def __init__(self, begin: Begin) -> None:
        self._begin = begin
        self._running: dict[int, Running] = {}
        self._current: Iterator[Event] | None = None

    def accept(self, trial: Trial, goal: Goal) -> bool:
        """Takes a task if somebody who can do it is free."""
        if self._current is not None:
            return False
        if trial.key not in self._running:
            self._running[trial.key] = self._begin(trial.name, trial.lr, trial.seed)
        self._current = self._running[trial.key].advance(trial.key, goal)
        return True

    @property
    def busy(self) -> bool:
        """Whether somebody works."""
        return self._current is not None

    def events(self, seconds: float) -> list[Event]:
        """What happened; waits this long for something to happen."""
        event = next(self._current, None) if self._current is not None else None
        if event is None or event.kind != "point":
            self._current = None
        return [event] if event else []

    def drop(self, trial: int) -> None:
        """Forgets a training."""
        self._running.pop(trial, None)

    def close(self) -> None:
        """Ends all work."""
        self._running.clear()
        self._current = None


class _Worker:
    """A process and what it holds."""

    def __init__(self, begin: Begin) -> None:
        context = multiprocessing.get_context("fork")
        self.pipe, theirs = context.Pipe()
        self.process = context.Process(target=_serve, args=(theirs, begin, os.getpid()))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # of threads: the engine's forget themselves
            self.process.start()
        theirs.close()
        self.holds: set[int] = set()
        self.task: int | None = None

    def end(self) -> None:
        self.process.kill()
        self.process.join()
        self.process.close()
        self.pipe.close()


class Forked:
    """Processes; a training stays in the one that began it.

    Args:
        begin: gives a new training of (name, learning rate, seed).
        jobs: how many processes.
    """

    def __init__(self, begin: Begin, jobs: int) -> None:
        self._begin = begin
        self._workers: list[_Worker] = []
        try:
            self._workers += [_Worker(begin) for _ in range(jobs)]
        except BaseException:
            self.close()
            raise

    def accept(self, trial: Trial, goal: Goal) -> bool:
        """Takes a task if somebody who can do it is free."""
        holder = next((worker for worker in self._workers if trial.key in worker.holds), None)
        free = [worker for worker in ([holder] if holder else self._workers) if worker.task is None]
        if not free:
            return False
        worker = min(free, key=lambda worker: len(worker.holds))
        worker.task = trial.key
        worker.holds.add(trial.key)
        with contextlib.suppress(OSError):  # one that has ended shows in events
            worker.pipe.send((trial.key, (trial.name, trial.lr, trial.seed), goal))
        return True

    @property
    def busy(self) -> bool:
        """Whether somebody works."""
        return any(worker.task is not None for worker in self._workers)

    def events(self, seconds: float) -> list[Event]:
        """What happened; waits this long for something to happen."""
        found = []
        ready = wait([worker.pipe for worker in self._workers], max(0.0, seconds))
        for place, worker in enumerate(self._workers):
            if worker.pipe not in ready:
                continue
            try:
                while worker.pipe.poll():
                    event: Event = worker.pipe.recv()
                    found.append(event)
                    if event.kind != "point":
                        worker.task = None
            except (EOFError, OSError):
                found += self._replace(place)
        return found

    def _replace(self, place: int) -> list[Event]:
        """A new process for one that has ended; what it had at hand is lost, what it held begins anew."""
        worker = self._workers[place]
        worker.process.join()
        code, task = worker.process.exitcode, worker.task
        worker.end()
        self._workers[place] = _Worker(self._begin)
        return [] if task is None else [Event(task, "failed", f"its process ended with exit code {code}")]

    def drop(self, trial: int) -> None:
        """Forgets a training."""
        for worker in self._workers:
            if trial in worker.holds:
                worker.holds.remove(trial)
                with contextlib.suppress(OSError):
                    worker.pipe.send((trial, None, None))

    def close(self) -> None:
        """Ends all work."""
        while self._workers:
            self._workers.pop().end()


def _serve(pipe: Connection[Any, Any], begin: Begin, parent: int) -> None:
    """A worker's life."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides
    set_num_threads(1)
    running: dict[int, Running] = {}
    with contextlib.suppress(EOFError, OSError):
        while os.getppid() == parent:
            if not pipe.poll(1.0):
                continue
            trial, setting, goal = pipe.recv()
            if goal is None:
                running.pop(trial, None)
                continue
            if trial not in running:
                running[trial] = begin(*setting)
            shown = time.monotonic()
            points = []
            for event in running[trial].advance(trial, goal):
                points.append(event)
                # Short pieces travel together, and a parent that is gone ends this.
                if event.kind != "point" or time.monotonic() - shown > 0.1:
                    if os.getppid() != parent:
                        return
                    for point in points:
                        pipe.send(point)
                    points, shown = [], time.monotonic()
            for point in points:
                pipe.send(point)
