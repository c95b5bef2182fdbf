"""LARS."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from ..formula import Value, minimum, norm, where
from ..groups import Group, Params, Scheduled
from ..limits import FRACTION, NOT_NEGATIVE, Flag
from ..optimizer import Optimizer
from ..options import Options
from ..states import EIGHT_BITS, State

if TYPE_CHECKING:
    from typing_extensions import Unpack


class LARS(Optimizer):
    """LARS: SGD for very large batches; each layer's step is in proportion to its weights.

        r = τ·‖p‖ / (‖g‖ + λ·‖p‖ + ε)        1 where either norm is 0, and for vectors and scalars
        b ← μ·b + r·(g + λ·p)
        p ← p − η·b                          (with Nesterov's momentum p ← p − η·(r·(g + λ·p) + μ·b))

    Keeps one float for each parameter, none without momentum.

    Args:
        params: tensors, (name, tensor) pairs, a module, or dicts that define groups.
        lr: η, step size, ≥ 0.
        momentum: μ, in [0, 1).
        weight_decay: λ, L2 penalty, ≥ 0.
        nesterov: look ahead along the momentum.
        trust_coeff: τ, ≥ 0.
        eps: ε, ≥ 0, bounds the step where gradients vanish.
        trust_clip: LARC: r ← min(r/η, 1), so that no layer's step is larger than with SGD.
        **options: what every optimizer takes, see `neurenix.optim.Options`.

    Raises:
        ValueError, TypeError: for a value out of its range or parameters that cannot be optimized.

    Example:
        >>> import neurenix as nx
        >>> w = nx.Tensor([1.0, 2.0], requires_grad=True)
        >>> optimizer = nx.optim.LARS([w], lr=0.25)
        >>> (w * w).sum().backward()
        >>> optimizer.step()
        >>> [round(x, 4) for x in w.tolist()]
        [0.5, 1.0]

    References:
        Y. You, I. Gitman, B. Ginsburg, Large batch training of convolutional networks, arXiv 1708.03888.
    """

    limits: ClassVar = {
        "momentum": FRACTION,
        "nesterov": Flag(),
        "trust_coeff": NOT_NEGATIVE,
        "trust_clip": Flag(),
    }

    def __init__(
        self,
        params: Params,
        lr: Scheduled = 1.0,
        momentum: Scheduled = 0.9,
        weight_decay: Scheduled = 0.0,
        nesterov: bool = False,
        trust_coeff: Scheduled = 0.001,
        eps: Scheduled = 1e-8,
        trust_clip: bool = False,
        **options: Unpack[Options],
    ) -> None:
        defaults = {
            "lr": lr,
            "momentum": momentum,
            "weight_decay": weight_decay,
            "nesterov": nesterov,
            "trust_coeff": trust_coeff,
            "eps": eps,
            "trust_clip": trust_clip,
        }
        super().__init__(params, defaults, **options)

    def states_for(self, group: Group, variant: Any = None) -> Sequence[State]:
        """The momentum, unless it is 0."""
        return (State("momentum_buffer", formats=EIGHT_BITS),) if group["momentum"] != 0 else ()

    @staticmethod
    def formula(
        p: Value,
        g: Value,
        *b: Value,
        lr: Value,
        momentum: Value,
        weight_decay: Value,
        nesterov: bool,
        trust_coeff: Value,
        eps: Value,
        trust_clip: bool,
        matrix: bool,
    ) -> tuple[Value, ...]:
        """The rule above; without momentum it has no b."""
        d = g + weight_decay * p
        if matrix:
            weights, slope = norm(p), norm(g)
            known = (weights > 0) & (slope > 0)
            down = slope + weight_decay * weights + eps
            trust = trust_coeff * weights / where(known, down, 1)
            if trust_clip:
                trust = minimum(trust / where(lr > 0, lr, 1), 1)
            d = d * where(known, trust, 1)
        if not b:
            return (p - lr * d,)
        new = momentum * b[0] + d
        return p - lr * (d + momentum * new if nesterov else new), new
