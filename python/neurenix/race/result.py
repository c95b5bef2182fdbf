"""What a race found."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from .halving import Place
from .trials import Trial

HEADER: Final = ("", "optimizer", "lr", "loss", "±", "steps", "seconds", "lost", "")


@dataclass(frozen=True)
class Result:
    """What a race found; printed, it is the ranking.

    Attributes:
        ranking: a `Place` for each optimizer, best first.
        trials: every training with its curve.
        settings: how the race was run.
        complete: whether it came to its end.
        interrupted: whether it was stopped by Ctrl-C rather than by its budget.
        lines: for each optimizer the Python statement that builds it at its best.
        commands: for each optimizer the command line that does.
        folder: where the report is, or None.
    """

    ranking: Sequence[Place]
    trials: Sequence[Trial]
    settings: dict[str, Any]
    complete: bool
    interrupted: bool = False
    lines: dict[str, str] = field(default_factory=dict)
    commands: dict[str, str] = field(default_factory=dict)
    folder: Path | None = None

    @property
    def best(self) -> Place:
        """The first of the ranking."""
        return self.ranking[0]

    def steps(self, pieces: float) -> float:
        """Steps of so many pieces of work; the last piece of a run may be shorter."""
        steps, whole = pieces * self.settings["steps_per_piece"], self.settings["steps"]
        return float(steps if whole is None else min(steps, whole))

    def rows(self) -> list[tuple[str, ...]]:
        """The ranking as texts, one for each column of `HEADER`."""
        return [
            (
                str(place),
                entry.name,
                f"{entry.lr:g}",
                number(entry.loss),
                f"{entry.spread:.2g}" if len(entry.losses) > 1 else "",
                f"{self.steps(entry.pieces):,.0f}",
                f"{entry.seconds:.2f}",
                f"{entry.lost[0]} of {entry.lost[1]}",
                "; ".join(remarks(entry)),
            )
            for place, entry in enumerate(self.ranking, 1)
        ]

    def __str__(self) -> str:
        rows = [HEADER, *self.rows()]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        lefts = (1, len(HEADER) - 1)
        return "\n".join(
            "  ".join(
                cell.ljust(width) if i in lefts else cell.rjust(width)
                for i, (cell, width) in enumerate(zip(row, widths, strict=True))
            ).rstrip()
            for row in rows
        )


def remarks(entry: Place) -> list[str]:
    """What a reader should know of a place."""
    found = []
    if entry.tied:
        found.append("as good as the first within the spread")
    if entry.at_edge:
        found.append(f"{entry.at_edge} rate that was tried")
    if not entry.complete and math.isfinite(entry.loss):
        found.append("not at the end")
    return found


def number(loss: float) -> str:
    """A loss to be read."""
    return f"{loss:.4g}" if math.isfinite(loss) else "lost"
