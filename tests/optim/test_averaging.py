"""Averages in place of the weights."""

from __future__ import annotations

import pytest
from neurenix import Tensor, optim


@pytest.fixture
def averaging():
    """A parameter at 0.7 whose average is 0.775, and its optimizer."""
    w = Tensor([1.0], requires_grad=True)
    optimizer = optim.SGD([w], lr=0.1, ema=0.5)
    for _ in range(3):
        w.grad = Tensor([1.0])
        optimizer.step()
    return w, optimizer


def test_a_step_inside_the_context_is_an_error_instead_of_being_lost(averaging) -> None:
    w, optimizer = averaging
    for act in (optimizer.step, optimizer.state_dict, lambda: (w * 1).sum().backward(optimizer=optimizer)):
        with optimizer.ema(), pytest.raises(RuntimeError, match=r"leave ema\(\)"):
            act()
    assert w.item() == pytest.approx(0.7)
    assert optimizer.state[w]["step"] == 3
    optimizer.step()
    assert w.item() == pytest.approx(0.6)


def test_contexts_may_be_nested_and_end_by_errors(averaging) -> None:
    w, optimizer = averaging
    with pytest.raises(KeyError), optimizer.ema():
        with optimizer.ema():
            assert w.item() == pytest.approx(0.775)
        assert w.item() == pytest.approx(0.775)
        raise KeyError
    assert w.item() == pytest.approx(0.7)


def test_train_ends_the_average_early(averaging) -> None:
    w, optimizer = averaging
    with optimizer.ema():
        optimizer.train()
        assert w.item() == pytest.approx(0.7)
        w.grad = Tensor([1.0])
        optimizer.step()
    assert w.item() == pytest.approx(0.6)


def test_evaluation_weights_of_a_rule_come_back_after_the_context() -> None:
    w = Tensor([1.0], requires_grad=True)
    optimizer = optim.ScheduleFreeSGD([w], lr=0.1, ema=0.5)
    for _ in range(4):
        w.grad = Tensor([1.0])
        optimizer.step()
    trained = w.item()
    optimizer.eval()
    evaluated = w.item()
    with optimizer.ema():
        assert w.item() not in (trained, evaluated)
    assert w.item() == evaluated
    optimizer.train()
    assert w.item() == trained
