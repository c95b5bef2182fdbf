"""Saving and loading: round trips, other programs' files, damaged ones."""

from __future__ import annotations

import json
import math
import random
import zlib
from pathlib import Path

import neurenix as nx
import numpy as np
import pytest
from neurenix import Tensor
from neurenix.serialize import read_metadata

DTYPES = ["float64", "float32", "float16", "bfloat16", "int64", "int32", "uint8", "bool"]


def content() -> dict:
    return {
        "model": {"0.weight": nx.arange(6).float().reshape(2, 3), "0.bias": Tensor([1.0])},
        "history": [{"loss": 0.1 + 0.2, "epoch": 0}, {"loss": math.inf, "epoch": 1}],
        "by position": {0: {"step": 2**70}, 1: None},
        "plain": (True, False, 'ü\n"\\', -0.0, [], {}, ()),
    }


def equal(a, b) -> bool:
    if isinstance(a, Tensor):
        return (
            isinstance(b, Tensor) and a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()
        )
    if type(a) is not type(b):
        return False
    if isinstance(a, dict):
        return list(a) == list(b) and all(equal(a[key], b[key]) for key in a)
    if isinstance(a, (list, tuple)):
        return len(a) == len(b) and all(map(equal, a, b))
    return a == b and str(a) == str(b)


def test_round_trip(tmp_path: Path) -> None:
    nx.save(content(), tmp_path / "a")
    assert equal(nx.load(tmp_path / "a"), content())
    nx.save(nx.load(tmp_path / "a"), str(tmp_path / "b"))
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(), (0,), (3,), (2, 0, 3), (2, 3, 4), (1,) * 8])
def test_dtypes_and_shapes(tmp_path: Path, dtype: str, shape: tuple[int, ...]) -> None:
    tensor = (nx.rand(shape) * 200).to(dtype)
    nx.save({"x": tensor}, tmp_path / "a")
    assert equal(nx.load(tmp_path / "a"), {"x": tensor})


def test_nan_comes_back(tmp_path: Path) -> None:
    nx.save({"x": math.nan, "t": Tensor([math.nan, math.inf])}, tmp_path / "a")
    loaded = nx.load(tmp_path / "a")
    assert math.isnan(loaded["x"])
    assert loaded["t"].tobytes() == Tensor([math.nan, math.inf]).tobytes()


def test_strided_tensors_parameters_and_arrays(tmp_path: Path) -> None:
    tensor = nx.arange(6).float().reshape(2, 3)
    param = nx.nn.Parameter(Tensor([1.0]))
    nx.save({"t": tensor.T, "p": param, "n": np.arange(3), "s": np.float32(0.5)}, tmp_path / "a")
    loaded = nx.load(tmp_path / "a")
    assert loaded["t"].tolist() == tensor.T.tolist()
    assert (loaded["p"].tolist(), loaded["p"].requires_grad) == ([1.0], False)
    assert (loaded["n"].tolist(), loaded["s"]) == ([0, 1, 2], 0.5)


def test_names_that_collide(tmp_path: Path) -> None:
    value = {
        "a.b": Tensor([1.0]),
        "a": {"b": Tensor([2.0])},
        "": Tensor([3.0]),
        "__metadata__": Tensor([4.0]),
    }
    nx.save(value, tmp_path / "a")
    assert equal(nx.load(tmp_path / "a"), value)


def test_a_single_tensor(tmp_path: Path) -> None:
    nx.save(Tensor([1.0]), tmp_path / "a")
    assert nx.load(tmp_path / "a", device="cpu").tolist() == [1.0]


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"a": {"b": object()}}, "a.b is a object; tensors, None, bool"),
        ({"a": {1.5: 0}}, r"keys must be str or int, got 1.5 \(float\) in a"),
        ({True: 0}, "keys must be str or int, got True"),
        ({"f": print}, "f is a builtin_function_or_method"),
        ({"s": {1, 2}}, "s is a set"),
    ],
)
def test_what_cannot_be_saved(tmp_path: Path, value, message) -> None:
    (tmp_path / "a").write_bytes(b"old")
    with pytest.raises(TypeError, match=message):
        nx.save(value, tmp_path / "a")
    assert {p.name: p.read_bytes() for p in tmp_path.iterdir()} == {"a": b"old"}


def test_nested_too_deep(tmp_path: Path) -> None:
    value: list = []
    value.append(value)
    with pytest.raises(ValueError, match="nested deeper than 100"):
        nx.save(value, tmp_path / "a")


def test_shared_parts_do_not_multiply(tmp_path: Path) -> None:
    """A structure of 60 lists that would be 2⁶⁰ when written is refused at once."""
    value: list = [1]
    for _ in range(60):
        value = [value, value]
    with pytest.raises(ValueError, match="more than 1,000,000 lists, dicts and tensors"):
        nx.save(value, tmp_path / "a")
    assert not list(tmp_path.iterdir())


def test_a_large_tensor_is_written_in_parts(tmp_path: Path) -> None:
    rows = nx.arange(9 * 2**20).int().reshape(3, 3, -1)  # 36 MiB: along the second dimension
    nx.save({"rows": rows, "turned": rows.permute(2, 0, 1)}, tmp_path / "a")
    loaded = nx.load(tmp_path / "a")
    assert (loaded["rows"] == rows).all()
    assert (loaded["turned"] == rows.permute(2, 0, 1)).all()


def with_structure(path: Path, structure: str) -> Path:
    """A file as `save` writes it, with any structure."""
    nx.save({"x": 0}, path)
    header = json.loads(path.read_bytes()[8:])
    header["__metadata__"] |= {"structure": structure, "checksum": "00000000"}
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    text = text.replace(b'"checksum":"00000000"', b'"checksum":"%08x"' % zlib.crc32(text), 1)
    path.write_bytes(len(text).to_bytes(8, "little") + text)
    return path


@pytest.mark.parametrize(
    "structure",
    [
        '{"float":' + "9" * 400 + "}",
        '{"float":[]}',
        '{"tensor":[]}',
        '{"dict":5}',
        '{"dict":[[[],1]]}',
        "{}",
        '{"tensor":"y"}',
        '{"a":1,"b":2}',
        '{"other":[]}',
        "[" * 2000 + "]" * 2000,
        "[",
        "",
    ],
)
def test_foreign_structures_are_one_kind_of_error(tmp_path: Path, structure: str) -> None:
    with pytest.raises(ValueError, match="what surrounds the tensors cannot be read"):
        nx.load(with_structure(tmp_path / "a", structure))


def test_a_small_file_does_not_fill_the_memory(tmp_path: Path) -> None:
    path = with_structure(tmp_path / "a", "[" + ",".join(["[]"] * 1_000_001) + "]")
    with pytest.raises(ValueError, match="more than 1,000,000 parts"):
        nx.load(path)
    text = "[{" * 600_000  # brackets in a text are no parts
    nx.save({"text": text}, tmp_path / "a")
    assert nx.load(tmp_path / "a") == {"text": text}


# With the safetensors package
def test_others_read_ours(tmp_path: Path) -> None:
    numpy = pytest.importorskip("safetensors.numpy")
    safe_open = pytest.importorskip("safetensors").safe_open
    tensors = {d: (nx.rand((3, 2)) * 100).to(d) for d in DTYPES if d != "bfloat16"} | {"empty": nx.zeros(0)}
    nx.save({**tensors, "epoch": 3}, tmp_path / "a")
    loaded = numpy.load_file(tmp_path / "a")
    assert {n: (v.dtype.name, v.tobytes()) for n, v in loaded.items()} == {
        n: (t.dtype.name, t.tobytes()) for n, t in tensors.items()
    }
    nx.save({"b": nx.ones(3).bfloat16()}, tmp_path / "b")
    with safe_open(tmp_path / "b", "numpy") as file:
        assert file.get_slice("b").get_dtype() == "BF16"


def test_we_read_others(tmp_path: Path) -> None:
    numpy = pytest.importorskip("safetensors.numpy")
    arrays = {d: np.arange(6).reshape(2, 3).astype(d) for d in DTYPES if d != "bfloat16"}
    numpy.save_file(arrays, tmp_path / "a", {"note": "theirs"})
    loaded = nx.load(tmp_path / "a")
    assert {n: t.numpy().tobytes() for n, t in loaded.items()} == {n: a.tobytes() for n, a in arrays.items()}
    assert read_metadata(tmp_path / "a") == {"note": "theirs"}


# Damage
REMEDY = "load an earlier checkpoint|give a file that neurenix.save|convert it first"


def refuses(path: Path, data: bytes) -> None:
    path.write_bytes(data)
    with pytest.raises(ValueError, match=REMEDY) as error:
        nx.load(path)
    assert str(path) in str(error.value)


def test_cut_off_anywhere(tmp_path: Path) -> None:
    nx.save(content(), tmp_path / "a")
    data = (tmp_path / "a").read_bytes()
    for length in range(len(data)):
        refuses(tmp_path / "b", data[:length])
    refuses(tmp_path / "b", data + b"\0")


def test_every_bit_of_the_header(tmp_path: Path) -> None:
    nx.save({"w": Tensor([1.0]), 3: [True, "x"]}, tmp_path / "a")
    data = bytearray((tmp_path / "a").read_bytes())
    for position in range(8 + int.from_bytes(data[:8], "little")):
        for bit in range(8):
            data[position] ^= 1 << bit
            refuses(tmp_path / "b", bytes(data))
            data[position] ^= 1 << bit


def test_bits_of_the_data_name_the_tensor(tmp_path: Path) -> None:
    nx.save({"first": nx.rand(500), "second": nx.rand(500)}, tmp_path / "a")
    data = bytearray((tmp_path / "a").read_bytes())
    start, rng = len(data) - 4000, random.Random(0)
    for _ in range(2000):
        position = rng.randrange(start, len(data))
        data[position] ^= 1 << (bit := rng.randrange(8))
        (tmp_path / "b").write_bytes(data)
        with pytest.raises(ValueError, match="first" if position < start + 2000 else "second") as error:
            nx.load(tmp_path / "b")
        assert "does not match its checksum; the file is damaged" in str(error.value)
        data[position] ^= 1 << bit


def foreign(header: object, data: bytes = b"") -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + data


def entry(dtype="F32", shape=(1,), offsets=(0, 4), **more):
    return {"dtype": dtype, "shape": list(shape), "data_offsets": list(offsets), **more}


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "0 bytes are too few"),
        (b"\x80\x05pickle" * 9, "header would take"),
        ((10**8 + 1).to_bytes(8, "little") + b"{}", "at most 100,000,000 are allowed"),
        ((2**64 - 1).to_bytes(8, "little") + b"{}", "at most 100,000,000 are allowed"),
        (foreign([]), "no JSON object"),
        (foreign(b"{"), "cannot be read"),
        (foreign(b"\xff\xfe"), "cannot be read"),
        (foreign(b"[" * 100_000), "cannot be read"),
        (foreign(b'{"a": 1' + b"1" * 5000 + b"}"), "cannot be read"),
        (foreign(b'{"__metadata__": {}, "__metadata__": {}}'), "a name occurs twice"),
        (foreign({"__metadata__": {"a": 1}}), "metadata must be"),
        (foreign({"a": 3}), "tensor 'a' must be described by"),
        (foreign({"a": entry(extra=1)}, bytes(4)), "tensor 'a' must be described by"),
        (
            foreign({"a": entry("F8_E4M3", offsets=(0, 1))}, b"1"),
            "tensor 'a' has dtype 'F8_E4M3'; supported are F64",
        ),
        (foreign({"a": entry(["F32"])}, bytes(4)), "tensor 'a' has dtype"),
        (foreign({"a": entry(shape=(-1,))}, bytes(4)), r"tensor 'a' has shape \[-1\]"),
        (foreign({"a": entry(shape=(1.0,))}, bytes(4)), "tensor 'a' has shape"),
        (foreign({"a": entry(shape=(True,))}, bytes(4)), "tensor 'a' has shape"),
        (foreign({"a": entry(shape=(1,) * 9)}, bytes(4)), "at most 8 sizes"),
        (foreign({"a": entry(shape=(2**32, 2**32))}, bytes(4)), "needs 73786976294838206464 bytes, has 4"),
        (foreign({"a": entry(shape=(2**63,))}, bytes(4)), "tensor 'a' has shape"),
        (foreign({"a": entry(offsets=(0, 2**62), shape=(2**60,))}, bytes(4)), "cut off: 4 bytes of data"),
        (foreign({"a": entry(offsets=(4, 0))}, bytes(4)), "needs 4 bytes, has -4"),
        (foreign({"a": entry(offsets=(0, 4, 8))}, bytes(4)), "expected two numbers"),
        (foreign({"a": entry(), "b": entry()}, bytes(4)), "tensor 'b' overlaps with tensor 'a'"),
        (foreign({"a": entry(offsets=(4, 8))}, bytes(8)), "tensor 'a' leaves a hole after the header"),
        (
            foreign({"a": entry(), "b": entry(offsets=(8, 12))}, bytes(12)),
            "tensor 'b' leaves a hole after tensor 'a'",
        ),
        (foreign({"a": entry()}, bytes(5)), "has something behind its data: 5 bytes"),
        (foreign({"__metadata__": {"format": "neurenix"}}), "lost its checksum"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_foreign_files(tmp_path: Path, data: bytes, message: str) -> None:
    refuses(tmp_path / "a", data)
    with pytest.raises(ValueError, match=message):
        nx.load(tmp_path / "a")


@pytest.mark.parametrize(
    "change",
    [
        ("structure", "{"),
        ("structure", '{"tensor":"missing"}'),
        ("structure", '{"unknown":1}'),
        ("structure", '{"dict":[1]}'),
        ("structure", '{"float":"import os"}'),
        ("structure", "[" * 5000 + "]" * 5000),
        ("checksums", "{}"),
        ("checksums", "[]"),
    ],
)
def test_crafted_with_a_right_checksum(tmp_path: Path, change: tuple[str, str]) -> None:
    import zlib

    nx.save({"a": Tensor([1.0])}, tmp_path / "a")
    data = (tmp_path / "a").read_bytes()
    length = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + length])
    header["__metadata__"] |= {change[0]: change[1], "checksum": "00000000"}
    text = json.dumps(header, separators=(",", ":")).encode()
    text = text.replace(b'"checksum":"00000000"', f'"checksum":"{zlib.crc32(text):08x}"'.encode())
    refuses(tmp_path / "b", foreign(text, data[8 + length :]))


def test_missing_file_and_folder(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        nx.load(tmp_path / "a")
    with pytest.raises(FileNotFoundError, match="nowhere"):
        nx.save({}, tmp_path / "nowhere" / "a")
    with pytest.raises(OSError, match=str(tmp_path)):
        nx.save({}, tmp_path)


def test_loading_and_saving_the_same_file(tmp_path: Path) -> None:
    nx.save({"x": nx.ones(1000)}, tmp_path / "a")
    loaded = nx.load(tmp_path / "a")
    loaded["x"][0] = 5.0
    nx.save(loaded, tmp_path / "a")
    assert nx.load(tmp_path / "a")["x"].sum().item() == 1004.0
