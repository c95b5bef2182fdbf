"""Adamax."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..formula import Value, abs_, debias, maximum
from ..groups import Params, Scheduled
from ..optimizer import Optimizer
from ..options import Options
from ..states import EIGHT_BITS, State

if TYPE_CHECKING:
    from typing_extensions import Unpack


class Adamax(Optimizer):
    """Adam with the largest recent gradient in place of a root mean square.

        g ← g + λ·p
        m ← β₁·m + (1 − β₁)·g
        u ← max(β₂·u, |g| + ε)
        p ← p − η·m / ((1 − β₁ᵗ)·u)

    Keeps two floats for each parameter. Steady where single gradients are far larger than others, since the
    step never exceeds about lr.

    Args:
        params: tensors, (name, tensor) pairs, a module, or dicts that define groups.
        lr: η, step size, ≥ 0.
        betas: β₁ and β₂, decay of the average and of the maximum, each in [0, 1).
        eps: ε, ≥ 0, bounds the step where gradients vanish.
        weight_decay: λ, L2 penalty, ≥ 0.
        **options: what every optimizer takes, see `neurenix.optim.Options`.

    Raises:
        ValueError, TypeError: for a value out of its range or parameters that cannot be optimized.

    Example:
        >>> import neurenix as nx
        >>> w = nx.Tensor([1.0, 100.0], requires_grad=True)
        >>> optimizer = nx.optim.Adamax([w], lr=0.5)
        >>> (w * w).sum().backward()
        >>> optimizer.step()
        >>> w.tolist()
        [0.5, 99.5]

    References:
        D. Kingma, J. Ba, Adam: a method for stochastic optimization, arXiv 1412.6980, algorithm 2.
    """

    states = ("exp_avg", State("exp_inf", role="square", formats=EIGHT_BITS))

    def __init__(
        self,
        params: Params,
        lr: Scheduled = 0.002,
        betas: tuple[Scheduled, Scheduled] = (0.9, 0.999),
        eps: Scheduled = 1e-8,
        weight_decay: Scheduled = 0,
        **options: Unpack[Options],
    ) -> None:
        defaults = {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay}
        super().__init__(params, defaults, **options)

    @staticmethod
    def formula(
        p: Value, g: Value, m: Value, u: Value, *, t: Value, lr: Value, betas: Value, eps: Value
    ) -> tuple[Value, Value, Value]:
        """The rule above, without weight decay."""
        beta1, beta2 = betas
        m = m + (1 - beta1) * (g - m)
        u = maximum(beta2 * u, abs_(g) + eps)
        return p - lr / debias(beta1, t) * m / u, m, u
