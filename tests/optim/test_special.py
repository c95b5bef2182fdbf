"""Functions made of few operations: as accurate as float32 allows, for numbers of any size."""

import numpy as np
from neurenix.optim.special import angle, cbrt
from optim.test_formula import run


def test_cube_roots_of_any_size() -> None:
    x = np.concatenate(
        [[0.0, -0.0, 1e-45, 1e-40, 1.1e-38, 3.4e38, np.inf, np.nan], np.logspace(-37, 38, 2000)]
    )
    x = x.astype("float32")
    got = run(lambda p, g: cbrt(p), x, np.zeros_like(x), "float32")
    np.testing.assert_allclose(got, np.cbrt(x.astype("float64")), rtol=1.2e-7, atol=0)


def test_angles_of_any_size() -> None:
    sizes = np.concatenate([[0.0, 1e-36, 1.0, 3e38], np.logspace(-6, 6, 300)])
    y, x = (side.ravel().astype("float32") for side in np.meshgrid([*sizes, *-sizes], sizes))
    got = run(lambda p, g: angle(p, g), y, x, "float32")
    expected = np.arctan2(y.astype("float64"), x)
    kept = (np.abs(expected) > 1e-37) | (y == 0)  # others have fewer digits
    np.testing.assert_allclose(got[kept], expected[kept], rtol=3e-7, atol=0)
    assert (np.signbit(got) == np.signbit(y)).all()
    np.testing.assert_array_equal(
        run(lambda p, g: angle(p, g), [np.nan, 1.0, 0.0, np.inf], [1.0, np.nan, 0.0, 1.0], "float32"),
        np.array([np.nan, np.nan, 0.0, np.pi / 2], "float32"),
    )
