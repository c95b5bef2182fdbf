"""What rules of Adam's family have in common."""

from __future__ import annotations

from typing import Final

from ..formula import Value, debias, rsqrt, sqrt
from ..states import State

EXP_AVG_SQ: Final = State("exp_avg_sq", role="square")
#: An average of gradients, and one of their squares.
MOMENTS: Final = ("exp_avg", EXP_AVG_SQ)


def moments(g: Value, m: Value, v: Value, betas: Value) -> tuple[Value, Value]:
    """The averages of gradients and of their squares after one more gradient."""
    beta1, beta2 = betas
    return m + (1 - beta1) * (g - m), beta2 * v + (1 - beta2) * g * g


def spread(v: Value, beta2: Value, t: Value) -> Value:
    """√v̂, the root of an average of squares that began with zero."""
    return sqrt(v) * rsqrt(debias(beta2, t))


def rectification(beta2: Value, t: Value) -> tuple[Value, Value]:
    """How many squares v averages (at most 2 / (1 − β₂) − 1), and the r of RAdam, a number if they are above 4."""
    missing = debias(beta2, t)
    limit = 2 / (1 - beta2) - 1
    length = limit - 2 * t * (1 - missing) / missing
    return length, sqrt((length - 4) * (length - 2) * limit / ((limit - 4) * (limit - 2) * length))
