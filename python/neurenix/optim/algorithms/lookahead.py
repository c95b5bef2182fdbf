"""Lookahead."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from neurenix._phynexus import Tensor

from ..formula import Value, where
from ..groups import Group, Scheduled
from ..limits import Number
from ..optimizer import Optimizer
from ..states import State
from ..wrapper import Wrapper


class Lookahead(Wrapper):
    """Steadier steps of any optimizer: slow weights follow the fast ones, which start from them anew.

        p ← step of the wrapped optimizer
        every k steps:  s ← s + α·(p − s),  p ← s

    Keeps one more float for each parameter. `eval()` puts the slow weights in place.

    Args:
        optimizer: the optimizer to wrap.
        k: how many steps the fast weights go alone, ≥ 1.
        alpha: α, how far the slow weights follow, in [0, 1].

    Raises:
        ValueError, TypeError: for a value out of its range.

    Example:
        >>> import neurenix as nx
        >>> w = nx.Tensor([1.0], requires_grad=True)
        >>> optimizer = nx.optim.Lookahead(nx.optim.SGD([w], lr=0.25), k=2, alpha=0.5)
        >>> for _ in range(2):
        ...     w.grad = nx.Tensor([1.0])
        ...     optimizer.step()
        >>> w.item()
        0.75

    References:
        M. R. Zhang et al., Lookahead optimizer: k steps forward, 1 step back, arXiv 1907.08610.
    """

    states: ClassVar = (State("slow", init="param", role="position"),)
    limits: ClassVar = {"k": Number(1), "alpha": Number(0, 1, high_included=True)}

    def __init__(self, optimizer: Optimizer, k: int = 5, alpha: Scheduled = 0.5) -> None:
        super().__init__(optimizer, {"k": k, "alpha": alpha})

    @staticmethod
    def formula(
        p: Value, g: Value, slow: Value, *, t: Value, inner: Any, k: Value, alpha: Value
    ) -> tuple[Value, Value]:
        """The rule above."""
        fast = inner(p, g)
        meet = t % k == 0
        slow = slow + where(meet, alpha, 0) * (fast - slow)
        return where(meet, slow, fast), slow

    def evaluation(self, param: Tensor, group: Group, entry: Mapping[str, Any]) -> Tensor | None:
        """The slow weights."""
        return entry.get("slow")
