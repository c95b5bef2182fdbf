"""Bits of floats, and rounding to narrow floats at random or with a remainder; on NumPy and on the engine."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, get_args

import neurenix as nx
import numpy as np
import pytest
from neurenix._phynexus import Counts, Rule, Stepper
from neurenix.optim.bits import bits, from_bits, integer, lookup, rounded, shift, single
from neurenix.optim.formula import where
from neurenix.optim.rounding import Narrow, noise, split, stochastic
from neurenix.optim.tracing import Tape

DTYPES = get_args(Narrow)
RNG = np.random.default_rng(3)
SPECIAL = np.array(
    [0.0, -0.0, 1.0, -1.5, 1e-40, -6e-8, 5.9e-8, 6.1e-5, 65504, 65519, 65520, 1e38, 3.39e38, np.inf, -np.inf],
    np.float32,
)


def on_engine(rule: Callable[[Any, Any], Any], *columns: Any) -> Any:
    """`rule` of two float32 columns, computed by the engine."""
    tape = Tape("float32")
    x, y = tape.operand("param"), tape.operand("grad")
    tape.number("step")
    result = single(rule(x, y)) + 0.0 * y  # the second column may not matter
    traced = Rule(tape.graph.finish([result.id]), tape.inputs, tape.numbers, [], [])
    param = nx.Tensor(columns[0], requires_grad=True)
    param.grad = nx.Tensor(columns[1])
    Stepper(traced, [param], [(1, 1, param.numel())], [[]], [Counts()]).step([])
    return param.detach().numpy()


def same(rule: Callable[[Any, Any], Any], x: Any, y: Any) -> None:
    """NumPy and the engine agree to the bit, interpreted (few elements) and compiled (many)."""
    expected = single(rule(x, y))
    np.testing.assert_array_equal(on_engine(rule, x, y), expected)
    many = 80_000 // len(x) + 1
    np.testing.assert_array_equal(
        on_engine(rule, np.tile(x, many), np.tile(y, many)), np.tile(expected, many)
    )


X = np.concatenate([SPECIAL, RNG.standard_normal(500) * np.exp(RNG.uniform(-30, 30, 500))]).astype(np.float32)
Y = RNG.integers(-(2**20), 2**20, len(X)).astype(np.float32)


@pytest.mark.parametrize(
    "rule",
    [
        lambda x, y: from_bits((bits(x) & -65536) | shift(integer(y), -5)),
        lambda x, y: shift(integer(y), 7),
        lambda x, y: shift(integer(y), -3, signed=True) ^ integer(y),
        lambda x, y: lookup(integer(y), [0.5, 1.5, -2.0, 4.0, 8.0, 1e-3, 0.0, 7.0]),
        lambda x, y: lookup(integer(y), [5, 1, -2, 4, 8, 3, 0, 7]) * integer(y),
        lambda x, y: where(integer(y) > 0, integer(y), 17) + integer(x < 1),
        lambda x, y: rounded(x, "bfloat16"),
        lambda x, y: rounded(x, "float16"),
        lambda x, y: stochastic(x, noise(y, (3, 4)), "bfloat16"),
        lambda x, y: stochastic(x, noise(y, (3, 4)), "float16"),
        lambda x, y: split(x, "bfloat16")[1],
    ],
)
def test_numpy_and_the_engine_agree(rule: Callable[[Any, Any], Any]) -> None:
    same(rule, X, Y)


@pytest.mark.parametrize("dtype", DTYPES)
def test_rounding_to_nearest_is_what_storing_does(dtype: Narrow) -> None:
    stored = nx.Tensor(X).to(dtype).to("float32").numpy()
    np.testing.assert_array_equal(rounded(X, dtype), stored)
    assert np.isnan(rounded(np.float32(np.nan), dtype))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("value", [1 + 2**-9 + 2**-12, -3.14159, 1e-6, -2e-5, 6.3e-5, 12345.678])
def test_rounding_at_random_is_right_on_average(dtype: Narrow, value: float) -> None:
    n = 1_000_000
    x = np.full(n, value, np.float32)
    found = stochastic(x, noise(np.arange(n), (17, -5)), dtype)
    low, high = found.min(), found.max()
    np.testing.assert_array_equal(rounded(found, dtype), found)
    assert low < x[0] < high
    assert len(np.unique(found)) == 2
    share = (float(x[0]) - float(low)) / (float(high) - float(low))
    deviation = np.sqrt(share * (1 - share) / n)
    assert abs((found == high).mean() - share) < 3 * deviation
    # and so are neighbours, and other steps, independent of each other
    up = (found == high) - share
    again = (stochastic(x, noise(np.arange(n), (18, 6)), dtype) == high) - share
    bound = 4 * share * (1 - share) / np.sqrt(n)
    assert abs((up[1:] * up[:-1]).mean()) < bound
    assert abs((up * again).mean()) < bound


@pytest.mark.parametrize("dtype", DTYPES)
def test_what_rounding_at_random_leaves_alone(dtype: Narrow) -> None:
    most = 65504.0 if dtype == "float16" else 3.3895313892515355e38
    exact = np.array([0.0, -0.0, 1.0, -1.5, most, -most, np.inf, -np.inf], np.float32)
    for key in range(20):
        random = noise(np.arange(len(exact)), (key, key))
        found = stochastic(exact, random, dtype)
        np.testing.assert_array_equal(found, exact)
        np.testing.assert_array_equal(np.signbit(found), np.signbit(exact))
    odd = from_bits(np.array([0x7F800001, 0x7FFFFFFF, -1], np.int32))
    assert np.isnan(stochastic(odd, np.full(3, -1, np.int32), dtype)).all()


def test_small_steps_stall_to_nearest_and_arrive_at_random() -> None:
    x = np.ones(1000, np.float32)
    nearest, random = x, x
    for step in range(200):
        nearest = rounded(nearest + np.float32(2**-11), "bfloat16")
        random = stochastic(random + np.float32(2**-11), noise(np.arange(1000), (step, 0)), "bfloat16")
    assert (nearest == 1).all()
    assert abs(random.mean() - (1 + 200 * 2**-11)) < 2e-3


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_remainder_keeps_small_steps(dtype: Narrow) -> None:
    head, rest = np.ones(1, np.float32), np.zeros(1, np.float32)
    for _ in range(200):
        head, rest = split(head + rest + np.float32(2**-13), dtype)
        np.testing.assert_array_equal(rounded(rest, dtype), rest)
    assert head + rest == 1 + 200 * 2**-13
    for bad in (np.inf, -np.inf, np.nan):
        head, rest = split(np.float32(bad), dtype)
        assert rest == 0
        assert np.array_equal(head, np.float32(bad), equal_nan=True)


def test_bad_arguments() -> None:
    with pytest.raises(ValueError, match="31"):
        shift(np.int32(1), 32)
    with pytest.raises(ValueError, match="8 entries, got 3"):
        lookup(np.int32(1), [1.0, 2.0, 3.0])
