"""What users of any optimizer may rely on: policies, hooks, closures and errors."""

from __future__ import annotations

import copy
import re
from typing import Any

import numpy as np

from neurenix._phynexus import Tensor, is_grad_enabled

from .record import Record, require
from .runs import SETTLED, Run, contents


def maximizing_is_the_negated_gradient(record: Record) -> str | None:
    """`maximize=True` moves as the negated gradients do, bit for bit."""
    if record.closure or record.advance is not None:
        return "its closure sets the gradients"
    up, down = Run(record, "float32", maximize=True), Run(record, "float32", maximize=False)
    for t in range(1, 6):
        gradients = up.process.at(t, up.values())
        up.step(t, gradients)
        down.step(t, -gradients)
        require(up.bits() == down.bits(), f"{record}: at step {t} maximize=True is not the negated gradient")
    return None


def nonfinite_gradients_can_be_skipped(record: Record) -> str | None:
    """With nonfinite="skip" a NaN or an infinity in one gradient leaves everything as it was."""
    run = Run(record, "float32", nonfinite="skip").train(2)
    for bad in (np.nan, np.inf, -np.inf):
        before = _everything(run)
        run.step(3, _spoiled(run, bad))
        require(_everything(run) == before, f"{record}: a skipped step changed parameters or state")
        require(run.optimizer.last_step_skipped, f"{record}: last_step_skipped is not set")
    other = Run(record, "float32").train(3)
    require(run.train(3, 3).bits() == other.bits(), f"{record}: after a skipped step it goes elsewhere")
    require(not run.optimizer.last_step_skipped, f"{record}: last_step_skipped stays")
    return None


def nonfinite_gradients_can_raise(record: Record) -> str | None:
    """With nonfinite="raise" they are a FloatingPointError that names the parameter, and nothing moves."""
    run = Run(record, "float32", nonfinite="raise").train(2)
    before = _everything(run)
    try:
        run.step(3, _spoiled(run, np.nan))
    except FloatingPointError as error:
        named = f"parameter {len(run.params) - 1}"
        require(named in str(error), f"{record}: the error does not name {named}: {error}")
    else:
        raise AssertionError(f"{record}: nonfinite='raise' does not raise")
    require(_everything(run) == before, f"{record}: a refused step changed parameters or state")
    return None


def bad_arguments_are_errors(record: Record) -> str | None:
    """The record's bad arguments raise what it says."""
    if not record.errors:
        return "no errors were given"
    params = Run(record).params
    for arguments, kind, message in record.errors:
        try:
            record.build(params, **arguments)
        except kind as error:
            require(
                re.search(message, str(error)),
                f"{record}: {arguments} raises {error!r}, which does not say {message!r}",
            )
        except Exception as error:
            raise AssertionError(f"{record}: {arguments} raises {error!r}, not {kind.__name__}") from error
        else:
            raise AssertionError(f"{record}: {arguments} is no error, {kind.__name__} was expected")
    return None


def bad_parameters_are_errors(record: Record) -> str | None:
    """Parameters that cannot be optimized are refused."""
    (param, *_) = Run(record).params
    refused: list[tuple[str, Any]] = [
        ("no parameters", []),
        ("a single tensor", param),
        ("a set", {param}),
        ("an array", [np.ones(3)]),
        ("integers", [Tensor([1, 2])]),
        ("an empty tensor", [Tensor.zeros((0, 3))]),
        ("a tensor twice", [{"params": [param]}, {"params": [param]}]),
        ("a group without parameters", [{"lr": 0.1}]),
        ("an empty group", [{"params": [param]}, {"params": []}]),
        ("an unknown key", [{"params": [param], "unheard_of": 1}]),
        ("the result of an operation", [param * 2]),
    ]
    for what, params in refused:
        try:
            record.build(params)
        except (TypeError, ValueError):
            continue
        raise AssertionError(f"{record}: {what} as parameters is no error")
    return None


def errors_change_nothing(record: Record) -> str | None:
    """A bad value written to a group is an error of the next step, which changes nothing."""
    run, other = Run(record, "float32").train(2), Run(record, "float32").train(2)
    group, tried = run.optimizer.param_groups[0], 0
    for arguments, kind, _ in record.errors:
        if not all(name in run.optimizer.defaults for name in arguments):
            continue
        kept = {name: group[name] for name in arguments}
        before = _everything(run)
        group.update(arguments)
        try:
            run.step(3)
        except kind:
            tried += 1
        else:
            raise AssertionError(f"{record}: {arguments} written to a group is no error at the next step")
        group.update(kept)
        require(
            _everything(run) == before, f"{record}: the error about {arguments} changed parameters or state"
        )
    require(run.train(4, 3).bits() == other.train(4, 3).bits(), f"{record}: after an error it goes elsewhere")
    return None if tried else "no errors in hyperparameters were given"


def hooks_are_called(record: Record) -> str | None:
    """Hooks run before and after each step, in their order, until they are removed."""
    run, seen = Run(record, "float32").train(SETTLED), list[str]()
    start = run.bits()

    def before(optimizer: Any, args: Any, kwargs: Any) -> None:
        seen.append("before" if optimizer is run.optimizer and run.bits() == start else "too late")

    def after(optimizer: Any, args: Any, kwargs: Any) -> None:
        seen.append("after" if run.bits() != start else "too early")

    hooks = [
        run.optimizer.register_step_pre_hook(before),
        run.optimizer.register_step_pre_hook(lambda *_: seen.append("second")),
        run.optimizer.register_step_post_hook(after),
    ]
    run.step(SETTLED + 1)
    for hook in hooks:
        hook.remove()
    run.step(SETTLED + 2)
    require(seen == ["before", "second", "after"], f"{record}: hooks were called as {seen}")
    return None


def closures_are_called(record: Record) -> str | None:
    """A closure is called with gradients recorded; the step returns its loss and moves as without."""
    if record.advance is not None:
        return "it makes its steps in a way of its own"
    run, other = Run(record, "float32"), Run(record, "float32")
    for t in (1, 2):
        recorded, losses = list[bool](), list[Tensor]()

        def closure(t: int = t, recorded: list[bool] = recorded, losses: list[Tensor] = losses) -> Tensor:
            recorded.append(is_grad_enabled())
            losses.append(run.closure(t)())
            return losses[-1]

        loss = run.optimizer.step(closure)
        require(
            bool(recorded) and all(recorded), f"{record}: the closure is not called with gradients recorded"
        )
        require(loss is not None and float(loss) == losses[0].item(), f"{record}: the loss is not returned")
        other.step(t)
    require(run.bits() == other.bits(), f"{record}: a closure changes the step")
    return None


def evaluation_comes_and_goes(record: Record) -> str | None:
    """`eval()` and `train()` leave no trace, in copies neither; a step between them is an error."""
    run, other = Run(record, "float32").train(2), Run(record, "float32").train(2)
    before = _everything(run)
    run.optimizer.eval()
    if run.bits() != before[0]:
        try:
            run.step(3)
        except RuntimeError:
            pass
        else:
            raise AssertionError(f"{record}: a step moves the weights that are there for evaluation")
    twin = Run(record, "float32")
    twin.optimizer, twin.params = copy.deepcopy((run.optimizer, run.params))
    for each in (run, twin):
        each.optimizer.train()
        require(_everything(each) == before, f"{record}: eval() and train() change parameters or state")
        require(
            each.train(4, 3).bits() == (other.train(4, 3) if each is run else other).bits(),
            f"{record}: after eval() and train() it goes elsewhere",
        )
    return None


def its_repr_tells(record: Record) -> str | None:
    """`repr` shows the class and every hyperparameter of its groups."""
    optimizer = record.sample
    text, group = repr(optimizer), optimizer.param_groups[0]
    require(type(optimizer).__name__ in text, f"{record}: repr does not name the class: {text}")
    for name in optimizer.defaults:
        require(f"{name}={group[name]!r}" in text, f"{record}: repr does not show {name}: {text}")
    return None


def _everything(run: Run) -> Any:
    return run.bits(), contents(run.optimizer.state_dict())


def _spoiled(run: Run, bad: float) -> Any:
    """Gradients with one bad element, in the last tensor."""
    gradients = run.process.at(3, run.values())
    gradients[-1] = bad
    return gradients
