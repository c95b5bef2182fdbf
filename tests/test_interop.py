"""Sharing memory and values with NumPy, DLPack and pickle."""

import copy
import ctypes
import operator
import pickle

import neurenix
import numpy as np
import pytest
from neurenix import Tensor, nn
from neurenix.testing import assert_close

NATIVE = ["float32", "float64", "float16", "int64", "int32", "uint8", "bool"]


@pytest.mark.parametrize("dtype", NATIVE)
def test_numpy_shares_memory(dtype):
    x = neurenix.ones(2, 3, dtype=dtype)
    array = x.numpy()
    assert array.dtype == np.dtype(dtype)
    assert array.ctypes.data == x.data_ptr()
    array[0, 0] = 0
    assert x.tolist()[0][0] == 0
    x[1, 1] = 0
    assert array[1, 1] == 0


def test_numpy_of_views():
    x = neurenix.arange(12).reshape(3, 4)
    assert (x.T.numpy() == np.arange(12).reshape(3, 4).T).all()
    assert x[:, 1::2].numpy().tolist() == [[1, 3], [5, 7], [9, 11]]
    assert x.expand(2, 3, 4).numpy().shape == (2, 3, 4)
    assert x[1:].numpy().ctypes.data == x.data_ptr() + 4 * 8


def test_memory_that_elements_share_is_read_only():
    x = neurenix.ones(1).expand(3)
    array = x.numpy()
    assert not array.flags.writeable
    assert not x._numpy_data.flags.writeable
    assert not np.from_dlpack(x).flags.writeable
    with pytest.raises(ValueError, match="read-only"):
        array[0] = 5
    assert x.T.clone().numpy().flags.writeable
    assert neurenix.ones(2, 2).T.numpy().flags.writeable


def test_the_array_keeps_the_memory_alive():
    array = neurenix.full((1000,), 3.0).numpy()
    for _ in range(10):
        neurenix.zeros(1000)
    assert (array == 3).all()


def test_numpy_needs_detach_while_recorded():
    p = nn.Parameter(neurenix.ones(2))
    with pytest.raises(RuntimeError, match="detach"):
        p.numpy()
    assert p.detach().numpy().tolist() == [1, 1]
    (p * 2).sum().backward()
    assert p.grad.numpy().tolist() == [2, 2]


def test_array_protocol():
    x = Tensor([[1.5, 2.5]])
    assert np.array(x).tolist() == [[1.5, 2.5]]
    assert np.asarray(x, dtype=np.float64).dtype == np.float64
    assert np.asarray(x).ctypes.data == x.data_ptr()
    copied = np.array(x)
    copied[0, 0] = 9
    assert x[0, 0].item() == 1.5
    assert np.asarray(neurenix.ones(2, dtype="bfloat16").float()).tolist() == [1, 1]


def test_numpy_data_reads_and_writes():
    p = nn.Parameter(Tensor([1.0, 2.0]))
    (p * Tensor([3.0, 4.0])).sum().backward()
    p._numpy_data -= 0.5 * p.grad.numpy()
    assert p.tolist() == [-0.5, 0.0]
    assert p.is_leaf
    assert p.requires_grad
    p._numpy_data = np.array([7.0, 8.0])
    assert p.tolist() == [7, 8]
    assert p.dtype == "float32"
    with pytest.raises(ValueError, match="shape"):
        p._numpy_data = np.zeros(3)


def test_numpy_data_of_every_dtype():
    for dtype in [*NATIVE, "bfloat16"]:
        x = neurenix.ones(3, dtype=dtype)
        x._numpy_data = np.zeros(3)
        assert x.tolist() == [0, 0, 0]
        assert len(x._numpy_data) == 3


@pytest.mark.parametrize("dtype", NATIVE)
def test_dlpack_both_ways(dtype):
    x = neurenix.ones(2, 3, dtype=dtype)
    array = np.from_dlpack(x)
    assert array.ctypes.data == x.data_ptr()
    source = np.arange(6).reshape(2, 3).astype(dtype)
    y = neurenix.from_dlpack(source)
    assert y.data_ptr() == source.ctypes.data
    source[0, 0] = 1
    assert y.tolist() == source.tolist()
    assert x.__dlpack_device__()[0] == 1


def test_dlpack_of_views_and_read_only():
    array = np.arange(12.0).reshape(3, 4)
    for view in (array.T, array[:, ::2], array[1], array[:0]):
        assert_close(neurenix.from_dlpack(view), view)
    array.flags.writeable = False
    try:
        shared = neurenix.from_dlpack(array)
    except BufferError:
        return
    shared.zero_()  # then it must be a copy
    assert array.sum() == 66


def test_dlpack_versions_and_copies():
    x = neurenix.ones(2)
    assert '"dltensor"' in repr(x.__dlpack__())
    assert '"dltensor_versioned"' in repr(x.__dlpack__(max_version=(1, 0)))
    copied = np.from_dlpack(x, copy=True)
    copied[0] = 5
    assert x.tolist() == [1, 1]


def test_dlpack_is_released():
    import gc
    import sys

    array = np.zeros(4)
    before = sys.getrefcount(array)
    for _ in range(1000):
        neurenix.from_dlpack(array)
    gc.collect()
    assert sys.getrefcount(array) <= before + 1
    for _ in range(1000):
        neurenix.zeros(4).__dlpack__()  # never consumed


@pytest.mark.parametrize("dtype", [*NATIVE, "bfloat16"])
def test_pickle(dtype):
    x = neurenix.randn(3, 4).to(dtype).T
    y = pickle.loads(pickle.dumps(x))
    assert_close(y, x, rtol=0, atol=0)
    assert not y.requires_grad


def test_pickle_and_copy_keep_requires_grad():
    x = neurenix.randn(3, requires_grad=True)
    for y in (pickle.loads(pickle.dumps(x)), copy.deepcopy(x)):
        assert y.requires_grad
        assert y.is_leaf
        assert_close(y, x)
        with neurenix.no_grad():
            y.zero_()
        assert x.abs().sum().item() > 0


@pytest.mark.parametrize(
    "array",
    [
        np.arange(6.0)[::-1],
        np.asfortranarray(np.arange(6.0).reshape(2, 3)),
        np.broadcast_to(np.arange(3.0), (2, 3)),
        np.frombuffer(b"\0" + np.arange(3.0).tobytes(), np.uint8)[1:].view(np.float64),
        np.arange(3.0).astype(">f8"),
        np.array(2.5),
        np.arange(24.0).reshape(2, 3, 4)[:, ::-1, ::2],
    ],
    ids=["reversed", "fortran", "zero stride", "unaligned", "big endian", "scalar", "mixed"],
)
def test_strange_arrays(array):
    assert_close(Tensor(array), np.array(array, dtype=np.float64))


def test_read_only_arrays_are_never_written():
    array = np.zeros(3, np.float32)
    array.flags.writeable = False
    Tensor(array).fill_(1)
    assert array.sum() == 0


def test_scalars():
    assert float(Tensor(1.5)) == 1.5
    assert int(Tensor(3)) == 3
    assert bool(Tensor([True]))
    assert [1, 2, 3][Tensor(1)] == 2
    assert Tensor([[2.5]]).item() == 2.5
    assert np.float32(2) * 1 == (Tensor(1.0) * np.float32(2)).item()


def test_tensors_are_hashable_and_compared_elementwise():
    x, y = Tensor([1.0]), Tensor([1.0])
    assert len({x, y}) == 2
    assert (x == y).tolist() == [True]
    assert (x == "text") is False
    assert (x != None) is True  # noqa: E711


def test_buffers_outlive_their_exporter():
    x = Tensor(memoryview(bytearray(b"\1\2\3")))
    assert x.tolist() == [1, 2, 3]


def test_numpy_leaves_operators_to_tensors():
    p = neurenix.ones(2, requires_grad=True)
    for value in (np.float64(2) * p, np.full(2, 2.0) * p, p * np.full(2, 2.0), np.float32(2) * p):
        assert isinstance(value, neurenix.Tensor)
        assert value.requires_grad
        assert value.tolist() == [2.0, 2.0]
    assert (np.float64(2) * p).dtype == neurenix.float32  # a number takes the tensor's dtype
    assert (np.full(2, 3.0) - p).tolist() == [2.0, 2.0]


OPERATORS = ["add", "sub", "mul", "truediv", "floordiv", "mod", "pow", "eq", "ne", "lt", "le", "gt", "ge"]


@pytest.mark.parametrize("name", OPERATORS)
def test_operators_of_arrays_and_tensors_are_the_tensors(name):
    function = getattr(operator, name)
    a, b = np.array([1.0, 2.0, 7.0]), np.array([2.0, 2.0, 3.0])
    for ours in (function(a, Tensor(b)), function(Tensor(a), b)):
        assert isinstance(ours, Tensor)
        assert ours.tolist() == function(a, b).tolist()
    for name in ("and_", "or_", "xor"):
        function, i, j = getattr(operator, name), np.array([5, 6]), np.array([3, 3])
        for ours in (function(i, Tensor(j)), function(Tensor(i), j)):
            assert isinstance(ours, Tensor)
            assert ours.tolist() == function(i, j).tolist()


def test_products_with_arrays_stay_on_the_tape():
    x = Tensor([[1.0, 2.0], [3.0, 4.0]], requires_grad=True)
    w = np.array([[1.0, 10.0], [100.0, 1000.0]], "float32")
    for product, values, gradient in (
        (x @ w, [[201, 2010], [403, 4030]], [[11, 1100], [11, 1100]]),
        (w @ x, [[31, 42], [3100, 4200]], [[101, 101], [1010, 1010]]),
        (x @ w[0], [21, 43], [[1, 10], [1, 10]]),
        (w[0] @ x, [31, 42], [[1, 1], [10, 10]]),
    ):
        assert isinstance(product, Tensor)
        assert product.tolist() == values
        x.grad = None
        product.sum().backward()
        assert x.grad.tolist() == gradient
    with pytest.raises(ValueError, match="matmul"):
        x @ 2.0
    with pytest.raises(TypeError):
        x @ "text"


def test_arrays_in_place_are_written_or_it_is_an_error():
    total = np.zeros(3, "float32")
    alias = total
    total += neurenix.ones(3)
    total *= Tensor([1.0, 2.0, 3.0])
    total -= neurenix.full((3,), 0.5)
    assert total is alias
    assert isinstance(total, np.ndarray)
    assert total.tolist() == [0.5, 1.5, 2.5]
    with pytest.raises(RuntimeError, match="detach"):
        total += neurenix.ones(3, requires_grad=True)
    with pytest.raises(ValueError, match="broadcast"):
        total += neurenix.ones(2, 3)
    assert total is alias
    assert alias.tolist() == [0.5, 1.5, 2.5]
    x = neurenix.ones(3)
    x += total
    assert x.tolist() == [1.5, 2.5, 3.5]


def test_functions_of_numpy_compute_with_the_values():
    x = Tensor([0.0, 1.0])
    assert isinstance(np.exp(x), np.ndarray)
    assert np.maximum(x, np.array([0.5, 0.5])).tolist() == [0.5, 1.0]
    assert np.add.reduce(x) == 1.0
    out = np.zeros(2, "float32")
    assert np.add(x, x, out=out) is out
    assert out.tolist() == [0.0, 2.0]
    with pytest.raises(TypeError, match="out must be an array"):
        np.add(out, out, out=x)
    with pytest.raises(RuntimeError, match="detach"):
        np.exp(neurenix.ones(2, requires_grad=True))
    assert (x == np.array(["a", "b"])).tolist() == [False, False]


class Capsule:
    """An exporter of another array's capsule, without its version: what libraries gave before DLPack 1."""

    def __init__(self, array, device=(1, 0)):
        self.array, self.device = array, device

    def __dlpack_device__(self):
        return self.device

    def __dlpack__(self, stream=None):
        return self.array.__dlpack__()


def test_dlpack_of_immutable_sources_is_copied():
    source = np.arange(4.0)
    source.flags.writeable = False
    for exporter in (source, Capsule(np.arange(4.0))):
        x = neurenix.from_dlpack(exporter)
        x[0] = 99.0
        assert x.tolist() == [99, 1, 2, 3]
        assert getattr(exporter, "array", exporter).tolist() == [0, 1, 2, 3]
    writable = np.arange(4.0)
    neurenix.from_dlpack(writable)[0] = 99.0
    assert writable.tolist() == [99, 1, 2, 3]


class DLTensor(ctypes.Structure):
    """As dlpack.h has it."""

    _fields_ = (
        ("data", ctypes.c_void_p),
        ("device", ctypes.c_int32 * 2),
        ("ndim", ctypes.c_int32),
        ("code", ctypes.c_uint8),
        ("bits", ctypes.c_uint8),
        ("lanes", ctypes.c_uint16),
        ("shape", ctypes.POINTER(ctypes.c_int64)),
        ("strides", ctypes.POINTER(ctypes.c_int64)),
        ("offset", ctypes.c_uint64),
    )


class Managed(ctypes.Structure):
    """A capsule's content of DLPack 1."""

    _fields_ = (
        ("version", ctypes.c_uint32 * 2),
        ("context", ctypes.c_void_p),
        ("deleter", ctypes.CFUNCTYPE(None, ctypes.c_void_p)),
        ("flags", ctypes.c_uint64),
        ("tensor", DLTensor),
    )


class Forged:
    """A capsule whose numbers may be anything, and how often it was deleted."""

    def __init__(self, shape=(4,), strides=None, told=(1, 0), no_shape=False, aligned=True, **fields):
        self.memory = (ctypes.c_double * 64)()
        self.told, self.deleted = told, []
        self.sizes = (ctypes.c_int64 * max(1, len(shape)))(*shape)
        self.strides = (ctypes.c_int64 * max(1, len(shape)))(*(strides or ()))
        integers = ctypes.POINTER(ctypes.c_int64)
        defaults = {
            "data": ctypes.addressof(self.memory) + (not aligned),
            "device": (1, 0),
            "ndim": len(shape),
            "code": 2,
            "bits": 32,
            "lanes": 1,
            "shape": integers() if no_shape else ctypes.cast(self.sizes, integers),
            "strides": integers() if strides is None else ctypes.cast(self.strides, integers),
        }
        self.managed = Managed((1, 0))
        self.managed.deleter = type(self.managed.deleter)(lambda _: self.deleted.append(1))
        for name, value in {**defaults, **fields}.items():
            setattr(self.managed.tensor, name, value)

    def __dlpack_device__(self):
        return self.told

    def __dlpack__(self, **_):
        new = ctypes.pythonapi.PyCapsule_New
        new.restype, new.argtypes = ctypes.py_object, [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p]
        return new(ctypes.addressof(self.managed), b"dltensor_versioned", None)


FORGED = [
    ({"data": None}, BufferError, "NULL"),
    ({"no_shape": True}, BufferError, "no sizes"),
    ({"ndim": 2**31 - 1}, ValueError, "at most 8 dimensions"),
    ({"ndim": -1}, ValueError, "at most 8 dimensions"),
    ({"shape": (-1,)}, ValueError, "negative"),
    ({"shape": (2**62,)}, ValueError, "more elements"),
    ({"shape": (2, 2), "strides": (2**61, 2**62)}, ValueError, "reach farther"),
    ({"shape": (3,), "strides": (2**62,)}, ValueError, "reach farther"),
    ({"shape": (3,), "strides": (-(2**62),)}, ValueError, "reach farther"),
    ({"shape": (3,), "strides": (-(2**63),)}, ValueError, "reach farther"),
    ({"strides": (-1,), "data": 8, "offset": 0}, BufferError, "out of memory"),
    ({"offset": 2**64 - 4}, BufferError, "out of memory"),
    ({"aligned": False}, BufferError, "aligned"),
    ({"told": (2, 0), "device": (1, 0)}, (BufferError, RuntimeError), "device"),
    ({"device": (2, 0)}, BufferError, "told"),
    ({"device": (1, 3)}, BufferError, "told"),
    ({"told": (13, 0), "device": (13, 0)}, BufferError, "device 13"),
    ({"told": None}, BufferError, "two integers"),
    ({"told": (1, 2**40)}, BufferError, "two integers"),
    ({"bits": 31}, TypeError, "31 bits"),
    ({"lanes": 2}, TypeError, "2 lanes"),
]


@pytest.mark.parametrize(("fields", "error", "message"), FORGED, ids=str)
def test_forged_capsules_are_errors(fields, error, message):
    source = Forged(**fields)
    with pytest.raises(error, match=message):
        neurenix.from_dlpack(source)
    assert source.deleted == []  # it was not consumed: freeing it is left to the capsule


def test_strange_but_honest_capsules():
    source = Forged(shape=(3,), strides=(-1,), offset=8)
    source.memory[0], source.memory[1] = 0.0, 0.0
    x = neurenix.from_dlpack(source)
    np.frombuffer(source.memory, "float32")[:3] = [1, 2, 3]
    assert x.tolist() == [3, 2, 1]
    x[0] = 7
    assert np.frombuffer(source.memory, "float32")[:3].tolist() == [1, 2, 7]
    del x
    assert source.deleted == [1]
    for fields in ({"shape": (0,), "data": None}, {"shape": (0,), "offset": 2**64 - 1}):
        assert neurenix.from_dlpack(Forged(**fields)).shape == (0,)
    one = neurenix.from_dlpack(Forged(shape=(1, 2), strides=(2**63 - 1, 1)))
    assert one.T.reshape(2).sum(0, keepdim=True).shape == (1,)
    assert neurenix.from_dlpack(Forged(shape=(), no_shape=True)).shape == ()
    same = neurenix.from_dlpack(Forged(shape=(3, 3), strides=(1, 1)))
    with pytest.raises(RuntimeError, match="share memory"):
        same.add_(1)


@pytest.mark.parametrize("value", [None, 3, "text", object()], ids=str)
def test_what_is_no_capsule_is_an_error(value):
    source = Forged()
    source.__class__ = type("Liar", (Forged,), {"__dlpack__": lambda self, **_: value})
    with pytest.raises(TypeError, match="must return a capsule"):
        neurenix.from_dlpack(source)


@pytest.mark.parametrize(
    ("interface", "error"),
    [
        ({"shape": (3,), "typestr": "<f4", "data": b"\0" * 4}, "needs 12 bytes, its buffer has 4"),
        ({"shape": (3,), "typestr": "<f4", "data": b"\0" * 12, "offset": 4}, "needs 16 bytes"),
        ({"shape": (2,), "typestr": "<f4", "data": b"\0" * 12, "strides": (12,)}, "needs 16 bytes"),
        ({"shape": (2,), "typestr": "<f4", "data": b"\0" * 12, "strides": (-4,)}, "bytes, its buffer"),
        ({"shape": (2,), "typestr": "<f4", "data": b"\0" * 12, "strides": (2**62,)}, "reach farther"),
        ({"shape": (2**62,), "typestr": "<f4", "data": b"\0" * 12}, "more elements"),
        ({"shape": (-1,), "typestr": "<f4", "data": b"\0" * 12}, "negative"),
        ({"shape": (3,), "typestr": "<f4", "data": b"\0" * 12}, None),
        ({"shape": (2,), "typestr": "<f4", "data": b"\0" * 12, "strides": (-4,), "offset": 8}, None),
        ({"shape": (2,), "typestr": "<f4", "data": b"\0" * 12, "strides": (8,)}, None),
    ],
    ids=str,
)
def test_array_interfaces_beyond_their_buffer_are_errors(interface, error):
    source = type("Source", (), {"__array_interface__": {"version": 3, **interface}})()
    if error is None:
        assert Tensor(source).tolist() == [0] * interface["shape"][0]
        return
    with pytest.raises(ValueError, match=error):
        Tensor(source)


def test_to_takes_keywords():
    x = neurenix.ones(2)
    assert x.to(dtype="float64").dtype == neurenix.float64
    assert x.to(device="cpu", dtype=neurenix.int32).dtype == neurenix.int32
    assert x.to(device="cpu") is x
    assert x.to("cpu", "float64").dtype == x.to(neurenix.float64, "cpu").dtype == neurenix.float64
    assert x.to("cpu", dtype=neurenix.float64).dtype == neurenix.float64
    assert x.to("float64", True) is x
    assert x.dtype == neurenix.float64
    assert x.to(neurenix.float32, inplace=True) is x
    assert x.dtype == neurenix.float32
