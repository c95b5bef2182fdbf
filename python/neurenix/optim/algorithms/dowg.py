"""DoWG."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from ..formula import Value, everywhere, global_norm, maximum, norm, sqrt, where
from ..groups import Params, Scheduled
from ..limits import POSITIVE, OrNone
from ..optimizer import Optimizer
from ..options import Options
from ..states import State

if TYPE_CHECKING:
    from typing_extensions import Unpack


class DoWG(Optimizer):
    """DoWG: DoG that weights late gradients more, and so keeps larger steps.

        r² ← max(r², ‖p − x₀‖²)              x₀ is p before the first step
        V ← V + r²·‖g‖²
        p ← p − η·r²/(√V + ε)·g

    Norms go over all tensors of the optimizer. Keeps one float for each parameter.

    Args:
        params: tensors, (name, tensor) pairs, a module, or dicts that define groups.
        lr: η, ≥ 0; leave it at 1.
        init_estim_sq_dist: first guess of r², > 0; None is ε.
        eps: ε, ≥ 0, bounds the step where gradients vanish.
        weight_decay: λ, L2 penalty, ≥ 0.
        **options: what every optimizer takes, see `neurenix.optim.Options`.

    Raises:
        ValueError, TypeError: for a value out of its range or parameters that cannot be optimized.

    Example:
        >>> import neurenix as nx
        >>> w = nx.Tensor([1.0, 2.0], requires_grad=True)
        >>> optimizer = nx.optim.DoWG([w])
        >>> for _ in range(50):
        ...     optimizer.zero_grad()
        ...     loss = (w * w).sum()
        ...     loss.backward()
        ...     optimizer.step()
        >>> loss.item() < 0.1
        True

    References:
        A. Khaled, K. Mishchenko, C. Jin, DoWG unleashed: an efficient universal parameter-free gradient
        descent method, arXiv 2305.16284, algorithm 1.
    """

    states = (
        State("x0", init="param", role="position"),
        State("estim_sq_dist", kind="scalar"),
        State("weighted_sq", kind="scalar"),
    )
    limits: ClassVar = {"init_estim_sq_dist": OrNone(POSITIVE)}

    def __init__(
        self,
        params: Params,
        lr: Scheduled = 1.0,
        init_estim_sq_dist: Scheduled | None = None,
        eps: Scheduled = 1e-4,
        weight_decay: Scheduled = 0.0,
        **options: Unpack[Options],
    ) -> None:
        defaults = {
            "lr": lr,
            "init_estim_sq_dist": init_estim_sq_dist,
            "eps": eps,
            "weight_decay": weight_decay,
        }
        super().__init__(params, defaults, **options)

    @staticmethod
    def formula(
        p: Value,
        g: Value,
        x0: Value,
        r: Value,
        squares: Value,
        *,
        lr: Value,
        init_estim_sq_dist: Value | None,
        eps: Value,
    ) -> tuple[Value, ...]:
        """The rule above, without weight decay; r is its square."""
        first = eps if init_estim_sq_dist is None else init_estim_sq_dist
        distance, length = global_norm(p - x0), norm(g)
        r = maximum(everywhere(r, largest=True), maximum(first, distance * distance))
        squares = squares + r * (length * length)
        down = sqrt(everywhere(squares)) + eps
        return p - lr * where(down > 0, r / where(down > 0, down, 1), 0) * g, x0, r, squares
