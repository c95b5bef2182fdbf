"""The checks themselves can fail."""

import neurenix
import numpy as np
import pytest
from neurenix import Tensor
from neurenix.testing import TOLERANCE, assert_close, check_grads


def test_every_dtype_has_a_tolerance():
    assert {dtype.name for dtype in TOLERANCE} == {
        "float64", "float32", "float16", "bfloat16", "int64", "int32", "uint8", "bool",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("actual", "expected", "message"),
    [
        ([1.0], [[1.0]], "shapes"),
        ([1.0], [1], "dtypes"),
        ([1.0, 2.0, 3.0], [1.0, 2.0, 3.1], r"1 of 3 .* \(2,\): 3, expected 3.09"),
        ([float("nan")], [float("nan")], "1 of 1"),
        ([float("inf")], [1.0], "1 of 1"),
        ([2**60 + 1], [2**60], "1 of 1"),
        ([True], [False], "1 of 1"),
    ],
)
def test_assert_close_fails(actual, expected, message):
    with pytest.raises(AssertionError, match=message):
        assert_close(actual, expected)


def test_assert_close_passes():
    assert_close(1.0, 1.0 + 1e-7)
    assert_close([float("nan"), float("inf")], [float("nan"), float("inf")], equal_nan=True)
    assert_close(Tensor([1.0]), np.array([1.0]), check_dtype=False)
    assert_close(neurenix.zeros(0, 3), neurenix.zeros(0, 3))


def test_check_grads_finds_wrong_gradients():
    def wrong(x):
        return x * x.detach()

    x = neurenix.randn(3, dtype="float64")
    with pytest.raises(AssertionError, match="argument 0"):
        check_grads(wrong, [x])
    check_grads(lambda x: x * x, [x], order=2)

    def wrong_later(x):
        inner = x * 1
        inner.register_hook(lambda g: g.detach())
        return inner**3

    check_grads(wrong_later, [x])
    with pytest.raises(AssertionError):
        check_grads(wrong_later, [x], order=2)


def test_check_grads_needs_float64():
    with pytest.raises(TypeError, match="float64"):
        check_grads(lambda x: x, [neurenix.ones(2)])
    check_grads(lambda x, i: x[i], [neurenix.ones(2, dtype="float64"), Tensor([1])])
