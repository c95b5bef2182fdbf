"""That few bits cost no more than the rounding: states and parameters are those of float32, stored."""

from __future__ import annotations

import inspect
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import numpy as np

from neurenix import serialize
from neurenix._phynexus import Tensor
from neurenix.optim.packing import BLOCKS, is_packed, scale_key, storage
from neurenix.optim.storage import decode4, decode8, unpack4

from .record import Array, Record, Shape, require
from .runs import MEMORY, Run, flatten

FORMATS: Final = ("bfloat16", "float16", "int8", "int4")
NARROW: Final = {"bfloat16": (7, -126), "float16": (10, -14)}
"""Of parameters that are rounded: bits after the point, and the exponent of the least normal number."""
SHAPES: Final[tuple[Shape, ...]] = ((8_260,), (66, 64), (9,), (8, 6, 10, 9))
"""Parameters whose states are stored in few bits, with a last block that is not full, and a small one."""
STEPS: Final = 3


def _stored(check: Callable[[Record], str | None]) -> Callable[[Record], str | None]:
    """A property of those whose states the library stores."""

    def checked(record: Record) -> str | None:
        if record.sample.formula is None:
            return "its step() is its own and stores states itself"
        accepted = inspect.signature(record.optimizer).parameters.values()
        if not any(parameter.kind is parameter.VAR_KEYWORD for parameter in accepted):
            return "it takes no options"
        return check(record)

    checked.__name__, checked.__doc__ = check.__name__, check.__doc__
    return checked


@_stored
def stores_states_as_asked(record: Record) -> str | None:
    """With `state_dtype` a step is that of float32 from what is stored; its states are rounded, right on average."""
    stored = False
    for kind in FORMATS:
        run = _run(record, "float32", state_dtype=kind).train(2)
        full = _run(record, "float32", start=run.values(), state_dtype="float32")
        full.optimizer.init_state()
        full.optimizer.load_state_dict(run.optimizer.state_dict())
        require(
            run.step(3).bits() == full.step(3).bits(),
            f"{record}: a step with state_dtype={kind!r} is not that of float32 from the same state",
        )
        group = run.optimizer.param_groups[0]
        for place, (param, other) in enumerate(zip(run.params, full.params, strict=True)):
            entry, exact = run.optimizer.state[param], full.optimizer.state[other]
            for state in run.optimizer.all_states(group, run.optimizer.variant(param, group)):
                if state.kind == "full" and state.stored == "asked":
                    what = f"{record}: with state_dtype={kind!r} {state.name} of parameter {place}"
                    form = storage(kind, state, param)
                    values = exact[state.name].double().numpy().ravel()
                    _stored_as(what, form, entry, state.name, state.is_signed, values)
                    stored = stored or is_packed(entry, state.name)
    return None if stored else "it keeps nothing of a parameter's size"


@_stored
def resumes_exactly_in_few_bits(record: Record) -> str | None:
    """In each format of states, and with each rounding of parameters, it moves after loading as if never stopped."""
    ways: list[tuple[str, dict[str, Any]]] = [("float32", {"state_dtype": kind}) for kind in FORMATS]
    ways += [("bfloat16", {"param_update": "stochastic"}), ("float16", {"param_update": "kahan"})]
    with tempfile.TemporaryDirectory(dir=MEMORY if MEMORY.is_dir() else None) as folder:
        path = Path(folder) / "state.safetensors"
        for dtype, options in ways:
            whole, parts = _run(record, dtype, **options), _run(record, dtype, **options)
            for t in range(1, STEPS + 1):
                require(
                    whole.step(t).bits() == parts.step(t).bits(),
                    f"{record}: with {options} resumed before step {t}, it goes elsewhere",
                )
                saved = parts.optimizer.state_dict()
                if t == 2:
                    serialize.save(saved, path)
                    saved = serialize.load(path)
                parts.optimizer = record.build(parts.params, **options)
                parts.optimizer.load_state_dict(saved)
    return None


@_stored
def rounds_parameters_as_asked(record: Record) -> str | None:
    """Each `param_update` stores a float32 step: to nearest, at random but right on average, or with what it loses."""
    if record.closure or record.advance is not None:
        return "its closure makes the gradients of what was rounded"
    for dtype in NARROW:
        for update in ("nearest", "stochastic", "kahan"):
            run = _run(record, dtype, param_update=update)
            hand = _run(record, "float32", start=run.values())
            chances = list[Array]()
            for t in range(1, STEPS + 1):
                gradients = _rounded(run.process.at(t, run.values()), dtype)
                hand.place(run.values() + (_remainders(run) if update == "kahan" else 0))
                exact = hand.step(t, gradients).values()
                found = run.step(t, gradients).values()
                what = f"{record}: with param_update={update!r} step {t} of {dtype} parameters"
                if update == "stochastic":
                    chances.append(_chances(what, exact, found, dtype))
                else:
                    nearest = np.array_equal(found, _rounded(exact, dtype), equal_nan=True)
                    require(nearest, f"{what} does not round to nearest")
                if update == "kahan":
                    kept = np.array_equal(_remainders(run), _rounded(exact - found, dtype))
                    require(kept, f"{what} does not keep what rounding loses")
            if chances:
                _fair(f"{record}: with param_update='stochastic' {dtype} parameters", np.hstack(chances))
    return None


def _run(record: Record, dtype: str, **changes: Any) -> Run:
    dimensions = {len(shape) for shape in record.shapes}
    shapes = [shape for shape in SHAPES if len(shape) in dimensions] or record.shapes
    return Run(record, dtype, shapes=shapes, period=2, **changes)


def _stored_as(what: str, form: str, entry: Any, name: str, signed: bool, exact: Array) -> None:
    """Fails unless a state is stored in a format, as neighbours of its values that are right on average."""
    value, dtype = entry[name], "uint8" if form in BLOCKS else form
    require(
        value.dtype.name == dtype and (scale_key(name) in entry) == (form in BLOCKS),
        f"{what} is not stored so",
    )
    if form not in BLOCKS:
        found = value.double().numpy().ravel()
        if form in NARROW:
            _fair(what, _chances(what, exact, found, form))
        else:
            require(np.array_equal(found, exact), f"{what} is not stored so")
        return
    codes, scale = value.numpy().ravel(), entry[scale_key(name)].numpy()
    decode, count = (decode8, 256) if form == "int8" else (decode4, 16)
    if form == "int4":
        codes = np.concatenate(unpack4(codes))
    halves = np.split(np.arange(exact.size), 1 if form == "int8" else 2)
    blocks = len(scale) // len(halves)
    numbers = np.concatenate([k * blocks + np.arange(len(h)) // BLOCKS[form] for k, h in enumerate(halves)])
    table = np.sort(decode(np.arange(count), np.float32(1), signed).astype(float))
    scales = scale[numbers].astype(float)
    found = decode(codes, scale[numbers], signed).astype(float)
    ratio = np.divide(exact, scales, out=np.zeros_like(exact), where=scales > 0)
    below = np.clip(
        np.searchsorted(table, ratio * (1 + 1e-6 * np.sign(ratio)), side="right") - 1, 0, count - 2
    )
    low, high = table[below] * scales, table[below + 1] * scales
    slack = 1e-5 * np.maximum(np.abs(low), np.abs(high)) + 1e-30
    up = np.abs(found - high) <= slack
    neighbour = up | (np.abs(found - low) <= slack)
    worst = int(np.argmin(neighbour))
    require(
        neighbour.all(),
        f"{what} is stored as {found[worst]:.9g} for {exact[worst]:.9g}, which is no neighbour of it",
    )
    share = np.clip((exact - low) / np.where(high > low, high - low, 1), 0, 1)
    # no positive square becomes 0, and none is less than the least of four bits
    certain = (low == 0) & (ratio > 0) if not signed else np.zeros(len(ratio), bool)
    certain |= (ratio < table[0]) | (high == low)
    _fair(what, np.stack([up, share])[:, ~certain])


def _rounded(flat: Array, dtype: str) -> Array:
    return Tensor(flat, dtype=dtype).double().numpy()


def _remainders(run: Run) -> Array:
    kept = [run.optimizer.state[param].get("remainder") for param in run.params]
    pairs = zip(kept, run.params, strict=True)
    return flatten([np.zeros(p.shape) if rest is None else rest.double().numpy() for rest, p in pairs])


def _chances(what: str, exact: Array, found: Array, dtype: str) -> Array:
    """Of every element: whether it was rounded up, and the probability that it should have had."""
    digits, least = NARROW[dtype]
    unit = np.exp2(np.maximum(np.frexp(exact)[1] - 1, least) - digits)
    below = np.floor(exact / unit)
    up = found / unit - below
    share = exact / unit - below
    neighbour = ((up == 0) | (up == 1)) & ((share > 0) | (up == 0))
    worst = int(np.argmin(neighbour))
    require(
        neighbour.all(),
        f"{what} rounds {exact[worst]:.9g} to {found[worst]:.9g}, which is no neighbour of it",
    )
    return np.stack([up, share])


def _fair(what: str, chances: Array) -> None:
    """Fails unless as many are rounded up, and as many to the farther neighbour, as should be."""
    up, share = chances
    farther = up != (share > 0.5)
    for kind, count, chance in (("up", up, share), ("away", farther, np.minimum(share, 1 - share))):
        surplus = np.sum(count - chance)
        deviation = np.sqrt(np.sum(chance * (1 - chance)))
        require(
            abs(surplus) <= 5 * deviation + 1,
            f"{what} are rounded {kind} {np.sum(count):.0f} times, should be {np.sum(chance):.0f} "
            f"with a deviation of {deviation:.0f}",
        )
