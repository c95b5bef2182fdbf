"""Clipping gradients, and parameters as one vector."""

import neurenix
import pytest
from neurenix import Tensor, nn
from neurenix.nn import utils


@pytest.fixture
def parameters():
    found = [
        nn.Parameter(neurenix.zeros(2)),
        nn.Parameter(neurenix.zeros(1)),
        nn.Parameter(neurenix.zeros(3)),
    ]
    found[0].grad, found[1].grad = Tensor([3.0, 0.0]), Tensor([-4.0])
    return found


@pytest.mark.parametrize(("p", "norm"), [(2.0, 5.0), (1.0, 7.0), (float("inf"), 4.0)])
def test_clip_grad_norm(parameters, p, norm):
    assert utils.clip_grad_norm_(parameters, 100.0, p).item() == norm
    assert parameters[0].grad.tolist() == [3, 0]
    assert utils.clip_grad_norm_(parameters, norm / 2, p).item() == norm
    assert parameters[0].grad[0].item() == pytest.approx(1.5)
    assert parameters[1].grad.item() == pytest.approx(-2)
    assert parameters[2].grad is None


def test_clip_grad_norm_of_nothing_and_nan(parameters):
    assert utils.clip_grad_norm_([], 1.0).item() == 0
    parameters[0].grad = Tensor([float("nan"), 0.0])
    with pytest.raises(RuntimeError, match="nan"):
        utils.clip_grad_norm_(parameters, 1.0, error_if_nonfinite=True)
    assert parameters[1].grad.item() == -4
    assert utils.clip_grad_norm_(parameters, 1.0).isnan().item()
    assert parameters[1].grad.isnan().item()  # as in PyTorch: nothing is trained on what is left


def test_clip_grad_value(parameters):
    utils.clip_grad_value_(parameters, 2.0)
    assert parameters[0].grad.tolist() == [2, 0]
    assert parameters[1].grad.tolist() == [-2]


def test_vectors():
    model = nn.Linear(3, 2)
    vector = utils.parameters_to_vector(model.parameters())
    assert vector.tolist() == model.weight.flatten().tolist() + model.bias.tolist()
    utils.vector_to_parameters(neurenix.arange(8.0), model.parameters())
    assert model.bias.tolist() == [6, 7]
    with pytest.raises(ValueError, match="8 values"):
        utils.vector_to_parameters(neurenix.zeros(7), model.parameters())
