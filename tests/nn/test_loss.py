"""Losses; test_golden.py compares values and gradients with PyTorch's."""

import neurenix
import pytest
from neurenix import Tensor, nn
from neurenix.testing import assert_close, check_grads

LABELS = Tensor([0, 4, 2])


def draw(*shape):
    return neurenix.randn(*shape, dtype="float64")


@pytest.mark.parametrize("reduction", ["none", "mean", "sum"])
@pytest.mark.parametrize(
    "loss",
    [
        nn.MSELoss,
        nn.L1Loss,
        lambda reduction: nn.SmoothL1Loss(reduction, beta=0.7),
        lambda reduction: nn.HuberLoss(reduction, delta=0.7),
        nn.KLDivLoss,
        lambda reduction: nn.KLDivLoss(reduction, log_target=True),
    ],
)
def test_gradients_of_elementwise_losses(loss, reduction):
    module = loss(reduction=reduction)
    target = draw(3, 4).abs() + 0.1
    check_grads(module, [draw(3, 4), target], order=2)


@pytest.mark.parametrize("reduction", ["none", "mean", "sum"])
def test_gradients_of_binary_losses(reduction):
    target, weight = draw(3, 4).sigmoid(), draw(4).exp()
    for module in (nn.BCELoss(reduction=reduction), nn.BCELoss(weight, reduction)):
        check_grads(lambda p, y, m=module: m(p, y), [draw(3, 4).sigmoid(), target], order=2)
    for module in (
        nn.BCEWithLogitsLoss(reduction=reduction),
        nn.BCEWithLogitsLoss(weight, reduction),
        nn.BCEWithLogitsLoss(reduction=reduction, pos_weight=weight),
    ):
        check_grads(module, [draw(3, 4), target], order=2)


@pytest.mark.parametrize("reduction", ["none", "mean", "sum"])
def test_gradients_of_class_losses(reduction):
    weight = draw(5).exp()
    for module in (
        nn.CrossEntropyLoss(reduction=reduction),
        nn.CrossEntropyLoss(weight, reduction=reduction, label_smoothing=0.2, ignore_index=4),
        nn.NLLLoss(reduction=reduction),
        nn.NLLLoss(weight, reduction=reduction, ignore_index=4),
    ):
        check_grads(module, [draw(3, 5), LABELS], order=2)
    check_grads(nn.CrossEntropyLoss(weight), [draw(3, 5), draw(3, 5).softmax(1)], order=2)


def test_cross_entropy_is_nll_of_log_softmax():
    x, weight = draw(3, 5), draw(5).exp()
    assert_close(nn.CrossEntropyLoss(weight)(x, LABELS), nn.NLLLoss(weight)(x.log_softmax(1), LABELS))


def test_certain_probabilities():
    """Logarithms end at -100 and slopes at 1e12, as PyTorch's do (there 1e12 is rounded to float32)."""
    p = Tensor([0.0, 1.0, 1.0], dtype="float64", requires_grad=True)
    losses = nn.BCELoss(reduction="none")(p, Tensor([1.0, 0.0, 0.5], dtype="float64"))
    losses.sum().backward()
    assert losses.tolist() == [100, 100, 50]
    assert p.grad.tolist() == [-1e12, 1e12, 0.5e12 - 0.5]


def test_all_ignored_is_nan_as_in_torch():
    for loss, x in [(nn.CrossEntropyLoss(), draw(2, 3)), (nn.NLLLoss(), draw(2, 3))]:
        assert loss(x, Tensor([-100, -100])).isnan().item()


def test_ignored_rows_may_hold_anything():
    x = Tensor([[float("-inf"), float("nan")], [0.0, 0.0]], requires_grad=True)
    loss = nn.NLLLoss()(x, Tensor([-100, 1]))
    loss.backward()
    assert loss.item() == 0
    assert x.grad.tolist() == [[0, 0], [0, -1]]


def test_large_logits():
    x = Tensor([[1000.0, -1000.0]], requires_grad=True)
    loss = nn.CrossEntropyLoss()(x, Tensor([1]))
    loss.backward()
    assert loss.item() == 2000
    assert x.grad.tolist() == [[1, -1]]
    assert nn.BCEWithLogitsLoss()(Tensor([-1000.0]), Tensor([1.0])).item() == 1000


def test_weights_move_with_the_module():
    loss = nn.BCEWithLogitsLoss(pos_weight=neurenix.ones(3))
    assert loss.double().pos_weight.dtype == "float64"
    assert list(nn.CrossEntropyLoss(neurenix.ones(3)).state_dict()) == ["weight"]
    assert list(nn.CrossEntropyLoss().state_dict()) == []


def test_of_nothing():
    assert nn.MSELoss()(neurenix.zeros(0), neurenix.zeros(0)).isnan().item()
    assert nn.MSELoss(reduction="sum")(neurenix.zeros(0), neurenix.zeros(0)).item() == 0


def test_repr():
    assert repr(nn.MSELoss()) == "MSELoss()"
    assert repr(nn.L1Loss("sum")) == "L1Loss(reduction='sum')"
