"""`neurenix race`."""

from __future__ import annotations

import argparse
import shlex
import sys
from pathlib import Path
from typing import Any

from neurenix import data
from neurenix.cli.folder import claimed, new_folder, usual_folder
from neurenix.cli.report import say
from neurenix.cli.train import given_options
from neurenix.race import Result, race
from neurenix.race.tables import WARMUP, train_function
from neurenix.train import Options

BUDGET = 60.0  # seconds, when nothing is said
# Of the options of a training, those that its command line says in its own words; it repeats the others.
OWN = ("optimizer", "lr", "epochs", "steps")


def run(options: argparse.Namespace) -> int:
    """Races, and says who won."""
    given = vars(options)
    if "resume" in given:
        raise ValueError("a race cannot be resumed: start it again without --resume")
    training = Options(**given_options(given))
    if not {"steps", "epochs"} & set(given) and (unfit := {"schedule", "warmup"} & set(given)):
        raise ValueError(f"--{min(unfit)} needs --steps: without, nobody knows how long a run will be")
    table = training.prepare(data.read(options.data, given.get("target")))
    if output := given.get("output"):
        with claimed(Path(output)) as folder:
            return _race(options, training, table, folder)
    with new_folder(usual_folder(options.data, "race-"), ("race.json",)) as folder:
        return _race(options, training, table, folder)


def _race(options: argparse.Namespace, training: Options, table: data.Prepared, folder: Path) -> int:
    given = vars(options)
    steps: int | None = given.get("steps")
    if "epochs" in given:
        steps = training.epochs * -(-len(table.x) // training.batch_size)
    budget: float | None = given.get("budget", BUDGET if steps is None else None)
    for note in table.notes:
        say(f"note: {note}")
    train, every = train_function(table, training, steps)
    say(
        f"{options.data}: {table.target.task} of {table.target.name!r}, {len(table.x)} rows for training, "
        f"{len(table.x_val)} held out; {'each run' if steps else 'the race'} takes "
        f"{f'{steps} steps' if steps else f'{budget:g} s'}"
    )

    def command(name: str, lr: float, done: int) -> str:
        words = ["neurenix", "train", options.data, "--optimizer", name, "--lr", f"{lr:g}"]
        if "epochs" in given:
            words += ["--epochs", str(training.epochs)]
        else:
            words += ["--steps", str(steps or max(done, 1))]
        if steps is None:  # as `train_function` does it
            words += ["--schedule", "constant", "--warmup", repr(WARMUP / done if done > WARMUP else 0.0)]
        for option in ("target", *given_options(given)):
            if option in given and option not in OWN:
                values = given[option] if option == "missing" else [given[option]]
                words += [
                    word for value in values for word in (f"--{option.replace('_', '-')}", _text(value))
                ]
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
    return _close(result, training.seed)


def _text(value: Any) -> str:
    return ",".join(map(str, value)) or "0" if isinstance(value, tuple) else str(value)


def _close(result: Result, seed: int) -> int:
    folder = result.folder
    assert folder is not None
    if result.ranking:
        say(f"\n{result}\n")
        best = result.best
        say(f"best: {result.lines[best.name]}\n      {result.commands[best.name]}")
        if best.complete:
            say(f"      (validation loss {best.losses[0]:.4f}, with the seed {seed} as here)")
    say("written: " + ", ".join(str(path) for path in sorted(folder.iterdir()) if path.suffix != ".tmp"))
    if result.interrupted:
        print("neurenix: interrupted; the report has what was known by then", file=sys.stderr)
        return 130
    return 0
