"""StableAdamW."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..formula import Value, debias, maximum, mean, sqrt, where
from ..groups import Params, Scheduled
from ..optimizer import Optimizer
from ..options import Options
from ._moments import MOMENTS, moments, spread

if TYPE_CHECKING:
    from typing_extensions import Unpack


class StableAdamW(Optimizer):
    """AdamW with smaller steps where the averages have not caught up with the gradient: no loss spikes.

        m ← β₁·m + (1 − β₁)·g
        v ← β₂·v + (1 − β₂)·g²
        κ = η / max(1, RMS(g / √max(v̂, ε²)))        over the whole tensor
        p ← p − κ·(m̂ / (√v̂ + ε) + λ·p)             m̂ = m / (1 − β₁ᵗ), v̂ = v / (1 − β₂ᵗ)

    Keeps two floats for each parameter. Makes clipping of gradients unnecessary.

    Args:
        params: tensors, (name, tensor) pairs, a module, or dicts that define groups.
        lr: η, step size, ≥ 0.
        betas: β₁ and β₂, decay of the two averages, each in [0, 1).
        eps: ε, ≥ 0, bounds the step where gradients vanish.
        weight_decay: λ, ≥ 0; each step also takes κ·λ·p away.
        **options: what every optimizer takes, see `neurenix.optim.Options`.

    Raises:
        ValueError, TypeError: for a value out of its range or parameters that cannot be optimized.

    Example:
        >>> import neurenix as nx
        >>> w = nx.Tensor([1.0, 2.0], requires_grad=True)
        >>> optimizer = nx.optim.StableAdamW([w], lr=0.25)
        >>> (w * w).sum().backward()
        >>> optimizer.step()
        >>> [round(x, 4) for x in w.tolist()]
        [0.7475, 1.745]

    References:
        M. Wortsman et al., Stable and low-precision training for large-scale vision-language models, arXiv
        2304.13013, algorithm 2.
    """

    states = MOMENTS

    def __init__(
        self,
        params: Params,
        lr: Scheduled = 0.001,
        betas: tuple[Scheduled, Scheduled] = (0.9, 0.99),
        eps: Scheduled = 1e-6,
        weight_decay: Scheduled = 0.01,
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
        *,
        t: Value,
        lr: Value,
        betas: Value,
        eps: Value,
        weight_decay: Value,
    ) -> tuple[Value, Value, Value]:
        """The rule above."""
        beta1, beta2 = betas
        m, v = moments(g, m, v, betas)
        root = spread(v, beta2, t)
        surprise = g / where(root > eps, root, where(eps > 0, eps, 1))
        rate = lr / maximum(sqrt(mean(surprise * surprise)), 1)
        return p - rate * (m / debias(beta1, t) / (root + eps) + weight_decay * p), m, v
