"""New tensors: of data and of shapes."""

import neurenix
import numpy as np
import pytest
from neurenix import Tensor
from neurenix.testing import assert_close

DTYPES = ["float32", "float64", "float16", "bfloat16", "int64", "int32", "uint8", "bool"]


@pytest.mark.parametrize(
    ("data", "dtype", "shape"),
    [
        (1.5, "float32", ()),
        (3, "int64", ()),
        (True, "bool", ()),
        ([1.0, 2.0], "float32", (2,)),
        ([[1, 2], [3, 4]], "int64", (2, 2)),
        ([1, 2.5], "float32", (2,)),
        ([True, False], "bool", (2,)),
        ((1, 2, 3), "int64", (3,)),
        ([], "float32", (0,)),
        ([[], []], "float32", (2, 0)),
        (np.float64(2.0), "float64", ()),
        (np.arange(3, dtype=np.int32), "int32", (3,)),
        (np.zeros((2, 2), np.float16), "float16", (2, 2)),
        (np.zeros(2), "float64", (2,)),
        (range(4), "int64", (4,)),
        (memoryview(b"abc"), "uint8", (3,)),
    ],
    ids=str,
)
def test_of_data(data, dtype, shape):
    x = Tensor(data)
    assert x.dtype == dtype
    assert x.shape == shape
    assert_close(x, np.asarray(data).astype(dtype))


@pytest.mark.parametrize("dtype", DTYPES)
def test_dtypes(dtype):
    x = Tensor([0, 1, 1], dtype=dtype)
    assert x.dtype == neurenix.DType(dtype) == dtype == getattr(neurenix, dtype)
    assert x.tolist() == [0, 1, 1]
    assert neurenix.zeros(2, dtype=dtype).tolist() == [0, 0]
    assert neurenix.ones(2, dtype=dtype).tolist() == [1, 1]
    assert neurenix.full((2,), 1, dtype=dtype).tolist() == [1, 1]


def test_dtype_of_numpy_is_accepted():
    assert neurenix.zeros(1, dtype=np.float64).dtype == neurenix.float64
    assert neurenix.zeros(1, dtype=np.dtype("int32")).dtype == "int32"
    assert neurenix.zeros(1, dtype=bool).dtype == neurenix.bool


def test_data_are_copied():
    array = np.zeros(3, np.float32)
    x = Tensor(array)
    array[0] = 1
    assert x.tolist() == [0, 0, 0]


@pytest.mark.parametrize("make", [neurenix.zeros, Tensor.zeros])
def test_shapes(make):
    assert make((2, 3)).shape == make(2, 3).shape == make([2, 3]).shape == (2, 3)
    assert make(()).shape == ()
    assert make((0, 3)).shape == (0, 3)
    assert make(4).shape == (4,)


@pytest.mark.parametrize("name", ["empty", "zeros", "ones", "rand", "randn"])
def test_keywords(name):
    x = getattr(Tensor, name)((2, 3), dtype="float64", device="cpu", requires_grad=True)
    assert (x.shape, x.dtype, x.requires_grad, x.is_leaf) == ((2, 3), "float64", True, True)
    like = getattr(Tensor, f"{name}_like")(x)
    assert (like.shape, like.dtype, like.requires_grad) == ((2, 3), "float64", False)
    assert getattr(neurenix, f"{name}_like")(x, dtype="float16", requires_grad=True).dtype == "float16"


def test_bounds_of_integers_are_inside():
    assert Tensor([0, 255], dtype="uint8").tolist() == [0, 255]
    assert Tensor([255.9, -0.9], dtype="uint8").tolist() == [255, 0]
    assert Tensor([-(2**31), 2**31 - 1], dtype="int32").tolist() == [-(2**31), 2**31 - 1]
    assert Tensor([-(2.0**63)], dtype="int64").tolist() == [-(2**63)]
    assert Tensor([300, 0], dtype="bool").tolist() == [True, False]
    assert neurenix.arange(250, 256, dtype="uint8").tolist() == [250, 251, 252, 253, 254, 255]
    assert neurenix.arange(2**63 - 2, 2**63 - 1).tolist() == [2**63 - 2]
    assert set(neurenix.randint(254, 256, (99,), dtype="uint8").tolist()) == {254, 255}


def test_full():
    assert neurenix.full((2,), 7).dtype == "int64"
    assert neurenix.full((2,), 7.0).dtype == "float32"
    assert neurenix.full((2,), True).dtype == "bool"
    assert neurenix.full_like(neurenix.zeros(2), 7).tolist() == [7.0, 7.0]


@pytest.mark.parametrize(
    "arguments", [(5,), (2, 5), (0, 10, 3), (5, 0, -2), (0.0, 1.0, 0.25), (1, 2, 0.5), (3, 3)]
)
def test_arange(arguments):
    x, expected = neurenix.arange(*arguments), np.arange(*arguments)
    assert x.dtype == ("int64" if expected.dtype.kind == "i" else "float32")
    assert_close(x, expected, check_dtype=False)


def test_linspace_and_eye():
    for arguments in [(0, 1, 5), (-2.0, 3.0, 11), (1, 1, 3), (0, 1, 1), (0, 1, 0)]:
        assert_close(neurenix.linspace(*arguments), np.linspace(*arguments).astype(np.float32))
    for arguments in [(3,), (2, 4), (4, 2), (0,)]:
        assert_close(neurenix.eye(*arguments), np.eye(*arguments, dtype=np.float32))


def test_bytes_round_trip():
    x = neurenix.randn(3, 4, dtype="bfloat16")
    assert_close(Tensor.from_bytes(x.tobytes(), (3, 4), "bfloat16"), x, rtol=0, atol=0)


def test_casts():
    x = Tensor([-1.5, 0.0, 2.7])
    assert x.int().tolist() == [-1, 0, 2]
    assert x.long().dtype == "int64"
    assert x.bool().tolist() == [True, False, True]
    assert (x.double().dtype, x.half().dtype, x.bfloat16().dtype) == ("float64", "float16", "bfloat16")
    assert x.to("float32").dtype == "float32"
    assert x.to(neurenix.zeros(1, dtype="int32")).dtype == "int32"
    assert x.type_as(neurenix.zeros(1, dtype="float64")).dtype == "float64"


def test_to_in_place():
    x = neurenix.zeros(2)
    assert x.to("float64", inplace=True) is x
    assert x.dtype == "float64"
    assert x.to("cpu") is x or x.to("cpu").data_ptr() == x.data_ptr()


class Only:
    """What h5py, xarray and others give: an array by `__array__` alone."""

    def __init__(self, array):
        self.array = array

    def __array__(self, dtype=None, copy=None):
        return self.array


class Exported(Only):
    """An array by DLPack alone."""

    __array__ = property()

    def __dlpack_device__(self):
        return self.array.__dlpack_device__()

    def __dlpack__(self, **keywords):
        return self.array.__dlpack__(**keywords)


@pytest.mark.parametrize("wrap", [np.array, Only, Exported, memoryview], ids=lambda w: w.__name__)
@pytest.mark.parametrize("dtype", ["float64", "float16", "int32", "uint8", "bool"])
def test_arrays_by_every_protocol_keep_their_dtype(wrap, dtype):
    array = np.array([16777217.0, 0.5]) if dtype == "float64" else np.array([1, 0], dtype)
    for x in (Tensor(wrap(array)), neurenix.as_tensor(wrap(array)), Tensor([wrap(array)])[0]):
        assert x.dtype == dtype
        assert x.tolist() == array.tolist()
    x = neurenix.zeros(2, dtype=dtype)
    x[:] = wrap(array)
    assert x.tolist() == array.tolist()
    if dtype == "float64":
        assert (neurenix.zeros(2) + wrap(array)).dtype == "float64"
        assert neurenix.zeros(2, dtype="float64").maximum(wrap(array)).tolist() == array.tolist()


def test_dtypes_that_tensors_do_not_have_become_wider():
    for own, wider in (("int8", "int32"), ("uint16", "int32"), ("uint32", "int64")):
        assert Tensor(np.ones(2, own)).dtype == Tensor(Only(np.ones(2, own))).dtype == wider
        both = type("Both", (Exported,), {"__array__": Only.__array__})
        assert Tensor(both(np.ones(2, own))).dtype == wider


@pytest.mark.parametrize(
    ("data", "dtype", "values"),
    [
        ([np.ones(2), np.zeros(2)], "float64", [[1, 1], [0, 0]]),
        ([np.ones(2, "float32"), [2.0, 3.0]], "float32", [[1, 1], [2, 3]]),
        ([[2.0, 3.0], np.ones(2)], "float64", [[2, 3], [1, 1]]),
        ([[1, 2], np.ones(2, "uint8")], "int64", [[1, 2], [1, 1]]),
        ([np.ones(2, "uint8"), np.ones(2, "int32")], "int32", [[1, 1], [1, 1]]),
        ([np.float64(0.1), 2.0], "float64", [0.1, 2.0]),
        ([2.0, np.float64(0.1)], "float64", [2.0, 0.1]),
        ([np.float32(1), 2.0], "float32", [1, 2]),
        ([np.int32(1), np.int32(2)], "int32", [1, 2]),
        ([np.int32(1), 2], "int64", [1, 2]),
        ([np.array(0.1), np.array(2)], "float64", [0.1, 2.0]),
        ([True, 2, 0.5], "float32", [1, 2, 0.5]),
        ([True, 2], "int64", [1, 2]),
        ([2**63 - 1, -(2**63)], "int64", [2**63 - 1, -(2**63)]),
        ([range(2), (5, 6)], "int64", [[0, 1], [5, 6]]),
        ([[[], []]], "float32", [[[], []]]),
    ],
    ids=str,
)
def test_lists_have_the_common_dtype_of_what_they_hold(data, dtype, values):
    x = Tensor(data)
    assert x.dtype == dtype
    assert x.tolist() == values


@pytest.mark.parametrize("shape", [(), (1,), (1, 1)])
def test_tensors_of_one_element_are_numbers_in_lists(shape):
    """As in PyTorch; what a layer with one output, or a sum, gives."""
    t = neurenix.full(shape, 0.5, requires_grad=True) * 1
    assert Tensor([t, t]).tolist() == [0.5, 0.5]
    assert Tensor([[t], [t]]).shape == (2, 1)
    assert Tensor([t, 2]).tolist() == [0.5, 2.0]
    assert Tensor([t.double(), 2.0]).dtype == "float64"
    assert not Tensor([t, t]).requires_grad
    assert Tensor([neurenix.ones(2), neurenix.zeros(2)]).tolist() == [[1, 1], [0, 0]]  # larger ones are rows


def test_floats_of_lists_keep_their_digits_for_wider_dtypes():
    assert Tensor([0.1, 16777217.0], dtype="float64").tolist() == [0.1, 16777217.0]
    assert Tensor([16777217.0], dtype="int64").tolist() == [16777217]
    assert Tensor([[1, 0.1]], dtype="float64").tolist() == [[1.0, 0.1]]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ([[1, 2], 3], r"data\[1\] is a number"),
        ([1, [2]], r"data\[1\] has 1 elements"),
        ([[], 1], r"data\[1\] is a number"),
        ([np.ones(2), np.ones(3)], r"data\[1\] has shape \[3\]"),
        ([np.ones(2), 1.0], r"data\[1\] is a number"),
        ([[1.0], np.ones(3)], r"data\[1\] has shape \[3\]"),
        ([neurenix.ones(2), neurenix.ones(1)], r"data\[1\] is a number"),
    ],
    ids=str,
)
def test_ragged_lists_are_errors(data, message):
    with pytest.raises(ValueError, match=f"ragged: {message}"):
        Tensor(data)


@pytest.mark.parametrize(
    "data", ["text", [1, "2"], [None], {1: 2}, {1, 2}, [object()], [1 + 2j], b"bytes"], ids=str
)
def test_what_is_no_number_is_an_error(data):
    with pytest.raises(TypeError, match=r"number|complex"):
        Tensor(data)


def test_a_list_that_changes_while_it_is_read_is_an_error():
    data = [1, 2]

    class Growing:
        def __array__(self, dtype=None, copy=None):
            data.append(3)
            return np.array(2)

    data[1] = Growing()
    with pytest.raises(ValueError, match="changed while it was read"):
        Tensor(data)


def test_bytes_of_truth_values_are_0_and_1():
    odd = np.array([0, 1, 2, 37, 255, 0], "uint8")
    expected = [False, True, True, True, True, False]
    for x in (
        Tensor(odd.view(bool)),
        Tensor([odd.view(bool)])[0],
        neurenix.as_tensor(odd.view(bool)),
        neurenix.from_dlpack(odd.view(bool)),
        Tensor.from_bytes(odd.tobytes(), (6,), "bool"),
    ):
        assert bytes(x.tobytes()) == bytes(expected)
        assert x.sum().item() == 4
        assert (~x).tolist() == [not v for v in expected]
        assert x.nonzero().flatten().tolist() == [1, 2, 3, 4]
        assert neurenix.arange(6)[x].tolist() == [1, 2, 3, 4]
        assert x.long().tolist() == [0, 1, 1, 1, 1, 0]
        assert (x == True).tolist() == expected  # noqa: E712
    x = neurenix.zeros(6, dtype="bool")
    x._numpy_data = odd.view(bool)
    assert x.sum().item() == 4
    assert odd.tolist() == [0, 1, 2, 37, 255, 0]


def test_buffers_keep_their_dtype():
    import array

    for source in (array.array("d", [0.1]), memoryview(np.array([0.1]))):
        assert Tensor(source).dtype == neurenix.float64
        assert Tensor(source).item() == 0.1
    assert Tensor([0.1]).dtype == Tensor((0.1,)).dtype == neurenix.float32
