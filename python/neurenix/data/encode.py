"""Columns to numbers: standardised numbers, one-hot texts. What was learned can be saved and repeated."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurenix.data.table import Column, DataError, Table, is_text, missing, moments

MAX_CATEGORIES = 100


@dataclass
class Encoder:
    """Turns the features of a table into a float32 matrix.

    A number becomes (value - mean) / deviation, a missing one 0 (the mean), and one that never varied always 0. A
    text becomes one column for each text that was seen, with 1 where it is the value; a missing or unseen one is 0
    everywhere. Each cell is read by the kind that was learned, so that a row is encoded the same in every table.

    Attributes:
        columns: for each feature that is used, its ``name`` and ``kind``, and ``mean`` and ``deviation`` (and
            ``decimal`` where it is a comma) of numbers or ``values`` of texts. Plain values, so that they can be saved.
        notes: what a person should know about the data: missing values, columns that are not used.

    Example:
        >>> from neurenix.data import Encoder, Table
        >>> encoder = Encoder.fit(Table({"x": [1, 3], "c": ["a", "b"]}))
        >>> encoder.transform(Table({"x": [5, None], "c": ["b", "z"]})).tolist()
        [[3.0, 0.0, 1.0], [0.0, 0.0, 0.0]]
    """

    columns: list[dict[str, Any]]
    notes: list[str] = field(default_factory=list)

    @classmethod
    def fit(cls, table: Table) -> Encoder:
        """Learns means, deviations and texts from the features of a table.

        Raises:
            DataError: no feature can be used.
        """
        encoder = cls([])
        for name, column in table.features.items():
            encoder._learn(name, column, table.decimals[name])
        if not encoder.columns:
            raise DataError(
                f"{table.name} has no usable features: {'; '.join(encoder.notes) or 'only the target'}"
            )
        return encoder

    @property
    def width(self) -> int:
        """Columns of the encoded matrix."""
        return sum(len(column.get("values", "1")) for column in self.columns)

    def transform(self, table: Table) -> NDArray[np.float32]:
        """The encoded features, of shape (rows, width); further columns of the table do not matter.

        Raises:
            DataError: a column is missing, or holds texts where numbers were learned.
        """
        absent = [column["name"] for column in self.columns if column["name"] not in table.cells]
        if absent:
            some = ", ".join(map(repr, absent[:5])) + (" ..." if len(absent) > 5 else "")
            raise DataError(
                f"{table.name} lacks columns of the training data: {some}; it has: {table.column_names}"
            )
        parts = [_encode(column, table) for column in self.columns]
        return np.ascontiguousarray(np.concatenate(parts, axis=1), dtype=np.float32)

    def _learn(self, name: str, column: Column, decimal: str | None) -> None:
        gaps = missing(column)
        there = column[~gaps]
        if not there.size:
            self.notes.append(f"column {name!r} is left out: all its values are missing")
            return
        if gaps.any():
            meaning = "count as no category" if is_text(column) else f"take the mean, {there.mean():.4g}"
            self.notes.append(f"column {name!r}: {gaps.sum()} missing values {meaning}")
        if not is_text(column):
            mean, deviation = moments(there)
            # What never varied was never learned from, so it must say nothing later: always 0.
            deviation = deviation or math.inf
            learned = {"name": name, "kind": "number", "mean": mean, "deviation": deviation}
            self.columns.append(learned | ({"decimal": ","} if decimal == "," else {}))
            return
        values = sorted(set(there.tolist()))
        if len(values) > MAX_CATEGORIES:
            self.notes.append(
                f"column {name!r} is left out: {len(values)} different texts, more than {MAX_CATEGORIES}"
            )
            return
        self.columns.append({"name": name, "kind": "text", "values": values})


def _encode(column: dict[str, Any], table: Table) -> NDArray[np.float64]:
    name = column["name"]
    if column["kind"] == "number":
        try:
            values = table.numbers(name, column.get("decimal", "."))
        except DataError as error:
            raise DataError(f"{error}; in the training data all were numbers") from None
        scaled = (values - column["mean"]) / column["deviation"]
        return np.where(np.isnan(values), 0.0, scaled)[:, None]
    texts = table.texts(name)
    return np.asarray(texts[:, None] == np.array(column["values"], dtype=object)[None, :], dtype=np.float64)
