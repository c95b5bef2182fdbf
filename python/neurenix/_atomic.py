"""Files that are replaced as a whole: the old one stays until the new one is safe on the disk."""

from __future__ import annotations

import contextlib
import errno
import os
import platform
import re
import shutil
import stat
import tempfile
import warnings
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Final

_FULL: Final = {
    errno.ENOSPC,
    errno.EFBIG,
    *(getattr(errno, name) for name in ("EDQUOT",) if hasattr(errno, name)),
}
_STEM: Final = 100
"""Bytes of a file's name that the name of its temporary file repeats; names have at most 255."""


@contextlib.contextmanager
def writing(path: str | bytes | os.PathLike[str], needed: int) -> Iterator[BinaryIO]:
    """A new file that takes the place of `path` when the block ends well, and vanishes otherwise.

    Devices, pipes and sockets are never replaced: the bytes are written into them when the block ends well.

    Args:
        path: the file; the target of a symbolic link is replaced, not the link. A file that exists keeps its mode,
            and its owner where that is permitted.
        needed: bytes that will be written, for the error when they do not fit.

    Raises:
        OSError: with the path; ENOSPC and its like also with the bytes needed and free.

    Warns:
        RuntimeWarning: if the file is in place and its folder could not be synced, so that a loss of power might
            bring the old file back.
    """
    target = Path(os.fsdecode(os.path.realpath(path)))
    try:
        there: os.stat_result | None = os.stat(target)
    except OSError:
        there = None
    if there is not None and not stat.S_ISREG(there.st_mode) and not stat.S_ISDIR(there.st_mode):
        with _explaining(path, target, needed), tempfile.TemporaryFile() as file:
            yield file
            file.seek(0)
            with open(target, "wb") as out:
                shutil.copyfileobj(file, out)
        return
    _reap(target)
    temporary: Path | None = None
    with _explaining(path, target, needed):
        try:
            temporary, descriptor = _create(target, there)
            with open(descriptor, "wb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
                if os.name != "nt":  # still locked: no other process takes it for a stale one
                    os.replace(temporary, target)
            if os.name == "nt":
                os.replace(temporary, target)
        except BaseException:
            if temporary is not None:
                with contextlib.suppress(OSError):
                    temporary.unlink(missing_ok=True)
            raise
    _sync_folder(target.parent)


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """Replaces a file by this text in UTF-8, as a whole; halves of characters, as in odd file names, are escaped."""
    data = text.encode("utf-8", "backslashreplace")
    with writing(path, len(data)) as file:
        file.write(data)


def _create(target: Path, there: os.stat_result | None) -> tuple[Path, int]:
    """A new, locked temporary file beside the target that nobody may read who may not read the target."""
    flags = os.O_CREAT | os.O_EXCL | os.O_WRONLY | getattr(os, "O_BINARY", 0) | getattr(os, "O_NOFOLLOW", 0)
    mode = 0o666 if there is None else stat.S_IMODE(there.st_mode) & 0o777
    while True:
        temporary = target.with_name(f"{_prefix(target)}{os.urandom(8).hex()}.tmp")
        descriptor = os.open(temporary, flags, mode)
        try:
            if there is not None and hasattr(os, "fchmod"):
                with contextlib.suppress(PermissionError):
                    os.fchown(descriptor, there.st_uid, there.st_gid)
                os.fchmod(descriptor, mode)  # what the umask took away
            if _lock(descriptor) is not False and os.fstat(descriptor).st_nlink:
                return temporary, descriptor
        except BaseException:
            os.close(descriptor)
            temporary.unlink(missing_ok=True)
            raise
        os.close(descriptor)  # another process took it for a stale one before it was locked


def _prefix(target: Path) -> str:
    """The beginning of the names of temporary files of this target; each machine of a shared folder has its own."""
    stem = target.name
    while len(os.fsencode(stem)) > _STEM:
        stem = stem[:-1]
    key = zlib.crc32(os.fsencode(target.name), zlib.crc32(platform.node().encode()))
    return f".{stem}.{key:08x}."


def _reap(target: Path) -> None:
    """Removes temporary files of processes that are gone.

    A living writer holds a lock on its file, which is seen from every process of the machine, also from another
    container; process numbers are not.
    """
    if os.name == "nt":
        return
    pattern = re.compile(re.escape(_prefix(target)) + r"[0-9a-f]{16}\.tmp")
    with contextlib.suppress(OSError):
        for name in os.listdir(target.parent):
            if not pattern.fullmatch(name):
                continue
            with contextlib.suppress(OSError):
                path = target.parent / name
                descriptor = os.open(path, os.O_WRONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
                try:
                    if _lock(descriptor):
                        path.unlink()
                finally:
                    os.close(descriptor)


def _lock(descriptor: int) -> bool | None:
    """Locks an open file; False if another process has, None where files cannot be locked."""
    if os.name == "nt":
        return None
    import fcntl

    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # a file system without locks
        return None
    return True


def _sync_folder(folder: Path) -> None:
    """Makes a rename in a folder permanent."""
    if os.name == "nt":
        return
    try:
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    except OSError as error:
        warnings.warn(
            f"{folder}: the new file is in place, but the folder could not be synced ({error.strerror}); "
            "after a loss of power the old file may be back",
            RuntimeWarning,
            stacklevel=4,
        )


@contextlib.contextmanager
def _explaining(path: str | bytes | os.PathLike[str], target: Path, needed: int) -> Iterator[None]:
    """Adds the path and the space that is needed to an OSError."""
    try:
        yield
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else str(error)
        if error.errno in _FULL:
            free = shutil.disk_usage(target.parent).free
            reason = (
                f"{reason}: {needed:,} bytes needed, {free:,} free on the disk; the old file is unchanged"
            )
        raise OSError(error.errno, f"cannot save: {reason}", os.fspath(path)) from error
