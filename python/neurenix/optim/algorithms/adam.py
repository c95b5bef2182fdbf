"""Adam."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from ..formula import Value, debias, maximum
from ..groups import Group, Params, Scheduled
from ..limits import Flag
from ..optimizer import Optimizer
from ..options import Options
from ..states import EIGHT_BITS, State
from ._moments import MOMENTS, moments, spread

if TYPE_CHECKING:
    from typing_extensions import Unpack


class Adam(Optimizer):
    """Adam: steps of about the size lr in every coordinate, whatever the gradient's scale.

        g ← g + λ·p
        m ← β₁·m + (1 − β₁)·g              an average of gradients
        v ← β₂·v + (1 − β₂)·g²             and of their squares
        p ← p − η·m̂ / (√v̂ + ε)             m̂ = m / (1 − β₁ᵗ), v̂ = v / (1 − β₂ᵗ)

    Keeps two floats for each parameter (three with amsgrad). Weight decay here is part of the gradient;
    `AdamW`, where it is apart from it, is usually the better choice.

    Args:
        params: tensors, (name, tensor) pairs, a module, or dicts that define groups.
        lr: η, step size, ≥ 0.
        betas: β₁ and β₂, decay of the two averages, each in [0, 1).
        eps: ε, ≥ 0, bounds the step where gradients vanish.
        weight_decay: λ, L2 penalty, ≥ 0.
        amsgrad: divide by the largest v so far (before its correction) instead of the current one.
        decoupled_weight_decay: shrink the parameters by 1 − ηλ instead of adding λ·p to the gradient, as `AdamW`.
        **options: `maximize` and `nonfinite`, see `neurenix.optim.Options`.

    Raises:
        ValueError, TypeError: for a value out of its range or parameters that cannot be optimized.

    Example:
        >>> import neurenix as nx
        >>> w = nx.Tensor([1.0, 100.0], requires_grad=True)
        >>> optimizer = nx.optim.Adam([w], lr=0.5)
        >>> (w * w).sum().backward()
        >>> optimizer.step()
        >>> w.tolist()
        [0.5, 99.5]

    References:
        D. Kingma, J. Ba, Adam: a method for stochastic optimization, arXiv 1412.6980, algorithm 1.
        S. Reddi, S. Kale, S. Kumar, On the convergence of Adam and beyond, ICLR 2018 (amsgrad).
    """

    states = MOMENTS
    limits: ClassVar = {"amsgrad": Flag()}

    def __init__(
        self,
        params: Params,
        lr: Scheduled = 0.001,
        betas: tuple[Scheduled, Scheduled] = (0.9, 0.999),
        eps: Scheduled = 1e-8,
        weight_decay: Scheduled = 0,
        amsgrad: bool = False,
        *,
        decoupled_weight_decay: bool = False,
        **options: Unpack[Options],
    ) -> None:
        if Flag().check(f"{type(self).__name__}: decoupled_weight_decay", decoupled_weight_decay):
            options.setdefault("weight_decay_mode", "decoupled")
        defaults = {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay, "amsgrad": amsgrad}
        super().__init__(params, defaults, **options)

    def states_for(self, group: Group, variant: Any = None) -> Sequence[str | State]:
        """Two averages, and with amsgrad the largest second one."""
        return (
            (*self.states, State("max_exp_avg_sq", role="square", formats=EIGHT_BITS))
            if group["amsgrad"]
            else self.states
        )

    @staticmethod
    def formula(
        p: Value, g: Value, m: Value, v: Value, *top: Value, t: Value, lr: Value, betas: Value, eps: Value
    ) -> tuple[Value, ...]:
        """The rule above, without weight decay; `top` is the largest v, if it counts."""
        beta1, beta2 = betas
        m, v = moments(g, m, v, betas)
        top = tuple(maximum(old, v) for old in top)
        return p - lr / debias(beta1, t) * m / (spread(top[0] if top else v, beta2, t) + eps), m, v, *top
