"""Lion."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from ..formula import Value, sign
from ..groups import Params, Scheduled
from ..optimizer import Optimizer
from ..options import Options

if TYPE_CHECKING:
    from typing_extensions import Unpack


class Lion(Optimizer):
    """Lion: the sign of an average of gradients, half the memory of Adam.

        p ← p − η·λ·p
        p ← p − η·sign(β₁·m + (1 − β₁)·g)
        m ← β₂·m + (1 − β₂)·g

    Keeps one float for each parameter. Every coordinate moves by exactly η, so η should be 3 to 10 times
    smaller than for `AdamW`, and λ larger by the same factor.

    Args:
        params: tensors, (name, tensor) pairs, a module, or dicts that define groups.
        lr: η, step size, ≥ 0.
        betas: β₁ and β₂, weight of the average in the step and its decay, each in [0, 1).
        weight_decay: λ, ≥ 0; each step shrinks the parameters by the factor 1 − ηλ.
        **options: what every optimizer takes, see `neurenix.optim.Options`.

    Raises:
        ValueError, TypeError: for a value out of its range or parameters that cannot be optimized.

    Example:
        >>> import neurenix as nx
        >>> w = nx.Tensor([1.0, 2.0], requires_grad=True)
        >>> optimizer = nx.optim.Lion([w], lr=0.25)
        >>> (w * w).sum().backward()
        >>> optimizer.step()
        >>> [round(x, 4) for x in w.tolist()]
        [0.75, 1.75]

    References:
        X. Chen et al., Symbolic discovery of optimization algorithms, arXiv 2302.06675, algorithm 2.
    """

    states = ("exp_avg",)
    decay_mode: ClassVar = "decoupled"

    def __init__(
        self,
        params: Params,
        lr: Scheduled = 0.0001,
        betas: tuple[Scheduled, Scheduled] = (0.9, 0.99),
        weight_decay: Scheduled = 0.0,
        **options: Unpack[Options],
    ) -> None:
        defaults = {"lr": lr, "betas": betas, "weight_decay": weight_decay}
        super().__init__(params, defaults, **options)

    @staticmethod
    def formula(p: Value, g: Value, m: Value, *, lr: Value, betas: Value) -> tuple[Value, Value]:
        """The rule above, without weight decay."""
        beta1, beta2 = betas
        return p - lr * sign(beta1 * m + (1 - beta1) * g), beta2 * m + (1 - beta2) * g
