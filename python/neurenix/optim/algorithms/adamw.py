"""AdamW."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from ..groups import Params, Scheduled
from ..options import Options
from .adam import Adam

if TYPE_CHECKING:
    from typing_extensions import Unpack


class AdamW(Adam):
    """Adam with weight decay apart from the gradient: the usual first choice.

        p ← p − η·λ·p
        m ← β₁·m + (1 − β₁)·g
        v ← β₂·v + (1 − β₂)·g²
        p ← p − η·m̂ / (√v̂ + ε)             m̂ = m / (1 − β₁ᵗ), v̂ = v / (1 − β₂ᵗ)

    Keeps two floats for each parameter (three with amsgrad).

    Args:
        params: tensors, (name, tensor) pairs, a module, or dicts that define groups.
        lr: η, step size, ≥ 0.
        betas: β₁ and β₂, decay of the two averages, each in [0, 1).
        eps: ε, ≥ 0, bounds the step where gradients vanish.
        weight_decay: λ, ≥ 0; each step shrinks the parameters by the factor 1 − ηλ.
        amsgrad: divide by the largest v so far (before its correction) instead of the current one.
        **options: `maximize` and `nonfinite`, see `neurenix.optim.Options`.

    Raises:
        ValueError, TypeError: for a value out of its range or parameters that cannot be optimized.

    Example:
        No weight decay on biases:

        >>> import neurenix as nx
        >>> layer = nx.nn.Linear(4, 2)
        >>> optimizer = nx.optim.AdamW(
        ...     [{"params": [layer.weight], "weight_decay": 0.01}, {"params": [layer.bias]}],
        ...     lr=1e-3,
        ...     weight_decay=0,
        ... )
        >>> [group["weight_decay"] for group in optimizer.param_groups]
        [0.01, 0]

    References:
        I. Loshchilov, F. Hutter, Decoupled weight decay regularization, arXiv 1711.05101, algorithm 2.
    """

    decay_mode: ClassVar = "decoupled"

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
