"""The basic shapes against numbers worked by hand, against each other, and past their ends."""

from __future__ import annotations

import math

import pytest
from neurenix.optim import schedule as s

FAR = 10**12


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [
        (s.constant(0.5), {0: 0.5, FAR: 0.5}),
        (s.linear(1.0, 0.2, steps=4), {0: 1.0, 1: 0.8, 2: 0.6, 4: 0.2, 5: 0.2, FAR: 0.2}),
        (s.linear(0.0, 1.0, steps=0), {0: 1.0, 1: 1.0}),
        (s.step(1.0, every=3, gamma=0.1), {0: 1.0, 2: 1.0, 3: 0.1, 6: 0.01, FAR: 0.0}),
        (s.multi_step(1.0, milestones=[5, 2, 5], gamma=0.5), {1: 1.0, 2: 0.5, 4: 0.5, 5: 0.125, FAR: 0.125}),
        (s.multi_step(1.0, milestones=[]), {0: 1.0, 9: 1.0}),
        (s.exponential(2.0, gamma=0.9), {0: 2.0, 2: 1.62, FAR: 0.0}),
        (s.exponential(1.0, gamma=0.25, steps=2), {1: 0.5, 2: 0.25}),
        (s.polynomial(1.0, steps=4, end=0.5, power=2), {0: 1.0, 2: 0.625, 4: 0.5, FAR: 0.5}),
        (s.polynomial(1.0, steps=0, end=0.5), {0: 0.5}),
        (s.cosine(1.0, steps=6, end=0.0), {0: 1.0, 2: 0.75, 3: 0.5, 4: 0.25, 6: 0.0, 7: 0.0, FAR: 0.0}),
        (s.cosine(1.0, steps=2, end=0.5), {1: 0.75, 2: 0.5, 3: 0.5}),
        (s.cosine(1.0, steps=2, end=0.5, periodic=True), {1: 0.75, 2: 0.5, 3: 0.75, 4: 1.0, 4 * FAR: 1.0}),
        (s.cosine(1.0, steps=4, end=0.5, exponent=2), {0: 1.0, 2: 0.625, 4: 0.5, FAR: 0.5}),
        (s.cosine(1.0, steps=2, k=2.0), {0: 1.0, 1: (2 + math.sqrt(2)) / 4, 2: 0.0}),
        (s.constant_factor(0.6), {0: 0.2, 4: 0.2, 5: 0.6, FAR: 0.6}),
        (s.constant_factor(1.0, steps=0), {0: 1.0}),
        (s.polynomial(1.0, steps=4, k=2.0), {0: 1.0, 2: 0.75, 4: 0.0}),
        # Keras: each time over one more `steps`; at a multiple of it the value is the end.
        (
            s.polynomial(1.0, steps=4, end=0.2, cycle=True),
            {0: 1, 2: 0.6, 4: 0.2, 5: 0.5, 6: 0.4, 8: 0.2, 9: 0.4},
        ),
        (s.exponential(1.0, gamma=0.25, steps=2, staircase=True), {1: 1.0, 2: 0.25, 3: 0.25}),
        (s.exponential(1.0, gamma=0.5, end=0.2), {2: 0.25, 3: 0.2, FAR: 0.2}),
        (s.exponential(1.0, gamma=2.0, end=7.0), {2: 4.0, 3: 7.0, FAR: 7.0}),
        (s.exponential(1.0, gamma=2.0), {1: 2.0, FAR: math.inf}),
        (s.exponential(0.0, gamma=2.0), {FAR: 0.0}),
        (s.inverse_time(1.0, rate=0.5, steps=2), {0: 1.0, 1: 0.8, 4: 0.5, FAR: 4e-12}),
        (s.inverse_time(1.0, rate=0.5, steps=2, staircase=True), {1: 1.0, 2: 2 / 3, 3: 2 / 3}),
        (s.inverse_sqrt(1.0, timescale=4), {0: 1.0, 5: 2 / 3, FAR: 2e-6}),
        (s.rex(1.0, steps=4, end=0.1), {0: 1.0, 1: 0.1 + 0.9 * 6 / 7, 2: 0.7, 3: 0.46, 4: 0.1, FAR: 0.1}),
        (
            s.tanh(1.0, steps=10),
            {0: 0.9999991684719722, 7: 0.5, 10: 0.0024726231566347743, FAR: 0.0024726231566347743},
        ),
        (
            s.tanh(1.0, steps=2, end=0.5, lower=-1.0, upper=1.0),
            {0: 0.9403985389889412, 1: 0.75, 2: 0.5596014610110588},
        ),
        (s.anneal(1.0, steps=4, end=0.5), {0: 1.0, 1: 0.75, 4: 0.5, FAR: 0.5}),
        (s.anneal(1.0, steps=2, shape="linear"), {0: 1.0, 1: 0.5, 2: 0.0}),
        (s.anneal(1.0, steps=3, shape="cosine"), {0: 1.0, 1: 0.75, 2: 0.25, 3: 0.0}),
        (s.anneal(1.0, steps=2, shape="square"), {0: 1.0, 1: 0.75, 2: 0.0}),
        (s.anneal(1.0, steps=10, shape="exponential"), {0: 1.0, 1: 511 / 1023, 9: 1 / 1023, 10: 0.0}),
        # Half-lives of 1 and 4 steps, by h + 1 of them: 1, 2, 3, 4.
        (
            s.half_life(0.5, 0.5**0.25, steps=3),
            {0: 0.5, 1: 0.5**0.5, 2: 0.5 ** (1 / 3), 3: 0.5**0.25, FAR: 0.5**0.25},
        ),
    ],
    ids=repr,
)
def test_worked_by_hand(schedule, expected) -> None:
    for t, value in expected.items():
        assert schedule(t) == pytest.approx(value, rel=1e-12, abs=1e-15), t
    assert schedule(-5) == schedule(0)


def test_closed_forms_equal_recursions() -> None:
    """As torch steps them."""
    exponential, step, value = s.exponential(1.0, gamma=0.97), s.step(1.0, every=7, gamma=0.5), [1.0, 1.0]
    for t in range(1, 200):
        value = [value[0] * 0.97, value[1] * (0.5 if t % 7 == 0 else 1)]
        assert [exponential(t), step(t)] == pytest.approx(value, rel=1e-12)


def test_polynomial_of_power_one_is_linear() -> None:
    for t in range(12):
        assert s.polynomial(1.0, steps=10, end=0.1)(t) == pytest.approx(
            s.linear(1.0, 0.1, steps=10)(t), rel=1e-14
        )


def test_steps_may_be_fractions() -> None:
    assert s.cosine(1.0, steps=2)(0.5) == pytest.approx((1 + math.cos(math.pi / 4)) / 2)


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: s.cosine(1.0, steps=-1), ValueError, "cosine: steps must be an integer ≥ 0, got -1"),
        (lambda: s.cosine(1.0, steps=2.5), ValueError, "cosine: steps must be an integer"),
        (lambda: s.cosine(1.0, steps=True), ValueError, "cosine: steps must be an integer"),
        (lambda: s.cosine(math.nan, steps=1), ValueError, "cosine: value must be finite, got nan"),
        (lambda: s.cosine(None, steps=1), TypeError, "cosine: value must be a number ≥ 0, got None"),
        (lambda: s.cosine(True, steps=1), TypeError, "cosine: value must be a number ≥ 0, got True"),
        (lambda: s.cosine(1.0), TypeError, "missing a required argument: 'steps'"),
        (lambda: s.cosine(1.0, 5), TypeError, "too many positional arguments"),
        (lambda: s.step(1.0, every=0), ValueError, "step: every must be an integer ≥ 1, got 0"),
        (lambda: s.multi_step(1.0, milestones=["a"]), TypeError, ""),
        (lambda: s.exponential(1.0, gamma=-1), ValueError, "exponential: gamma must be a number ≥ 0, got -1"),
        (
            lambda: s.anneal(1.0, steps=2, shape="flat"),
            ValueError,
            "anneal: shape must be 'linear' or 'cosine' or",
        ),
        (
            lambda: s.half_life(0.9, 1.0, steps=2),
            ValueError,
            r"half_life: end must be a number in \(0, 1\), got 1.0",
        ),
        (lambda: s.cosine(-0.1, steps=1), ValueError, "cosine: value must be a number ≥ 0, got -0.1"),
        (lambda: s.linear(0.1, -0.1, steps=1), ValueError, "linear: end must be a number ≥ 0, got -0.1"),
        (lambda: s.constant(math.inf), ValueError, "constant: value must be finite, got inf"),
        (lambda: s.constant(10**400), ValueError, "constant: value must be finite"),
        (
            lambda: s.cosine(lambda t: t, steps=1),
            TypeError,
            "cosine: value must be a number ≥ 0, got <function",
        ),
        (
            lambda: s.polynomial(1.0, steps=2, power=0),
            ValueError,
            "polynomial: power must be a number > 0, got 0",
        ),
    ],
)
def test_bad_arguments(make, error, message) -> None:
    with pytest.raises(error, match=message or None):
        make()
