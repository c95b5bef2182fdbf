"""What a race shows while it runs: a live table on a terminal (with rich), plain lines elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from .halving import Conductor, Heat, shares
from .result import number


class Silent:
    """Shows nothing."""

    def tell(self, heat: Heat) -> None:
        """A stage of a heat is complete."""

    def tick(self, conductor: Conductor) -> None:
        """Time has passed."""


class Lines(Silent):
    """A line for each stage."""

    def tell(self, heat: Heat) -> None:
        """Prints it."""
        print(f"{heat.candidate.name}: {stage(heat)}; {_leader(heat)}", flush=True)


class Live(Silent):
    """A table that is drawn anew, a few times a second."""

    def __init__(self, live: Any) -> None:
        self._live = live
        self._last = 0.0

    def tick(self, conductor: Conductor) -> None:
        """Draws it."""
        if time.monotonic() - self._last > 0.2:
            self._last = time.monotonic()
            self._live.update(_table(conductor.heats), refresh=True)


@contextmanager
def display(show: bool | None) -> Iterator[Silent]:
    """What shows a race: None is a table on a terminal and nothing elsewhere."""
    terminal = sys.stdout.isatty()
    if show is False or (show is None and not terminal):
        yield Silent()
        return
    try:
        if not terminal:
            raise ImportError
        from rich.live import Live as RichLive
    except ImportError:
        yield Lines()
        return
    with RichLive(auto_refresh=False, transient=True) as live:  # no thread: workers may be forked later
        yield Live(live)


def stage(heat: Heat) -> str:
    """Where a heat is, in words."""
    total = len(heat.candidate.lrs)
    if heat.finished:
        return f"done, {len(heat.final)} seeds" if heat.final else "all trials are lost"
    if heat.lr is not None:
        ready = sum(trial.state == "complete" for trial in heat.alive)
        return f"lr {heat.lr:g} chosen, {ready} of {len(heat.alive)} seeds done"
    share = shares(total)[heat.round] if total > 1 else 1
    return f"{sum(not trial.lost for trial in heat.alive)} of {total} rates, on to {share:.0%} of a run"


def _leader(heat: Heat) -> str:
    leader = heat.leader
    return f"best lr {leader.lr:g}, loss {number(leader.loss)}" if leader else "no loss yet"


def _table(heats: Sequence[Heat]) -> Any:
    from rich.table import Table

    table = Table()
    for name, side in (
        ("optimizer", "left"),
        ("stage", "left"),
        ("lr", "right"),
        ("loss", "right"),
        ("lost", "right"),
    ):
        table.add_column(name, justify="right" if side == "right" else "left")
    for heat in sorted(heats, key=lambda heat: heat.leader.loss if heat.leader else float("inf")):
        leader = heat.leader
        lost = sum(trial.lost for trial in heat.trials)
        table.add_row(
            *(heat.candidate.name, stage(heat)),
            *((f"{leader.lr:g}", number(leader.loss)) if leader else ("", "")),
            str(lost) if lost else "",
        )
    return table
