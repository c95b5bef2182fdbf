"""What rules have in common that look at the gradients of matrices in a subspace."""

from __future__ import annotations

import math
from typing import Any, ClassVar

from neurenix._phynexus import Tensor

from ..formula import Value, debias, sqrt
from ..groups import Group
from ..limits import NOT_NEGATIVE, Flag, Whole
from ..optimizer import Optimizer
from ._moments import moments


class Projected(Optimizer):
    """Base of such rules: tensors of more dimensions are matrices of their first dimension and the rest."""

    decay_mode: ClassVar = "inside"
    limits: ClassVar = {
        "rank": Whole(1),
        "update_proj_gap": Whole(1),
        "scale": NOT_NEGATIVE,
        "correct_bias": Flag(),
    }

    def variant(self, param: Tensor, group: Group) -> tuple[int, int] | None:
        """The sides of a matrix; None for vectors."""
        return None if param.ndim < 2 else (param.shape[0], math.prod(param.shape[1:]))

    def is_directed(self, variant: Any) -> bool:
        """Whether it is a matrix."""
        return variant is not None


def adam(g: Value, m: Value, v: Value, betas: Value, eps: Value) -> tuple[Value, Value, Value]:
    """Adam's direction of vectors, without correction, and its averages."""
    m, v = moments(g, m, v, betas)
    return m / (sqrt(v) + eps), m, v


def stepped(
    p: Value, u: Value, t: Value, lr: Value, betas: Value, weight_decay: Value, correct_bias: bool
) -> Value:
    """The step along a direction whose averages are not corrected yet, and the decay after it."""
    size = lr * sqrt(debias(betas[1], t)) / debias(betas[0], t) if correct_bias else lr
    return (p - size * u) * (1 - lr * weight_decay)
