"""`neurenix train`."""

from __future__ import annotations

import argparse
import shlex
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path
from types import FrameType
from typing import Any

from neurenix import data
from neurenix.cli import report
from neurenix.train import History, Options, Run, Saver, evaluate, fit
from neurenix.train.callbacks import read_history
from neurenix.train.curves import draw
from neurenix.train.predictor import CHECKPOINT, read_checkpoint


def run(options: argparse.Namespace) -> int:
    """Trains, and says how it went."""
    given = vars(options)
    folder = Path(given.get("output") or Path("runs") / Path(options.data).stem)
    checkpoint = folder / CHECKPOINT
    training = _resume(checkpoint, options.data, given) if "resume" in given else _start(options.data, given)
    for note in training.data.notes:
        report.say(f"note: {note}")
    if training.done:
        report.say(
            f"{checkpoint} is complete: {training.epoch} epochs; train further with --resume --epochs N"
        )
        return 0
    folder.mkdir(parents=True, exist_ok=True)
    history = History(folder / "history.jsonl", training)
    report.say(report.headline(options.data, training))
    with _interrupt() as interrupted, report.progress(training) as progress:
        records = fit(training, [history, Saver(checkpoint), progress], stop=lambda: bool(interrupted))
    if training.step < training.total_steps:
        again = shlex.join(["neurenix", "train", options.data, "--output", str(folder), "--resume"])
        print(
            f"stopped at step {training.step} of {training.total_steps}, saved in {folder}", file=sys.stderr
        )
        print(f"go on with: {again}", file=sys.stderr)
        return 128 + interrupted[0]
    sets = {"training": (training.x, training.y), "validation": (training.x_val, training.y_val)}
    results = {name: (len(x), *evaluate(training, x, y)) for name, (x, y) in sets.items()}
    report.table(training, results, sum(r.seconds for r in records), len(records))
    files = [checkpoint, history.path]
    if draw(read_history(history.path), folder / "curves.png", training.data.target.task):
        files.append(folder / "curves.png")
    else:
        report.say("note: curves.png needs matplotlib: pip install 'neurenix[train]'")
    report.say("written: " + ", ".join(map(str, files)))
    return 0


def _start(source: str, given: dict[str, Any]) -> Run:
    options = Options(**given_options(given))
    return Run(options.prepare(data.read(source, given.get("target"))), options)


def _resume(checkpoint: Path, source: str, given: dict[str, Any]) -> Run:
    state = read_checkpoint(checkpoint)
    table = data.read(source, state["target"]["name"])
    if given.get("target", table.target) != table.target:
        raise data.DataError(
            f"this run was started with the target {table.target!r}, not {given['target']!r}"
        )
    return Run.resume(state, table, given_options(given))


def given_options(given: dict[str, Any]) -> dict[str, Any]:
    """What was said on the command line, of what `Options` takes."""
    return {field.name: given[field.name] for field in fields(Options) if field.name in given}


@contextmanager
def _interrupt() -> Iterator[list[int]]:
    """A list that Ctrl-C or a request to end puts its signal into; the second one interrupts as usual."""
    signals: list[int] = []

    def handle(number: int, frame: FrameType | None) -> None:
        if signals:
            raise KeyboardInterrupt
        signals.append(number)

    before = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield signals
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
