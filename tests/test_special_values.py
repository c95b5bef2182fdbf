"""Infinities, NaN, zeros with a sign and the ends of the number line, as the Array API standard has them.

NumPy is the standard's reference but for floor division with an infinite operand, which is spelled out here.
"""

import math

import neurenix
import numpy as np
import pytest
from neurenix import Tensor

INF, NAN = math.inf, math.nan
VALUES = [INF, -INF, NAN, 0.0, -0.0, 1.0, -1.0, 7.0, -7.0, 0.5, -2.0, 3.0, 0.1, -0.3, 1e30, -1e30]
DTYPES = ["float32", "float64"]


def same(ours, expected, rtol=0.0):
    """The same numbers: zeros with their sign, NaN where NaN is."""
    ours, expected = np.asarray(ours), np.asarray(expected)
    nan = np.isnan(expected)
    assert (np.isnan(ours) == nan).all()
    assert (np.signbit(ours)[~nan] == np.signbit(expected)[~nan]).all()
    exact = nan | np.isinf(expected) | (expected == 0)
    assert (ours[exact & ~nan] == expected[exact & ~nan]).all()
    np.testing.assert_allclose(ours[~exact], expected[~exact], rtol=rtol)


def floor_divide(a, b):
    """NumPy follows Python; the standard prefers `floor(a / b)` where an operand is infinite."""
    return np.where(np.isinf(a) | np.isinf(b), np.floor(a / b), np.floor_divide(a, b))


BINARY = {
    "floor_divide": floor_divide,
    "remainder": np.remainder,
    "pow": np.power,
    "atan2": np.arctan2,
    "div": np.divide,
    "mul": np.multiply,
    "add": np.add,
    "maximum": np.maximum,
    "minimum": np.minimum,
}


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", BINARY)
def test_binary(name, dtype):
    a, b = (np.ascontiguousarray(x) for x in np.meshgrid(np.array(VALUES, dtype), np.array(VALUES, dtype)))
    if name in ("maximum", "minimum"):
        a, b = np.where(a == 0, 0, a), np.where(b == 0, 0, b)  # of two zeros either may come out
    with np.errstate(all="ignore"):
        expected = BINARY[name](a, b).astype(dtype)
    ours = getattr(Tensor, name)
    same(ours(Tensor(a), Tensor(b)), expected, rtol=3e-7)
    for k, number in enumerate(b[:, 0].tolist()):
        same(ours(Tensor(a[k]), number), expected[k], rtol=3e-7)


@pytest.mark.parametrize("dtype", DTYPES)
def test_floor_divide_with_infinities(dtype):
    pairs = [
        (INF, 2),
        (INF, -2),
        (-INF, 2),
        (-INF, -2),
        (5, INF),
        (5, -INF),
        (-5, INF),
        (-5, -INF),
        (INF, INF),
    ]
    a, b = (Tensor(list(x), dtype=dtype) for x in zip(*pairs, strict=True))
    same(a // b, np.array([INF, -INF, -INF, INF, 0.0, -0.0, -0.0, 0.0, NAN], dtype))


UNARY = {
    "sign": (np.sign, [INF, -INF, NAN, 0.0, 2.5, -2.5]),
    "abs": (np.abs, [INF, -INF, NAN, 0.0, -0.0, -2.5]),
    "floor": (np.floor, [INF, -INF, NAN, 0.0, -0.0, -0.5, 0.5, -1e30]),
    "ceil": (np.ceil, [INF, -INF, NAN, 0.0, -0.0, -0.5, 0.5, 1e30]),
    "trunc": (np.trunc, [INF, -INF, NAN, 0.0, -0.0, -0.5, 0.5, -1.5]),
    "round": (np.rint, [INF, -INF, NAN, 0.0, -0.0, -0.5, 0.5, 1.5, 2.5, -2.5]),
    "exp": (np.exp, [INF, -INF, NAN, 0.0, -0.0, 1e4, -1e4]),
    "expm1": (np.expm1, [INF, -INF, NAN, 0.0, -0.0, 1e4, -1e4, 1e-30]),
    "log": (np.log, [INF, -INF, NAN, 0.0, -0.0, 1.0, -1.0]),
    "log1p": (np.log1p, [INF, -INF, NAN, 0.0, -0.0, -1.0, -2.0, -1e-30]),
    "log2": (np.log2, [INF, -INF, NAN, 0.0, -0.0, 1.0, -1.0]),
    "sqrt": (np.sqrt, [INF, -INF, NAN, 0.0, -0.0, -1.0]),
    "square": (np.square, [INF, -INF, NAN, 0.0, -0.0, 1e30]),
    "reciprocal": (np.reciprocal, [INF, -INF, NAN, 0.0, -0.0]),
    "tanh": (np.tanh, [INF, -INF, NAN, 0.0, -0.0, 1e4, -1e-30]),
    "sin": (np.sin, [INF, -INF, NAN, 0.0, -0.0]),
    "cos": (np.cos, [INF, -INF, NAN, 0.0, -0.0]),
    "tan": (np.tan, [INF, -INF, NAN, 0.0, -0.0]),
    "asin": (np.arcsin, [INF, NAN, 0.0, -0.0, 1.0, -1.0, 1.5]),
    "acos": (np.arccos, [INF, NAN, 1.0, -1.0, 1.5, -1.5]),
    "atan": (np.arctan, [INF, -INF, NAN, 0.0, -0.0]),
}


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", UNARY)
def test_unary(name, dtype):
    function, values = UNARY[name]
    for repeats in (1, 16):  # scalar code, and vectors
        x = np.array(values * repeats, dtype)
        with np.errstate(all="ignore"):
            same(getattr(Tensor(x), name)(), function(x), rtol=3e-7)


def test_sign_of_nan_has_no_gradient():
    x = Tensor([NAN, 2.0], requires_grad=True)
    x.sign().sum().backward()
    assert x.grad.tolist() == [0.0, 0.0]


def test_reductions():
    for shape in (0, (2, 0)):
        x = neurenix.zeros(shape)
        assert x.sum().item() == 0
        assert x.prod().item() == 1
    assert neurenix.zeros(2, 0).sum(1).tolist() == [0, 0]
    assert neurenix.zeros(2, 0).prod(1).tolist() == [1, 1]
    for name in ("max", "min", "amax", "argmin"):
        with pytest.raises(ValueError, match="no elements"):
            getattr(neurenix.zeros(0), name)()
    for count in (1, 3, 40, 5000):
        x = neurenix.ones(count)
        x[count // 2] = NAN
        assert math.isnan(x.max().item())
        assert math.isnan(x.min().item())
        assert x.argmax().item() == x.argmin().item() == count // 2


def test_python_numbers_of_values_that_no_integer_has():
    with pytest.raises(ValueError, match="NaN"):
        int(Tensor(NAN))
    for value in (INF, -INF):
        with pytest.raises(OverflowError, match="infinity"):
            int(Tensor(value))
    assert int(Tensor(-2.7)) == -2
    assert int(Tensor(1e20, dtype="float64")) == 10**20
    assert int(Tensor(2**63 - 1)) == 2**63 - 1


@pytest.mark.parametrize("dtype", DTYPES)
def test_linspace_ends_where_it_should(dtype):
    numbers = np.dtype(dtype).type
    for start, end in ((0, 1), (-1.1, 0.7), (0.1, 0.3), (5, -3), (1e-30, 1e30)):
        for steps in [*range(2, 400), 1999, 5000]:
            x = neurenix.linspace(start, end, steps, dtype=dtype)
            with np.errstate(over="ignore", under="ignore"):
                assert x[0].item() == numbers(start)
                assert x[-1].item() == numbers(end)
                rtol, size = np.finfo(dtype).eps * 2, max(abs(start), abs(end))
                np.testing.assert_allclose(x, np.linspace(start, end, steps).astype(dtype), rtol, rtol * size)
    assert neurenix.linspace(3, 9, 1, dtype=dtype).tolist() == [3]
    x = neurenix.linspace(-0.7, 0.7, 51, dtype=dtype)
    assert x.tolist() == [-v for v in x.tolist()[::-1]]
    wide = neurenix.linspace(-1.7e308, 1.7e308, 3, dtype="float64")
    assert wide.tolist() == [-1.7e308, 0.0, 1.7e308]
    assert neurenix.linspace(0, 10, 11, dtype="int64").tolist() == list(range(11))
