"""LaProp."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from ..formula import Value, where
from ..groups import Params, Scheduled
from ..optimizer import Optimizer
from ..options import Options
from ..states import State
from ._moments import MOMENTS, spread

if TYPE_CHECKING:
    from typing_extensions import Unpack


class LaProp(Optimizer):
    """LaProp: Adam that divides by √v before it averages, so that any β₁ and β₂ go together.

        p ← p − η·λ·p
        v ← β₂·v + (1 − β₂)·g²
        m ← β₁·m + (1 − β₁)·η·g / (√v̂ + ε)            v̂ = v / (1 − β₂ᵗ)
        a ← β₁·a + (1 − β₁)·η
        p ← p − η·m / a                               (for a constant η: m / (1 − β₁ᵗ))

    Keeps two floats for each parameter, and the number a for each tensor.

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
        >>> optimizer = nx.optim.LaProp([w], lr=0.25)
        >>> (w * w).sum().backward()
        >>> optimizer.step()
        >>> [round(x, 4) for x in w.tolist()]
        [0.75, 1.75]

    Differs from the reference: weight decay comes before the step, not after it.

    References:
        L. Ziyin, Z. Wang, M. Ueda, LaProp: separating momentum and adaptivity in Adam, arXiv 2002.04839.
    """

    states = (*MOMENTS, State("exp_avg_lr", kind="scalar"))
    decay_mode: ClassVar = "decoupled"

    def __init__(
        self,
        params: Params,
        lr: Scheduled = 0.0004,
        betas: tuple[Scheduled, Scheduled] = (0.9, 0.999),
        eps: Scheduled = 1e-15,
        weight_decay: Scheduled = 0.0,
        **options: Unpack[Options],
    ) -> None:
        defaults = {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay}
        super().__init__(params, defaults, **options)

    @staticmethod
    def formula(
        p: Value, g: Value, m: Value, v: Value, a: Value, *, t: Value, lr: Value, betas: Value, eps: Value
    ) -> tuple[Value, ...]:
        """The rule above, without weight decay."""
        beta1, beta2 = betas
        v = beta2 * v + (1 - beta2) * g * g
        m = beta1 * m + (1 - beta1) * lr * g / (spread(v, beta2, t) + eps)
        a = beta1 * a + (1 - beta1) * lr
        return p - where(a > 0, lr / a, 0) * m, m, v, a
