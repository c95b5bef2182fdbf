"""AggMo."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from ..formula import Value
from ..groups import Group, Params, Scheduled
from ..limits import FRACTION, Each
from ..optimizer import Optimizer
from ..options import Options
from ..states import EIGHT_BITS, State

if TYPE_CHECKING:
    from typing_extensions import Unpack


class AggMo(Optimizer):
    """AggMo: several momenta at once, the fast ones dampen the swings of the slow ones.

        g ← g + λ·p
        bᵢ ← βᵢ·bᵢ + g                       for each of K momenta
        p ← p − η·(b₁ + … + bK) / K

    Keeps K floats for each parameter.

    Args:
        params: tensors, (name, tensor) pairs, a module, or dicts that define groups.
        lr: η, step size, ≥ 0.
        betas: the K momenta, at least one, each in [0, 1).
        weight_decay: λ, L2 penalty, ≥ 0.
        **options: what every optimizer takes, see `neurenix.optim.Options`.

    Raises:
        ValueError, TypeError: for a value out of its range or parameters that cannot be optimized.

    Example:
        >>> import neurenix as nx
        >>> w = nx.Tensor([1.0, 2.0], requires_grad=True)
        >>> optimizer = nx.optim.AggMo([w], lr=0.25)
        >>> (w * w).sum().backward()
        >>> optimizer.step()
        >>> [round(x, 4) for x in w.tolist()]
        [0.5, 1.0]

    References:
        J. Lucas, S. Sun, R. Zemel, R. Grosse, Aggregated momentum: stability through passive damping, arXiv
        1804.00325.
    """

    limits: ClassVar = {"betas": Each(FRACTION)}

    def __init__(
        self,
        params: Params,
        lr: Scheduled = 0.001,
        betas: tuple[float, ...] = (0.0, 0.9, 0.99),
        weight_decay: Scheduled = 0.0,
        **options: Unpack[Options],
    ) -> None:
        defaults = {"lr": lr, "betas": betas, "weight_decay": weight_decay}
        super().__init__(params, defaults, **options)

    def states_for(self, group: Group, variant: Any = None) -> Sequence[State]:
        """One for each momentum."""
        return tuple(State(f"momentum_buffer_{i}", formats=EIGHT_BITS) for i in range(len(group["betas"])))

    @staticmethod
    def formula(p: Value, g: Value, *b: Value, lr: Value, betas: Value) -> tuple[Value, ...]:
        """The rule above, without weight decay."""
        new = [beta * old + g for beta, old in zip(betas, b, strict=True)]
        return p - lr / len(new) * sum(new), *new
