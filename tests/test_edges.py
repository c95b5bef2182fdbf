"""Gradients where a function bends, jumps or leaves the numbers: those of PyTorch, or better."""

import numpy as np
from neurenix import Tensor, nn
from neurenix.testing import assert_close


def test_gradients_at_edges_are_those_of_torch():
    for function, values, expected in [
        (lambda x: x.clamp(-1, 1), [-1.0, 0.5, 1.0], [0, 1, 0]),
        (lambda x: x.relu(), [-1.0, 0.0, 1.0], [0, 0, 1]),
        (lambda x: x.abs(), [-1.0, 0.0, 1.0], [-1, 0, 1]),
        (lambda x: x.maximum(Tensor([1.0, 1.0, 1.0])), [0.0, 1.0, 2.0], [0, 0.5, 1]),
        (lambda x: x.norm(), [0.0, 0.0, 0.0], [0, 0, 0]),
        (lambda x: x.std(), [2.0, 2.0, 2.0], [0, 0, 0]),
        (lambda x: x.prod(), [0.0, 2.0, 3.0], [6, 0, 0]),
        (lambda x: x.max(), [3.0, 1.0, 3.0], [0.5, 0, 0.5]),
        (lambda x: x**2, [0.0, -1.0, 2.0], [0, -2, 4]),
        (lambda x: nn.functional.hardtanh(x), [-1.0, 0.0, 1.0], [0, 1, 0]),
        (lambda x: x.atan2(Tensor([0.0, 0.0, 2.0])), [0.0, -0.0, 0.0], [0, 0, 0.5]),
        (lambda x: Tensor([0.0, 0.0, 2.0]).atan2(x), [0.0, -0.0, 1.0], [0, 0, -0.4]),
        (lambda x: x.exp2(), [0.0, 3.0, -1.0], [np.float32(k * np.log(2)) for k in (1, 8, 0.5)]),
        (lambda x: x.round(decimals=1), [1.25, 0.0, -3.0], [0, 0, 0]),
    ]:
        x = Tensor(values, requires_grad=True)
        function(x).sum().backward()
        assert_close(x.grad, Tensor(expected, dtype="float32"), rtol=1e-7, atol=0)


def test_gradients_far_below_zero():
    """Where the value is -1 to the last digit, the slope still has all of its own."""
    values = np.array([-0.5, -17.0, -40.0, -100.0], np.float32)
    for function in (Tensor.expm1, Tensor.elu):
        x = Tensor(values, requires_grad=True)
        function(x).sum().backward()
        assert_close(x.grad, np.exp(values.astype(float)).astype(np.float32), rtol=3e-7, atol=1e-45)
    lowest = Tensor([-np.inf, -1e30], requires_grad=True)
    lowest.elu().sum().backward()
    assert lowest.grad.tolist() == [0, 0]


def test_gradients_of_infinite_logarithms_are_those_of_torch():
    x = Tensor([[-np.inf, -np.inf], [-np.inf, 0.0]], requires_grad=True)
    y = x.logsumexp(1)
    assert y.tolist() == [-np.inf, 0]
    y.sum().backward()
    assert_close(x.grad, Tensor([[np.nan, np.nan], [0.0, 1.0]]), equal_nan=True)


def test_nan_gradients_are_not_hidden():
    x = Tensor([0.0, 4.0], requires_grad=True)
    x.sqrt().sum().backward()
    assert x.grad.tolist() == [float("inf"), 0.25]
