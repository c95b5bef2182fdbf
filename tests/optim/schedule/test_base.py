"""Schedules as values."""

from __future__ import annotations

import copy
import inspect
import json
import pickle

import pytest
from neurenix.optim import schedule as s

EXAMPLES = [
    s.constant(0.5),
    s.linear(1.0, 0.2, steps=4),
    s.step(1.0, every=3),
    s.multi_step(1.0, milestones=[5, 2]),
    s.exponential(2.0, gamma=0.9),
    s.polynomial(1.0, steps=4, power=2),
    s.cosine(1.0, steps=6),
    s.warmup(s.cosine(1.0, steps=6), steps=2),
    s.join([1.0, s.constant(0.5)], at=[3]),
    s.constant(2.0) * s.step(1.0, every=3),
    s.warmup_cosine(1.0, warmup=2, total=9),
]


def test_all_kinds_are_examples() -> None:
    kinds = {name for name in s.__all__ if inspect.isfunction(getattr(s, name))}
    text = repr(EXAMPLES) + "warmup_cosine chain"
    assert all(kind in text for kind in kinds - {"schedule", "from_dict"})


@pytest.mark.parametrize("schedule", EXAMPLES, ids=repr)
def test_equal_hashed_copied_stored(schedule) -> None:
    twins = [copy.deepcopy(schedule), pickle.loads(pickle.dumps(schedule))]
    twins.append(s.from_dict(json.loads(json.dumps(schedule.to_dict()))))
    twins.append(eval(repr(schedule), {**vars(s), "_product": lambda factors: s.chain(*factors)}))
    for twin in twins:
        assert twin == schedule
        assert hash(twin) == hash(schedule)
        assert [twin(t) for t in range(12)] == [schedule(t) for t in range(12)]


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
    assert list(inspect.signature(s.cosine).parameters) == ["value", "steps", "end"]
    assert "half a cosine" in s.cosine.__doc__


def test_a_kind_of_ones_own() -> None:
    @s.schedule
    def triangle(t: float, height: float, *, steps: int) -> float:
        return height * (1 - abs(2 * (t % steps) / steps - 1))

    schedule = triangle(2.0, steps=4)
    assert [schedule(t) for t in range(5)] == [0.0, 1.0, 2.0, 1.0, 0.0]
    assert s.from_dict(schedule.to_dict()) == schedule


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
        ({"schedule": "cosine", "value": 1.0}, "the schedule cosine takes value, steps, end, got value"),
        ({"schedule": "constant", "value": 1.0, "x": 2}, "takes value, got value, x"),
        ({"schedule": "cosine", "value": 1.0, "steps": -1, "end": 0}, "steps must be an integer"),
        ({"schedule": ["cosine"]}, "no schedule is called"),
    ],
)
def test_bad_data(data, message) -> None:
    with pytest.raises(ValueError, match=message):
        s.from_dict(data)
