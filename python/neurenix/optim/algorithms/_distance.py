"""What rules that estimate the distance to the solution have in common."""

from __future__ import annotations

from ..formula import Value, everywhere, maximum, minimum, where


def estimate(d: Value, parts: Value, length: Value, growth_rate: Value | None) -> Value:
    """A lower bound of the distance to the solution, never less than before."""
    known = length > 0
    guess = where(known, everywhere(parts) / where(known, length, 1), d)
    return maximum(d, guess if growth_rate is None else minimum(guess, d * growth_rate))
