"""A table in memory: columns of cells, each read as a number or as a text."""

from __future__ import annotations

import copy
import datetime as dt
import math
import numbers
import re
from collections.abc import Iterable, Iterator, Mapping
from decimal import Decimal
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

Column = NDArray[Any]
MISSING: Final = frozenset({"", "na", "n/a", "nan", "null", "none", "?", "<na>"})
_COMMA: Final = re.compile(r"[+-]?(\d+|\d{1,3}(\.\d{3})+)(,\d+)?([eE][+-]?\d+)?")
_THOUSANDS: Final = re.compile(r"[+-]?[1-9]\d{0,2}(,\d{3})+")


class DataError(ValueError):
    """Data that cannot be used as they are; the message says where, and what to do."""


class Table:
    """Named columns of one length.

    Cells are kept as they were given, so that a model reads each by the kind that it learned, whatever the other rows
    hold. `columns` shows them by the kind that suits all cells of this table: a float64 array, where NaN is a missing
    number, or an array of texts, where the empty text is a missing one. Texts that are all numbers are numbers; True
    and False are texts. Missing are None, NaN, NaT and pandas.NA, and the texts NA, N/A, NaN, null, None and ?.
    Texts such as 0,5 are numbers where a whole column can be read so; 1,234 only beside others that cannot
    be thousands.

    Args:
        columns: names and values: a mapping or a data frame; the values as arrays, or as iterables of numbers,
            texts and None.
        target: name of the column to predict, or None where it is not known.
        name: what errors call the table.

    Raises:
        DataError: there are no columns or no rows, lengths differ, a number is infinite, or the target is not
            a column.

    Example:
        >>> from neurenix.data import Table
        >>> table = Table({"x": ["1", "2.5", ""], "c": ["a", "b", "a"]}, target="c")
        >>> table.rows, table.columns["x"].tolist(), table.columns["c"].tolist()
        (3, [1.0, 2.5, nan], ['a', 'b', 'a'])
    """

    def __init__(
        self, columns: Mapping[str, Iterable[Any]] | Any, target: str | None = None, name: str = "the table"
    ) -> None:
        self.name = name
        self.target = None if target is None else str(target)
        self.cells: dict[str, Column] = {}
        for key, values in _named(columns, name):
            if key in self.cells:
                raise DataError(f"{name} has several columns of the name {key!r}")
            self.cells[key] = _cells(values, f"{name}, column {key!r}")
        if not self.cells:
            raise DataError(f"{name} has no columns")
        lengths = {key: len(column) for key, column in self.cells.items()}
        self.rows = next(iter(lengths.values()))
        self.row_numbers = np.arange(1, self.rows + 1)  # for messages; `take` keeps them
        if len(set(lengths.values())) > 1:
            odd = next(key for key, length in lengths.items() if length != self.rows)
            first = next(iter(lengths))
            raise DataError(
                f"{name} has columns of different lengths: {first!r} of {self.rows}, {odd!r} of {lengths[odd]}"
            )
        if self.rows == 0:
            raise DataError(f"{name} has no rows")
        if self.target is not None and self.target not in self.cells:
            raise DataError(f"{name} has no column {self.target!r}; its columns are: {self.column_names}")
        self.decimals = self._find_decimals()
        self.columns = {
            key: self.texts(key) if decimal is None else self.numbers(key, decimal)
            for key, decimal in self.decimals.items()
        }

    @property
    def features(self) -> dict[str, Column]:
        """The columns without the target."""
        return {key: column for key, column in self.columns.items() if key != self.target}

    @property
    def column_names(self) -> str:
        """The names for a message, at most 20 of them."""
        names = list(self.cells)
        return ", ".join(names[:20]) + (f" ... ({len(names)} in all)" if len(names) > 20 else "")

    def take(self, rows: NDArray[np.intp]) -> Table:
        """The table of these rows, in this order; its columns stay of the kinds that they are."""
        taken = copy.copy(self)
        taken.columns = {key: column[rows] for key, column in self.columns.items()}
        taken.cells = {key: column[rows] for key, column in self.cells.items()}
        taken.row_numbers = self.row_numbers[rows]
        taken.rows = len(rows)
        return taken

    def without(self, names: Iterable[str]) -> Table:
        """The table without these columns."""
        left = set(self.cells) - set(names)
        taken = copy.copy(self)
        for part in ("columns", "cells", "decimals"):
            setattr(taken, part, {key: value for key, value in getattr(self, part).items() if key in left})
        return taken

    def numbers(self, name: str, decimal: str = ".") -> NDArray[np.float64]:
        """The cells of a column as numbers; NaN where one is missing.

        Args:
            name: of the column.
            decimal: "." or ",", where the cells are texts.

        Raises:
            DataError: a cell is not a number, or infinite; with its row.
        """
        cells = self.cells[name]
        if is_text(cells):
            values = [_value(cell, decimal) for cell in cells.tolist()]
            if None in values:
                row = values.index(None)
                raise DataError(
                    f"{self.name}, column {name!r}, row {self.row_numbers[row]}: {cells[row]!r} is not a number"
                    + (" with a decimal comma" if decimal == "," else "")
                )
            cells = np.array(values)
        found = cells.astype(np.float64)
        infinite = np.flatnonzero(np.isinf(found))
        if infinite.size:
            raise DataError(
                f"{self.name}, column {name!r}: row {self.row_numbers[infinite[0]]} is infinite; "
                "write finite numbers or leave it empty"
            )
        return found

    def texts(self, name: str, markers: bool = True) -> Column:
        """The cells of a column as texts; empty where one is missing.

        Args:
            name: of the column.
            markers: whether NA, null and the like are missing, too.
        """
        cells = self.cells[name].tolist()
        texts = [cell if isinstance(cell, str) else number_text(cell) for cell in cells]
        return _objects(["" if is_marker(text) else text for text in texts] if markers else texts)

    def _find_decimals(self) -> dict[str, str | None]:
        """For each column its decimal sign if it is one of numbers."""
        found: dict[str, str | None] = {}
        with_commas: list[str] = []  # columns that a decimal comma would make numbers, or other numbers
        sure = False
        for name, cells in self.cells.items():
            if not is_text(cells):
                found[name] = "."
                continue
            there = [cell for cell in cells.tolist() if isinstance(cell, str) and not is_marker(cell)]
            found[name] = "." if all(number(cell) is not None for cell in there) else None
            signs = [cell for cell in there if "," in cell or "." in cell]
            if signs and all(_COMMA.fullmatch(cell) for cell in there):
                with_commas.append(name)
                sure = sure or any("," in cell and not _THOUSANDS.fullmatch(cell) for cell in signs)
        if sure:
            found.update(dict.fromkeys(with_commas, ","))
        return found


def is_text(column: Column) -> bool:
    """Whether the values are texts and not numbers."""
    return column.dtype == object


def missing(column: Column) -> NDArray[np.bool_]:
    """Which values are missing."""
    empty: NDArray[np.bool_] = column == "" if is_text(column) else np.isnan(column)
    return empty


def moments(column: Column) -> tuple[float, float]:
    """Mean and standard deviation; rounding noise of a constant column counts as 0."""
    _, exponent = np.frexp(np.abs(column).max())
    small = np.ldexp(column, -exponent)  # exact, and its squares neither overflow nor vanish
    mean, deviation = small.mean(), small.std()
    return float(np.ldexp(mean, exponent)), float(np.ldexp(deviation, exponent)) if deviation > 1e-12 else 0.0


def number(text: str, decimal: str = ".") -> float | None:
    """The number that a text says, or None.

    Args:
        text: without spaces around it.
        decimal: "." as in 1234.5, or "," as in 1234,5 and 1.234,5.

    >>> number("1.5"), number("1.234,5", ","), number("1.5", ",")
    (1.5, 1234.5, None)
    """
    if decimal == ",":
        return float(text.replace(".", "").replace(",", ".")) if _COMMA.fullmatch(text) else None
    try:
        return None if "_" in text else float(text)
    except ValueError:
        return None


def number_text(value: Any) -> str:
    """How a CSV file would have written a number; empty for NaN.

    >>> number_text(3.0), number_text(2**64 - 1), number_text(0.5), number_text(float("nan"))
    ('3', '18446744073709551615', '0.5', '')
    """
    if isinstance(value, int) or value != value:
        return str(value) if value == value else ""
    return str(int(value)) if abs(value) < 2**63 and value == int(value) else repr(value)


def is_number(cell: Any, decimal: str = ".") -> bool:
    """Whether a cell of a table is a number, or a text that says one."""
    return not isinstance(cell, str) or number(cell, decimal) is not None


def is_marker(cell: Any) -> bool:
    """Whether a cell of a table is one of the texts that mean a missing value."""
    return isinstance(cell, str) and len(cell) < 5 and cell.lower() in MISSING


def _value(cell: Any, decimal: str) -> float | None:
    """A cell as a number; True and False are 1 and 0 where numbers were learned."""
    if not isinstance(cell, str):
        return float(cell)
    if is_marker(cell):
        return math.nan
    return float(cell == "True") if cell in ("True", "False") else number(cell, decimal)


def _objects(values: list[Any]) -> Column:
    column = np.empty(len(values), dtype=object)
    column[:] = values
    return column


def _named(columns: Any, name: str) -> Iterator[tuple[str, Any]]:
    """Names and values of a mapping, of a data frame, or of an array with named fields."""
    items = getattr(columns, "items", None)
    if callable(items):
        pairs = items()
    else:
        names = getattr(getattr(columns, "dtype", None), "names", None)
        if names is None:
            names = getattr(columns, "columns", None)
        if names is None:
            raise DataError(
                f"{name}: expected a mapping of names to columns or a data frame, got {type(columns).__name__}"
            )
        pairs = ((key, columns[key]) for key in names)
    for key, values in pairs:
        yield str(key), values


def _cells(values: Iterable[Any], where: str) -> Column:
    """An array of numbers, or of objects: numbers and texts, without spaces around them, empty where missing."""
    if not isinstance(values, np.ndarray):
        if isinstance(getattr(values, "dtype", None), np.dtype) and hasattr(values, "__array__"):
            values = np.asarray(values)
        else:
            items = _listed(values, where)
            # Columns of data frames give their values exactly, large integers beside missing ones too; tensors do not.
            values = np.asarray(values) if items and hasattr(items[0], "__dlpack__") else _numeric(items)
    if isinstance(values, np.ndarray):
        if values.ndim != 1:
            raise DataError(f"{where}: expected one value for each row, got an array of shape {values.shape}")
        if values.dtype.kind in "fiu":
            return values.astype(np.float64) if values.dtype.kind == "f" else values
        if values.dtype.kind == "c":
            raise DataError(f"{where}: complex numbers cannot be used; give two columns of numbers")
        if values.dtype.kind in "Mm":
            values = values.astype(f"{values.dtype.kind}8[us]")  # as objects of Python, not nanoseconds
        values = values.tolist()
    return _objects([value.strip() if type(value) is str else _cell(value, where) for value in values])


def _listed(values: Any, where: str) -> list[Any]:
    try:
        return list(values)
    except TypeError:
        raise DataError(f"{where}: expected values for the rows, got {type(values).__name__}") from None


def _numeric(values: list[Any]) -> Any:
    """An array where all are plain numbers that it can hold, else the list."""
    kinds = set(map(type, values))
    if kinds == {int}:
        low, high = min(values), max(values)
        fits = low >= -(2**63) and high < (2**63 if low < 0 else 2**64)
        return np.array(values, dtype=np.int64 if high < 2**63 else np.uint64) if fits else values
    if (
        not kinds
        or not kinds <= {int, float}
        or any(abs(value) > 2**53 for value in values if type(value) is int)
    ):
        return values
    return np.array(values, dtype=np.float64)


def _cell(value: Any, where: str) -> Any:
    """A value of Python as a cell: a number, or what a CSV file would have."""
    if isinstance(value, bytes):
        try:
            return value.decode().strip()
        except UnicodeDecodeError:
            raise DataError(f"{where}: {value[:40]!r} is not UTF-8 text") from None
    if value is None or _is_not_itself(value):
        return ""
    if isinstance(value, bool):
        return str(value)
    if isinstance(value, numbers.Integral):
        return int(value)
    if isinstance(value, (numbers.Real, Decimal)):
        return float(value)
    if isinstance(value, dt.datetime):
        return value.isoformat(" ").removesuffix(" 00:00:00")
    return str(value).strip()


def _is_not_itself(value: Any) -> bool:
    """NaN, NaT and pandas.NA, which cannot even say whether it is itself."""
    try:
        return bool(value != value)
    except (TypeError, ValueError):
        return True
