"""Dropout."""

import neurenix
import numpy as np
from neurenix import Generator, nn


def test_training_and_evaluation():
    layer, x = nn.Dropout(0.25), neurenix.ones(10_000)
    y = layer(x).numpy()
    assert abs((y == 0).mean() - 0.25) < 0.02
    assert np.allclose(y[y > 0], 1 / 0.75)
    assert layer.eval()(x) is x


def test_extremes():
    x = neurenix.Tensor([1.0, 2.0], requires_grad=True)
    assert nn.Dropout(0)(x).tolist() == [1, 2]
    y = nn.Dropout(1)(x)
    assert y.tolist() == [0, 0]
    y.sum().backward()
    assert x.grad.tolist() == [0, 0]


def test_gradient_passes_where_values_do():
    x = neurenix.ones(1000, requires_grad=True)
    y = nn.Dropout(0.5)(x)
    y.sum().backward()
    assert (x.grad == y).all()


def test_generator():
    x = neurenix.ones(100)
    layers = [nn.Dropout(0.5, generator=Generator(1)) for _ in range(2)]
    assert layers[0](x).tolist() == layers[1](x).tolist()
