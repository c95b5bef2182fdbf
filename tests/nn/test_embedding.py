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


def test_from_pretrained():
    table = Tensor([[1.0, 2.0], [3.0, 4.0]], dtype="float64")
    frozen = nn.Embedding.from_pretrained(table)
    assert not frozen.weight.requires_grad
    assert frozen(Tensor([1, 0])).tolist() == [[3, 4], [1, 2]]
    trained = nn.Embedding.from_pretrained(table, freeze=False, padding_idx=-1)
    assert (trained.padding_idx, trained.weight.dtype) == (1, "float64")
    trained(Tensor([0, 1])).sum().backward()
    assert trained.weight.grad.tolist() == [[1, 1], [0, 0]]
    with neurenix.no_grad():
        trained.weight.zero_()
    assert table.tolist() == [[1, 2], [3, 4]]
