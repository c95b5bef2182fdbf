"""Errors of nested modules say which module they come from: "in 2: Linear(5, 1): linear: ...".

The path is found only once something has gone wrong: every module that the error passes through looks up, among
its own submodules, the one that it came from.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from neurenix.nn.module import Module

#: Exceptions of exactly these types, with nothing but a message, are rewritten; all others pass as they are.
REWRITTEN = (ValueError, TypeError, IndexError, RuntimeError, MemoryError)


class Origin:
    """Where an error comes from, as far as is known: the module that failed first, and the last that it passed."""

    __slots__ = ("message", "module", "passed", "path")

    def __init__(self, module: Module, message: str) -> None:
        self.module = module
        self.message = message
        self.path: list[str] = []
        self.passed = module


def locate(error: Exception, module: Module) -> None:
    """Rewrites the message of an error that passes through `module`."""
    origin: Origin | None = getattr(error, "_origin", None)
    if origin is None:
        if type(error) not in REWRITTEN or len(error.args) != 1 or not isinstance(error.args[0], str):
            return
        origin = error._origin = Origin(module, error.args[0])  # type: ignore[attr-defined]
    elif origin.passed is not module:
        name = next((name for name, child in module.named_modules() if child is origin.passed), None)
        if name is None:  # the module called one that is not part of it
            return
        origin.path.insert(0, name)
        origin.passed = module
    where = ".".join(origin.path)
    error.args = (f"in {where}{': ' if where else ''}{origin.module._signature()}: {origin.message}",)
