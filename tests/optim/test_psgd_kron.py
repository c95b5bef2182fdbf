"""PSGD Kron: what its factors come to."""

from __future__ import annotations

import neurenix as nx
import numpy as np
import pytest
from neurenix.optim.algorithms.psgd_kron import balance, fit, length, update_probability


def test_factors_whiten() -> None:
    """Fitted to gradients L·Z·R of random Z, the factors undo L and R."""
    rng = np.random.default_rng(0)
    left, right = rng.normal(size=(3, 3)) / 3 + np.eye(3), np.diag([0.5, 1.0, 2.0, 3.0])
    factors = [nx.eye(3, dtype="float64"), nx.eye(4, dtype="float64")]
    for t in range(1, 2500):
        g = nx.Tensor(left @ rng.normal(size=(3, 4)) @ right)
        factors = fit(factors, g, 0.1 if t < 1000 else 0.02, 0, t)
    p = np.kron(*(f.numpy().T @ f.numpy() for f in factors))
    covariance = np.kron(left @ left.T, right @ right)
    found = p @ covariance @ p  # of what becomes of the gradients
    assert np.abs(found - np.eye(12)).max() < 0.35
    assert np.linalg.cond(covariance) > 100
    assert all(np.abs(np.tril(f.numpy(), -1)).max() == 0 for f in factors)


def test_balancing_keeps_the_product() -> None:
    a, b = nx.Tensor([[2.0, 1.0], [0.0, 8.0]], dtype="float64"), nx.Tensor([0.5, -0.125], dtype="float64")
    x, y = balance([a, b])
    assert float(x.abs().max()) == pytest.approx(2.0)
    assert float(y.abs().max()) == pytest.approx(2.0)
    assert np.allclose(np.multiply.outer(x.numpy(), y.numpy()), np.multiply.outer(a.numpy(), b.numpy()))


def test_the_norm_is_bounded_from_below() -> None:
    rng = np.random.default_rng(0)
    for scale in (1e-12, 1.0, 1e12):
        x = rng.normal(size=(6, 6)) * scale
        bound, exact = float(length(nx.Tensor(x @ x.T))), np.linalg.norm(x @ x.T, 2)
        assert 0.5 * exact < bound <= exact * (1 + 1e-12)
    assert 0 < float(length(nx.zeros(3, 3))) < 1e-30


def test_updates_become_rare() -> None:
    assert update_probability(0) == update_probability(500) == 1
    assert update_probability(1500) == pytest.approx(np.exp(-1))
    assert update_probability(10000) == 0.03


def test_the_share_may_be_a_schedule() -> None:
    w = nx.Tensor(np.ones((2, 2)), requires_grad=True)
    optimizer = nx.optim.PSGDKron(
        [w], preconditioner_update_probability=lambda step: 1.0 if step < 2 else 0.25
    )
    counts = []
    for _ in range(7):
        w.grad = nx.Tensor(np.ones((2, 2)))
        optimizer.step()
        counts.append(optimizer.state[w]["update_counter"].item())
    assert counts == [0, 0, 1, 2, 3, 0, 1]


@pytest.mark.parametrize(
    ("shape", "arguments", "expected"),
    [
        ((64, 3, 3, 3), {}, [(64, 64), (27, 27)]),
        ((2, 3, 4), {}, [(6, 6), (4, 4)]),
        ((2, 3, 4), {"merge_dims": False}, [(2, 2), (3, 3), (4, 4)]),
        ((5,), {}, [(5,)]),
        ((5,), {"min_ndim_triangular": 1}, [(5, 5)]),
        ((), {}, [(1,)]),
        ((4, 1), {}, [(4, 4), (1,)]),
        ((4, 6), {"memory_save_mode": "one_diag"}, [(4, 4), (6,)]),
        ((4, 4), {"memory_save_mode": "one_diag"}, [(4,), (4, 4)]),
        ((4, 4), {"memory_save_mode": "smart_one_diag"}, [(4, 4), (4, 4)]),
        ((4, 6), {"memory_save_mode": "smart_one_diag"}, [(4, 4), (6,)]),
        ((4, 6), {"memory_save_mode": "all_diag"}, [(4,), (6,)]),
        ((4, 6), {"max_size_triangular": 5}, [(4, 4), (6,)]),
    ],
)
def test_shapes_of_factors(shape, arguments, expected) -> None:
    w = nx.zeros(shape).requires_grad_()
    optimizer = nx.optim.PSGDKron([w], **arguments)
    optimizer.init_state()
    state = optimizer.state[w]
    assert [state[f"Q_{dim}"].shape for dim in range(len(expected))] == expected
