"""Stochastic gradient descent."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from ..formula import Value, where
from ..groups import Group, Params, Scheduled
from ..limits import ANY_NUMBER, Flag
from ..optimizer import Optimizer
from ..options import Options
from ..states import EIGHT_BITS, State

if TYPE_CHECKING:
    from typing_extensions import Unpack


class SGD(Optimizer):
    """Stochastic gradient descent, with momentum if asked.

        g ← g + λ·p
        b ← μ·b + (1 − τ)·g        (b ← g at the first step)
        p ← p − η·b                (with Nesterov's momentum p ← p − η·(g + μ·b))

    Of a row-sparse gradient only the rows are stepped, which needs momentum and weight decay to be 0.

    Args:
        params: tensors, (name, tensor) pairs, a module, or dicts that define groups.
        lr: η, step size, ≥ 0.
        momentum: μ, ≥ 0; 0 keeps no state, else one float for each parameter.
        dampening: τ, how much less than the whole gradient enters the average.
        weight_decay: λ, L2 penalty, ≥ 0.
        nesterov: look ahead along the momentum; needs momentum > 0 and dampening = 0.
        **options: `maximize` and `nonfinite`, see `neurenix.optim.Options`.

    Raises:
        ValueError, TypeError: for a value out of its range or parameters that cannot be optimized.

    Example:
        >>> import neurenix as nx
        >>> w = nx.Tensor([1.0, 2.0], requires_grad=True)
        >>> optimizer = nx.optim.SGD([w], lr=0.25)
        >>> (w * w).sum().backward()
        >>> optimizer.step()
        >>> w.tolist()
        [0.5, 1.0]

    Differs from torch: lr has a default.

    References:
        I. Sutskever, J. Martens, G. Dahl, G. Hinton, On the importance of initialization and momentum in deep
        learning, ICML 2013.
    """

    takes_rows: ClassVar = "still"
    limits: ClassVar = {"dampening": ANY_NUMBER, "nesterov": Flag()}

    def __init__(
        self,
        params: Params,
        lr: Scheduled = 0.01,
        momentum: Scheduled = 0,
        dampening: Scheduled = 0,
        weight_decay: Scheduled = 0,
        nesterov: bool = False,
        **options: Unpack[Options],
    ) -> None:
        defaults = {"lr": lr, "momentum": momentum, "dampening": dampening, "weight_decay": weight_decay}
        super().__init__(params, {**defaults, "nesterov": nesterov}, **options)

    def states_for(self, group: Group, variant: Any = None) -> Sequence[State]:
        """The momentum, unless it is 0."""
        return (State("momentum_buffer", formats=EIGHT_BITS),) if group["momentum"] != 0 else ()

    def normalize(self, label: str, group: Group) -> None:
        """Also that Nesterov's momentum has what it needs."""
        super().normalize(label, group)
        if group["nesterov"] and (group["momentum"] == 0 or group["dampening"] != 0):
            raise ValueError(
                f"{label}: nesterov needs momentum > 0 and dampening = 0, "
                f"got momentum={group['momentum']!r}, dampening={group['dampening']!r}"
            )

    @staticmethod
    def formula(
        p: Value,
        g: Value,
        *b: Value,
        t: Value,
        lr: Value,
        momentum: Value,
        dampening: Value,
        nesterov: bool,
    ) -> tuple[Value, ...]:
        """The rule above, without weight decay; without momentum it has no b."""
        if not b:
            return (p - lr * g,)
        first = t == 1
        new = where(first, 0, momentum) * b[0] + where(first, 1, 1 - dampening) * g
        return p - lr * (g + momentum * new if nesterov else new), new
