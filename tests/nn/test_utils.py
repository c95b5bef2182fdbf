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


@pytest.mark.parametrize(
    ("dtype", "size"),
    [("float32", x) for x in (1e20, 3e38, 1e-20, 1e-30, 1e-37)]
    + [("float64", x) for x in (1e20, 1e200, 1e307, 1e-200, 1e-300)]
    + [("bfloat16", 2.0**100), ("bfloat16", 2.0**-100)],
)
@pytest.mark.parametrize("p", [1.0, 2.0, 3.0, float("inf")])
def test_powers_that_overflow_or_underflow(dtype, size, p):
    """Ten elements of one size and six of another tensor: the p-norm is size · 16^(1/p)."""
    found = [neurenix.zeros(n, dtype=dtype, requires_grad=True) for n in (10, 6)]
    for q in found:
        q.grad = neurenix.full(q.shape, size, dtype=dtype)
    expected = size * 16.0 ** (1 / p)
    norm = utils.clip_grad_norm_(found, expected / 4, p)
    if expected < 3e38 or dtype == "float64":
        assert norm.item() == pytest.approx(expected, rel=1e-6, abs=0)
    if expected / 4 > 1e-3:  # smaller ones are clipped less: 1e-6 is added to the norm
        for q in found:
            rel = 1e-2 if dtype == "bfloat16" else 1e-6
            assert q.grad.double().tolist() == pytest.approx([size / 4] * q.numel(), rel=rel, abs=0)
    assert (
        utils.clip_grad_norm_(found, float("inf"), p, error_if_nonfinite=True).isfinite().item()
        or expected > 3e38
    )


def test_float64_gradients_are_measured_in_float64():
    q = neurenix.zeros(2, dtype="float64", requires_grad=True)
    q.grad = Tensor([1.0, 1e-5], dtype="float64")
    norm = utils.clip_grad_norm_([q], 10.0)
    assert (norm.dtype.name, norm.item()) == ("float64", pytest.approx(1 + 5e-11, rel=1e-15))
    r = neurenix.zeros(1, requires_grad=True)
    r.grad = Tensor([0.0])
    assert utils.clip_grad_norm_([r, q], 10.0).item() == norm.item()


@pytest.mark.parametrize("limit", [-1.0, float("nan"), -float("inf")])
def test_limits_that_make_no_sense(parameters, limit):
    with pytest.raises(ValueError, match="max_norm must be in"):
        utils.clip_grad_norm_(parameters, limit)
    with pytest.raises(ValueError, match="norm_type must be above 0"):
        utils.clip_grad_norm_(parameters, 1.0, limit)
    with pytest.raises(ValueError, match="clip_value must be in"):
        utils.clip_grad_value_(parameters, limit)
    with pytest.raises(TypeError, match="max_norm must be a number"):
        utils.clip_grad_norm_(parameters, "1")
    assert [p.grad.tolist() for p in parameters[:2]] == [[3, 0], [-4]]


def test_a_generator_that_was_read_already(parameters):
    spent = iter(parameters)
    assert utils.clip_grad_norm_(spent, 1.0).item() == 5
    for clip in (utils.clip_grad_norm_, utils.clip_grad_value_):
        with pytest.raises(ValueError, match="only once"):
            clip(spent, 1.0)


def test_row_sparse_gradients():
    """Rows that occur twice count with their sum: (2, 2, 2) and (1, 1, 1), and 1 of the dense one."""
    table, dense = nn.Embedding(5, 3, sparse=True), neurenix.zeros(1, requires_grad=True)
    table(Tensor([1, 1, 2])).sum().backward()
    dense.grad = Tensor([1.0])
    held = [table.weight, dense]
    assert utils.clip_grad_norm_(held, 100.0).item() == 4
    assert table.weight.grad.to_dense()[1].tolist() == [2, 2, 2]
    assert utils.clip_grad_norm_(held, 2.0).item() == 4
    assert table.weight.grad.is_sparse
    assert table.weight.grad.to_dense().flatten().tolist() == pytest.approx(
        [0] * 3 + [1] * 3 + [0.5] * 3 + [0] * 6
    )
    assert dense.grad.item() == pytest.approx(0.5)
    utils.clip_grad_value_(held, 0.75)
    assert table.weight.grad.to_dense()[:3, 0].tolist() == pytest.approx([0, 0.75, 0.5])


def test_an_infinite_limit_changes_nothing(parameters):
    parameters[0].grad = Tensor([float("inf"), 1.0])
    assert utils.clip_grad_norm_(parameters, float("inf")).item() == float("inf")
    assert parameters[0].grad.tolist() == [float("inf"), 1.0]
