"""Tiger."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from ..formula import Value, sign
from ..groups import Params, Scheduled
from ..limits import FRACTION
from ..optimizer import Optimizer
from ..options import Options

if TYPE_CHECKING:
    from typing_extensions import Unpack


class Tiger(Optimizer):
    """Tiger: the least memory that works for language models; Lion with one β.

        p ← p − η·λ·p
        m ← β·m + (1 − β)·g
        p ← p − η·sign(m)

    Keeps one float for each parameter. It is `Signum` under the name, and with the defaults, that made it
    known.

    Args:
        params: tensors, (name, tensor) pairs, a module, or dicts that define groups.
        lr: η, step size, ≥ 0.
        beta: β, decay of the average, in [0, 1).
        weight_decay: λ, ≥ 0; each step shrinks the parameters by the factor 1 − ηλ.
        **options: what every optimizer takes, see `neurenix.optim.Options`.

    Raises:
        ValueError, TypeError: for a value out of its range or parameters that cannot be optimized.

    Example:
        >>> import neurenix as nx
        >>> w = nx.Tensor([1.0, 2.0], requires_grad=True)
        >>> optimizer = nx.optim.Tiger([w], lr=0.25)
        >>> (w * w).sum().backward()
        >>> optimizer.step()
        >>> [round(x, 4) for x in w.tolist()]
        [0.7475, 1.745]

    References:
        J. Su, Tiger: a tight-fisted optimizer, 2023 (github.com/bojone/tiger).
    """

    states = ("exp_avg",)
    decay_mode: ClassVar = "decoupled"
    limits: ClassVar = {"beta": FRACTION}

    def __init__(
        self,
        params: Params,
        lr: Scheduled = 0.001,
        beta: Scheduled = 0.965,
        weight_decay: Scheduled = 0.01,
        **options: Unpack[Options],
    ) -> None:
        defaults = {"lr": lr, "beta": beta, "weight_decay": weight_decay}
        super().__init__(params, defaults, **options)

    @staticmethod
    def formula(p: Value, g: Value, m: Value, *, lr: Value, beta: Value) -> tuple[Value, Value]:
        """The rule above, without weight decay."""
        m = beta * m + (1 - beta) * g
        return p - lr * sign(m), m
