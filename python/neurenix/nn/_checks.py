"""Checks of the arguments of layers."""

from __future__ import annotations

from collections.abc import Sequence
from operator import index
from typing import Any


def positive(where: str, name: str, value: Any) -> int:
    """A whole number of at least 1: the size of something."""
    if isinstance(value, bool) or not hasattr(value, "__index__"):
        raise TypeError(f"{where}: {name} must be a whole number, got {type(value).__name__} {value!r}")
    if value < 1:
        raise ValueError(f"{where}: {name} must be at least 1, got {value}")
    return index(value)


def number(where: str, name: str, value: Any, low: float, high: float) -> float:
    """A number in [low, high]."""
    if isinstance(value, bool | str) or not hasattr(value, "__float__"):
        raise TypeError(f"{where}: {name} must be a number, got {type(value).__name__} {value!r}")
    if not low <= value <= high:
        allowed = "above 0" if low == 5e-324 else f"in [{low:g}, {high:g}]"
        raise ValueError(f"{where}: {name} must be {allowed}, got {value}")
    return float(value)


def choice(where: str, name: str, value: Any, choices: Sequence[str]) -> Any:
    """One of several words."""
    if value not in choices:
        raise ValueError(f"{where}: {name} must be one of {', '.join(map(repr, choices))}, got {value!r}")
    return value
