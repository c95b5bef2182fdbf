"""The polar factor against its definition and the singular value decomposition."""

import neurenix
import numpy as np
import pytest
from matrices import drawn, near
from neurenix import linalg
from neurenix.linalg.polar import POLYNOMIALS


def iterated(x, polynomials, eps, safety):
    """The definition in float64."""
    x = x.astype("float64")
    x = x / (safety * np.linalg.norm(x, axis=(-2, -1), keepdims=True) + eps)
    for a, b, c in polynomials:
        gram = x @ x.swapaxes(-1, -2)
        x = a * x + (b * gram + c * gram @ gram) @ x
    return x


@pytest.mark.parametrize(
    "shape", [(1, 1), (4, 7), (7, 4), (64, 64), (3, 50, 130), (2, 130, 60), (0, 3, 2), (0, 3)], ids=str
)
@pytest.mark.parametrize("coefficients", ["original", "quintic", "polar_express"])
@pytest.mark.parametrize("steps", [0, 3, 5, 7])
def test_newton_schulz_is_what_it_says(shape, coefficients, steps):
    x = drawn(shape, "float32")
    polynomials, safety = POLYNOMIALS[coefficients]
    polynomials = [polynomials[min(k, len(polynomials) - 1)] for k in range(steps)]
    found = linalg.newton_schulz(neurenix.Tensor(x), coefficients, steps)
    np.testing.assert_allclose(found.numpy(), iterated(x, polynomials, 1e-7, safety), rtol=0, atol=1e-5)


def test_newton_schulz_takes_any_polynomials():
    x = drawn((5, 8))
    polynomials = [(2.0, -1.5, 0.5), (1.5, -0.5, 0.0)]
    found = linalg.newton_schulz(neurenix.Tensor(x), polynomials, 4, eps=0.1, safety=1.5)
    near(found, iterated(x, [*polynomials, polynomials[-1], polynomials[-1]], 0.1, 1.5))
    assert linalg.newton_schulz(neurenix.zeros(3, 2)).abs().sum().item() == 0.0


def test_newton_schulz_is_about_the_polar_factor():
    x = drawn((4, 48, 96), "float32")
    U, _, Vh = np.linalg.svd(x, full_matrices=False)
    for coefficients, low, high in (
        ("original", 0.65, 1.22),
        ("quintic", 0.9, 1.1),
        ("polar_express", 0.85, 1.15),
    ):
        found = linalg.newton_schulz(neurenix.Tensor(x), coefficients).numpy()
        turned = U.swapaxes(-1, -2) @ found @ Vh.swapaxes(-1, -2)
        sizes = np.diagonal(turned, axis1=-2, axis2=-1)
        assert ((low < sizes) & (sizes < high)).all()
        np.testing.assert_allclose(turned, sizes[..., None] * np.eye(48), atol=1e-4)


def test_newton_schulz_of_a_list_is_that_of_each():
    matrices = [
        neurenix.Tensor(drawn(s, "float32", k))
        for k, s in enumerate([(4, 6), (6, 4), (4, 6), (2, 4, 6), (4, 6)])
    ]
    found = linalg.newton_schulz(matrices, "quintic")
    assert isinstance(found, list)
    for matrix, result in zip(matrices, found, strict=True):
        near(result, linalg.newton_schulz(matrix, "quintic").numpy())
    assert linalg.newton_schulz([]) == []
