"""Linear and Identity; test_golden.py compares values and gradients with PyTorch's."""

import neurenix
import pytest
from neurenix import nn
from neurenix.testing import assert_close


@pytest.mark.parametrize("shape", [(3,), (5, 3), (2, 4, 3), (0, 3)])
@pytest.mark.parametrize("bias", [True, False])
def test_shapes(shape, bias):
    layer = nn.Linear(3, 2, bias=bias)
    x = neurenix.randn(shape)
    expected = x @ layer.weight.T + (layer.bias if bias else 0)
    assert_close(layer(x), expected)
    assert layer(x).shape == (*shape[:-1], 2)


def test_initial_values():
    layer = nn.Linear(400, 300)
    for p in layer.parameters():
        assert 0.045 < p.abs().max().item() <= 0.05
        assert abs(p.mean().item()) < 0.01
    first = layer.weight.tolist()
    layer.reset_parameters()
    assert layer.weight.tolist() != first


def test_dtype_and_device():
    layer = nn.Linear(3, 2, device="cpu", dtype="float64")
    assert layer.weight.dtype == layer.bias.dtype == "float64"


def test_identity():
    x = neurenix.ones(2)
    assert nn.Identity(1, a=2)(x) is x
