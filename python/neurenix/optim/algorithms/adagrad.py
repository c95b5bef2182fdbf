"""Adagrad."""

from __future__ import annotations

import operator
from typing import TYPE_CHECKING, ClassVar

from ..formula import Value, sqrt
from ..groups import Params, Scheduled
from ..limits import NOT_NEGATIVE, Fixed
from ..optimizer import Optimizer
from ..options import Options
from ..states import State

if TYPE_CHECKING:
    from typing_extensions import Unpack


class Adagrad(Optimizer):
    """Adagrad: each coordinate's steps shrink with all gradients it has seen, for sparse features.

        g ← g + λ·p
        s ← s + g²                          from s = a before the first step
        p ← p − ηₜ·g / (√s + ε)             ηₜ = η / (1 + (t − 1)·δ)

    Keeps one float for each parameter. Steps never grow again, so long runs usually want `Adam`.

    Of a row-sparse gradient only the rows are stepped, which needs the weight decay to be 0.

    Args:
        params: tensors, (name, tensor) pairs, a module, or dicts that define groups.
        lr: η, step size, ≥ 0.
        lr_decay: δ, how the step size falls beyond what the sum does, ≥ 0.
        weight_decay: λ, L2 penalty, ≥ 0.
        initial_accumulator_value: a, ≥ 0; what the sum of squares begins with.
        eps: ε, ≥ 0, bounds the step where gradients vanish.
        **options: what every optimizer takes, see `neurenix.optim.Options`.

    Raises:
        ValueError, TypeError: for a value out of its range or parameters that cannot be optimized.

    Example:
        >>> import neurenix as nx
        >>> w = nx.Tensor([1.0, 100.0], requires_grad=True)
        >>> optimizer = nx.optim.Adagrad([w], lr=0.5)
        >>> (w * w).sum().backward()
        >>> optimizer.step()
        >>> w.tolist()
        [0.5, 99.5]

    References:
        J. Duchi, E. Hazan, Y. Singer, Adaptive subgradient methods for online learning and stochastic
        optimization, JMLR 12, 2011.
    """

    states = (State("sum", init=operator.itemgetter("initial_accumulator_value"), role="square"),)
    takes_rows: ClassVar = "still"
    limits: ClassVar = {"lr_decay": NOT_NEGATIVE, "initial_accumulator_value": Fixed(NOT_NEGATIVE)}

    def __init__(
        self,
        params: Params,
        lr: Scheduled = 0.01,
        lr_decay: Scheduled = 0,
        weight_decay: Scheduled = 0,
        initial_accumulator_value: float = 0,
        eps: Scheduled = 1e-10,
        **options: Unpack[Options],
    ) -> None:
        defaults = {
            "lr": lr,
            "lr_decay": lr_decay,
            "weight_decay": weight_decay,
            "initial_accumulator_value": initial_accumulator_value,
            "eps": eps,
        }
        super().__init__(params, defaults, **options)

    @staticmethod
    def formula(
        p: Value,
        g: Value,
        s: Value,
        *,
        t: Value,
        lr: Value,
        lr_decay: Value,
        eps: Value,
    ) -> tuple[Value, Value]:
        """The rule above, without weight decay."""
        s = s + g * g
        return p - lr / (1 + (t - 1) * lr_decay) * g / (sqrt(s) + eps), s
