"""Reading and assigning `x[...]`: as NumPy does, but an integer beside index tensors takes its dimension away first."""

import neurenix
import numpy as np
import pytest
from neurenix import Tensor
from neurenix.testing import assert_close, check_grads

SHAPE = (4, 3, 5)
MASK = np.arange(4 * 3).reshape(4, 3) % 3 == 0

LIKE_NUMPY = [
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
    (np.array([1, 3]), 0),
    (None, np.array([1, 3]), ..., np.array([0, 0])),
    MASK,
    (MASK, 2),
    (slice(None), np.array([True, False, True])),
    (slice(1, 3), np.array([True, False, True]), slice(None, None, 2)),
    MASK[:, 0],
    np.zeros(SHAPE, bool),
    np.array([], dtype=np.int64),
    range(1, 3),
    (range(3), range(3)),
    (slice(None), range(0, 3, 2)),
    (slice(None), np.array([0, 1]), None, np.array([4, 2])),
    slice(-(2**70), 2**70),
]
ALL, EVEN = slice(None), [4, 2]
# An index, the part of it that comes first, and what is left for NumPy then: the values are PyTorch's.
WITH_INTEGERS = [
    ((1, ALL, EVEN), 1, (ALL, EVEN)),
    ((-1, ..., np.array([[4], [2]])), -1, (..., np.array([[4], [2]]))),
    ((np.array([1, 3]), ALL, 2), (..., 2), ([1, 3], ALL)),
    ((ALL, 1, EVEN), (ALL, 1), (ALL, EVEN)),
    ((None, 1, ALL, EVEN), (None, 1), (ALL, ALL, EVEN)),
    ((0, None, [2, 0]), (0, None), (ALL, [2, 0])),
    (([1, 3], None, 0, EVEN), (ALL, None, 0), ([1, 3], ALL, EVEN)),
    (([1, 3], 0, EVEN), (ALL, 0), ([1, 3], EVEN)),
    ((1, ALL, np.array([True, False, True, False, False])), 1, (ALL, [0, 2])),
    ((np.int64(1), ALL, range(2)), 1, (ALL, [0, 1])),
]
INDICES = [(index, ..., index) for index in LIKE_NUMPY] + WITH_INTEGERS


def ours(index):
    """The same index with tensors in place of arrays."""
    if isinstance(index, tuple):
        return tuple(ours(entry) for entry in index)
    return Tensor(index) if isinstance(index, np.ndarray) else index


@pytest.fixture
def array():
    return np.arange(60.0).reshape(SHAPE)


@pytest.mark.parametrize(("index", "first", "rest"), INDICES, ids=str)
def test_read(index, first, rest, array):
    assert_close(Tensor(array)[ours(index)], array[first][rest])
    assert_close(Tensor(array)[index], array[first][rest])  # arrays are indices, too


@pytest.mark.parametrize(("index", "first", "rest"), INDICES, ids=str)
def test_read_a_view(index, first, rest, array):
    view = Tensor(array.transpose(2, 1, 0).copy()).permute(2, 1, 0)
    assert_close(view[ours(index)], array[first][rest])


@pytest.mark.parametrize(("index", "first", "rest"), INDICES, ids=str)
def test_assign(index, first, rest, array):
    part = array[first][rest]
    for value in [7.0, np.arange(100.0, 100.0 + part.size).reshape(part.shape)]:
        if isinstance(value, np.ndarray) and _repeats(first, rest):
            continue  # which of several values stays is not said
        expected, x = array.copy(), Tensor(array)
        expected[first][rest] = value
        x[ours(index)] = value if isinstance(value, float) else Tensor(value)
        assert_close(x, expected)


def _repeats(first, rest):
    places = np.zeros(SHAPE, int)
    np.add.at(places[first], rest, 1)
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


@pytest.mark.parametrize(("index", "first", "rest"), INDICES, ids=str)
def test_gradient_of_reading(index, first, rest, array):
    check_grads(lambda x: x[ours(index)] ** 2, [Tensor(array / 30)], order=2)


@pytest.mark.parametrize(("index", "first", "rest"), [i for i in INDICES if not _repeats(*i[1:])], ids=str)
def test_gradient_of_assigning(index, first, rest, array):
    def assigned(x, value):
        x = x * 1.0
        x[ours(index)] = value
        return x * x

    check_grads(assigned, [Tensor(array / 30), Tensor(array[first][rest] / 20 + 1)])


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


def by(name):
    """A class whose objects are arrays by one protocol, and have `__index__` as arrays of one element do."""

    def method(self, *arguments, **keywords):
        return getattr(self.array, name)(*arguments, **keywords)

    members = {"__init__": lambda self, array: setattr(self, "array", array), "__index__": lambda self: 1}
    if name == "__array_interface__":
        members[name] = property(lambda self: self.array.__array_interface__)
    elif name == "__buffer__":
        return memoryview
    else:
        members[name] = method
    if name == "__dlpack__":
        members["__dlpack_device__"] = lambda self: (1, 0)
    return type(f"By{name}", (), members)


@pytest.mark.parametrize("name", ["__array__", "__dlpack__", "__array_interface__", "__buffer__"])
def test_arrays_by_every_protocol_are_indices(name):
    wrap = by(name)
    x = neurenix.arange(6.0).reshape(2, 3)
    assert x[wrap(np.array([0]))].tolist() == [[0, 1, 2]]
    assert x[wrap(np.array([[1]]))].shape == (1, 1, 3)
    assert x[:, wrap(np.array([True, False, True]))].tolist() == [[0, 2], [3, 5]]
    x[wrap(np.array([1]))] = 7.0
    assert x.tolist() == [[0, 1, 2], [7, 7, 7]]
    x[0] = wrap(np.array([4.0, 5.0, 6.0]))
    assert x.tolist() == [[4, 5, 6], [7, 7, 7]]


def test_indices_that_are_no_integers():
    x = neurenix.arange(3)
    for index in (
        1.0,
        np.float64(1.0),
        np.array(1.0),
        Tensor(1.0),
        np.array([0.0, 1.0]),
        "a",
        b"ab",
        {1},
        object(),
    ):
        with pytest.raises((IndexError, TypeError)):
            x[index]
    with pytest.raises(TypeError, match="slice bounds must be integers"):
        x[1.5:]


def nested(kind, depth=200_000):
    """Sequences that hold themselves, or are nested deeper than a tensor has dimensions."""
    if kind in ("itself", "itself and more"):
        value = []
        value.extend([value, 1][: 1 + (kind == "itself and more")])
        return value
    value = [1]
    for _ in range(depth):
        value = [value] if kind == "lists" else (value,) if kind == "tuples" else [value, 1]
    return value


@pytest.mark.parametrize("kind", ["itself", "itself and more", "lists", "tuples", "ragged"])
def test_sequences_without_end_are_errors(kind):
    value, x = nested(kind), neurenix.ones(3)
    uses = [
        lambda: Tensor(value),
        lambda: Tensor([value]),
        lambda: neurenix.as_tensor(value),
        lambda: x[[value]],
        lambda: x.__setitem__(0, value),
        lambda: x.__setitem__([value], 0),
    ]
    if kind != "tuples":  # a tuple is an index for each dimension
        uses.append(lambda: x[value])
    for use in uses:
        with pytest.raises(ValueError, match="at most 8 dimensions"):
            use()
    while isinstance(value, (list, tuple)) and value and value[0] is not value:
        value = value[0]  # freed level by level


def test_numbers_of_lists_that_are_assigned_keep_their_digits_and_fit():
    x = neurenix.zeros(2, dtype="float64")
    x[:] = [0.1, 16777217.0]
    assert x.tolist() == [0.1, 16777217.0]
    y = neurenix.zeros(2, dtype="uint8")
    with pytest.raises(ValueError, match="300 does not fit into uint8"):
        y[:] = [1, 300]
    assert y.tolist() == [0, 0]


@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize("share", [0.0, 0.02, 0.5, 1.0])
def test_masks_over_several_dimensions(share, turned, rng):
    """Read, differentiated, and assigned a number and values, whether or not the masked dimensions lie together."""
    right = rng.standard_normal((7, 13, 11)).astype("float32")
    mask = rng.random((13, 11)) < share
    if turned:
        right, mask = right.transpose(0, 2, 1), mask.T
    ours = Tensor(right.copy()) if not turned else Tensor(right.transpose(0, 2, 1).copy()).transpose(1, 2)
    assert ours.is_contiguous() != turned
    assert ours[:, Tensor(mask)].tolist() == right[:, mask].tolist()
    assert ours[2, Tensor(mask)].tolist() == right[2, mask].tolist()
    assert Tensor(mask).nonzero().tolist() == np.argwhere(mask).tolist()
    leaf = ours.clone().requires_grad_(True)
    (leaf[:, Tensor(mask)] * 3).sum().backward()
    assert leaf.grad.tolist() == np.broadcast_to(3.0 * mask, right.shape).tolist()
    right = right.copy()
    ours[:, Tensor(mask)] = 5.0
    right[:, mask] = 5.0
    assert ours.tolist() == right.tolist()
    values = rng.standard_normal(int(mask.sum())).astype("float32")
    ours[3, Tensor(mask)] = Tensor(values)
    right[3, mask] = values
    assert ours.tolist() == right.tolist()


def test_a_mask_beside_other_indices():
    right = np.arange(24.0).reshape(2, 3, 4)
    mask = np.array([[True, False, True], [False, False, True]])
    ours = Tensor(right)
    assert ours[Tensor(mask), 1].tolist() == right[mask, 1].tolist()
    assert ours[Tensor(mask), Tensor([0, 3, 2])].tolist() == right[mask, [0, 3, 2]].tolist()
    assert ours[Tensor(mask), 1:3].tolist() == right[mask, 1:3].tolist()


@pytest.mark.parametrize("dtype", ["float32", "float64", "int64", "float16", "uint8"])
@pytest.mark.parametrize("largest", [True, False])
def test_the_first_of_an_order(dtype, largest, rng):
    x = rng.integers(0, 50, (3, 700)).astype(dtype)
    key = -x.astype("float64") if largest else x
    for k in (0, 1, 7, 300, 700):
        order = np.argsort(key, axis=1, kind="stable")[:, :k]
        values, at = Tensor(x).topk(k, largest=largest)
        assert at.tolist() == order.tolist()
        assert values.tolist() == np.take_along_axis(x, order, 1).tolist()
        across = Tensor(x.T.copy()).topk(k, 0, largest)
        assert across.indices.tolist() == order.T.tolist()


def test_the_gradient_of_the_first_of_an_order():
    x = Tensor([[3.0, 1.0, 2.0]], requires_grad=True)
    values, _ = x.topk(2)
    (values * Tensor([10.0, 100.0])).sum().backward()
    assert x.grad.tolist() == [[10.0, 0.0, 100.0]]
