"""Tables from CSV files, .npz files and scikit-learn's toy sets."""

from __future__ import annotations

import csv
import gzip
import io
import re
import sys
import zlib
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from neurenix.data.table import DataError, Table, number

SETS = ("breast_cancer", "diabetes", "digits", "iris", "wine")
_EXPECTED = f"expected a .csv or .npz file or one of: {', '.join(SETS)}"
_FORMATS = {
    b"PK\x03\x04": "an Excel workbook or a zip archive",
    b"\xd0\xcf\x11\xe0": "an old Excel workbook",
    b"PAR1": "a Parquet file",
}


def read(source: str | Path, target: str | None = None) -> Table:
    """Reads a table.

    Args:
        source: a CSV file whose first line names the columns (separated by comma, semicolon or tab; UTF-8 or UTF-16;
            perhaps compressed by gzip), an .npz file with an array ``x`` of shape (rows, ...) and perhaps ``y`` of
            shape (rows,), or the name of one of scikit-learn's toy sets (see `SETS`). "-" is the standard input.
        target: name of the column to predict; an .npz file and a toy set have theirs already.

    Returns:
        The table. Features of an .npz file are named x0, x1, ... and its target y. Columns without a name
        and without a value are left out.

    Raises:
        DataError: there is no such file or set, or it cannot be read as a table.

    Example:
        >>> from neurenix.data import read
        >>> iris = read("iris")
        >>> iris.rows, len(iris.features), iris.target
        (150, 4, 'class')
    """
    path = Path(source)
    if str(source) in SETS:
        table = _toy(str(source))
    elif str(source) == "-":
        return _csv(sys.stdin.buffer.read(), "the standard input", target)
    elif not path.exists() or path.is_dir():
        kind = "is a folder" if path.is_dir() else "is no file"
        raise DataError(f"{source} {kind}, and no data set; {_EXPECTED}")
    elif path.suffix == ".npz":
        table = _npz(path)
    else:
        return _csv(path.read_bytes(), str(path), target)
    if target not in (None, table.target):
        raise DataError(f"{source} has the target {table.target!r}; leave --target {target} out")
    return table


def _csv(data: bytes, name: str, target: str | None) -> Table:
    text = _decode(data, name)
    if text[:1] in ("{", "["):
        raise DataError(
            f"{name} looks like JSON; write it as CSV, with the names of the columns in its first line"
        )
    first, _, rest = text.partition("\n")
    separator = re.fullmatch(r'"?sep=(.)"?\s*', first)
    if separator:  # how Excel is told
        text, first = rest, rest.partition("\n")[0]
    plain = re.sub('"[^"]*"', "", first)
    names, rows = _rows(
        text, separator[1] if separator else max(",;\t", key=plain.count), name, 1 if separator else 0
    )
    if not names:
        raise DataError(f"{name} is empty; expected a first line with the names of the columns")
    if all(number(column) is not None for column in names):
        raise DataError(
            f"{name}: the first line must name the columns, but holds only numbers: {first.strip()[:60]}"
        )
    if not rows:
        raise DataError(f"{name} has column names but no rows")
    columns = [
        (column, values) for column, values in zip(names, zip(*rows, strict=True), strict=True)
        if column or any(map(str.strip, values))
    ]  # fmt: skip
    twice = [column for column, count in Counter(column for column, _ in columns).items() if count > 1]
    if "" in twice:
        raise DataError(f"{name} has several columns without a name; name them in its first line")
    if twice:
        raise DataError(f"{name} has columns of the same name: {', '.join(map(repr, sorted(twice)[:10]))}")
    return Table(dict(columns), target, name)


def _decode(data: bytes, name: str) -> str:
    if data.startswith(b"\x1f\x8b"):
        try:
            data = gzip.decompress(data)
        except (OSError, EOFError, zlib.error) as error:
            raise DataError(f"{name} is damaged: {error}") from None
    for begin, kind in _FORMATS.items():
        if data.startswith(begin):
            raise DataError(f"{name} is {kind}; save its table as CSV (UTF-8)")
    encoding = "utf-16" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
    try:
        return data.decode(encoding)
    except UnicodeDecodeError as error:
        raise DataError(f"{name} is not UTF-8 text (byte {error.start}); save it as UTF-8") from None


def _rows(text: str, delimiter: str, name: str, before: int) -> tuple[list[str], list[list[str]]]:
    """Names and rows, each as long as the names; `before` lines precede the text in its file."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    names: list[str] = []
    rows: list[list[str]] = []
    while True:
        begin = reader.line_num + 1
        try:
            row = next(reader, None)
        except csv.Error as error:
            line = _opening(text, begin, reader.line_num, delimiter)
            at, what = (begin, str(error)) if line is None else (line, "a quote opens here and is not closed")
            raise DataError(f"{name}, line {before + at}: {what}") from None
        if row is None:
            return names, rows
        if not row:
            continue
        if not names:
            names = [column.strip() for column in row]
            continue
        while len(row) > len(names) and not row[-1].strip():
            row.pop()
        if len(row) != len(names):
            line = _opening(text, begin, reader.line_num, delimiter) if reader.line_num > begin else None
            hint = "" if line is None else f"; a quote opens in line {before + line} and ends in a later one"
            raise DataError(
                f"{name}, line {before + begin}: {len(row)} values for {len(names)} columns{hint}"
            )
        rows.append(row)


def _opening(text: str, begin: int, end: int, delimiter: str) -> int | None:
    """The line of these in which a quote opens that is closed in a later line, or never, or within a value."""
    opened = later = None
    for line, content in enumerate(io.StringIO(text, newline=""), 1):
        if line < begin:
            continue
        if line > end:
            break
        place = 0
        while (place := content.find('"', place)) >= 0:
            after = content[place + 1 : place + 2]
            if opened is None:
                opened = line
            elif after == '"':
                place += 1
            elif after and after not in (delimiter, "\r", "\n"):
                return opened
            else:
                later = opened if line > opened else later
                opened = None
            place += 1
    return later if opened is None else opened


def _npz(path: Path) -> Table:
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            given = {name.lower(): name for name in sorted(arrays.files)}  # a small letter wins
            found = {name: arrays[given[name]] for name in ("x", "y") if name in given}
            names = ", ".join(arrays.files) or "none"
    except (ValueError, OSError, EOFError, KeyError) as error:
        raise DataError(f"{path} cannot be read as .npz: {error}") from None
    except Exception as error:  # zipfile and zlib have exceptions of their own for damaged files
        raise DataError(f"{path} is damaged: {error}") from None
    if "x" not in found:
        raise DataError(f"{path} needs an array 'x' (rows, features); it has: {names}")
    x, y = found["x"], found.get("y")
    if x.ndim < 2 or x.dtype.kind not in "fiub" or not x.size:
        raise DataError(
            f"{path}: 'x' must be numbers of shape (rows, features), got {x.dtype} of shape {x.shape}"
        )
    x = x.astype(np.float64) if x.dtype.kind == "b" else x
    columns: dict[str, Any] = {f"x{i}": column for i, column in enumerate(x.reshape(len(x), -1).T)}
    if y is None:
        return Table(columns, None, str(path))
    if y.size != len(x):
        raise DataError(
            f"{path}: 'y' has shape {y.shape}, expected one value for each of the {len(x)} rows of 'x'"
        )
    return Table({**columns, "y": y.reshape(-1)}, "y", str(path))


def _toy(name: str) -> Table:
    try:
        from sklearn import datasets
    except ImportError:
        raise DataError(
            f"the data set {name!r} comes with scikit-learn: pip install 'neurenix[train]'"
        ) from None
    bunch = getattr(datasets, f"load_{name}")()
    columns: dict[str, Any] = dict(zip(map(str, bunch.feature_names), bunch.data.T, strict=True))
    if name == "diabetes":
        return Table({**columns, "progression": bunch.target}, "progression", name)
    classes = np.array([str(label) for label in bunch.target_names], dtype=object)
    return Table({**columns, "class": classes[bunch.target]}, "class", name)
