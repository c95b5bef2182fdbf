"""GaLore."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar

from neurenix import linalg
from neurenix._phynexus import Tensor, where

from ..binding import Batch
from ..formula import Value
from ..groups import Group, Params, Scheduled
from ..limits import Choice
from ..options import Options
from ..states import State, as_states
from ._kronecker import along, back, sized, together
from ._moments import MOMENTS
from ._projected import Projected, adam, stepped

if TYPE_CHECKING:
    from typing_extensions import Unpack


class GaLore(Projected):
    """GaLore: Adam in a subspace of each matrix's gradients; its averages take little memory.

        P ← the first r right singular vectors of g             every `update_proj_gap` steps, the first included
        g' = g·P                                              for a matrix that is wider than tall Pᵀ·g, of the left
        m ← β₁·m + (1 − β₁)·g';   v ← β₂·v + (1 − β₂)·g'²
        p ← p − η·scale·(m̂ / (√v̂ + ε))·Pᵀ
        p ← p − η·λ·p

    The averages stay as they are when P changes. Tensors of more dimensions are matrices of their first dimension
    and the rest; vectors step as with Adam, without scale. Keeps for a matrix r·(2·longer + shorter side) floats.

    Args:
        params: tensors, (name, tensor) pairs, a module, or dicts that define groups.
        lr: η, step size, ≥ 0.
        betas: β₁ and β₂, decay of the two averages, each in [0, 1).
        eps: ε, ≥ 0, bounds the step where gradients vanish.
        weight_decay: λ, ≥ 0; shrinks the parameters by the factor 1 − ηλ after each step.
        rank: r, the dimension of the subspace, ≥ 1; at most the shorter side is used.
        update_proj_gap: steps from one subspace to the next, ≥ 1.
        scale: ≥ 0, of the steps of matrices.
        proj_type: "std" projects the shorter side, "reverse_std" the longer, "right" the columns, "left" the rows,
            "full" both.
        correct_bias: whether the averages are corrected for their beginning with zero.
        **options: what every optimizer takes, see `neurenix.optim.Options`.

    Raises:
        ValueError, TypeError: for a value out of its range or parameters that cannot be optimized.

    Example:
        >>> import neurenix as nx
        >>> w = nx.Tensor([[1.0, 2.0], [2.0, 4.0]], requires_grad=True)
        >>> optimizer = nx.optim.GaLore([w], lr=1.0, rank=1)
        >>> (w * w).sum().backward()
        >>> optimizer.step()
        >>> [[round(x, 3) for x in row] for row in w.tolist()]
        [[0.888, 1.776], [1.888, 3.776]]

    Differs from the reference: signs of singular vectors, on which the rule depends, are those nearer to the vectors
    before.

    References:
        J. Zhao et al., GaLore: memory-efficient LLM training by gradient low-rank projection, arXiv 2403.03507.
    """

    limits: ClassVar = {"proj_type": Choice(("std", "reverse_std", "right", "left", "full"))}

    def __init__(
        self,
        params: Params,
        lr: Scheduled = 0.001,
        betas: tuple[Scheduled, Scheduled] = (0.9, 0.999),
        eps: Scheduled = 1e-6,
        weight_decay: Scheduled = 0.0,
        rank: int = 128,
        update_proj_gap: int = 200,
        scale: Scheduled = 0.25,
        proj_type: str = "std",
        correct_bias: bool = True,
        **options: Unpack[Options],
    ) -> None:
        defaults = {
            "lr": lr,
            "betas": betas,
            "eps": eps,
            "weight_decay": weight_decay,
            "rank": rank,
            "update_proj_gap": update_proj_gap,
            "scale": scale,
            "proj_type": proj_type,
            "correct_bias": correct_bias,
        }
        super().__init__(params, defaults, **options)

    def states_for(self, group: Group, variant: Any = None) -> Sequence[str | State]:
        """The averages, and for each side that is projected the subspace."""
        if variant is None:
            return MOMENTS
        rank, dims = min(group["rank"], *variant), projected(variant, group["proj_type"])
        low = sized(*(rank if dim in dims else variant[dim] for dim in (0, 1)))
        states = [replace(state, kind="tensor", sized=low) for state in as_states(MOMENTS)]
        return states + [State(f"basis_{dim}", "tensor", sized=sized(variant[dim], rank)) for dim in dims]

    def direction(self, batch: Batch) -> list[Tensor]:
        """Adam's step in the subspace, back in the whole space."""
        hyper, shape = batch.hyper, batch.variant
        beta1, beta2 = hyper["betas"]
        gradients = [g.reshape(shape) for g in batch.grads]
        dims = projected(shape, hyper["proj_type"])
        renew = [i for i, t in enumerate(batch.steps) if (t - 1) % hyper["update_proj_gap"] == 0]
        for dim in dims:
            choose = functools.partial(leading, dim=dim, rank=min(hyper["rank"], *shape))
            bases = together(choose, [gradients[i] for i in renew])
            for i, basis in zip(renew, bases, strict=True):
                agreement = (basis * batch.states[i][f"basis_{dim}"]).sum(0, keepdim=True)
                batch.states[i][f"basis_{dim}"] = basis * where(agreement < 0, -1.0, 1.0)
        found = []
        for param, g, state in zip(batch.params, gradients, batch.states, strict=True):
            subspace = [state.get(f"basis_{dim}") for dim in (0, 1)]
            low = along(g, subspace)
            m = state["exp_avg"].lerp_(low, 1 - beta1)
            v = state["exp_avg_sq"].lerp_(low * low, 1 - beta2)
            found.append(along(m / (v.sqrt() + hyper["eps"]), back(subspace)).reshape(param.shape))
        return found

    @staticmethod
    def formula(
        p: Value,
        g: Value,
        *given: Value,
        t: Value,
        lr: Value,
        betas: Value,
        eps: Value,
        weight_decay: Value,
        scale: Value,
        correct_bias: bool,
        variant: Any,
    ) -> tuple[Value, ...]:
        """The step; for vectors also the averages."""
        states: Sequence[Value] = ()
        if variant is None:
            u, *states = adam(g, given[0], given[1], betas, eps)
        else:
            u = scale * given[0]
        return stepped(p, u, t, lr, betas, weight_decay, correct_bias), *states


def projected(shape: tuple[int, int], proj_type: str) -> tuple[int, ...]:
    """The dimensions that are projected."""
    shorter = int(shape[0] >= shape[1])
    return {"std": (shorter,), "reverse_std": (1 - shorter,), "left": (0,), "right": (1,), "full": (0, 1)}[
        proj_type
    ]


def leading(matrices: Tensor, dim: int, rank: int) -> Tensor:
    """The first singular vectors along a dimension, as columns."""
    found = linalg.svd(matrices, full_matrices=False)
    vectors = found.Vh.mT if dim else found.U
    return vectors[..., :rank].reshape(*vectors.shape[:-1], rank)
