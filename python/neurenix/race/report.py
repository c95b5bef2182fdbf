"""The folder that a race leaves: race.json, ranking.csv, curves.png, report.html."""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Iterable, Sequence
from html import escape
from pathlib import Path
from typing import Any, Final

from neurenix._atomic import write_text
from neurenix._output import csv_text

from .picture import draw
from .result import HEADER, Result, number

FORMAT: Final = "neurenix race 1"
_STYLE: Final = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 72rem; margin: 2rem auto; padding: 0 1rem; color: #222; }
table { border-collapse: collapse; margin: 1rem 0; font-variant-numeric: tabular-nums; }
th, td { padding: .25rem .7rem; border-bottom: 1px solid #ddd; text-align: left; }
td.number, th.number { text-align: right; }
tr.first { background: #eef7ee; font-weight: 600; }
img { max-width: 100%; height: auto; }
pre { background: #f5f5f5; padding: .6rem; overflow-x: auto; }
"""


def write(result: Result, folder: Path) -> list[Path]:
    """Writes the report, each file as a whole; gives the files.

    Args:
        result: of the race.
        folder: made where it is missing.
    """
    folder.mkdir(parents=True, exist_ok=True)
    files = [folder / "race.json", folder / "ranking.csv"]
    write_text(files[0], json.dumps(as_dict(result), indent=1, allow_nan=False))
    rows: list[Sequence[Any]] = [
        ["place", "optimizer", "lr", "loss", "spread", "losses", "complete", "python"]
    ]
    for place, entry in enumerate(result.ranking, 1):
        losses = " ".join(map(repr, entry.losses))
        line = result.lines.get(entry.name, "")
        rows.append(
            [place, entry.name, repr(entry.lr), entry.loss, entry.spread, losses, entry.complete, line]
        )
    write_text(files[1], csv_text(rows))
    picture = folder / "curves.png"
    if draw(result, picture):
        files.append(picture)
    files.append(folder / "report.html")
    write_text(files[-1], as_html(result, picture.read_bytes() if picture in files else None))
    return files


def as_dict(result: Result) -> dict[str, Any]:
    """All of it as plain values; what is no number is None."""
    return {
        "format": FORMAT,
        "settings": result.settings,
        "complete": result.complete,
        "ranking": [
            {
                **vars(entry),
                "python": result.lines.get(entry.name),
                "command": result.commands.get(entry.name),
            }
            | {"loss": _finite(entry.loss), "losses": [_finite(loss) for loss in entry.losses]}
            for entry in result.ranking
        ],
        "trials": [
            {**vars(trial), "curve": [[p.pieces, p.seconds, _finite(p.loss)] for p in trial.curve]}
            for trial in result.trials
        ],
    }


def as_html(result: Result, picture: bytes | None) -> str:
    """A page that needs nothing else."""
    settings = result.settings
    budget = [f"{settings['steps']:,} steps each run"] if settings["steps"] else []
    budget += [f"{settings['budget']:g} s for the whole race"] if settings["budget"] else []
    facts = (
        f"{', '.join(budget)}; {settings['seeds']} seeds; {settings['jobs']} processes; {settings['when']}"
    )
    parts = [
        "<!DOCTYPE html>",
        '<html lang="en"><head><meta charset="utf-8"><title>Race of optimizers</title>',
        f"<style>{_STYLE}</style></head><body>",
        f"<h1>Race of optimizers{': ' + escape(settings['title']) if settings['title'] else ''}</h1>",
        f"<p>{escape(facts)}.</p>",
        "" if result.complete else "<p><strong>The race was stopped before its end.</strong></p>",
        _table(HEADER, result.rows(), first=True),
        "<p>The loss is that at the end of a run, the mean over seeds; ± is the standard deviation over seeds. "
        "“Lost” counts trials that diverged or failed.</p>",
    ]
    if picture:
        data = base64.b64encode(picture).decode()
        parts.append(f'<img alt="Loss by steps and by learning rate" src="data:image/png;base64,{data}">')
    parts.append("<h2>Best settings</h2>")
    for entry in result.ranking:
        lines = [x for x in (result.lines.get(entry.name), result.commands.get(entry.name)) if x]
        parts.append(
            f"<h3>{escape(entry.name)}</h3><pre>{escape(chr(10).join(lines) or f'lr={entry.lr:g}')}</pre>"
        )
    rows = [
        (
            *(t.name, f"{t.lr:g}", str(t.seed), t.state, number(t.loss)),
            *(f"{result.steps(t.curve[-1].pieces):,.0f}" if t.curve else "0", t.error or ""),
        )
        for t in result.trials
    ]
    header = ("optimizer", "lr", "seed", "state", "loss", "steps", "error")
    parts.append(
        f"<details><summary>All {len(rows)} trials</summary>{_table(header, rows)}</details></body></html>"
    )
    return "\n".join(part for part in parts if part) + "\n"


def _table(header: Sequence[str], rows: Iterable[Sequence[str]], first: bool = False) -> str:
    def cells(tag: str, row: Sequence[str]) -> str:
        kinds = (' class="number"' if name in _NUMBERS else "" for name in header)
        return "".join(f"<{tag}{kind}>{escape(cell)}</{tag}>" for kind, cell in zip(kinds, row, strict=True))

    body = "".join(
        f"<tr{' class=first' if first and not place else ''}>{cells('td', row)}</tr>"
        for place, row in enumerate(rows)
    )
    return f"<table><tr>{cells('th', header)}</tr>{body}</table>"


_NUMBERS: Final = ("lr", "loss", "±", "steps", "seconds", "seed")


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
