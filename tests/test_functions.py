"""The package's functions are the tensor's methods."""

import pickle

import neurenix
import numpy as np
import pytest
from neurenix import Tensor, functions


def test_functions_are_methods():
    x = Tensor([1.0, 4.0])
    assert neurenix.sqrt(x).tolist() == [1, 2]
    assert neurenix.sum(x, 0).item() == 5
    assert neurenix.max(x, dim=0)[1].item() == 1
    assert neurenix.zeros((2, 3)).shape == neurenix.zeros(2, 3).shape == (2, 3)


def test_all_are_exported_and_documented():
    for name in functions.__all__:
        assert getattr(neurenix, name) is getattr(functions, name)
        assert getattr(functions, name).__doc__, name


def test_every_public_name_exists():
    for module in (neurenix, neurenix.nn, neurenix.nn.functional, neurenix.nn.init, neurenix.autograd):
        assert len(set(module.__all__)) == len(module.__all__)
        for name in module.__all__:
            assert hasattr(module, name), name


def test_tensors_may_be_named_input():
    x = Tensor([[1.0, 2.0], [3.0, 4.0]])
    assert neurenix.matmul(input=x, other=x).tolist() == [[7, 10], [15, 22]]
    assert neurenix.sum(input=x, dim=0).tolist() == [4, 6]
    assert neurenix.softmax(input=neurenix.zeros(2), dim=0).tolist() == [0.5, 0.5]
    with pytest.raises(TypeError, match="input"):
        neurenix.matmul(x, input=x, other=x)


@pytest.mark.parametrize("first", [6, 6.0, np.float32(6), np.array([6.0, 6.0])], ids=repr)
def test_numbers_may_come_first_in_arithmetic(first):
    x = Tensor([2.0, 4.0])
    expected = {
        neurenix.pow: [36, 1296],
        neurenix.add: [8, 10],
        neurenix.sub: [4, 2],
        neurenix.mul: [12, 24],
        neurenix.div: [3, 1.5],
        neurenix.floor_divide: [3, 1],
        neurenix.remainder: [0, 2],
    }
    for function, values in expected.items():
        assert function(first, x).tolist() == values


def test_other_operands_are_errors_in_our_words():
    for use in (
        lambda: neurenix.exp(1.0),
        lambda: neurenix.pow(2, 3),
        lambda: neurenix.maximum(1.0, neurenix.ones(2)),
        lambda: neurenix.matmul([1.0], neurenix.ones(1)),
    ):
        with pytest.raises(
            TypeError, match=r"input must be a Tensor, got .*; make it one with neurenix.Tensor\(\)"
        ):
            use()


def test_functions_are_pickled_by_name():
    assert pickle.loads(pickle.dumps(neurenix.exp)) is neurenix.exp
    assert neurenix.exp.__name__ == "exp"
