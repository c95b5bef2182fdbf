"""AdEMAMix."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, ClassVar

from ..formula import Value, debias, exp, log, minimum, where
from ..groups import Params, Scheduled
from ..limits import FRACTION, NOT_NEGATIVE, Each, Number, OrNone
from ..optimizer import Optimizer
from ..options import Options
from ._moments import EXP_AVG_SQ, moments, spread

if TYPE_CHECKING:
    from typing_extensions import Unpack


def half_life(beta: Value) -> Value:
    """How many steps an average with decay `beta` takes to forget half of a gradient, less one."""
    return math.log(0.5) / log(beta + 1e-8) - 1


class AdEMAMix(Optimizer):
    """AdEMAMix: Adam that also remembers very old gradients, for long runs.

        m ← β₁·m + (1 − β₁)·g
        n ← β₃(t)·n + (1 − β₃(t))·g
        v ← β₂·v + (1 − β₂)·g²
        p ← p − η·((m̂ + α(t)·n) / (√v̂ + ε) + λ·p)     m̂ = m / (1 − β₁ᵗ), v̂ = v / (1 − β₂ᵗ)

    α(t) grows linearly from 0 to α over alpha_warmup steps; β₃(t) goes from β₁ to β₃ over beta3_warmup steps
    so that the half-life of n grows linearly. Both should be the length of the run, without them n can be too
    large for the first steps. Keeps three floats for each parameter.

    Args:
        params: tensors, (name, tensor) pairs, a module, or dicts that define groups.
        lr: η, step size, ≥ 0.
        betas: β₁, β₂ and β₃, decay of the fast average, of the squares and of the slow average, each in [0,
            1).
        alpha: α, weight of the slow average, ≥ 0.
        beta3_warmup: steps, ≥ 1, that β₃(t) takes to β₃; None begins there.
        alpha_warmup: steps, ≥ 1, that α(t) takes to α; None begins there.
        eps: ε, ≥ 0, bounds the step where gradients vanish.
        weight_decay: λ, ≥ 0; each step also takes η·λ·p away.
        **options: what every optimizer takes, see `neurenix.optim.Options`.

    Raises:
        ValueError, TypeError: for a value out of its range or parameters that cannot be optimized.

    Example:
        >>> import neurenix as nx
        >>> w = nx.Tensor([1.0, 2.0], requires_grad=True)
        >>> optimizer = nx.optim.AdEMAMix([w], lr=0.25)
        >>> (w * w).sum().backward()
        >>> optimizer.step()
        >>> [round(x, 4) for x in w.tolist()]
        [0.7499, 1.7499]

    References:
        M. Pagliardini, P. Ablin, D. Grangier, The AdEMAMix optimizer: better, faster, older, arXiv
        2409.03137, algorithm 1.
    """

    states = ("exp_avg_fast", "exp_avg_slow", EXP_AVG_SQ)
    decay_mode: ClassVar = "decoupled_after"
    limits: ClassVar = {
        "betas": Each(FRACTION, 3),
        "alpha": NOT_NEGATIVE,
        "beta3_warmup": OrNone(Number(1)),
        "alpha_warmup": OrNone(Number(1)),
    }

    def __init__(
        self,
        params: Params,
        lr: Scheduled = 0.001,
        betas: tuple[Scheduled, Scheduled, Scheduled] = (0.9, 0.999, 0.9999),
        alpha: Scheduled = 2.0,
        beta3_warmup: Scheduled | None = None,
        alpha_warmup: Scheduled | None = None,
        eps: Scheduled = 1e-8,
        weight_decay: Scheduled = 0.0,
        **options: Unpack[Options],
    ) -> None:
        defaults = {
            "lr": lr,
            "betas": betas,
            "alpha": alpha,
            "beta3_warmup": beta3_warmup,
            "alpha_warmup": alpha_warmup,
            "eps": eps,
            "weight_decay": weight_decay,
        }
        super().__init__(params, defaults, **options)

    @staticmethod
    def formula(
        p: Value,
        g: Value,
        m: Value,
        n: Value,
        v: Value,
        *,
        t: Value,
        lr: Value,
        betas: Value,
        alpha: Value,
        beta3_warmup: Value | None,
        alpha_warmup: Value | None,
        eps: Value,
    ) -> tuple[Value, ...]:
        """The rule above, without weight decay."""
        beta1, beta2, beta3 = betas
        if alpha_warmup is not None:
            alpha = alpha * minimum(t / alpha_warmup, 1)
        if beta3_warmup is not None:
            done = t / beta3_warmup
            life = (1 - done) * half_life(beta1) + done * half_life(beta3)
            beta3 = where(done < 1, exp(math.log(0.5) / (life + 1)), beta3)
        m, v = moments(g, m, v, (beta1, beta2))
        n = n + (1 - beta3) * (g - n)
        return p - lr * (m / debias(beta1, t) + alpha * n) / (spread(v, beta2, t) + eps), m, n, v
