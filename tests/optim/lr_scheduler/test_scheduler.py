"""What all schedulers have in common: state, order, groups, and each other."""

from __future__ import annotations

import copy
import gc
import inspect
import json
import weakref

import neurenix as nx
import pytest
from neurenix.optim import SGD, AdamW, lr_scheduler, schedule
from neurenix.optim.lr_scheduler import (
    SWALR,
    ChainedScheduler,
    CosineAnnealingLR,
    CosineAnnealingWarmRestarts,
    CyclicLR,
    ExponentialLR,
    LambdaLR,
    LinearLR,
    MultiplicativeLR,
    MultiStepLR,
    OneCycleLR,
    PolynomialLR,
    ReduceLROnPlateau,
    SequentialLR,
    StepLR,
)

MAKERS = {
    "LambdaLR": lambda o: LambdaLR(o, [lambda t: 0.9**t, lambda t: 1 / (t + 1)]),
    "MultiplicativeLR": lambda o: MultiplicativeLR(o, lambda t: 1 - 1 / (t + 1)),
    "StepLR": lambda o: StepLR(o, 3, gamma=0.5),
    "MultiStepLR": lambda o: MultiStepLR(o, [4, 2, 9, 9], gamma=0.5),
    "ConstantLR": lambda o: lr_scheduler.ConstantLR(o, 0.5, 4),
    "LinearLR": lambda o: LinearLR(o, 0.1, total_iters=7),
    "ExponentialLR": lambda o: ExponentialLR(o, 0.9),
    "PolynomialLR": lambda o: PolynomialLR(o, 9, power=2.0),
    "CosineAnnealingLR": lambda o: CosineAnnealingLR(o, 6, eta_min=[0.1, 0.01]),
    "CosineAnnealingWarmRestarts": lambda o: CosineAnnealingWarmRestarts(o, 2, 2, eta_min=0.01),
    "CyclicLR": lambda o: CyclicLR(o, 0.1, [0.2, 0.4], step_size_up=3, step_size_down=2),
    "OneCycleLR": lambda o: OneCycleLR(o, [0.2, 0.4], total_steps=10),
    "SWALR": lambda o: SWALR(o, [0.2, 0.4], anneal_epochs=5),
    "ReduceLROnPlateau": lambda o: ReduceLROnPlateau(
        o, factor=0.5, patience=1, cooldown=1, min_lr=[0.3, 0.0]
    ),
    "SequentialLR": lambda o: SequentialLR(
        o,
        [
            LinearLR(o, 0.1, total_iters=3),
            SequentialLR(o, [ExponentialLR(o, 0.8), OneCycleLR(o, 1.0, 4)], [4]),
        ],
        [3],
    ),
    "ChainedScheduler": lambda o: ChainedScheduler(
        [StepLR(o, 3), CosineAnnealingLR(o, 6, 0.01), CyclicLR(o, 0, 1, 2)]
    ),
}


def build(kind, lr=(2.0, 0.5)):
    params = [{"params": [nx.Tensor([1.0], requires_grad=True)], "lr": rate} for rate in lr]
    optimizer = SGD(params, momentum=0.5)
    return optimizer, MAKERS[kind](optimizer)


def advance(scheduler, step):
    scheduler.step(5.0 - min(step, 4)) if isinstance(scheduler, ReduceLROnPlateau) else scheduler.step()


def shown(optimizer):
    return [(group["lr"], group["momentum"]) for group in optimizer.param_groups]


def test_there_is_a_maker_for_each() -> None:
    assert sorted([*MAKERS, "LRScheduler"]) == sorted(lr_scheduler.__all__)
    assert nx.optim.lr_scheduler is lr_scheduler


@pytest.mark.parametrize("kind", MAKERS)
def test_resumed_at_every_step_in_any_order(kind) -> None:
    optimizer, scheduler = build(kind)
    path, saved = [shown(optimizer)], []
    for step in range(14):
        saved.append((json.loads(json.dumps(scheduler.state_dict())), optimizer.state_dict()))
        advance(scheduler, step)
        path.append(shown(optimizer))
    for start, (state, whole) in enumerate(saved):
        for first in ("scheduler", "optimizer"):
            optimizer, scheduler = build(kind, lr=(64.0, 32.0))
            if first == "optimizer":
                optimizer.load_state_dict(whole)
            scheduler.load_state_dict(state)
            if first == "scheduler":
                optimizer.load_state_dict(whole)
            for step in range(start, 14):
                assert shown(optimizer) == path[step]
                assert scheduler.last_epoch == step
                advance(scheduler, step)
            assert scheduler.get_last_lr() == [lr for lr, _ in path[-1]]


def test_made_after_the_optimizer_was_loaded() -> None:
    """The rate in the optimizer has fallen already; the saved state says from where."""
    optimizer, scheduler = build("MultiStepLR")
    for _ in range(5):
        scheduler.step()
    states = optimizer.state_dict(), scheduler.state_dict()
    fresh = build("MultiStepLR")[0]
    fresh.load_state_dict(states[0])
    for group in fresh.param_groups:
        del group["initial_lr"]
    scheduler = MAKERS["MultiStepLR"](fresh)
    scheduler.load_state_dict(states[1])
    assert shown(fresh) == shown(optimizer)
    assert scheduler.base_lrs == [2.0, 0.5]


def test_multi_step_resumed_counts_its_milestones_once() -> None:
    """PyTorch's stays at 1.0 there."""
    optimizer = SGD([nx.Tensor([1.0], requires_grad=True)], lr=1.0)
    scheduler = MultiStepLR(optimizer, [2, 4])
    scheduler.load_state_dict({"last_epoch": 3, "base_lrs": [1.0]})
    assert scheduler.get_last_lr() == [0.1]


@pytest.mark.parametrize("kind", ["StepLR", "SequentialLR", "MultiplicativeLR", "ReduceLROnPlateau"])
def test_last_epoch_is_the_step_before(kind) -> None:
    if kind == "StepLR":
        optimizer = build("StepLR")[0]
        assert StepLR(optimizer, 3, gamma=0.5, last_epoch=5).last_epoch == 6
    optimizer, scheduler = build(kind)
    assert scheduler.last_epoch == 0
    assert scheduler.base_lrs == [2.0, 0.5]


def test_groups_added_later_follow() -> None:
    optimizer = SGD([nx.Tensor([1.0], requires_grad=True)], lr=1.0)
    scheduler = LinearLR(optimizer, 0.0, total_iters=4)
    scheduler.step()
    optimizer.add_param_group({"params": [nx.Tensor([1.0], requires_grad=True)], "lr": 8.0})
    scheduler.step()
    assert scheduler.get_last_lr() == [0.5, 4.0]
    assert scheduler.state_dict() == {"last_epoch": 2, "base_lrs": [1.0, 8.0]}
    optimizer = build("LambdaLR")[0]
    scheduler = LambdaLR(optimizer, [lambda t: 1.0] * 2)
    optimizer.add_param_group({"params": [nx.Tensor([1.0], requires_grad=True)]})
    before = shown(optimizer)
    with pytest.raises(
        ValueError, match="LambdaLR: lr_lambda has 2 values for 3 groups; give one for all, or one for"
    ):
        scheduler.step()
    assert scheduler.last_epoch == 0
    assert shown(optimizer) == before


def test_schedulers_of_one_optimizer_multiply() -> None:
    """Also when an earlier one is no longer stepped or even kept, as with PyTorch."""
    optimizer = SGD([nx.Tensor([1.0], requires_grad=True)], lr=1.0)
    first = ExponentialLR(optimizer, 0.5)
    for _ in range(3):
        first.step()
    first = StepLR(optimizer, 2, gamma=0.1)
    gc.collect()
    assert optimizer.param_groups[0]["lr"] == 0.125
    for _ in range(2):
        first.step()
    assert optimizer.param_groups[0]["lr"] == pytest.approx(0.0125)


def test_stochastic_weight_averaging_begins_where_the_other_stands() -> None:
    optimizer = SGD([nx.Tensor([1.0], requires_grad=True)], lr=1.0)
    main, swa = MultiplicativeLR(optimizer, lambda t: 0.5), SWALR(optimizer, 0.05, 2, "linear")
    seen = []
    for i in range(6):
        (swa if i > 2 else main).step()
        seen += swa.get_last_lr()
    assert seen == pytest.approx([0.5, 0.25, 0.125, 0.0875, 0.05, 0.05])


def test_plateau_in_a_sequence_and_in_a_chain() -> None:
    """PyTorch refuses both."""
    optimizer = SGD([nx.Tensor([1.0], requires_grad=True)], lr=1.0)
    plateau = ReduceLROnPlateau(optimizer, factor=0.5, patience=0)
    scheduler = SequentialLR(optimizer, [LinearLR(optimizer, 0.5, total_iters=2), plateau], milestones=[2])
    seen = scheduler.get_last_lr()
    for metric in (1.0, 1.0, 1.0, 1.0, None, 0.5):
        scheduler.step(metric)
        seen += scheduler.get_last_lr()
    assert seen == [0.5, 0.75, 1.0, 0.5, 0.25, 0.25, 0.25]
    state = json.loads(json.dumps(scheduler.state_dict()))
    assert state["multipliers"][0]["reductions"] == 2
    optimizer = SGD([nx.Tensor([1.0], requires_grad=True)], lr=1.0)
    plateau = ReduceLROnPlateau(optimizer, factor=0.5, patience=0)
    chained = ChainedScheduler([plateau, StepLR(optimizer, 2, gamma=0.1)])
    for metric in (1.0, 1.0, 1.0):
        chained.step(metric)
    assert chained.get_last_lr() == pytest.approx([0.025])


def test_what_of_torch_is_not_copied() -> None:
    optimizer = SGD([nx.Tensor([1.0], requires_grad=True)], lr=1.0, momentum=0.9)
    scheduler = OneCycleLR(optimizer, 1.0, total_steps=4)
    for _ in range(9):  # torch: ValueError in the fifth, and one step beyond the end before that
        scheduler.step()
    assert scheduler.get_last_lr() == [1 / 25 / 1e4]
    assert optimizer.param_groups[0]["momentum"] == 0.95
    scheduler = OneCycleLR(optimizer, 1.0, total_steps=10, pct_start=0.1)  # torch: ZeroDivisionError
    assert scheduler.get_last_lr() == [1.0]
    plateau = ReduceLROnPlateau(
        SGD([nx.Tensor([1.0], requires_grad=True)], lr=1.0), patience=0, threshold=0.1
    )
    for metric in (-10.0, -9.5):  # torch: better than -10, as it is below -9
        plateau.step(metric)
    assert plateau.get_last_lr() == [0.1]


def test_fractions_of_steps() -> None:
    optimizer = SGD([nx.Tensor([1.0], requires_grad=True)], lr=1.0)
    scheduler = CosineAnnealingWarmRestarts(optimizer, T_0=2)
    scheduler.step(2.5)
    assert scheduler.last_epoch == 2.5
    assert scheduler.get_last_lr() == [schedule.warm_restarts(1.0, steps=2)(0.5)]
    with pytest.raises(ValueError, match="epoch must be a number ≥ 0, got -1"):
        scheduler.step(-1)


@pytest.mark.parametrize("kind", MAKERS)
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


def test_back_to_an_earlier_step() -> None:
    optimizer, scheduler = build("MultiplicativeLR")
    path = []
    for _ in range(6):
        path.append(shown(optimizer))
        scheduler.step()
    for step in (4, 1, 0, 5):
        scheduler.step(step)
        assert shown(optimizer) == path[step]


def test_the_last_of_a_chain_has_the_momentum() -> None:
    optimizer = build("StepLR")[0]
    cyclic = CyclicLR(optimizer, 0.1, 1.0, 5, max_momentum=0.75)
    one_cycle = OneCycleLR(optimizer, 1.0, 5, max_momentum=0.625)
    assert [momentum for _, momentum in shown(optimizer)] == [0.625, 0.625]
    ChainedScheduler([cyclic, one_cycle])
    assert [momentum for _, momentum in shown(optimizer)] == [0.625, 0.625]


def test_copies_are_of_their_own() -> None:
    optimizer, scheduler = build("StepLR")
    twin = copy.deepcopy(scheduler)
    for _ in range(3):
        twin.step()
    assert shown(twin.optimizer) == [(1.0, 0.5), (0.25, 0.5)]
    assert shown(optimizer) == [(2.0, 0.5), (0.5, 0.5)]


def test_group_says_where_it_began() -> None:
    group = {"params": [nx.Tensor([1.0], requires_grad=True)], "lr": 0.1, "initial_lr": 1.0}
    scheduler = StepLR(SGD([group]), step_size=2, last_epoch=1)
    assert scheduler.get_last_lr() == [0.1]


@pytest.mark.parametrize("kind", MAKERS)
def test_bad_state_changes_nothing(kind) -> None:
    optimizer, scheduler = build(kind)
    advance(scheduler, 0)
    before, good = shown(optimizer), scheduler.state_dict()
    bad = [{}, {**good, "last_epoch": -1}, {**good, "last_epoch": None}, {**good, "base_lrs": [1.0]}]
    bad += [{**good, "multipliers": [{}]}, {**good, "multipliers": 3}]
    for state in bad:
        with pytest.raises(ValueError, match=rf"{kind}|Plateau: a state is"):
            scheduler.load_state_dict(state)
        assert shown(optimizer) == before
        assert scheduler.state_dict() == good


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda o: StepLR(3, 3), TypeError, r"StepLR: optimizer must be an Optimizer, got 3 \(int\)"),
        (lambda o: StepLR(o, 0), ValueError, "step: every must be an integer ≥ 1, got 0"),
        (
            lambda o: StepLR(o, 1, last_epoch=-2),
            ValueError,
            "StepLR: last_epoch must be an integer ≥ -1, got -2",
        ),
        (
            lambda o: LambdaLR(o, 0.5),
            TypeError,
            r"LambdaLR: lr_lambda must be a function of the step, got 0.5",
        ),
        (lambda o: LambdaLR(o, [abs]), ValueError, "LambdaLR: lr_lambda has 1 values for 2 groups"),
        (
            lambda o: CosineAnnealingLR(o, 5, -0.1),
            ValueError,
            "CosineAnnealingLR: eta_min must be a number ≥ 0",
        ),
        (
            lambda o: SWALR(o, 0.1, anneal_strategy="sin"),
            ValueError,
            "SWALR: anneal_strategy must be 'cos' or",
        ),
        (lambda o: CyclicLR(o, 0.1, [0.1]), ValueError, "CyclicLR: max_lr has 1 values for 2 groups"),
        (lambda o: CyclicLR(o, 0.1, 1.0, mode="?"), ValueError, "cyclic: mode must be 'triangular' or"),
        (
            lambda o: OneCycleLR(o, 0.1),
            ValueError,
            "OneCycleLR: give total_steps, or epochs and steps_per_epoch",
        ),
        (
            lambda o: OneCycleLR(o, 0.1, epochs=2, steps_per_epoch=0),
            ValueError,
            "steps_per_epoch must be an integer",
        ),
        (
            lambda o: OneCycleLR(o, 0.1, 5, anneal_strategy="x"),
            ValueError,
            "OneCycleLR: anneal_strategy must be 'cos'",
        ),
        (
            lambda o: ReduceLROnPlateau(o, factor=1.0),
            ValueError,
            r"Plateau: factor must be a number in \(0, 1\)",
        ),
        (
            lambda o: ReduceLROnPlateau(o, threshold_mode="x"),
            ValueError,
            "threshold_mode must be 'rel' or 'abs'",
        ),
        (
            lambda o: SequentialLR(o, [StepLR(o, 1)], [3]),
            ValueError,
            "SequentialLR: n schedulers need n - 1 steps",
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
    optimizer = build("StepLR")[0]
    del optimizer.param_groups[0]["initial_lr"]
    with pytest.raises(error, match=message):
        make(optimizer)


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
    assert repr(build("StepLR")[1]).startswith("StepLR(Toward(")
