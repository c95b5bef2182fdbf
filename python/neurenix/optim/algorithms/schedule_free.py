"""Schedule-Free around any optimizer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from neurenix._phynexus import Tensor

from ..formula import Value, where
from ..groups import Group, Scheduled
from ..limits import ANY_NUMBER, NOT_NEGATIVE, Number
from ..optimizer import Optimizer
from ..states import State
from ..wrapper import Wrapper


class ScheduleFree(Wrapper):
    """Any optimizer without a schedule that ends somewhere: evaluate an average that is right at every step.

        z ← step of the wrapped optimizer from z, with the gradient at y
        x ← (1 − c)·x + c·z,   c = w / Σw,   w = tʳ·η_maxᵖ
        y ← (1 − β)·z + β·x

    Parameters hold y while training; `eval()`, or `model.eval()` of a model that is followed, puts x in place.
    Keeps one more float for each parameter. Use a constant learning rate with a warm-up, larger than with a
    schedule, and no momentum in the wrapped optimizer (β takes its place).

    Args:
        optimizer: the optimizer to wrap.
        momentum: β, how much of the average enters the point of the gradient, in (0, 1).
        r: r, how much later steps weigh more.
        weight_lr_power: power of the largest learning rate so far in a step's weight, ≥ 0.

    Raises:
        ValueError, TypeError: for a value out of its range.

    Example:
        >>> import neurenix as nx
        >>> w = nx.Tensor([1.0], requires_grad=True)
        >>> optimizer = nx.optim.ScheduleFree(nx.optim.SGD([w], lr=0.5), momentum=0.5)
        >>> for _ in range(2):
        ...     w.grad = nx.Tensor([1.0])
        ...     optimizer.step()
        >>> w.item()
        0.125
        >>> optimizer.eval()
        >>> w.item()
        0.25

    References:
        A. Defazio et al., The road less scheduled, arXiv 2405.15682.
    """

    states: ClassVar = (State("z", init="param", role="position"), State("weight_sum", kind="scalar"))
    limits: ClassVar = {
        "averaging": Number(0, 1, low_included=False),
        "r": ANY_NUMBER,
        "weight_lr_power": NOT_NEGATIVE,
    }

    def __init__(
        self,
        optimizer: Optimizer,
        momentum: Scheduled = 0.9,
        r: Scheduled = 0.0,
        weight_lr_power: Scheduled = 2.0,
    ) -> None:
        super().__init__(optimizer, {"averaging": momentum, "r": r, "weight_lr_power": weight_lr_power})

    @staticmethod
    def formula(
        p: Value,
        g: Value,
        z: Value,
        weight_sum: Value,
        *,
        t: Value,
        inner: Any,
        averaging: Value,
        r: Value,
        weight_lr_power: Value,
        peak_lr: Value,
    ) -> tuple[Value, Value, Value]:
        """The rule above; x is found from y and z."""
        x = p + (1 - 1 / averaging) * (z - p)
        z = inner(z, g)
        weight = t**r * peak_lr**weight_lr_power
        weight_sum = weight_sum + weight
        share = where(weight_sum > 0, weight / where(weight_sum > 0, weight_sum, 1), 0)
        x = x + share * (z - x)
        return x + (1 - averaging) * (z - x), z, weight_sum

    def evaluation(self, param: Tensor, group: Group, entry: Mapping[str, Any]) -> Tensor | None:
        """The average x."""
        z, beta = entry.get("z"), self.hyperparameters(group)["averaging"]
        return None if z is None else param + (1 - 1 / beta) * (z - param)
