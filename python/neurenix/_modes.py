"""Who is told that a module was set to training or evaluation, besides its own hooks."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from neurenix.nn import Module

#: Each is called as `observer(module, mode)` after `module.train(mode)`, once for the module that was asked.
observers: list[Callable[[Module, bool], None]] = []
