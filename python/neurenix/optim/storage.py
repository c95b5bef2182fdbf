"""States in few bits: codes for blocks of numbers that share a scale.

A state is a formula's operand like any other: loading decodes, storing encodes, and both are nodes around the rule, so
that every device has them. A block is a row of neighbouring elements; its scale is its largest magnitude
(`neurenix.optim.bits.block_largest`).

Codes stand for the dynamic map of "8-bit Optimizers via Block-wise Quantization" (arXiv:2110.02861), as bitsandbytes
and torchao have it. In units of the scale its values are 0, 1 and d decades below 1, decade i (of 0 to d − 1) having
n = 2ⁱ of them for each sign, or n = 2ⁱ⁺¹ where there are no signs:

    10ⁱ⁻ᵈ⁺¹ (0.1 + 0.9 (j + ½) / n)    for j = 0 … n − 1

Eight bits hold seven decades. The codes count from the middle: 128 + k is the k-th positive value, 127 − k the k-th
negative one (0 counts as positive, and 127 is the 1 that is left over); without signs they are in order. Four bits
hold three decades with signs around 8, or without them 16 equal steps from 1/16 to 1. A number's code is that of the
nearest value.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np

from .bits import bits, byte, from_bits, integer, lookup, shift, single
from .formula import Symbol, Value, floor, maximum, minimum

BLOCK: Final = 256
"""Elements that share a scale where a state has eight bits."""
BLOCK4: Final = 128
"""Elements that share a scale where a state has four bits."""

_MAGIC: Final = 1.5 * 2**23
"""Added to a float it leaves the nearest integer in the lowest bits."""
_SIGN: Final = -(2**31)
_TINY: Final = 2.0**-126
"""The least scale whose inverse is finite."""


class _Map(NamedTuple):
    """The tables of a dynamic map, by the lowest three bits of a float's exponent or of a segment's number.

    Segments are 0, the decades and 1; where there are more than eight, the first and the last are so far apart that
    they share their entries, in both directions.
    """

    # place = code + origin; value = slope · place − start, the start with the sign of the place
    origin: float
    slope: list[float]
    start: list[float]
    # what is less has a negative value nearest, and the negative value that is largest
    negative: float
    lowest: float
    # the logarithms of thresholds are so far apart that intervals, so many to 2¹⁷ exponents, have one each; the lowest
    # size that matters
    intervals: int
    least: int
    below: list[int]
    # place = steps · size + first, at most last; code = place + middle
    steps: list[float]
    first: list[float]
    last: list[float]
    middle: int


def _as_int(x: float) -> int:
    return int(np.float32(x).view(np.int32))


def _table(entries: list[float], at: int) -> list[float]:
    """`entries` from place `at` on, modulo eight."""
    return [entries[(k - at) % 8] if (k - at) % 8 < len(entries) else 0.0 for k in range(8)]


def _map(signed: bool, decades: int, intervals: int, lowest: int, least: float) -> _Map:
    """`lowest` is the number of the lowest interval of the logarithm that has a threshold, and `least` in it."""
    units = [10.0 ** (i - decades + 1) for i in range(decades)]
    counts = [2.0 ** (i if signed else i + 1) for i in range(decades)]
    decade = list(zip(units, counts, strict=True))
    before = 0.0 if signed else -1.0  # the first code of a decade is the number of its values and this
    top = 2 * counts[-1] + before  # the code of 1
    begins = [*(u * (0.1 + 0.45 / n) for u, n in decade), 1.0]
    ends = [0.0, *(u * (1 - 0.45 / n) for u, n in decade)]
    thresholds = [(low + high) / 2 for low, high in zip(ends, begins, strict=True)]

    def segments(outside: float, inside: list[float]) -> list[float]:
        return _table([outside, *inside, outside][:8], lowest)

    # A code and ½ (or 1½) has the exponent i (or i + 1) in decade i, and 0 and 1 the ones below and above.
    slope, half, at = (-1.0, 0.5, 6) if signed else (1 / top, 1.5, 7)
    start = float(np.float32(slope) * np.float32(half))
    return _Map(
        origin=half - top if signed else half,
        slope=_table([slope, *(0.9 * u / n for u, n in decade)], at),
        start=_table([start, *(0.8 * u for u in units)], at),
        negative=-thresholds[0],
        lowest=-ends[-1],
        intervals=intervals,
        least=_as_int(least),
        below=[int(t) for t in _table([_as_int(t) - 1 for t in thresholds], lowest)],
        steps=segments(-1.0 if signed else top, [n / (0.9 * u) for u, n in decade]),
        first=segments(0.0, [n * 8 / 9 + before - 0.5 for n in counts]),
        last=segments(255.0, [2 * n - 1 + before for n in counts]),
        middle=int(top) if signed else 0,
    )


_SIGNED8: Final = _map(True, 7, 41863, 33, 1e-7)
_UNSIGNED8: Final = _map(False, 7, 40820, 32, 1e-7)
_SIGNED4: Final = _map(True, 3, 45942, 41, 1.2e-3)


def _decode(code: Value, scale: Value, table: _Map) -> Value:
    place = single(code) + table.origin
    exponent = shift(bits(place), -23)
    slope, start = lookup(exponent, table.slope), lookup(exponent, table.start)
    if table.middle:
        start = from_bits(bits(start) | (bits(place) & _SIGN))
    return (place * slope - start) * scale


def _encode(ratio: Value, table: _Map) -> Value:
    signed = table.middle > 0
    if signed:
        ratio = _at_least(table.lowest, ratio)
    size = maximum(bits(ratio) & 0x7FFFFFFF if signed else bits(ratio), table.least)
    interval = shift(shift(size, -16) * table.intervals, -24)
    segment = interval + integer(size > lookup(interval, table.below))
    steps, first, last = (lookup(segment, entries) for entries in (table.steps, table.first, table.last))
    place = minimum(bits(from_bits(size) * steps + first), bits(last))  # as integers, which are never NaN
    code = bits(from_bits(place) + (_MAGIC + table.middle))
    return code ^ -integer(ratio < table.negative) if signed else code


def _at_least(low: float, x: Value) -> Value:
    return x.binary("max", low, swap=True) if isinstance(x, Symbol) else maximum(x, low)


def _ratio(x: Value, scale: Value) -> Value:
    return single(x) * (1.0 / maximum(single(scale), _TINY))


def decode8(code: Value, scale: Value, signed: bool) -> Value:
    """The value of an 8-bit code.

    Args:
        code: integers from 0 to 255.
        scale: the scale of the code's block.
        signed: whether the map has negative values.

    Returns:
        float32, within 10 units in the last place of the map's value times the scale.

    Example:
        >>> import numpy as np
        >>> decode8(np.array([0, 127, 128, 129, 255]), np.float32(2), signed=True).round(4)
        array([-1.9859,  2.    ,  0.    ,  0.    ,  1.9859], dtype=float32)
    """
    return _decode(code, scale, _SIGNED8 if signed else _UNSIGNED8)


def encode8(x: Value, scale: Value, signed: bool) -> Value:
    """The 8-bit code of the value that is nearest to a number; `decode8` gives the value.

    Args:
        x: numbers of magnitude up to the scale.
        scale: the scale of the block, the largest magnitude in it.
        signed: whether the map has negative values; without them negative numbers become 0.

    Returns:
        integers of which the lowest eight bits are the code; uint8 for arrays.

    Example:
        >>> import numpy as np
        >>> encode8(np.array([-2.0, 2.0, 0.0, 1e-5, 1.97]), np.float32(2), signed=True)
        array([  0, 127, 128, 130, 254], dtype=uint8)
    """
    return byte(_encode(_ratio(x, scale), _SIGNED8 if signed else _UNSIGNED8))


def decode4(code: Value, scale: Value, signed: bool) -> Value:
    """The value of a 4-bit code: as `decode8`, of integers from 0 to 15.

    >>> import numpy as np
    >>> decode4(np.array([0, 7, 8, 15]), np.float32(2), signed=True)
    array([-1.775,  2.   ,  0.   ,  1.775], dtype=float32)
    >>> decode4(np.array([0, 7, 15]), np.float32(2), signed=False)
    array([0.125, 1.   , 2.   ], dtype=float32)
    """
    if signed:
        return _decode(code, scale, _SIGNED4)
    return (single(code) + 1.0) * 0.0625 * scale


def encode4(x: Value, scale: Value, signed: bool) -> Value:
    """The 4-bit code of the nearest value, as `encode8`: an integer of which the lowest four bits are the code.

    >>> import numpy as np
    >>> encode4(np.array([-2.0, 2.0, 0.0, 0.5]), np.float32(2), signed=True)
    array([ 0,  7,  8, 12], dtype=int32)
    """
    ratio = _ratio(x, scale)
    if signed:
        code = _encode(ratio, _SIGNED4)
    else:
        code = bits(_at_least(0.0, floor(ratio * 16.0 - 0.5)) + _MAGIC)
    return code if isinstance(code, Symbol) else integer(code & 15)


def pack4(low: Value, high: Value) -> Value:
    """Two 4-bit codes in a byte.

    A tensor of n elements (n even) has its first half in the low and its second half in the high bits, so that both
    halves are contiguous.

    >>> import numpy as np
    >>> pack4(np.array([1, 15]), np.array([2, 0]))
    array([33, 15], dtype=uint8)
    """
    return byte((integer(low) & 15) | shift(high, 4))


def unpack4(packed: Value) -> tuple[Value, Value]:
    """The two 4-bit codes of a byte.

    >>> import numpy as np
    >>> [half.tolist() for half in unpack4(np.array([33, 15], np.uint8))]
    [[1, 15], [2, 0]]
    """
    whole = integer(packed)
    return whole & 15, shift(whole, -4)
