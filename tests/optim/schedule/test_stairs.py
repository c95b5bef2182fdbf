"""Shapes that change at given steps, by values worked by hand."""

from __future__ import annotations

import math

import pytest
from neurenix.optim import schedule as s

FAR = 10**15


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [
        (s.piecewise_constant([1.0, 0.5, 0.1], at=[2, 4]), [1.0, 1.0, 0.5, 0.5, 0.1, 0.1]),
        # Keras changes after the boundary, optax at it, and optax's values are factors.
        (s.piecewise_constant([1.0, 0.5, 0.1], at=[2, 4], inclusive=True), [1.0, 1.0, 1.0, 0.5, 0.5, 0.1]),
        (s.piecewise_constant([1.0, 0.5, 0.1], at=[2, 4], relative=True), [1.0, 1.0, 0.5, 0.5, 0.05, 0.05]),
        (s.piecewise_constant([2.0], at=[]), [2.0, 2.0]),
        (s.piecewise_constant([1.0, 2.0], at=[0]), [2.0, 2.0]),
        (s.piecewise_interpolate([0.0, 1.0, 0.5], at=[2, 4]), [0.0, 0.5, 1.0, 0.75, 0.5, 0.5]),
        (s.piecewise_interpolate([1.0, 0.5, 3.0], at=[1, 3], relative=True), [1.0, 0.5, 1.0, 1.5, 1.5]),
        (
            s.piecewise_interpolate([0.0, 1.0], at=[4], shape="cosine"),
            [0.0, (1 - math.sqrt(0.5)) / 2, 0.5, (1 + math.sqrt(0.5)) / 2, 1.0, 1.0],
        ),
        (s.multiplicative(2.0, lambda i: 1 / i), [2.0, 2.0, 1.0, 1 / 3, 1 / 12]),
        (s.multiplicative(2.0, 0.5), [2.0, 1.0, 0.5, 0.25]),
        (s.range_test(0.5, rate=2.0, every=4), [0.5, 0.75, 1.0, 1.25, 1.5]),
        (s.range_test(0.5, rate=2.0, every=2, staircase=True), [0.5, 0.5, 1.5, 1.5, 2.5]),
        (s.step(1.0, every=2, gamma=2.0), [1.0, 1.0, 2.0, 2.0, 4.0]),
    ],
    ids=repr,
)
def test_worked_by_hand(schedule, expected) -> None:
    assert [schedule(t) for t in range(len(expected))] == pytest.approx(expected, rel=1e-12)
    assert schedule(-1) == expected[0]


def test_far_away() -> None:
    assert s.piecewise_interpolate([0.0, 1.0, 0.5], at=[2, 4])(FAR) == 0.5
    assert s.step(1.0, every=2, gamma=2.0)(FAR) == math.inf  # and no OverflowError
    assert s.step(0.0, every=2, gamma=2.0)(FAR) == 0.0
    assert s.multi_step(1.0, milestones=[1, 2], gamma=1e200)(2) == math.inf


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (
            lambda: s.piecewise_constant([1.0, 0.5], at=[2, 4]),
            ValueError,
            r"piecewise_constant: n values need n - 1 steps in `at`, got 2 values and at=\[2, 4\]",
        ),
        (lambda: s.piecewise_constant([1.0, 0.5, 2.0], at=[4, 2]), ValueError, "at must rise from 0"),
        (lambda: s.piecewise_constant([1.0, -0.5], at=[2]), ValueError, r"values\[1\] must be a number ≥ 0"),
        (lambda: s.piecewise_constant([1.0, 0.5], at=[2.5]), ValueError, r"at\[0\] must be an integer ≥ 0"),
        (lambda: s.piecewise_constant(1.0, at=[]), TypeError, "values must be a list, got 1.0"),
        (lambda: s.piecewise_interpolate([1.0, 0.5], at=[0]), ValueError, "at must rise from 1 or above"),
        (
            lambda: s.piecewise_interpolate([1.0], at=[], shape="cos"),
            ValueError,
            "shape must be 'linear' or 'cosi",
        ),
        (lambda: s.range_test(1.0, every=0), ValueError, "range_test: every must be an integer ≥ 1, got 0"),
        (lambda: s.step(1.0, every=1, gamma=-0.1), ValueError, "step: gamma must be a number ≥ 0, got -0.1"),
        (lambda: s.step("1", every=1), TypeError, r"step: value must be a number ≥ 0, got '1' \(str\)"),
        (lambda: s.multi_step(1.0, milestones="12"), TypeError, "multi_step: milestones must be a list"),
        (lambda: s.join(1.0, at=[]), TypeError, "join: parts must be a list, got 1.0"),
        (lambda: s.range_test(1.0, staircase=1), ValueError, "staircase must be True or False, got 1"),
    ],
)
def test_bad_arguments(make, error, message) -> None:
    with pytest.raises(error, match=message):
        make()
