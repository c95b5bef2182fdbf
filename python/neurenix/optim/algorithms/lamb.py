"""LAMB."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from ..formula import Value, debias, global_norm, maximum, minimum, norm, where
from ..groups import Params, Scheduled
from ..limits import POSITIVE, Flag, OrNone
from ..optimizer import Optimizer
from ..options import Options
from ..states import EIGHT_BITS, State
from ._moments import EXP_AVG_SQ, spread

if TYPE_CHECKING:
    from typing_extensions import Unpack


def ratio(weights: Value, update: Value) -> Value:
    """‖p‖/‖u‖, or 1 where either is 0."""
    known = (weights > 0) & (update > 0)
    return where(known, weights / where(known, update, 1), 1)


class LAMB(Optimizer):
    """LAMB: Adam for very large batches; each layer's step is in proportion to its weights.

        g ← g / max(1, ‖all gradients‖ / max_grad_norm)
        m ← β₁·m + (1 − β₁)·g
        v ← β₂·v + (1 − β₂)·g²
        u = m̂ / (√v̂ + ε) + λ·p             m̂ = m / (1 − β₁ᵗ), v̂ = v / (1 − β₂ᵗ)
        p ← p − η·‖p‖/‖u‖·u                the ratio is 1 where either norm is 0

    The ratio is also 1 where λ is 0 (as is usual for biases and norms), unless always_adapt. Keeps two floats
    for each parameter.

    Args:
        params: tensors, (name, tensor) pairs, a module, or dicts that define groups.
        lr: η, step size, ≥ 0.
        betas: β₁ and β₂, decay of the two averages, each in [0, 1).
        eps: ε, ≥ 0, bounds the step where gradients vanish.
        weight_decay: λ, ≥ 0, part of u.
        max_grad_norm: largest norm of all gradients together, > 0; None for no bound.
        grad_averaging: whether g enters m with the weight 1 − β₁, else with 1.
        trust_clip: hold the ratio below 1 (LAMBC).
        always_adapt: use the ratio also where λ is 0 (NVLAMB).
        **options: what every optimizer takes, see `neurenix.optim.Options`.

    Raises:
        ValueError, TypeError: for a value out of its range or parameters that cannot be optimized.

    Example:
        >>> import neurenix as nx
        >>> w = nx.Tensor([1.0, 2.0], requires_grad=True)
        >>> optimizer = nx.optim.LAMB([w], lr=0.25)
        >>> (w * w).sum().backward()
        >>> optimizer.step()
        >>> [round(x, 4) for x in w.tolist()]
        [0.6067, 1.6028]

    References:
        Y. You et al., Large batch optimization for deep learning: training BERT in 76 minutes, arXiv
        1904.00962, algorithm 2.
    """

    states = (State("exp_avg", formats=EIGHT_BITS), EXP_AVG_SQ)
    limits: ClassVar = {
        "max_grad_norm": OrNone(POSITIVE),
        "grad_averaging": Flag(),
        "trust_clip": Flag(),
        "always_adapt": Flag(),
    }

    def __init__(
        self,
        params: Params,
        lr: Scheduled = 0.001,
        betas: tuple[Scheduled, Scheduled] = (0.9, 0.999),
        eps: Scheduled = 1e-6,
        weight_decay: Scheduled = 0.01,
        max_grad_norm: Scheduled | None = 1.0,
        grad_averaging: bool = True,
        trust_clip: bool = False,
        always_adapt: bool = False,
        **options: Unpack[Options],
    ) -> None:
        defaults = {
            "lr": lr,
            "betas": betas,
            "eps": eps,
            "weight_decay": weight_decay,
            "max_grad_norm": max_grad_norm,
            "grad_averaging": grad_averaging,
            "trust_clip": trust_clip,
            "always_adapt": always_adapt,
        }
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
        weight_decay: Value,
        max_grad_norm: Value | None,
        grad_averaging: bool,
        trust_clip: bool,
        always_adapt: bool,
    ) -> tuple[Value, Value, Value]:
        """The rule above."""
        beta1, beta2 = betas
        if max_grad_norm is not None:
            g = g / maximum(global_norm(g) / max_grad_norm, 1)
        m = beta1 * m + ((1 - beta1) * g if grad_averaging else g)
        v = beta2 * v + (1 - beta2) * g * g
        u = m / debias(beta1, t) / (spread(v, beta2, t) + eps) + weight_decay * p
        trust = ratio(norm(p), norm(u))
        trust = minimum(trust, 1) if trust_clip else trust
        trust = trust if always_adapt else where(weight_decay == 0, 1, trust)
        return p - lr * trust * u, m, v
