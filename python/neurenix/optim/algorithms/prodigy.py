"""Prodigy."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from neurenix._phynexus import Tensor

from ..formula import Value, abs_, debias, everywhere, maximum, minimum, sqrt, total, where
from ..groups import Group, Params, Scheduled
from ..limits import FRACTION, POSITIVE, Fixed, Flag, Number, OrNone, Whole
from ..optimizer import Optimizer
from ..options import Options
from ..states import Kind, State, View
from ._moments import EXP_AVG_SQ

if TYPE_CHECKING:
    from typing_extensions import Unpack


class Prodigy(Optimizer):
    """Prodigy: Adam that finds its learning rate by itself, as a multiple d of how far the weights travel.

        δ = d·η                              (with use_bias_correction times √(1 − β₂ᵗ) / (1 − β₁ᵗ))
        n ← β₃·n + d/d₀·δ·⟨g, p₀ − p⟩       p₀ is p before the first step
        m ← β₁·m + (1 − β₁)·d·g
        v ← β₂·v + (1 − β₂)·d²·g²
        s ← β₃·s + d/d₀·δ·g
        d ← the largest of d_coef·n/‖s‖₁ so far
        p ← p − δ·(m / (√v + d·ε) + λ·p)

    Leave η at 1, or let it only fall in the end (as a cosine does). Keeps four floats for each parameter, with
    slice_p two and two for slice_p of them. d and its parts are numbers that all tensors of the optimizer
    share; groups with another η take their share of it.

    Args:
        params: tensors, (name, tensor) pairs, a module, or dicts that define groups.
        lr: η, ≥ 0, multiplies d.
        betas: β₁ and β₂, decay of the two averages, each in [0, 1).
        beta3: β₃, decay of n and s, in [0, 1); None is √β₂.
        eps: ε, ≥ 0, bounds the step where gradients vanish.
        weight_decay: λ, ≥ 0; each step also takes δ·λ·p away.
        use_bias_correction: correct the averages for their beginning.
        safeguard_warmup: leave η out of s, so that a warm-up of η does not inflate d.
        d0: first guess of d, > 0; too small costs only a few steps.
        d_coef: multiplies what d is estimated to be, > 0; the knob to turn.
        growth_rate: by which factor d may grow in a step, ≥ 1; None for any.
        slice_p: estimate d from every so manieth element only, ≥ 1, which saves memory; 11 is reasonable. For each
            tensor it is the largest number up to this that divides its size.
        **options: what every optimizer takes, see `neurenix.optim.Options`.

    Raises:
        ValueError, TypeError: for a value out of its range or parameters that cannot be optimized.

    Example:
        >>> import neurenix as nx
        >>> w = nx.Tensor([1.0, 2.0], requires_grad=True)
        >>> optimizer = nx.optim.Prodigy([w])
        >>> for _ in range(50):
        ...     optimizer.zero_grad()
        ...     loss = (w * w).sum()
        ...     loss.backward()
        ...     optimizer.step()
        >>> loss.item() < 0.1
        True

    References:
        K. Mishchenko, A. Defazio, Prodigy: an expeditiously adaptive parameter-free learner, arXiv
        2306.06101, algorithm 4.
    """

    limits: ClassVar = {
        "beta3": OrNone(FRACTION),
        "use_bias_correction": Flag(),
        "safeguard_warmup": Flag(),
        "d0": Fixed(POSITIVE),
        "d_coef": POSITIVE,
        "growth_rate": OrNone(Number(1)),
        "slice_p": Whole(1),
    }

    def __init__(
        self,
        params: Params,
        lr: Scheduled = 1.0,
        betas: tuple[Scheduled, Scheduled] = (0.9, 0.999),
        beta3: Scheduled | None = None,
        eps: Scheduled = 1e-8,
        weight_decay: Scheduled = 0.0,
        use_bias_correction: bool = False,
        safeguard_warmup: bool = False,
        d0: float = 1e-6,
        d_coef: Scheduled = 1.0,
        growth_rate: Scheduled | None = None,
        slice_p: int = 1,
        **options: Unpack[Options],
    ) -> None:
        defaults = {
            "lr": lr,
            "betas": betas,
            "beta3": beta3,
            "eps": eps,
            "weight_decay": weight_decay,
            "use_bias_correction": use_bias_correction,
            "safeguard_warmup": safeguard_warmup,
            "d0": d0,
            "d_coef": d_coef,
            "growth_rate": growth_rate,
            "slice_p": slice_p,
        }
        super().__init__(params, defaults, **options)

    def variant(self, param: Tensor, group: Group) -> int:
        """How far the elements that d is estimated from are apart."""
        size = param.numel()
        return next(n for n in range(min(group["slice_p"], size), 0, -1) if size % n == 0)

    def view(self, param: Tensor, group: Group) -> View:
        """As rows, each with one element in s and p₀; the whole parameter without slices."""
        apart = self.variant(param, group)
        return super().view(param, group) if apart == 1 else (1, param.numel() // apart, apart)

    def states_for(self, group: Group, variant: Any = None) -> Sequence[str | State]:
        """The averages, what d is estimated from, and d."""
        kind: Kind = "full" if variant == 1 else "row"
        return (
            State("exp_avg", formats=("bfloat16", "int8")),  # d · g, and d begins tiny
            EXP_AVG_SQ,
            State("s", kind=kind, stored="own"),
            State("p0", kind=kind, init="param", role="position"),
            State("d", kind="scalar", init=lambda group: group["d0"]),
            State("d_max", kind="scalar", init=lambda group: group["d0"]),
            State("d_numerator", kind="scalar"),
        )

    @staticmethod
    def formula(
        p: Value,
        g: Value,
        m: Value,
        v: Value,
        s: Value,
        p0: Value,
        d: Value,
        d_max: Value,
        n: Value,
        *,
        t: Value,
        lr: Value,
        betas: Value,
        beta3: Value | None,
        eps: Value,
        weight_decay: Value,
        use_bias_correction: bool,
        safeguard_warmup: bool,
        d0: Value,
        d_coef: Value,
        growth_rate: Value | None,
        variant: int,
    ) -> tuple[Value, ...]:
        """The rule above."""
        beta1, beta2 = betas
        beta3 = sqrt(beta2) if beta3 is None else beta3
        d, d_max = everywhere(d, largest=True), everywhere(d_max, largest=True)
        rate = d * lr
        if use_bias_correction:
            rate = rate * sqrt(debias(beta2, t)) / debias(beta1, t)
        seen = (
            1.0 if variant == 1 else where(p.tape.position() % variant == 0, 1.0, 0.0)
        )  # the first of each row
        n = beta3 * n + d / d0 * rate * total(seen * g * (p0 - p))
        m = beta1 * m + (1 - beta1) * d * g
        v = beta2 * v + (1 - beta2) * d * d * g * g
        here = g if variant == 1 else total(seen * g, axis=-1)
        s = beta3 * s + d / d0 * (d if safeguard_warmup else rate) * here
        length = everywhere(total(seen * abs_(s)))
        known = length > 0
        guess = where(known, d_coef * everywhere(n) / where(known, length, 1), d)
        d_max = maximum(d_max, guess)
        new = where(d == d0, maximum(d, guess), d)
        new = d_max if growth_rate is None else minimum(d_max, new * growth_rate)
        return p - rate * (m / (sqrt(v) + new * eps) + weight_decay * p), m, v, s, p0, new, d_max, n
