"""From a table to the arrays that training needs."""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurenix.data.encode import MAX_CATEGORIES, Encoder
from neurenix.data.split import split
from neurenix.data.table import Table, is_text, number
from neurenix.data.target import Target, Task, drop_missing


@dataclass
class Prepared:
    """Encoded rows for training and rows held out, and how they were encoded.

    Attributes:
        x, y: features (rows, width) as float32 and the encoded target (rows,) for training.
        x_val, y_val: the same of the rows held out.
        encoder, target: what repeats the encoding on new rows.
        notes: what a person should know about the data.
    """

    x: NDArray[np.float32]
    y: NDArray[Any]
    x_val: NDArray[np.float32]
    y_val: NDArray[Any]
    encoder: Encoder
    target: Target
    notes: list[str]

    @property
    def fingerprint(self) -> str:
        """Changes whenever any encoded value does."""
        crc = 0
        for array in (self.x, self.y, self.x_val, self.y_val):
            crc = zlib.crc32(np.ascontiguousarray(array).data.cast("B") if array.size else b"", crc)
        return f"{len(self.x)}+{len(self.x_val)} rows, {self.x.shape[1]} features, crc {crc:08x}"


def prepare(table: Table, task: Task | None = None, fraction: float = 0.2, seed: int = 0) -> Prepared:
    """Splits a table and encodes it with what the training rows tell.

    Args:
        table: with a target.
        task: "classification" or "regression"; found from the target when None.
        fraction: share of the rows to hold out, in (0, 1); split by class for classification.
        seed: of the split.

    Raises:
        DataError: the table cannot be used; the message says why.

    Example:
        >>> from neurenix import data
        >>> iris = data.prepare(data.read("iris"))
        >>> iris.x.shape, iris.x_val.shape, iris.target.classes
        ((120, 4), (30, 4), ['setosa', 'versicolor', 'virginica'])
    """
    table, notes = drop_missing(table)
    target = Target.fit(table, task)
    classes = target.transform(table) if target.task == "classification" else None
    rows, held_out = split(table.rows, fraction, seed, classes)
    train, val = table.take(rows), table.take(held_out)
    if target.task == "regression":
        target = Target.fit(train, "regression")
    encoder = Encoder.fit(train)
    return Prepared(
        encoder.transform(train),
        target.transform(train),
        encoder.transform(val),
        target.transform(val),
        encoder,
        target,
        notes + _doubts(table) + encoder.notes,
    )


def _doubts(table: Table) -> list[str]:
    """Notes about columns of texts that were perhaps meant to be numbers."""
    notes = []
    for name, column in table.features.items():
        texts = [text for text in column.tolist() if text] if is_text(column) else []
        odd = [text for text in texts if number(text) is None]
        different = len(set(texts))
        if 2 * len(odd) < len(texts):
            notes.append(
                f"column {name!r} is taken as texts: most are numbers, but {odd[0]!r} is not; "
                "leave such values empty to have numbers"
            )
        elif max(10, len(texts) // 2) < different <= MAX_CATEGORIES:
            notes.append(
                f"column {name!r} is taken as texts: {different} different ones such as {odd[0]!r}, "
                "each a column of its own"
            )
    return notes
