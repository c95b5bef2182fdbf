"""What all schedulers have in common: state, order, groups, and each other. Values are those of PyTorch 2.15."""

from __future__ import annotations

import copy
import gc
import inspect
import json
import pickle
import warnings
import weakref
from collections import Counter

import neurenix as nx
import pytest
from neurenix.optim import SGD, Adam, AdamW, lr_scheduler, schedule
from neurenix.optim.lr_scheduler import (
    SWALR,
    ChainedScheduler,
    ConstantLR,
    CosineAnnealingLR,
    CosineAnnealingWarmRestarts,
    CyclicLR,
    ExponentialLR,
    LambdaLR,
    LinearLR,
    LRScheduler,
    MultiplicativeLR,
    MultiStepLR,
    OneCycleLR,
    PolynomialLR,
    ReduceLROnPlateau,
    SequentialLR,
    StepLR,
)

#: `make(optimizer, last_epoch=...)` of each that takes a `last_epoch`.
MAKERS = {
    "LambdaLR": lambda o, **k: LambdaLR(o, [lambda t: 0.9**t, lambda t: 1 / (t + 1)], **k),
    "MultiplicativeLR": lambda o, **k: MultiplicativeLR(o, lambda t: 1 - 1 / (t + 1), **k),
    "StepLR": lambda o, **k: StepLR(o, 3, gamma=0.5, **k),
    "MultiStepLR": lambda o, **k: MultiStepLR(o, [4, 2, 9, 9], gamma=0.5, **k),
    "ConstantLR": lambda o, **k: ConstantLR(o, 0.5, 4, **k),
    "LinearLR": lambda o, **k: LinearLR(o, 0.1, total_iters=7, **k),
    "ExponentialLR": lambda o, **k: ExponentialLR(o, 0.9, **k),
    "PolynomialLR": lambda o, **k: PolynomialLR(o, 9, power=2.0, **k),
    "CosineAnnealingLR": lambda o, **k: CosineAnnealingLR(o, 6, eta_min=[0.1, 0.01], **k),
    "CosineAnnealingWarmRestarts": lambda o, **k: CosineAnnealingWarmRestarts(o, 2, 2, eta_min=0.01, **k),
    "CyclicLR": lambda o, **k: CyclicLR(o, 0.1, [0.2, 0.4], step_size_up=3, step_size_down=2, **k),
    "OneCycleLR": lambda o, **k: OneCycleLR(o, [0.2, 0.4], total_steps=10, **k),
    "SWALR": lambda o, **k: SWALR(o, [0.2, 0.4], anneal_epochs=5, **k),
    "SequentialLR": lambda o, **k: SequentialLR(
        o,
        [
            LinearLR(o, 0.1, total_iters=3),
            SequentialLR(o, [CyclicLR(o, 0.1, 1.0, 4), ExponentialLR(o, 0.8)], [3]),
        ],
        [3],
        **k,
    ),
}
ALL = {
    **MAKERS,
    "ReduceLROnPlateau": lambda o: ReduceLROnPlateau(
        o, factor=0.5, patience=1, cooldown=1, min_lr=[0.3, 0.0]
    ),
    "ChainedScheduler": lambda o: ChainedScheduler(
        [StepLR(o, 3), CosineAnnealingLR(o, 6, 0.01), ExponentialLR(o, 0.9)]
    ),
}


def sgd(*rates, **arguments):
    """An optimizer that has stepped, so that schedulers do not warn."""
    groups = [{"params": [nx.Tensor([1.0], requires_grad=True)], "lr": lr} for lr in rates or (1.0,)]
    optimizer = SGD(groups, **arguments)
    optimizer.step()
    return optimizer


def build(kind, *lrs):
    optimizer = sgd(*lrs or (2.0, 0.5), momentum=0.5)
    return optimizer, ALL[kind](optimizer)


def advance(scheduler, step):
    scheduler.step(5.0 - min(step, 4)) if isinstance(scheduler, ReduceLROnPlateau) else scheduler.step()


def shown(optimizer):
    return [(group["lr"], group["momentum"]) for group in optimizer.param_groups]


def follow(optimizer, scheduler, steps, start=0):
    """What the groups have at each of so many steps."""
    seen = []
    for step in range(start, start + steps):
        seen.append(shown(optimizer))
        advance(scheduler, step)
    return seen


def rates(optimizer, scheduler, steps):
    """The first group's."""
    return [groups[0][0] for groups in follow(optimizer, scheduler, steps)]


def shown_of(optimizer):
    return [group["lr"] for group in optimizer.param_groups]


def test_there_is_a_maker_for_each() -> None:
    assert sorted([*ALL, "LRScheduler"]) == sorted(lr_scheduler.__all__)
    assert nx.optim.lr_scheduler is lr_scheduler
    assert lr_scheduler._LRScheduler is LRScheduler


# Life and death


def test_a_scheduler_that_is_gone_has_no_effect() -> None:
    optimizer = sgd()
    scheduler = CosineAnnealingLR(optimizer, T_max=5)
    assert rates(optimizer, scheduler, 6)[-1] == 0.0
    del scheduler
    gc.collect()
    for group in optimizer.param_groups:
        group["lr"] = group["initial_lr"] = 0.5
    assert rates(optimizer, StepLR(optimizer, 2), 4) == pytest.approx([0.5, 0.5, 0.05, 0.05])


def test_a_scheduler_that_is_made_again_begins_again() -> None:
    optimizer = sgd()
    for _ in range(2):
        assert rates(optimizer, LambdaLR(optimizer, lambda t: 1 - t / 4), 5) == [1.0, 0.75, 0.5, 0.25, 0.0]
    for _ in range(2):
        scheduler = CosineAnnealingWarmRestarts(optimizer, T_0=2)
        assert rates(optimizer, scheduler, 3) == [1.0, pytest.approx(0.5), 1.0]


class Broken(LRScheduler):
    def get_lr(self):
        return [1.0]


@pytest.mark.parametrize(
    ("make", "error"),
    [
        (lambda o: LambdaLR(o, lambda t: 1 / t), ZeroDivisionError),
        (lambda o: CyclicLR(o, 0.1, 1.0, 5, scale_fn=lambda c: c / 0), ZeroDivisionError),
        (lambda o: OneCycleLR(o, 1.0, 10, base_momentum=-1), ValueError),
        (lambda o: SWALR(o, 0.1, anneal_strategy="sin"), ValueError),
        (lambda o: CyclicLR(o, 0.1, 1.0, 5, max_momentum=[0.9]), ValueError),
        (Broken, ValueError),
        (LRScheduler, NotImplementedError),
    ],
)
def test_a_constructor_that_raises_changes_nothing(make, error) -> None:
    optimizer = sgd(2.0, 0.5, momentum=0.5)
    before = [dict(group) for group in optimizer.param_groups]
    with pytest.raises(error):
        make(optimizer)
    assert optimizer.param_groups == before
    scheduler = StepLR(optimizer, 1, gamma=0.5)
    scheduler.step()
    assert shown_of(optimizer) == [1.0, 0.25]


def test_a_sequence_that_cannot_begin_changes_nothing() -> None:
    optimizer, broken = sgd(2.0, 0.5), [False]
    first = LambdaLR(optimizer, lambda t: 1 / 0 if broken[0] else 1.0)
    parts = [first, LinearLR(optimizer, 0.5)]
    before, states = shown_of(optimizer), [part.state_dict() for part in parts]
    broken[0] = True
    with pytest.raises(ZeroDivisionError):
        SequentialLR(optimizer, parts, [3])
    assert (shown_of(optimizer), [part.state_dict() for part in parts]) == (before, states)


@pytest.mark.parametrize(
    "kind", ["LambdaLR", "CosineAnnealingWarmRestarts", "SequentialLR", "ChainedScheduler"]
)
def test_a_step_that_raises_changes_nothing(kind) -> None:
    optimizer, broken = sgd(2.0, 0.5, momentum=0.5), [False]

    def factor(t):
        return 1 / 0 if broken[0] else 0.5**t

    class Restarts(CosineAnnealingWarmRestarts):
        def get_lr(self):
            return [base * factor(self.T_cur) for base in self.base_lrs]

    scheduler = {
        "LambdaLR": lambda: LambdaLR(optimizer, factor),
        "CosineAnnealingWarmRestarts": lambda: Restarts(optimizer, 3),
        "SequentialLR": lambda: SequentialLR(optimizer, [Restarts(optimizer, 3), StepLR(optimizer, 1)], [3]),
        "ChainedScheduler": lambda: ChainedScheduler([Restarts(optimizer, 3), LambdaLR(optimizer, factor)]),
    }[kind]()
    broken[0] = True
    before, state = shown(optimizer), scheduler.state_dict()
    with pytest.raises(ZeroDivisionError):
        scheduler.step()
    assert (shown(optimizer), scheduler.state_dict()) == (before, state)
    broken[0] = False
    scheduler.step()
    assert shown_of(optimizer) == [1.0, 0.25]


@pytest.mark.parametrize("kind", ALL)
def test_no_reference_cycle(kind) -> None:
    optimizer, scheduler = build(kind)
    gone = weakref.ref(optimizer)
    gc.disable()
    try:
        advance(scheduler, 0)
        del optimizer, scheduler
        assert gone() is None
    finally:
        gc.enable()


def test_a_trainer_whose_method_is_the_function_is_collected() -> None:
    class Trainer:
        def __init__(self):
            self.optimizer = sgd()
            self.schedulers = [
                LambdaLR(self.optimizer, self.factor),
                LambdaLR(self.optimizer, lambda t: self.k),
            ]

        k = 1.0

        def factor(self, t):
            return 0.5**t

    trainer = Trainer()
    trainer.schedulers[0].step()
    json.dumps(trainer.schedulers[0].state_dict())
    gone = weakref.ref(trainer)
    del trainer
    gc.collect()
    assert gone() is None


@pytest.mark.parametrize("kind", sorted(set(ALL) - {"LambdaLR", "MultiplicativeLR"}))
def test_copies_and_pickles_of_both_go_their_own_way(kind) -> None:
    optimizer, scheduler = build(kind)
    advance(scheduler, 0)
    pairs = [copy.deepcopy((optimizer, scheduler)), pickle.loads(pickle.dumps((optimizer, scheduler)))]
    expected = follow(optimizer, scheduler, 9, 1)
    for twin, other in pairs:
        assert other.optimizer is twin
        before = shown(optimizer)
        assert follow(twin, other, 9, 1) == expected
        assert shown(optimizer) == before


# Saving and going on


@pytest.mark.parametrize("kind", ALL)
def test_resumed_at_every_step_in_any_order(kind, tmp_path) -> None:
    optimizer, scheduler = build(kind)
    path, saved = [], []
    for step in range(14):
        path.append(shown(optimizer))
        saved.append((json.loads(json.dumps(scheduler.state_dict())), copy.deepcopy(optimizer.state_dict())))
        advance(scheduler, step)
    nx.save(saved[5][0], tmp_path / "state")
    saved[5] = nx.load(tmp_path / "state"), saved[5][1]
    for start, (state, whole) in enumerate(saved):
        for first in ("scheduler", "optimizer"):
            optimizer, scheduler = build(kind, 64.0, 32.0)
            if first == "optimizer":
                optimizer.load_state_dict(whole)
            scheduler.load_state_dict(state)
            if first == "scheduler":
                optimizer.load_state_dict(whole)
            assert follow(optimizer, scheduler, 14 - start, start) == path[start:]


@pytest.mark.parametrize("kind", MAKERS)
def test_resumed_by_last_epoch(kind) -> None:
    """PyTorch's multiply once more where a milestone is met just then, and warm restarts lose their place."""
    optimizer, scheduler = build(kind)
    saved, path = [], []
    for _ in range(10):
        saved.append(copy.deepcopy(optimizer.state_dict()))
        path.append(shown(optimizer))
        scheduler.step()
    for start in range(1, 10):
        fresh = sgd(2.0, 0.5, momentum=0.5)
        fresh.load_state_dict(saved[start])
        scheduler = MAKERS[kind](fresh, last_epoch=start - 1)
        assert scheduler.last_epoch == start
        for here, there in zip(follow(fresh, scheduler, 10 - start), path[start:], strict=True):
            assert [value for pair in here for value in pair] == pytest.approx(
                [value for pair in there for value in pair], rel=1e-12
            )


@pytest.mark.parametrize("kind", set(MAKERS) - {"SequentialLR"})
def test_last_epoch_needs_the_first_rate(kind) -> None:
    optimizer = sgd(2.0, 0.5, momentum=0.5)
    with pytest.raises(
        KeyError, match=rf"{kind}: group 0 has no 'initial_lr', which last_epoch=3 needs; load"
    ):
        MAKERS[kind](optimizer, last_epoch=3)
    assert shown(optimizer) == [(2.0, 0.5), (0.5, 0.5)]


def test_group_says_where_it_began() -> None:
    group = {"params": [nx.Tensor([1.0], requires_grad=True)], "lr": 0.1, "initial_lr": 1.0}
    scheduler = StepLR(SGD([group]), step_size=2, last_epoch=1)
    assert (scheduler.get_last_lr(), scheduler.base_lrs) == ([0.1], [1.0])


def test_a_scheduler_that_is_loaded_alone_puts_its_rate_back() -> None:
    """PyTorch's group stays at 1.0 there."""
    optimizer = sgd()
    scheduler = MultiStepLR(optimizer, [2, 4])
    follow(optimizer, scheduler, 3)
    fresh = sgd()
    MultiStepLR(fresh, [2, 4]).load_state_dict(scheduler.state_dict())
    assert shown_of(fresh) == [0.1]
    fresh = sgd()
    other = MultiStepLR(fresh, [2, 4])
    fresh.param_groups[0]["lr"] = 0.25  # written by somebody else since
    other.load_state_dict(scheduler.state_dict())
    assert shown_of(fresh) == [0.25]
    one_cycle, momenta = sgd(momentum=0.5), sgd(momentum=0.5)
    scheduler = OneCycleLR(one_cycle, 1.0, total_steps=9)
    follow(one_cycle, scheduler, 4)
    OneCycleLR(momenta, 1.0, total_steps=9).load_state_dict(scheduler.state_dict())
    assert shown(momenta) == shown(one_cycle)


def test_two_schedulers_are_loaded_in_any_order() -> None:
    def make():
        optimizer = sgd()
        return optimizer, MultiplicativeLR(optimizer, lambda t: 0.5), SWALR(optimizer, 0.125, 4, "linear")

    optimizer, main, swa = make()
    for scheduler in (main, main, swa):
        scheduler.step()
    saved = [part.state_dict() for part in (optimizer, main, swa)]
    main.step()
    swa.step()
    for order in ((0, 1, 2), (2, 1, 0), (1, 0, 2)):
        parts = make()
        for place in order:
            parts[place].load_state_dict(copy.deepcopy(saved[place]))
        parts[1].step()
        parts[2].step()
        assert shown_of(parts[0]) == shown_of(optimizer)


@pytest.mark.parametrize(
    ("make", "steps"),
    [
        (lambda o, n: CosineAnnealingLR(o, n, eta_min=0.1), 4),
        (lambda o, n: PolynomialLR(o, n, power=2), 4),
        (lambda o, n: OneCycleLR(o, 2.0, total_steps=n), 4),
        (lambda o, n: LambdaLR(o, lambda t: 1 - t / n), 4),
        (lambda o, n: MultiplicativeLR(o, lambda t: 1 - t / (2 * n)), 4),
        (lambda o, n: CosineAnnealingWarmRestarts(o, n), 4),
        (lambda o, n: SWALR(o, 0.1, n), 4),
        (lambda o, n: SequentialLR(o, [LinearLR(o, 0.5, total_iters=2), PolynomialLR(o, n - 2)], [2]), 5),
        (lambda o, n: ChainedScheduler([PolynomialLR(o, n), ExponentialLR(o, 0.9)]), 4),
    ],
)
def test_a_lengthened_training_keeps_its_arguments(make, steps) -> None:
    (short, optimizer), (long, reference) = (
        (make(o, n), o) for o, n in ((sgd(momentum=0.5), 4), (sgd(momentum=0.5), 8))
    )
    follow(optimizer, short, steps)
    expected = rates(reference, long, 9)[steps:]
    longer = sgd(momentum=0.5)
    scheduler = make(longer, 8)
    longer.load_state_dict(optimizer.state_dict())
    scheduler.load_state_dict(short.state_dict(), arguments="keep")
    assert rates(longer, scheduler, 9 - steps) == pytest.approx(expected, rel=1e-12)


def test_arguments_are_loaded_unless_they_shall_stay() -> None:
    optimizer = sgd()
    other = CosineAnnealingLR(optimizer, 8)
    other.load_state_dict(CosineAnnealingLR(sgd(), 4, 0.5).state_dict())
    assert (other.T_max, other.eta_min) == (4, 0.5)
    with pytest.raises(ValueError, match="load_state_dict: arguments must be 'load' or 'keep', got 'all'"):
        other.load_state_dict(other.state_dict(), arguments="all")
    plateau = ReduceLROnPlateau(sgd(), patience=3)
    plateau.step(2.0)
    longer = ReduceLROnPlateau(sgd(), patience=9)
    longer.load_state_dict(plateau.state_dict(), arguments="keep")
    assert (longer.best, longer.last_epoch, longer.patience) == (2.0, 1, 9)
    optimizer = sgd()
    parts = [StepLR(optimizer, 2), ReduceLROnPlateau(optimizer)]
    chained = ChainedScheduler(parts)
    with pytest.raises(ValueError, match="a ReduceLROnPlateau cannot be made again without its metrics"):
        chained.load_state_dict(chained.state_dict(), arguments="keep")


def test_a_state_of_pytorch_is_taken() -> None:
    """As its state_dict() is after two steps."""
    torch_state = {
        "milestones": Counter({2: 1, 4: 2}),
        "gamma": 0.5,
        "base_lrs": [1.0],
        "last_epoch": 2,
        "_step_count": 3,
        "_is_initial": False,
        "_get_lr_called_within_step": False,
        "_last_lr": [0.5],
        "verbose": False,
    }
    optimizer = sgd()
    scheduler = MultiStepLR(optimizer, [9])
    scheduler.load_state_dict(torch_state)
    assert rates(optimizer, scheduler, 4) == [0.5, 0.5, 0.125, 0.125]
    assert not hasattr(scheduler, "verbose")


def test_objects_that_are_called_have_their_attributes_saved() -> None:
    class Factor:
        def __init__(self, k):
            self.k = k

        def __call__(self, t):
            return self.k**t

    optimizer = sgd(2.0, 0.5)
    scheduler = LambdaLR(optimizer, [Factor(0.5), lambda t: 0.25])
    assert scheduler.state_dict()["lr_lambdas"] == [{"k": 0.5}, None]
    other = LambdaLR(sgd(2.0, 0.5), [Factor(0.9), lambda t: 0.25])
    other.load_state_dict(scheduler.state_dict())
    assert other.lr_lambdas[0].k == 0.5
    cyclic = CyclicLR(sgd(momentum=0.5), 0.1, 1.0, 2, scale_fn=Factor(0.5))
    assert cyclic.state_dict()["_scale_fn_custom"] == {"k": 0.5}
    other = CyclicLR(sgd(momentum=0.5), 0.1, 1.0, 2, scale_fn=Factor(0.9))
    other.load_state_dict(cyclic.state_dict())
    assert other._scale_fn_custom.k == 0.5


@pytest.mark.parametrize("kind", ALL)
def test_bad_state_changes_nothing(kind) -> None:
    optimizer, scheduler = build(kind)
    advance(scheduler, 0)
    before, good = shown(optimizer), scheduler.state_dict()
    bad = [3, {**good, "_last_lr": [1.0]}, {**good, "_last_lr": ["a", "b"]}]
    if kind != "ChainedScheduler":
        bad += [{}, {**good, "last_epoch": -2}, {**good, "last_epoch": None}, {**good, "last_epoch": True}]
        bad += [{"last_epoch": 3, "what": 1}] if kind != "SequentialLR" else []
    if "_schedulers" in good:
        bad += [{**good, "_schedulers": good["_schedulers"][:1]}, {**good, "_schedulers": 3}]
        bad += [{**good, "_schedulers": [*good["_schedulers"][:-1], {"last_epoch": "a"}]}]
    for name in ("gamma", "T_max", "T_0", "lr_lambdas", "milestones", "mode", "cycle_momentum", "base_lrs"):
        bad += [{**good, name: {"a": 1}}, {**good, name: ["a"]}] if name in good else []
    for state in bad:
        with pytest.raises(ValueError, match=rf"^{kind}: |LR: "):
            scheduler.load_state_dict(state)
        assert shown(optimizer) == before
        assert scheduler.state_dict() == good


def test_the_state_of_another_scheduler() -> None:
    state = StepLR(sgd(), 3).state_dict()
    with pytest.raises(
        ValueError, match="of another scheduler: it has step_size, gamma, and not T_max, eta_min"
    ):
        CosineAnnealingLR(sgd(), 3).load_state_dict(state)


# Groups


def test_groups_added_later_follow() -> None:
    def add(optimizer, **keys):
        optimizer.add_param_group({"params": [nx.Tensor([1.0], requires_grad=True)], "lr": 8.0, **keys})

    optimizer = sgd()
    scheduler = LinearLR(optimizer, 0.25, total_iters=3)
    scheduler.step()
    add(optimizer)
    scheduler.step()
    assert shown_of(optimizer) == [0.75, 12.0]  # it goes on from 8.0, as with PyTorch
    assert scheduler.base_lrs == [1.0, 8.0]
    for make, expected in [
        (lambda o: LambdaLR(o, lambda t: 0.5**t), 4.0),
        (lambda o: CosineAnnealingWarmRestarts(o, 2, eta_min=[2.0]), 5.0),
        (lambda o: CyclicLR(o, 0.25, 0.75, 2), 0.5),
        (lambda o: OneCycleLR(o, 1.0, 5, pct_start=0.4), 1.0),
        (lambda o: SWALR(o, [2.0], 2, "linear"), 5.0),
    ]:
        optimizer = sgd(momentum=0.5)
        scheduler = make(optimizer)
        add(optimizer)
        scheduler.step()
        assert shown_of(optimizer)[1] == pytest.approx(expected)
        assert len({momentum for _, momentum in shown(optimizer)}) == 1
    optimizer = sgd(1.0, 2.0)
    scheduler = SWALR(optimizer, [0.1, 0.2], 1)
    add(optimizer, swa_lr=0.5)
    scheduler.step()
    assert shown_of(optimizer) == [0.1, 0.2, 0.5]


@pytest.mark.parametrize(
    ("make", "name"),
    [
        (lambda o: LambdaLR(o, [lambda t: 1.0, lambda t: 1.0]), "lr_lambdas"),
        (lambda o: SWALR(o, [0.1, 0.2]), r'group\["swa_lr"\]'),
        (lambda o: CyclicLR(o, 0.1, [0.2, 0.3]), "max_lrs"),
        (lambda o: CosineAnnealingLR(o, 3, [0.2, 0.3]), "eta_min"),
    ],
)
def test_a_group_added_later_needs_its_value_where_groups_differ(make, name) -> None:
    optimizer = sgd(2.0, 0.5, momentum=0.5)
    scheduler = make(optimizer)
    optimizer.add_param_group({"params": [nx.Tensor([1.0], requires_grad=True)]})
    before = shown(optimizer)
    with pytest.raises(
        ValueError, match=rf"LR: {name} differs from group to group \(2 values for 3 groups\)"
    ):
        scheduler.step()
    assert scheduler.last_epoch == 0
    assert shown(optimizer) == before


def test_a_plateau_and_groups_added_later() -> None:
    for least, message in ((0.25, None), ([0.25], "min_lrs has 1 values for 2 groups")):
        optimizer = sgd()
        scheduler = ReduceLROnPlateau(optimizer, factor=0.5, patience=0, min_lr=least)
        optimizer.add_param_group({"params": [nx.Tensor([1.0], requires_grad=True)], "lr": 0.375})
        scheduler.step(1.0)
        if message:
            with pytest.raises(ValueError, match=message):
                scheduler.step(1.0)
            assert scheduler.num_bad_epochs == 0
        else:
            scheduler.step(1.0)
            assert shown_of(optimizer) == [0.5, 0.25]


# Several of them


def test_schedulers_of_one_optimizer_multiply() -> None:
    optimizer = sgd()
    scheduler = ExponentialLR(optimizer, 0.5)
    follow(optimizer, scheduler, 3)
    scheduler = StepLR(optimizer, 2, gamma=0.1)
    assert rates(optimizer, scheduler, 3) == pytest.approx([0.125, 0.125, 0.0125])


@pytest.mark.parametrize(
    ("make", "expected"),
    [
        (
            lambda o: ChainedScheduler([StepLR(o, 2, 0.5), CosineAnnealingLR(o, 10, eta_min=0.01)]),
            [0.1, 0.0978, 0.04607, 0.04166, 0.01893, 0.01682, 0.0089],
        ),
        (
            lambda o: ChainedScheduler([CosineAnnealingLR(o, 4), MultiStepLR(o, [1], 0.5)]),
            [0.1, 0.04268, 0.025, 0.00732, 0.0, 0.01464, 0.05],
        ),
        (
            lambda o: SequentialLR(o, [ExponentialLR(o, 0.5), MultiplicativeLR(o, lambda t: 0.9)], [3]),
            [0.1, 0.05, 0.025, 0.0225, 0.02025, 0.01823, 0.0164],
        ),
        (
            lambda o: SequentialLR(o, [LinearLR(o, 0.5, total_iters=2), SWALR(o, 0.5, 4, "linear")], [2]),
            [0.05, 0.075, 0.075, 0.18125, 0.2875, 0.39375, 0.5],
        ),
    ],
)
def test_values_of_pytorch(make, expected) -> None:
    optimizer = sgd(0.1)
    assert rates(optimizer, make(optimizer), 7) == pytest.approx(expected, abs=5e-6)


def test_a_chain_in_a_sequence_begins_with_its_first_rate() -> None:
    """PyTorch's makes a step at once, so that its first rate is never used; and it cannot be a later part."""
    optimizer = sgd()
    chained = ChainedScheduler([ConstantLR(optimizer, 0.5, 2), ExponentialLR(optimizer, 0.5)])
    scheduler = SequentialLR(optimizer, [chained, StepLR(optimizer, 1, 0.5)], [3])
    assert rates(optimizer, scheduler, 5) == [0.5, 0.25, 0.25, 1.0, 0.5]
    optimizer = sgd()
    chained = ChainedScheduler([ConstantLR(optimizer, 0.5, 2), ExponentialLR(optimizer, 0.5)])
    scheduler = SequentialLR(optimizer, [StepLR(optimizer, 1, 0.5), chained], [2])
    assert rates(optimizer, scheduler, 5) == [1.0, 0.5, 0.5, 0.25, 0.25]


def test_no_warm_up_in_a_sequence() -> None:
    optimizer = sgd()
    parts = [LinearLR(optimizer, 0.5, total_iters=0), StepLR(optimizer, 2, 0.5)]
    assert rates(optimizer, SequentialLR(optimizer, parts, [0]), 4) == [1.0, 1.0, 0.5, 0.5]


def test_stochastic_weight_averaging_begins_where_the_other_stands() -> None:
    optimizer = sgd()
    main, swa = MultiplicativeLR(optimizer, lambda t: 0.5), SWALR(optimizer, 0.05, 2, "linear")
    seen = []
    for i in range(6):
        (swa if i > 2 else main).step()
        seen += shown_of(optimizer)
    assert seen == pytest.approx([0.5, 0.25, 0.125, 0.0875, 0.05, 0.05])


def test_plateau_in_a_sequence_and_in_a_chain() -> None:
    """PyTorch refuses both."""
    optimizer = sgd()
    plateau = ReduceLROnPlateau(optimizer, factor=0.5, patience=0)
    scheduler = SequentialLR(optimizer, [LinearLR(optimizer, 0.5, total_iters=2), plateau], milestones=[2])
    seen = scheduler.get_last_lr()
    for metric in (1.0, 1.0, 1.0, 1.0, None, 0.5):
        scheduler.step(metric)
        seen += scheduler.get_last_lr()
    assert seen == [0.5, 0.75, 1.0, 0.5, 0.25, 0.25, 0.25]
    state = json.loads(json.dumps(scheduler.state_dict()))
    assert state["_schedulers"][1]["best"] == 0.5
    optimizer = sgd()
    plateau = ReduceLROnPlateau(optimizer, factor=0.5, patience=0)
    chained = ChainedScheduler([plateau, StepLR(optimizer, 2, gamma=0.1)])
    for metric in (1.0, 1.0, 1.0):
        chained.step(metric)
    assert chained.get_last_lr() == pytest.approx([0.025])


def test_the_last_of_a_chain_has_the_momentum() -> None:
    optimizer = sgd(momentum=0.5)
    CyclicLR(optimizer, 0.1, 1.0, 5, max_momentum=0.75)
    OneCycleLR(optimizer, 1.0, 5, max_momentum=0.625)
    assert shown(optimizer) == [(0.04, 0.625)]


# Steps


@pytest.mark.parametrize("kind", sorted(set(MAKERS) - {"SWALR", "MultiplicativeLR", "SequentialLR"}))
def test_to_any_step(kind) -> None:
    optimizer, scheduler = build(kind)
    path = follow(optimizer, scheduler, 10)
    for step in (4, 1, 0, 9):
        scheduler.step(step)
        assert scheduler.last_epoch == step
        for (lr, momentum), (expected, expected_momentum) in zip(shown(optimizer), path[step], strict=True):
            assert (lr, momentum) == (
                pytest.approx(expected, rel=1e-12),
                pytest.approx(expected_momentum, rel=1e-12),
            )


def test_fractions_of_steps() -> None:
    optimizer = sgd()
    scheduler = CosineAnnealingWarmRestarts(optimizer, T_0=2)
    scheduler.step(2.5)
    assert (scheduler.last_epoch, scheduler.T_cur, scheduler.T_i) == (2, 0.5, 2)
    assert scheduler.get_last_lr() == [schedule.warm_restarts(1.0, steps=2)(0.5)]
    with pytest.raises(ValueError, match="epoch must be a number ≥ 0, got -1"):
        scheduler.step(-1)


def test_last_epoch_can_be_set() -> None:
    optimizer = sgd()
    scheduler = LambdaLR(optimizer, lambda t: 1 / (t + 1))
    scheduler.last_epoch = 3
    scheduler.step()
    assert scheduler.get_last_lr() == [0.2]


def test_arguments_can_be_changed() -> None:
    optimizer = sgd()
    scheduler = StepLR(optimizer, 1, gamma=0.5)
    scheduler.step()
    scheduler.gamma = 0.1
    scheduler.step()
    assert scheduler.get_last_lr() == pytest.approx([0.05])


def test_what_is_written_by_hand_is_multiplied() -> None:
    optimizer = sgd()
    scheduler = ExponentialLR(optimizer, 0.5)
    scheduler.step()
    optimizer.param_groups[0]["lr"] = 8.0
    scheduler.step()
    assert scheduler.get_last_lr() == [4.0]


def test_a_class_of_ones_own() -> None:
    class Halving(LRScheduler):
        def __init__(self, optimizer, every, last_epoch=-1):
            self.every = every
            super().__init__(optimizer, last_epoch)

        def get_lr(self):
            assert self._get_lr_called_within_step
            return [base * 0.5 ** (self.last_epoch // self.every) for base in self.base_lrs]

    optimizer = sgd(2.0, 0.5)
    scheduler = Halving(optimizer, 2)
    follow(optimizer, scheduler, 5)
    assert shown_of(optimizer) == [0.5, 0.125]
    state = scheduler.state_dict()
    assert state == {
        "every": 2,
        "base_lrs": [2.0, 0.5],
        "last_epoch": 5,
        "_step_count": 6,
        "_last_lr": [0.5, 0.125],
    }
    other = Halving(sgd(2.0, 0.5), 4)
    other.load_state_dict(state)
    assert (other.every, other.last_epoch, other.get_last_lr()) == (2, 5, [0.5, 0.125])
    longer = Halving(sgd(2.0, 0.5), 4)
    longer.load_state_dict(state, arguments="keep")
    assert longer.get_last_lr() == [1.0, 0.25]

    class Closed(Halving):
        def _get_closed_form_lr(self):
            return [7.0, 7.0]

    scheduler = Closed(sgd(2.0, 0.5), 2)
    scheduler.step(3)
    assert scheduler.get_last_lr() == [7.0, 7.0]
    scheduler.step()
    assert scheduler.get_last_lr() == [0.5, 0.125]
    assert repr(scheduler) == "Closed(every=2, last_epoch=4)"


def test_rates_become_numbers_of_python() -> None:
    optimizer = sgd()
    scheduler = LambdaLR(optimizer, lambda t: nx.Tensor(0.5))
    assert shown_of(optimizer) == [0.5]
    assert type(optimizer.param_groups[0]["lr"]) is float
    json.dumps(scheduler.state_dict())


def test_a_step_before_the_first_of_the_optimizer() -> None:
    def fresh(cls=SGD, **arguments):
        return cls([nx.Tensor([1.0], requires_grad=True)], lr=1.0, **arguments)

    message = (
        r"StepLR.step\(\) comes before the first optimizer.step\(\), so the first learning rate is never used"
    )
    optimizer = fresh()
    scheduler = StepLR(optimizer, 1)
    with pytest.warns(UserWarning, match=message) as caught:
        scheduler.step()
    assert [warning.filename for warning in caught] == [__file__]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        scheduler.step()
        for optimizer in (fresh(), fresh(Adam), fresh(accumulate=4), fresh(nx.optim.LBFGS)):
            scheduler = StepLR(optimizer, 1)
            optimizer.param_groups[0]["params"][0].grad = nx.Tensor([1.0])
            optimizer.step(lambda: 0.0)
            scheduler.step()
        optimizer = fresh(nonfinite="skip")
        scheduler = StepLR(optimizer, 1)
        optimizer.param_groups[0]["params"][0].grad = nx.Tensor([float("nan")])
        optimizer.step()
        assert optimizer.last_step_skipped
        scheduler.step()
        plateau = ReduceLROnPlateau(fresh())
        plateau.step(1.0)
    optimizer = fresh()
    parts = [LinearLR(optimizer), StepLR(optimizer, 1)]
    with pytest.warns(UserWarning, match=r"LinearLR.step\(\) comes before"):
        SequentialLR(optimizer, parts, [3]).step()


def test_get_lr_outside_of_a_step() -> None:
    scheduler = StepLR(sgd(), 1)
    with pytest.warns(UserWarning, match=r"call get_last_lr\(\)"):
        scheduler.get_lr()


def test_attributes_of_pytorch() -> None:
    optimizer = sgd(2.0, 0.5, momentum=0.5)
    for kind, names in {
        "StepLR": "step_size gamma",
        "MultiStepLR": "milestones gamma",
        "ConstantLR": "factor total_iters",
        "LinearLR": "start_factor end_factor total_iters",
        "ExponentialLR": "gamma",
        "PolynomialLR": "total_iters power",
        "CosineAnnealingLR": "T_max eta_min",
        "CosineAnnealingWarmRestarts": "T_0 T_i T_mult T_cur eta_min",
        "CyclicLR": "max_lrs total_size step_ratio mode gamma scale_mode cycle_momentum use_beta1 base_momentums "
        "max_momentums",
        "OneCycleLR": "total_steps cycle_momentum use_beta1",
        "SWALR": "anneal_epochs",
        "LambdaLR": "lr_lambdas",
    }.items():
        scheduler = MAKERS[kind](optimizer)
        assert set(vars(scheduler)) >= {*names.split(), "base_lrs", "last_epoch", "_step_count", "_last_lr"}
        assert scheduler._step_count == 1
    assert MultiStepLR(optimizer, [4, 2, 4]).milestones == Counter({4: 2, 2: 1})
    plateau = ReduceLROnPlateau(optimizer, patience=2, cooldown=3, factor=0.5)
    for metric, best, bad, cooling in [(5, 5, 0, 0), (5, 5, 1, 0), (5, 5, 2, 0), (5, 5, 0, 3), (4, 4, 0, 2)]:
        plateau.step(metric)
        assert (plateau.best, plateau.num_bad_epochs, plateau.cooldown_counter) == (best, bad, cooling)
    assert plateau.in_cooldown
    optimizer = sgd(momentum=0.5)
    OneCycleLR(optimizer, 1.0, total_steps=5)
    group = optimizer.param_groups[0]
    assert [group[key] for key in ("initial_lr", "max_lr", "min_lr", "base_momentum", "max_momentum")] == [
        *(0.04, 1.0, pytest.approx(4e-6), 0.85, 0.95)
    ]


def test_what_of_torch_is_not_copied() -> None:
    optimizer = sgd(momentum=0.9)
    scheduler = OneCycleLR(optimizer, 1.0, total_steps=4)
    for _ in range(9):  # torch: ValueError in the fifth, and one step beyond the end before that
        scheduler.step()
    assert scheduler.get_last_lr() == [1 / 25 / 1e4]
    assert optimizer.param_groups[0]["momentum"] == 0.95
    scheduler = OneCycleLR(optimizer, 1.0, total_steps=10, pct_start=0.1)  # torch: ZeroDivisionError
    assert scheduler.get_last_lr() == [1.0]
    plateau = ReduceLROnPlateau(sgd(), patience=0, threshold=0.1)
    for metric in (-10.0, -9.5):  # torch: better than -10, as it is below -9
        plateau.step(metric)
    assert plateau.get_last_lr() == [0.1]
    plateau = ReduceLROnPlateau(sgd(), patience=0, mode="max")
    for metric in (float("inf"), 1.0, 2.0):  # torch: nothing is ever better than infinity
        plateau.step(metric)
    assert (plateau.get_last_lr(), plateau.best) == ([0.1], 2.0)
    optimizer = sgd()
    scheduler = LinearLR(optimizer, 0.0, total_iters=4)  # torch: ValueError
    assert rates(optimizer, scheduler, 6) == [0.0, 0.25, 0.5, 0.75, 1.0, 1.0]
    for make in (lambda o: LinearLR(o, 0.5, total_iters=0), lambda o: ConstantLR(o, 0.5, total_iters=0)):
        optimizer = sgd()  # torch: stays at 0.5 for ever
        assert rates(optimizer, make(optimizer), 3) == [1.0, 1.0, 1.0]


def test_numbers_beyond_all_bounds() -> None:
    optimizer = sgd()
    scheduler = ExponentialLR(optimizer, 0.1)
    scheduler.step(1000)
    scheduler.step()
    assert scheduler.get_last_lr() == [0.0]
    scheduler = ExponentialLR(optimizer, 10.0)
    scheduler.step(1000)
    assert scheduler.get_last_lr() == [float("inf")]


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda o: StepLR(3, 3), TypeError, r"StepLR: optimizer must be an Optimizer, got 3 \(int\)"),
        (lambda o: LambdaLR(3, abs), TypeError, r"LambdaLR: optimizer must be an Optimizer, got 3 \(int\)"),
        (lambda o: StepLR(o, 0), ValueError, "StepLR: step_size must be an integer ≥ 1, got 0"),
        (lambda o: StepLR(o, 3, gamma=-1), ValueError, "StepLR: gamma must be a number ≥ 0, got -1"),
        (
            lambda o: StepLR(o, 1, last_epoch=-2),
            ValueError,
            "StepLR: last_epoch must be an integer ≥ -1, got -2",
        ),
        (
            lambda o: MultiStepLR(o, ["a"]),
            TypeError,
            r"MultiStepLR: milestones\[0\] must be a number ≥ 0, got 'a'",
        ),
        (lambda o: MultiStepLR(o, 30), TypeError, "MultiStepLR: milestones must be a list, got 30"),
        (lambda o: ConstantLR(o, factor=-1), ValueError, "ConstantLR: factor must be a number ≥ 0, got -1"),
        (
            lambda o: ConstantLR(o, total_iters=-1),
            ValueError,
            "ConstantLR: total_iters must be an integer ≥ 0",
        ),
        (lambda o: LinearLR(o, -1), ValueError, "LinearLR: start_factor must be a number ≥ 0, got -1"),
        (lambda o: LinearLR(o, total_iters=1.5), ValueError, "LinearLR: total_iters must be an integer ≥ 0"),
        (lambda o: PolynomialLR(o, power=0), ValueError, "PolynomialLR: power must be a number > 0, got 0"),
        (lambda o: ExponentialLR(o, -1), ValueError, "ExponentialLR: gamma must be a number ≥ 0, got -1"),
        (
            lambda o: CosineAnnealingLR(o, -1),
            ValueError,
            "CosineAnnealingLR: T_max must be a number > 0, got -1",
        ),
        (
            lambda o: CosineAnnealingLR(o, 5, -0.1),
            ValueError,
            "CosineAnnealingLR: eta_min must be a number ≥ 0",
        ),
        (
            lambda o: CosineAnnealingWarmRestarts(o, 0),
            ValueError,
            "Restarts: T_0 must be an integer ≥ 1, got 0",
        ),
        (lambda o: CosineAnnealingWarmRestarts(o, 2, 0), ValueError, "Restarts: T_mult must be a number ≥ 1"),
        (lambda o: SWALR(o, 0.1, -1), ValueError, "SWALR: anneal_epochs must be an integer ≥ 0, got -1"),
        (
            lambda o: SWALR(o, 0.1, anneal_strategy="sin"),
            ValueError,
            "SWALR: anneal_strategy must be 'cos' or",
        ),
        (
            lambda o: LambdaLR(o, 0.5),
            TypeError,
            "LambdaLR: lr_lambda must be a function of the step, got 0.5",
        ),
        (lambda o: LambdaLR(o, [abs]), ValueError, "LambdaLR: lr_lambda has 1 values for 2 groups"),
        (
            lambda o: CyclicLR(o, 0.1, 0.2, 0),
            ValueError,
            "CyclicLR: step_size_up must be an integer ≥ 1, got 0",
        ),
        (lambda o: CyclicLR(o, 0.1, [0.1]), ValueError, "CyclicLR: max_lr has 1 values for 2 groups"),
        (lambda o: CyclicLR(o, 0.1, 1.0, mode="?"), ValueError, "CyclicLR: mode must be 'triangular' or"),
        (
            lambda o: CyclicLR(o, 0.1, 1.0, scale_fn=3),
            TypeError,
            "CyclicLR: scale_fn must be a function, got 3",
        ),
        (
            lambda o: OneCycleLR(o, 0.1),
            ValueError,
            "OneCycleLR: give total_steps, or epochs and steps_per_epoch",
        ),
        (
            lambda o: OneCycleLR(o, 0.1, epochs=2, steps_per_epoch=0),
            ValueError,
            "OneCycleLR: steps_per_epoch must be an integer",
        ),
        (
            lambda o: OneCycleLR(o, 0.1, 5, anneal_strategy="x"),
            ValueError,
            "OneCycleLR: anneal_strategy must be",
        ),
        (
            lambda o: OneCycleLR(o, 1, 9, pct_start=1.1),
            ValueError,
            r"pct_start must be a number in \[0, 1\], got 1.1",
        ),
        (
            lambda o: OneCycleLR(o, 1, 9, pct_start=0.6, three_phase=True),
            ValueError,
            "OneCycleLR: pct_start must be at most 0.5 with three_phase, got 0.6",
        ),
        (
            lambda o: OneCycleLR(o, 1, 9, div_factor=0),
            ValueError,
            "OneCycleLR: div_factor must be a number > 0",
        ),
        (
            lambda o: ReduceLROnPlateau(o, factor=1.0),
            ValueError,
            r"Plateau: factor must be a number in \(0, 1\)",
        ),
        (lambda o: ReduceLROnPlateau(o, patience=-1), ValueError, "Plateau: patience must be an integer ≥ 0"),
        (
            lambda o: ReduceLROnPlateau(o, mode="x"),
            ValueError,
            "Plateau: mode must be 'min' or 'max', got 'x'",
        ),
        (
            lambda o: ReduceLROnPlateau(o, threshold_mode="x"),
            ValueError,
            "threshold_mode must be 'rel' or 'abs'",
        ),
        (lambda o: ReduceLROnPlateau(o).step(None), TypeError, r"step\(\) takes the metric, got None"),
        (
            lambda o: SequentialLR(o, [StepLR(o, 1)], [3]),
            ValueError,
            "n schedulers need n - 1 milestones, got 1 and 1",
        ),
        (
            lambda o: SequentialLR(o, [StepLR(o, 1)] * 3, [3, 2]),
            ValueError,
            r"milestones must rise, got \[3, 2\]",
        ),
        (
            lambda o: SequentialLR(o, [StepLR(o, 1), 3], [3]),
            TypeError,
            r"schedulers\[1\] must be a scheduler, got 3",
        ),
        (
            lambda o: SequentialLR(o, [build("StepLR")[1]], []),
            ValueError,
            r"schedulers\[0\] is of another optimizer",
        ),
        (lambda o: ChainedScheduler([]), ValueError, "ChainedScheduler: schedulers must have at least one"),
        (
            lambda o: StepLR(SGD([nx.Tensor([1.0], requires_grad=True)], lr=schedule.constant(0.1)), 2),
            TypeError,
            r"StepLR: the lr of group 0 is constant\(0.1\); give the optimizer a number",
        ),
    ],
)
def test_bad_arguments(make, error, message) -> None:
    with pytest.raises(error, match=message):
        make(sgd(2.0, 0.5, momentum=0.5))


def test_momentum_needs_an_optimizer_with_some() -> None:
    class Bare(nx.optim.Optimizer):
        def __init__(self, params):
            super().__init__(params, {"lr": 0.1})

    optimizer = Bare([nx.Tensor([1.0], requires_grad=True)])
    with pytest.raises(
        ValueError, match="OneCycleLR: Bare has neither momentum nor betas; pass cycle_momentum=False"
    ):
        OneCycleLR(optimizer, 1.0, total_steps=5)
    assert OneCycleLR(optimizer, 1.0, total_steps=5, cycle_momentum=False).get_last_lr() == [0.04]


def test_it_reaches_the_step() -> None:
    w = nx.Tensor([1.0], dtype="float64", requires_grad=True)
    optimizer = AdamW([w], lr=0.5, weight_decay=0.0)
    scheduler = ExponentialLR(optimizer, 0.5)
    for expected in (0.5, 0.25, 0.125):
        w.grad = nx.Tensor([1.0], dtype="float64")
        optimizer.step()
        assert w.item() == pytest.approx(expected, abs=1e-6)
        scheduler.step()


def test_arguments_are_torch_s() -> None:
    assert list(inspect.signature(OneCycleLR).parameters)[1:6] == [
        "max_lr",
        "total_steps",
        "epochs",
        "steps_per_epoch",
        "pct_start",
    ]
    assert list(inspect.signature(ReduceLROnPlateau).parameters)[1:] == [
        *("mode", "factor", "patience", "threshold", "threshold_mode", "cooldown", "min_lr", "eps")
    ]
    assert repr(build("StepLR")[1]) == "StepLR(step_size=3, gamma=0.5, last_epoch=0)"
