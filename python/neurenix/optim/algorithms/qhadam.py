"""QHAdam."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from ..formula import Value, debias, sqrt
from ..groups import Params, Scheduled
from ..limits import Each, Number
from ..optimizer import Optimizer
from ..options import Options
from ._moments import MOMENTS, moments

if TYPE_CHECKING:
    from typing_extensions import Unpack


class QHAdam(Optimizer):
    """QHAdam: steps between Adam's and those of the gradient alone.

        g ← g + λ·p
        m ← β₁·m + (1 − β₁)·g
        v ← β₂·v + (1 − β₂)·g²
        p ← p − η·((1 − ν₁)·g + ν₁·m̂) / (√((1 − ν₂)·g² + ν₂·v̂) + ε)     m̂ = m / (1 − β₁ᵗ), v̂ = v / (1 − β₂ᵗ)

    Keeps two floats for each parameter. ν = (1, 1) is Adam, (0, 1) RMSprop with corrected averages, (β₁, 1)
    NAdam (nearly).

    Args:
        params: tensors, (name, tensor) pairs, a module, or dicts that define groups.
        lr: η, step size, ≥ 0.
        betas: β₁ and β₂, decay of the two averages, each in [0, 1).
        nus: ν₁ and ν₂, weight of the averages against the gradient's own values, each in [0, 1].
        weight_decay: λ, L2 penalty, ≥ 0.
        eps: ε, ≥ 0, bounds the step where gradients vanish.
        **options: what every optimizer takes, see `neurenix.optim.Options`.

    Raises:
        ValueError, TypeError: for a value out of its range or parameters that cannot be optimized.

    Example:
        >>> import neurenix as nx
        >>> w = nx.Tensor([1.0, 2.0], requires_grad=True)
        >>> optimizer = nx.optim.QHAdam([w], lr=0.25)
        >>> (w * w).sum().backward()
        >>> optimizer.step()
        >>> [round(x, 4) for x in w.tolist()]
        [0.75, 1.75]

    References:
        J. Ma, D. Yarats, Quasi-hyperbolic momentum and Adam for deep learning, arXiv 1810.06801.
    """

    states = MOMENTS
    limits: ClassVar = {"nus": Each(Number(0, 1, high_included=True), 2)}

    def __init__(
        self,
        params: Params,
        lr: Scheduled = 0.001,
        betas: tuple[Scheduled, Scheduled] = (0.9, 0.999),
        nus: tuple[Scheduled, Scheduled] = (1.0, 1.0),
        weight_decay: Scheduled = 0.0,
        eps: Scheduled = 1e-8,
        **options: Unpack[Options],
    ) -> None:
        defaults = {"lr": lr, "betas": betas, "nus": nus, "weight_decay": weight_decay, "eps": eps}
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
        nus: Value,
        eps: Value,
    ) -> tuple[Value, Value, Value]:
        """The rule above, without weight decay."""
        (beta1, beta2), (nu1, nu2) = betas, nus
        m, v = moments(g, m, v, betas)
        up = (1 - nu1) * g + nu1 / debias(beta1, t) * m
        down = sqrt((1 - nu2) * g * g + nu2 / debias(beta2, t) * v) + eps
        return p - lr * up / down, m, v
