"""How tensors are printed."""

import neurenix
import pytest
from neurenix import Tensor, nn


@pytest.mark.parametrize(
    ("tensor", "text"),
    [
        (lambda: Tensor(1.5), "tensor(1.5000)"),
        (lambda: Tensor(3), "tensor(3)"),
        (lambda: Tensor([True, False]), "tensor([ True, False])"),
        (lambda: Tensor([1.0, -2.0]), "tensor([ 1.0000, -2.0000])"),
        (lambda: Tensor([[1, 2], [3, 4]]), "tensor([[1, 2],\n        [3, 4]])"),
        (lambda: Tensor([1e-9, 1.0]), "tensor([1.0000e-09, 1.0000e+00])"),
        (lambda: Tensor([float("nan"), float("inf")]), "tensor([nan, inf])"),
        (lambda: Tensor([1.0], dtype="float64"), "tensor([1.0000], dtype=float64)"),
        (lambda: Tensor([1.5], dtype="bfloat16"), "tensor([1.5000], dtype=bfloat16)"),
        (lambda: Tensor([1], dtype="uint8"), "tensor([1], dtype=uint8)"),
        (lambda: Tensor([1.0], requires_grad=True), "tensor([1.0000], requires_grad=True)"),
        (lambda: Tensor([]), "tensor([])"),
        (lambda: neurenix.zeros(0, 3), "tensor([], shape=(0, 3))"),
        (lambda: nn.Parameter([1.0]), "Parameter containing:\ntensor([1.0000], requires_grad=True)"),
    ],
)
def test_repr(tensor, text):
    assert repr(tensor()) == str(tensor()) == text


def test_format():
    assert f"{Tensor(1.5)}" == "1.5"
    assert (
        f"{Tensor(1.5, requires_grad=True):.2f} {Tensor([[2.25]]):.1e} {Tensor([7]):>3}" == "1.50 2.2e+00   7"
    )
    assert f"{Tensor([1.5])}" == "tensor([1.5000])"
    assert f"{Tensor([1.5, 2.0])}" == str(Tensor([1.5, 2.0]))


def test_large_tensors_are_summarised():
    text = repr(neurenix.zeros(100, 100))
    assert "..." in text
    assert "shape=(100, 100)" in text
    assert len(text) < 1000
