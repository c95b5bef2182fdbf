"""Shampoo's ways of grafting, blocks and roots."""

from __future__ import annotations

import neurenix as nx
import numpy as np
import pytest
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
