"""Weight decay: one implementation for all rules."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any

from .formula import Value


@functools.lru_cache(maxsize=512)
def decayed(formula: Callable[..., Any], mode: str) -> Callable[..., Any]:
    """The rule with weight decay around it, unless it asks for `weight_decay` itself."""
    signature = inspect.signature(formula)
    named = signature.parameters
    if "weight_decay" in named or any(p.kind is p.VAR_KEYWORD for p in named.values()):
        return formula

    def whole(p: Value, g: Value, *states: Value, weight_decay: Value, lr: Value, **hyper: Any) -> Any:
        if "lr" in named:
            hyper["lr"] = lr
        if mode == "l2":
            return formula(p, g + weight_decay * p, *states, **hyper)
        return formula(p * (1 - lr * weight_decay), g, *states, **hyper)

    extra = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY)
        for name in ("lr", "weight_decay")
        if name not in named
    ]
    whole.__signature__ = signature.replace(parameters=[*named.values(), *extra])  # type: ignore[attr-defined]
    whole.__qualname__ = getattr(formula, "__qualname__", repr(formula))
    return whole
