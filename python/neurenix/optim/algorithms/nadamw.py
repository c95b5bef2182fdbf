"""NAdamW."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from ..groups import Params, Scheduled
from ..options import Options
from .nadam import NAdam

if TYPE_CHECKING:
    from typing_extensions import Unpack


class NAdamW(NAdam):
    """NAdamW: AdamW that looks ahead along its momentum, the baseline of the AlgoPerf benchmark.

        p ← p − η·λ·p
        m ← β₁·m + (1 − β₁)·g
        v ← β₂·v + (1 − β₂)·g²
        u = β₁·m + (1 − β₁)·g
        p ← p − η·û / (√v̂ + ε)             û = u / (1 − β₁ᵗ), v̂ = v / (1 − β₂ᵗ)

    Keeps two floats for each parameter. It is `NAdam` whose momentum has no schedule of its own.

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
        >>> optimizer = nx.optim.NAdamW([w], lr=0.25)
        >>> (w * w).sum().backward()
        >>> optimizer.step()
        >>> [round(x, 4) for x in w.tolist()]
        [0.5225, 1.52]

    References:
        G. Dahl et al., Benchmarking neural network training algorithms, arXiv 2306.07179.
        T. Dozat, Incorporating Nesterov momentum into Adam, ICLR workshop 2016.
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
        super().__init__(params, lr, betas, eps, weight_decay, None, **options)
