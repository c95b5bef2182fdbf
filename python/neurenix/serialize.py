"""Tensors and plain values in files: safetensors, written as a whole or not at all, checked when read.

The format is that of the `safetensors` package, which reads these files and whose files are read here. What
it has no place for (nesting, plain values, checksums) is JSON in its metadata. Nothing is ever unpickled or
evaluated.
"""

from __future__ import annotations

import json
import math
import os
import re
import zlib
from collections.abc import Iterator, Mapping
from typing import Any, BinaryIO, Final, NamedTuple

import numpy as np

from neurenix import _atomic
from neurenix._phynexus import Device, Tensor

_DTYPES: Final = {
    "F64": "float64",
    "F32": "float32",
    "F16": "float16",
    "BF16": "bfloat16",
    "I64": "int64",
    "I32": "int32",
    "U8": "uint8",
    "BOOL": "bool",
}
_CODES: Final = {name: code for code, name in _DTYPES.items()}
_SIZES: Final = {code: int(re.sub(r"\D", "", code) or 8) // 8 for code in _DTYPES}
_MAX_HEADER: Final = 100_000_000
_MAX_DIMENSIONS: Final = 8
_MAX_DEPTH: Final = 100
_MAX_NODES: Final = 1_000_000
"""Lists, dicts, tuples and tensors in one file: each takes up to fifty times as much memory as text."""
_CHUNK: Final = 16 << 20
"""Bytes of a tensor that are copied at a time."""
_FORMAT: Final = "neurenix"
_OURS: Final = {"neurenix", "checksum", "checksums", "structure"}
"""Metadata of our files: where two of them stand, no damage makes a file of ours another program's."""
_STRING: Final = re.compile(r'"(?:[^"\\]|\\.)*"')


class _Entry(NamedTuple):
    """A tensor's line in the header."""

    code: str
    shape: tuple[int, ...]
    begin: int
    end: int


def save(tensors: Any, path: str | bytes | os.PathLike[str]) -> None:
    """Writes tensors and plain values to one safetensors file.

    The file is complete or the old one stays as it was: data goes to a temporary file in the same folder,
    which is synced and then renamed. A symbolic link stays one; its target is replaced.

    Args:
        tensors: a dict, usually: of tensors, NumPy arrays (loaded as tensors), None, bool, int, float and
            str, nested in dicts (keys: str, int), lists and tuples. What occurs at several places is written at
            each of them, and is separate after loading.
        path: where to. A device or a pipe is written into, a file replaced.

    Raises:
        TypeError: for values that have no place in such a file; says where they are.
        ValueError: for structures that are nested deeper than 100 levels or have more than 1,000,000 parts.
        OSError: if the file cannot be written; a full disk is reported with the bytes needed and free.

    Example:
        >>> import neurenix as nx, os, tempfile
        >>> path = os.path.join(tempfile.mkdtemp(), "weights.safetensors")
        >>> nx.save({"w": nx.Tensor([1.0, 2.0]), "epoch": 3}, path)
        >>> loaded = nx.load(path)
        >>> loaded["w"].tolist(), loaded["epoch"]
        ([1.0, 2.0], 3)
    """
    found: dict[str, Tensor] = {}
    structure = _Description(found).of(tensors, ())
    order = sorted(
        found, key=lambda name: -_SIZES[_code(found[name])]
    )  # so that each is aligned to its own size
    entries: dict[str, Any] = {}
    end = 0
    for name in order:
        tensor, begin = found[name], end
        end += tensor.numel() * tensor.element_size()
        entries[name] = {"dtype": _code(tensor), "shape": list(tensor.shape), "data_offsets": [begin, end]}
    checksums = dict.fromkeys(order, "00000000")
    length = len(_header(entries, structure, checksums))
    if length > _MAX_HEADER:
        raise ValueError(
            f"{os.fsdecode(path)}: names and plain values take {length:,} bytes, the format allows {_MAX_HEADER:,}"
        )
    with _atomic.writing(path, 8 + length + end) as file:
        file.seek(8 + length)
        for name in order:
            checksum = 0
            for data in _chunks(found[name].detach()):
                checksum = zlib.crc32(data, checksum)
                file.write(data)
            checksums[name] = f"{checksum:08x}"
        file.seek(0)
        file.write(length.to_bytes(8, "little"))
        file.write(_header(entries, structure, checksums))


def load(path: str | bytes | os.PathLike[str], device: Device | str | None = None) -> Any:
    """Reads what `save`, or anyone else, wrote as safetensors.

    Sizes and offsets are checked before anything is allocated, checksums (of files that `save` wrote) on
    reading.

    Args:
        path: the file.
        device: where the tensors go; by default the CPU.

    Returns:
        What was saved; for other programs' files a dict of tensors by name.

    Raises:
        ValueError: if the file is damaged or of another format; names the file, the tensor and the remedy.
        OSError: if it cannot be read.
    """
    with open(os.fspath(path), "rb") as file:
        try:
            entries, metadata, start = _read_header(file)
            return _rebuild(metadata, dict(_read_tensors(file, entries, metadata, start, device)))
        except _Damaged as damage:
            raise ValueError(f"{os.fsdecode(path)}: {damage}") from None


def read_metadata(path: str | bytes | os.PathLike[str]) -> dict[str, str]:
    """The metadata of a safetensors file: strings by name, without reading its tensors."""
    with open(os.fspath(path), "rb") as file:
        try:
            return _read_header(file)[1]
        except _Damaged as damage:
            raise ValueError(f"{os.fsdecode(path)}: {damage}") from None


class _Damaged(Exception):
    """What is wrong with a file."""

    def __init__(
        self, what: str, remedy: str = "the file is damaged: load an earlier checkpoint or copy it again"
    ) -> None:
        super().__init__(f"{what}; {remedy}")


_FOREIGN: Final = "give a file that neurenix.save or safetensors wrote (pickles are never loaded)"


# Reading
def _read_header(file: BinaryIO) -> tuple[dict[str, _Entry], dict[str, str], int]:
    """Tensors by name, metadata, and where the data begins; everything checked."""
    size = os.fstat(file.fileno()).st_size
    if size < 8:
        raise _Damaged(f"{size} bytes are too few for a safetensors file", _FOREIGN)
    length = int.from_bytes(file.read(8), "little")
    if length > min(_MAX_HEADER, size - 8):
        limit = (
            f"the file has {size:,} bytes"
            if length <= _MAX_HEADER
            else f"at most {_MAX_HEADER:,} are allowed"
        )
        raise _Damaged(
            f"no safetensors file, or cut off: its header would take {length:,} bytes, {limit}", _FOREIGN
        )
    raw = file.read(length)
    try:
        header = json.loads(raw.decode("utf-8"), object_pairs_hook=_unique)
    except (ValueError, RecursionError) as error:
        raise _Damaged(f"the header cannot be read ({str(error)[:100]})", _FOREIGN) from None
    if not isinstance(header, dict):
        raise _Damaged("the header is no JSON object", _FOREIGN)
    metadata = header.pop("__metadata__", {})
    if not isinstance(metadata, dict) or not all(isinstance(value, str) for value in metadata.values()):
        raise _Damaged("the metadata must be a JSON object of strings")
    if metadata.get("format") == _FORMAT or len(_OURS & metadata.keys()) > 1:
        _check_header(raw, metadata)
    entries = {name: _entry(name, value) for name, value in header.items()}
    _check_tiling(entries, size - 8 - length)
    return entries, metadata, 8 + length


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        raise ValueError("a name occurs twice")
    return result


def _check_header(raw: bytes, metadata: dict[str, str]) -> None:
    """The header's own checksum, which it holds with zeros in its place."""
    match = re.search(rb'"checksum":"([0-9a-f]{8})"', raw)
    if match is None or metadata.get("checksum") != match[1].decode() or metadata.get("format") != _FORMAT:
        raise _Damaged("the header has lost its checksum")
    if _crc(raw[: match.start(1)] + b"00000000" + raw[match.end(1) :]) != metadata["checksum"]:
        raise _Damaged("the header does not match its checksum")


def _entry(name: str, value: Any) -> _Entry:
    if not isinstance(value, dict) or set(value) != {"dtype", "shape", "data_offsets"}:
        raise _Damaged(f"tensor {name!r} must be described by dtype, shape and data_offsets")
    code, shape, offsets = value["dtype"], value["shape"], value["data_offsets"]
    if not isinstance(code, str) or code not in _DTYPES:
        raise _Damaged(
            f"tensor {name!r} has dtype {code!r}", f"supported are {', '.join(_DTYPES)}: convert it first"
        )
    if not isinstance(shape, list) or not all(map(_is_size, shape)) or len(shape) > _MAX_DIMENSIONS:
        raise _Damaged(f"tensor {name!r} has shape {shape!r}, expected at most {_MAX_DIMENSIONS} sizes ≥ 0")
    if not isinstance(offsets, list) or len(offsets) != 2 or not all(map(_is_size, offsets)):
        raise _Damaged(f"tensor {name!r} has offsets {offsets!r}, expected two numbers ≥ 0")
    begin, end = offsets
    if end - begin != math.prod(shape) * _SIZES[code]:
        needed = math.prod(shape) * _SIZES[code]
        raise _Damaged(
            f"tensor {name!r} of shape {tuple(shape)} and {code} needs {needed} bytes, has {end - begin}"
        )
    return _Entry(code, tuple(shape), begin, end)


def _is_size(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**63


def _check_tiling(entries: dict[str, _Entry], available: int) -> None:
    """That the tensors follow each other without holes and overlaps, and fill the file."""
    place, last = 0, "the header"
    for name, entry in sorted(entries.items(), key=lambda item: (item[1].begin, item[1].end)):
        if entry.begin != place:
            problem = "overlaps with" if entry.begin < place else "leaves a hole after"
            raise _Damaged(f"tensor {name!r} {problem} {last}")
        place, last = entry.end, f"tensor {name!r}"
    if place != available:
        state = "is cut off" if place > available else "has something behind its data"
        raise _Damaged(f"the file {state}: {available:,} bytes of data, {place:,} expected, last {last}")


def _read_tensors(
    file: BinaryIO,
    entries: dict[str, _Entry],
    metadata: dict[str, str],
    start: int,
    device: Device | str | None,
) -> Iterator[tuple[str, Tensor]]:
    ours = metadata.get("format") == _FORMAT
    try:
        checksums = json.loads(metadata["checksums"]) if ours else {}
    except (KeyError, ValueError, RecursionError):
        checksums = None
    if not isinstance(checksums, dict) or (ours and checksums.keys() != entries.keys()):
        raise _Damaged("the checksums are not those of the tensors")
    for name, entry in entries.items():
        file.seek(start + entry.begin)
        data = file.read(entry.end - entry.begin)
        if len(data) != entry.end - entry.begin:
            raise _Damaged(f"tensor {name!r} is cut off")
        if name in checksums and _crc(data) != checksums[name]:
            raise _Damaged(f"tensor {name!r} does not match its checksum")
        tensor = Tensor.from_bytes(data, entry.shape, _DTYPES[entry.code])
        yield name, tensor if device is None else tensor.to(device)


def _rebuild(metadata: dict[str, str], tensors: dict[str, Tensor]) -> Any:
    if metadata.get("format") != _FORMAT:
        return tensors
    try:
        text = metadata.pop("structure")
        if _nodes(text) > _MAX_NODES:
            raise _Damaged(f"what surrounds the tensors has more than {_MAX_NODES:,} parts")
        return _restore(json.loads(text), tensors)
    except (LookupError, TypeError, ValueError, ArithmeticError, RecursionError) as error:
        raise _Damaged(f"what surrounds the tensors cannot be read ({error!r:.100})") from None


def _restore(node: Any, tensors: dict[str, Tensor]) -> Any:
    """The value that `_Description` described; uses the lists up."""
    if isinstance(node, list):
        for i, item in enumerate(node):
            node[i] = _restore(item, tensors)
        return node
    if not isinstance(node, dict):
        return node
    ((kind, content),) = node.items()
    if kind == "tensor":
        return tensors[content]
    if kind == "float":
        return float(content)
    if kind == "tuple":
        return tuple(_restore(item, tensors) for item in content)
    if kind == "dict":
        return {key: _restore(item, tensors) for key, item in content}
    raise ValueError(f"unknown kind {kind!r}")


def _nodes(text: str) -> int:
    """The number of lists and objects in a JSON text, at most."""
    brackets = text.count("[") + text.count("{")
    return brackets if brackets <= _MAX_NODES else sum(map(len, re.findall(r"[\[{]+", _STRING.sub("", text))))


# Writing
class _Description:
    """Describes a value as JSON with its tensors by name; collects these in `found`.

    Plain values and lists are themselves; everything else is an object of one key that says what it is.
    """

    def __init__(self, found: dict[str, Tensor]) -> None:
        self.found = found
        self.nodes = 0

    def of(self, value: Any, path: tuple[str, ...]) -> Any:
        """The JSON of the part of the value that is found along `path`."""
        if len(path) > _MAX_DEPTH:
            raise ValueError(f"save: nested deeper than {_MAX_DEPTH} levels at {'.'.join(path[:5])}...")
        if isinstance(value, np.generic):
            value = value.item()
        if value is None or isinstance(value, (bool, int, str)):
            return value
        if isinstance(value, float):
            return value if math.isfinite(value) else {"float": repr(value)}
        where = ".".join(path) or "the value"
        self._count(where)
        if isinstance(value, np.ndarray):
            value = Tensor(value)
        if isinstance(value, Tensor):
            name = ".".join(path) or "tensor"
            while name in self.found or name == "__metadata__":
                name += "_"
            self.found[name] = value
            return {"tensor": name}
        if isinstance(value, (list, tuple)):
            items = [self.of(item, (*path, str(i))) for i, item in enumerate(value)]
            if isinstance(value, list):
                return items
            self._count(where)
            return {"tuple": items}
        if isinstance(value, Mapping):
            for key in value:
                if isinstance(key, bool) or not isinstance(key, (str, int)):
                    raise TypeError(
                        f"save: keys must be str or int, got {key!r} ({type(key).__name__}) in {where}"
                    )
            self._count(where, 1 + len(value))
            return {"dict": [[key, self.of(item, (*path, str(key)))] for key, item in value.items()]}
        raise TypeError(
            f"save: {where} is a {type(value).__name__}; tensors, None, bool, int, float, str, dicts, lists and "
            "tuples can be saved"
        )

    def _count(self, where: str, more: int = 1) -> None:
        self.nodes += more
        if self.nodes > _MAX_NODES:
            raise ValueError(
                f"save: more than {_MAX_NODES:,} lists, dicts and tensors, the last in {where}; put numbers into "
                "tensors, and save what occurs at many places once"
            )


def _chunks(tensor: Tensor) -> Iterator[bytes]:
    """The bytes of a tensor in order, in parts of about 16 MiB."""
    size = tensor.numel() * tensor.element_size()
    if size <= _CHUNK or tensor.ndim == 0:
        yield tensor.cpu().tobytes()
        return
    row = size // tensor.shape[0]
    if row > _CHUNK:
        for part in tensor:
            yield from _chunks(part)
        return
    rows = _CHUNK // row
    for start in range(0, tensor.shape[0], rows):
        yield tensor[start : start + rows].cpu().tobytes()


def _code(tensor: Tensor) -> str:
    return _CODES[tensor.dtype.name]


def _crc(data: bytes) -> str:
    return f"{zlib.crc32(data):08x}"


def _header(entries: dict[str, Any], structure: Any, checksums: dict[str, str]) -> bytes:
    metadata = {"format": _FORMAT, "neurenix": "1", "checksum": "00000000"}
    metadata |= {"checksums": _json(checksums), "structure": _json(structure)}
    text = _json({"__metadata__": metadata, **entries}).encode()
    text += b" " * (-len(text) % 8)
    return text.replace(b'"checksum":"00000000"', f'"checksum":"{_crc(text)}"'.encode(), 1)


def _json(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
