"""Adam-mini."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from neurenix._phynexus import Tensor

from ..formula import Value, debias, mean
from ..groups import Group, Params, Scheduled
from ..limits import OrNone, Whole
from ..optimizer import Optimizer
from ..options import Options
from ..states import State, View, default_view
from ._moments import spread

if TYPE_CHECKING:
    from typing_extensions import Unpack


class AdamMini(Optimizer):
    """Adam with one second moment for each row of a matrix: half the memory, nearly the same steps.

        m ← β₁·m + (1 − β₁)·g
        v ← β₂·v + (1 − β₂)·mean(g²)         of each row, block of rows, or whole vector
        p ← p − η·m̂ / (√v̂ + ε)             m̂ = m / (1 − β₁ᵗ), v̂ = v / (1 − β₂ᵗ)

    Rows are the output neurons of a layer and the tokens of an embedding. Attention's queries and keys are
    better divided by heads: put their weights into a group with `blocks` = heads. Keeps one float for each
    parameter and one for each row.

    Args:
        params: tensors, (name, tensor) pairs, a module, or dicts that define groups.
        lr: η, step size, ≥ 0.
        betas: β₁ and β₂, decay of the two averages, each in [0, 1).
        eps: ε, ≥ 0, bounds the step where gradients vanish.
        weight_decay: λ, ≥ 0; each step shrinks the parameters by the factor 1 − ηλ.
        blocks: into how many equal parts matrices are divided along their first dimension, ≥ 1; None for one
            part for each row.
        **options: what every optimizer takes, see `neurenix.optim.Options`.

    Raises:
        ValueError, TypeError: for a value out of its range or parameters that cannot be optimized.

    Example:
        >>> import neurenix as nx
        >>> w = nx.Tensor([1.0, 2.0], requires_grad=True)
        >>> optimizer = nx.optim.AdamMini([w], lr=0.25)
        >>> (w * w).sum().backward()
        >>> optimizer.step()
        >>> [round(x, 4) for x in w.tolist()]
        [0.8419, 1.6838]

    References:
        Y. Zhang et al., Adam-mini: use fewer learning rates to gain more, arXiv 2406.16793, algorithm 1.
    """

    states = ("exp_avg", State("exp_avg_sq", kind="row", role="square"))
    decay_mode: ClassVar = "decoupled"
    limits: ClassVar = {"blocks": OrNone(Whole(1))}

    def __init__(
        self,
        params: Params,
        lr: Scheduled = 0.001,
        betas: tuple[Scheduled, Scheduled] = (0.9, 0.999),
        eps: Scheduled = 1e-8,
        weight_decay: Scheduled = 0.0,
        blocks: int | None = None,
        **options: Unpack[Options],
    ) -> None:
        defaults = {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay, "blocks": blocks}
        super().__init__(params, defaults, **options)

    def view(self, param: Tensor, group: Group) -> View:
        """Matrices divided into blocks."""
        blocks = group["blocks"]
        if blocks is None or param.ndim < 2:
            return default_view(param)
        if param.shape[0] % blocks:
            raise ValueError(
                f"AdamMini: a parameter of shape {tuple(param.shape)} cannot be divided into {blocks} blocks "
                "of rows; put it into a group of its own with other blocks or None"
            )
        return 1, blocks, param.numel() // blocks

    @staticmethod
    def formula(
        p: Value, g: Value, m: Value, v: Value, *, t: Value, lr: Value, betas: Value, eps: Value
    ) -> tuple[Value, Value, Value]:
        """The rule above, without weight decay."""
        beta1, beta2 = betas
        m = m + (1 - beta1) * (g - m)
        v = beta2 * v + (1 - beta2) * mean(g * g, axis=-1)
        return p - lr / debias(beta1, t) * m / (spread(v, beta2, t) + eps), m, v
