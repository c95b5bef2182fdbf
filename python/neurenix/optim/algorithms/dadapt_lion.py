"""D-Adaptation for Lion."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from ..formula import Value, abs_, everywhere, sign, sqrt, total
from ..groups import Params, Scheduled
from ..limits import POSITIVE, Fixed
from ..optimizer import Optimizer
from ..options import Options
from ..states import State
from ._distance import estimate

if TYPE_CHECKING:
    from typing_extensions import Unpack


class DAdaptLion(Optimizer):
    """Lion that finds its learning rate by itself, as an estimate d of the distance to the solution.

        δ = d·η
        u = sign(β₁·m + (1 − β₁)·g)
        p ← p − δ·(u + λ·p)
        m ← β₂·m + (1 − β₂)·δ·g
        n ← √β₂·n + (1 − √β₂)·δ·⟨u, s⟩
        s ← √β₂·s + (1 − √β₂)·δ·u
        d ← max(d, n / ((1 − √β₂)·‖s‖₁))

    Leave η at 1. Keeps two floats for each parameter. d and its parts are numbers that all tensors of the
    optimizer share; groups with another η take their share of it.

    Args:
        params: tensors, (name, tensor) pairs, a module, or dicts that define groups.
        lr: η, ≥ 0, multiplies d.
        betas: β₁ and β₂, weight of the average in the step and its decay, each in [0, 1).
        weight_decay: λ, ≥ 0; each step also takes δ·λ·p away.
        d0: first guess of d, > 0; too small costs only a few steps.
        **options: what every optimizer takes, see `neurenix.optim.Options`.

    Raises:
        ValueError, TypeError: for a value out of its range or parameters that cannot be optimized.

    Example:
        >>> import neurenix as nx
        >>> w = nx.Tensor([1.0, 2.0], requires_grad=True)
        >>> optimizer = nx.optim.DAdaptLion([w])
        >>> for _ in range(200):
        ...     optimizer.zero_grad()
        ...     loss = (w * w).sum()
        ...     loss.backward()
        ...     optimizer.step()
        >>> loss.item() < 4.9
        True

    References:
        A. Defazio, K. Mishchenko, Learning-rate-free learning by D-Adaptation, arXiv 2301.07733.
    """

    states = (
        "exp_avg",
        State("s", stored="own"),  # d is the largest that follows from it
        State("d", kind="scalar", init=lambda group: group["d0"]),
        State("numerator", kind="scalar"),
    )
    limits: ClassVar = {"d0": Fixed(POSITIVE)}

    def __init__(
        self,
        params: Params,
        lr: Scheduled = 1.0,
        betas: tuple[Scheduled, Scheduled] = (0.9, 0.99),
        weight_decay: Scheduled = 0.0,
        d0: float = 1e-6,
        **options: Unpack[Options],
    ) -> None:
        defaults = {"lr": lr, "betas": betas, "weight_decay": weight_decay, "d0": d0}
        super().__init__(params, defaults, **options)

    @staticmethod
    def formula(
        p: Value,
        g: Value,
        m: Value,
        s: Value,
        d: Value,
        n: Value,
        *,
        lr: Value,
        betas: Value,
        weight_decay: Value,
    ) -> tuple[Value, ...]:
        """The rule above."""
        beta1, beta2 = betas
        beta3 = sqrt(beta2)
        d = everywhere(d, largest=True)
        rate = d * lr
        u = sign(beta1 * m + (1 - beta1) * g)
        m = beta2 * m + (1 - beta2) * rate * g
        n = beta3 * n + (1 - beta3) * rate * total(u * s)
        s = beta3 * s + (1 - beta3) * rate * u
        new = estimate(d, n, (1 - beta3) * everywhere(total(abs_(s))), None)
        return p - rate * (u + weight_decay * p), m, s, new, n
