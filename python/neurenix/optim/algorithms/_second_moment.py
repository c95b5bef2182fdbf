"""What rules have in common that divide Muon's orthogonal matrices by an average of their squares."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from ..groups import Params, Scheduled
from ..limits import FRACTION
from ..options import Options
from .muon import Muon

if TYPE_CHECKING:
    from typing_extensions import Unpack


class MuonOptions(Options, total=False):
    """The keyword arguments of `Muon`, which rules made of it pass on."""

    use_muon: bool
    heads: int
    batched: bool
    aux_betas: tuple[float, float]
    aux_eps: float


class SecondMoment(Muon):
    """Base of such rules: Muon with another decay, β₂."""

    limits: ClassVar = {"beta2": FRACTION}

    def __init__(
        self,
        params: Params,
        lr: Scheduled,
        weight_decay: Scheduled,
        momentum: Scheduled,
        nesterov: bool,
        beta2: Scheduled,
        ns_coefficients: Any,
        eps: Scheduled,
        ns_steps: int,
        adjust_lr_fn: str | None,
        **options: Unpack[MuonOptions],
    ) -> None:
        self._beta2 = beta2
        given = lr, weight_decay, momentum, nesterov, ns_coefficients, eps, ns_steps, adjust_lr_fn
        super().__init__(params, *given, **options)

    def own_defaults(self) -> dict[str, Any]:
        """The decay of the second average."""
        return {"beta2": self._beta2}
