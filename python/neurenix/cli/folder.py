"""The folder that a command writes to: which one it is, and that no other command writes there."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path

from neurenix.data import DataError

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl


def usual_folder(source: str, prefix: str = "") -> Path:
    """The folder for a source of data when none is given.

    >>> usual_folder("tables/houses.csv.gz").as_posix(), usual_folder("-", "race-").as_posix()
    ('runs/houses', 'runs/race-stdin')
    """
    path = Path("stdin" if source == "-" else source)
    name = path.with_suffix("").stem if path.suffix == ".gz" else path.stem
    return Path("runs") / f"{prefix}{name}"


@contextlib.contextmanager
def claimed(folder: Path) -> Iterator[Path]:
    """The folder, made where it is missing, for this process alone; the end of the process frees it in any case.

    Raises:
        DataError: another command writes there.
    """
    folder.mkdir(parents=True, exist_ok=True)
    descriptor = _open(folder)
    try:
        if not _lock(descriptor):
            raise DataError(
                f"another command writes to {folder}; wait until it ends, or say another --output"
            )
        yield folder
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def new_folder(usual: Path, results: tuple[str, ...]) -> Iterator[Path]:
    """The usual folder, claimed, or the first of NAME-2, NAME-3, … that has none of these results."""
    number = 1
    while True:
        folder = numbered(usual, number)
        number += 1
        if has_any(folder, results):
            continue
        with contextlib.ExitStack() as stack:
            try:
                stack.enter_context(claimed(folder))
            except DataError:
                continue
            if not has_any(folder, results):
                yield folder
                return


def last_folder(usual: Path, results: tuple[str, ...]) -> Path:
    """The last of NAME, NAME-2, … that has one of these results; NAME where none has."""
    number = 1
    while has_any(numbered(usual, number + 1), results):
        number += 1
    return numbered(usual, number)


def numbered(usual: Path, number: int) -> Path:
    """NAME, NAME-2, NAME-3 and so on."""
    return usual if number == 1 else usual.with_name(f"{usual.name}-{number}")


def has_any(folder: Path, results: tuple[str, ...]) -> bool:
    """Whether a folder has one of these files."""
    return any((folder / name).exists() for name in results)


def _open(folder: Path) -> int:
    if sys.platform == "win32":
        return os.open(folder / ".lock", os.O_CREAT | os.O_RDWR)
    return os.open(folder, os.O_RDONLY)


def _lock(descriptor: int) -> bool:
    """False where another process has the lock; file systems without locks give it to all."""
    try:
        if sys.platform == "win32":
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        else:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):
        return False
    except OSError:
        return True
    return True
