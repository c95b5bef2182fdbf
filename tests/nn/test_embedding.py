"""Embedding."""

import neurenix
from neurenix import Tensor, nn


def test_rows():
    layer = nn.Embedding(5, 3)
    index = Tensor([[0, 4], [2, 0]])
    y = layer(index)
    assert y.shape == (2, 2, 3)
    assert y[1, 0].tolist() == layer.weight[2].tolist()
    assert layer(Tensor(3)).shape == (3,)
    assert layer(Tensor([1], dtype="int32")).shape == (1, 3)


def test_gradients_of_repeated_rows_add_up():
    layer = nn.Embedding(4, 2)
    layer(Tensor([1, 1, 3])).sum().backward()
    assert layer.weight.grad.tolist() == [[0, 0], [2, 2], [0, 0], [1, 1]]


def test_padding():
    layer = nn.Embedding(4, 2, padding_idx=-3)
    assert layer.padding_idx == 1
    assert layer.weight[1].tolist() == [0, 0]
    layer(Tensor([1, 2])).sum().backward()
    assert layer.weight.grad.tolist() == [[0, 0], [0, 0], [1, 1], [0, 0]]
    assert repr(layer) == "Embedding(4, 2, padding_idx=1)"


def test_initial_values():
    weight = nn.Embedding(300, 200).weight.detach()
    assert abs(weight.mean().item()) < 0.02
    assert abs(weight.std().item() - 1) < 0.02
    assert neurenix.is_grad_enabled()
