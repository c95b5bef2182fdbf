"""That an optimizer computes its rule, and that everything in the rule counts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np

from neurenix._phynexus import DType, Tensor
from neurenix.testing.compare import TOLERANCE

from .record import OPTIONS, Array, Record, Shape, require
from .runs import Oracle, Process, Run

STEPS: Final = 100
MOVED_STEPS: Final = 40
SYNCED: Final = (1, 2, 5, 13)
"""After which steps low precision is compared."""


def computes_its_rule(record: Record) -> str | None:
    """A thousand steps in float64 are those of the oracle; a hundred for tensors of all shapes."""
    if record.oracle is None:
        return "no oracle was given"
    _compare(record, record.shapes, min(STEPS, record.steps))
    _compare(record, record.shapes[: 2 if record.couples else 1], record.steps)
    return None


def hyperparameters_count(record: Record) -> str | None:
    """Each hyperparameter changes the result by at least a hundred times the tolerance, as it does the oracle's."""
    unknown = set(record.moves) | set(record.still)
    missing = [name for name in record.hyperparameters if name not in unknown]
    require(
        not missing, f"{record}: give moves for {', '.join(missing)}, or list them in still with the reason"
    )
    foreign = set(record.still) - set(record.hyperparameters) - OPTIONS
    require(not foreign, f"{record}: {', '.join(foreign)} in still is none of its hyperparameters")
    if not record.moves:
        return "it has no hyperparameters"
    steps = min(MOVED_STEPS, record.steps)
    before, scale = _path(Run(record), steps)
    for name, value in record.moves.items():
        if record.oracle is None:
            after, _ = _path(Run(record, **{name: value}), steps)
        else:
            after = _compare(record, record.shapes, steps, **{name: value})
        moved = np.max(np.abs(after - before) / scale)
        least = 100 * record.tolerance[0]
        require(
            moved >= least,
            f"{record}: {name}={value!r} moves the result by {moved:.3g} of its size, less than {least:.3g}",
        )
    return None


def holds_in_low_precision(record: Record) -> str | None:
    """A step in float32, bfloat16 and float16 is that of float64, up to five times the usual tolerance."""
    wide = Run(record)
    for t in range(1, SYNCED[-1] + 1):
        if t in SYNCED:
            for dtype in ("float32", "bfloat16", "float16"):
                _compare_low(record, wide, dtype, t)
        wide.step(t)
    return None


def goes_downhill(record: Record) -> str | None:
    """In 100 steps on a parabola the loss falls by a tenth or more, in float32 and float64."""
    changes: dict[str, Any] = {"weight_decay": 0.0} if "weight_decay" in record.hyperparameters else {}
    for dtype in ("float32", "float64"):
        run = Run(record, dtype, **changes)
        start = run.values()
        run.process = _Parabola(run.process.shapes)
        run.train(100)
        before, after = (run.process.loss(1, flat) for flat in (start, run.values()))
        require(
            after < 0.9 * before,
            f"{record}: in 100 steps in {dtype} the loss of a parabola went from {before:.6g} to {after:.6g}",
        )
    return None


class _Parabola(Process):
    """Without noise."""

    def __init__(self, shapes: Sequence[Shape]) -> None:
        super().__init__(shapes, 1, everywhere=True)
        self.noise[:] = 0
        self.curvature[:] = 1


def _compare(record: Record, shapes: Sequence[Shape], steps: int, **changes: Any) -> Array:
    """Where the optimizer ends; fails unless it goes the way of the oracle."""
    run = Run(record, shapes=shapes, **changes)
    oracle = Oracle(run, **changes)
    apart = np.zeros_like(oracle.flat)
    scale = np.abs(oracle.flat)
    for t in range(1, steps + 1):
        gradients = oracle.step(t)
        run.step(t, None if record.closure else gradients)
        scale = np.maximum(scale, np.abs(oracle.flat))
        difference = np.abs(run.values() - oracle.flat)
        apart = np.maximum(apart, difference)
        if t & (t - 1) == 0 or t == steps:  # look now and then, so that failures name an early step
            worst = int(np.argmax(np.nan_to_num(apart / scale, nan=np.inf)))
            relative = apart[worst] / scale[worst]
            require(
                relative <= record.tolerance[0],
                f"{record}{changes or ''}: by step {t}, element {worst} of all differs from the oracle's by "
                f"{relative:.3g} of its size, more than {record.tolerance[0]:.3g}; "
                f"it is {run.values()[worst]:.17g}, the oracle's {oracle.flat[worst]:.17g}",
            )
    return run.values()


def _path(run: Run, steps: int) -> tuple[Array, Array]:
    """Where a run ends, and the largest value of each element on its way."""
    scale = np.abs(run.values())
    for t in range(1, steps + 1):
        scale = np.maximum(scale, np.abs(run.step(t).values()))
    return run.values(), scale


def _compare_low(record: Record, wide: Run, dtype: str, t: int) -> None:
    """One step from where the wide run is, with numbers that the dtype can hold."""
    start = _rounded(wide.values(), dtype)
    gradients = _rounded(wide.process.at(t, start), dtype)
    saved = wide.optimizer.state_dict()
    ends = []
    for kind in (dtype, "float64"):
        run = Run(record, kind, start=start)
        run.optimizer.init_state()
        run.optimizer.load_state_dict(_like(saved, run.optimizer.state_dict()))
        ends.append(run.step(t, gradients).values())
    relative, absolute = TOLERANCE[DType(dtype)]
    low, exact = ends
    excess = np.abs(low - exact) - 5 * (absolute + relative * np.abs(exact))
    worst = int(np.argmax(np.nan_to_num(excess, nan=np.inf)))
    require(
        excess[worst] <= 0,
        f"{record}: step {t} in {dtype} gives {low[worst]:.9g} for element {worst} of all, "
        f"float64 {exact[worst]:.9g}",
    )


def _rounded(flat: Array, dtype: str) -> Array:
    return Tensor(flat, dtype=dtype).double().numpy()


def _like(saved: Any, own: Any) -> Any:
    """A saved state whose tensors have the dtypes that an optimizer of another dtype keeps."""
    if isinstance(saved, Tensor):
        kind = own.dtype.name if isinstance(own, Tensor) else "float32"
        return saved.to(kind)
    if isinstance(saved, dict):
        return {
            key: _like(value, own.get(key) if isinstance(own, dict) else None) for key, value in saved.items()
        }
    return saved
