"""Row-sparse gradients: where they arise, how they add up, and what they refuse."""

import copy
import pickle

import neurenix
import numpy as np
import pytest
from neurenix import RowSparse, Tensor, autograd, nn
from neurenix.nn import functional as F


@pytest.fixture
def table():
    return neurenix.randn(6, 3, requires_grad=True)


def rows(indices, values, shape=(6, 3)):
    return RowSparse(Tensor(indices), Tensor(values), shape)


def look_up(table, numbers, padding_idx=None):
    return F.embedding(Tensor(numbers), table, padding_idx, sparse=True)


def dense_gradient(table, loss):
    """The same without rows."""
    (found,) = autograd.grad(loss(), table)
    return found


def test_only_what_was_used_is_in_it(table):
    (look_up(table, [[4, 1], [4, 5]]) * Tensor([[[1.0]], [[10.0]]])).sum().backward()
    grad = table.grad
    assert (grad.is_sparse, table.is_sparse) == (True, False)
    assert (grad.shape, grad.ndim, grad.dtype, grad.device) == ((6, 3), 2, table.dtype, table.device)
    assert grad.indices().tolist() == [4, 1, 4, 5]
    assert grad.values().tolist() == [[1] * 3, [1] * 3, [10] * 3, [10] * 3]
    assert not grad.is_coalesced()
    summed = grad.coalesce()
    assert (summed.indices().tolist(), summed.is_coalesced()) == ([1, 4, 5], True)
    assert summed.values().tolist() == [[1] * 3, [11] * 3, [10] * 3]
    assert summed.coalesce() is summed


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64"])
def test_bits_are_those_of_the_dense_gradient(dtype, rng):
    numbers, weights = rng.integers(0, 50, (40, 7)), Tensor(rng.normal(size=(40, 7, 5)), dtype=dtype)
    grads = []
    for sparse in (True, False):
        layer = nn.Embedding(50, 5, padding_idx=3, sparse=sparse, dtype=dtype)
        (layer(Tensor(numbers)) * weights).sum().backward()
        grads.append(layer.weight.grad)
    assert grads[0].to_dense().tobytes() == grads[1].tobytes()
    assert grads[0].coalesce().to_dense().tobytes() == grads[1].tobytes()
    assert 3 not in grads[0].indices().tolist()


def test_uses_and_passes_come_one_after_the_other(table):
    (look_up(table, [2, 0]) + look_up(table, [0, 5]) * 2).sum().backward()
    first = table.grad
    (look_up(table, [1]) * 3).sum().backward()
    assert sorted(first.indices().tolist()) == [0, 0, 2, 5]
    assert table.grad.indices().tolist() == [*first.indices().tolist(), 1]
    assert table.grad.to_dense().tolist() == [[3] * 3, [3] * 3, [1] * 3, [0] * 3, [0] * 3, [2] * 3]


def test_with_dense_gradients_they_become_dense(table):
    def loss():
        return (look_up(table, [1, 1]) * 3 + (table * table).sum()).sum()

    expected = dense_gradient(table, loss)
    loss().backward()
    assert not table.grad.is_sparse
    np.testing.assert_allclose(table.grad.numpy(), expected.numpy(), rtol=1e-6)
    held = table.grad
    look_up(table, [0]).sum().backward()
    assert held[0].tolist() == pytest.approx((expected[0] + 1).tolist())
    table.grad = rows([0], [[1.0, 2.0, 3.0]])
    table.sum().backward()
    assert table.grad.tolist() == [[2, 3, 4], *[[1, 1, 1]] * 5]


def test_what_is_no_leaf_has_dense_gradients(table):
    look_up(table * 2, [3]).sum().backward()
    assert table.grad.tolist() == [[0] * 3] * 3 + [[2] * 3] + [[0] * 3] * 2


def test_grad_and_higher_derivatives_are_dense(table):
    def loss():
        return (look_up(table, [1, 1, 2], padding_idx=2) ** 3).sum()

    (first,) = autograd.grad(loss(), table, create_graph=True)
    (second,) = autograd.grad(first.sum(), table)
    values = table.detach()
    np.testing.assert_allclose(first.detach()[1].numpy(), 6 * values[1].numpy() ** 2, rtol=1e-5)
    np.testing.assert_allclose(second[1].numpy(), 12 * values[1].numpy(), rtol=1e-5)
    assert first[2].tolist() == [0, 0, 0]
    with pytest.warns(UserWarning, match="never freed"):
        loss().backward(create_graph=True)
    assert not table.grad.is_sparse


def test_hooks(table):
    seen = []
    table.register_post_accumulate_grad_hook(lambda leaf: seen.append(leaf.grad.indices().tolist()))
    (look_up(table, [1]) + look_up(table, [2])).sum().backward()
    assert [sorted(indices) for indices in seen] == [[1, 2]]
    table.register_hook(lambda g: g)
    with pytest.raises(TypeError, match="hook.*sparse=False.*post_accumulate"):
        look_up(table, [1]).sum().backward()
    assert len(table.grad.indices()) == 2


def test_assignment_copies_and_texts(table):
    grad = rows([4, 0, 4], [[1.0, 2.0, 3.0], [0.0, 0.0, 0.5], [4.0, 5.0, 6.0]])
    table.grad = grad
    assert table.grad.values().data_ptr() == grad.values().data_ptr()
    assert repr(rows([2], [[1.0]], (3, 1))) == "RowSparse(tensor([2]), tensor([[1.]]), (3, 1))".replace(
        "1.]", "1.0000]"
    )
    for copied in (copy.deepcopy(grad), pickle.loads(pickle.dumps(grad))):
        assert copied.indices().tolist() == [4, 0, 4]
        assert copied.to_dense().tolist() == grad.to_dense().tolist()
        assert copied.values().data_ptr() != grad.values().data_ptr()
    assert rows([0, 3], [[1.0] * 3] * 2).is_coalesced()
    assert grad.detach() is grad
    table.to("float64", inplace=True)
    assert table.grad.dtype == neurenix.float64
    assert table.grad.indices().tolist() == [4, 0, 4]
    model = nn.Embedding(3, 2, sparse=True)
    model(Tensor([1])).sum().backward()
    model.zero_grad(set_to_none=False)
    assert model.weight.grad.values().tolist() == [[0, 0]]
    model.zero_grad()
    assert model.weight.grad is None
    assert repr(model) == "Embedding(3, 2, sparse=True)"


def test_nothing_shares_memory(table):
    upstream = neurenix.ones(2, 3)
    look_up(table, [1, 2]).backward(upstream)
    table.grad.values().fill_(7.0)
    assert upstream.tolist() == [[1] * 3] * 2


def test_empty_ones(table):
    look_up(table, neurenix.zeros(0, dtype="int64")).sum().backward()
    assert table.grad.coalesce().values().shape == (0, 3)
    assert table.grad.to_dense().tolist() == [[0] * 3] * 6
    narrow = neurenix.ones(4, 0, requires_grad=True)
    look_up(narrow, [1, 2]).sum().backward()
    assert narrow.grad.shape == (4, 0)


def test_what_they_refuse(table):
    grad = rows([1], [[1.0, 2.0, 3.0]])
    for operation in (
        lambda: grad * 2,
        lambda: 2 * grad,
        lambda: grad + table,
        lambda: grad - grad,
        lambda: grad / 2,
        lambda: grad @ table,
    ):
        with pytest.raises(TypeError, match="to_dense"):
            operation()
    for operation in (lambda: table * grad, lambda: table + grad):
        with pytest.raises(TypeError, match="to_dense|RowSparse"):
            operation()
    with pytest.raises(AttributeError, match="norm.*to_dense"):
        grad.norm()


@pytest.mark.parametrize(
    ("indices", "values", "shape", "error", "text"),
    [
        ([6], [[1.0] * 3], (6, 3), IndexError, "6 is out of range for 6"),
        ([-1], [[1.0] * 3], (6, 3), IndexError, "-1 is out of range"),
        ([1, 2], [[1.0] * 3], (6, 3), ValueError, r"\(2,\) and \(1, 3\)"),
        ([1], [[1.0] * 2], (6, 3), ValueError, r"\(1,\) and \(1, 2\)"),
        ([1], [1.0], (), ValueError, r"\(\)"),
        ([1.0], [[1.0] * 3], (6, 3), TypeError, "float32"),
        ([1], [[1] * 3], (6, 3), TypeError, "int64"),
    ],
)
def test_what_does_not_fit(indices, values, shape, error, text):
    with pytest.raises(error, match=text):
        rows(indices, values, shape)


def test_what_does_not_fit_as_a_gradient(table):
    with pytest.raises(ValueError, match=r"\(6, 3\).*\(5, 3\)"):
        table.grad = rows([1], [[1.0] * 3], (5, 3))
    with pytest.raises(TypeError, match="RowSparse or None, got int"):
        table.grad = 3
    assert table.grad is None


def test_assignment_to_rows_copies_no_table():
    """What an optimizer of rows does to the table."""
    table, index = neurenix.zeros(10_000, 8), Tensor([3, 9_000, -1])
    neurenix.reset_peak_memory()
    before = neurenix.memory_usage().current
    table[index] = neurenix.ones(3, 8)
    assert neurenix.memory_usage().peak - before < 10_000
    assert table.sum().item() == 24
    with pytest.raises(IndexError, match="10000"):
        table[Tensor([0, 10_000])] = 5.0
    assert table[0].tolist() == [0] * 8
    table[Tensor([[3, 4], [5, 3]])] = table[Tensor([9_000])] * 2
    assert table.sum(dim=1)[3:6].tolist() == [16, 16, 16]
    square = neurenix.arange(9).reshape(3, 3).float()
    square[Tensor([2, 0])] = square[:2]
    assert square.tolist() == [[3, 4, 5], [3, 4, 5], [0, 1, 2]]
    square[:, Tensor([1, 1])] = Tensor([7.0, 8.0])
    assert square[:, 1].tolist() == [8, 8, 8]
    view = square.T[1:]
    view[Tensor([0])] = -1.0
    assert square.tolist() == [[3, -1, 5], [3, -1, 5], [0, -1, 2]]


def test_parts_whose_data_were_replaced_are_refused(table):
    """Indices and values are tensors that anybody can give other data; nothing is read or written by what they were."""

    def rows():
        table.grad = None
        look_up(table, [1, 2, 1]).sum().backward()
        return table.grad

    for replace in (
        lambda g: setattr(g.values(), "data", neurenix.zeros(3, 1)),
        lambda g: setattr(g.values(), "data", neurenix.zeros(2, g.shape[1])),
        lambda g: setattr(g.indices(), "data", neurenix.zeros(3, dtype="uint8")),
        lambda g: setattr(g.indices(), "data", neurenix.zeros(10**6)),
        lambda g: setattr(g.indices(), "data", neurenix.zeros(3, 1, dtype="int64")),
    ):
        for use in (lambda g: g.to_dense(), lambda g: g.coalesce()):
            gradient = rows()
            replace(gradient)
            with pytest.raises((ValueError, TypeError), match="row-sparse values"):
                use(gradient)
    gradient = rows()
    gradient.values().data = gradient.values().double()
    assert gradient.to_dense().dtype == neurenix.float64
    gradient = rows()
    gradient.indices().data = neurenix.full((3,), 2**40)
    with pytest.raises(IndexError):
        gradient.to_dense()


def test_a_table_with_other_data_is_refused(table):
    loss = look_up(table, [1, 2, 1]).sum()
    table.data = neurenix.zeros(table.shape[0], 1)
    table.grad = neurenix.zeros(table.shape[0], 1)
    with pytest.raises(RuntimeError, match="other data after the forward pass"):
        loss.backward()
    assert table.grad.tolist() == [[0]] * table.shape[0]
