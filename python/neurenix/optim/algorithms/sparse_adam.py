"""SparseAdam."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from ..formula import Value, debias, sqrt
from ..groups import Params, Scheduled
from ..optimizer import Optimizer
from ..options import Options
from ._moments import MOMENTS, moments

if TYPE_CHECKING:
    from typing_extensions import Unpack


class SparseAdam(Optimizer):
    """Adam for large tables of which a step uses few rows: only these, and what is kept for them, are touched.

        g ← g + λ·p                        for the rows in the gradient; a row that is in it twice has the sum
        m ← β₁·m + (1 − β₁)·g
        v ← β₂·v + (1 − β₂)·g²
        p ← p − η·√(1 − β₂ᵗ) / (1 − β₁ᵗ) · m / (√v + ε)

    For `nn.Embedding(sparse=True)`, whose gradients are `RowSparse`. The averages of a row stand still while it is not
    used, but t counts all steps of the table. Neither do rows that are not used decay. The work and the memory of
    a step are those of the rows; the averages take two floats for each parameter. A dense gradient is one of all rows.

    Args:
        params: tensors, (name, tensor) pairs, a module, or dicts that define groups.
        lr: η, step size, ≥ 0.
        betas: β₁ and β₂, decay of the two averages, each in [0, 1).
        eps: ε, ≥ 0, bounds the step where gradients vanish. It is not corrected for the early steps as `Adam`'s is.
        maximize: ascend instead of descend.
        weight_decay: λ, L2 penalty on the rows in use, ≥ 0.
        **options: what every optimizer takes, see `neurenix.optim.Options`. Those that need the whole table are an
            error of the step for row-sparse gradients: `clip_norm`, `cautious`, `ema`, `accumulate`, `state_dtype` and
            `param_update`.

    Raises:
        ValueError, TypeError: for a value out of its range or parameters that cannot be optimized.

    Example:
        >>> import neurenix as nx
        >>> table = nx.nn.Embedding(1000, 2, sparse=True)
        >>> before = table.weight.detach().clone()
        >>> optimizer = nx.optim.SparseAdam(table.parameters(), lr=0.5)
        >>> table(nx.Tensor([7, 7, 3])).sum().backward()
        >>> optimizer.step()
        >>> (table.weight != before).any(dim=1).nonzero().tolist()
        [[3], [7]]

    Differs from torch: weight_decay, options, and dense gradients.

    References:
        D. Kingma, J. Ba, Adam: a method for stochastic optimization, arXiv 1412.6980.
    """

    states = MOMENTS
    takes_rows: ClassVar = "lazy"

    def __init__(  # type: ignore[misc]
        self,
        params: Params,
        lr: Scheduled = 0.001,
        betas: tuple[Scheduled, Scheduled] = (0.9, 0.999),
        eps: Scheduled = 1e-8,
        maximize: bool = False,
        weight_decay: Scheduled = 0,
        **options: Unpack[Options],
    ) -> None:
        defaults = {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay}
        super().__init__(params, defaults, maximize=maximize, **options)

    @staticmethod
    def formula(
        p: Value, g: Value, m: Value, v: Value, *, t: Value, lr: Value, betas: Value, eps: Value
    ) -> tuple[Value, Value, Value]:
        """The rule above, without weight decay."""
        m, v = moments(g, m, v, betas)
        return p - lr * sqrt(debias(betas[1], t)) / debias(betas[0], t) * (m / (sqrt(v) + eps)), m, v
