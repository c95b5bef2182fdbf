"""Adam-atan2."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from ..formula import Value, debias
from ..groups import Params, Scheduled
from ..limits import NOT_NEGATIVE
from ..optimizer import Optimizer
from ..options import Options
from ..special import angle
from ._moments import MOMENTS, moments, spread

if TYPE_CHECKING:
    from typing_extensions import Unpack


class AdamAtan2(Optimizer):
    """Adam without ε: atan2 divides, never by zero, and does not depend on the gradient's scale.

        p ← p − η·λ·p
        m ← β₁·m + (1 − β₁)·g
        v ← β₂·v + (1 − β₂)·g²
        p ← p − η·a·atan2(m̂, b·√v̂)         m̂ = m / (1 − β₁ᵗ), v̂ = v / (1 − β₂ᵗ)

    Keeps two floats for each parameter. For m̂ well below √v̂ the step is that of `AdamW` with the rate
    a·η/b; it is at most a·η·π/2.

    Args:
        params: tensors, (name, tensor) pairs, a module, or dicts that define groups.
        lr: η, step size, ≥ 0.
        betas: β₁ and β₂, decay of the two averages, each in [0, 1).
        weight_decay: λ, ≥ 0; each step shrinks the parameters by the factor 1 − ηλ.
        a: scale of the step, ≥ 0.
        b: scale of √v̂, ≥ 0.
        **options: what every optimizer takes, see `neurenix.optim.Options`.

    Raises:
        ValueError, TypeError: for a value out of its range or parameters that cannot be optimized.

    Example:
        >>> import neurenix as nx
        >>> w = nx.Tensor([1.0, 2.0], requires_grad=True)
        >>> optimizer = nx.optim.AdamAtan2([w], lr=0.25)
        >>> (w * w).sum().backward()
        >>> optimizer.step()
        >>> [round(x, 4) for x in w.tolist()]
        [0.7506, 1.7506]

    References:
        K. Everett et al., Scaling exponents across parameterizations and optimizers, arXiv 2407.05872.
    """

    states = MOMENTS
    decay_mode: ClassVar = "decoupled"
    limits: ClassVar = {"a": NOT_NEGATIVE, "b": NOT_NEGATIVE}

    def __init__(
        self,
        params: Params,
        lr: Scheduled = 0.0001,
        betas: tuple[Scheduled, Scheduled] = (0.9, 0.99),
        weight_decay: Scheduled = 0.0,
        a: Scheduled = 1.27,
        b: Scheduled = 1.0,
        **options: Unpack[Options],
    ) -> None:
        defaults = {"lr": lr, "betas": betas, "weight_decay": weight_decay, "a": a, "b": b}
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
        a: Value,
        b: Value,
    ) -> tuple[Value, Value, Value]:
        """The rule above, without weight decay."""
        beta1, beta2 = betas
        m, v = moments(g, m, v, betas)
        return p - lr * a * angle(m / debias(beta1, t), b * spread(v, beta2, t)), m, v
