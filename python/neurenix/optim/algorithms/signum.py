"""Signum."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from ..formula import Value, sign
from ..groups import Group, Params, Scheduled
from ..limits import FRACTION
from ..optimizer import Optimizer
from ..options import Options

if TYPE_CHECKING:
    from typing_extensions import Unpack


class Signum(Optimizer):
    """Signum: the sign of the momentum; with momentum 0 it is SignSGD.

        p ← p − η·λ·p
        m ← μ·m + (1 − μ)·g
        p ← p − η·sign(m)

    Keeps one float for each parameter, none without momentum. Signs take one bit to send and are indifferent
    to the gradient's scale and to outliers.

    Args:
        params: tensors, (name, tensor) pairs, a module, or dicts that define groups.
        lr: η, step size, ≥ 0.
        momentum: μ, decay of the average, in [0, 1); 0 uses the sign of the gradient itself.
        weight_decay: λ, ≥ 0; each step shrinks the parameters by the factor 1 − ηλ.
        **options: what every optimizer takes, see `neurenix.optim.Options`.

    Raises:
        ValueError, TypeError: for a value out of its range or parameters that cannot be optimized.

    Example:
        >>> import neurenix as nx
        >>> w = nx.Tensor([1.0, 2.0], requires_grad=True)
        >>> optimizer = nx.optim.Signum([w], lr=0.25)
        >>> (w * w).sum().backward()
        >>> optimizer.step()
        >>> [round(x, 4) for x in w.tolist()]
        [0.75, 1.75]

    References:
        J. Bernstein et al., signSGD: compressed optimisation for non-convex problems, arXiv 1802.04434.
    """

    decay_mode: ClassVar = "decoupled"
    limits: ClassVar = {"momentum": FRACTION}

    def __init__(
        self,
        params: Params,
        lr: Scheduled = 0.001,
        momentum: Scheduled = 0.9,
        weight_decay: Scheduled = 0.0,
        **options: Unpack[Options],
    ) -> None:
        defaults = {"lr": lr, "momentum": momentum, "weight_decay": weight_decay}
        super().__init__(params, defaults, **options)

    def states_for(self, group: Group, variant: Any = None) -> Sequence[str]:
        """The average, unless the momentum is 0."""
        return ("momentum_buffer",) if group["momentum"] != 0 else ()

    @staticmethod
    def formula(p: Value, g: Value, *m: Value, lr: Value, momentum: Value) -> tuple[Value, ...]:
        """The rule above, without weight decay; without momentum it has no m."""
        if not m:
            return (p - lr * sign(g),)
        average = momentum * m[0] + (1 - momentum) * g
        return p - lr * sign(average), average
