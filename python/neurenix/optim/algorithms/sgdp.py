"""SGDP."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from ..formula import Value
from ..groups import Params, Scheduled
from ..limits import ANY_NUMBER, FRACTION, NOT_NEGATIVE, Flag, Number
from ..optimizer import Optimizer
from ..options import Options
from ..states import EIGHT_BITS, State
from ._tangential import tangential

if TYPE_CHECKING:
    from typing_extensions import Unpack


class SGDP(Optimizer):
    """SGDP: SGD that does not let the norm of scale-invariant weights grow.

        b ← μ·b + (1 − τ)·g
        u = b without its part along p, if g is nearly orthogonal to p       (with Nesterov's momentum of g + μ·b)
        p ← p − η·λ·r/(1 − μ)·p − η·u         r = 1, or wd_ratio where u was projected

    See `AdamP`. Keeps one float for each parameter.

    Args:
        params: tensors, (name, tensor) pairs, a module, or dicts that define groups.
        lr: η, step size, ≥ 0.
        momentum: μ, in [0, 1).
        dampening: τ, how much less than the whole gradient enters the average.
        weight_decay: λ, ≥ 0; each step shrinks the parameters by the factor 1 − ηλr/(1 − μ).
        nesterov: look ahead along the momentum.
        eps: ε, ≥ 0, bounds the cosine of vectors of length 0.
        delta: δ, ≥ 0, how nearly.
        wd_ratio: r of scale-invariant weights, in [0, 1].
        **options: what every optimizer takes, see `neurenix.optim.Options`.

    Raises:
        ValueError, TypeError: for a value out of its range or parameters that cannot be optimized.

    Example:
        >>> import neurenix as nx
        >>> w = nx.Tensor([1.0, 2.0], requires_grad=True)
        >>> optimizer = nx.optim.SGDP([w], lr=0.25)
        >>> (w * w).sum().backward()
        >>> optimizer.step()
        >>> [round(x, 4) for x in w.tolist()]
        [0.5, 1.0]

    Differs from the reference: what is projected does not enter the average, as in the paper.

    References:
        B. Heo et al., AdamP: slowing down the slowdown for momentum optimizers on scale-invariant weights,
        arXiv 2006.08217, algorithm 1.
    """

    states = (State("momentum_buffer", formats=EIGHT_BITS),)
    limits: ClassVar = {
        "momentum": FRACTION,
        "dampening": ANY_NUMBER,
        "nesterov": Flag(),
        "delta": NOT_NEGATIVE,
        "wd_ratio": Number(0, 1, high_included=True),
    }

    def __init__(
        self,
        params: Params,
        lr: Scheduled = 0.01,
        momentum: Scheduled = 0.0,
        dampening: Scheduled = 0.0,
        weight_decay: Scheduled = 0.0,
        nesterov: bool = False,
        eps: Scheduled = 1e-8,
        delta: Scheduled = 0.1,
        wd_ratio: Scheduled = 0.1,
        **options: Unpack[Options],
    ) -> None:
        defaults = {
            "lr": lr,
            "momentum": momentum,
            "dampening": dampening,
            "weight_decay": weight_decay,
            "nesterov": nesterov,
            "eps": eps,
            "delta": delta,
            "wd_ratio": wd_ratio,
        }
        super().__init__(params, defaults, **options)

    @staticmethod
    def formula(
        p: Value,
        g: Value,
        b: Value,
        *,
        lr: Value,
        momentum: Value,
        dampening: Value,
        weight_decay: Value,
        nesterov: bool,
        eps: Value,
        delta: Value,
        wd_ratio: Value,
        matrix: bool,
    ) -> tuple[Value, Value]:
        """The rule above."""
        b = momentum * b + (1 - dampening) * g
        u = g + momentum * b if nesterov else b
        u, ratio = tangential(p, g, u, delta, wd_ratio, eps) if matrix else (u, 1)
        return p * (1 - lr * weight_decay * ratio / (1 - momentum)) - lr * u, b
