"""APOLLO-Mini."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..groups import Params, Scheduled
from ..options import Options
from .apollo import APOLLO

if TYPE_CHECKING:
    from typing_extensions import Unpack


class APOLLOMini(APOLLO):
    """APOLLO-Mini: `APOLLO` with one random direction and one scale for each matrix; hardly more memory than SGD.

    Keeps for a matrix two floats for each row, and nothing else.

    Args:
        params: tensors, (name, tensor) pairs, a module, or dicts that define groups.
        lr: η, step size, ≥ 0.
        betas: β₁ and β₂, decay of the two averages, each in [0, 1).
        eps: ε, ≥ 0, bounds the scale where gradients vanish.
        weight_decay: λ, ≥ 0; shrinks the parameters by the factor 1 − ηλ after each step.
        update_proj_gap: steps from one direction to the next, ≥ 1.
        scale: ≥ 0, for matrices; its root multiplies the step.
        limit_growth: whether steps of matrices may only slowly become longer.
        correct_bias: whether the averages are corrected for their beginning with zero.
        seed: of the directions, ≥ 0.
        **options: what every optimizer takes, see `neurenix.optim.Options`.

    Raises:
        ValueError, TypeError: for a value out of its range or parameters that cannot be optimized.

    Example:
        >>> import neurenix as nx
        >>> w = nx.Tensor([[1.0, 2.0], [2.0, 4.0]], requires_grad=True)
        >>> optimizer = nx.optim.APOLLOMini([w], lr=0.01)
        >>> for _ in range(40):
        ...     optimizer.zero_grad()
        ...     (w * w).sum().backward()
        ...     optimizer.step()
        >>> bool((w * w).sum() < 5)
        True

    References:
        H. Zhu et al., APOLLO: SGD-like memory, AdamW-level performance, arXiv 2412.05270, section 4.
    """

    def __init__(
        self,
        params: Params,
        lr: Scheduled = 0.001,
        betas: tuple[Scheduled, Scheduled] = (0.9, 0.999),
        eps: Scheduled = 1e-6,
        weight_decay: Scheduled = 0.0,
        update_proj_gap: int = 200,
        scale: Scheduled = 128.0,
        limit_growth: bool = True,
        correct_bias: bool = True,
        seed: int = 0,
        **options: Unpack[Options],
    ) -> None:
        super().__init__(
            params,
            lr,
            betas,
            eps,
            weight_decay,
            1,
            update_proj_gap,
            scale,
            "tensor",
            limit_growth,
            correct_bias,
            seed,
            **options,
        )
