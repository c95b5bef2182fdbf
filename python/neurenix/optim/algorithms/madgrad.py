"""MADGRAD."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from ..formula import Value, sqrt, where
from ..groups import Group, Params, Scheduled
from ..limits import FRACTION
from ..optimizer import Optimizer
from ..options import Options
from ..special import cbrt
from ..states import State

if TYPE_CHECKING:
    from typing_extensions import Unpack


def root(n: Value, eps: Value) -> Value:
    """∛n + ε, or 1 where that is 0 (and so is what it divides)."""
    raised = cbrt(n) + eps
    return where(raised > 0, raised, 1)


class MADGRAD(Optimizer):
    """MADGRAD: dual averaging with adaptive steps, often the best for sparse or noisy gradients.

        g ← g + λ·p
        s ← s + (η + ε)·√t·g
        n ← n + (η + ε)·√t·g²
        z = x₀ − s / (∛n + ε)                         x₀ is p before the first step
        p ← μ·p + (1 − μ)·z

    Keeps three floats for each parameter, two without momentum. Weight decay that suits others is often too
    much here. Good learning rates are unlike those of Adam; search a wide range.

    Args:
        params: tensors, (name, tensor) pairs, a module, or dicts that define groups.
        lr: η, step size, ≥ 0.
        momentum: μ, in [0, 1).
        weight_decay: λ, L2 penalty, ≥ 0.
        eps: ε, ≥ 0, bounds the step where gradients vanish; also added to η unless that is 0.
        **options: what every optimizer takes, see `neurenix.optim.Options`.

    Raises:
        ValueError, TypeError: for a value out of its range or parameters that cannot be optimized.

    Example:
        >>> import neurenix as nx
        >>> w = nx.Tensor([1.0, 2.0], requires_grad=True)
        >>> optimizer = nx.optim.MADGRAD([w], lr=0.25)
        >>> (w * w).sum().backward()
        >>> optimizer.step()
        >>> [round(x, 4) for x in w.tolist()]
        [0.95, 1.937]

    References:
        A. Defazio, S. Jelassi, Adaptivity without compromise: a momentumized, adaptive, dual averaged
        gradient method for stochastic optimization, arXiv 2101.11075, algorithm 1.
    """

    states = (  # weights are computed from both anew at each step
        State("grad_sum_sq", stored="own", role="square"),
        State("s", role="position"),
    )
    limits: ClassVar = {"momentum": FRACTION}

    def __init__(
        self,
        params: Params,
        lr: Scheduled = 0.01,
        momentum: Scheduled = 0.9,
        weight_decay: Scheduled = 0.0,
        eps: Scheduled = 1e-6,
        **options: Unpack[Options],
    ) -> None:
        defaults = {"lr": lr, "momentum": momentum, "weight_decay": weight_decay, "eps": eps}
        super().__init__(params, defaults, **options)

    def states_for(self, group: Group, variant: Any = None) -> Sequence[str | State]:
        """Two sums, and with momentum where p began."""
        return (
            (*self.states, State("x0", init="param", role="position"))
            if group["momentum"] != 0
            else self.states
        )

    @staticmethod
    def formula(
        p: Value,
        g: Value,
        n: Value,
        s: Value,
        *start: Value,
        t: Value,
        lr: Value,
        momentum: Value,
        eps: Value,
    ) -> tuple[Value, ...]:
        """The rule above, without weight decay; without momentum x₀ is computed anew."""
        x0 = start[0] if start else p + s / root(n, eps)
        weight = where(lr > 0, lr + eps, 0) * sqrt(t)
        n = n + weight * g * g
        s = s + weight * g
        z = x0 - s / root(n, eps)
        return p + (1 - momentum) * (z - p) if start else z, n, s, *start
