"""Yogi."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from ..formula import Value, debias, sign
from ..groups import Params, Scheduled
from ..limits import NOT_NEGATIVE, Fixed
from ..optimizer import Optimizer
from ..options import Options
from ..states import State
from ._moments import spread

if TYPE_CHECKING:
    from typing_extensions import Unpack


class Yogi(Optimizer):
    """Yogi: Adam whose step size recovers slowly, for gradients that come in bursts.

        g ← g + λ·p
        m ← β₁·m + (1 − β₁)·g
        v ← v − (1 − β₂)·sign(v − g²)·g²
        p ← p − η·m̂ / (√v̂ + ε)             m̂ = m / (1 − β₁ᵗ), v̂ = v / (1 − β₂ᵗ)

    Keeps two floats for each parameter. v changes by at most (1 − β₂)·g² in either direction, while Adam's
    forgets at a rate proportional to itself.

    Args:
        params: tensors, (name, tensor) pairs, a module, or dicts that define groups.
        lr: η, step size, ≥ 0.
        betas: β₁ and β₂, decay of the two averages, each in [0, 1).
        eps: ε, ≥ 0, bounds the step where gradients vanish.
        initial_accumulator_value: what v begins with, ≥ 0.
        weight_decay: λ, L2 penalty, ≥ 0.
        **options: what every optimizer takes, see `neurenix.optim.Options`.

    Raises:
        ValueError, TypeError: for a value out of its range or parameters that cannot be optimized.

    Example:
        >>> import neurenix as nx
        >>> w = nx.Tensor([1.0, 2.0], requires_grad=True)
        >>> optimizer = nx.optim.Yogi([w], lr=0.25)
        >>> (w * w).sum().backward()
        >>> optimizer.step()
        >>> [round(x, 4) for x in w.tolist()]
        [0.7502, 1.7501]

    References:
        M. Zaheer et al., Adaptive methods for nonconvex optimization, NeurIPS 2018.
    """

    states = (
        "exp_avg",
        State("exp_avg_sq", init=lambda group: group["initial_accumulator_value"], role="square"),
    )
    limits: ClassVar = {"initial_accumulator_value": Fixed(NOT_NEGATIVE)}

    def __init__(
        self,
        params: Params,
        lr: Scheduled = 0.01,
        betas: tuple[Scheduled, Scheduled] = (0.9, 0.999),
        eps: Scheduled = 1e-3,
        initial_accumulator_value: float = 1e-6,
        weight_decay: Scheduled = 0.0,
        **options: Unpack[Options],
    ) -> None:
        defaults = {
            "lr": lr,
            "betas": betas,
            "eps": eps,
            "initial_accumulator_value": initial_accumulator_value,
            "weight_decay": weight_decay,
        }
        super().__init__(params, defaults, **options)

    @staticmethod
    def formula(
        p: Value, g: Value, m: Value, v: Value, *, t: Value, lr: Value, betas: Value, eps: Value
    ) -> tuple[Value, Value, Value]:
        """The rule above, without weight decay."""
        beta1, beta2 = betas
        m = m + (1 - beta1) * (g - m)
        v = v - (1 - beta2) * sign(v - g * g) * g * g
        return p - lr / debias(beta1, t) * m / (spread(v, beta2, t) + eps), m, v
