"""LayerNorm; test_golden.py compares values and gradients with PyTorch's."""

import neurenix
import numpy as np
import pytest
from neurenix import nn
from neurenix.testing import assert_close, check_grads


@pytest.mark.parametrize(
    ("shape", "size"), [((4, 6), 6), ((4, 6), (6,)), ((2, 3, 4), (3, 4)), ((5,), 5), ((0, 3), 3)]
)
def test_rows_have_mean_0_and_variance_1(shape, size):
    x = neurenix.randn(shape) * 5 + 3
    y = nn.LayerNorm(size)(x)
    assert y.shape == shape
    rows = y.detach().numpy().reshape(-1, int(np.prod(size)))
    assert np.allclose(rows.mean(1), 0, atol=1e-5)
    assert np.allclose(rows.var(1), 1, atol=1e-3)


def test_parameters():
    layer = nn.LayerNorm((2, 3))
    assert layer.weight.tolist() == [[1, 1, 1]] * 2
    assert layer.bias.tolist() == [[0, 0, 0]] * 2
    assert list(nn.LayerNorm(3, bias=False).state_dict()) == ["weight"]
    assert list(nn.LayerNorm(3, elementwise_affine=False).state_dict()) == []
    assert repr(nn.LayerNorm(3, bias=False)) == "LayerNorm((3,), eps=1e-05, bias=False)"


def test_large_offsets_lose_no_digits():
    x = neurenix.randn(4, 64)
    assert_close(nn.LayerNorm(64)(x + 1000), nn.LayerNorm(64)(x), atol=1e-3)


def test_gradients():
    layer = nn.LayerNorm(4).double()
    check_grads(layer, [neurenix.randn(3, 4, dtype="float64")], order=2)
