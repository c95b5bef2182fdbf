"""Factors that follow a metric."""

from __future__ import annotations

import copy
import json
import math
import pickle
from typing import ClassVar

import neurenix as nx
import pytest
from neurenix.optim import SGD, AdamW, Scheduler
from neurenix.optim import schedule as s


def factors(multiplier, metrics):
    seen = []
    for metric in metrics:
        multiplier.update(metric)
        seen.append(multiplier(0))
    return seen


def test_plateau_by_hand() -> None:
    """Falls after more than 2 bad updates in a row; the 2 after a fall do not count."""
    plateau = s.Plateau(factor=0.5, patience=2, cooldown=2)
    metrics = [3, 2, 2, 2, 2, 2, 2, 2, 2, 2, 1, 1]
    assert factors(plateau, metrics) == [1, 1, 1, 1, 0.5, 0.5, 0.5, 0.5, 0.5, 0.25, 0.25, 0.25]


def test_plateau_as_optax_counts() -> None:
    """Optax's falls with the n-th bad update, ours after more than `patience`."""
    assert factors(s.Plateau(patience=2), [1, 1, 1, 1]) == [1, 1, 1, 0.1]


@pytest.mark.parametrize(
    ("arguments", "best", "good", "bad"),
    [
        ({"rtol": 0.1}, 10.0, 8.99, 9.01),
        ({"rtol": 0.0, "atol": 0.5}, 10.0, 9.49, 9.51),
        ({"rtol": 0.1, "atol": 0.5}, 10.0, 8.49, 8.51),
        ({"rtol": 0.1, "mode": "max"}, 10.0, 11.01, 10.99),
        ({"rtol": 0.0, "atol": 0.5, "mode": "max"}, 10.0, 10.51, 10.49),
        ({"rtol": 0.1}, -10.0, -11.01, -10.99),  # worse than the best is never better
        ({"rtol": 0.1, "mode": "max"}, -10.0, -8.99, -9.01),
        ({}, 1.0, 0.5, math.nan),
        ({}, 1.0, 0.5, -math.inf),
    ],
)
def test_what_an_improvement_is(arguments, best, good, bad) -> None:
    plateau = s.Plateau(patience=0, **arguments)
    assert factors(plateau, [best, good]) == [1, 1]
    plateau = s.Plateau(patience=0, **arguments)
    assert factors(plateau, [best, bad]) == [1, 0.1]


def test_a_diverged_start_is_no_best_value() -> None:
    assert factors(s.Plateau(patience=1), [math.inf, 3.0, 2.0]) == [1, 1, 1]


def test_plateau_bounds_and_means() -> None:
    assert factors(s.Plateau(factor=0.5, patience=0, least=0.3), [1, 1, 1, 1]) == [1, 0.5, 0.3, 0.3]
    assert factors(s.Plateau(patience=0, every=2), [1, 3, 2, 1, 9, 9]) == [1, 1, 1, 1, 1, 0.1]


def test_greedy_by_hand() -> None:
    greedy = s.Greedy(factor=0.5, patience=1, most=3.0, least=0.25)
    assert factors(greedy, [9, 8, 7, 6, 5, 4]) == [1, 2, 2, 3, 3, 3]
    assert factors(greedy, [4, 4, 4, 4, 4, 4, 4, 4, 3, 2]) == [
        3,
        1.5,
        1.5,
        0.75,
        0.75,
        0.375,
        0.375,
        0.25,
        0.25,
        0.5,
    ]


def test_greedy_waits_after_a_change() -> None:
    assert factors(s.Greedy(factor=0.5, patience=0, warmup=2), [9, 8, 7, 6]) == [2, 2, 2, 4]
    assert factors(s.Greedy(factor=0.5, patience=1, cooldown=2), [9, 9, 9, 9, 9, 9, 9]) == [
        1,
        1,
        0.5,
        0.5,
        0.5,
        0.5,
        0.25,
    ]


def test_greedy_begins_anew_at_the_bottom() -> None:
    greedy = s.Greedy(factor=0.5, patience=0, least=0.5, reset=2)
    assert factors(greedy, [1, 1, 1, 1, 9]) == [2, 1, 0.5, 1, 2]
    greedy = s.Greedy(factor=0.5, patience=0, least=0.5, reset=2)  # a growth begins the count anew
    assert factors(greedy, [9, 9, 9, 8, 9, 9]) == [2, 1, 0.5, 1, 0.5, 1]
    greedy = s.Greedy(factor=0.5, patience=0, least=0.5, reset=1, cooldown=1)  # and rests after it
    assert factors(greedy, [9, 9, 9, 9, 9, 9]) == [2, 1, 1, 1, 1, 2]


def test_greedy_smooths() -> None:
    """Means of the last two: 4, 5, 5, 4."""
    assert factors(s.Greedy(factor=0.5, patience=0, window=2), [4, 6, 4, 4]) == [2, 1, 0.5, 0.25]


@pytest.mark.parametrize("kind", [s.Plateau, s.Greedy])
def test_state(kind) -> None:
    metrics = [3.0, 2.5, 2.5, 2.4, 2.6, 2.7, 2.7, 1.0, 0.9, 2.0, 2.0, 2.0] * 3
    for stop in range(len(metrics)):
        whole = kind(factor=0.5, patience=1, cooldown=1)
        factors(whole, metrics[:stop])
        saved = json.loads(json.dumps(whole.state_dict()))
        twins = [kind(factor=0.5, patience=1, cooldown=1, state=saved), copy.deepcopy(whole)]
        twins += [pickle.loads(pickle.dumps(whole)), s.from_dict(json.loads(json.dumps(whole.to_dict())))]
        fresh = kind(factor=0.5, patience=1, cooldown=1)
        fresh.load_state_dict(saved)
        rest = factors(whole, metrics[stop:])
        for twin in [*twins, fresh]:
            assert twin != whole
            assert factors(twin, metrics[stop:]) == rest
    assert whole == whole
    assert len({whole, *twins}) == 5


def test_it_composes() -> None:
    plateau = s.Plateau(patience=0)
    lr = s.warmup(s.cosine(0.4, steps=4), steps=2) * plateau
    products = [0.4 * plateau, plateau * 0.4, s.chain(plateau, 0.4)]
    before = [lr(t) for t in range(6)]
    assert [plateau.update(1.0), plateau.step(nx.Tensor(1.0))] == [False, True]
    assert [lr(t) for t in range(6)] == pytest.approx([0.1 * value for value in before])
    assert [product(7) for product in products] == pytest.approx([0.04] * 3)
    assert repr(plateau) == "Plateau(patience=0)"
    assert plateau.is_data()
    assert lr.is_data()
    assert s.join([1.0, plateau], at=[3])(5) == 0.1


def test_a_kind_of_ones_own() -> None:
    class Doubling(s.Multiplier):
        __slots__ = ()
        begin: ClassVar = {"factor": 1.0}

        def __init__(self, *, limit: float = 4.0, state=None):
            super().__init__(state, limit=limit)

        def _mean(self, value):
            return value

        def _react(self, value):
            self.state["factor"] = min(2 * self.state["factor"], self.arguments["limit"])

    assert factors(Doubling(limit=3.0), [1, 1, 1]) == [2, 3, 3]
    assert s.warmup(Doubling(state={"factor": 2.0}), steps=2)(0) == 1.0
    with pytest.raises(
        ValueError, match="Plateau is a schedule of neurenix.optim.schedule.multiplier already"
    ):
        type("Plateau", (s.Multiplier,), {})


def test_the_optimizer_saves_it(tmp_path) -> None:
    def make():
        plateau = s.Plateau(patience=0)
        model = nx.nn.Linear(1, 1)
        return plateau, AdamW(model.named_parameters(), lr=0.5 * plateau, betas=(0.9 * plateau, 0.99))

    plateau, optimizer = make()
    factors(plateau, [1.0, 1.0])
    nx.save(optimizer.state_dict(), tmp_path / "state")
    fresh, other = make()
    other.load_state_dict(nx.load(tmp_path / "state"))
    assert fresh(0) == 0.1
    group = other.param_groups[0]
    assert other.hyperparameters(group)["lr"] == 0.05
    fresh.update(1.0)  # the handle that the user has is the one in the group
    assert other.hyperparameters(group)["lr"] == pytest.approx(0.005)
    assert other.hyperparameters(group)["betas"] == pytest.approx((0.009, 0.99))


def test_another_optimizer_takes_it_over_whole() -> None:
    plateau, w = s.Plateau(patience=0), nx.Tensor([1.0], requires_grad=True)
    optimizer, other = SGD([w], lr=0.5 * plateau), SGD([w], lr=0.1)
    factors(plateau, [1.0, 1.0])
    other.load_state_dict(optimizer.state_dict())
    assert other.param_groups[0]["lr"](0) == 0.05
    factors(plateau, [1.0])
    assert other.param_groups[0]["lr"](0) == 0.05


def test_the_scheduler_saves_it() -> None:
    def make():
        plateau, optimizer = s.Plateau(patience=0), SGD([nx.Tensor([1.0], requires_grad=True)])
        optimizer.step()
        return plateau, Scheduler(optimizer, s.linear(1.0, 0.0, steps=4) * plateau)

    plateau, scheduler = make()
    factors(plateau, [1.0, 1.0])
    scheduler.step()
    other = make()[1]
    other.load_state_dict(json.loads(json.dumps(scheduler.state_dict())))
    assert other.get_last_lr() == scheduler.get_last_lr() == pytest.approx([0.075])
    saved = scheduler.state_dict()
    with pytest.raises(ValueError, match="Scheduler: the state of 1 multipliers is needed, got"):
        other.load_state_dict({"step": 0, "base": saved["base"]})
    assert other.last_step == 1


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"factor": 1.5}, ValueError, r"Plateau: factor must be a number in \[0, 1\], got 1.5"),
        ({"patience": -1}, ValueError, "Plateau: patience must be an integer ≥ 0, got -1"),
        ({"mode": "least"}, ValueError, "Plateau: mode must be 'min' or 'max', got 'least'"),
        ({"every": 0}, ValueError, "every must be an integer ≥ 1"),
        (
            {"state": {"factor": 1.0}},
            ValueError,
            "Plateau: a state is a dict of factor, reductions, best, bad",
        ),
        ({"state": {**s.Plateau().state_dict(), "bad": 0.5}}, ValueError, "Plateau: state bad cannot be 0.5"),
        ({"state": {**s.Plateau().state_dict(), "best": "x"}}, ValueError, "state best cannot be 'x'"),
        ({"state": {**s.Plateau().state_dict(), "metrics": 3}}, ValueError, "state metrics cannot be 3"),
    ],
)
def test_bad_arguments(arguments, error, message) -> None:
    with pytest.raises(error, match=message):
        s.Plateau(**arguments)
    if "state" in arguments:
        plateau = s.Plateau(patience=0)
        with pytest.raises(error, match=message):
            plateau.load_state_dict(arguments["state"])
        assert plateau.state_dict() == s.Plateau().state_dict()
