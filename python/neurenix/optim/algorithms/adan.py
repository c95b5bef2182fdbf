"""Adan."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from ..formula import Value, debias, where
from ..groups import Params, Scheduled
from ..limits import FRACTION, Each
from ..optimizer import Optimizer
from ..options import Options
from ._moments import EXP_AVG_SQ, spread

if TYPE_CHECKING:
    from typing_extensions import Unpack


class Adan(Optimizer):
    """Adan: Adam with Nesterov's momentum, estimated from the change of the gradient.

        δ = g − g₋₁                         (0 at the first step)
        m ← β₁·m + (1 − β₁)·g
        v ← β₂·v + (1 − β₂)·δ
        n ← β₃·n + (1 − β₃)·(g + β₂·δ)²
        p ← p − η·(m̂ + β₂·v̂) / (√n̂ + ε)     each average divided by 1 − βᵗ
        p ← p / (1 + η·λ)

    Keeps four floats for each parameter. Bears learning rates of 5 to 10 times those of `AdamW`.

    Args:
        params: tensors, (name, tensor) pairs, a module, or dicts that define groups.
        lr: η, step size, ≥ 0.
        betas: β₁, β₂ and β₃, decay of the three averages, each in [0, 1); the paper writes 1 − β for them.
        eps: ε, ≥ 0, bounds the step where gradients vanish.
        weight_decay: λ, ≥ 0; each step divides the parameters by 1 + ηλ.
        **options: what every optimizer takes, see `neurenix.optim.Options`.

    Raises:
        ValueError, TypeError: for a value out of its range or parameters that cannot be optimized.

    Example:
        >>> import neurenix as nx
        >>> w = nx.Tensor([1.0, 2.0], requires_grad=True)
        >>> optimizer = nx.optim.Adan([w], lr=0.25)
        >>> (w * w).sum().backward()
        >>> optimizer.step()
        >>> [round(x, 4) for x in w.tolist()]
        [0.75, 1.75]

    References:
        X. Xie et al., Adan: adaptive Nesterov momentum algorithm for faster optimizing deep models, arXiv
        2208.06677, algorithm 1.
    """

    states = ("exp_avg", "exp_avg_diff", EXP_AVG_SQ, "pre_grad")
    decay_mode: ClassVar = "proximal"
    limits: ClassVar = {"betas": Each(FRACTION, 3)}

    def __init__(
        self,
        params: Params,
        lr: Scheduled = 0.001,
        betas: tuple[Scheduled, Scheduled, Scheduled] = (0.98, 0.92, 0.99),
        eps: Scheduled = 1e-8,
        weight_decay: Scheduled = 0.0,
        **options: Unpack[Options],
    ) -> None:
        defaults = {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay}
        super().__init__(params, defaults, **options)

    @staticmethod
    def formula(
        p: Value,
        g: Value,
        m: Value,
        v: Value,
        n: Value,
        previous: Value,
        *,
        t: Value,
        lr: Value,
        betas: Value,
        eps: Value,
    ) -> tuple[Value, ...]:
        """The rule above, without weight decay."""
        beta1, beta2, beta3 = betas
        change = where(t == 1, 0, g - previous)
        m = m + (1 - beta1) * (g - m)
        v = v + (1 - beta2) * (change - v)
        ahead = g + beta2 * change
        n = beta3 * n + (1 - beta3) * ahead * ahead
        step = lr / debias(beta1, t) * m + lr * beta2 / debias(beta2, t) * v
        return p - step / (spread(n, beta3, t) + eps), m, v, n, g
