"""Restarts, triangles, one cycle and Chebyshev's steps, by values worked by hand."""

from __future__ import annotations

import math

import neurenix as nx
import numpy as np
import pytest
from neurenix.optim import schedule as s

FAR = 10**12
ROOT = math.sqrt(0.5)


def values(schedule, count):
    return [schedule(t) for t in range(count)]


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [
        (
            s.cosine_restarts(1.0, steps=8, cycles=2),
            [1, (1 + ROOT) / 2, 0.5, (1 - ROOT) / 2, 1, (1 + ROOT) / 2],
        ),
        (s.cosine_restarts(1.0, steps=4, cycles=2, end=0.2), [1, 0.6, 1, 0.6, 0.2, 0.2]),
        (s.cosine_restarts(1.0, steps=0, end=0.2), [0.2]),
        (s.warm_restarts(1.0, steps=2), [1, 0.5, 1, 0.5, 1]),
        (
            s.warm_restarts(1.0, steps=2, mult=2, end=0.5),
            [1, 0.75, 1, (3 + ROOT) / 4, 0.75, (3 - ROOT) / 4, 1],
        ),
        (s.warm_restarts(1.0, steps=2, mult=1.5, decay=0.5), [1, 0.5, 0.5, 0.375, 0.125, 0.25]),
        (s.warm_restarts(1.0, steps=2, decay=0.5, cycles=2, end=0.1), [1, 0.55, 0.5, 0.3, 0.1, 0.1]),
        (s.warm_restarts(1.0, steps=3, inclusive=True), [1, 0.5, 0, 1, 0.5, 0]),
        (s.warm_restarts(1.0, steps=1, inclusive=True), [1, 1]),
        (s.cyclic(1.0, 2.0, up=2, down=1), [1, 1.5, 2, 1, 1.5, 2]),
        (s.cyclic(1.0, 2.0, up=2, down=0), [1, 1.5, 1, 1.5]),
        (s.cyclic(0.0, 1.0, up=1, mode="triangular2"), [0, 1, 0, 0.5, 0, 0.25]),
        (s.cyclic(0.0, 1.0, up=1, mode="exp_range", gamma=0.5), [0, 0.5, 0, 0.125]),
        (s.cyclic(0.0, 1.0, up=1, scale=lambda c: 1 / c), [0, 1, 0, 1 / 2, 0, 1 / 3]),
        (
            s.cyclic(0.0, 1.0, up=1, scale=lambda t: 1 / (1 + t), scale_mode="iterations"),
            [0, 1 / 2, 0, 1 / 4],
        ),
        (s.cyclic(0.8, 0.9, up=2, inverse=True), [0.9, 0.85, 0.8, 0.85, 0.9]),
        # Three phases of lengths 2, 2 and 5: ends at 0.3·10 − 1, 2·0.3·10 − 2, 9.
        (
            s.one_cycle(1.0, steps=10, rise=0.3, div=10.0, final_div=10.0, shape="linear", three_phase=True),
            [0.1, 0.55, 1, 0.55, 0.1, 0.082, 0.064, 0.046, 0.028, 0.01, 0.01],
        ),
        (
            s.one_cycle(1.0, steps=6, rise=0.5, div=10.0, final_div=10.0),
            [0.1, 0.55, 1, 0.7525, 0.2575, 0.01, 0.01],
        ),
        (
            s.one_cycle(1.0, steps=5, rise=0.0, shape="linear", div=1.0, final_div=1e300),
            [0.8, 0.6, 0.4, 0.2, 0, 0],
        ),
        (
            s.one_cycle(1.0, steps=10, rise=0.1, shape="linear", div=2.0, final_div=1e300),
            [1, 8 / 9, 7 / 9, 6 / 9],
        ),
        (s.one_cycle(1.0, steps=3, rise=1.0, shape="linear", div=2.0), [0.5, 0.75, 1, 1]),
        (s.one_cycle(1.0, steps=1, div=2.0, final_div=4.0), [0.125, 0.125]),
        (s.one_cycle_momentum(0.8, 0.9, steps=6, rise=0.5, shape="linear"), [0.9, 0.85, 0.8, 0.8 + 0.1 / 3]),
    ],
    ids=repr,
)
def test_worked_by_hand(schedule, expected) -> None:
    assert values(schedule, len(expected)) == pytest.approx(expected, rel=1e-12, abs=1e-15)
    assert schedule(-5) == schedule(0)


def test_restarts_are_exact_at_their_beginnings() -> None:
    """Logarithms would err at some of them."""
    for steps, mult in (1, 2), (3, 3), (10, 2), (7, 10):
        schedule, begin = s.warm_restarts(1.0, steps=steps, mult=mult, decay=0.5), 0
        for n in range(12):
            assert schedule(begin) == 0.5**n
            begin += steps * mult**n
            assert schedule(begin - 1) < 0.5**n or steps * mult**n == 1


def test_the_end_that_torch_never_reaches() -> None:
    assert min(values(s.warm_restarts(1.0, steps=5, end=0.1), 100)) > 0.15
    assert min(values(s.warm_restarts(1.0, steps=5, end=0.1, inclusive=True), 100)) == 0.1
    assert s.warm_restarts(1.0, steps=5, end=0.1, cycles=3)(15) == 0.1


def test_far_away() -> None:
    assert s.one_cycle(1.0, steps=10)(FAR) == s.one_cycle(1.0, steps=10)(9) == 1 / 25 / 1e4
    assert s.cosine_restarts(1.0, steps=4, cycles=3, end=0.1)(FAR) == 0.1
    assert s.warm_restarts(1.0, steps=5, mult=2, cycles=3, end=0.1)(FAR) == 0.1
    assert 0 <= s.warm_restarts(1.0, steps=5, mult=1.1)(FAR) <= 1
    assert s.warm_restarts(1.0, steps=1, decay=2.0)(FAR) == math.inf
    assert s.cyclic(0.1, 1.0, mode="triangular2")(FAR) == 0.1
    assert s.cyclic(0.1, 1.0, up=3, mode="exp_range", gamma=2.0)(6 * FAR) == 0.1
    assert s.chebyshev(1.0, steps=4)(FAR) == s.chebyshev(1.0, steps=4)(3)


def test_pairs_go_against_each_other() -> None:
    lr, momentum = s.cyclic_pair(0.1, 1.0, momentum=(0.5, 0.9), up=3, down=2, mode="triangular2")
    for t in range(20):
        assert (lr(t) - 0.1) / 0.9 == pytest.approx((0.9 - momentum(t)) / 0.4, rel=1e-12, abs=1e-12)
    lr, momentum = s.one_cycle_pair(0.1, momentum=(0.5, 0.9), steps=20, three_phase=True)
    assert values(lr, 20).index(0.1) == values(momentum, 20).index(0.5) == 5
    model = nx.nn.Linear(2, 1)
    optimizer = nx.optim.AdamW(model.parameters(), lr=lr, betas=(momentum, 0.99))
    assert optimizer.hyperparameters(optimizer.param_groups[0])["betas"] == (0.9, 0.99)


def test_chebyshev_is_the_iteration_for_its_range_of_curvatures() -> None:
    """After all steps the error of each curvature is below the bound of Chebyshev's polynomial, whatever the order."""
    low, high, steps = 0.05, 1.0, 16
    schedule = s.chebyshev(1.0, steps=steps, low=low, high=high)
    curvatures = np.linspace(low, high, 101)
    error = np.prod([1 - schedule(t) * curvatures for t in range(steps)], axis=0)
    condition = math.sqrt(high / low)
    bound = 2 / (((condition + 1) / (condition - 1)) ** steps + ((condition - 1) / (condition + 1)) ** steps)
    assert np.abs(error).max() == pytest.approx(bound, rel=1e-6)
    sizes = [schedule(t) for t in range(steps)]
    places = [sorted(sizes, reverse=True).index(size) for size in sizes]
    assert places == [0, 15, 7, 8, 3, 12, 4, 11, 1, 14, 6, 9, 2, 13, 5, 10]
    for count in (1, 3, 7, 100):
        few = s.chebyshev(1.0, steps=count)
        assert len(set(values(few, count))) == count


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: s.warm_restarts(1.0, steps=0), "warm_restarts: steps must be an integer ≥ 1, got 0"),
        (lambda: s.warm_restarts(1.0, steps=2, mult=0.5), "mult must be a number ≥ 1, got 0.5"),
        (lambda: s.warm_restarts(1.0, steps=2, cycles=0), "cycles must be an integer ≥ 1, got 0"),
        (lambda: s.cyclic(0.1, 1.0, up=0), "cyclic: up must be an integer ≥ 1, got 0"),
        (lambda: s.cyclic(0.1, 1.0, mode="square"), "mode must be 'triangular' or 'triangular2' or"),
        (
            lambda: s.one_cycle(1.0, steps=10, rise=1.5),
            r"one_cycle: rise must be a number in \[0, 1\], got 1.5",
        ),
        (lambda: s.one_cycle(1.0, steps=10, rise=0.7, three_phase=True), "rise must be at most 0.5 with"),
        (lambda: s.one_cycle(1.0, steps=10, div=0), "one_cycle: div must be a number > 0, got 0"),
        (
            lambda: s.one_cycle_pair(1.0, steps=10, momentum=0.9),
            "momentum must be the least and the greatest",
        ),
        (lambda: s.cyclic_pair(0.1, 1.0, momentum=(-1, 0.9)), "cyclic: low must be a number ≥ 0, got -1"),
        (lambda: s.chebyshev(1.0, steps=4, low=2.0), "chebyshev: low must be at most high, got 2.0 and 1.0"),
        (lambda: s.cosine_restarts(1.0, steps=4, cycles=0), "cycles must be a number > 0"),
    ],
)
def test_bad_arguments(make, message) -> None:
    with pytest.raises(ValueError, match=message):
        make()
