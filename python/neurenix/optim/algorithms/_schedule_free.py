"""What the Schedule-Free optimizers have in common."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from neurenix._phynexus import Tensor

from ..formula import Value, maximum, minimum, where
from ..groups import Group
from ..limits import NOT_NEGATIVE, Number
from ..optimizer import Optimizer
from ..states import State

SUMS = (State("weight_sum", kind="scalar"), State("lr_max", kind="scalar"))


class Averaging(Optimizer):
    """Base of rules that step at z, average z in x, and take gradients between the two, at y = β·x + (1 − β)·z."""

    limits: ClassVar = {
        "momentum": Number(0, 1, low_included=False),
        "warmup_steps": NOT_NEGATIVE,
        "r": NOT_NEGATIVE,
        "weight_lr_power": NOT_NEGATIVE,
    }

    def normalize(self, label: str, group: Group) -> None:
        """Also that x can be told from y and z."""
        super().normalize(label, group)
        if "betas" in group and group["betas"][0] == 0:
            raise ValueError(f"{label}: betas[0] must be a number in (0, 1), got {group['betas'][0]!r}")

    def evaluation(self, param: Tensor, group: Group, entry: Mapping[str, Any]) -> Tensor | None:
        """The average x."""
        z, values = entry.get("z"), self.hyperparameters(group)
        beta = values["betas"][0] if "betas" in values else values["momentum"]
        return None if z is None else param + (1 - 1 / beta) * (z - param)


def averaged(
    y: Value,
    u: Value,
    z: Value,
    sum: Value,
    lr_max: Value,
    *,
    t: Value,
    rate: Value,
    beta: Value,
    r: Value,
    weight_lr_power: Value,
) -> tuple[Value, Value, Value, Value]:
    """One step of y and z against the update u, the sum of weights with that of the new z, and the largest rate."""
    lr_max = maximum(lr_max, rate)
    weight = t**r * lr_max**weight_lr_power
    sum = sum + weight
    share = where(sum > 0, weight / where(sum > 0, sum, 1), 0)
    return y + share * (z - y) + rate * (beta * (1 - share) - 1) * u, z - rate * u, sum, lr_max


def warmed(t: Value, lr: Value, warmup_steps: Value) -> Value:
    """The learning rate of a step, which rises over the first ones."""
    return lr * minimum(t / maximum(warmup_steps, 1), 1)
