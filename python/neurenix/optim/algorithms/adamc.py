"""AdamC."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from ..groups import Params, Scheduled
from ..options import Options
from .adamw import AdamW

if TYPE_CHECKING:
    from typing_extensions import Unpack


class AdamC(AdamW):
    """AdamW whose weight decay keeps its balance with the gradient when the learning rate falls.

        p ← p − η²/η_max·λ·p
        m ← β₁·m + (1 − β₁)·g
        v ← β₂·v + (1 − β₂)·g²
        p ← p − η·m̂ / (√v̂ + ε)             m̂ = m / (1 − β₁ᵗ), v̂ = v / (1 − β₂ᵗ)

    Keeps two floats for each parameter (three with amsgrad). η_max is the largest η so far. Only layers that
    are followed by a normalization need it; give the others `weight_decay_mode="decoupled"` in an optimizer
    of their own.

    Args:
        params: tensors, (name, tensor) pairs, a module, or dicts that define groups.
        lr: η, step size, ≥ 0.
        betas: β₁ and β₂, decay of the two averages, each in [0, 1).
        eps: ε, ≥ 0, bounds the step where gradients vanish.
        weight_decay: λ, ≥ 0; each step shrinks the parameters by the factor 1 − ηλ.
        amsgrad: divide by the largest v so far (before its correction) instead of the current one.
        **options: what every optimizer takes, see `neurenix.optim.Options`.

    Raises:
        ValueError, TypeError: for a value out of its range or parameters that cannot be optimized.

    Example:
        >>> import neurenix as nx
        >>> w = nx.Tensor([1.0, 2.0], requires_grad=True)
        >>> optimizer = nx.optim.AdamC([w], lr=0.25)
        >>> (w * w).sum().backward()
        >>> optimizer.step()
        >>> [round(x, 4) for x in w.tolist()]
        [0.7475, 1.745]

    References:
        A. Defazio, Why gradients rapidly increase near the end of training, arXiv 2506.02285.
    """

    decay_mode: ClassVar = "corrected"

    def __init__(
        self,
        params: Params,
        lr: Scheduled = 0.001,
        betas: tuple[Scheduled, Scheduled] = (0.9, 0.999),
        eps: Scheduled = 1e-8,
        weight_decay: Scheduled = 0.01,
        amsgrad: bool = False,
        **options: Unpack[Options],
    ) -> None:
        super().__init__(params, lr, betas, eps, weight_decay, amsgrad, **options)
