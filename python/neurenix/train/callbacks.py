"""What can happen beside the training: records on disk, checkpoints."""

from __future__ import annotations

import errno
import json
import math
import os
import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from neurenix._atomic import write_text

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
    """Appends a line of JSON to a file for each epoch; NaN is null.

    Args:
        path: the file. With the first epoch, lines of epochs after the run's own (written after the checkpoint it was
            resumed from) are removed, all of them for a new run; until then it stays as it was.
        run: the run that begins or goes on.
    """

    def __init__(self, path: str | Path, run: Run) -> None:
        self.path = Path(path)
        self._kept: list[dict[str, float]] | None = []
        if run.step:
            self._kept = [line for line in read_history(self.path) if line["epoch"] <= run.epoch]

    def on_epoch(self, run: Run, record: Record) -> None:
        """Writes the record."""
        if self._kept is None:
            _append(self.path, _line(asdict(record)))
        else:
            write_text(self.path, "".join(map(_line, [*self._kept, asdict(record)])))
            self._kept = None


def _line(record: dict[str, Any]) -> str:
    """A record as a line of JSON, which has no NaN."""
    plain = {key: value if math.isfinite(value) else None for key, value in record.items()}
    return json.dumps(plain, allow_nan=False) + "\n"


def _append(path: Path, line: str) -> None:
    """Adds a whole line to a file, or nothing where the disk is full."""
    descriptor = os.open(path, os.O_CREAT | os.O_WRONLY | os.O_APPEND | getattr(os, "O_BINARY", 0), 0o666)
    try:
        size, data = os.fstat(descriptor).st_size, line.encode()
        if os.write(descriptor, data) != len(data):
            os.ftruncate(descriptor, size)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), os.fspath(path))
    finally:
        os.close(descriptor)


def read_history(path: str | Path) -> list[dict[str, float]]:
    """The lines of a history up to the first that is cut off or none of ours; a missing file is empty, null is NaN."""
    lines: list[dict[str, float]] = []
    if Path(path).is_file():
        for text in Path(path).read_text(errors="replace").splitlines():
            try:
                line = json.loads(text)
            except json.JSONDecodeError:
                break
            if not isinstance(line, dict) or "epoch" not in line:
                break
            lines.append({key: math.nan if value is None else value for key, value in line.items()})
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
