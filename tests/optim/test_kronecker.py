"""What rules with a matrix for each dimension share."""

from __future__ import annotations

import math

import neurenix as nx
import numpy as np
import pytest
from neurenix.optim.algorithms._kronecker import along, gram, merged, together


def test_along_each_dimension() -> None:
    x = np.random.default_rng(0).normal(size=(2, 3, 4))
    a, b = np.random.default_rng(1).normal(size=(2, 5)), np.random.default_rng(2).normal(size=(4, 4))
    found = along(nx.Tensor(x), [nx.Tensor(a), None, nx.Tensor(b)]).numpy()
    assert np.abs(found - np.einsum("ijk,ia,kb->ajb", x, a, b)).max() < 1e-13


@pytest.mark.parametrize("shape", [(5,), (2, 3), (2, 3, 4)])
def test_products_of_slices(shape) -> None:
    x = np.random.default_rng(0).normal(size=shape)
    for dim in range(len(shape)):
        rows = np.moveaxis(x, dim, 0).reshape(shape[dim], -1)
        assert np.abs(gram(nx.Tensor(x), dim).numpy() - rows @ rows.T).max() < 1e-13


def test_matrices_of_several_shapes_and_of_no_numbers() -> None:
    calls = []

    def double(stacked):
        calls.append(stacked.shape)
        assert stacked.isfinite().all()
        return stacked * 2

    a, bad, c = nx.ones(2, 2), nx.full((2, 2), math.inf), nx.ones(3, 1)
    found = together(double, [a, c, bad, a])
    assert calls == [(3, 2, 2), (1, 3, 1)]
    assert [x.shape for x in found] == [(2, 2), (3, 1), (2, 2), (2, 2)]
    for place in (0, 1, 3):
        assert (found[place] == 2).all()
    assert found[2].isnan().all()
    assert together(double, []) == []


@pytest.mark.parametrize(
    ("shape", "most", "expected"),
    [
        ((2, 3, 4), 6, (6, 4)),
        ((2, 3, 4), 24, (24,)),
        ((2, 3, 4), 5, (2, 3, 4)),
        ((7, 2, 3), 6, (7, 6)),
        ((1, 1), 5, (1,)),
    ],
)
def test_small_dimensions_are_joined(shape, most, expected) -> None:
    assert merged(shape, most) == expected


@pytest.mark.parametrize("name", ["SOAP", "Shampoo", "SPlus", "PSGDKron", "GaLore", "APOLLO", "APOLLOMini"])
def test_gradients_of_no_numbers_spread_but_stay_in_their_tensor(name) -> None:
    start = np.arange(12.0).reshape(3, 4)
    params = [nx.Tensor(start, requires_grad=True) for _ in range(2)]
    optimizer = getattr(nx.optim, name)(params)
    for t in range(3):
        params[0].grad = nx.Tensor(np.where(np.eye(3, 4) * (t == 0) > 0, np.nan, start))
        params[1].grad = nx.Tensor(start)
        optimizer.step()
    assert params[0].isnan().any()
    assert params[1].isfinite().all()
    assert np.abs(params[1].detach().numpy() - start).max() > 0
