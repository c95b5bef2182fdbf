"""RAdamW."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from ..groups import Params, Scheduled
from ..options import Options
from .radam import RAdam

if TYPE_CHECKING:
    from typing_extensions import Unpack


class RAdamW(RAdam):
    """RAdam with weight decay apart from the gradient.

        p ← p − η·λ·p
        and the rule of `RAdam`

    Keeps two floats for each parameter.

    Args:
        params: tensors, (name, tensor) pairs, a module, or dicts that define groups.
        lr: η, step size, ≥ 0.
        betas: β₁ and β₂, decay of the two averages, each in [0, 1).
        eps: ε, ≥ 0, bounds the step where gradients vanish.
        weight_decay: λ, ≥ 0; each step shrinks the parameters by the factor 1 − ηλ.
        **options: what every optimizer takes, see `neurenix.optim.Options`.

    Raises:
        ValueError, TypeError: for a value out of its range or parameters that cannot be optimized.

    Example:
        >>> import neurenix as nx
        >>> w = nx.Tensor([1.0, 2.0], requires_grad=True)
        >>> optimizer = nx.optim.RAdamW([w], lr=0.25)
        >>> (w * w).sum().backward()
        >>> optimizer.step()
        >>> [round(x, 4) for x in w.tolist()]
        [0.4975, 0.995]

    References:
        L. Liu et al., On the variance of the adaptive learning rate and beyond, arXiv 1908.03265, algorithm
        2.
        I. Loshchilov, F. Hutter, Decoupled weight decay regularization, arXiv 1711.05101.
    """

    decay_mode: ClassVar = "decoupled"

    def __init__(
        self,
        params: Params,
        lr: Scheduled = 0.001,
        betas: tuple[Scheduled, Scheduled] = (0.9, 0.999),
        eps: Scheduled = 1e-8,
        weight_decay: Scheduled = 0.01,
        **options: Unpack[Options],
    ) -> None:
        super().__init__(params, lr, betas, eps, weight_decay, **options)
