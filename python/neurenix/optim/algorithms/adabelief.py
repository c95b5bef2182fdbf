"""AdaBelief."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from ..formula import Value, debias, maximum, sqrt, where
from ..groups import Group, Params, Scheduled
from ..limits import Flag
from ..optimizer import Optimizer
from ..options import Options
from ..states import EIGHT_BITS, State
from ._moments import rectification, spread

if TYPE_CHECKING:
    from typing_extensions import Unpack


class AdaBelief(Optimizer):
    """AdaBelief: large steps where the gradient is as expected, small ones where it surprises.

        p ← p − η·λ·p
        m ← β₁·m + (1 − β₁)·g
        s ← β₂·s + (1 − β₂)·(g − m)² + ε
        p ← p − η·m̂ / (√ŝ + ε)             m̂ = m / (1 − β₁ᵗ), ŝ = s / (1 − β₂ᵗ)

    With rectify the last line is p ← p − η·r·m̂·√(1 − β₂ᵗ) / (√s + ε) with the r of `RAdam`, from the step on
    where that is known, and p ← p − η·m̂ before. Keeps two floats for each parameter (three with amsgrad).

    Args:
        params: tensors, (name, tensor) pairs, a module, or dicts that define groups.
        lr: η, step size, ≥ 0.
        betas: β₁ and β₂, decay of the two averages, each in [0, 1).
        eps: ε, ≥ 0, added to s at every step, where it accumulates, and to its root.
        weight_decay: λ, ≥ 0; each step shrinks the parameters by the factor 1 − ηλ.
        amsgrad: divide by the largest s so far instead of the current one.
        rectify: begin as `RAdam` does.
        degenerated_to_sgd: with rectify: gradient descent with momentum before r is known, instead of no
            steps at all.
        **options: what every optimizer takes, see `neurenix.optim.Options`.

    Raises:
        ValueError, TypeError: for a value out of its range or parameters that cannot be optimized.

    Example:
        >>> import neurenix as nx
        >>> w = nx.Tensor([1.0, 2.0], requires_grad=True)
        >>> optimizer = nx.optim.AdaBelief([w], lr=0.25)
        >>> (w * w).sum().backward()
        >>> optimizer.step()
        >>> [round(x, 4) for x in w.tolist()]
        [0.5, 1.0]

    Differs from the reference: amsgrad counts with rectify, too.

    References:
        J. Zhuang et al., AdaBelief optimizer: adapting stepsizes by the belief in observed gradients, arXiv
        2010.07468.
    """

    states = ("exp_avg", State("exp_avg_var", role="square"))
    decay_mode: ClassVar = "decoupled"
    limits: ClassVar = {"amsgrad": Flag(), "rectify": Flag(), "degenerated_to_sgd": Flag()}

    def __init__(
        self,
        params: Params,
        lr: Scheduled = 0.001,
        betas: tuple[Scheduled, Scheduled] = (0.9, 0.999),
        eps: Scheduled = 1e-16,
        weight_decay: Scheduled = 0.0,
        amsgrad: bool = False,
        rectify: bool = True,
        degenerated_to_sgd: bool = True,
        **options: Unpack[Options],
    ) -> None:
        defaults = {
            "lr": lr,
            "betas": betas,
            "eps": eps,
            "weight_decay": weight_decay,
            "amsgrad": amsgrad,
            "rectify": rectify,
            "degenerated_to_sgd": degenerated_to_sgd,
        }
        super().__init__(params, defaults, **options)

    def states_for(self, group: Group, variant: Any = None) -> Sequence[str | State]:
        """Two averages, and with amsgrad the largest second one."""
        return (
            (*self.states, State("max_exp_avg_var", role="square", formats=EIGHT_BITS))
            if group["amsgrad"]
            else self.states
        )

    @staticmethod
    def formula(
        p: Value,
        g: Value,
        m: Value,
        s: Value,
        *top: Value,
        t: Value,
        lr: Value,
        betas: Value,
        eps: Value,
        rectify: bool,
        degenerated_to_sgd: bool,
    ) -> tuple[Value, ...]:
        """The rule above, without weight decay; `top` is the largest s, if it counts."""
        beta1, beta2 = betas
        m = m + (1 - beta1) * (g - m)
        s = beta2 * s + (1 - beta2) * (g - m) * (g - m) + eps
        top = tuple(maximum(old, s) for old in top)
        used, rate = top[0] if top else s, lr / debias(beta1, t)
        if not rectify:
            return p - rate * m / (spread(used, beta2, t) + eps), m, s, *top
        length, ratio = rectification(beta2, t)
        known = length >= 5
        rate = rate * where(known, ratio * sqrt(debias(beta2, t)), float(degenerated_to_sgd))
        return p - rate * m / where(known, sqrt(used) + eps, 1), m, s, *top
