"""Integers and bits in formulas: what storing numbers in few bits is made of.

Symbols and NumPy arrays alike: floats here are float32, integers int32.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np

from .formula import Symbol, Value


def bits(x: Value) -> Value:
    """The bits of a float32 as an int32.

    >>> import numpy as np
    >>> hex(bits(np.float32(1.5)))
    '0x3fc00000'
    """
    x = single(x)
    return x.unary("bits") if isinstance(x, Symbol) else x.view(np.int32)


def from_bits(i: Value) -> Value:
    """The float32 that has these bits.

    >>> import numpy as np
    >>> from_bits(np.int32(0x3FC00000))
    np.float32(1.5)
    """
    i = integer(i)
    return i.unary("from_bits") if isinstance(i, Symbol) else i.view(np.float32)


def single(x: Value) -> Value:
    """The number as a float32."""
    if isinstance(x, Symbol):
        return x if x.type == "float32" else x.new(x.graph.cast("float32", x.id))
    return np.asarray(x).astype(np.float32, copy=False)[()]


def integer(x: Value) -> Value:
    """The number as an int32, truncated; truth values become 0 and 1."""
    if isinstance(x, Symbol):
        return x if x.type == "int32" else x.new(x.graph.cast("int32", x.id))
    return np.asarray(x).astype(np.int32, copy=False)[()]


def shift(i: Value, by: int, *, signed: bool = False) -> Value:
    """The integer with its bits moved to the left, or if `by` is negative to the right.

    Args:
        i: an integer.
        by: how far, −31 to 31.
        signed: fill up with the sign instead of zeros when moving to the right.

    Example:
        >>> import numpy as np
        >>> (
        ...     int(shift(np.int32(-16), -2, signed=True)),
        ...     int(shift(np.int32(-16), -28)),
        ...     int(shift(np.int32(3), 4)),
        ... )
        (-4, 15, 48)
    """
    if not -31 <= by <= 31:
        raise ValueError(f"formula: an int32 can be shifted by −31 to 31 bits, got {by}")
    i = integer(i)
    if isinstance(i, Symbol):
        op = "shl" if by >= 0 else "shr" if signed else "ushr"
        return i.binary(op, abs(by))
    if by >= 0:
        return np.left_shift(i, np.int32(by))
    if signed:
        return np.right_shift(i, np.int32(-by))
    return np.right_shift(i.view(np.uint32), np.uint32(-by)).view(np.int32)


def lookup(i: Value, table: Sequence[float]) -> Value:
    """The entry of eight that the lowest three bits of an integer say; integers if the first entry is one.

    One instruction on processors; the entries are part of the formula.

    Example:
        >>> import numpy as np
        >>> lookup(np.array([0, 9, 7]), [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0])
        array([1., 2., 8.], dtype=float32)
    """
    if len(table) != 8:
        raise ValueError(f"formula: a table has 8 entries, got {len(table)}")
    kind: Literal["int32", "float32"] = "int32" if isinstance(table[0], int) else "float32"
    index = integer(i) & 7
    if not isinstance(index, Symbol):
        return np.asarray(table, kind)[index]
    graph = index.graph
    entries = [graph.constant(kind, entry) for entry in table]
    result = entries[7]
    for k in range(6, -1, -1):
        here = graph.binary("eq", index.id, graph.constant("int32", k))
        result = graph.select(here, entries[k], result)
    return index.new(result)


def rounded(x: Value, dtype: Literal["bfloat16", "float16"]) -> Value:
    """The nearest number that `dtype` can hold, ties to even, as a float32.

    >>> import numpy as np
    >>> rounded(np.float32(1 + 2**-8), "bfloat16"), rounded(np.float32(65520), "float16")
    (np.float32(1.0), np.float32(inf))
    """
    x = single(x)
    if isinstance(x, Symbol):
        return x.unary("round_bf16" if dtype == "bfloat16" else "round_f16")
    if dtype == "float16":
        with np.errstate(over="ignore"):
            return x.astype(np.float16).astype(np.float32)
    whole = bits(x)
    nearest = from_bits((whole + 0x7FFF + (shift(whole, -16) & 1)) & -0x10000)
    return single(np.where(np.isnan(x), x, nearest))


def byte(i: Value) -> Value:
    """The lowest eight bits: what a uint8 tensor keeps of an integer anyway."""
    return i if isinstance(i, Symbol) else (i & 255).astype(np.uint8)


def block_largest(x: Value, *, signed: bool = True) -> Value:
    """The largest magnitude of each block (of the last dimension, which keeps size 1); NaN if there is one.

    Args:
        x: numbers.
        signed: whether some may be negative; without, it is an instruction less.
    """
    x = single(x)
    if not isinstance(x, Symbol):
        return np.max(np.abs(x), axis=-1, keepdims=True)
    size: Any = bits(x) & 0x7FFFFFFF if signed else bits(x)  # as integers: faster, and NaN is the largest
    return from_bits(x.new(x.graph.reduce("max", size.id)))
