"""Capsules of DLPack with any numbers in them: a tensor of the right values, or an error."""

from __future__ import annotations

import ctypes
from ctypes import (
    CFUNCTYPE,
    POINTER,
    Structure,
    c_int32,
    c_int64,
    c_uint8,
    c_uint16,
    c_uint64,
    c_void_p,
)
from random import Random

import neurenix as nx
import numpy as np


class DLTensor(Structure):
    _fields_ = (
        ("data", c_void_p),
        ("device_type", c_int32),
        ("device_id", c_int32),
        ("ndim", c_int32),
        ("code", c_uint8),
        ("bits", c_uint8),
        ("lanes", c_uint16),
        ("shape", POINTER(c_int64)),
        ("strides", POINTER(c_int64)),
        ("byte_offset", c_uint64),
    )


class Managed(Structure):
    pass


DELETER = CFUNCTYPE(None, POINTER(Managed))
Managed._fields_ = (("tensor", DLTensor), ("context", c_void_p), ("deleter", DELETER))

NEW = ctypes.pythonapi.PyCapsule_New
NEW.restype, NEW.argtypes = ctypes.py_object, (c_void_p, ctypes.c_char_p, c_void_p)
SIZE = 4096
#: Whatever the memory: none of these fits into an address space. Others cannot be told from what is right.
ABSURD = (2**62, -(2**62), 2**63 - 1, -(2**63))
DTYPES = {(2, 32): "f4", (2, 64): "f8", (0, 32): "i4", (0, 64): "i8", (1, 8): "u1"}


class Source:
    def __init__(self, capsule: object) -> None:
        self.capsule = capsule

    def __dlpack_device__(self) -> tuple[int, int]:
        return 1, 0

    def __dlpack__(self, **_: object) -> object:
        return self.capsule


def case(r: Random) -> None:
    buffer = np.arange(SIZE // 8, dtype="i8")
    (code, bits), size = r.choice(list(DTYPES.items()))[0], 0
    size = bits // 8
    shape = [r.choice((0, 1, 2, 3, 5)) for _ in range(r.randint(0, 4))]
    strides = [r.choice((0, 1, 2, 5, 8)) for _ in shape]
    offset = r.randrange(8) * 8
    absurd = r.random() < 0.5
    fields = {
        "ndim": len(shape),
        "lanes": 1,
        "device_type": 1,
        "data": buffer.ctypes.data,
        "byte_offset": offset,
    }
    if absurd:
        kind = r.randrange(6)
        if kind == 0 and shape:
            shape[r.randrange(len(shape))] = r.choice((-1, *ABSURD))
        elif kind == 1 and shape:
            strides[r.randrange(len(shape))] = r.choice(ABSURD)
        elif kind == 2:
            fields["ndim"] = r.choice((-1, 9, 1000, 2**31 - 1))
        elif kind == 3:
            fields["lanes"], bits = r.choice((0, 2, 4)), r.choice((bits, 31, 0))
        elif kind == 4:
            fields["device_type"] = r.choice((0, 2, 7, 10, 99))
        else:
            fields["data"] = None
    keep = [(c_int64 * max(1, len(shape)))(*shape), (c_int64 * max(1, len(shape)))(*strides)]
    managed = Managed()
    managed.tensor.code, managed.tensor.bits = code, bits
    for name, value in fields.items():
        setattr(managed.tensor, name, value)
    managed.tensor.shape = ctypes.cast(keep[0], POINTER(c_int64))
    managed.tensor.strides = ctypes.cast(keep[1], POINTER(c_int64)) if shape or absurd else None
    deleted: list[int] = []
    managed.deleter = DELETER(lambda _: deleted.append(1))
    try:
        taken = nx.Tensor.from_dlpack(Source(NEW(ctypes.addressof(managed), b"dltensor", None)))
    except (BufferError, ValueError, TypeError, RuntimeError, MemoryError):
        assert absurd, f"refused: {shape} {strides} {fields}"
        return
    if fields["data"] is not None and not absurd:
        view = np.frombuffer(buffer.tobytes(), DTYPES[code, bits], offset=offset)
        expected = np.lib.stride_tricks.as_strided(view, shape, [s * size for s in strides])
        assert taken.numpy().tobytes() == expected.tobytes()
    del taken
    assert deleted == [1]
    assert (buffer == np.arange(SIZE // 8)).all()
