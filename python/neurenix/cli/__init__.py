"""The command line: `neurenix train`, `predict`, `race`, `lr-find` and `info`."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator, Sequence

from neurenix.cli.parser import make_parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs a command; what a user can get wrong is one line on stderr and exit code 2.

    Args:
        arguments: without the program's name; those of the process when None.

    Returns:
        The exit code: 0, 2 for an error, 130 when interrupted.

    Example:
        >>> from neurenix.cli import main
        >>> main(["info"])  # doctest: +ELLIPSIS
        neurenix ...
        0
    """
    with _any_encoding():
        try:
            options = make_parser().parse_args(arguments)
            return int(options.command(options))
        except BrokenPipeError:  # the reader of our output has gone, as `head` does
            with contextlib.suppress(OSError, ValueError):
                os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return 0
        except KeyboardInterrupt:
            print("neurenix: interrupted", file=sys.stderr)
            return 130
        except (ValueError, OSError, MemoryError) as error:
            print(f"neurenix: error: {_one_line(error)}", file=sys.stderr)
            return 2


@contextlib.contextmanager
def _any_encoding() -> Iterator[None]:
    """Output that its reader's encoding lacks becomes "?" instead of ending the command."""
    changed = []
    for stream in (sys.stdout, sys.stderr):
        errors = getattr(stream, "errors", None)
        if errors == "strict" and hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")
            changed.append(stream)
    try:
        yield
    finally:
        for stream in changed:
            with contextlib.suppress(ValueError):  # closed
                stream.reconfigure(errors="strict")


def _one_line(error: BaseException) -> str:
    text = " ".join(str(error).split()) or type(error).__name__
    if isinstance(error, OSError) and error.filename and error.strerror:
        return f"{error.filename}: {error.strerror}"
    return text
