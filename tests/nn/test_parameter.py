"""Parameters are tensors that stay parameters."""

import copy
import pickle

import neurenix
from neurenix import Tensor, nn


def test_construction():
    p = nn.Parameter(neurenix.ones(2))
    assert isinstance(p, Tensor)
    assert p.requires_grad
    assert p.is_leaf
    assert nn.Parameter([1.0, 2.0]).tolist() == [1, 2]
    assert not nn.Parameter(neurenix.ones(2), requires_grad=False).requires_grad
    assert not nn.Parameter(Tensor([1, 2]), requires_grad=False).requires_grad
    assert nn.Parameter(neurenix.ones(2, requires_grad=True) * 2).is_leaf


def test_results_are_plain_tensors():
    p = nn.Parameter(neurenix.ones(2))
    assert type(p * 2) is type(p.detach()) is type(p[0]) is Tensor


def test_copies_are_parameters():
    for wanted in (True, False):
        p = nn.Parameter(neurenix.ones(2), requires_grad=wanted)
        for other in (copy.deepcopy(p), pickle.loads(pickle.dumps(p))):
            assert type(other) is nn.Parameter
            assert other.requires_grad is wanted
            assert other.is_leaf
            assert other.tolist() == [1, 1]
            assert other.data_ptr() != p.data_ptr()


def test_attributes_and_in_place_moves():
    p = nn.Parameter(neurenix.ones(2))
    p.label = "weight"
    assert p.to("float64", inplace=True) is p
    assert p.dtype == "float64"
    assert p.label == "weight"


def test_promised_update():
    p = nn.Parameter(neurenix.ones(2))
    (p * 3).sum().backward()
    p._numpy_data -= 0.1 * p.grad.numpy()
    assert abs(p[0].item() - 0.7) < 1e-6
