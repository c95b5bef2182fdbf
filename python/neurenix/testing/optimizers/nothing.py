"""What must leave an optimizer and its parameters alone."""

from __future__ import annotations

from typing import Any

import numpy as np

from .record import Record, require
from .runs import SETTLED, Run, contents


def zero_lr_moves_nothing(record: Record) -> str | None:
    """With a learning rate of 0 parameters keep their bits; steps are counted."""
    if "lr" not in record.hyperparameters:
        return "it has no lr"
    run = Run(record, "float32", lr=0.0)
    before = run.bits()
    require(run.train(3).bits() == before, f"{record}: lr=0 moves parameters")
    counts = [group["step"] for group in run.optimizer.state_dict()["param_groups"]]
    if run.optimizer.formula is not None:  # others count for groups alone
        counts += [run.optimizer.state[param].get("step") for param in run.params]
    for counted in counts:
        require(counted == 3, f"{record}: three steps with lr=0 count as {counted}")
    return None


def no_gradient_no_change(record: Record) -> str | None:
    """A parameter whose gradient is None keeps its value, state and step count."""
    if record.closure or record.advance is not None:
        return "its closure sets all gradients"
    run = Run(record, "float32").train(SETTLED)
    frozen = run.params[0]
    before = frozen.tobytes(), contents(dict(run.optimizer.state[frozen]))
    others = [param.tobytes() for param in run.params[1:]]
    for t in (SETTLED + 1, SETTLED + 2):
        run.put(run.process.at(t, run.values()))
        frozen.grad = None
        run.optimizer.step()
    after = frozen.tobytes(), contents(dict(run.optimizer.state[frozen]))
    require(after == before, f"{record}: a parameter without gradient or its state changed")
    moved = [param.tobytes() for param in run.params[1:]]
    require(
        len(run.params) == 1 or moved != others, f"{record}: the parameters that have gradients stand still"
    )
    fresh = Run(record, "float32")
    before_all = fresh.bits()
    fresh.optimizer.step()
    require(fresh.bits() == before_all, f"{record}: a step without any gradient moved parameters")
    return None


def zero_gradients_are_finite(record: Record) -> str | None:
    """Gradients that are zero from the beginning give no NaN."""
    run = _zero(record)
    require(np.isfinite(run.values()).all(), f"{record}: gradients of zero give NaN or infinity")
    return None


def zero_gradients_move_nothing(record: Record) -> str | None:
    """Without weight decay, gradients that are zero from the beginning change no bit."""
    run = _zero(record)
    require(run.bits() == Run(record, "float32").bits(), f"{record}: gradients of zero move parameters")
    return None


def gradients_are_not_written(record: Record) -> str | None:
    """A step leaves all gradients as they are, with each of the record's moves too."""
    if record.closure or record.advance is not None:
        return "its closure sets the gradients"
    usual: list[tuple[str, dict[str, Any]]] = [(dtype, {}) for dtype in ("float32", "float64", "bfloat16")]
    moved = [("float32", {name: value}) for name, value in record.moves.items()]
    for dtype, changes in usual + moved:
        run = Run(record, dtype, **changes)
        for t in range(1, 4):
            run.put(run.process.at(t, run.values()))
            before = [param.grad.tobytes() for param in run.params if param.grad is not None]
            run.optimizer.step()
            after = [param.grad.tobytes() for param in run.params if param.grad is not None]
            require(after == before, f"{record}{changes or ''}: a step writes to {dtype} gradients")
    return None


def _zero(record: Record) -> Run:
    changes: dict[str, Any] = {"weight_decay": 0.0} if "weight_decay" in record.hyperparameters else {}
    run = Run(record, "float32", **changes)
    for t in range(1, 4):
        run.step(t, np.zeros_like(run.process.start))
    return run
