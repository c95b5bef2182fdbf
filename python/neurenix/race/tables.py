"""The training function of `neurenix race`: what `neurenix train` does, with the validation loss now and then."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Final

from neurenix import nn, optim
from neurenix.data import Prepared
from neurenix.optim import schedule
from neurenix.train import Options, Run, evaluate, fit

from .candidates import MakeOptimizer

LOOKS: Final = 40  # how often the validation loss is looked at in a run of known length
WARMUP: Final = 50  # steps, where the length is not known
ENDLESS: Final = 10**9


def train_function(
    data: Prepared, options: Options, steps: int | None
) -> tuple[Callable[[MakeOptimizer, int], Iterator[float]], int]:
    """A function for `neurenix.optim.race` that trains on a table.

    Args:
        data: the encoded rows.
        options: how to train; the schedule is each optimizer's usual one where None, and the seed is added to those
            of the race.
        steps: of a run, or None for runs of unknown length, whose learning rate stays constant after the warm-up.

    Returns:
        The function, and how many steps it does before each yield; the last piece ends with the run.

    Example:
        >>> from neurenix import data, optim, train
        >>> iris = data.prepare(data.read("iris"))
        >>> function, every = train_function(iris, train.Options(hidden=(8,)), steps=80)
        >>> result = optim.race(function, ["sgd", "adamw"], seeds=1, steps=80, steps_per_piece=every, jobs=1)
        >>> len(result.ranking), every
        (2, 2)
    """
    per_epoch = -(-len(data.x) // options.batch_size)
    every = max(1, min(per_epoch, 50)) if steps is None else max(1, steps // LOOKS)
    options = replace(options, steps=ENDLESS if steps is None else steps)

    def train(make_optimizer: MakeOptimizer, seed: int) -> Iterator[float]:
        own = replace(options, optimizer=make_optimizer.name, lr=make_optimizer.lr, seed=options.seed + seed)

        def build(model: nn.Module, total: int) -> optim.Optimizer:
            if steps is None:
                return make_optimizer(model, lambda lr: schedule.warmup(schedule.constant(lr), steps=WARMUP))
            return make_optimizer(model, lambda lr: own.scheduled(lr, steps))

        run = Run(data, own, build)
        while not run.done:
            end = run.step + every
            fit(run, stop=lambda end=end: run.step >= end)  # type: ignore[misc]
            yield evaluate(run, run.x_val, run.y_val)[0]

    return train, every
