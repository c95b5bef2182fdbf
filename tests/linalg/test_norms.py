"""Norms against NumPy."""

import math

import neurenix
import numpy as np
import pytest
from matrices import drawn, near
from neurenix import linalg

INF = math.inf


@pytest.mark.parametrize("ord", [2, 1, 0, 3.5, INF, -INF])
def test_vector_norm(ord):
    a = drawn((3, 4, 5))
    t = neurenix.Tensor(a)
    near(linalg.vector_norm(t, ord, -1), np.linalg.norm(a, ord, -1))
    near(linalg.vector_norm(t, ord), np.asarray(np.linalg.norm(a.ravel(), ord)), 10)
    assert linalg.vector_norm(t, ord, (0, 2), keepdim=True, dtype="float32").shape == (1, 4, 1)


@pytest.mark.parametrize("ord", ["fro", "nuc", 2, -2, 1, -1, INF, -INF])
@pytest.mark.parametrize("dim", [(-2, -1), (0, 2), (2, 0)])
@pytest.mark.parametrize("keepdim", [False, True])
def test_matrix_norm(ord, dim, keepdim):
    a = drawn((3, 4, 5))
    found = linalg.matrix_norm(neurenix.Tensor(a), ord, dim, keepdim)
    near(found, np.linalg.norm(a, ord, dim, keepdims=keepdim), 10)
