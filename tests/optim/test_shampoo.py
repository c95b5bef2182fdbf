"""Shampoo's ways of grafting, blocks and roots."""

from __future__ import annotations

import itertools

import neurenix as nx
import numpy as np
import pytest
from neurenix import optim
from neurenix.optim.algorithms.shampoo import inverse_root, join, split
from neurenix.testing import Record, check_property
from optim.records.preconditioned import BASES, SHAMPOO, shampoo


@pytest.mark.parametrize("grafting", ["sgd", "adagrad", "rmsprop"])
def test_grafting_as_in_the_oracle(grafting) -> None:
    arguments = {**SHAMPOO, "grafting": grafting, "betas": (0.8, 0.9), "start_preconditioning_step": 3}
    check_property(
        Record(nx.optim.Shampoo, arguments, shampoo, tolerance=BASES, steps=50), "computes_its_rule"
    )


@pytest.mark.parametrize("shape", [(7,), (3,), (7, 5), (2, 9), (9, 2)])
def test_blocks_make_the_whole(shape) -> None:
    x = nx.randn(shape)
    blocks = split(x, 3)
    assert max(max(block.shape) for block in blocks) <= 3
    assert join(blocks, shape, 3).tolist() == x.tolist()


def test_inverse_roots() -> None:
    rng = np.random.default_rng(0)
    q = np.linalg.qr(rng.normal(size=(5, 5)))[0]
    values = np.array([1e-8, 1e-4, 1.0, 16.0, 81.0])
    matrices = nx.Tensor(np.stack([q @ np.diag(values) @ q.T, np.eye(5)]))
    roots = inverse_root(matrices, 4, 0.0).numpy()
    expected = q @ np.diag(values**-0.25) @ q.T
    assert np.abs(roots[0] - expected).max() < 1e-6 * np.abs(expected).max()
    assert np.abs(roots[1] - np.eye(5)).max() < 1e-12


def test_eigenvalues_below_zero_are_raised() -> None:
    root = inverse_root(nx.Tensor([[[-3.0, 0.0], [0.0, 6.0]]], dtype="float64"), 2, 1e-2).numpy()
    assert np.abs(root[0] - np.diag([0.01**-0.5, 9.01**-0.5])).max() < 1e-12


@pytest.mark.parametrize("shape", [(10,), (6, 5)])
@pytest.mark.parametrize("options", [{}, {"betas": (0.9, 0.99)}, {"grafting": "adam"}], ids=str)
def test_defaults_descend_on_a_convex_quadratic_in_float32(shape, options):
    """Gradients that all point the same way: what is left of the covariance is rounding, whose roots are huge."""
    nx.manual_seed(1)
    start, centre = nx.randn(*shape).double(), nx.randn(*shape).double()
    losses = {}
    for dtype in ("float32", "float64"):
        w = start.to(dtype).requires_grad_()
        optimizer = optim.Shampoo([w], lr=1e-3, **options)
        losses[dtype] = []
        for _ in range(300):
            optimizer.zero_grad()
            loss = (w + centre.to(dtype)).pow(2).sum()
            loss.backward()
            losses[dtype].append(loss.item())
            optimizer.step()
    for found in losses.values():
        assert all(b < a for a, b in itertools.pairwise(found))
    np.testing.assert_allclose(losses["float32"], losses["float64"], rtol=1e-2)
