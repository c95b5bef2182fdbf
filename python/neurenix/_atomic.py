"""Files that are replaced as a whole: the old one stays until the new one is safe on the disk."""

from __future__ import annotations

import contextlib
import errno
import os
import platform
import re
import shutil
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Final

_FULL: Final = {
    errno.ENOSPC,
    errno.EFBIG,
    *(getattr(errno, name) for name in ("EDQUOT",) if hasattr(errno, name)),
}


@contextlib.contextmanager
def writing(path: str | os.PathLike[str], needed: int) -> Iterator[BinaryIO]:
    """A new file that takes the place of `path` when the block ends well, and vanishes otherwise.

    Args:
        path: the file; the target of a symbolic link is replaced, not the link. A file that exists keeps its mode.
        needed: bytes that will be written, for the error when they do not fit.

    Raises:
        OSError: with the path; ENOSPC and its like also with the bytes needed and free.
    """
    target = Path(os.path.realpath(path))
    _reap(target)
    temporary = target.with_name(f"{_prefix(target)}{os.getpid()}.{os.urandom(4).hex()}.tmp")
    try:
        flags = (
            os.O_CREAT | os.O_EXCL | os.O_WRONLY | getattr(os, "O_BINARY", 0) | getattr(os, "O_NOFOLLOW", 0)
        )
        with open(os.open(temporary, flags, 0o666), "wb") as file:
            with contextlib.suppress(FileNotFoundError):
                shutil.copymode(target, temporary)
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, target)
        _sync_folder(target.parent)
    except BaseException as error:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise _explained(error, path, target, needed) from error
        raise


def _prefix(target: Path) -> str:
    """How temporary files of this target begin; other machines on the same file system have their own."""
    return f".{target.name[:100]}.{zlib.crc32(platform.node().encode()):08x}."


def _reap(target: Path) -> None:
    """Removes what processes that are gone have left of their attempts."""
    pattern = re.compile(re.escape(_prefix(target)) + r"(\d+)\.[0-9a-f]{8}\.tmp")
    with contextlib.suppress(OSError):
        for name in os.listdir(target.parent):
            match = pattern.fullmatch(name)
            if match and not _is_alive(int(match[1])):
                with contextlib.suppress(OSError):
                    (target.parent / name).unlink()


def _is_alive(process: int) -> bool:
    if os.name == "nt":  # asking would end it there
        return True
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):
        return True
    return True


def _sync_folder(folder: Path) -> None:
    if os.name == "nt":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _explained(error: OSError, path: str | os.PathLike[str], target: Path, needed: int) -> OSError:
    reason = os.strerror(error.errno) if error.errno else str(error)
    if error.errno in _FULL:
        free = shutil.disk_usage(target.parent).free
        reason = f"{reason}: {needed:,} bytes needed, {free:,} free on the disk; the old file is unchanged"
    return OSError(error.errno, f"cannot save: {reason}", os.fspath(path))
