"""Dion."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from neurenix import linalg
from neurenix._phynexus import Tensor

from ..binding import Batch
from ..formula import Value
from ..groups import Group, Params, Scheduled
from ..limits import FRACTION, Each, Fixed, Flag, Number
from ..optimizer import Optimizer
from ..options import Options
from ..states import State, View
from ._moments import MOMENTS
from ._orthogonal import SCALES, matrices, scale
from .muon import auxiliary

if TYPE_CHECKING:
    from typing_extensions import Unpack


def _rank(param: Tensor, group: Group) -> tuple[int, int, int]:
    """Rows, columns and rank of a weight."""
    _, rows, columns = matrices(param, _WHOLE)
    return rows, columns, max(1, math.ceil(group["rank_fraction"] * min(rows, columns)))


def _start(param: Tensor, group: Group) -> Tensor:
    """Columns of the cosine basis: dense, orthogonal, the same in every run."""
    _, columns, rank = _rank(param, group)
    angles = np.outer(np.arange(columns) + 0.5, np.arange(rank)) * (np.pi / columns)
    basis = np.cos(angles)
    return Tensor(basis / np.linalg.norm(basis, axis=0))


class Dion(Optimizer):
    """Muon's idea at low rank: orthogonal steps from one power iteration, with the rest kept for later.

        M ← M + g
        P ← orthonormal columns of M·Q,   R ← Mᵀ·P
        M ← M − (1 − μ)·P·Rᵀ
        Q ← R with columns of length 1
        p ← (1 − η·λ)·p − η·s·P·Qᵀ        (s depends on the shape, see `adjust_lr_fn`)

    Cheaper than Muon for large matrices, the more so the lower the rank. Vectors, embeddings and the last layer are
    AdamW's, as with `Muon`: `muon_groups(model)`. Keeps one float for each parameter, and rank floats for each column.

    Args:
        params: as of `Muon`, with `use_muon` by group.
        lr: η, step size, ≥ 0.
        weight_decay: λ, ≥ 0.
        momentum: μ, in [0, 1).
        rank_fraction: rank in parts of the smaller side, in (0, 1].
        adjust_lr_fn: s, as of `Muon`.
        use_muon: whether a group is stepped this way, or by AdamW.
        aux_betas, aux_eps: betas and eps of AdamW.
        **options: see `neurenix.optim.Options`.

    Raises:
        ValueError, TypeError: for a value out of its range.

    Example:
        >>> import neurenix as nx
        >>> model = nx.nn.Sequential(
        ...     nx.nn.Linear(8, 16), nx.nn.ReLU(), nx.nn.Linear(16, 16), nx.nn.Linear(16, 4)
        ... )
        >>> optimizer = nx.optim.Dion(nx.optim.muon_groups(model), lr=0.01)
        >>> model(nx.randn(4, 8)).sum().backward()
        >>> optimizer.step()

    References:
        K. Ahn et al., Dion: distributed orthonormalized updates, arXiv 2504.05295.
    """

    decay_mode: ClassVar = "decoupled"
    limits: ClassVar = {
        "momentum": FRACTION,
        "rank_fraction": Fixed(Number(0, 1, high_included=True, low_included=False)),
        "adjust_lr_fn": SCALES,
        "use_muon": Flag(),
        "aux_betas": Each(FRACTION, 2),
    }

    def __init__(
        self,
        params: Params,
        lr: Scheduled = 0.01,
        weight_decay: Scheduled = 0.01,
        momentum: Scheduled = 0.95,
        rank_fraction: float = 0.25,
        adjust_lr_fn: str | None = "spectral_unclamped",
        *,
        use_muon: bool = True,
        aux_betas: tuple[Scheduled, Scheduled] = (0.9, 0.95),
        aux_eps: Scheduled = 1e-10,
        **options: Unpack[Options],
    ) -> None:
        defaults = {
            "lr": lr,
            "weight_decay": weight_decay,
            "momentum": momentum,
            "rank_fraction": rank_fraction,
            "adjust_lr_fn": adjust_lr_fn,
            "use_muon": use_muon,
            "aux_betas": aux_betas,
            "aux_eps": aux_eps,
        }
        super().__init__(params, defaults, **options)

    def variant(self, param: Tensor, group: Group) -> str:
        """Which rule a parameter gets; vectors are AdamW's in any group."""
        return "matrix" if group["use_muon"] and param.ndim > 1 else "rest"

    def is_directed(self, variant: Any) -> bool:
        """Matrices are."""
        return bool(variant == "matrix")

    def states_for(self, group: Group, variant: Any = None) -> Sequence[str | State]:
        """The momentum and the basis, or AdamW's averages."""
        if variant != "matrix":
            return MOMENTS
        return (
            State("momentum_buffer", kind="tensor", sized=lambda param, group: tuple(param.shape)),
            State("basis", kind="tensor", sized=lambda param, group: _rank(param, group)[1:]),
        )

    def view(self, param: Tensor, group: Group) -> View:
        """Convolutions are flattened."""
        return matrices(param, _WHOLE) if param.ndim > 1 else super().view(param, group)

    def direction(self, batch: Batch) -> list[Tensor]:
        """One power iteration for each matrix."""
        found = []
        kept = zip(batch.params, batch.grads, batch.states, batch.steps, strict=True)
        for param, grad, state, t in kept:
            rows, columns, _ = _rank(param, batch.hyper)
            start = _start(param, batch.hyper) if t == 1 else state["basis"]
            basis = start.to(grad.device, grad.dtype)
            m = state["momentum_buffer"].to(grad.dtype)
            m = (m + grad).reshape(rows, columns)
            p = linalg.qr(m @ basis)[0]
            r = m.T @ p
            state["momentum_buffer"] = (m - (1 - batch.hyper["momentum"]) * (p @ r.T)).reshape(param.shape)
            basis = r / (linalg.vector_norm(r, dim=0, keepdim=True) + 1e-8)
            state["basis"] = basis
            found.append((p @ basis.T).reshape(param.shape))
        return found

    @staticmethod
    def formula(
        p: Value,
        g: Value,
        *rest: Value,
        t: Value,
        lr: Value,
        adjust_lr_fn: str | None,
        aux_betas: Value,
        aux_eps: Value,
        variant: str,
    ) -> Value | tuple[Value, ...]:
        """The rule above, without weight decay; AdamW for what is no matrix."""
        if variant == "matrix":
            return p - lr * scale(g, adjust_lr_fn) * rest[0]
        return auxiliary(p, g, rest[0], rest[1], t, lr, aux_betas, aux_eps)


_WHOLE = {"heads": 1, "batched": False}
