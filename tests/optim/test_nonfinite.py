"""Gradients with NaN or infinity."""

from __future__ import annotations

import copy

import pytest
from neurenix.optim import SGD, Adam, schedule

BAD = [float("nan"), float("inf"), -float("inf")]


def snapshot(optimizer, params):
    state = copy.deepcopy(optimizer.state_dict())
    tensors = {(key, name): value for key, entry in state["state"].items() for name, value in entry.items()}
    plain = {key: value if isinstance(value, int) else value.tobytes() for key, value in tensors.items()}
    return plain, [group["step"] for group in state["param_groups"]], [param.tobytes() for param in params]


@pytest.mark.parametrize("bad", BAD)
@pytest.mark.parametrize("kind", ["formula", "step"])
def test_skip_leaves_everything_untouched(make, plain, kind, bad) -> None:
    a, b = make([1.0, 2.0], 1.0), make([3.0], 1.0)
    cls = Adam if kind == "formula" else plain
    optimizer = cls(
        [{"params": [a]}, {"params": [b]}], lr=schedule.linear(0.5, 0.1, steps=9), nonfinite="skip"
    )
    optimizer.step()
    assert not optimizer.last_step_skipped
    before = snapshot(optimizer, [a, b])
    b.grad = make([bad]).detach()  # in the last group, after the others would have moved
    optimizer.step()
    assert optimizer.last_step_skipped
    assert snapshot(optimizer, [a, b]) == before
    b.grad = make([1.0]).detach()
    optimizer.step()
    assert not optimizer.last_step_skipped
    assert snapshot(optimizer, [a, b]) != before


@pytest.mark.parametrize("bad", BAD)
@pytest.mark.parametrize("kind", ["formula", "step"])
def test_raise_names_the_parameters_and_changes_nothing(make, plain, kind, bad) -> None:
    a, b = make([1.0], 1.0), make([3.0, 4.0])
    b.grad = make([1.0, bad]).detach()
    optimizer = (Adam if kind == "formula" else plain)([("a", a), ("layer.b", b)], nonfinite="raise")
    with pytest.raises(FloatingPointError, match=r"parameter 'layer.b'; nothing was changed") as error:
        optimizer.step()
    assert "'a'" not in str(error.value)
    assert (a.item(), b.tolist()) == (1.0, [3.0, 4.0])
    b.grad = make([0.0, 0.0]).detach()
    optimizer.step()
    assert a.item() != 1.0


def test_propagate_is_the_default(make) -> None:
    param = make([1.0, 2.0])
    param.grad = make([1.0, float("nan")]).detach()
    optimizer = SGD([param], lr=0.5)
    optimizer.step()
    assert param.tolist()[0] == 0.5
    assert param.tolist()[1] != param.tolist()[1]
    assert not optimizer.last_step_skipped


@pytest.mark.parametrize("kind", ["formula", "step"])
def test_gradients_of_a_closure_are_examined(make, plain, kind) -> None:
    param = make([1.0])
    optimizer = (SGD if kind == "formula" else plain)([param], nonfinite="skip")

    def closure():
        param.grad = make([float("nan")]).detach()
        return "loss"

    assert optimizer.step(closure) == "loss"
    assert optimizer.last_step_skipped
    assert param.item() == 1.0


def test_large_finite_gradients_are_no_infinities(make) -> None:
    param = make([1.0], 3e38)
    optimizer = SGD([param], lr=1e-38, nonfinite="raise")
    optimizer.step()
    assert param.item() == pytest.approx(-2.0, rel=1e-6)


def test_the_policy_may_change(make) -> None:
    param = make([1.0], float("nan"))
    optimizer = SGD([param])
    optimizer.nonfinite = "skip"
    optimizer.step()
    assert param.item() == 1.0
    with pytest.raises(
        ValueError, match="nonfinite must be one of 'propagate', 'skip', 'raise', got 'ignore'"
    ):
        optimizer.nonfinite = "ignore"
