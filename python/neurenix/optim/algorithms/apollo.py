"""APOLLO."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar, Final

from neurenix._phynexus import Generator, Tensor

from ..binding import Batch
from ..formula import Value, maximum, norm, sqrt, where
from ..groups import Group, Params, Scheduled
from ..limits import Choice, Flag, Whole
from ..options import Options
from ..states import State, as_states
from ._kronecker import sized
from ._moments import MOMENTS
from ._projected import Projected, adam, stepped

if TYPE_CHECKING:
    from typing_extensions import Unpack

GROWTH: Final = 1.01  # how much longer a step may be than the one before


class APOLLO(Projected):
    """APOLLO: scales each channel's gradient as Adam would, judged in a small random subspace; memory like SGD's.

        g' = g·P,  m ← β₁·m + (1 − β₁)·g',  v ← β₂·v + (1 − β₂)·g'²,  u = m / (√v + ε)
        s = ‖u‖ / ‖g'‖                          of each row ("channel") or of all of them ("tensor")
        d = s·g,  shortened so that ‖d‖ is at most 1.01 times that of the step before
        p ← p − η·√scale·d·√(1 − β₂ᵗ) / (1 − β₁ᵗ)
        p ← p − η·λ·p

    P has r random columns of variance 1/r, others every `update_proj_gap` steps; it follows from the seed and is not
    kept. Rows are those of the matrix, or of its transpose where that is taller. Tensors of more dimensions are
    matrices of their first dimension and the rest; vectors step as with Adam. Keeps for a matrix 2r floats for each
    row. `APOLLOMini` has one r and one s for each matrix.

    Args:
        params: tensors, (name, tensor) pairs, a module, or dicts that define groups.
        lr: η, step size, ≥ 0.
        betas: β₁ and β₂, decay of the two averages, each in [0, 1).
        eps: ε, ≥ 0, bounds the scale where gradients vanish.
        weight_decay: λ, ≥ 0; shrinks the parameters by the factor 1 − ηλ after each step.
        rank: r, ≥ 1.
        update_proj_gap: steps from one subspace to the next, ≥ 1.
        scale: ≥ 0, for matrices; its root multiplies the step.
        scale_type: "channel" or "tensor".
        limit_growth: whether steps of matrices may only slowly become longer.
        correct_bias: whether the averages are corrected for their beginning with zero.
        seed: of the subspaces, ≥ 0.
        **options: what every optimizer takes, see `neurenix.optim.Options`.

    Raises:
        ValueError, TypeError: for a value out of its range or parameters that cannot be optimized.

    Example:
        >>> import neurenix as nx
        >>> w = nx.Tensor([[1.0, 2.0], [2.0, 4.0]], requires_grad=True)
        >>> optimizer = nx.optim.APOLLO([w], lr=0.05, rank=2)
        >>> for _ in range(40):
        ...     optimizer.zero_grad()
        ...     (w * w).sum().backward()
        ...     optimizer.step()
        >>> bool((w * w).sum() < 5)
        True

    Differs from the reference: the random numbers, which parameters of one shape share.

    References:
        H. Zhu et al., APOLLO: SGD-like memory, AdamW-level performance, arXiv 2412.05270, algorithm 1.
    """

    limits: ClassVar = {
        "scale_type": Choice(("channel", "tensor")),
        "limit_growth": Flag(),
        "seed": Whole(0),
    }

    def __init__(
        self,
        params: Params,
        lr: Scheduled = 0.001,
        betas: tuple[Scheduled, Scheduled] = (0.9, 0.999),
        eps: Scheduled = 1e-6,
        weight_decay: Scheduled = 0.0,
        rank: int = 256,
        update_proj_gap: int = 200,
        scale: Scheduled = 1.0,
        scale_type: str = "channel",
        limit_growth: bool = True,
        correct_bias: bool = True,
        seed: int = 0,
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
            "scale_type": scale_type,
            "limit_growth": limit_growth,
            "correct_bias": correct_bias,
            "seed": seed,
        }
        super().__init__(params, defaults, **options)

    def states_for(self, group: Group, variant: Any = None) -> Sequence[str | State]:
        """The averages, and the length of the last step where growth is limited."""
        if variant is None:
            return MOMENTS
        low = sized(max(variant), group["rank"])
        states = [replace(state, kind="tensor", sized=low) for state in as_states(MOMENTS)]
        return [State("length", "scalar"), *states] if group["limit_growth"] else states

    def direction(self, batch: Batch) -> list[Tensor]:
        """The scaled gradients."""
        hyper, shape = batch.hyper, batch.variant
        beta1, beta2 = hyper["betas"]
        tall = shape[0] >= shape[1]
        dims = -1 if hyper["scale_type"] == "channel" else (-2, -1)
        subspaces: dict[int, Tensor] = {}
        found = []
        for gradient, state, t in zip(batch.grads, batch.states, batch.steps, strict=True):
            place = (t - 1) // hyper["update_proj_gap"]
            if place not in subspaces:
                subspaces[place] = subspace(min(shape), hyper["rank"], hyper["seed"], place).to(gradient)
            g = gradient.reshape(shape) if tall else gradient.reshape(shape).mT
            low = g @ subspaces[place]
            m = state["exp_avg"].lerp_(low, 1 - beta1)
            v = state["exp_avg_sq"].lerp_(low * low, 1 - beta2)
            u = m / (v.sqrt() + hyper["eps"])
            scaled = g * (u.norm(2.0, dims, True) / (low.norm(2.0, dims, True) + 1e-8))
            found.append((scaled if tall else scaled.mT).reshape(gradient.shape))
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
        limit_growth: bool,
        correct_bias: bool,
        variant: Any,
    ) -> tuple[Value, ...]:
        """The step, its length, and for vectors the averages."""
        states: Sequence[Value] = ()
        if variant is None:
            u, *states = adam(g, given[0], given[1], betas, eps)
        elif limit_growth:
            length = norm(given[0])
            shorter = where(t == 1, 1, maximum(length / (given[1] + 1e-8), GROWTH) / GROWTH)
            states, u = (length / shorter,), sqrt(scale) * given[0] / shorter
        else:
            u = sqrt(scale) * given[0]
        return stepped(p, u, t, lr, betas, weight_decay, correct_bias), *states


def subspace(size: int, rank: int, seed: int, place: int) -> Tensor:
    """The random matrix (size, rank) of a place in the sequence that belongs to a seed."""
    generator = Generator(seed)
    generator.offset = place << 32
    return Tensor.randn(size, rank, generator=generator) / math.sqrt(rank)
