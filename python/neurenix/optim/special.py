"""Functions whose float32 form is made of a few operations that every device has."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

import numpy as np

from .bits import bits, from_bits, shift
from .formula import Symbol, Value, abs_, atan2, exp, log, where

_LEAST: Final = 2.0**-126
"""The least float32 that has all its digits."""
_SIGN: Final = -(2**31)
_INVERSE_CUBE_ROOT: Final = 1_419_875_000
"""What the bits of x^(−1/3) are more than −1/3 of those of x, about."""
_ARC_TANGENT: Final = (
    -0.33333153,
    0.19993773,
    -0.14211056,
    0.10666004,
    -0.07552213,
    0.043211848,
    -0.01636792,
    0.0029206905,
)
"""(atan z / z − 1) / z² as a polynomial of z² in [0, 1], within 1.7e-8."""


def cbrt(x: Value) -> Value:
    """The cube root of x, x ≥ 0.

    >>> round(float(cbrt(27.0)), 12)
    3.0
    """
    if not isinstance(x, Symbol) or not x.is_element:
        return np.cbrt(x) if not isinstance(x, Symbol) else x ** (1 / 3)
    if x.type != "float32":
        guess = exp(log(x) / 3)
        root = guess - (guess - x / (guess * guess)) / 3  # one step of Newton's doubles the digits
        return where((x > 0) & (x < math.inf), root, x)
    tiny = x < _LEAST
    normal = where(tiny, x * 2.0**24, x)
    root = _cbrt(normal)
    return where(x < math.inf, where(tiny, root * 2.0**-8, root), x)


def _cbrt(x: Value) -> Value:
    """Of normal numbers, by way of y = x^(−1/3), which needs no division."""
    y = from_bits(_INVERSE_CUBE_ROOT - shift(bits(x), -16) * 21845)
    miss = 1.0 - x * y * (y * y)
    y = y + y * (miss * (1 / 3) + miss * miss * (2 / 9 + miss * (14 / 81)))
    square = y * y
    root = x * square
    return root - (root * root * root - x) * (square * (1 / 3))


def _polynomial(coefficients: Sequence[float], x: Value) -> Value:
    """The lowest power first; in pairs, pairs of pairs and so on, so that little waits for each other."""
    terms: list[Value] = list(coefficients)
    while len(terms) > 1:
        pairs = zip(terms[::2], terms[1::2], strict=True)
        terms, x = [low + high * x for low, high in pairs], x * x
    return terms[0]


def angle(y: Value, x: Value) -> Value:
    """The angle of the point (x, y) for x ≥ 0, from −π/2 to π/2; 0 at the origin.

    >>> round(float(angle(1.0, 1.0)), 6)
    0.785398
    """
    if not isinstance(y, Symbol) or not isinstance(x, Symbol) or y.type != "float32" or not y.is_element:
        return atan2(y, x)
    size = abs_(y)
    steep = size > x
    high = where(steep, size, x)
    z = where(steep, x, size) / where(high < _LEAST, _LEAST, high)
    s = z * z
    flat = z + z * s * _polynomial(_ARC_TANGENT, s)
    return from_bits(bits(where(steep, math.pi / 2 - flat, flat)) | (bits(y) & _SIGN))
