"""Against what torch's schedulers do, see scripts/goldens/schedules_torch.py."""

from __future__ import annotations

import json
from pathlib import Path

import neurenix as nx
import pytest
from neurenix.optim import SGD, AdamW, lr_scheduler

GOLDEN = json.loads((Path(__file__).parents[2] / "golden" / "schedules.json").read_text())
# Torch multiplies the last value by a ratio at each step; over so few steps its rounding adds up to less than this.
TOLERANCE = 1e-12


def functions(value):
    if isinstance(value, list):
        return [functions(item) for item in value]
    return eval(value) if isinstance(value, str) and value.startswith("lambda") else value


def make(kind, optimizer, arguments):
    return getattr(lr_scheduler, kind)(
        optimizer, **{name: functions(value) for name, value in arguments.items()}
    )


def build(case, optimizer):
    kind, arguments = case["kind"], case["arguments"]
    if "schedulers" not in arguments:
        return [make(kind, optimizer, arguments)]
    parts = [make(part, optimizer, own) for part, own in arguments["schedulers"]]
    if kind == "Sequential":
        return [lr_scheduler.SequentialLR(optimizer, parts, arguments["milestones"])]
    return [lr_scheduler.ChainedScheduler(parts, optimizer)] if kind == "Chained" else parts


def groups():
    return [{"params": [nx.Tensor([1.0], requires_grad=True)], "lr": lr} for lr in GOLDEN["lrs"]]


@pytest.mark.parametrize("name", GOLDEN["cases"])
def test_same_as_torch(name) -> None:
    case = GOLDEN["cases"][name]
    optimizer = SGD(groups(), momentum=0.5)
    optimizer.step()
    schedulers = build(case, optimizer)
    momenta = case.get("momentum", [[0.5, 0.5]] * len(case["lr"]))
    for step, (lr, momentum) in enumerate(zip(case["lr"], momenta, strict=True)):
        assert [group["lr"] for group in optimizer.param_groups] == pytest.approx(
            lr, rel=TOLERANCE, abs=1e-17
        ), step
        assert [group["momentum"] for group in optimizer.param_groups] == pytest.approx(
            momentum, rel=TOLERANCE
        )
        for scheduler in schedulers:
            if case["kind"] == "ReduceLROnPlateau":
                scheduler.step(GOLDEN["metrics"][step])
            else:
                scheduler.step()
            assert scheduler.get_last_lr() == [group["lr"] for group in optimizer.param_groups]


def test_the_goldens_are_whole() -> None:
    assert GOLDEN["versions"]["torch"].startswith("2.15")
    names = set(json.dumps(GOLDEN["cases"]).replace("[", '"').split('"'))
    assert set(lr_scheduler.__all__) - {"LRScheduler", "SequentialLR", "ChainedScheduler"} <= names
    still = [name for name, case in GOLDEN["cases"].items() if all(lr == case["lr"][0] for lr in case["lr"])]
    assert still == ["swa_at_once", "plateau_default"]


@pytest.mark.parametrize("name", [name for name, case in GOLDEN["cases"].items() if "momentum" in case])
def test_betas_move_as_momentum_does(name) -> None:
    case = GOLDEN["cases"][name]
    optimizer = AdamW(groups(), betas=(0.5, 0.75))
    optimizer.step()
    (scheduler,) = build(case, optimizer)
    for momentum in case["momentum"]:
        assert [group["betas"][0] for group in optimizer.param_groups] == pytest.approx(
            momentum, rel=TOLERANCE
        )
        assert [group["betas"][1] for group in optimizer.param_groups] == [0.75, 0.75]
        scheduler.step()
