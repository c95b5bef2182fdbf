"""Adam by hand."""

from __future__ import annotations

import inspect
import math

import pytest
from neurenix.optim import Adam


def test_worked_by_hand(make) -> None:
    param = make([1.0], dtype="float64")
    optimizer = Adam([param], lr=0.1, betas=(0.5, 0.75), eps=0.25, weight_decay=0.5)
    param.grad = make([1.5], dtype="float64").detach()
    optimizer.step()  # g = 2, m = 1, v = 1, corrected 2 and 4
    assert param.item() == pytest.approx(1 - 0.1 * 2 / 2.25, rel=1e-15)
    p = param.item()
    param.grad = make([-1.0], dtype="float64").detach()
    optimizer.step()
    g = -1 + 0.5 * p
    m, v = 0.5 + 0.5 * g, 0.75 + 0.25 * g * g
    assert param.item() == pytest.approx(p - 0.1 * (m / 0.75) / (math.sqrt(v / 0.4375) + 0.25), rel=1e-15)


def test_amsgrad_keeps_the_largest(make) -> None:
    param = make([1.0], 4.0)
    optimizer = Adam([param], betas=(0.9, 0.5), amsgrad=True)
    optimizer.step()
    param.grad = make([0.0]).detach()
    optimizer.step()
    assert optimizer.state[param]["exp_avg_sq"].item() == 4.0
    assert optimizer.state[param]["max_exp_avg_sq"].item() == 8.0


def test_first_step_has_the_size_of_lr(make) -> None:
    param = make([0.0, 0.0], [1e-3, -1e6])
    Adam([param], lr=0.5).step()
    assert param.tolist() == pytest.approx([-0.5, 0.5], rel=1e-4)


def test_defaults() -> None:
    names = {name: p.default for name, p in inspect.signature(Adam).parameters.items() if name != "options"}
    assert list(names.items())[1:] == [
        ("lr", 0.001),
        ("betas", (0.9, 0.999)),
        ("eps", 1e-8),
        ("weight_decay", 0),
        ("amsgrad", False),
        ("decoupled_weight_decay", False),
    ]
