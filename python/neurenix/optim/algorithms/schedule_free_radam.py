"""Schedule-Free RAdam."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from ..formula import Value, where
from ..groups import Params, Scheduled
from ..limits import Flag
from ..options import Options
from ..states import State
from ._moments import EXP_AVG_SQ, rectification, spread
from ._schedule_free import SUMS, Averaging, averaged

if TYPE_CHECKING:
    from typing_extensions import Unpack


class ScheduleFreeRAdam(Averaging):
    """Schedule-Free AdamW with RAdam's warm-up, which needs no number of steps.

        κ = η·r                              r as in `RAdam`; before it is known 0, or 1 if not silent_sgd_phase
        v ← β₂·v + (1 − β₂)·g²               g is the gradient at y, which the parameters hold
        u = g / (√v̂ + ε) + λ·y               v̂ = v / (1 − β₂ᵗ); before r is known g + λ·y
        c = w / Σw                           w = tʳ·(the largest κ so far)^weight_lr_power
        y ← y + c·(z − y) − κ·(1 − β₁·(1 − c))·u
        z ← z − κ·u                          z begins as y; the weights to use are x = (y − (1 − β₁)·z)/β₁

    Needs no schedule and no end. Call `optimizer.eval()` before the weights are tested or saved and
    `optimizer.train()` before training goes on; statistics of batch normalization must be gathered anew after
    `eval()`. Keeps two floats for each parameter.

    Args:
        params: tensors, (name, tensor) pairs, a module, or dicts that define groups.
        lr: η, step size, ≥ 0; good ones are larger than those of AdamW.
        betas: β₁, where gradients are taken between z (0) and x (1), in (0, 1), and β₂, decay of v, in [0,
            1).
        eps: ε, ≥ 0, bounds the step where gradients vanish.
        weight_decay: λ, ≥ 0, at y.
        r: power of the step in the weights of the average, ≥ 0.
        weight_lr_power: power of the largest η so far in these weights, ≥ 0.
        silent_sgd_phase: no steps before r is known, else those of gradient descent.
        **options: what every optimizer takes, see `neurenix.optim.Options`.

    Raises:
        ValueError, TypeError: for a value out of its range or parameters that cannot be optimized.

    Example:
        >>> import neurenix as nx
        >>> w = nx.Tensor([1.0, 2.0], requires_grad=True)
        >>> optimizer = nx.optim.ScheduleFreeRAdam([w], lr=0.5)
        >>> for _ in range(100):
        ...     optimizer.zero_grad()
        ...     (w * w).sum().backward()
        ...     optimizer.step()
        >>> optimizer.eval()
        >>> (w * w).sum().item() < 0.1
        True
        >>> optimizer.train()

    References:
        A. Defazio et al., The road less scheduled, arXiv 2405.15682.
        L. Liu et al., On the variance of the adaptive learning rate and beyond, arXiv 1908.03265.
    """

    states = (State("z", init="param", role="position"), EXP_AVG_SQ, *SUMS)
    limits: ClassVar = {"silent_sgd_phase": Flag()}

    def __init__(
        self,
        params: Params,
        lr: Scheduled = 0.0025,
        betas: tuple[Scheduled, Scheduled] = (0.9, 0.999),
        eps: Scheduled = 1e-8,
        weight_decay: Scheduled = 0.0,
        r: Scheduled = 0.0,
        weight_lr_power: Scheduled = 2.0,
        silent_sgd_phase: bool = True,
        **options: Unpack[Options],
    ) -> None:
        defaults = {
            "lr": lr,
            "betas": betas,
            "eps": eps,
            "weight_decay": weight_decay,
            "r": r,
            "weight_lr_power": weight_lr_power,
            "silent_sgd_phase": silent_sgd_phase,
        }
        super().__init__(params, defaults, **options)

    @staticmethod
    def formula(
        y: Value,
        g: Value,
        z: Value,
        v: Value,
        sum: Value,
        lr_max: Value,
        *,
        t: Value,
        lr: Value,
        betas: Value,
        eps: Value,
        weight_decay: Value,
        r: Value,
        weight_lr_power: Value,
        silent_sgd_phase: bool,
    ) -> tuple[Value, ...]:
        """The rule above."""
        beta1, beta2 = betas
        v = beta2 * v + (1 - beta2) * g * g
        length, ratio = rectification(beta2, t)
        known = length > 4
        u = g / where(known, spread(v, beta2, t) + eps, 1) + weight_decay * y
        rate = lr * where(known, ratio, float(not silent_sgd_phase))
        how = {"rate": rate, "beta": beta1, "r": r, "weight_lr_power": weight_lr_power}
        y, z, sum, lr_max = averaged(y, u, z, sum, lr_max, t=t, **how)
        return y, z, v, sum, lr_max
