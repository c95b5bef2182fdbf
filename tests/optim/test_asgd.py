"""ASGD by hand."""

from __future__ import annotations

import pytest
from neurenix.optim import ASGD


def test_worked_by_hand(make) -> None:
    param = make([1.0], dtype="float64")
    optimizer = ASGD([param], lr=0.5, lambd=0.25, alpha=2, t0=1)
    path = []
    for t in range(1, 6):
        eta = 0.5 / (1 + 0.25 * 0.5 * (t - 1)) ** 2  # the first step is made with lr itself
        expected = param.item() * (1 - 0.25 * eta) - eta * t
        param.grad = make([t], dtype="float64").detach()
        optimizer.step()
        assert param.item() == pytest.approx(expected, rel=1e-15)
        path.append(param.item())
        # 1 / max(1, t - 1 - t0): the values of steps 3, 4, 5 count equally
        expected = sum(path[2:]) / (t - 2) if t > 2 else path[-1]
        assert optimizer.state[param]["ax"].item() == pytest.approx(expected, rel=1e-15)


def test_a_new_lr_holds_at_once(make) -> None:
    param = make([1.0], 1.0)
    optimizer = ASGD([param], lr=0.5, lambd=0)
    optimizer.step()
    optimizer.param_groups[0]["lr"] = 0.25
    optimizer.step()
    assert param.item() == 0.25
