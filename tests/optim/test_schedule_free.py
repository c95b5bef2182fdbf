"""Training and evaluation weights of the Schedule-Free optimizers."""

from __future__ import annotations

import neurenix as nx
import numpy as np
import pytest
from neurenix.optim import ScheduleFreeAdamW, ScheduleFreeRAdam, ScheduleFreeSGD

CLASSES = (ScheduleFreeSGD, ScheduleFreeAdamW, ScheduleFreeRAdam)


@pytest.mark.parametrize("cls", CLASSES)
def test_evaluation_is_at_the_average_and_comes_back(cls, make) -> None:
    """At y = βx + (1 − β)z, with the z of the state."""
    param = make(np.linspace(-2, 2, 7), np.linspace(1, 3, 7), "float64")
    optimizer = cls([param], lr=0.1)
    for _ in range(12):
        optimizer.step()
    y, z = param.detach().numpy().copy(), optimizer.state[param]["z"].numpy()
    optimizer.eval()
    x = param.detach().numpy().copy()
    assert np.abs(0.9 * x + 0.1 * z - y).max() < 1e-14
    assert np.abs(x - y).max() > 1e-3
    with pytest.raises(RuntimeError, match=r"train\(\)"):
        optimizer.step()
    optimizer.train()
    assert param.detach().numpy().tobytes() == y.tobytes()
    optimizer.step()


def test_the_average_is_the_mean_of_z(make) -> None:
    """With a constant rate, r = 0 and gradients that do not depend on y."""
    param = make([0.0], [1.0], "float64")
    optimizer = ScheduleFreeSGD([param], lr=0.5, momentum=0.75)
    for t in range(1, 5):
        optimizer.step()
        assert optimizer.state[param]["z"].item() == pytest.approx(-0.5 * t, rel=1e-14)
    optimizer.eval()
    assert param.item() == pytest.approx(np.mean([-0.5, -1.0, -1.5, -2.0]), rel=1e-14)


def test_they_follow_a_model() -> None:
    nx.manual_seed(0)
    model = nx.nn.Linear(3, 1)
    optimizer = ScheduleFreeAdamW(model.named_parameters(), lr=0.1)
    optimizer.follow(model)
    for _ in range(5):
        optimizer.zero_grad()
        (model(nx.ones(4, 3)) ** 2).mean().backward()
        optimizer.step()
    y = model.weight.detach().clone()
    model.eval()
    assert (model.weight != y).all()
    model.train()
    assert (model.weight == y).all()
