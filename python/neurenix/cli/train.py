"""`neurenix train`."""

from __future__ import annotations

import argparse
import contextlib
import json
import shlex
import signal
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path
from types import FrameType
from typing import Any

from neurenix import data
from neurenix._atomic import write_text
from neurenix.cli import report
from neurenix.cli.folder import claimed, has_any, last_folder, new_folder, usual_folder
from neurenix.train import Callback, History, Options, Record, Run, Saver, fit
from neurenix.train.callbacks import read_history
from neurenix.train.curves import draw
from neurenix.train.predictor import CHECKPOINT, read_checkpoint

STARTED = "started.json"  # what a run was told, until its first checkpoint
RESULTS = (CHECKPOINT, STARTED)


def run(options: argparse.Namespace) -> int:
    """Trains, and says how it went."""
    given = vars(options)
    output, usual = given.get("output"), usual_folder(options.data)
    if "resume" in given:
        with claimed(Path(output) if output else last_folder(usual, RESULTS)) as folder:
            return _train(_resume(folder, options.data, given), folder, options.data)
    training = _start(options.data, given_options(given), given.get("target"))
    with claimed(Path(output)) if output else new_folder(usual, RESULTS) as folder:
        if has_any(folder, (CHECKPOINT,)):
            report.say(f"note: the model in {folder} will be replaced")
        return _train(training, folder, options.data)


def _train(training: Run, folder: Path, source: str) -> int:
    for note in training.data.notes:
        report.say(f"note: {note}")
    checkpoint, history = folder / CHECKPOINT, History(folder / "history.jsonl", training)
    records: list[Record] = []
    if training.done:
        report.say(
            f"{checkpoint} is complete: {training.epoch} epochs; train further with --resume --epochs N"
        )
    else:
        report.say(report.headline(source, training))
        with (
            _interrupt() as interrupted,
            report.progress(training) as progress,
            _started(training, folder, source),
        ):
            saver = Saver(checkpoint)
            callbacks = [history, saver, _Saved(folder / STARTED), progress]
            records = fit(training, callbacks, stop=lambda: bool(interrupted))
    if not training.done:
        again = shlex.join(["neurenix", "train", source, "--output", str(folder), "--resume"])
        print(
            f"stopped at step {training.step} of {training.total_steps}, saved in {folder}", file=sys.stderr
        )
        print(f"go on with: {again}", file=sys.stderr)
        return 128 + interrupted[0]
    report.table(training, records)
    files, lines = [checkpoint, history.path], read_history(history.path)
    if lines and draw(lines, folder / "curves.png", training.data.target.task):
        files.append(folder / "curves.png")
    elif lines:
        report.say("note: curves.png needs matplotlib: pip install 'neurenix[train]'")
    report.say("written: " + ", ".join(map(str, files)))
    return 0


def _start(source: str, options: Mapping[str, Any], target: str | None) -> Run:
    chosen = Options(**options)
    return Run(chosen.prepare(data.read(source, target)), chosen)


def _resume(folder: Path, source: str, given: dict[str, Any]) -> Run:
    """The run of a folder, at its checkpoint, or at its beginning where it has none yet."""
    if (folder / STARTED).exists():  # a checkpoint beside it is an earlier run's
        options, target = _read_started(folder / STARTED)
        report.say(f"note: the run in {folder} has no checkpoint yet and starts anew")
        return _start(source, options.to_dict() | given_options(given), given.get("target", target))
    if not (folder / CHECKPOINT).exists():
        report.say(f"note: {folder} has no checkpoint yet; the run starts")
        return _start(source, given_options(given), given.get("target"))
    state = read_checkpoint(folder)
    try:
        name = state["target"]["name"]
        table = data.read(source, name)
        if given.get("target", table.target) != table.target:
            raise data.DataError(
                f"this run was started with the target {table.target!r}, not {given['target']!r}"
            )
        return Run.resume(state, table, given_options(given))
    except (ArithmeticError, AttributeError, LookupError, TypeError) as error:
        raise data.DataError(f"{folder / CHECKPOINT} cannot be resumed: {error}") from None


def _read_started(path: Path) -> tuple[Options, str]:
    try:
        told = json.loads(path.read_text(encoding="utf-8"))
        return Options.from_dict(told["options"]), str(told["target"])
    except (ValueError, LookupError, TypeError) as error:
        raise data.DataError(f"{path} is damaged ({error}); delete it, or start without --resume") from None


@contextmanager
def _started(training: Run, folder: Path, source: str) -> Iterator[None]:
    """Notes that a run began, so that --resume does not take an earlier one's checkpoint for its own."""
    path = folder / STARTED
    if training.step == 0:
        told = {
            "data": source,
            "target": training.data.target.name,
            "options": training.options.to_dict(),
        }
        write_text(path, json.dumps(told, indent=1) + "\n")
    try:
        yield
    except Exception:  # nothing was saved: what the folder had before is still its model
        path.unlink(missing_ok=True)
        raise


class _Saved(Callback):
    """Removes the note of the beginning after the first checkpoint.

    Args:
        path: of the note.
    """

    def __init__(self, path: Path) -> None:
        self.path: Path | None = path

    def on_epoch(self, run: Run, record: Record) -> None:
        if not run.done:
            self.on_end(run)

    def on_end(self, run: Run) -> None:
        if self.path is not None:
            self.path.unlink(missing_ok=True)
            self.path = None


def given_options(given: dict[str, Any]) -> dict[str, Any]:
    """What was said on the command line, of what `Options` takes."""
    if "epochs" in given and "steps" in given:
        raise ValueError("say --epochs or --steps, not both")
    return {field.name: given[field.name] for field in fields(Options) if field.name in given}


@contextmanager
def _interrupt() -> Iterator[list[int]]:
    """A list that Ctrl-C or a request to end puts its signal into; the second one interrupts as usual."""
    signals: list[int] = []

    def handle(number: int, frame: FrameType | None) -> None:
        if signals:
            raise KeyboardInterrupt
        signals.append(number)

    if threading.current_thread() is not threading.main_thread():  # others get no signals
        yield signals
        return
    with contextlib.ExitStack() as stack:
        for number in (signal.SIGINT, signal.SIGTERM):
            stack.callback(signal.signal, number, signal.signal(number, handle))
        yield signals
