"""What can happen beside the training: records on disk, checkpoints."""

from __future__ import annotations

import json
import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from neurenix.train.loop import Record
    from neurenix.train.run import Run


class Callback:
    """Base of what `fit` tells about; override what you need.

    Example:
        >>> from neurenix import data, train
        >>> class Print(train.Callback):
        ...     def on_epoch(self, run, record):
        ...         print("epoch", record.epoch)
        >>> run = train.Run(data.prepare(data.read("iris")), train.Options(hidden=(4,), epochs=2))
        >>> _ = train.fit(run, [Print()])
        epoch 1
        epoch 2
    """

    def on_step(self, run: Run) -> None:
        """After each step."""

    def on_epoch(self, run: Run, record: Record) -> None:
        """After each epoch."""

    def on_end(self, run: Run) -> None:
        """When the training is complete or stopped."""


class History(Callback):
    """Appends a line of JSON to a file for each epoch.

    Args:
        path: the file; lines of epochs after the run's own (written after the checkpoint it was resumed from) are
            removed, all of them for a new run.
        run: the run that begins or goes on.
    """

    def __init__(self, path: str | Path, run: Run) -> None:
        self.path = Path(path)
        kept = [line for line in read_history(self.path) if line["epoch"] <= run.epoch] if run.step else []
        self.path.write_text("".join(json.dumps(line) + "\n" for line in kept))

    def on_epoch(self, run: Run, record: Record) -> None:
        """Writes the record."""
        with self.path.open("a") as file:
            file.write(json.dumps(asdict(record)) + "\n")


def read_history(path: str | Path) -> list[dict[str, float]]:
    """The lines of a history up to the first that is cut off or none of ours; a missing file is empty."""
    lines: list[dict[str, float]] = []
    if Path(path).is_file():
        for text in Path(path).read_text(errors="replace").splitlines():
            try:
                line = json.loads(text)
            except json.JSONDecodeError:
                break
            if not isinstance(line, dict) or "epoch" not in line:
                break
            lines.append(line)
    return lines


class Saver(Callback):
    """Saves the run at the end, and after an epoch when the last time is long enough ago.

    Args:
        path: of the checkpoint.
        seconds: least time between two saves in the middle of the training.
    """

    def __init__(self, path: str | Path, seconds: float = 1.0) -> None:
        self.path = Path(path)
        self.seconds = seconds
        self._last = -float("inf")

    def on_epoch(self, run: Run, record: Record) -> None:
        """Saves when it is time."""
        if time.monotonic() - self._last >= self.seconds and not run.done:
            self.on_end(run)

    def on_end(self, run: Run) -> None:
        """Saves."""
        run.save(self.path)
        self._last = time.monotonic()
