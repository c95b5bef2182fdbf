"""SparseAdam: against torch (see scripts/golden_torch_sparse_adam.py), and what it leaves alone."""

from __future__ import annotations

import json
from pathlib import Path

import neurenix as nx
import numpy as np
import pytest
from neurenix import RowSparse, nn
from neurenix.optim import Adam, SparseAdam
from neurenix.serialize import read_metadata

GOLDEN = Path(__file__).parent.parent / "golden" / "sparse_adam.safetensors"
CASES = json.loads(read_metadata(GOLDEN)["about"])["cases"]
DATA = nx.load(GOLDEN)
TOLERANCE = {"float32": 1e-6, "float64": 1e-12}


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("name", CASES)
def test_same_as_torch(name: str, dtype: str) -> None:
    table = DATA["start"].to(dtype).clone().requires_grad_()
    optimizer = SparseAdam([table], **CASES[name])
    expected = DATA[f"{name}.{dtype}"].numpy()
    scale = np.abs(expected).max(axis=0)
    for rows, values, there in zip(DATA["indices"], DATA["values"], expected, strict=True):
        before = table.detach().clone()
        table.grad = RowSparse(rows, values.to(dtype), table.shape)
        optimizer.step()
        assert (np.abs(table.detach().numpy() - there) <= TOLERANCE[dtype] * scale).all()
        rest = sorted(set(range(len(table))) - set(rows.tolist()))
        assert table.detach()[rest].tobytes() == before[rest].tobytes()
    assert np.abs(expected[-1] - DATA["start"].numpy()).max() > 1e4 * TOLERANCE[dtype]
    assert table.detach()[-1].tolist() == DATA["start"][-1].to(dtype).tolist()
    state = optimizer.state[table]
    assert state["step"] == len(expected)
    assert all(state[key][-1].tolist() == [0, 0, 0] for key in ("exp_avg", "exp_avg_sq"))


def test_repeated_rows_are_summed_first() -> None:
    tables = [nx.ones(3, 2, requires_grad=True) for _ in range(2)]
    tables[0].grad = RowSparse(nx.Tensor([2, 0, 2]), nx.Tensor([[1.0, 2.0], [3.0, 4.0], [5.0, 7.0]]), (3, 2))
    tables[1].grad = RowSparse(nx.Tensor([0, 2]), nx.Tensor([[3.0, 4.0], [6.0, 9.0]]), (3, 2))
    SparseAdam(tables, eps=1.0).step()
    assert tables[0].tobytes() == tables[1].tobytes()


def test_a_dense_gradient_is_one_of_all_rows() -> None:
    tables, gradient = [nx.ones(3, 2, requires_grad=True) for _ in range(2)], nx.randn(3, 2)
    tables[0].grad, tables[1].grad = gradient, RowSparse(nx.arange(3), gradient, (3, 2))
    SparseAdam(tables, lr=0.1, eps=0.1, weight_decay=0.5).step()
    assert tables[0].tobytes() == tables[1].tobytes()


def test_decay_is_that_of_the_rows_in_use() -> None:
    table = nx.ones(3, 2, requires_grad=True)
    table.grad = RowSparse(nx.Tensor([1]), nx.zeros(1, 2), (3, 2))
    SparseAdam([table], lr=0.5, weight_decay=0.1).step()
    assert table.detach().numpy() == pytest.approx(np.array([[1, 1], [0.5, 0.5], [1, 1]]), rel=1e-5)


def test_a_model_learns_with_it() -> None:
    model = nn.Sequential(nn.Embedding(50, 4, sparse=True), nn.Linear(4, 1))
    table, rest = model[0].weight, model[1].parameters()
    optimizers = [SparseAdam([table], lr=0.05), Adam(rest, lr=0.05)]
    numbers = nx.arange(20)
    target = (numbers % 3).float().reshape(20, 1)
    unused = table.detach()[20:].tobytes()
    for _ in range(200):
        loss = ((model(numbers) - target) ** 2).mean()
        loss.backward()
        for optimizer in optimizers:
            optimizer.step()
            optimizer.zero_grad()
    assert loss.item() < 1e-3
    assert table.detach()[20:].tobytes() == unused


def test_steps_take_the_memory_of_the_rows() -> None:
    layer = nn.Embedding(20_000, 16, sparse=True)
    optimizer = SparseAdam(layer.parameters())
    optimizer.init_state()
    nx.reset_peak_memory()
    before = nx.memory_usage().current
    layer(nx.Tensor([5, 7, 5])).sum().backward()
    optimizer.step()
    optimizer.zero_grad()
    assert nx.memory_usage().peak - before < 10_000  # the table has 1 280 000
    assert nx.memory_usage().current == before


def test_gradients_that_are_not_finite_are_left_out() -> None:
    table = nx.ones(3, 2, requires_grad=True)
    optimizer = SparseAdam([table], nonfinite="skip")
    table.grad = RowSparse(nx.Tensor([1]), nx.Tensor([[1.0, float("nan")]]), (3, 2))
    optimizer.step()
    assert optimizer.last_step_skipped
    assert table.tolist() == [[1, 1]] * 3


def test_others_refuse_rows_and_change_nothing() -> None:
    table = nx.ones(3, 2, requires_grad=True)
    table.grad = RowSparse(nx.Tensor([1]), nx.ones(1, 2), (3, 2))
    with pytest.raises(TypeError, match=r"\(3, 2\).*row-sparse.*SparseAdam.*sparse=False.*to_dense"):
        Adam([table]).step()
    assert table.tolist() == [[1, 1]] * 3
    table.grad = table.grad.to_dense()
    Adam([table], lr=0.5).step()
    assert table.tolist() == [[1, 1], [0.5, 0.5], [1, 1]]
