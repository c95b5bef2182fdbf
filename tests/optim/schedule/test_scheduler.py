"""The scheduler object."""

from __future__ import annotations

import gc
import weakref

import pytest
from neurenix.optim import SGD, Adam, Scheduler
from neurenix.optim import schedule as s


def test_writes_the_value(make) -> None:
    optimizer = SGD([{"params": [make([1.0])]}, {"params": [make([1.0])], "lr": 7}])
    optimizer.step()
    scheduler = Scheduler(optimizer, s.linear(1.0, 0.0, steps=2))
    seen = [scheduler.get_last_lr()]
    for _ in range(3):
        scheduler.step()
        seen.append(scheduler.get_last_lr())
    assert seen == [[1.0, 1.0], [0.5, 0.5], [0.0, 0.0], [0.0, 0.0]]
    assert [group["lr"] for group in optimizer.param_groups] == [0.0, 0.0]


def test_relative_keeps_the_groups_apart(make) -> None:
    optimizer = SGD([{"params": [make([1.0])]}, {"params": [make([1.0])], "lr": 8}], lr=4)
    optimizer.step()
    scheduler = Scheduler(optimizer, lambda t: 0.5**t, relative=True)
    scheduler.step()
    assert scheduler.get_last_lr() == [2, 4]
    optimizer.add_param_group({"params": [make([1.0])], "lr": 16})
    scheduler.step()
    assert scheduler.get_last_lr() == [1, 2, 4]


def test_made_again_it_begins_again(make) -> None:
    optimizer = SGD([make([1.0])], lr=4)
    optimizer.step()
    for _ in range(2):
        scheduler, seen = Scheduler(optimizer, s.linear(1.0, 0.0, steps=2), relative=True), []
        for _ in range(3):
            seen += scheduler.get_last_lr()
            scheduler.step()
        assert seen == [4, 2, 0]
    saved, other = optimizer.state_dict(), SGD([make([1.0])], lr=1)
    other.load_state_dict(saved)
    assert Scheduler(other, s.constant(0.5), relative=True).get_last_lr() == [2]


def test_a_schedule_that_raises_changes_nothing(make) -> None:
    optimizer, broken = SGD([make([1.0])], lr=4), [True]
    optimizer.step()
    schedule = lambda t: 1 / 0 if broken[0] else 0.5**t  # noqa: E731
    with pytest.raises(ZeroDivisionError):
        Scheduler(optimizer, schedule, relative=True)
    broken[0] = False
    scheduler = Scheduler(optimizer, schedule, relative=True)
    broken[0] = True
    with pytest.raises(ZeroDivisionError):
        scheduler.step()
    with pytest.raises(ZeroDivisionError):
        scheduler.load_state_dict({"step": 3, "base": [64]})
    assert (scheduler.last_step, scheduler.get_last_lr()) == (0, [4])
    broken[0] = False
    scheduler.step()
    assert scheduler.get_last_lr() == [2]


def test_a_step_before_the_first_of_the_optimizer(make) -> None:
    scheduler = Scheduler(SGD([make([1.0])]), s.step(0.5, every=1, gamma=0.5))
    with pytest.warns(UserWarning, match=r"Scheduler.step\(\) comes before the first optimizer.step\(\)"):
        scheduler.step()


def test_any_hyperparameter(make) -> None:
    optimizer = Adam([make([1.0])])
    Scheduler(optimizer, s.constant(0.5), hyper="weight_decay")
    assert optimizer.param_groups[0]["weight_decay"] == 0.5
    with pytest.raises(ValueError, match="Adam has no 'momentum'; it has lr, betas"):
        Scheduler(optimizer, s.constant(0.5), hyper="momentum")
    with pytest.raises(TypeError, match=r"must be a function of the step, got 0.5"):
        Scheduler(optimizer, 0.5)


def test_it_reaches_the_step(make) -> None:
    param = make([1.0], 1.0)
    optimizer = SGD([param])
    scheduler = Scheduler(optimizer, s.step(0.5, every=1, gamma=0.5))
    optimizer.step()
    scheduler.step()
    optimizer.step()
    assert param.item() == 0.25


@pytest.mark.parametrize("first", ["optimizer", "scheduler"])
@pytest.mark.parametrize("relative", [False, True])
def test_load_order_does_not_matter(make, first, relative) -> None:
    def build(lr):
        optimizer = SGD([make([1.0], 1.0)], lr=lr)
        optimizer.step()
        return optimizer, Scheduler(optimizer, s.linear(1.0, 0.0, steps=4), relative=relative)

    one, two = build(2.0), build(64.0)
    one[1].step()
    saved = [part.state_dict() for part in one]
    order = [0, 1] if first == "optimizer" else [1, 0]
    for i in order:
        two[i].load_state_dict(saved[i])
    for _ in range(5):
        assert two[1].get_last_lr() == one[1].get_last_lr() == [one[0].param_groups[0]["lr"]]
        assert two[1].last_step == one[1].last_step
        one[1].step()
        two[1].step()


@pytest.mark.parametrize(
    "state", [{}, {"step": -1, "base": [1]}, {"step": True, "base": [1]}, {"step": 1, "base": []}]
)
def test_bad_state_changes_nothing(make, state) -> None:
    scheduler = Scheduler(SGD([make([1.0])]), s.linear(1.0, 0.0, steps=4))
    with pytest.raises(ValueError, match=r"Scheduler: (step must be|base needs)"):
        scheduler.load_state_dict(state)
    assert scheduler.last_step == 0


def test_no_reference_cycle(make) -> None:
    optimizer = SGD([make([1.0], 1.0)], momentum=0.5)
    scheduler = Scheduler(optimizer, s.constant(1.0))
    optimizer.step()
    gone = weakref.ref(optimizer)
    gc.disable()
    try:
        del optimizer, scheduler
        assert gone() is None
    finally:
        gc.enable()


def test_repr(make) -> None:
    scheduler = Scheduler(SGD([make([1.0])]), s.constant(1.0), relative=True)
    assert repr(scheduler) == "Scheduler(constant(1.0), hyper='lr', relative=True, last_step=0)"
