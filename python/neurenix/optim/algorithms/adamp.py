"""AdamP."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from ..formula import Value, debias
from ..groups import Params, Scheduled
from ..limits import NOT_NEGATIVE, Flag, Number
from ..optimizer import Optimizer
from ..options import Options
from ._moments import MOMENTS, moments, spread
from ._tangential import tangential

if TYPE_CHECKING:
    from typing_extensions import Unpack


class AdamP(Optimizer):
    """AdamP: Adam that does not let the norm of scale-invariant weights grow.

        m ← β₁·m + (1 − β₁)·g
        v ← β₂·v + (1 − β₂)·g²
        u = (m / (√v̂ + ε)) without its part along p, if g is nearly orthogonal to p
        p ← p − η·λ·r·p − η/(1 − β₁ᵗ)·u         r = 1, or wd_ratio where u was projected

    Whether g is nearly orthogonal (|cos(g, p)| < δ/√n for every row, or for the whole tensor) tells weights
    that are followed by a normalization. Only matrices and larger are projected. Keeps two floats for each
    parameter.

    Args:
        params: tensors, (name, tensor) pairs, a module, or dicts that define groups.
        lr: η, step size, ≥ 0.
        betas: β₁ and β₂, decay of the two averages, each in [0, 1).
        eps: ε, ≥ 0, bounds the step where gradients vanish.
        weight_decay: λ, ≥ 0; each step shrinks the parameters by the factor 1 − ηλr.
        delta: δ, ≥ 0, how nearly.
        wd_ratio: r of scale-invariant weights, in [0, 1].
        nesterov: look ahead along the momentum.
        **options: what every optimizer takes, see `neurenix.optim.Options`.

    Raises:
        ValueError, TypeError: for a value out of its range or parameters that cannot be optimized.

    Example:
        >>> import neurenix as nx
        >>> w = nx.Tensor([1.0, 2.0], requires_grad=True)
        >>> optimizer = nx.optim.AdamP([w], lr=0.25)
        >>> (w * w).sum().backward()
        >>> optimizer.step()
        >>> [round(x, 4) for x in w.tolist()]
        [0.75, 1.75]

    References:
        B. Heo et al., AdamP: slowing down the slowdown for momentum optimizers on scale-invariant weights,
        arXiv 2006.08217, algorithm 2.
    """

    states = MOMENTS
    limits: ClassVar = {
        "delta": NOT_NEGATIVE,
        "wd_ratio": Number(0, 1, high_included=True),
        "nesterov": Flag(),
    }

    def __init__(
        self,
        params: Params,
        lr: Scheduled = 0.001,
        betas: tuple[Scheduled, Scheduled] = (0.9, 0.999),
        eps: Scheduled = 1e-8,
        weight_decay: Scheduled = 0.0,
        delta: Scheduled = 0.1,
        wd_ratio: Scheduled = 0.1,
        nesterov: bool = False,
        **options: Unpack[Options],
    ) -> None:
        defaults = {
            "lr": lr,
            "betas": betas,
            "eps": eps,
            "weight_decay": weight_decay,
            "delta": delta,
            "wd_ratio": wd_ratio,
            "nesterov": nesterov,
        }
        super().__init__(params, defaults, **options)

    @staticmethod
    def formula(
        p: Value,
        g: Value,
        m: Value,
        v: Value,
        *,
        t: Value,
        lr: Value,
        betas: Value,
        eps: Value,
        weight_decay: Value,
        delta: Value,
        wd_ratio: Value,
        nesterov: bool,
        matrix: bool,
    ) -> tuple[Value, Value, Value]:
        """The rule above."""
        beta1, beta2 = betas
        m, v = moments(g, m, v, betas)
        u = (beta1 * m + (1 - beta1) * g if nesterov else m) / (spread(v, beta2, t) + eps)
        u, ratio = tangential(p, g, u, delta, wd_ratio, eps) if matrix else (u, 1)
        return p * (1 - lr * weight_decay * ratio) - lr / debias(beta1, t) * u, m, v
