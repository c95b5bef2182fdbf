"""Tables from CSV files, .npz files and scikit-learn's toy sets."""

from __future__ import annotations

import csv
import re
from pathlib import Path
from typing import Any

import numpy as np

from neurenix.data.table import DataError, Table, number

SETS = ("breast_cancer", "diabetes", "digits", "iris", "wine")


def read(source: str | Path, target: str | None = None) -> Table:
    """Reads a table.

    Args:
        source: a CSV file whose first line names the columns (separated by comma, semicolon or tab; UTF-8),
            an .npz file with an array ``x`` of shape (rows, ...) and perhaps ``y`` of shape (rows,), or the name
            of one of scikit-learn's toy sets (see `SETS`).
        target: name of the column to predict; an .npz file and a toy set have theirs already.

    Returns:
        The table. Features of an .npz file are named x0, x1, ... and its target y.

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
    elif not path.is_file():
        kind = "is a folder" if path.is_dir() else "is no file"
        raise DataError(
            f"{source} {kind}, and no data set; expected a .csv or .npz file or one of: {', '.join(SETS)}"
        )
    elif path.suffix == ".npz":
        table = _npz(path)
    else:
        return _csv(path, target)
    if target not in (None, table.target):
        raise DataError(f"{source} has the target {table.target!r}; leave --target {target} out")
    return table


def _csv(path: Path, target: str | None) -> Table:
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            first = file.readline()
            delimiter = max(",;\t", key=re.sub('"[^"]*"', "", first).count)
            file.seek(0)
            reader = csv.reader(file, delimiter=delimiter, strict=True)
            names = [name.strip() for name in next(reader, [])]
            rows = []
            for row in reader:
                if len(row) != len(names) and row:
                    raise DataError(
                        f"{path}, line {reader.line_num}: {len(row)} values for {len(names)} columns"
                    )
                if row:
                    rows.append(row)
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is not UTF-8 text (byte {error.start}); save it as UTF-8") from None
    except csv.Error as error:
        raise DataError(f"{path}, line {reader.line_num}: {error}") from None
    if not names:
        raise DataError(f"{path} is empty; expected a first line with the names of the columns")
    if all(number(name) is not None for name in names):
        raise DataError(
            f"{path}: the first line must name the columns, but holds only numbers: {first.strip()[:60]}"
        )
    twice = {name for name in names if names.count(name) > 1}
    if twice:
        raise DataError(f"{path} has columns of the same name: {', '.join(map(repr, sorted(twice)))}")
    if not rows:
        raise DataError(f"{path} has column names but no rows")
    return Table(dict(zip(names, zip(*rows, strict=True), strict=True)), target, str(path))


def _npz(path: Path) -> Table:
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            found = {name: arrays[name] for name in ("x", "y") if name in arrays}
            names = ", ".join(arrays.files) or "none"
    except (ValueError, OSError, EOFError, KeyError) as error:
        raise DataError(f"{path} cannot be read as .npz: {error}") from None
    except Exception as error:  # zipfile and zlib have exceptions of their own for damaged files
        raise DataError(f"{path} is damaged: {error}") from None
    if "x" not in found:
        raise DataError(f"{path} needs an array 'x' (rows, features); it has: {names}")
    x, y = found["x"], found.get("y")
    if x.ndim < 2 or x.dtype.kind not in "fiub":
        raise DataError(
            f"{path}: 'x' must be numbers of shape (rows, features), got {x.dtype} of shape {x.shape}"
        )
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
