"""Flatten and Unflatten."""

import neurenix
from neurenix import nn


def test_flatten():
    x = neurenix.zeros(2, 3, 4, 5)
    assert nn.Flatten()(x).shape == (2, 60)
    assert nn.Flatten(0)(x).shape == (120,)
    assert nn.Flatten(1, 2)(x).shape == (2, 12, 5)
    assert repr(nn.Flatten(1, 2)) == "Flatten(1, 2)"


def test_unflatten():
    x = neurenix.zeros(2, 12)
    assert nn.Unflatten(1, (3, 4))(x).shape == (2, 3, 4)
    assert nn.Unflatten(-1, (3, -1))(x).shape == (2, 3, 4)
    assert nn.Sequential(nn.Flatten(), nn.Unflatten(1, (4, 3)))(x).shape == (2, 4, 3)
