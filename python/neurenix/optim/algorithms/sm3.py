"""SM3."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from ..formula import Value, largest, minimum, sqrt, where
from ..groups import Group, Params, Scheduled
from ..limits import FRACTION
from ..optimizer import Optimizer
from ..options import Options
from ..states import EIGHT_BITS, State

if TYPE_CHECKING:
    from typing_extensions import Unpack


class SM3(Optimizer):
    """SM3: Adagrad with one sum for each row and one for each column instead of one for each weight.

        ν = min(row, column) + g²
        row ← max of ν over the row, column ← max of ν over the column
        m ← μ·m + (1 − μ)·g/√(ν + ε)
        p ← p − η·m

    Tensors of more dimensions are seen as matrices, all dimensions but the first as columns; for vectors it
    is Adagrad. Keeps one float for each parameter (none without momentum) and one for each row and column.

    Args:
        params: tensors, (name, tensor) pairs, a module, or dicts that define groups.
        lr: η, step size, ≥ 0.
        momentum: μ, in [0, 1).
        weight_decay: λ, L2 penalty, ≥ 0.
        eps: ε, ≥ 0, bounds the step where gradients vanish.
        **options: what every optimizer takes, see `neurenix.optim.Options`.

    Raises:
        ValueError, TypeError: for a value out of its range or parameters that cannot be optimized.

    Example:
        >>> import neurenix as nx
        >>> w = nx.Tensor([1.0, 2.0], requires_grad=True)
        >>> optimizer = nx.optim.SM3([w], lr=0.25)
        >>> (w * w).sum().backward()
        >>> optimizer.step()
        >>> [round(x, 4) for x in w.tolist()]
        [0.975, 1.975]

    References:
        R. Anil et al., Memory-efficient adaptive optimization, arXiv 1901.11150, algorithm SM3-II.
    """

    states = (State("row_acc", kind="row", role="square"), State("column_acc", kind="column", role="square"))
    limits: ClassVar = {"momentum": FRACTION}

    def __init__(
        self,
        params: Params,
        lr: Scheduled = 0.1,
        momentum: Scheduled = 0.9,
        weight_decay: Scheduled = 0.0,
        eps: Scheduled = 1e-30,
        **options: Unpack[Options],
    ) -> None:
        defaults = {"lr": lr, "momentum": momentum, "weight_decay": weight_decay, "eps": eps}
        super().__init__(params, defaults, **options)

    def states_for(self, group: Group, variant: Any = None) -> Sequence[str | State]:
        """The sums, and the momentum unless it is 0."""
        return (
            (*self.states, State("momentum_buffer", formats=EIGHT_BITS))
            if group["momentum"] != 0
            else self.states
        )

    @staticmethod
    def formula(
        p: Value,
        g: Value,
        row: Value,
        column: Value,
        *m: Value,
        lr: Value,
        momentum: Value,
        eps: Value,
    ) -> tuple[Value, ...]:
        """The rule above, without weight decay; without momentum it has no m."""
        cover = minimum(row, column) + g * g
        square = cover + eps
        u = where(square > 0, g / sqrt(where(square > 0, square, 1)), 0)
        m = tuple(momentum * old + (1 - momentum) * u for old in m)
        return p - lr * (m[0] if m else u), largest(cover, axis=-1), largest(cover, axis=-2), *m
