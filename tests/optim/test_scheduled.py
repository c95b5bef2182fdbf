"""Schedules as hyperparameters."""

from __future__ import annotations

import inspect

import neurenix as nx
import numpy as np
import pytest
from neurenix.optim import Adagrad, Fixed, Prodigy
from neurenix.optim.names import names

OPTIMIZERS = names()


def scheduled(value):
    return tuple(map(scheduled, value)) if isinstance(value, tuple) else lambda step: value


@pytest.mark.parametrize("name", sorted(set(OPTIMIZERS) - {"lbfgs"}))
def test_what_is_typed_as_scheduled_takes_a_function_of_the_step(name) -> None:
    known = OPTIMIZERS[name]
    numbers = {
        argument: known.arguments.get(argument, parameter.default)
        for argument, parameter in inspect.signature(known.kind.__init__).parameters.items()
        if "Scheduled" in str(parameter.annotation)
    }
    numbers = {argument: value for argument, value in numbers.items() if value is not None}

    def trained(values):
        nx.manual_seed(0)
        draws = np.random.default_rng(0)
        weights = [nx.Tensor(draws.normal(size=shape), requires_grad=True) for shape in ((4, 3), (3, 4))]
        inner = weights if known.around is None else known.around.kind(weights, lr=0.01)
        optimizer = known.kind(inner, **{**known.arguments, **values})

        def closure():
            optimizer.zero_grad()
            loss = sum((w * w).sum() for w in weights)
            loss.backward()
            return loss

        for _ in range(3):
            optimizer.step(closure)
        return np.concatenate([w.detach().numpy().ravel() for w in weights]).tobytes()

    assert numbers
    assert trained({argument: scheduled(value) for argument, value in numbers.items()}) == trained(numbers)


@pytest.mark.parametrize(("kind", "name"), [(Adagrad, "initial_accumulator_value"), (Prodigy, "d0")])
def test_what_counts_at_the_beginning_alone_does_not(kind, name) -> None:
    assert isinstance(kind.limits[name], Fixed)
    with pytest.raises(TypeError, match=f"{name} must be a number in .*, and cannot be a schedule"):
        kind([nx.ones(2, requires_grad=True)], **{name: lambda step: 1.0})
