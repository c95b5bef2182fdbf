"""Grokfast."""

from __future__ import annotations

from typing import Any, ClassVar

from ..formula import Value, where
from ..groups import Scheduled
from ..limits import FRACTION, NOT_NEGATIVE
from ..optimizer import Optimizer
from ..wrapper import Wrapper


class Grokfast(Wrapper):
    """Any optimizer on gradients whose slow part is amplified: generalisation sets in earlier.

        h ← α·h + (1 − α)·g        (h ← g at the first step)
        step of the wrapped optimizer with g + λ·h

    Keeps one more float for each parameter.

    Args:
        optimizer: the optimizer to wrap.
        alpha: α, decay of the average, in [0, 1).
        lamb: λ, weight of the slow part, ≥ 0.

    Raises:
        ValueError, TypeError: for a value out of its range.

    Example:
        >>> import neurenix as nx
        >>> w = nx.Tensor([1.0], requires_grad=True)
        >>> optimizer = nx.optim.Grokfast(nx.optim.SGD([w], lr=0.25), lamb=1.0)
        >>> w.grad = nx.Tensor([1.0])
        >>> optimizer.step()
        >>> w.item()
        0.5

    References:
        J. Lee et al., Grokfast: accelerated grokking by amplifying slow gradients, arXiv 2405.20233.
    """

    states: ClassVar = ("slow_grad",)
    limits: ClassVar = {"alpha": FRACTION, "lamb": NOT_NEGATIVE}

    def __init__(self, optimizer: Optimizer, alpha: Scheduled = 0.98, lamb: Scheduled = 2.0) -> None:
        super().__init__(optimizer, {"alpha": alpha, "lamb": lamb})

    @staticmethod
    def formula(
        p: Value, g: Value, slow: Value, *, t: Value, inner: Any, alpha: Value, lamb: Value
    ) -> tuple[Value, Value]:
        """The rule above."""
        slow = slow + where(t == 1, 1, 1 - alpha) * (g - slow)
        return inner(p, g + lamb * slow), slow
