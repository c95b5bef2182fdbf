"""FTRL-proximal."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from neurenix._phynexus import Tensor

from ..formula import Value, clamp, sqrt, where
from ..groups import Group, Params, Scheduled
from ..limits import NOT_NEGATIVE, Fixed, Number
from ..optimizer import Optimizer
from ..options import Options
from ..states import State

if TYPE_CHECKING:
    from typing_extensions import Unpack


class FTRL(Optimizer):
    """FTRL-proximal: for linear models over sparse features; l1 makes weights exactly zero.

        n' = n + g²
        z ← z + g + 2·λ_s·p − (n'^(−κ) − n^(−κ)) / η·p
        p ← (z held between ±λ₁ − z) / ((β + n'^(−κ)) / η + 2·λ₂),   n ← n'

    Keeps two floats for each parameter. p follows from z and n alone: what it begins with is nearly forgotten
    at the first step. With κ = −½ the step sizes are those of Adagrad. As z keeps what was, p is a multiple of η: a
    schedule that ends at 0 takes the weights to 0; leave η constant.

    Args:
        params: tensors, (name, tensor) pairs, a module, or dicts that define groups.
        lr: η, step size, ≥ 0.
        lr_power: κ, ≤ 0, how the step size shrinks; 0 keeps it.
        initial_accumulator_value: what n begins with, ≥ 0.
        l1: λ₁, ≥ 0, strength of the penalty that makes weights zero.
        l2: λ₂, ≥ 0, strength of the penalty on p².
        l2_shrinkage: λ_s, ≥ 0, the same on the gradient, which n does not see.
        beta: β, ≥ 0, added to n'^(−κ).
        weight_decay: λ, L2 penalty, ≥ 0.
        **options: what every optimizer takes, see `neurenix.optim.Options`.

    Raises:
        ValueError, TypeError: for a value out of its range or parameters that cannot be optimized.

    Example:
        >>> import neurenix as nx
        >>> w = nx.Tensor([1.0, 2.0], requires_grad=True)
        >>> optimizer = nx.optim.FTRL([w], lr=0.25)
        >>> (w * w).sum().backward()
        >>> optimizer.step()
        >>> [round(x, 4) for x in w.tolist()]
        [0.5969, 1.5932]

    References:
        H. McMahan et al., Ad click prediction: a view from the trenches, KDD 2013, algorithm 1.
    """

    states = (  # weights are computed from both anew at each step
        State("accum", init=lambda group: group["initial_accumulator_value"], stored="own", role="square"),
        State("linear", role="position"),
    )
    limits: ClassVar = {
        "lr_power": Number(high=0, high_included=True),
        "initial_accumulator_value": Fixed(NOT_NEGATIVE),
        "l1": NOT_NEGATIVE,
        "l2": NOT_NEGATIVE,
        "l2_shrinkage": NOT_NEGATIVE,
        "beta": NOT_NEGATIVE,
    }

    def __init__(
        self,
        params: Params,
        lr: Scheduled = 0.001,
        lr_power: Scheduled = -0.5,
        initial_accumulator_value: float = 0.1,
        l1: Scheduled = 0.0,
        l2: Scheduled = 0.0,
        l2_shrinkage: Scheduled = 0.0,
        beta: Scheduled = 0.0,
        weight_decay: Scheduled = 0.0,
        **options: Unpack[Options],
    ) -> None:
        defaults = {
            "lr": lr,
            "lr_power": lr_power,
            "initial_accumulator_value": initial_accumulator_value,
            "l1": l1,
            "l2": l2,
            "l2_shrinkage": l2_shrinkage,
            "beta": beta,
            "weight_decay": weight_decay,
        }
        super().__init__(params, defaults, **options)

    def variant(self, param: Tensor, group: Group) -> bool:
        """Whether the power is a square root, which costs a fraction of other powers."""
        return bool(group["lr_power"] == -0.5)

    @staticmethod
    def formula(
        p: Value,
        g: Value,
        n: Value,
        z: Value,
        *,
        lr: Value,
        lr_power: Value,
        l1: Value,
        l2: Value,
        l2_shrinkage: Value,
        beta: Value,
        variant: bool,
    ) -> tuple[Value, Value, Value]:
        """The rule above, without weight decay; with η = 0 only n changes."""
        moves = lr > 0
        rate = where(moves, lr, 1)
        grown = n + g * g
        power, before = (sqrt(x) if variant else x**-lr_power for x in (grown, n))
        new = z + g + 2 * l2_shrinkage * p - (power - before) / rate * p
        down = (beta + power) / rate + 2 * l2
        moved = (clamp(new, -l1, l1) - new) / where(down > 0, down, 1)
        return where(moves, moved, p), grown, where(moves, new, z)
