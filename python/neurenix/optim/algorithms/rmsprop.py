"""RMSprop."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from ..formula import Value, maximum, sqrt
from ..groups import Group, Params, Scheduled
from ..limits import FRACTION, Flag
from ..optimizer import Optimizer
from ..options import Options
from ..states import EIGHT_BITS, State

if TYPE_CHECKING:
    from typing_extensions import Unpack


class RMSprop(Optimizer):
    """RMSprop: gradients divided by their recent root mean square.

        g ← g + λ·p
        v ← α·v + (1 − α)·g²
        a ← α·a + (1 − α)·g                 centered: v − a² in place of v below, at least 0
        d = g / (√v + ε)
        b ← μ·b + d                         with momentum, else b = d
        p ← p − η·b

    Keeps one float for each parameter, one more with momentum and one more if centered. The averages start
    at zero without correction, so first steps are larger than later ones.

    Args:
        params: tensors, (name, tensor) pairs, a module, or dicts that define groups.
        lr: η, step size, ≥ 0.
        alpha: α, decay of the averages, in [0, 1).
        eps: ε, ≥ 0, bounds the step where gradients vanish.
        weight_decay: λ, L2 penalty, ≥ 0.
        momentum: μ, ≥ 0.
        centered: divide by the standard deviation, estimated, rather than the root mean square.
        **options: what every optimizer takes, see `neurenix.optim.Options`.

    Raises:
        ValueError, TypeError: for a value out of its range or parameters that cannot be optimized.

    Example:
        >>> import neurenix as nx
        >>> w = nx.Tensor([1.0, 100.0], requires_grad=True)
        >>> optimizer = nx.optim.RMSprop([w], lr=0.5, alpha=0.75)
        >>> (w * w).sum().backward()
        >>> optimizer.step()
        >>> w.tolist()
        [0.0, 99.0]

    References:
        T. Tieleman, G. Hinton, Lecture 6.5 of Neural networks for machine learning, 2012.
        A. Graves, Generating sequences with recurrent neural networks, arXiv 1308.0850 (centered).
    """

    limits: ClassVar = {"alpha": FRACTION, "centered": Flag()}

    def __init__(
        self,
        params: Params,
        lr: Scheduled = 0.01,
        alpha: Scheduled = 0.99,
        eps: Scheduled = 1e-8,
        weight_decay: Scheduled = 0,
        momentum: Scheduled = 0,
        centered: bool = False,
        **options: Unpack[Options],
    ) -> None:
        defaults = {"lr": lr, "alpha": alpha, "eps": eps, "weight_decay": weight_decay, "momentum": momentum}
        super().__init__(params, {**defaults, "centered": centered}, **options)

    def states_for(self, group: Group, variant: Any = None) -> Sequence[str | State]:
        """The average of squares, that of gradients if centered, and the momentum unless it is 0."""
        averages: tuple[State, ...] = (State("square_avg", role="square"),)
        if group["centered"]:  # the variance is the difference of the two
            averages = State("square_avg", stored="own", role="square"), State("grad_avg", stored="own")
        return (
            *averages,
            *((State("momentum_buffer", formats=EIGHT_BITS),) if group["momentum"] != 0 else ()),
        )

    @staticmethod
    def formula(
        p: Value,
        g: Value,
        v: Value,
        *rest: Value,
        lr: Value,
        alpha: Value,
        eps: Value,
        momentum: Value,
        centered: bool,
    ) -> tuple[Value, ...]:
        """The rule above, without weight decay; `rest` is what of a and b there is."""
        v = alpha * v + (1 - alpha) * g * g
        center = tuple(a + (1 - alpha) * (g - a) for a in rest[:centered])
        variance = maximum(v - center[0] * center[0], 0) if centered else v
        d = g / (sqrt(variance) + eps)
        buffer = tuple(momentum * b + d for b in rest[centered:])
        return (p - lr * (buffer[0] if buffer else d), v, *center, *buffer)
