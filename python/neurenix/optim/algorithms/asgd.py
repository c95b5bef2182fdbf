"""Averaged stochastic gradient descent."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from ..formula import Value, maximum, where
from ..groups import Params, Scheduled
from ..limits import NOT_NEGATIVE
from ..optimizer import Optimizer
from ..options import Options
from ..states import State

if TYPE_CHECKING:
    from typing_extensions import Unpack


class ASGD(Optimizer):
    """Gradient descent that also averages its path, whose mean converges faster than its end.

        g ← g + λ·p
        p ← p·(1 − κ·ηₜ) − ηₜ·g             ηₜ = η / (1 + κ·η·(t − 1))^α
        a ← a + μₜ·(p − a)                  μₜ = 1 / max(1, t − 1 − t₀)

    Keeps one float for each parameter: the average a, `optimizer.state[param]["ax"]`. Until step t₀ + 2 it
    is p itself.

    Args:
        params: tensors, (name, tensor) pairs, a module, or dicts that define groups.
        lr: η, step size, ≥ 0.
        lambd: κ, decay of the parameters and, with α, of the step size, ≥ 0.
        alpha: α, the power by which the step size falls, ≥ 0.
        t0: t₀, the step after which averaging begins, ≥ 0.
        weight_decay: λ, L2 penalty, ≥ 0.
        **options: what every optimizer takes, see `neurenix.optim.Options`.

    Raises:
        ValueError, TypeError: for a value out of its range or parameters that cannot be optimized.

    Example:
        >>> import neurenix as nx
        >>> w = nx.Tensor([4.0], requires_grad=True)
        >>> optimizer = nx.optim.ASGD([w], lr=0.5, lambd=0, t0=0)
        >>> for gradient in (1.0, 1.0, 2.0):
        ...     w.grad = nx.Tensor([gradient])
        ...     optimizer.step()
        >>> w.tolist(), optimizer.state[w]["ax"].tolist()
        ([2.0], [2.5])

    Differs from torch: a change of lr holds at once, not one step later.

    References:
        B. Polyak, A. Juditsky, Acceleration of stochastic approximation by averaging, SIAM J. Control and
        Optimization 30(4), 1992.
    """

    states = (State("ax", role="position"),)
    limits: ClassVar = {"lambd": NOT_NEGATIVE, "alpha": NOT_NEGATIVE, "t0": NOT_NEGATIVE}

    def __init__(
        self,
        params: Params,
        lr: Scheduled = 0.01,
        lambd: Scheduled = 1e-4,
        alpha: Scheduled = 0.75,
        t0: Scheduled = 1e6,
        weight_decay: Scheduled = 0,
        **options: Unpack[Options],
    ) -> None:
        defaults = {"lr": lr, "lambd": lambd, "alpha": alpha, "t0": t0, "weight_decay": weight_decay}
        super().__init__(params, defaults, **options)

    @staticmethod
    def formula(
        p: Value,
        g: Value,
        average: Value,
        *,
        t: Value,
        lr: Value,
        lambd: Value,
        alpha: Value,
        t0: Value,
    ) -> tuple[Value, Value]:
        """The rule above, without weight decay."""
        eta = lr / (1 + lambd * lr * (t - 1)) ** alpha
        p = p * (1 - lambd * eta) - eta * g
        mu = 1 / maximum(t - 1 - t0, 1)
        return p, where(mu == 1, p, average + mu * (p - average))
