"""Reading and assigning `x[...]` as NumPy does."""

import neurenix
import numpy as np
import pytest
from neurenix import Tensor
from neurenix.testing import assert_close, check_grads

SHAPE = (4, 3, 5)
MASK = np.arange(4 * 3).reshape(4, 3) % 3 == 0

INDICES = [
    2,
    -1,
    (1, 2),
    (1, -3, 4),
    slice(None),
    slice(1, 3),
    slice(-2, None),
    slice(None, None, 2),
    slice(3, 0, -2),
    slice(None, None, -1),
    slice(2, 2),
    slice(-100, 100),
    (slice(None), 1),
    (slice(1, None), slice(None, None, 2), slice(4, 1, -1)),
    ...,
    (..., 0),
    (0, ...),
    (..., slice(1, 3), 2),
    None,
    (None, 1, None, slice(2)),
    (..., None),
    np.array([0, 2, 2]),
    np.array([[0, -1], [2, 1]]),
    [3, 0],
    (slice(None), [2, 0]),
    (slice(None), slice(None), np.array([[0, 1], [4, -5]])),
    ([0, 1, 2], [2, 1, 0]),
    ([[0], [3]], [[0, 2]]),
    (np.array([0, 1]), slice(None), np.array([4, 2])),
    (slice(None), np.array([0, 1]), np.array([4, 2])),
    (1, slice(None), np.array([4, 2])),
    (np.array([1, 3]), 0),
    (None, np.array([1, 3]), ..., np.array([0, 0])),
    MASK,
    (MASK, 2),
    (slice(None), np.array([True, False, True])),
    (slice(1, 3), np.array([True, False, True]), slice(None, None, 2)),
    MASK[:, 0],
    np.zeros(SHAPE, bool),
    np.array([], dtype=np.int64),
]


def ours(index):
    """The same index with tensors in place of arrays."""
    if isinstance(index, tuple):
        return tuple(ours(entry) for entry in index)
    return Tensor(index) if isinstance(index, np.ndarray) else index


@pytest.fixture
def array():
    return np.arange(60.0).reshape(SHAPE)


@pytest.mark.parametrize("index", INDICES, ids=str)
def test_read(index, array):
    assert_close(Tensor(array)[ours(index)], array[index])
    assert_close(Tensor(array)[index], array[index])  # arrays are indices, too


@pytest.mark.parametrize("index", INDICES, ids=str)
def test_read_a_view(index, array):
    assert_close(Tensor(array.transpose(2, 1, 0).copy()).permute(2, 1, 0)[ours(index)], array[index])


@pytest.mark.parametrize("index", INDICES, ids=str)
def test_assign(index, array):
    for value in [7.0, np.arange(100.0, 100.0 + array[index].size).reshape(array[index].shape)]:
        if isinstance(value, np.ndarray) and _repeats(index):
            continue  # which of several values stays is not said
        expected, x = array.copy(), Tensor(array)
        expected[index] = value
        x[ours(index)] = value if isinstance(value, float) else Tensor(value)
        assert_close(x, expected)


def _repeats(index):
    places = np.zeros(SHAPE, int)
    np.add.at(places, index, 1)
    return places.max() > 1


def test_assign_broadcasts(array):
    x, expected = Tensor(array), array.copy()
    x[1:3, :, ::2], expected[1:3, :, ::2] = Tensor([1.0, 2.0, 3.0]), [1, 2, 3]
    x[:, [0, 2]], expected[:, [0, 2]] = Tensor([[1.0], [2.0]]), [[1], [2]]
    assert_close(x, expected)


def test_assign_through_a_view():
    x = neurenix.zeros(2, 3)
    x[1][2] = 5
    assert x.tolist() == [[0, 0, 0], [0, 0, 5]]


@pytest.mark.parametrize("index", INDICES, ids=str)
def test_gradient_of_reading(index, array):
    check_grads(lambda x: x[ours(index)] ** 2, [Tensor(array / 30)], order=2)


@pytest.mark.parametrize("index", [i for i in INDICES if not _repeats(i)], ids=str)
def test_gradient_of_assigning(index, array):
    def assigned(x, value):
        x = x * 1.0
        x[ours(index)] = value
        return x * x

    check_grads(assigned, [Tensor(array / 30), Tensor(array[index] / 20 + 1)])


def test_take_along_dim_counts_from_the_end():
    x = Tensor([[1, 2, 3], [4, 5, 6]])
    assert x.take_along_dim(Tensor([[-1]]), 0).tolist() == [[4, 5, 6]]
    assert x[Tensor([-1, 0])].tolist() == [[4, 5, 6], [1, 2, 3]]
    x[Tensor([-1]), Tensor([-2])] = 0
    assert x.tolist() == [[1, 2, 3], [4, 0, 6]]


def test_repeated_rows_add_up():
    x = neurenix.zeros(3, requires_grad=True)
    x[Tensor([1, 1, 2])].sum().backward()
    assert x.grad.tolist() == [0, 2, 1]


def test_iteration_and_length(array):
    x = Tensor(array)
    assert len(x) == 4
    for row, expected in zip(x, array, strict=True):
        assert_close(row, expected)


def test_membership_of_a_position():
    x = neurenix.arange(5)
    assert x[Tensor(3)].item() == 3
    assert [10, 11, 12][x[1]] == 11


@pytest.mark.parametrize("mask", [True, False, np.True_, np.False_])
def test_a_truth_value_is_a_mask_without_dimensions(mask):
    x, a = neurenix.arange(6).reshape(2, 3), np.arange(6).reshape(2, 3)
    assert x[mask].shape == a[mask].shape
    assert x[mask].tolist() == a[mask].tolist()
    x[mask] = 7
    a[mask] = 7
    assert x.tolist() == a.tolist()
