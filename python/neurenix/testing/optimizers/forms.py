"""That other ways of making a step make the same step."""

from __future__ import annotations

from typing import Final

import numpy as np

from neurenix._phynexus import Tensor
from neurenix.optim import Functional, Optimizer

from .record import Array, Record, require
from .runs import Run, bits

STEPS: Final = 5


def steps_in_the_backward_pass(record: Record) -> str | None:
    """`loss.backward(optimizer=...)` is `loss.backward()` and a step, or refused; it leaves no gradients."""
    dtype = "float64" if record.couples else "float32"
    run, plain = Run(record, dtype), Run(record, dtype)
    if type(run.optimizer).step is not Optimizer.step:
        before = run.bits()
        try:
            _loss(run, run.process.at(1, run.values())).backward(optimizer=run.optimizer)
        except TypeError:
            require(
                run.bits() == before,
                f"{record}: a backward pass with steps was refused, but moved parameters",
            )
            return None
        raise AssertionError(f"{record}: a backward pass takes it, but does not call its step()")
    if record.closure or record.advance is not None:
        return "it makes its steps in a way of its own"
    for t in range(1, STEPS + 1):
        gradients = plain.process.at(t, plain.values())
        _loss(run, gradients).backward(optimizer=run.optimizer)
        left = [place for place, param in enumerate(run.params) if param.grad is not None]
        require(
            not left, f"{record}: after a backward pass with steps parameters {left} still have gradients"
        )
        plain.step(t, gradients)
        apart = np.abs(run.values() - plain.values()) / np.maximum(np.abs(plain.values()), 1e-3)
        require(
            apart.max() <= 10 * record.tolerance[0] if record.couples else run.bits() == plain.bits(),
            f"{record}: step {t} in the backward pass differs by {apart.max():.3g}",
        )
    return None


def _loss(run: Run, gradients: Array) -> Tensor:
    """A loss that has these gradients."""
    pairs = zip(run.params, run.process.split(gradients), strict=True)
    terms = [(param * Tensor(gradient, dtype=param.dtype)).sum() for param, gradient in pairs]
    return sum(terms[1:], start=terms[0])


def agrees_with_its_functional_form(record: Record) -> str | None:
    """`Functional` makes the same steps, bit for bit, and changes nothing that it is given."""
    if record.closure or record.advance is not None:
        return "its closure sets the gradients"
    run = Run(record, "float32")
    form = Functional(record.optimizer, **record.arguments)
    params = [param.detach().clone() for param in run.params]
    state = form.init(params)
    for t in range(1, STEPS + 1):
        run.step(t)
        before, given = bits(params), [param.grad for param in run.params]
        new, state = form.update(given, state, params)
        require(bits(params) == before, f"{record}: update() changes the parameters that it is given")
        require(bits(new) == run.bits(), f"{record}: step {t} of its functional form goes elsewhere")
        params = new
    return None
