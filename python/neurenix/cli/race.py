"""`neurenix race`."""

from __future__ import annotations

import argparse
import shlex
import sys
from pathlib import Path
from typing import Any

from neurenix import data
from neurenix.cli.report import say
from neurenix.cli.train import given_options
from neurenix.race import Result, race
from neurenix.race.tables import train_function
from neurenix.train import Options

BUDGET = 60.0  # seconds, when nothing is said
# Options of `neurenix train` that a race takes as they are; its best settings repeat them.
SHARED = (
    "target",
    "task",
    "val_fraction",
    "hidden",
    "label_smoothing",
    "batch_size",
    "device",
    "weight_decay",
)


def run(options: argparse.Namespace) -> int:
    """Races, and says who won."""
    given = vars(options)
    steps: int | None = given.get("steps")
    budget: float | None = given.get("budget", BUDGET if steps is None else None)
    if steps is None and (unfit := [name for name in ("schedule", "warmup") if name in given]):
        raise ValueError(f"--{unfit[0]} needs --steps: without, nobody knows how long a run will be")
    folder = Path(given.get("output") or Path("runs") / f"race-{Path(options.data).stem}")
    training = Options(**given_options(given))
    table = training.prepare(data.read(options.data, given.get("target")))
    for note in table.notes:
        say(f"note: {note}")
    train, every = train_function(table, training, steps)
    say(
        f"{options.data}: {table.target.task} of {table.target.name!r}, {len(table.x)} rows for training, "
        f"{len(table.x_val)} held out; {'each run' if steps else 'the race'} takes "
        f"{f'{steps} steps' if steps else f'{budget:g} s'}"
    )

    def command(name: str, lr: float) -> str:
        words = ["neurenix", "train", options.data, "--optimizer", name, "--lr", f"{lr:g}"]
        if steps is None:
            words += ["--schedule", "constant"]
        else:
            words += ["--epochs", str(-(-steps // -(-len(table.x) // training.batch_size)))]
        for option in (*SHARED, "schedule", "warmup"):
            if option in given:
                words += [f"--{option.replace('_', '-')}", _text(given[option])]
        return shlex.join(words)

    result = race(
        train,
        options.optimizers,
        lrs=given.get("lrs"),
        seeds=options.seeds,
        steps=steps,
        budget=budget,
        jobs=given.get("jobs"),
        output=folder,
        weight_decay=training.weight_decay,
        show=True,
        title=options.data,
        steps_per_piece=every,
        command=command,
    )
    return _close(result, folder)


def _text(value: Any) -> str:
    return ",".join(map(str, value)) or "0" if isinstance(value, tuple) else str(value)


def _close(result: Result, folder: Path) -> int:
    if result.ranking:
        say(f"\n{result}\n")
        best = result.best.name
        say(f"best: {result.lines[best]}\n      {result.commands[best]}")
    say("written: " + ", ".join(str(path) for path in sorted(folder.iterdir()) if path.suffix != ".tmp"))
    if result.interrupted:
        print("neurenix: interrupted; the report has what was known by then", file=sys.stderr)
        return 130
    return 0
