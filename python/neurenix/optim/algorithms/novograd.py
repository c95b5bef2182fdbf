"""NovoGrad."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from ..formula import Value, maximum, norm, sqrt, where
from ..groups import Group, Params, Scheduled
from ..limits import Flag
from ..optimizer import Optimizer
from ..options import Options
from ..states import EIGHT_BITS, State

if TYPE_CHECKING:
    from typing_extensions import Unpack


class NovoGrad(Optimizer):
    """NovoGrad: Adam with one second moment for each layer; half its memory, robust for speech.

        s ← β₂·s + (1 − β₂)·‖g‖²               (s ← ‖g‖² at first; one number for each tensor)
        m ← β₁·m + g / (√s + ε) + λ·p          (with grad_averaging times 1 − β₁ what is added)
        p ← p − η·m

    Keeps one float for each parameter and one for each tensor.

    Args:
        params: tensors, (name, tensor) pairs, a module, or dicts that define groups.
        lr: η, step size, ≥ 0.
        betas: β₁ and β₂, decay of the two averages, each in [0, 1).
        eps: ε, ≥ 0, bounds the step where gradients vanish.
        weight_decay: λ, ≥ 0, enters the average beside the gradient.
        grad_averaging: average the gradients instead of adding them up.
        amsgrad: divide by the largest s so far instead of the current one.
        **options: what every optimizer takes, see `neurenix.optim.Options`.

    Raises:
        ValueError, TypeError: for a value out of its range or parameters that cannot be optimized.

    Example:
        >>> import neurenix as nx
        >>> w = nx.Tensor([1.0, 2.0], requires_grad=True)
        >>> optimizer = nx.optim.NovoGrad([w], lr=0.25)
        >>> (w * w).sum().backward()
        >>> optimizer.step()
        >>> [round(x, 4) for x in w.tolist()]
        [0.8882, 1.7764]

    References:
        B. Ginsburg et al., Stochastic gradient methods with layer-wise adaptive moments for training of deep
        networks, arXiv 1905.11286, algorithm 1.
    """

    states = (State("exp_avg", formats=EIGHT_BITS), State("exp_avg_sq", kind="scalar", role="square"))
    limits: ClassVar = {"grad_averaging": Flag(), "amsgrad": Flag()}

    def __init__(
        self,
        params: Params,
        lr: Scheduled = 0.001,
        betas: tuple[Scheduled, Scheduled] = (0.95, 0.98),
        eps: Scheduled = 1e-8,
        weight_decay: Scheduled = 0.0,
        grad_averaging: bool = False,
        amsgrad: bool = False,
        **options: Unpack[Options],
    ) -> None:
        defaults = {
            "lr": lr,
            "betas": betas,
            "eps": eps,
            "weight_decay": weight_decay,
            "grad_averaging": grad_averaging,
            "amsgrad": amsgrad,
        }
        super().__init__(params, defaults, **options)

    def states_for(self, group: Group, variant: Any = None) -> Sequence[str | State]:
        """The average and the second moment, and with amsgrad the largest of it."""
        return (
            (*self.states, State("max_exp_avg_sq", kind="scalar", role="square"))
            if group["amsgrad"]
            else self.states
        )

    @staticmethod
    def formula(
        p: Value,
        g: Value,
        m: Value,
        s: Value,
        *top: Value,
        lr: Value,
        betas: Value,
        eps: Value,
        weight_decay: Value,
        grad_averaging: bool,
    ) -> tuple[Value, ...]:
        """The rule above; `top` is the largest s, if it counts."""
        beta1, beta2 = betas
        length = norm(g)
        square = length * length
        s = where(s == 0, square, beta2 * s + (1 - beta2) * square)
        top = tuple(maximum(old, s) for old in top)
        root = sqrt(top[0] if top else s) + eps
        d = g / where(root > 0, root, 1) + weight_decay * p
        m = beta1 * m + ((1 - beta1) * d if grad_averaging else d)
        return p - lr * m, m, s, *top
