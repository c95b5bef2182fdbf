"""SPlus: what is evaluated, and sides without eigenvectors."""

from __future__ import annotations

import neurenix as nx
import numpy as np
import pytest


@pytest.mark.parametrize("shape", [(3, 2), (4,)])
def test_the_average_is_evaluated(shape) -> None:
    rng = np.random.default_rng(0)
    w = nx.Tensor(rng.normal(size=shape), requires_grad=True)
    optimizer = nx.optim.SPlus([w], lr=0.3, ema_rate=0.8, weight_decay=0.0)
    average, path = np.zeros(shape), []
    optimizer.eval()  # nothing to put in place yet
    optimizer.train()
    for t in range(1, 6):
        w.grad = nx.Tensor(rng.normal(size=shape))
        optimizer.step()
        path.append(w.detach().numpy().copy())
        average = 0.8 * average + 0.2 * path[-1]
        optimizer.eval()
        assert np.abs(w.detach().numpy() - average / (1 - 0.8**t)).max() < 1e-14
        optimizer.train()
        assert (w.detach().numpy() == path[-1]).all()


def test_the_average_comes_before_the_decay() -> None:
    w = nx.Tensor([1.0], dtype="float64", requires_grad=True)
    optimizer = nx.optim.SPlus([w], lr=0.1, weight_decay=0.5, nonstandard_constant=1.0, ema_rate=0.9)
    w.grad = nx.Tensor([1.0], dtype="float64")
    optimizer.step()
    assert w.item() == pytest.approx(0.9 * 0.95, abs=1e-15)
    optimizer.eval()
    assert w.item() == pytest.approx(0.9, abs=1e-15)


def test_large_sides_have_no_eigenvectors() -> None:
    w = nx.Tensor(np.ones((3, 5)), requires_grad=True)
    optimizer = nx.optim.SPlus([w], max_dim=5)
    w.grad = nx.Tensor(np.ones((3, 5)))
    optimizer.step()
    assert set(optimizer.state[w]) == {"step", "momentum", "param_ema", "side_0", "q_side_0"}
