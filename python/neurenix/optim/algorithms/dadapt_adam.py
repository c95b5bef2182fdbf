"""D-Adaptation for Adam."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from ..formula import Value, abs_, debias, everywhere, sqrt, total
from ..groups import Params, Scheduled
from ..limits import POSITIVE, Fixed, Flag, Number, OrNone
from ..optimizer import Optimizer
from ..options import Options
from ..states import EIGHT_BITS, State
from ._distance import estimate

if TYPE_CHECKING:
    from typing_extensions import Unpack


class DAdaptAdam(Optimizer):
    """Adam that finds its learning rate by itself, as an estimate d of the distance to the solution.

        δ = d·η                              (with use_bias_correction times √(1 − β₂ᵗ) / (1 − β₁ᵗ))
        n ← √β₂·n + (1 − √β₂)·δ·⟨g, s / (√v + ε)⟩
        m ← β₁·m + (1 − β₁)·δ·g
        v ← β₂·v + (1 − β₂)·g²
        s ← √β₂·s + (1 − √β₂)·δ·g
        p ← p − m / (√v + ε) − δ·λ·p
        d ← max(d, n / ((1 − √β₂)·‖s‖₁))

    Leave η at 1. `Prodigy` finds larger d sooner. Keeps three floats for each parameter. d and its parts are
    numbers that all tensors of the optimizer share; groups with another η take their share of it.

    Args:
        params: tensors, (name, tensor) pairs, a module, or dicts that define groups.
        lr: η, ≥ 0, multiplies d.
        betas: β₁ and β₂, decay of the two averages, each in [0, 1).
        eps: ε, ≥ 0, bounds the step where gradients vanish.
        weight_decay: λ, ≥ 0; each step also takes δ·λ·p away.
        use_bias_correction: correct the averages for their beginning.
        d0: first guess of d, > 0; too small costs only a few steps.
        growth_rate: by which factor d may grow in a step, ≥ 1; None for any.
        **options: what every optimizer takes, see `neurenix.optim.Options`.

    Raises:
        ValueError, TypeError: for a value out of its range or parameters that cannot be optimized.

    Example:
        >>> import neurenix as nx
        >>> w = nx.Tensor([1.0, 2.0], requires_grad=True)
        >>> optimizer = nx.optim.DAdaptAdam([w])
        >>> for _ in range(200):
        ...     optimizer.zero_grad()
        ...     loss = (w * w).sum()
        ...     loss.backward()
        ...     optimizer.step()
        >>> loss.item() < 4.9
        True

    References:
        A. Defazio, K. Mishchenko, Learning-rate-free learning by D-Adaptation, arXiv 2301.07733, algorithm 5.
    """

    states = (
        State("exp_avg", formats=EIGHT_BITS),
        State("exp_avg_sq", role="square", formats=EIGHT_BITS),
        State("s", stored="own"),  # d is the largest that follows from it
        State("d", kind="scalar", init=lambda group: group["d0"]),
        State("numerator", kind="scalar"),
    )
    limits: ClassVar = {
        "use_bias_correction": Flag(),
        "d0": Fixed(POSITIVE),
        "growth_rate": OrNone(Number(1)),
    }

    def __init__(
        self,
        params: Params,
        lr: Scheduled = 1.0,
        betas: tuple[Scheduled, Scheduled] = (0.9, 0.999),
        eps: Scheduled = 1e-8,
        weight_decay: Scheduled = 0.0,
        use_bias_correction: bool = False,
        d0: float = 1e-6,
        growth_rate: Scheduled | None = None,
        **options: Unpack[Options],
    ) -> None:
        defaults = {
            "lr": lr,
            "betas": betas,
            "eps": eps,
            "weight_decay": weight_decay,
            "use_bias_correction": use_bias_correction,
            "d0": d0,
            "growth_rate": growth_rate,
        }
        super().__init__(params, defaults, **options)

    @staticmethod
    def formula(
        p: Value,
        g: Value,
        m: Value,
        v: Value,
        s: Value,
        d: Value,
        n: Value,
        *,
        t: Value,
        lr: Value,
        betas: Value,
        eps: Value,
        weight_decay: Value,
        use_bias_correction: bool,
        growth_rate: Value | None,
    ) -> tuple[Value, ...]:
        """The rule above."""
        beta1, beta2 = betas
        beta3 = sqrt(beta2)
        d = everywhere(d, largest=True)
        rate = d * lr
        if use_bias_correction:
            rate = rate * sqrt(debias(beta2, t)) / debias(beta1, t)
        n = beta3 * n + (1 - beta3) * rate * total(g * s / (sqrt(v) + eps))
        m = beta1 * m + (1 - beta1) * rate * g
        v = beta2 * v + (1 - beta2) * g * g
        s = beta3 * s + (1 - beta3) * rate * g
        new = estimate(d, n, (1 - beta3) * everywhere(total(abs_(s))), growth_rate)
        return p - m / (sqrt(v) + eps) - rate * weight_decay * p, m, v, s, new, n
