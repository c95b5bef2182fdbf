"""RAdam."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..formula import Value, debias, sqrt, where
from ..groups import Params, Scheduled
from ..limits import Flag
from ..optimizer import Optimizer
from ..options import Options
from ._moments import MOMENTS, moments, rectification

if TYPE_CHECKING:
    from typing_extensions import Unpack


class RAdam(Optimizer):
    """Adam that warms up by itself: no adaptive steps before their variance is known.

        g ← g + λ·p
        m ← β₁·m + (1 − β₁)·g
        v ← β₂·v + (1 − β₂)·g²
        ρ = ρ∞ − 2t·β₂ᵗ / (1 − β₂ᵗ)         ρ∞ = 2 / (1 − β₂) − 1
        p ← p − η·m̂·r / (√v + ε)            if ρ > 5, with m̂ = m / (1 − β₁ᵗ) and
                                            r² = (1 − β₂ᵗ)·(ρ − 4)(ρ − 2)ρ∞ / ((ρ∞ − 4)(ρ∞ − 2)ρ)
        p ← p − η·m̂                         otherwise

    Keeps two floats for each parameter. The first five steps (of the default β₂) are those of gradient
    descent with momentum.

    Args:
        params: tensors, (name, tensor) pairs, a module, or dicts that define groups.
        lr: η, step size, ≥ 0.
        betas: β₁ and β₂, decay of the two averages, each in [0, 1).
        eps: ε, ≥ 0, bounds the step where gradients vanish.
        weight_decay: λ, ≥ 0.
        decoupled_weight_decay: shrink the parameters by 1 − ηλ instead of adding λ·p to the gradient.
        **options: what every optimizer takes, see `neurenix.optim.Options`.

    Raises:
        ValueError, TypeError: for a value out of its range or parameters that cannot be optimized.

    Example:
        >>> import neurenix as nx
        >>> w = nx.Tensor([1.0, 2.0], requires_grad=True)
        >>> optimizer = nx.optim.RAdam([w], lr=0.25)
        >>> (w * w).sum().backward()
        >>> optimizer.step()
        >>> w.tolist()
        [0.5, 1.0]

    References:
        L. Liu et al., On the variance of the adaptive learning rate and beyond, arXiv 1908.03265, algorithm 2.
    """

    states = MOMENTS

    def __init__(
        self,
        params: Params,
        lr: Scheduled = 0.001,
        betas: tuple[Scheduled, Scheduled] = (0.9, 0.999),
        eps: Scheduled = 1e-8,
        weight_decay: Scheduled = 0,
        decoupled_weight_decay: bool = False,
        **options: Unpack[Options],
    ) -> None:
        defaults = {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay}
        if Flag().check("RAdam: decoupled_weight_decay", decoupled_weight_decay):
            options.setdefault("weight_decay_mode", "decoupled")
        super().__init__(params, defaults, **options)

    @staticmethod
    def formula(
        p: Value, g: Value, m: Value, v: Value, *, t: Value, lr: Value, betas: Value, eps: Value
    ) -> tuple[Value, Value, Value]:
        """The rule above, without weight decay."""
        beta1, beta2 = betas
        m, v = moments(g, m, v, betas)
        length, ratio = rectification(beta2, t)
        known = length > 5
        step = lr / debias(beta1, t) * where(known, ratio * sqrt(debias(beta2, t)), 1)
        return p - step * m / where(known, sqrt(v) + eps, 1), m, v
