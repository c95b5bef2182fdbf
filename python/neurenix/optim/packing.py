"""How states are stored: which format each has, and packing into few bits outside of formulas."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, TypeAlias

from neurenix._phynexus import Formula, Tensor, cat

from .bits import block_largest
from .states import State
from .storage import BLOCK, BLOCK4, decode4, decode8, encode4, encode8, pack4, unpack4
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
    """That every state that an option names exists."""
    names = [state.name for state in states]
    unknown = [name for name in option if name not in names] if isinstance(option, Mapping) else []
    if unknown:
        raise ValueError(
            f"{label}: state_dtype names {', '.join(map(repr, unknown))}; the states are {', '.join(names)}"
        )


def storage(option: Option, state: State, param: Tensor) -> str:
    """The format of a state of a parameter.

    Few bits are for tensors of the parameter's shape with at least `SMALL` elements. States of float64
    parameters, numbers, values for rows and columns, and what belongs to tensor code keep their precision.
    """
    own = "float64" if param.dtype.name == "float64" else "float32"
    if own == "float64" or state.kind != "full" or state.stored == "own":
        return own
    if state.stored == "param":
        return param.dtype.name
    name = option if isinstance(option, str) else (option or {}).get(state.name, own)
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


def packed(x: Tensor, kind: str, signed: bool) -> tuple[Tensor, Tensor]:
    """The codes of a float32 tensor and the scales of its blocks.

    Codes have the tensor's shape as int8, half of its elements as int4; scales have one dimension.
    """
    if kind == "int8":
        codes, scale = _encoder8(signed).apply([_rows(x.flatten(), BLOCK)], ["uint8", "float32"], [])
        return codes.flatten()[: x.numel()].reshape(x.shape), scale.flatten()
    flat, half = x.flatten(), x.numel() // 2
    low, high = (_rows(part, BLOCK4) for part in (flat[:half], flat[half:]))
    codes, first, second = _encoder4(signed).apply([low, high], ["uint8", "float32", "float32"], [])
    return codes.flatten()[:half].contiguous(), cat([first.flatten(), second.flatten()])


def unpacked(codes: Tensor, scale: Tensor, shape: Sequence[int], signed: bool) -> Tensor:
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


def revise(entry: Mapping[str, Any], state: State, param: Tensor, change: Callable[[Tensor], Tensor]) -> None:
    """Puts `change` of a state's values in their place, in the format that they are stored in.

    The tensors stay the same ones, as compiled rules hold them.
    """
    value, scale = entry[state.name], entry.get(scale_key(state.name))
    if scale is None:
        value.copy_(change(value.float() if value.dtype.name in FORMATS[1:3] else value))
        return
    kind = "int8" if value.numel() == param.numel() else "int4"
    new = change(unpacked(value, scale, param.shape, state.is_signed))
    for old, part in zip((value, scale), packed(new, kind, state.is_signed), strict=True):
        old.copy_(part)


def _rows(flat: Tensor, width: int) -> Tensor:
    missing = -flat.numel() % width
    if missing:
        flat = cat([flat, Tensor.zeros((missing,), dtype=flat.dtype, device=flat.device)])
    return flat.reshape(-1, width)


@functools.cache
def _encoder8(signed: bool) -> Formula:
    tape = Tape("float32")
    x = tape.operand("value")
    scale = block_largest(x, signed=signed)
    return tape.graph.finish([encode8(x, scale, signed).id, scale.id])


@functools.cache
def _decoder8(signed: bool) -> Formula:
    tape = Tape("float32")
    return tape.graph.finish([decode8(tape.operand("code", type="int32"), tape.operand("scale"), signed).id])


@functools.cache
def _encoder4(signed: bool) -> Formula:
    tape = Tape("float32")
    values = [tape.operand("value", i) for i in range(2)]
    scales = [block_largest(x, signed=signed) for x in values]
    low, high = (encode4(x, scale, signed) for x, scale in zip(values, scales, strict=True))
    return tape.graph.finish([pack4(low, high).id, *(scale.id for scale in scales)])


@functools.cache
def _decoder4(signed: bool) -> Formula:
    tape = Tape("float32")
    halves = unpack4(tape.operand("code", type="int32"))
    scales = [tape.operand("scale", i) for i in range(2)]
    return tape.graph.finish([decode4(c, s, signed).id for c, s in zip(halves, scales, strict=True)])


def settled(
    state: State, value: Any, scale: Tensor | None, param: Tensor, kind: str, keep: bool
) -> dict[str, Any]:
    """What an entry holds of a state in a format, whatever it came in.

    Args:
        state: what it is.
        value: the state, or its codes.
        scale: the scales of codes.
        param: its parameter.
        kind: the format.
        keep: leave bfloat16 and float16 as they are.
    """
    if not isinstance(value, Tensor):
        return {} if value is None else {state.name: value}
    if scale is not None:
        same = kind in BLOCKS and (kind == "int8") == (value.numel() == param.numel())
        if same:
            return {state.name: value, scale_key(state.name): scale}
        value = unpacked(value, scale, param.shape, state.is_signed)
    if kind in BLOCKS:
        codes, scale = packed(value.float(), kind, state.is_signed)
        return {state.name: codes, scale_key(state.name): scale}
    if keep and value.dtype.name in FORMATS[1:3]:
        return {state.name: value}
    return {state.name: value.to(kind)}
