"""The package's functions are the tensor's methods."""

import neurenix
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
