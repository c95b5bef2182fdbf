"""Adadelta."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from ..formula import Value, sqrt
from ..groups import Params, Scheduled
from ..limits import FRACTION
from ..optimizer import Optimizer
from ..options import Options
from ..states import State

if TYPE_CHECKING:
    from typing_extensions import Unpack


class Adadelta(Optimizer):
    """Adadelta: steps in the units of the parameters, with no step size to choose.

        g ← g + λ·p
        s ← ρ·s + (1 − ρ)·g²                an average of squared gradients
        d ← √(u + ε) / √(s + ε)·g
        u ← ρ·u + (1 − ρ)·d²                and of squared steps, those before this one
        p ← p − η·d

    Keeps two floats for each parameter. It starts slowly, with steps of about √ε.

    Args:
        params: tensors, (name, tensor) pairs, a module, or dicts that define groups.
        lr: η, factor of the step, ≥ 0.
        rho: ρ, decay of the two averages, in [0, 1).
        eps: ε, ≥ 0; with 0 nothing would ever move.
        weight_decay: λ, L2 penalty, ≥ 0.
        **options: what every optimizer takes, see `neurenix.optim.Options`.

    Raises:
        ValueError, TypeError: for a value out of its range or parameters that cannot be optimized.

    Example:
        >>> import neurenix as nx
        >>> w = nx.Tensor([1.0, 100.0], requires_grad=True)
        >>> optimizer = nx.optim.Adadelta([w], rho=0.75, eps=0.25)
        >>> w.grad = nx.Tensor([1.0, 0.0])
        >>> optimizer.step()
        >>> [round(value, 6) for value in w.tolist()]
        [0.292893, 100.0]

    References:
        M. Zeiler, ADADELTA: an adaptive learning rate method, arXiv 1212.5701, algorithm 1.
    """

    states = (  # coarser, squares of steps grow with what the quotient of the two is too large on average
        State("square_avg", role="square", formats=("bfloat16",)),
        State("acc_delta", role="square", formats=("bfloat16",)),
    )
    limits: ClassVar = {"rho": FRACTION}

    def __init__(
        self,
        params: Params,
        lr: Scheduled = 1.0,
        rho: Scheduled = 0.9,
        eps: Scheduled = 1e-6,
        weight_decay: Scheduled = 0,
        **options: Unpack[Options],
    ) -> None:
        defaults = {"lr": lr, "rho": rho, "eps": eps, "weight_decay": weight_decay}
        super().__init__(params, defaults, **options)

    @staticmethod
    def formula(
        p: Value, g: Value, s: Value, u: Value, *, lr: Value, rho: Value, eps: Value
    ) -> tuple[Value, Value, Value]:
        """The rule above, without weight decay."""
        s = rho * s + (1 - rho) * g * g
        d = sqrt(u + eps) / sqrt(s + eps) * g
        return p - lr * d, s, rho * u + (1 - rho) * d * d
