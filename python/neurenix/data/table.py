"""A table in memory: columns of numbers or of text, in which values may be missing."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

Column = NDArray[Any]
MISSING = frozenset({"", "na", "n/a", "nan", "null", "none", "?"})


class DataError(ValueError):
    """Data that cannot be used as they are; the message says where, and what to do."""


class Table:
    """Named columns of one length.

    A column is a float64 array, where NaN is a missing number, or an array of texts, where the empty text is
    a missing one. Text columns that hold only numbers become columns of numbers.

    Args:
        columns: names and values; the values as arrays, or as iterables of numbers, texts and None.
        target: name of the column to predict, or None where it is not known.
        name: what errors call the table.

    Raises:
        DataError: there are no columns or no rows, lengths differ, or the target is not a column.

    Example:
        >>> from neurenix.data import Table
        >>> table = Table({"x": ["1", "2.5", ""], "c": ["a", "b", "a"]}, target="c")
        >>> table.rows, table.columns["x"].tolist(), table.columns["c"].tolist()
        (3, [1.0, 2.5, nan], ['a', 'b', 'a'])
    """

    def __init__(
        self, columns: Mapping[str, Iterable[Any]], target: str | None = None, name: str = "the table"
    ) -> None:
        self.name = name
        self.target = target
        self.columns = {key: _column(values, f"{name}, column {key!r}") for key, values in columns.items()}
        if not self.columns:
            raise DataError(f"{name} has no columns")
        lengths = {key: len(column) for key, column in self.columns.items()}
        self.rows = next(iter(lengths.values()))
        if len(set(lengths.values())) > 1:
            raise DataError(f"{name} has columns of different lengths: {lengths}")
        if self.rows == 0:
            raise DataError(f"{name} has no rows")
        if target is not None and target not in self.columns:
            raise DataError(f"{name} has no column {target!r}; its columns are: {self.column_names}")

    @property
    def features(self) -> dict[str, Column]:
        """The columns without the target."""
        return {key: column for key, column in self.columns.items() if key != self.target}

    @property
    def column_names(self) -> str:
        """The names for a message, at most 20 of them."""
        names = list(self.columns)
        return ", ".join(names[:20]) + (f" ... ({len(names)} in all)" if len(names) > 20 else "")

    def take(self, rows: NDArray[np.intp]) -> Table:
        """The table of these rows, in this order."""
        taken = copy.copy(self)  # not read anew: texts stay texts where all that are left look like numbers
        taken.columns = {key: column[rows] for key, column in self.columns.items()}
        taken.rows = len(rows)
        return taken


def is_text(column: Column) -> bool:
    """Whether the values are texts and not numbers."""
    return column.dtype == object


def missing(column: Column) -> NDArray[np.bool_]:
    """Which values are missing."""
    empty: NDArray[np.bool_] = column == "" if is_text(column) else np.isnan(column)
    return empty


def moments(column: Column) -> tuple[float, float]:
    """Mean and deviation of numbers; 0 for a deviation that is only what rounding makes of equal values."""
    _, exponent = np.frexp(np.abs(column).max())
    small = np.ldexp(column, -exponent)  # exact, and its squares neither overflow nor vanish
    mean, deviation = small.mean(), small.std()
    return float(np.ldexp(mean, exponent)), float(np.ldexp(deviation, exponent)) if deviation > 1e-12 else 0.0


def number(text: str) -> float | None:
    """The number that a text says, or None."""
    try:
        return None if "_" in text else float(text)
    except ValueError:
        return None


def _column(values: Iterable[Any], where: str) -> Column:
    array = values if isinstance(values, np.ndarray) else np.array(list(values), dtype=object)
    if array.ndim != 1:
        raise DataError(f"{where}: expected one value for each row, got an array of shape {array.shape}")
    if array.dtype.kind not in "fiub":
        array = _parse(array)
    if not is_text(array):
        array = array.astype(np.float64)
        infinite = np.flatnonzero(np.isinf(array))
        if infinite.size:
            raise DataError(
                f"{where}: row {infinite[0] + 1} is infinite; write finite numbers or leave it empty"
            )
    return array


def _parse(array: Column) -> Column:
    """Numbers where every value that is there is one, else texts."""
    texts = ["" if value is None else str(value).strip() for value in array.tolist()]
    texts = ["" if text.lower() in MISSING else text for text in texts]
    numbers = [number(text) if text else np.nan for text in texts]
    return np.array(texts, dtype=object) if None in numbers else np.array(numbers, dtype=np.float64)
