"""ADOPT."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from ..formula import Value, clamp, maximum, sqrt, where
from ..groups import Params, Scheduled
from ..limits import NOT_NEGATIVE, OrNone
from ..optimizer import Optimizer
from ..options import Options
from ._moments import MOMENTS

if TYPE_CHECKING:
    from typing_extensions import Unpack


class ADOPT(Optimizer):
    """ADOPT: Adam that converges for every β₂, because a gradient is not divided by itself.

        g ← g + λ·p
        u = g / max(√v, ε), held between ±(t − 1)^c
        m ← β₁·m + (1 − β₁)·u
        p ← p − η·m
        v ← β₂·v + (1 − β₂)·g²              (v ← g² and nothing else at the first step)

    Keeps two floats for each parameter. The first step only learns the scale of the gradients.

    Args:
        params: tensors, (name, tensor) pairs, a module, or dicts that define groups.
        lr: η, step size, ≥ 0.
        betas: β₁ and β₂, decay of the two averages, each in [0, 1).
        eps: ε, ≥ 0, the least that a gradient is divided by.
        clip_exp: c, ≥ 0, how fast the bound of u grows; None for no bound.
        weight_decay: λ, L2 penalty, ≥ 0.
        **options: what every optimizer takes, see `neurenix.optim.Options`.

    Raises:
        ValueError, TypeError: for a value out of its range or parameters that cannot be optimized.

    Example:
        >>> import neurenix as nx
        >>> w = nx.Tensor([1.0, 2.0], requires_grad=True)
        >>> optimizer = nx.optim.ADOPT([w], lr=0.5, betas=(0.0, 0.99))
        >>> for _ in range(2):
        ...     optimizer.zero_grad()
        ...     (w * w).sum().backward()
        ...     optimizer.step()
        >>> w.tolist()
        [0.5, 1.5]

    Differs from the reference: with `weight_decay_mode="decoupled"` the first step decays, too.

    References:
        S. Taniguchi et al., ADOPT: modified Adam can converge with any β₂ with the optimal rate, arXiv
        2411.02853, algorithm 2.
    """

    states = MOMENTS
    limits: ClassVar = {"clip_exp": OrNone(NOT_NEGATIVE)}

    def __init__(
        self,
        params: Params,
        lr: Scheduled = 0.001,
        betas: tuple[Scheduled, Scheduled] = (0.9, 0.9999),
        eps: Scheduled = 1e-6,
        clip_exp: Scheduled | None = 0.25,
        weight_decay: Scheduled = 0.0,
        **options: Unpack[Options],
    ) -> None:
        defaults = {"lr": lr, "betas": betas, "eps": eps, "clip_exp": clip_exp, "weight_decay": weight_decay}
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
        clip_exp: Value | None,
    ) -> tuple[Value, Value, Value]:
        """The rule above, without weight decay."""
        beta1, beta2 = betas
        first = t == 1
        u = g / maximum(sqrt(v), eps)
        if clip_exp is not None:
            bound = (t - 1) ** clip_exp
            u = clamp(u, -bound, bound)
        m = where(first, 0, m + (1 - beta1) * (u - m))
        return p - lr * m, m, where(first, 1, beta2) * v + where(first, 1, 1 - beta2) * g * g
