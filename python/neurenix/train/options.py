"""What a training run can be told, and the optimizer and schedule that follow from it."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from neurenix import nn, optim
from neurenix.data import Prepared, Table, prepare
from neurenix.data.target import Task
from neurenix.optim import schedule
from neurenix.optim.names import names

OPTIMIZERS: Mapping[str, optim.Named] = names()
# name: (highest learning rate, steps) -> the schedule after the warm-up
SCHEDULES: dict[str, Callable[[float, int], schedule.Schedule]] = {
    "cosine": lambda lr, steps: schedule.cosine(lr, steps=steps),
    "linear": lambda lr, steps: schedule.linear(lr, 0.0, steps=steps),
    "step": lambda lr, steps: schedule.step(lr, every=max(1, steps // 3)),
    "exponential": lambda lr, steps: schedule.exponential(lr, gamma=0.01, steps=max(1, steps)),
    "constant": lambda lr, steps: schedule.constant(lr),
    "stable": lambda lr, steps: schedule.warmup_stable_decay(lr, warmup=0, total=steps, decay=steps // 5),
    "inverse_sqrt": lambda lr, steps: schedule.inverse_sqrt(lr, timescale=max(1, steps // 10)),
    "polynomial": lambda lr, steps: schedule.polynomial(lr, steps=steps, power=2.0),
    "rex": lambda lr, steps: schedule.rex(lr, steps=steps),
    "restarts": lambda lr, steps: schedule.cosine_restarts(lr, steps=steps, cycles=3),
}

SPLIT_SEED = 1  # not an option: runs with different seeds are then measured on the same rows


@dataclass(frozen=True)
class Options:
    """How to train.

    Args:
        hidden: widths of the hidden layers.
        optimizer: a name of `OPTIMIZERS`, or wrapper+optimizer as in "lookahead+lion".
        lr: highest learning rate, > 0; the optimizer's usual one when None.
        weight_decay: ≥ 0, for weights only, never for biases; the optimizer's usual one when None.
        label_smoothing: share of the target that is spread over all classes, in [0, 1); without effect on numbers.
        schedule: a name of `SCHEDULES`, the learning rate by step; the optimizer's usual one when None.
        warmup: share of the steps in which the learning rate rises first, in [0, 1).
        epochs: passes over the training rows, ≥ 1.
        steps: length in steps instead, ≥ 1; the last pass may then end early.
        batch_size: rows for each step, ≥ 1.
        seed: of weights and order; which rows are held out is the same for all seeds.
        device: where to train.
        task: "classification" or "regression"; found from the target when None.
        val_fraction: share of the rows that is held out, in (0, 1).
        missing: texts that mean a missing target, see `neurenix.data.prepare`.

    Raises:
        ValueError: a value is out of its range.

    Example:
        >>> from neurenix.train import Options
        >>> Options(optimizer="sgd").rate
        0.05
    """

    hidden: tuple[int, ...] = (128, 64)
    optimizer: str = "adamw"
    lr: float | None = None
    weight_decay: float | None = None
    label_smoothing: float = 0.1
    schedule: str | None = None
    warmup: float = 0.1
    epochs: int = 40
    steps: int | None = None
    batch_size: int = 64
    seed: int = 0
    device: str = "cpu"
    task: Task | None = None
    val_fraction: float = 0.2
    missing: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "hidden", tuple(self.hidden))
        if self.missing is not None:
            object.__setattr__(self, "missing", tuple(self.missing))
        optim.named(self.optimizer)  # it is one
        if self.schedule not in (None, *SCHEDULES):
            raise ValueError(f"schedule must be one of {', '.join(SCHEDULES)}, got {self.schedule!r}")
        checks = {
            "hidden": ("widths of at least 1", all(width >= 1 for width in self.hidden)),
            "lr": ("above 0 and finite", self.lr is None or 0 < self.lr < math.inf),
            "weight_decay": (
                "at least 0 and finite",
                self.weight_decay is None or 0 <= self.weight_decay < math.inf,
            ),
            "label_smoothing": ("at least 0 and below 1", 0 <= self.label_smoothing < 1),
            "warmup": ("at least 0 and below 1", 0 <= self.warmup < 1),
            "val_fraction": ("between 0 and 1", 0 < self.val_fraction < 1),
            "epochs": ("at least 1", self.epochs >= 1),
            "steps": ("at least 1", self.steps is None or self.steps >= 1),
            "batch_size": ("at least 1", self.batch_size >= 1),
            "seed": ("at least 0 and below 2**63", 0 <= self.seed < 2**63),
        }
        for name, (rule, holds) in checks.items():
            if not holds:
                raise ValueError(f"{name} must be {rule}, got {getattr(self, name)}")

    @property
    def rate(self) -> float:
        """The highest learning rate."""
        return optim.named(self.optimizer).lr if self.lr is None else self.lr

    @property
    def shape(self) -> str:
        """The name of the schedule."""
        return self.schedule or optim.named(self.optimizer).schedule

    def prepare(self, table: Table) -> Prepared:
        """Splits and encodes a table as these options say."""
        return prepare(table, self.task, self.val_fraction, SPLIT_SEED, self.missing)

    def make_model(self, inputs: int, outputs: int) -> nn.Sequential:
        """The perceptron: linear layers with ReLU between them."""
        widths = (inputs, *self.hidden, outputs)
        layers: list[nn.Module] = []
        for fan_in, fan_out in itertools.pairwise(widths):
            layers += [nn.Linear(fan_in, fan_out), nn.ReLU()]
        return nn.Sequential(*layers[:-1])

    def make_optimizer(self, model: nn.Module, steps: int) -> optim.Optimizer:
        """The optimizer with its schedule over this many steps."""
        return optim.named(self.optimizer)(model, self.scheduled(self.rate, steps), self.weight_decay)

    def scheduled(self, rate: float, steps: int) -> optim.Schedule:
        """The learning rate over this many steps."""
        rise = round(self.warmup * steps)
        lr = SCHEDULES[self.shape](rate, steps - rise)
        return schedule.warmup(lr, steps=rise) if rise else lr

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for a checkpoint."""
        missing = None if self.missing is None else list(self.missing)
        return {**asdict(self), "hidden": list(self.hidden), "missing": missing}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Options:
        """The options that `to_dict` gave; of a later version's, those that are known."""
        if not isinstance(values, Mapping):
            raise TypeError(f"options are a mapping, got {type(values).__name__}")
        return cls(**{field.name: values[field.name] for field in fields(cls) if field.name in values})
