"""Parameters in bfloat16 and float16 that lose nothing over many small steps: rounded at random, or with a remainder.

A step that is less than half a unit in the last place is lost when it is rounded to nearest. Rounding at random keeps
it on average; a remainder (Kahan's) keeps it exactly, for two more bytes.
"""

from __future__ import annotations

from typing import Literal, TypeAlias

import numpy as np

from .bits import bits, from_bits, integer, rounded, shift, single
from .formula import Value, isfinite, where

Narrow: TypeAlias = Literal["bfloat16", "float16"]
Keys: TypeAlias = tuple[float, float]
"""Two integers from −2³¹ to 2³¹ − 1 that random bits are made of, as numbers of a formula."""

_SIZE = 0x7FFFFFFF
_NORMAL = 2.0**-14
"""The least normal float16."""


def noise(position: Value, key: tuple[Value, Value]) -> Value:
    """32 random bits for each element, the same whoever computes them.

    A mixer of integers (three multiplications, after C. Wellons' lowbias32) of the element's position, with one half of
    the key added at its beginning and the other in its middle.

    Args:
        position: the element's number, an integer.
        key: two integers from −2³¹ to 2³¹ − 1, different for each seed, step and tensor (random ones do).

    Example:
        >>> import numpy as np
        >>> noise(np.arange(3), (1, 2))
        array([1605432451,  594247184, 1149146761], dtype=int32)
    """
    # constants of 32 bits, as signed integers
    x = integer(position) * -0x61C8864F + integer(key[0])
    x = (x ^ shift(x, -16)) * 0x7FEB352D
    x = x ^ integer(key[1])
    x = (x ^ shift(x, -15)) * -0x7B935975
    return x ^ shift(x, -16)


def step_keys(seed: int, step: int) -> Keys:
    """The keys of a step: the finalizer of splitmix64.

    >>> step_keys(0, 1) != step_keys(1, 0)
    True
    """
    x = (seed * 0x9E3779B97F4A7C15 + step * 0xD1B54A32D192ED03 + 1) % 2**64
    x = (x ^ x >> 30) * 0xBF58476D1CE4E5B9 % 2**64
    x = (x ^ x >> 27) * 0x94D049BB133111EB % 2**64
    x ^= x >> 31
    return float((x >> 32) - 2**31), float((x & 0xFFFFFFFF) - 2**31)


def tensor_keys(keys: Keys, identity: float, state: int) -> Keys:
    """The keys of a tensor in a step: of a parameter, by what `identify` says, its state of that number.

    >>> tensor_keys((5.0, 7.0), 0.0, 0), tensor_keys((5.0, 7.0), 3.0, 0)
    ((5.0, -1640531522.0), (6.0, -1640531522.0))
    """
    return float(int(keys[0]) ^ int(identity)), float(int(keys[1]) ^ state_salt(state))


def state_salt(state: int) -> int:
    """A number for the state of that number, which tells its random bits from those of others and of the parameter.

    >>> state_salt(0) != state_salt(1)
    True
    """
    return ((state + 1) * 0x9E3779B9 + 2**31) % 2**32 - 2**31


def stochastic(x: Value, random: Value, dtype: Narrow) -> Value:
    """One of the two numbers of `dtype` around x, each with the probability that makes x the mean, as a float32.

    What is beyond the largest number of `dtype`, or not finite, is rounded to nearest.

    Args:
        x: numbers.
        random: random integers, of which the highest 16 bits are used (bfloat16), or the highest 13 (float16).
        dtype: "bfloat16" or "float16".

    Example:
        >>> import numpy as np
        >>> x = np.full(1000, 1 + 2**-9, np.float32)  # a quarter of the way to the next bfloat16
        >>> up = stochastic(x, noise(np.arange(1000), (1, 2)), "bfloat16") > 1
        >>> bool(abs(up.mean() - 0.25) < 0.05)
        True
    """
    x = single(x)
    size = bits(x) & _SIZE
    if dtype == "bfloat16":
        moved = from_bits((bits(x) + shift(random, -16)) & -0x10000)
        return where(size < 0x7F7F0000, moved, x)
    # Below the normal numbers the steps are those of the least normal ones: add it while rounding.
    base = where(size < 0x38800000, single(_NORMAL), single(0.0))
    with np.errstate(invalid="ignore"):
        moved = (bits(from_bits(size) + base) + shift(random, -19)) & -0x2000
        moved = bits(from_bits(moved) - base) | (bits(x) & ~_SIZE)
    return where(size < 0x477FE000, from_bits(moved), x)


def split(x: Value, dtype: Narrow) -> tuple[Value, Value]:
    """The nearest number of `dtype` and what it lacks: kept together they are x with twice the digits.

    The next step begins from their sum. Of a number that is not finite nothing is lacking.

    Example:
        >>> import numpy as np
        >>> head, rest = split(np.float32(1 + 2**-12), "bfloat16")
        >>> float(head), float(rest) == 2**-12, float(head + rest) == 1 + 2**-12
        (1.0, True, True)
    """
    x = single(x)
    head = rounded(x, dtype)
    with np.errstate(invalid="ignore"):
        return head, where(isfinite(head), x - head, 0.0)
