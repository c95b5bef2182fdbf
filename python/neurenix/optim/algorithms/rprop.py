"""Rprop."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from ..formula import Value, clamp, sign, where
from ..groups import Group, Params, Scheduled
from ..limits import NOT_NEGATIVE, Each, has_schedule
from ..optimizer import Optimizer
from ..options import Options
from ..states import EIGHT_BITS, State

if TYPE_CHECKING:
    from typing_extensions import Unpack


class Rprop(Optimizer):
    """Rprop: only signs of gradients count, and each coordinate has a step size of its own; for full batches.

        g ← g + λ·p
        σ = sign(g·g₋₁)
        s ← clamp(s·c, s_min, s_max)        c = η⁺ if σ > 0, η⁻ if σ < 0, else 1; s = lr at first
        g ← 0                               where σ < 0
        p ← p − sign(g)·s
        g₋₁ ← g

    Keeps two floats for each parameter. Gradients of small batches change their signs by chance, for which
    it is not made.

    Args:
        params: tensors, (name, tensor) pairs, a module, or dicts that define groups.
        lr: the first step size of every coordinate, ≥ 0; 0 at a later step holds the parameters still.
        etas: η⁻ and η⁺, factors of step sizes, 0 < η⁻ < 1 < η⁺.
        step_sizes: s_min and s_max, 0 ≤ s_min ≤ s_max.
        weight_decay: λ, L2 penalty, ≥ 0.
        **options: what every optimizer takes, see `neurenix.optim.Options`.

    Raises:
        ValueError, TypeError: for a value out of its range or parameters that cannot be optimized.

    Example:
        >>> import neurenix as nx
        >>> w = nx.Tensor([1.0, 100.0], requires_grad=True)
        >>> optimizer = nx.optim.Rprop([w], lr=0.5, etas=(0.5, 2.0))
        >>> for _ in range(2):
        ...     optimizer.zero_grad()
        ...     (w * w).sum().backward()
        ...     optimizer.step()
        >>> w.tolist()
        [-0.5, 98.5]

    Differs from torch: has weight_decay; lr=0 moves nothing.

    References:
        M. Riedmiller, H. Braun, A direct adaptive method for faster backpropagation learning: the RPROP
        algorithm, ICNN 1993.
    """

    states = ("prev", State("step_size", role="square", formats=EIGHT_BITS))
    limits: ClassVar = {"etas": Each(NOT_NEGATIVE, 2), "step_sizes": Each(NOT_NEGATIVE, 2)}

    def __init__(
        self,
        params: Params,
        lr: Scheduled = 0.01,
        etas: tuple[Scheduled, Scheduled] = (0.5, 1.2),
        step_sizes: tuple[Scheduled, Scheduled] = (1e-6, 50),
        weight_decay: Scheduled = 0,
        **options: Unpack[Options],
    ) -> None:
        defaults = {"lr": lr, "etas": etas, "step_sizes": step_sizes, "weight_decay": weight_decay}
        super().__init__(params, defaults, **options)

    def normalize(self, label: str, group: Group) -> None:
        """Also that factors and bounds are in order."""
        super().normalize(label, group)
        etas, sizes = group["etas"], group["step_sizes"]
        if not has_schedule(etas) and not 0 < etas[0] < 1 < etas[1]:
            raise ValueError(f"{label}: etas must be two numbers with 0 < η⁻ < 1 < η⁺, got {etas!r}")
        if not has_schedule(sizes) and sizes[0] > sizes[1]:
            raise ValueError(f"{label}: step_sizes must be a lower and an upper bound, got {sizes!r}")

    @staticmethod
    def formula(
        p: Value,
        g: Value,
        before: Value,
        size: Value,
        *,
        t: Value,
        lr: Value,
        etas: Value,
        step_sizes: Value,
    ) -> tuple[Value, Value, Value]:
        """The rule above, without weight decay."""
        turn = sign(g) * sign(before)  # g·g₋₁ may underflow
        size = where(t == 1, lr, size)
        size = where(turn > 0, etas[1] * size, where(turn < 0, etas[0] * size, size))
        size = clamp(size, *step_sizes)
        g = where(turn < 0, 0, g)
        return p - where(lr == 0, 0, 1) * size * sign(g), g, size
