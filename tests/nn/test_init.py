"""Initialisations; test_golden.py compares the spread of the values with PyTorch's."""

from statistics import NormalDist

import neurenix
import numpy as np
import pytest
from neurenix import Generator, nn
from neurenix.nn import init
from neurenix.testing import assert_close

RANDOM = [
    "uniform_", "normal_", "trunc_normal_", "xavier_uniform_", "xavier_normal_", "kaiming_uniform_",
    "kaiming_normal_", "orthogonal_",
]  # fmt: skip


@pytest.mark.parametrize("name", RANDOM)
def test_parameters_change_in_place_and_seeds_decide(name):
    p = nn.Parameter(neurenix.zeros(6, 4))
    assert getattr(init, name)(p, generator=Generator(1)) is p
    first = p.tolist()
    assert p.is_leaf
    assert p.requires_grad
    assert getattr(init, name)(p, generator=Generator(1)).tolist() == first
    assert getattr(init, name)(p, generator=Generator(2)).tolist() != first
    assert getattr(init, name)(neurenix.empty(3, 2, 5, dtype="float64")).dtype == "float64"


def test_constants():
    p = nn.Parameter(neurenix.empty(2, 3))
    assert init.ones_(p).tolist() == [[1, 1, 1]] * 2
    assert init.zeros_(p).tolist() == [[0, 0, 0]] * 2
    assert init.constant_(p, 0.5).tolist() == [[0.5] * 3] * 2
    assert init.eye_(p).tolist() == [[1, 0, 0], [0, 1, 0]]
    with pytest.raises(ValueError, match=r"\(3,\)"):
        init.eye_(neurenix.empty(3))


@pytest.mark.parametrize(
    ("mean", "std", "a", "b"), [(0, 1, -2, 2), (1, 2, -0.5, 0.5), (0, 1, 3, 5), (0, 1, -9, 9)]
)
def test_truncated_normal_has_the_right_quantiles(mean, std, a, b):
    x = np.sort(init.trunc_normal_(neurenix.empty(200_000, dtype="float64"), mean, std, a, b).numpy())
    assert a <= x[0]
    assert x[-1] <= b
    normal = NormalDist(mean, std)
    low, high = normal.cdf(a), normal.cdf(b)
    for quantile in (0.01, 0.1, 0.5, 0.9, 0.99):
        expected = normal.inv_cdf(low + quantile * (high - low))
        assert abs(x[int(quantile * x.size)] - expected) < 0.03 * std


def test_inverse_of_the_error_function():
    y = np.linspace(-1, 1, 1001)[1:-1]
    assert_close(neurenix.Tensor(init._inverse_erf(y)).erf(), y, rtol=0, atol=1e-15)
    assert np.isfinite(init._inverse_erf(np.array([-1.0, 1.0]))).all()


@pytest.mark.parametrize("shape", [(5, 5), (3, 7), (7, 3), (4, 3, 2)])
def test_orthogonal(shape):
    q = init.orthogonal_(neurenix.empty(shape, dtype="float64"), gain=2).reshape(shape[0], -1)
    small = q @ q.T if q.shape[0] <= q.shape[1] else q.T @ q
    assert_close(small, 4 * np.eye(small.shape[0]), atol=1e-12)


def test_gains():
    assert init.calculate_gain("relu") == pytest.approx(2**0.5)
    assert init.calculate_gain("leaky_relu", 0.2) == pytest.approx((2 / 1.04) ** 0.5)
    assert init.calculate_gain("tanh") == pytest.approx(5 / 3)
    with pytest.raises(ValueError, match="fan_in"):
        init.kaiming_normal_(neurenix.empty(2, 2), mode="fan_sideways")


def test_bad_bounds():
    with pytest.raises(ValueError, match="a < b"):
        init.trunc_normal_(neurenix.empty(2), a=1, b=1)
    with pytest.raises(ValueError, match="nothing"):
        init.xavier_normal_(neurenix.empty(0, 3))
