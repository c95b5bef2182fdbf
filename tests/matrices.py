"""Matrices and a comparison that tests of linear algebra share."""

import neurenix
import numpy as np


def drawn(shape, dtype="float64", seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


def definite(shape, dtype="float64"):
    a = drawn(shape, dtype)
    return a @ a.swapaxes(-1, -2) + np.eye(shape[-1], dtype=dtype)


def near(found, expected, scale=1.0):
    """Equal to within some hundred units of rounding."""
    found = found.numpy() if isinstance(found, neurenix.Tensor) else found
    assert found.shape == expected.shape
    np.testing.assert_allclose(found, expected, rtol=0, atol=1000 * np.finfo(found.dtype).eps * scale)
