"""RMSprop by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
from neurenix.optim import RMSprop


def test_worked_by_hand(make) -> None:
    param = make([1.0], 2.0, "float64")
    optimizer = RMSprop([param], lr=0.1, alpha=0.75, eps=0.5, weight_decay=0.5, momentum=0.5, centered=True)
    optimizer.step()  # g = 2.5
    d = 2.5 / (math.sqrt(0.25 * 6.25 - 0.625**2) + 0.5)
    assert param.item() == pytest.approx(1 - 0.1 * d, rel=1e-15)
    p = param.item()
    optimizer.step()
    g = 2 + 0.5 * p
    v, a = 0.75 * 0.25 * 6.25 + 0.25 * g * g, 0.75 * 0.625 + 0.25 * g
    b = 0.5 * d + g / (math.sqrt(v - a * a) + 0.5)
    assert param.item() == pytest.approx(p - 0.1 * b, rel=1e-14)


def test_the_variance_of_a_constant_is_not_negative(make) -> None:
    """Rounding takes v − a² below zero."""
    rng = np.random.default_rng(0)
    param = make(np.zeros(1000), rng.normal(size=1000) * 100)
    optimizer = RMSprop([param], lr=1e-9, alpha=0.5, centered=True)
    for _ in range(100):
        optimizer.step()
    state = optimizer.state[param]
    assert (state["square_avg"] - state["grad_avg"] ** 2).min().item() < 0
    assert np.isfinite(param.detach().numpy()).all()


def test_state_is_what_the_flags_need(make) -> None:
    optimizer = RMSprop([param := make([1.0], 1.0)])
    optimizer.step()
    assert set(optimizer.state[param]) == {"step", "square_avg"}
    optimizer.param_groups[0]["centered"] = True
    optimizer.step()
    assert set(optimizer.state[param]) == {"step", "square_avg", "grad_avg"}
    optimizer.param_groups[0]["momentum"] = 0.5
    optimizer.step()
    assert set(optimizer.state[param]) == {"step", "square_avg", "grad_avg", "momentum_buffer"}
