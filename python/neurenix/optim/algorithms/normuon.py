"""NorMuon."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ..formula import Value, mean, sqrt, total, where
from ..groups import Group, Params, Scheduled
from ..states import State
from ._orthogonal import scale
from ._second_moment import MuonOptions, SecondMoment
from .muon import ORIGINAL, auxiliary

if TYPE_CHECKING:
    from typing_extensions import Unpack


class NorMuon(SecondMoment):
    """Muon whose rows (neurons) move equally far: orthogonal steps, normalised by row.

        O ← Muon's orthogonal matrix
        v ← β₂·v + (1 − β₂)·mean of O² over each row
        U ← O / (√v + 10⁻⁸), scaled to the norm that O had
        p ← (1 − η·λ)·p − η·s·U

    Keeps one float for each parameter and one for each row.

    Vectors, embeddings and the last layer are AdamW's, as with `Muon`: `muon_groups(model)`.

    Args:
        params: as of `Muon`, with `use_muon` by group.
        lr, weight_decay, momentum, nesterov, ns_coefficients, eps, ns_steps, adjust_lr_fn: as of `Muon`.
        beta2: β₂, decay of the average of squares, in [0, 1).
        heads, batched, aux_betas, aux_eps: as of `Muon`.
        **options: see `neurenix.optim.Options`.

    Raises:
        ValueError, TypeError: for a value out of its range, or a vector in a group with `use_muon=True`.

    Example:
        >>> import neurenix as nx
        >>> model = nx.nn.Sequential(
        ...     nx.nn.Linear(8, 16), nx.nn.ReLU(), nx.nn.Linear(16, 16), nx.nn.Linear(16, 4)
        ... )
        >>> optimizer = nx.optim.NorMuon(nx.optim.muon_groups(model))
        >>> model(nx.randn(4, 8)).sum().backward()
        >>> optimizer.step()

    References:
        Z. Li et al., NorMuon: making Muon more efficient and scalable, arXiv 2510.05491.
    """

    def __init__(
        self,
        params: Params,
        lr: Scheduled = 0.01,
        weight_decay: Scheduled = 0.01,
        momentum: Scheduled = 0.95,
        nesterov: bool = True,
        beta2: Scheduled = 0.95,
        ns_coefficients: Any = ORIGINAL,
        eps: Scheduled = 1e-7,
        ns_steps: int = 5,
        adjust_lr_fn: str | None = "match_rms_adamw",
        **options: Unpack[MuonOptions],
    ) -> None:
        given = lr, weight_decay, momentum, nesterov, beta2, ns_coefficients, eps, ns_steps, adjust_lr_fn
        super().__init__(params, *given, **options)

    def states_for(self, group: Group, variant: Any = None) -> Sequence[str | State]:
        """The momentum and the second average, or AdamW's averages."""
        return (
            ("momentum_buffer", State("row_sq", kind="row", role="square"))
            if variant == "matrix"
            else super().states_for(group, variant)
        )

    @staticmethod
    def formula(  # type: ignore[override]
        p: Value,
        g: Value,
        *rest: Value,
        t: Value,
        lr: Value,
        momentum: Value,
        beta2: Value,
        adjust_lr_fn: str | None,
        aux_betas: Value,
        aux_eps: Value,
        variant: str,
    ) -> tuple[Value, ...]:
        """The rule above, without weight decay; AdamW for what is no matrix."""
        if variant != "matrix":
            return auxiliary(p, g, rest[0], rest[1], t, lr, aux_betas, aux_eps)
        o, b, v = rest
        v = beta2 * v + (1 - beta2) * mean(o * o, axis=-1)
        u = o / (sqrt(v) + 1e-8)
        size = total(u * u, axis=(-2, -1))
        u = u * sqrt(total(o * o, axis=(-2, -1)) / where(size > 0, size, 1))
        return p - lr * scale(g, adjust_lr_fn) * u, b + (1 - momentum) * (g - b), v
