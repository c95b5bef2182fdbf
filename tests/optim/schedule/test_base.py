"""Schedules as values."""

from __future__ import annotations

import copy
import inspect
import json
import pickle
from typing import Annotated, Literal

import numpy as np
import pytest
from neurenix.optim import schedule as s
from neurenix.optim.schedule.arguments import Between

EXAMPLES = [
    s.anneal(1.0, steps=5, end=0.1, shape="cosine"),
    s.chebyshev(0.1, steps=6, low=0.1),
    s.constant(0.5),
    s.constant_factor(1.0, factor=0.5, steps=3),
    s.cosine(1.0, steps=6),
    s.cosine(1.0, steps=6, end=0.1, exponent=2, k=1.5, periodic=True),
    s.cosine_restarts(1.0, steps=8, cycles=2),
    s.cyclic(0.1, 1.0, up=2, down=3, mode="exp_range", gamma=0.9, inverse=True),
    s.delay(s.exponential(1.0, gamma=0.5), steps=3),
    s.exponential(2.0, gamma=0.9),
    s.exponential(2.0, gamma=0.9, steps=2, staircase=True, end=0.1),
    s.half_life(0.9, 0.999, steps=7),
    s.inverse_sqrt(1.0, timescale=3),
    s.inverse_time(1.0, rate=0.5, steps=2, staircase=True),
    s.join([1.0, s.constant(0.5)], at=[3]),
    s.linear(1.0, 0.2, steps=4),
    s.multi_step(1.0, milestones=[5, 2]),
    s.multiplicative(1.0, s.constant(0.5)),
    s.noam(2.0, dim=16, warmup=4),
    s.one_cycle(1.0, steps=9, three_phase=True, shape="linear"),
    s.one_cycle_momentum(0.8, 0.9, steps=9),
    s.piecewise_constant([1.0, 0.5], at=[3], relative=True, inclusive=True),
    s.piecewise_interpolate([1.0, 0.5], at=[3], shape="cosine"),
    s.polynomial(1.0, steps=4, power=2),
    s.polynomial(1.0, steps=4, cycle=True, end=0.1, k=2.0),
    s.range_test(0.1, rate=2.0, every=3),
    s.rex(1.0, steps=8),
    s.step(1.0, every=3),
    s.tanh(1.0, steps=8, lower=-6.0),
    s.warm_restarts(1.0, steps=2, mult=2, decay=0.5, cycles=2),
    s.warmup(s.cosine(1.0, steps=6), steps=2),
    s.warmup(0.5, steps=3, start="zero", init=0.1, shape="cosine", overlap=True),
    s.constant(2.0) * s.step(1.0, every=3),
]


def test_all_kinds_are_examples() -> None:
    kinds = {name for name in s.__all__ if inspect.isfunction(getattr(s, name))}
    made_of_others = {"chain", "cyclic_pair", "one_cycle_pair"} | {
        n for n in kinds if n.startswith("warmup_")
    }
    assert kinds - {"schedule", "from_dict"} - made_of_others <= {example.kind for example in EXAMPLES}


@pytest.mark.parametrize("schedule", EXAMPLES, ids=repr)
def test_equal_hashed_copied_stored(schedule) -> None:
    twins = [copy.deepcopy(schedule), pickle.loads(pickle.dumps(schedule))]
    twins.append(s.from_dict(json.loads(json.dumps(schedule.to_dict()))))
    twins.append(eval(repr(schedule), {**vars(s), "_product": lambda factors: s.chain(*factors)}))
    for twin in twins:
        assert twin == schedule
        assert hash(twin) == hash(schedule)
        assert [twin(t) for t in range(12)] == [schedule(t) for t in range(12)]


def test_stored_before_an_argument_was_added() -> None:
    assert s.from_dict({"schedule": "cosine", "value": 1.0, "steps": 6}) == s.cosine(1.0, steps=6)


def test_numbers_of_numpy_become_python_s() -> None:
    schedule = s.cosine(np.float32(0.5), steps=np.int64(6))
    assert schedule == s.cosine(0.5, steps=6)
    assert [type(value) for value in schedule.arguments.values()][:2] == [float, int]
    assert schedule(np.int64(3)) == 0.25


def test_annotations_of_a_kind_of_ones_own_are_limits() -> None:
    @s.schedule
    def wave(
        t: float, height: Annotated[float, Between(0, 2)], *, kind: Literal["sin", "cos"] = "sin"
    ) -> float:
        return height

    for arguments, message in [
        ((3.0,), r"wave: height must be a number in \[0, 2\], got 3.0"),
        ((1.0, "tan"), "too many positional"),
    ]:
        with pytest.raises((ValueError, TypeError), match=message):
            wave(*arguments)
    with pytest.raises(ValueError, match="wave: kind must be 'sin' or 'cos', got 'tan'"):
        wave(1.0, kind="tan")


def test_different_is_not_equal() -> None:
    assert len(set(EXAMPLES)) == len(EXAMPLES)
    assert s.constant(1.0) != s.constant(2.0)
    assert s.constant(1.0) != 1.0


def test_schedules_do_not_change() -> None:
    with pytest.raises(AttributeError, match="make a new constant"):
        s.constant(1.0).value = 2
    with pytest.raises(AttributeError):
        del s.constant(1.0).kind


def test_help_shows_the_arguments() -> None:
    assert list(inspect.signature(s.cosine).parameters)[:3] == ["value", "steps", "end"]
    assert "half a cosine" in s.cosine.__doc__


def test_a_kind_of_ones_own() -> None:
    @s.schedule
    def triangle(t: float, height: float, *, steps: int) -> float:
        return height * (1 - abs(2 * (t % steps) / steps - 1))

    schedule = triangle(2.0, steps=4)
    assert [schedule(t) for t in range(5)] == [0.0, 1.0, 2.0, 1.0, 0.0]
    assert s.from_dict(schedule.to_dict()) == schedule


def test_a_name_has_one_meaning() -> None:
    """Saved schedules are found by it."""
    before = s.cosine(1.0, steps=4)

    def define(name):
        def cosine(t: float, value: float) -> float:
            return 7.0

        cosine.__name__ = name
        return s.schedule(cosine)

    with pytest.raises(
        ValueError, match="cosine is a schedule of neurenix.optim.schedule.shapes already, and saved"
    ):
        define("cosine")
    for twin in (copy.deepcopy(before), s.from_dict(before.to_dict()), s.cosine(1.0, steps=4)):
        assert twin(0) == 1.0
    assert define("of_ones_own")(1.0)(0) == 7.0
    assert define("of_ones_own")(1.0)(0) == 7.0  # a cell of a notebook that is run again

    def elsewhere(t: float) -> float:
        return 1.0

    elsewhere.__name__ = "of_ones_own"
    with pytest.raises(ValueError, match="of_ones_own is a schedule of"):
        s.schedule(elsewhere)


def test_foreign_callables_cannot_be_stored() -> None:
    schedule = s.warmup(lambda t: 1.0, steps=2)
    assert schedule(1) == 1.0
    assert not schedule.is_data()
    with pytest.raises(TypeError, match="cannot be stored; write it with @schedule"):
        schedule.to_dict()


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({}, "no schedule is called None"),
        ({"schedule": "cosin", "value": 1.0}, "no schedule is called 'cosin'; there are: .*cosine"),
        (
            {"schedule": "cosine", "value": 1.0},
            "cosine takes value, steps, .*missing a required argument: 'steps'",
        ),
        (
            {"schedule": "constant", "value": 1.0, "x": 2},
            "constant takes value: .*unexpected keyword argument 'x'",
        ),
        ({"schedule": "cosine", "value": 1.0, "steps": -1, "end": 0}, "steps must be an integer"),
        ({"schedule": ["cosine"]}, "no schedule is called"),
    ],
)
def test_bad_data(data, message) -> None:
    with pytest.raises(ValueError, match=message):
        s.from_dict(data)
