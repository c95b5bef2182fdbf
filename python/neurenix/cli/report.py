"""What `neurenix train` shows: a live bar and a table on a terminal (with rich), plain lines elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from neurenix.train import Callback, Record, Run, balanced_accuracy, evaluate

if TYPE_CHECKING:
    from collections.abc import Iterator


def say(text: str) -> None:
    """A line for the reader, at once."""
    print(text, flush=True)


def headline(source: str, run: Run) -> str:
    """What is trained on what."""
    options, data = run.options, run.data
    widths = "-".join(map(str, (data.x.shape[1], *options.hidden, len(data.target.classes) or 1)))
    begin = f"{options.shape} schedule" + (f" after {options.warmup:.0%} warm-up" if options.warmup else "")
    length = f"{options.epochs} epochs of {run.steps_per_epoch} steps"
    if options.steps:
        length = f"{options.steps} steps, {run.steps_per_epoch} in an epoch"
    again = f", resumed at step {run.step}" if run.step else ""
    return (
        f"{source}: {data.target.task} of {data.target.name!r}, {len(data.x)} rows for training, "
        f"{len(data.x_val)} held out\n"
        f"MLP {widths} on {options.device}, {options.optimizer} with lr {options.rate:g}, {begin}, "
        f"{length}{again}"
    )


def progress(run: Run) -> Any:
    """A context manager that gives the callback which shows how far the training is."""
    if sys.stdout.isatty():
        try:
            import rich  # noqa: F401
        except ImportError:
            pass
        else:
            return _bar(run)
    return _lines(run)


def table(run: Run, records: Sequence[Record]) -> None:
    """The closing table: how good the model is on the rows for training and those held out.

    Beside the accuracy stand the mean over classes of each one's accuracy, and, in the last row, what a model has that
    always says the most frequent class.

    Args:
        run: what was trained.
        records: of the epochs trained now.
    """
    classes = run.data.target.classes
    body = [["", "rows", "loss", *(("accuracy", "balanced") if classes else ("R²",))]]
    for name, x, y in (("training", run.x, run.y), ("validation", run.x_val, run.y_val)):
        loss, score = evaluate(run, x, y)
        scores = [f"{score:.2%}", f"{balanced_accuracy(run, x, y):.2%}"] if classes else [f"{score:.4f}"]
        body.append([name, f"{len(x):,}", f"{loss:.4f}", *scores])
    if classes:
        usual = int(np.bincount(run.data.y, minlength=len(classes)).argmax())
        share = float(np.mean(run.data.y_val == usual))
        present = len(np.unique(run.data.y_val))
        balanced = f"{1 / present if share else 0:.2%}"
        body.append([f"always {classes[usual]!r}", f"{len(run.data.y_val):,}", "", f"{share:.2%}", balanced])
    seconds = sum(record.seconds for record in records)
    rate = len(run.x) * len(records) / seconds if seconds else 0
    closing = f"{len(records)} epochs in {seconds:.2f} s, {rate:,.0f} samples per second"
    if not records:
        closing = f"nothing left to train: {run.step:,} steps are done"
    if sys.stdout.isatty():
        try:
            _rich_table(body, closing)
        except ImportError:
            pass
        else:
            return
    widths = [max(map(len, column)) for column in zip(*body, strict=True)]
    for first, *rest in body:
        say("  ".join([first.ljust(widths[0]), *(c.rjust(w) for c, w in zip(rest, widths[1:], strict=True))]))
    say(closing)


def _rich_table(body: list[list[str]], closing: str) -> None:
    from rich.console import Console
    from rich.table import Table

    shown = Table(caption=closing)
    for place, name in enumerate(body[0]):
        shown.add_column(name, justify="right" if place else "left")
    for line in body[1:]:
        shown.add_row(*line)
    Console().print(shown)


class _Lines(Callback):
    """A line for each tenth of the epochs."""

    def on_epoch(self, run: Run, record: Record) -> None:
        every = max(1, run.total_epochs // 10)
        if record.epoch % every == 0 or run.done:
            say(f"epoch {record.epoch}/{run.total_epochs}: {_state(run, record)}")


@contextmanager
def _lines(run: Run) -> Iterator[Callback]:
    yield _Lines()


@contextmanager
def _bar(run: Run) -> Iterator[Callback]:
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(), TextColumn("{task.description}"))
    with Progress(*columns) as shown:
        task = shown.add_task("", total=run.total_steps, completed=run.step)

        class Bar(Callback):
            last = 0.0

            def on_step(self, run: Run) -> None:
                # Looking at the clock is cheap, drawing is not: a step may take 50 microseconds.
                now = time.monotonic()
                if now - self.last > 0.1 or run.step == run.total_steps:
                    self.last = now
                    shown.update(task, completed=run.step)

            def on_epoch(self, run: Run, record: Record) -> None:
                shown.update(task, description=_state(run, record), refresh=run.done)

        yield Bar()


def _state(run: Run, record: Record) -> str:
    classes = run.data.target.task == "classification"
    score = f"accuracy {record.val_score:.2%}" if classes else f"R² {record.val_score:.4f}"
    return f"loss {record.train_loss:.4f}, validation loss {record.val_loss:.4f}, {score}"
