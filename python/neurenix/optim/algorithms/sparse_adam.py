"""SparseAdam."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from neurenix._phynexus import Tensor

from ..binding import compute_type
from ..formula import debias
from ..groups import Params
from ..optimizer import Optimizer

if TYPE_CHECKING:
    from ..options import Policy


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
        nonfinite: "propagate", "skip" or "raise", see `neurenix.optim.Options`; it takes none of the other options.

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

    Differs from torch: weight_decay, nonfinite, and dense gradients.

    References:
        D. Kingma, J. Ba, Adam: a method for stochastic optimization, arXiv 1412.6980.
    """

    def __init__(
        self,
        params: Params,
        lr: float = 0.001,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        maximize: bool = False,
        weight_decay: float = 0,
        nonfinite: Policy = "propagate",
    ) -> None:
        defaults = {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay}
        super().__init__(params, defaults, maximize=maximize, nonfinite=nonfinite)

    def init_state(self) -> None:
        """Creates the averages of all tables now instead of at their first step; keeps what exists."""
        for group in self.param_groups:
            for param in group["params"]:
                self._entry(param)

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Updates the rows that have a gradient.

        Args:
            closure: computes the loss and its gradients; called first.

        Returns:
            What the closure returned, or None.
        """
        loss = None if closure is None else closure()
        for group, hyper in [(group, self.hyperparameters(group)) for group in self.param_groups]:
            for param in group["params"]:
                if param.grad is not None:
                    self._update(param, **hyper)
        return loss

    def _entry(self, param: Tensor) -> dict[str, Any]:
        state = self.state[param]
        if not state:
            state["step"] = 0
            for name in ("exp_avg", "exp_avg_sq"):
                kind = compute_type(param.dtype.name)
                state[name] = Tensor.zeros(param.shape, dtype=kind, device=param.device)
        return state

    def _update(
        self,
        param: Tensor,
        lr: float,
        betas: tuple[float, float],
        eps: float,
        weight_decay: float,
        maximize: bool,
    ) -> None:
        state = self._entry(param)
        grad: Any = param.grad
        rows: Any = ...
        if grad.is_sparse:
            grad = grad.coalesce()
            rows, grad = grad.indices(), grad.values()
        m, v = state["exp_avg"][rows], state["exp_avg_sq"][rows]
        p, g = param.detach()[rows].to(m.dtype), grad.to(m.dtype)
        g = (-g if maximize else g) + weight_decay * p
        m = m + (1 - betas[0]) * (g - m)
        v = v + (1 - betas[1]) * (g * g - v)
        t = state["step"] + 1
        rate = lr * math.sqrt(debias(betas[1], t)) / debias(betas[0], t)
        param[rows] = p - rate * (m / (v.sqrt() + eps))
        state["exp_avg"][rows], state["exp_avg_sq"][rows], state["step"] = m, v, t
