"""Schedules of schedules."""

from __future__ import annotations

import pytest
from neurenix.optim import schedule as s


def values(schedule, count):
    return [schedule(t) for t in range(count)]


def test_warmup() -> None:
    then = s.linear(1.0, 0.0, steps=2)
    assert values(s.warmup(then, steps=2), 6) == [0.5, 1.0, 1.0, 0.5, 0.0, 0.0]
    assert values(s.warmup(then, steps=2, start="zero"), 6) == [0.0, 0.5, 1.0, 0.5, 0.0, 0.0]
    assert values(s.warmup(then, steps=0), 3) == [1.0, 0.5, 0.0]
    assert values(s.warmup(0.5, steps=2), 3) == [0.25, 0.5, 0.5]


def test_join() -> None:
    joined = s.join([1.0, s.linear(2.0, 0.0, steps=2), lambda t: -t], at=[2, 5])
    assert values(joined, 8) == [1.0, 1.0, 2.0, 1.0, 0.0, 0.0, -1.0, -2.0]
    assert values(s.join([s.step(1.0, every=1, gamma=0.5)], at=[]), 3) == [1.0, 0.5, 0.25]


def test_products() -> None:
    a, b = s.linear(0.0, 1.0, steps=4), s.step(8.0, every=2, gamma=0.5)
    for product in (a * b, b * a, s.chain(a, b)):
        assert values(product, 6) == [a(t) * b(t) for t in range(6)]
    assert values(0.5 * b, 3) == values(b * 0.5, 3) == [4.0, 4.0, 2.0]
    assert (a * (lambda t: t + 1))(2) == 1.5
    with pytest.raises(TypeError):
        a * "2"


def test_warmup_from_somewhere_in_a_shape() -> None:
    assert values(s.warmup(4.0, steps=2, start="zero", init=1.0), 4) == [1.0, 2.5, 4.0, 4.0]
    for shape, middle in {
        "cosine": 0.5,
        "sqrt": 1 - 0.5**0.5,
        "square": 0.75,
        "exponential": 31 / 1023,
    }.items():
        rise = s.warmup(1.0, steps=2, start="zero", shape=shape)
        assert values(rise, 3) == pytest.approx([0.0, middle, 1.0], rel=1e-12, abs=1e-15)


def test_warmup_over_what_follows() -> None:
    """As timm does: the cosine has begun when the rise ends."""
    then = s.linear(1.0, 0.0, steps=4)
    assert values(s.warmup(then, steps=2, start="zero", overlap=True), 6) == [0.0, 0.5, 0.5, 0.25, 0.0, 0.0]


def test_delay() -> None:
    assert values(s.delay(s.linear(1.0, 0.0, steps=2), steps=2), 6) == [1.0, 1.0, 1.0, 0.5, 0.0, 0.0]
    assert values(s.delay(0.5, steps=0), 2) == [0.5, 0.5]


def test_warmup_cosine() -> None:
    schedule = s.warmup_cosine(1.0, warmup=4, total=8, end=0.5)
    assert values(schedule, 9) == pytest.approx(
        [0.25, 0.5, 0.75, 1.0, 1.0, 0.926777, 0.75, 0.573223, 0.5], abs=1e-6
    )
    assert schedule == s.warmup(s.cosine(1.0, steps=4, end=0.5), steps=4)
    assert s.warmup_cosine(1.0, warmup=4, total=8, start="zero")(0) == 0.0


def test_nested_deeply() -> None:
    schedule = s.warmup(s.join([s.cosine(1.0, steps=5), 0.1 * s.step(1.0, every=2)], at=[5]), steps=3)
    assert s.from_dict(schedule.to_dict()) == schedule
    assert schedule(3 + 5 + 2) == pytest.approx(0.01)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: s.warmup(1.0, steps=-1), "warmup: steps must be an integer ≥ 0"),
        (lambda: s.warmup(1.0, steps=2, start="two"), "start must be 'one' or 'zero', got 'two'"),
        (lambda: s.join([1.0, 2.0], at=[]), "n parts need n - 1 steps"),
        (lambda: s.join([1.0, 2.0, 3.0], at=[3, 3]), "at must rise from 1 or above"),
        (lambda: s.join([1.0, 2.0], at=[0]), "at must rise from 1 or above"),
        (
            lambda: s.warmup_cosine(1.0, warmup=5, total=4),
            "total must be an integer ≥ 5, the sum of its parts, got 4",
        ),
        (lambda: s.warmup_cosine(1.0, warmup=5, total=7.5), "total must be an integer"),
        (
            lambda: s.warmup_cosine(1.0, warmup=True, total=7),
            "warmup_cosine: warmup must be an integer ≥ 0, got True",
        ),
        (lambda: s.warmup_cosine(-0.1, warmup=5, total=7), "cosine: value must be a number ≥ 0, got -0.1"),
        (lambda: s.warmup(-1.0, steps=5), "warmup: then must be a number ≥ 0, got -1.0"),
        (lambda: s.warmup(1.0, steps=5, init=-1), "warmup: init must be a number ≥ 0"),
        (lambda: s.join([1.0, -2.0], at=[3]), r"join: parts\[1\] must be a number ≥ 0, got -2.0"),
        (lambda: -1.0 * s.constant(1.0), r"factors\[0\] must be a number ≥ 0, got -1.0"),
        (
            lambda: s.warmup_stable_decay(1.0, warmup=2, total=4, decay=3),
            "warmup_stable_decay: total must be an integer ≥ 5, the sum",
        ),
    ],
)
def test_bad_arguments(make, message) -> None:
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [
        (s.warmup_cosine(1.0, warmup=4, total=4), [0.25, 0.5, 0.75, 1, 0]),
        (s.warmup_cosine(1.0, warmup=4, total=4, start="zero"), [0, 0.25, 0.5, 0.75, 0]),
        (s.warmup(s.polynomial(1.0, steps=0), steps=4), [0.25, 0.5, 0.75, 1, 0]),
        (s.warmup(s.linear(1.0, 0.5, steps=0), steps=2), [0.5, 1, 0.5]),
        (s.warmup(s.rex(1.0, steps=0), steps=2), [0.5, 1, 0]),
        (s.warmup(s.cosine_restarts(1.0, steps=0), steps=2), [0.5, 1, 0]),
        (s.warmup(s.anneal(1.0, steps=0), steps=2), [0.5, 1, 0]),
        (s.warmup(s.constant_factor(1.0, factor=0.5, steps=0), steps=2), [0.5, 1, 1]),
        (s.warmup(0.5 * s.cosine(1.0, steps=0), steps=2), [0.25, 0.5, 0]),
        (s.warmup(s.warmup(s.cosine(1.0, steps=0), steps=0), steps=2), [0.5, 1, 0]),
        (s.warmup(s.delay(s.cosine(1.0, steps=0), steps=1), steps=2), [0.5, 1, 1, 0]),
        (s.warmup(s.join([s.cosine(1.0, steps=0), 0.25], at=[1]), steps=2), [0.5, 1, 0, 0.25]),
        (s.warmup_stable_decay(1.0, warmup=2, total=4, decay=0), [0.5, 1, 1, 1, 0]),
        (s.delay(s.cosine(1.0, steps=0), steps=2), [1, 1, 0]),
    ],
    ids=repr,
)
def test_a_rise_before_no_steps_reaches_the_value(schedule, expected) -> None:
    """As when the warm-up is as long as the training."""
    assert [schedule(t) for t in range(len(expected))] == pytest.approx(expected)
