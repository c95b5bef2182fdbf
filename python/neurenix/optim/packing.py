"""Which format each state is stored in, and the only way from what is stored to its values and back."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final, TypeAlias

from neurenix._phynexus import Formula, Tensor, cat

from .bits import integer
from .formula import Value
from .rounding import Keys, noise, stochastic
from .states import State
from .storage import BLOCK, BLOCK4, block_scale, decode4, decode8, encode4, encode8, pack4, unpack4
from .tracing import Tape

FORMATS: Final = ("float32", "bfloat16", "float16", "int8", "int4")
#: Elements that share a scale.
BLOCKS: Final[Mapping[str, int]] = {"int8": BLOCK, "int4": BLOCK4}
#: Tensors with fewer elements keep their states in float32 instead of few bits.
SMALL: Final = 4096

Option: TypeAlias = str | Mapping[str, str] | None


def check_option(label: str, option: Any) -> Option:
    """The option `state_dtype`: a format, or a dict of formats by the name of the state."""
    formats = option.values() if isinstance(option, Mapping) else () if option is None else (option,)
    for value in formats:
        if value not in FORMATS:
            raise ValueError(f"{label}: state_dtype must be one of {', '.join(FORMATS)}, got {value!r}")
    return dict(option) if isinstance(option, Mapping) else option


def check_names(label: str, option: Option, states: Sequence[State]) -> None:
    """That every state that an option names exists, and can be stored as it says."""
    if not isinstance(option, Mapping):
        return
    known = {state.name: state for state in states}
    if unknown := [name for name in option if name not in known]:
        raise ValueError(
            f"{label}: state_dtype names {', '.join(map(repr, unknown))}; the states are {', '.join(known)}"
        )
    for name, kind in option.items():
        state = known[name]
        if kind != "float32" and state.is_exact:
            raise ValueError(
                f"{label}: {name} keeps float32, as the weights would follow what rounding makes of it; state_dtype "
                f"gives it {kind!r}"
            )
        if (wider := state.stored_as(kind)) != kind:
            raise ValueError(
                f"{label}: state_dtype gives {name} {kind!r}, in which it would not train as in float32; give it "
                f"{wider!r}"
            )


def rounds(option: Option) -> bool:
    """Whether an option stores any state in less than float32."""
    formats = option.values() if isinstance(option, Mapping) else (option,)
    return any(kind not in (None, "float32") for kind in formats)


def storage(option: Option, state: State, param: Tensor) -> str:
    """The format of a state of a parameter.

    Few bits are for tensors of the parameter's shape with at least `SMALL` elements. States of float64 parameters,
    numbers, values for rows and columns, positions, and what belongs to tensor code keep their precision. What does
    not bear a format has the next wider.
    """
    own = "float64" if param.dtype.name == "float64" else "float32"
    if own == "float64" or state.is_exact:
        return own
    if state.stored == "param":
        return param.dtype.name
    name = state.stored_as(option if isinstance(option, str) else (option or {}).get(state.name, own))
    if name in BLOCKS and (param.numel() < SMALL or (name == "int4" and param.numel() % 2)):
        return own
    return name


def scale_key(name: str) -> str:
    """Under which name a state's scales are kept."""
    return f"{name}_scale"


def is_packed(entry: Mapping[str, Any], name: str) -> bool:
    """Whether a state is stored in few bits."""
    return scale_key(name) in entry


def misfit(entry: Mapping[str, Any], name: str, param: Tensor) -> str | None:
    """What is wrong with the codes and scales of a saved state."""
    codes, scale, count = entry.get(name), entry[scale_key(name)], param.numel()
    sizes = {"int8": (count, -(-count // BLOCK)), "int4": (count // 2, 2 * -(-(count // 2) // BLOCK4))}
    if not isinstance(codes, Tensor) or not isinstance(scale, Tensor):
        return "and its scales must be tensors"
    if codes.dtype.name != "uint8" or scale.dtype.name != "float32":
        return (
            f"and its scales have the dtypes {codes.dtype.name} and {scale.dtype.name}, not uint8 and float32"
        )
    if (codes.numel(), scale.numel()) not in sizes.values():
        return f"has {codes.numel()} codes and {scale.numel()} scales, the parameter {count} elements"
    return None


def encoded(x: Tensor, state: State, kind: str, keys: Keys | None = None) -> dict[str, Tensor]:
    """What an entry holds of a state with these values.

    Codes have the tensor's shape as int8, half of its elements as int4; scales have one dimension.

    Args:
        x: the values.
        state: which state it is.
        kind: the format.
        keys: of rounding at random; without them it is to nearest.
    """
    if kind not in BLOCKS:
        if keys is not None and kind in ("bfloat16", "float16"):
            (flat,) = _rounder(kind).apply([x.float().flatten()], ["float32"], list(keys))
            x = flat.reshape(x.shape)
        return {state.name: x.to(kind)}
    signed, flat, given = state.is_signed, x.float().flatten(), list(keys or ())
    half = x.numel() // 2
    parts = [_rows(flat, BLOCK)] if kind == "int8" else [_rows(p, BLOCK4) for p in (flat[:half], flat[half:])]
    firsts = [_firsts(parts[0])] if given else []
    encoder, dtypes = _encoder(kind, signed, bool(given)), ["uint8", *("float32" for _ in parts)]
    codes, *scales = encoder.apply([*parts, *firsts], dtypes, given)
    scale = cat([scale.flatten() for scale in scales])
    if kind == "int8":
        return {state.name: codes.flatten()[: x.numel()].reshape(x.shape), scale_key(state.name): scale}
    return {state.name: codes.flatten()[:half].contiguous(), scale_key(state.name): scale}


def decoded(entry: Mapping[str, Any], state: State, param: Tensor) -> Any:
    """The values of a state of a parameter: a tensor of what it is computed in, or a number; None where there are none.

    Nothing but this reads what is stored.
    """
    value: Any = entry.get(state.name)
    scale: Any = entry.get(scale_key(state.name))
    if scale is not None:
        return _unpacked(value, scale, param.shape, state.is_signed)
    narrow = isinstance(value, Tensor) and value.dtype.name in ("bfloat16", "float16")
    return value.float() if narrow else value


class Decoded(Mapping[str, Any]):
    """The values of a parameter's states, decoded as they are read.

    Args:
        entry: what is stored.
        states: the states that it holds.
        param: their parameter.
    """

    def __init__(self, entry: Mapping[str, Any], states: Sequence[State], param: Tensor) -> None:
        self._entry, self._param = entry, param
        self._states = {state.name: state for state in states}

    def __getitem__(self, name: str) -> Any:
        if name not in self._entry or not (name in self._states or name == "step"):
            raise KeyError(name)
        known = name in self._states
        return decoded(self._entry, self._states[name], self._param) if known else self._entry[name]

    def __iter__(self) -> Iterator[str]:
        return (name for name in self._entry if name in self._states or name == "step")

    def __len__(self) -> int:
        return sum(1 for _ in self)


def revise(
    entry: Mapping[str, Any], state: State, param: Tensor, change: Callable[[Tensor], Tensor], keys: Keys
) -> None:
    """Puts `change` of a state's values in their place, rounded at random to the format that they are stored in.

    The tensors stay the same ones, as compiled rules hold them.
    """
    new = encoded(change(decoded(entry, state, param)), state, _kind(entry, state, param), keys)
    for name, value in new.items():
        entry[name].copy_(value)


def settled(state: State, entry: Mapping[str, Any], param: Tensor, kind: str) -> dict[str, Any]:
    """What an entry is to hold of a state in a format, whatever it is stored in now."""
    value = entry.get(state.name)
    if not isinstance(value, Tensor):
        return {} if value is None else {state.name: value}
    if _kind(entry, state, param) == kind:
        return {name: entry[name] for name in (state.name, scale_key(state.name)) if name in entry}
    return encoded(decoded(entry, state, param), state, kind)


def _kind(entry: Mapping[str, Any], state: State, param: Tensor) -> str:
    """The format that a state is stored in."""
    value: Tensor = entry[state.name]
    if not is_packed(entry, state.name):
        return value.dtype.name
    return "int8" if value.numel() == param.numel() else "int4"


def _unpacked(codes: Tensor, scale: Tensor, shape: Sequence[int], signed: bool) -> Tensor:
    """The float32 tensor of these codes and scales."""
    flat = codes.flatten()
    count = functools.reduce(lambda a, b: a * b, shape, 1)
    if flat.numel() == count:
        (values,) = _decoder8(signed).apply([_rows(flat, BLOCK), scale.reshape(-1, 1)], ["float32"], [])
        return values.flatten()[:count].reshape(shape)
    half = scale.numel() // 2
    scales = [part.reshape(-1, 1) for part in (scale[:half], scale[half:])]
    low, high = _decoder4(signed).apply([_rows(flat, BLOCK4), *scales], ["float32", "float32"], [])
    return cat([part.flatten()[: count // 2] for part in (low, high)]).reshape(shape)


def _rows(flat: Tensor, width: int) -> Tensor:
    missing = -flat.numel() % width
    if missing:
        flat = cat([flat, Tensor.zeros((missing,), dtype=flat.dtype, device=flat.device)])
    return flat.reshape(-1, width)


@functools.cache
def _rounder(kind: Any) -> Formula:
    tape = Tape("float32")
    x = tape.operand("value")
    keys = tape.number("key", 0), tape.number("key", 1)
    return tape.graph.finish([stochastic(x, noise(tape.position(), keys), kind).id])


def _firsts(rows: Tensor) -> Tensor:
    """The number of the first element of each row."""
    count, width = rows.shape
    return Tensor.arange(0, count * width, width, dtype="int32").reshape(-1, 1).to(rows.device)


@functools.cache
def _encoder(kind: str, signed: bool, random: bool) -> Formula:
    tape = Tape("float32")
    values = [tape.operand("value", i) for i in range(1 if kind == "int8" else 2)]
    scales = [block_scale(x, kind, signed) for x in values]
    noises: list[Value | None] = [None, None]
    if random:
        place = tape.operand("first", type="int32") + tape.position()
        first, second = (integer(tape.number("key", i)) for i in range(2))
        noises = [noise(place, (first, second ^ half)) for half in range(2)]
    codes = [
        (encode8 if kind == "int8" else encode4)(x, scale, signed, bits)
        for x, scale, bits in zip(values, scales, noises, strict=False)
    ]
    code = codes[0] if kind == "int8" else pack4(*codes)
    return tape.graph.finish([code.id, *(scale.id for scale in scales)])


@functools.cache
def _decoder8(signed: bool) -> Formula:
    tape = Tape("float32")
    return tape.graph.finish([decode8(tape.operand("code", type="int32"), tape.operand("scale"), signed).id])


@functools.cache
def _decoder4(signed: bool) -> Formula:
    tape = Tape("float32")
    halves = unpack4(tape.operand("code", type="int32"))
    scales = [tape.operand("scale", i) for i in range(2)]
    return tape.graph.finish([decode4(c, s, signed).id for c, s in zip(halves, scales, strict=True)])
