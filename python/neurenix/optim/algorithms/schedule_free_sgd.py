"""Schedule-Free SGD."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..formula import Value
from ..groups import Params, Scheduled
from ..options import Options
from ..states import State
from ._schedule_free import SUMS, Averaging, averaged, warmed

if TYPE_CHECKING:
    from typing_extensions import Unpack


class ScheduleFreeSGD(Averaging):
    """SGD with averaged weights in place of a schedule, for runs without an end.

        κ = η·min(1, t / warmup_steps)
        u = g + λ·y                          g is the gradient at y, which the parameters hold
        c = w / Σw                           w = tʳ·(the largest κ so far)^weight_lr_power
        y ← y + c·(z − y) − κ·(1 − μ·(1 − c))·u
        z ← z − κ·u                          z begins as y; the weights to use are x = (y − (1 − μ)·z)/μ

    Needs no schedule and no end. Call `optimizer.eval()` before the weights are tested or saved and
    `optimizer.train()` before training goes on; statistics of batch normalization must be gathered anew after
    `eval()`. Keeps one float for each parameter.

    Args:
        params: tensors, (name, tensor) pairs, a module, or dicts that define groups.
        lr: η, step size, ≥ 0; good ones are larger than those of SGD.
        momentum: μ, where gradients are taken between z (0) and x (1), in (0, 1).
        weight_decay: λ, ≥ 0, at y.
        warmup_steps: steps over which η rises from 0, ≥ 0; here and not in a schedule.
        r: power of the step in the weights of the average, ≥ 0.
        weight_lr_power: power of the largest η so far in these weights, ≥ 0.
        **options: what every optimizer takes, see `neurenix.optim.Options`.

    Raises:
        ValueError, TypeError: for a value out of its range or parameters that cannot be optimized.

    Example:
        >>> import neurenix as nx
        >>> w = nx.Tensor([1.0, 2.0], requires_grad=True)
        >>> optimizer = nx.optim.ScheduleFreeSGD([w], lr=0.5)
        >>> for _ in range(50):
        ...     optimizer.zero_grad()
        ...     (w * w).sum().backward()
        ...     optimizer.step()
        >>> optimizer.eval()
        >>> (w * w).sum().item() < 0.1
        True
        >>> optimizer.train()

    References:
        A. Defazio et al., The road less scheduled, arXiv 2405.15682.
    """

    states = (State("z", init="param", role="position"), *SUMS)

    def __init__(
        self,
        params: Params,
        lr: Scheduled = 1.0,
        momentum: Scheduled = 0.9,
        weight_decay: Scheduled = 0.0,
        warmup_steps: int = 0,
        r: Scheduled = 0.0,
        weight_lr_power: Scheduled = 2.0,
        **options: Unpack[Options],
    ) -> None:
        defaults = {
            "lr": lr,
            "momentum": momentum,
            "weight_decay": weight_decay,
            "warmup_steps": warmup_steps,
            "r": r,
            "weight_lr_power": weight_lr_power,
        }
        super().__init__(params, defaults, **options)

    @staticmethod
    def formula(
        y: Value,
        g: Value,
        z: Value,
        sum: Value,
        lr_max: Value,
        *,
        t: Value,
        lr: Value,
        momentum: Value,
        weight_decay: Value,
        warmup_steps: Value,
        r: Value,
        weight_lr_power: Value,
    ) -> tuple[Value, ...]:
        """The rule above."""
        rate = warmed(t, lr, warmup_steps)
        how = {"rate": rate, "beta": momentum, "r": r, "weight_lr_power": weight_lr_power}
        return averaged(y, g + weight_decay * y, z, sum, lr_max, t=t, **how)
