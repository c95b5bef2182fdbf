"""That state is what it is said to be, and goes on as if nothing had happened."""

from __future__ import annotations

import copy
import pickle
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import numpy as np

from neurenix import serialize
from neurenix._phynexus import Tensor, get_num_threads, set_num_threads
from neurenix.device import memory_usage, reset_peak_memory
from neurenix.optim import Optimizer

from .record import Record, Shape, require
from .runs import MEMORY, Run, contents, named

STEPS: Final = 50
LATE: Final = (2**24 + 1, 2**31 + 1)
"""Where counts in float32 and in 32 bits end."""
BIG: Final[tuple[Shape, ...]] = ((131_071,), (256, 511))
BLOCKS: Final = 1 << 18
"""What a thread may hold of the values inside a formula, in bytes, whatever the size of the parameters."""


def resumes_exactly(record: Record) -> str | None:
    """Saved and loaded after each of fifty steps, now and then in a file, it moves as if it had never stopped."""
    whole, parts = Run(record, "float32", arrange=named), Run(record, "float32", arrange=named)
    with tempfile.TemporaryDirectory(dir=MEMORY if MEMORY.is_dir() else None) as folder:
        path = Path(folder) / "state.safetensors"
        for t in range(1, STEPS + 1):
            expected = whole.step(t).bits()
            require(parts.step(t).bits() == expected, f"{record}: resumed before step {t}, it goes elsewhere")
            saved = parts.optimizer.state_dict()
            if t & (t - 1) == 0:
                serialize.save(saved, path)
                saved = serialize.load(path)
            reverse = t % 2 and not record.couples
            parts.optimizer = record.build(named(parts.params)[:: -1 if reverse else 1])
            _spoil(parts.optimizer)
            parts.optimizer.load_state_dict(saved)
    return None


def refused_states_change_nothing(record: Record) -> str | None:
    """A saved state that does not fit is a ValueError, and leaves the optimizer as it was."""
    run = Run(record, "float32").train(2)
    before = contents(run.optimizer.state_dict())
    foreign = Run(record, "float32", shapes=[record.shapes[0]]).train(1).optimizer.state_dict()
    unknown = copy.deepcopy(run.optimizer.state_dict())
    unknown["param_groups"][0]["unheard_of"] = 1.0
    refused: list[tuple[str, Any]] = [("an empty dict", {}), ("an unknown hyperparameter", unknown)]
    if len(record.shapes) > 1:
        refused.append(("the state of fewer parameters", foreign))
    for what, state in refused:
        try:
            run.optimizer.load_state_dict(state)
        except ValueError:
            pass
        else:
            raise AssertionError(f"{record}: load_state_dict takes {what}")
        after = contents(run.optimizer.state_dict())
        require(after == before, f"{record}: refusing {what} as a state changed the optimizer")
    return None


def state_has_its_size(record: Record) -> str | None:
    """The state of float32 parameters takes the bytes that the record says."""
    size = record.state_bytes
    if size is None:
        return "no state_bytes were given"
    run = Run(record, "float32").train(2)
    for param in run.params:
        shape = tuple(param.shape)
        found = _bytes(dict(run.optimizer.state[param]))
        expected = size(shape) if callable(size) else size * param.numel()
        require(
            found == expected, f"{record}: a parameter of {shape} has {found} bytes of state, not {expected}"
        )
    return None


def steps_need_little_memory(record: Record) -> str | None:
    """A step makes no tensors beside parameters, gradients and state, or as few as the record says."""
    if record.closure or record.advance is not None:
        return "its closure makes tensors"
    allowed = record.temporaries
    if allowed is None:
        optimizer = record.sample
        coded = any(optimizer.is_directed(v) for g in optimizer.param_groups for v in optimizer.variants(g))
        if optimizer.formula is None or coded:
            return "it is tensor code, and no temporaries were given"
        allowed = 0
    dimensions = {len(shape) for shape in record.shapes}
    threads = get_num_threads()
    try:
        set_num_threads(1)
        run = Run(record, "float32", shapes=[s for s in BIG if len(s) in dimensions], period=2).train(2)
        run.put(run.process.at(3, run.values()))
        reset_peak_memory()
        before = memory_usage().current
        run.optimizer.step()
        used = memory_usage().peak - before
    finally:
        set_num_threads(threads)
    size = 4 * max(param.numel() for param in run.params)
    require(
        used <= allowed * size + BLOCKS,
        f"{record}: a step takes {used:,} bytes beside what it keeps; "
        f"{allowed} times the size of the largest parameter are {int(allowed * size):,}",
    )
    return None


def state_may_be_made_early(record: Record) -> str | None:
    """After `init_state()` it moves as without."""
    early, late = Run(record, "float32"), Run(record, "float32")
    early.optimizer.init_state()
    early.optimizer.init_state()
    require(early.bits() == late.bits(), f"{record}: init_state() moves parameters")
    require(
        early.train(3).bits() == late.train(3).bits(), f"{record}: init_state() changes the steps after it"
    )
    return None


def copies_go_on_alike(record: Record) -> str | None:
    """Deep copies and pickles of optimizer and parameters move as the original does."""
    copiers: dict[str, Callable[[Any], Any]] = {
        "a deep copy": copy.deepcopy,
        "a pickle": lambda value: pickle.loads(pickle.dumps(value)),
    }
    for what, copier in copiers.items():
        run, twin = Run(record, "float32").train(3), Run(record, "float32")
        twin.optimizer, twin.params = copier((run.optimizer, run.params))
        own = [param for group in twin.optimizer.param_groups for param in group["params"]]
        require(
            all(a is b for a, b in zip(own, twin.params, strict=True)),
            f"{record}: {what} of optimizer and parameters does not hold the copied parameters",
        )
        require(twin.train(6, 4).bits() == run.train(6, 4).bits(), f"{record}: {what} goes elsewhere")
    return None


def counts_do_not_overflow(record: Record) -> str | None:
    """Beyond 2²⁴ and 2³¹ steps values stay finite and steps are counted."""
    for late in LATE:
        run = Run(record, "float32").train(1)
        saved = run.optimizer.state_dict()
        for entry in saved["state"].values():
            if "step" in entry:
                entry["step"] = late
        for group in saved["param_groups"]:
            group["step"] = late
        run.optimizer.load_state_dict(saved)
        run.train(3, 2)
        require(np.isfinite(run.values()).all(), f"{record}: after {late:,} steps values are not finite")
        for param in run.params:
            count = run.optimizer.state[param].get("step", late + 2)
            require(count == late + 2, f"{record}: two steps after {late:,} the count is {count:,}")
    return None


def _spoil(optimizer: Optimizer) -> None:
    """Another lr, which loading must put right."""
    for group in optimizer.param_groups:
        if isinstance(group.get("lr"), float):
            group["lr"] *= 0.75


def _bytes(value: Any) -> int:
    if isinstance(value, Tensor):
        return value.numel() * value.element_size()
    if isinstance(value, np.ndarray):
        return value.nbytes
    if isinstance(value, dict):
        return sum(map(_bytes, value.values()))
    return sum(map(_bytes, value)) if isinstance(value, (list, tuple)) else 0
