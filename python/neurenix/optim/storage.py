"""States in few bits: codes for blocks of numbers that share a scale.

A state is a formula's operand like any other: loading decodes, storing encodes, and both are nodes around the rule, so
that every device has them. A block is a row of neighbouring elements; its scale is its largest magnitude
(`block_scale`).

Codes stand for the dynamic map of "8-bit Optimizers via Block-wise Quantization" (arXiv:2110.02861), as bitsandbytes
and torchao have it. In units of the scale its values are 0, 1 and d decades below 1, decade i (of 0 to d − 1) having
n = 2ⁱ of them for each sign, or n = 2ⁱ⁺¹ where there are no signs:

    10ⁱ⁻ᵈ⁺¹ (0.1 + 0.9 (j + ½) / n)    for j = 0 … n − 1

Eight bits hold seven decades. The codes count from the middle: 128 + k is the k-th positive value, 127 − k the k-th
negative one (0 counts as positive, and 127 is the 1 that is left over); without signs they are in order. Four bits
hold three decades with signs around 8; without signs they are the powers of two from 2⁻¹⁵ to 1, as squares of one block
differ by orders of magnitude, and are divided by.

Between its values a map is a polygon: the place of x is the number k of a value, and in between what lies as far on the
straight line between two. A code is the place rounded: to the nearest value, or at random up or down so that the mean
of what is decoded is x. A state that changes by less than half a step of its map would stand still if it were rounded
to nearest.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np

from .bits import bits, block_largest, byte, from_bits, integer, lookup, shift, single
from .formula import Symbol, Value, maximum, minimum

BLOCK: Final = 256
"""Elements that share a scale where a state has eight bits."""
BLOCK4: Final = 128
"""Elements that share a scale where a state has four bits."""

_MAGIC: Final = 1.5 * 2**23
"""Added to a float it leaves the nearest integer in the lowest bits."""
_INTEGERS: Final = 0x4B400000
"""The bits of that: those of a sum with it, less this, are the integer."""
_SIGN: Final = -(2**31)
_TINY: Final = 2.0**-126
"""The least scale whose inverse is finite."""


class _Map(NamedTuple):
    """The tables of a dynamic map, by the lowest three bits of a float's exponent or of a segment's number.

    A segment goes from the last value of a decade to that of the next; the first begins at 0, and the last ends at 1.
    """

    # decoding: place = code + origin; value = slope · place − start, the start with the sign of the place
    origin: float
    slope: list[float]
    start: list[float]
    # the least value, as negative ones go: the last before −1
    lowest: float
    # the logarithms of the segments' ends are so far apart that intervals, so many to 2¹⁷ exponents, have one each; the
    # lowest size that has the lowest of these intervals
    intervals: int
    least: int
    ends: list[int]
    # encoding: the lower of two lines, from one decade to the next and along the next
    between: list[tuple[float, float]]
    along: list[tuple[float, float]]
    # the place of 1, and whether there are negative values
    top: int
    signed: bool


def _as_int(x: float) -> int:
    return int(np.float32(x).view(np.int32))


def _table(entries: list[float], at: int, other: float) -> list[float]:
    """`entries` from place `at` on, modulo eight."""
    return [entries[(k - at) % 8] if (k - at) % 8 < len(entries) else other for k in range(8)]


def _map(signed: bool, decades: int, intervals: int) -> _Map:
    units = [10.0 ** (i - decades + 1) for i in range(decades)]
    counts = [2.0 ** (i if signed else i + 1) for i in range(decades)]
    decade = list(zip(units, counts, strict=True))
    before = 0.0 if signed else -1.0  # the first code of a decade is the number of its values and this
    top = 2 * counts[-1] + before  # the place of 1
    begins = [*(u * (0.1 + 0.45 / n) for u, n in decade), 1.0]
    ends = [0.0, *(u * (1 - 0.45 / n) for u, n in decade)]
    firsts = [*(n + before for n in counts), top]
    steps = [1 / (begin - end) for begin, end in zip(begins, ends, strict=True)]
    between = [(k, first - 1 - end * k) for k, first, end in zip(steps, firsts, ends, strict=True)]
    along = [(n / (0.9 * u), n * 8 / 9 + before - 0.5) for u, n in decade]
    if counts[0] == 1:  # a decade of one value has no line of its own
        along[0] = between[0]
    along.append(between[-1])
    lowest = (_as_int(ends[1]) >> 16) * intervals >> 24  # the interval of the first end

    def segments(entries: list[float]) -> list[float]:
        return _table(entries, lowest, entries[-1])

    # A code and ½ (or 1½) has the exponent i (or i + 1) in decade i, and 0 and 1 the ones below and above.
    slope, half, at = (-1.0, 0.5, 6) if signed else (1 / top, 1.5, 7)
    start = float(np.float32(slope) * np.float32(half))
    return _Map(
        origin=half - top if signed else half,
        slope=_table([slope, *(0.9 * u / n for u, n in decade)], at, 0.0),
        start=_table([start, *(0.8 * u for u in units)], at, 0.0),
        lowest=-ends[-1],
        intervals=intervals,
        least=-(-(lowest << 24) // intervals) << 16,
        ends=[int(t) for t in _table([_as_int(t) - 1 for t in ends[1:]], lowest, 0x7FFFFFFF)],
        between=list(zip(*(segments(list(part)) for part in zip(*between, strict=True)), strict=True)),
        along=list(zip(*(segments(list(part)) for part in zip(*along, strict=True)), strict=True)),
        top=int(top),
        signed=signed,
    )


_SIGNED8: Final = _map(True, 7, 37607)
_UNSIGNED8: Final = _map(False, 7, 38687)
_SIGNED4: Final = _map(True, 3, 35653)


def _decode(code: Value, scale: Value, table: _Map) -> Value:
    place = single(code) + table.origin
    exponent = shift(bits(place), -23)
    slope, start = lookup(exponent, table.slope), lookup(exponent, table.start)
    if table.signed:
        start = from_bits(bits(start) | (bits(place) & _SIGN))
    return (place * slope - start) * scale


def _encode(ratio: Value, table: _Map, random: Value | None) -> Value:
    """The code of a number in units of the scale; its lowest bits count."""
    if table.signed:
        ratio = _at_least(table.lowest, ratio)
    size = bits(ratio) & 0x7FFFFFFF if table.signed else bits(_at_least(0.0, ratio))
    interval = shift(shift(maximum(size, table.least), -16) * table.intervals, -24)
    segment = interval + integer(size > lookup(interval, table.ends))
    size = from_bits(size)
    steps, first, more, other = (
        lookup(segment, list(entries))
        for lines in (table.between, table.along)
        for entries in zip(*lines, strict=True)
    )
    place = minimum(size * steps + first, size * more + other)
    if random is None:
        code = bits(place + _MAGIC) - _INTEGERS
    else:  # not by that sum, as compilers of GPUs add its constants first, which rounds
        code = integer(place + single(shift(random, -16)) * 2.0**-16)
    if not table.signed:  # what is above 0 stays so: rules divide by it
        return minimum(maximum(code, integer(size > 0)), table.top)
    # Below the middle are the negative values, of which the last has no other beyond, and 1.
    last, sign = table.top - 1, shift(bits(ratio), -31, signed=True)
    code = minimum(code, sign + table.top)
    return (code & last | table.top) ^ -integer(code + (sign & last) > last)


def _at_least(low: float, x: Value) -> Value:
    return x.binary("max", low, swap=True) if isinstance(x, Symbol) else maximum(x, low)


def _ratio(x: Value, scale: Value) -> Value:
    return single(x) * (1.0 / maximum(single(scale), _TINY))


def block_scale(x: Value, kind: str, signed: bool) -> Value:
    """The scale of each block (of the last dimension, which keeps size 1), with which its extremes have codes.

    Maps with signs have no −1: it is the largest magnitude, or more where that is a negative number's.

    >>> import numpy as np
    >>> block_scale(np.array([[1.0, -2.0], [2.0, -1.0]]), "int4", signed=True)
    array([[2.2535212],
           [2.       ]], dtype=float32)
    """
    if signed:
        x = single(x)
        x = maximum(x, x * (1 / (_SIGNED8 if kind == "int8" else _SIGNED4).lowest))
    return block_largest(x, signed=signed)


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


def encode8(x: Value, scale: Value, signed: bool, random: Value | None = None) -> Value:
    """The 8-bit code of the value that is nearest to a number, or of one at random; `decode8` gives the value.

    Args:
        x: numbers of magnitude up to the scale.
        scale: the scale of the block, as `block_scale` gives it.
        signed: whether the map has negative values; without them negative numbers become 0, and positive ones do not.
        random: random integers, of which the highest 16 bits are used: of the two values around x each is taken with
            the probability that makes x the mean.

    Returns:
        integers of which the lowest eight bits are the code; uint8 for arrays.

    Example:
        >>> import numpy as np
        >>> encode8(np.array([-2.0, 2.0, 0.0, 1e-5, 1.97]), np.float32(2), signed=True)
        array([  0, 127, 128, 130, 254], dtype=uint8)
    """
    return byte(_encode(_ratio(x, scale), _SIGNED8 if signed else _UNSIGNED8, random))


def decode4(code: Value, scale: Value, signed: bool) -> Value:
    """The value of a 4-bit code: as `decode8`, of integers from 0 to 15.

    >>> import numpy as np
    >>> decode4(np.array([0, 7, 8, 15]), np.float32(2), signed=True)
    array([-1.775,  2.   ,  0.   ,  1.775], dtype=float32)
    >>> decode4(np.array([0, 14, 15]), np.float32(2), signed=False)
    array([6.1035156e-05, 1.0000000e+00, 2.0000000e+00], dtype=float32)
    """
    if signed:
        return _decode(code, scale, _SIGNED4)
    return from_bits(shift(integer(code) + 112, 23)) * scale


def encode4(x: Value, scale: Value, signed: bool, random: Value | None = None) -> Value:
    """A 4-bit code, as `encode8` gives it: an integer of which the lowest four bits are the code.

    >>> import numpy as np
    >>> encode4(np.array([-2.0, 2.0, 0.0, 0.5]), np.float32(2), signed=True)
    array([ 0,  7,  8, 12], dtype=int32)
    """
    ratio = _ratio(x, scale)
    if signed:
        code = _encode(ratio, _SIGNED4, random)
    else:
        up = 0x400000 if random is None else shift(random, -9)  # carries into the exponent where it rounds up
        code = minimum(maximum(shift(bits(_at_least(0.0, ratio)) + up, -23) - 112, 0), 15)
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
