"""D-Adaptation for SGD."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from ..formula import Value, everywhere, global_norm, total, where
from ..groups import Params, Scheduled
from ..limits import FRACTION, POSITIVE, Fixed, Number, OrNone
from ..optimizer import Optimizer
from ..options import Options
from ..states import State
from ._distance import estimate

if TYPE_CHECKING:
    from typing_extensions import Unpack


class DAdaptSGD(Optimizer):
    """SGD that finds its learning rate by itself, as an estimate d of the distance to the solution.

        δ = d·η / ‖first gradient‖
        n ← n + δ·⟨g, s⟩
        s ← s + δ·g
        p ← μ·p + (1 − μ)·(x₀ − s)          x₀ is p before the first step
        d ← max(d, 2·n / ‖s‖)

    Leave η at 1. Norms and products go over all tensors. Keeps two floats for each parameter. d and its parts
    are numbers that all tensors of the optimizer share; groups with another η take their share of it.

    Args:
        params: tensors, (name, tensor) pairs, a module, or dicts that define groups.
        lr: η, ≥ 0, multiplies d.
        momentum: μ, in [0, 1).
        weight_decay: λ, L2 penalty, ≥ 0.
        d0: first guess of d, > 0; too small costs only a few steps.
        growth_rate: by which factor d may grow in a step, ≥ 1; None for any.
        **options: what every optimizer takes, see `neurenix.optim.Options`.

    Raises:
        ValueError, TypeError: for a value out of its range or parameters that cannot be optimized.

    Example:
        >>> import neurenix as nx
        >>> w = nx.Tensor([1.0, 2.0], requires_grad=True)
        >>> optimizer = nx.optim.DAdaptSGD([w])
        >>> for _ in range(200):
        ...     optimizer.zero_grad()
        ...     loss = (w * w).sum()
        ...     loss.backward()
        ...     optimizer.step()
        >>> loss.item() < 0.1
        True

    Differs from the reference: weight decay is also part of the first gradient's norm.

    References:
        A. Defazio, K. Mishchenko, Learning-rate-free learning by D-Adaptation, arXiv 2301.07733, algorithm 4.
    """

    states = (
        State("s", role="position"),
        State("x0", init="param", role="position"),
        State("d", kind="scalar", init=lambda group: group["d0"]),
        State("numerator", kind="scalar"),
        State("g0_norm", kind="scalar"),
    )
    limits: ClassVar = {"momentum": FRACTION, "d0": Fixed(POSITIVE), "growth_rate": OrNone(Number(1))}

    def __init__(
        self,
        params: Params,
        lr: Scheduled = 1.0,
        momentum: Scheduled = 0.0,
        weight_decay: Scheduled = 0.0,
        d0: float = 1e-6,
        growth_rate: Scheduled | None = None,
        **options: Unpack[Options],
    ) -> None:
        defaults = {
            "lr": lr,
            "momentum": momentum,
            "weight_decay": weight_decay,
            "d0": d0,
            "growth_rate": growth_rate,
        }
        super().__init__(params, defaults, **options)

    @staticmethod
    def formula(
        p: Value,
        g: Value,
        s: Value,
        x0: Value,
        d: Value,
        n: Value,
        g0: Value,
        *,
        t: Value,
        lr: Value,
        momentum: Value,
        growth_rate: Value | None,
    ) -> tuple[Value, ...]:
        """The rule above, without weight decay."""
        d = everywhere(d, largest=True)
        g0 = where(t == 1, global_norm(g), g0)
        rate = where(g0 > 0, d * lr / where(g0 > 0, g0, 1), 0)
        n = n + rate * total(g * s)
        s = s + rate * g
        new = estimate(d, 2 * n, global_norm(s), growth_rate)
        return p + (1 - momentum) * (x0 - s - p), s, x0, new, n, g0
