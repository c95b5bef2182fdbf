"""DoG."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from ..formula import Value, everywhere, global_norm, maximum, norm, sqrt, where
from ..groups import Params, Scheduled
from ..limits import POSITIVE
from ..optimizer import Optimizer
from ..options import Options
from ..states import State

if TYPE_CHECKING:
    from typing_extensions import Unpack


class DoG(Optimizer):
    """DoG: gradient descent without a learning rate, by distance over gradients.

        r ← max(r, ‖p − x₀‖)                 at first reps_rel·(1 + ‖x₀‖); x₀ is p before the first step
        G ← G + ‖g‖²
        p ← p − η·r/√(G + ε)·g

    Norms go over all tensors of the optimizer. Average the weights (`ema`) for the best results. Keeps one
    float for each parameter.

    Args:
        params: tensors, (name, tensor) pairs, a module, or dicts that define groups.
        lr: η, ≥ 0; leave it at 1.
        reps_rel: first guess of the distance in terms of the weights, > 0; 1e-4 with batch normalization.
        eps: ε, ≥ 0, bounds the step where gradients vanish.
        weight_decay: λ, L2 penalty, ≥ 0.
        **options: what every optimizer takes, see `neurenix.optim.Options`.

    Raises:
        ValueError, TypeError: for a value out of its range or parameters that cannot be optimized.

    Example:
        >>> import neurenix as nx
        >>> w = nx.Tensor([1.0, 2.0], requires_grad=True)
        >>> optimizer = nx.optim.DoG([w])
        >>> for _ in range(100):
        ...     optimizer.zero_grad()
        ...     loss = (w * w).sum()
        ...     loss.backward()
        ...     optimizer.step()
        >>> loss.item() < 0.1
        True

    References:
        M. Ivgi, O. Hinder, Y. Carmon, DoG is SGD's best friend: a parameter-free dynamic step size schedule,
        arXiv 2302.12022, equation DoG.
    """

    states = (
        State("x0", init="param", role="position"),
        State("max_dist", kind="scalar"),
        State("grad_sum", kind="scalar"),
    )
    limits: ClassVar = {"reps_rel": POSITIVE}

    def __init__(
        self,
        params: Params,
        lr: Scheduled = 1.0,
        reps_rel: Scheduled = 1e-6,
        eps: Scheduled = 1e-8,
        weight_decay: Scheduled = 0.0,
        **options: Unpack[Options],
    ) -> None:
        defaults = {"lr": lr, "reps_rel": reps_rel, "eps": eps, "weight_decay": weight_decay}
        super().__init__(params, defaults, **options)

    @staticmethod
    def formula(
        p: Value, g: Value, x0: Value, r: Value, squares: Value, *, lr: Value, reps_rel: Value, eps: Value
    ) -> tuple[Value, ...]:
        """The rule above, without weight decay."""
        first = reps_rel * (1 + global_norm(x0))
        here = global_norm(p - x0)
        r = maximum(everywhere(r, largest=True), maximum(first, here))
        length = norm(g)
        squares = squares + length * length
        down = sqrt(everywhere(squares) + eps)
        return p - lr * where(down > 0, r / where(down > 0, down, 1), 0) * g, x0, r, squares
