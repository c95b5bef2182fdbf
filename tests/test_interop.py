"""Sharing memory and values with NumPy, DLPack and pickle."""

import copy
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
