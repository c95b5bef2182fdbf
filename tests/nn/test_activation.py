"""Activations; test_golden.py compares values and gradients with PyTorch's."""

import neurenix
import pytest
from neurenix import nn
from neurenix.nn.activation import FUSED
from neurenix.testing import check_grads

SIMPLE = ["ReLU", "SiLU", "Mish", "Sigmoid", "Tanh", "Softsign", "GELU", "ELU", "LeakyReLU", "Softplus"]


@pytest.mark.parametrize("name", [*SIMPLE, "LogSigmoid", "Hardtanh"])
def test_shapes_and_gradients(name):
    module = getattr(nn, name)()
    for shape in [(), (0,), (2, 3)]:
        assert module(neurenix.randn(shape)).shape == shape
    check_grads(module, [neurenix.randn(7, dtype="float64")], order=2)


@pytest.mark.parametrize("kind", FUSED, ids=lambda kind: kind.__name__)
def test_engine_names(kind):
    x = neurenix.randn(9)
    assert kind()(x).tolist() == neurenix._phynexus.apply(kind.operation, [x]).tolist()


def test_in_place_is_accepted():
    x = neurenix.Tensor([-1.0])
    assert nn.ReLU(inplace=True)(x).item() == 0
    assert x.item() == -1


def test_reprs():
    modules = [
        nn.GELU(),
        nn.GELU("tanh"),
        nn.LeakyReLU(0.2),
        nn.ELU(),
        nn.Softplus(),
        nn.Hardtanh(),
        nn.Softmax(1),
    ]
    assert [repr(m) for m in modules] == [
        "GELU()",
        "GELU(approximate='tanh')",
        "LeakyReLU(0.2)",
        "ELU(alpha=1.0)",
        "Softplus(beta=1.0, threshold=20.0)",
        "Hardtanh(-1.0, 1.0)",
        "Softmax(dim=1)",
    ]


def test_arguments():
    with pytest.raises(ValueError, match="'none', 'tanh'"):
        nn.GELU("exact")
    with pytest.raises(ValueError, match="min_val"):
        nn.Hardtanh(1, 1)
