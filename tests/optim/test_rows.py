"""Row-sparse gradients: rules that step only their rows, and what others do about them."""

from __future__ import annotations

import neurenix as nx
import pytest
from neurenix import RowSparse, Tensor, nn, optim
from neurenix.optim.schedule import step

INDICES = [[2, 0, 2], [5, 1, 0], [], [2, 2, 2]]
RULES = {
    "SGD": lambda p, **k: optim.SGD(p, lr=0.5, **k),
    "scheduled": lambda p, **k: optim.SGD(p, lr=step(0.5, every=1, gamma=0.5), **k),
    "Adagrad": lambda p, **k: optim.Adagrad(p, lr=0.5, lr_decay=0.1, initial_accumulator_value=0.3, **k),
}
OPTIONS = [
    {},
    {"maximize": True},
    {"clip_value": 0.3},
    {"clip_norm": 0.5},
    {"clip_norm": 0.5, "clip_value": 0.3},
    {"clip_adaptive": 0.2},
    {"centralize": True},
]


def gradients(dtype="float32"):
    nx.manual_seed(3)
    for indices in INDICES:
        rows = Tensor(indices, dtype="int64")
        yield RowSparse(rows, nx.randn(len(indices), 4, dtype=dtype), (6, 4))


@pytest.mark.parametrize("options", OPTIONS, ids=str)
@pytest.mark.parametrize("make", RULES.values(), ids=RULES)
def test_rows_are_those_of_the_dense_step(make, options):
    sparse, dense = (nx.ones(6, 4, requires_grad=True) for _ in range(2))
    others = [nx.ones(3, requires_grad=True) for _ in range(2)]
    one, two = (make([table, other], **options) for table, other in zip((sparse, dense), others, strict=True))
    for gradient in gradients():
        sparse.grad, dense.grad = gradient, gradient.to_dense()
        for other in others:
            other.grad = nx.full((3,), 0.1)
        one.step()
        two.step()
        assert sparse.grad is gradient or sparse.grad.is_sparse
        assert sparse.tobytes() == dense.tobytes()
        assert others[0].tobytes() == others[1].tobytes()
        for name, value in two.state[dense].items():
            found = one.state[sparse][name]
            assert (found.tobytes() == value.tobytes()) if isinstance(value, Tensor) else found == value
    assert sparse.detach()[3].tolist() == [1] * 4
    assert sparse.detach()[0].tolist() != [1] * 4


@pytest.mark.parametrize("make", RULES.values(), ids=RULES)
def test_saved_and_loaded_between(make):
    tables = [nx.ones(6, 4, requires_grad=True) for _ in range(2)]
    whole, part = (make([table]) for table in tables)
    for gradient in gradients():
        for table in tables:
            table.grad = gradient
        whole.step()
        part.step()
        assert tables[0].tobytes() == tables[1].tobytes()
        saved = part.state_dict()
        part = make([tables[1]])
        part.load_state_dict(saved)


REFUSED = [
    (lambda p: optim.SGD(p, momentum=0.9), "momentum=0.9, which moves rows"),
    (lambda p: optim.SGD(p, weight_decay=0.1), "weight_decay=0.1, which moves rows"),
    (lambda p: optim.Adagrad(p, weight_decay=step(0.1, every=1, gamma=0.5)), "weight_decay="),
    (lambda p: optim.Adagrad(p, ema=0.9), "the option ema, which needs the whole table"),
    (lambda p: optim.SGD(p, cautious=True), "the option cautious"),
    (lambda p: optim.SGD(p, accumulate=2), "the option accumulate"),
    (lambda p: optim.SparseAdam(p, state_dtype="int8"), "the option state_dtype"),
    (lambda p: optim.SparseAdam(p, param_update="kahan"), "the option param_update"),
    (lambda p: optim.AdamW(p), "AdamW moves rows that have no gradient"),
    (lambda p: optim.Lookahead(optim.SGD(p)), "Lookahead moves rows"),
    (lambda p: optim.SAM(optim.SGD(p)), "moves rows"),
]


@pytest.mark.parametrize(("make", "message"), REFUSED)
def test_refusals_change_nothing(make, message):
    table, other = nx.ones(6, 4, requires_grad=True), nx.ones(3, requires_grad=True)
    optimizer = make([{"params": [other]}, {"params": [table]}])
    table.grad, other.grad = next(gradients()), nx.ones(3)
    with pytest.raises(
        TypeError, match=rf"group 1: parameter 0 of shape \(6, 4\) has a row-sparse.*{message}"
    ):
        optimizer.step(lambda: 1.0) if isinstance(optimizer, optim.SAM) else optimizer.step()
    assert table.tolist() == [[1] * 4] * 6
    assert other.tolist() == [1] * 3
    assert table.grad.is_sparse
    assert all(entry.get("step", 0) == 0 for entry in optimizer.state.values())


TENSOR_CODE = [
    *("Muon", "NorMuon", "AdaMuon", "Shampoo", "SOAP", "SPlus", "PSGDKron", "GaLore", "APOLLO", "APOLLOMini"),
    *("Dion", "Scion", "Adafactor", "MARS", "LBFGS", "MoMo", "Sophia"),
]


@pytest.mark.parametrize("name", TENSOR_CODE)
def test_optimizers_with_tensor_code_refuse_as_others_do(name):
    """Also where the table is not the first, and other tensors could have been stepped already."""
    nx.manual_seed(0)
    layer, other = nn.Embedding(8, 8, sparse=True), nx.randn(8, 8).requires_grad_()
    groups = [{"params": [("other", other)]}, {"params": [("table", layer.weight)]}]
    optimizer = getattr(optim, name)(groups)
    before = [layer.weight.tobytes(), other.tobytes()]

    def closure():
        optimizer.zero_grad()
        loss = (layer(Tensor([1, 2])) ** 2).sum() + (other * other).sum()
        loss.backward()
        return loss

    message = rf"^{name}, group 1: parameter 'table' of shape \(8, 8\) has a row-sparse gradient, and {name} .*to_dense"
    with pytest.raises(TypeError, match=message):
        optimizer.step(closure)
    assert [layer.weight.tobytes(), other.tobytes()] == before
    assert all(entry.get("step", 0) == 0 for entry in optimizer.state.values())
    layer.weight.grad = layer.weight.grad.to_dense()
    if name not in ("LBFGS", "MoMo"):
        for _ in range(2):  # the first of SOAP learns its bases
            optimizer.step()
        assert layer.weight.tobytes() != before[0]


def test_the_norm_goes_over_rows_and_all_else():
    """Row 1 occurs twice: (2, 2) and (1, 1), and 1 and 1 of the dense one: the norm is √(4 + 4 + 1 + 1 + 1 + 1)."""
    layer, other = nn.Embedding(4, 2, sparse=True), nx.zeros(2, requires_grad=True)
    optimizer = optim.SGD([other, layer.weight], lr=1.0, clip_norm=1.0)
    start = layer.weight.detach().clone()
    layer(Tensor([1, 1, 3])).sum().backward()
    other.grad = nx.ones(2)
    optimizer.step()
    assert optimizer.grad_norm == pytest.approx(12**0.5)
    scale = 12**-0.5
    moved = (start - layer.weight.detach()).flatten().tolist()
    assert moved == pytest.approx([0, 0, 2 * scale, 2 * scale, 0, 0, scale, scale], abs=1e-6)
    assert other.tolist() == pytest.approx([-scale] * 2, abs=1e-6)


def test_a_formula_of_its_own_says_anew_whether_it_takes_rows():
    class Other(optim.SGD):
        @staticmethod
        def formula(p, g, *b, lr):
            return p - lr * (g + 1)

    table = nx.ones(6, 4, requires_grad=True)
    table.grad = next(gradients())
    with pytest.raises(TypeError, match="Other moves rows"):
        Other([table]).step()


def models(sparse):
    nx.manual_seed(0)
    return nn.Sequential(nn.Embedding(9, 4, sparse=sparse), nn.Linear(4, 2))


BACKWARD = {
    "SGD": lambda p: optim.SGD(p, lr=0.5),
    "momentum": lambda p: optim.SGD(p, lr=0.5, momentum=0.9),
    "AdamW": lambda p: optim.AdamW(p, lr=0.1, clip_norm=0.1, nonfinite="skip"),
    "accumulate": lambda p: optim.SGD(p, lr=0.5, accumulate=2),
    "groups": lambda p: optim.Adagrad([{"params": [param]} for param in p], lr=0.5),
}


@pytest.mark.parametrize("make", BACKWARD.values(), ids=BACKWARD)
def test_steps_in_the_backward_pass(make):
    """Some have stepped when the table's gradient comes: it is taken, by rows or as a dense one."""
    pair = [models(True), models(False)]
    optimizers = [make(list(model.parameters())) for model in pair]
    for numbers in ([1, 2, 1], [4, 1, 1], [0, 8, 8], [1, 1, 1]):
        for model, optimizer in zip(pair, optimizers, strict=True):
            model(Tensor(numbers)).sum().backward(optimizer=optimizer)
            assert all(param.grad is None for param in model.parameters())
        first, second = ([param.tobytes() for param in model.parameters()] for model in pair)
        assert first == second


def test_unused_rows_wait_in_the_backward_pass():
    table = nn.Embedding(9, 4, sparse=True)
    optimizer = optim.SparseAdam(table.parameters(), weight_decay=0.1)
    before = table.weight.detach().clone()
    for _ in range(3):
        table(Tensor([3, 5, 3])).sum().backward(optimizer=optimizer)
    moved = (table.weight.detach() != before).any(dim=1)
    assert moved.nonzero().flatten().tolist() == [3, 5]
    assert optimizer.state[table.weight]["step"] == 3
