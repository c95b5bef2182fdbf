"""From a table to the arrays that training needs."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurenix.data.encode import MAX_CATEGORIES, Encoder
from neurenix.data.split import split
from neurenix.data.table import DataError, Table, is_text, number
from neurenix.data.target import Target, Task, drop_missing

MIN_ROWS = 3


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


def prepare(
    table: Table,
    task: Task | None = None,
    fraction: float = 0.2,
    seed: int = 0,
    missing: Sequence[str] | None = None,
) -> Prepared:
    """Splits a table and encodes it with what the training rows tell.

    A column without a name that numbers the rows, as R and pandas write it, is left out with a note.

    Args:
        table: with a target.
        task: "classification" or "regression"; found from the target when None, see `Target.fit`.
        fraction: share of the rows to hold out, in (0, 1); split by class for classification.
        seed: of the split.
        missing: texts that mean a missing target, besides the empty one; such rows are left out. None: NA, N/A, NaN,
            null, None and ? in a target of numbers; in one of texts they are classes.

    Raises:
        DataError: the table cannot be used; the message says why.

    Example:
        >>> from neurenix import data
        >>> iris = data.prepare(data.read("iris"))
        >>> iris.x.shape, iris.x_val.shape, iris.target.classes
        ((120, 4), (30, 4), ['setosa', 'versicolor', 'virginica'])
    """
    table, notes = drop_missing(table, missing)
    if table.target is not None and table.rows < MIN_ROWS:
        found = "1 row" if table.rows == 1 else f"{table.rows} rows"
        raise DataError(
            f"{table.name} has only {found} with a target; at least {MIN_ROWS} are needed: "
            "two to train on, one to hold out"
        )
    table, more = _drop_indices(table)
    target = Target.fit(table, task)
    classes = target.transform(table) if target.task == "classification" else None
    rows, held_out = split(table.rows, fraction, seed, classes)
    train, val = table.take(rows), table.take(held_out)
    train.name = f"{table.name}, rows for training"
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
        notes + more + _rare(target, classes) + _doubts(table) + encoder.notes,
    )


def _drop_indices(table: Table) -> tuple[Table, list[str]]:
    """The table without columns that have no name and number the rows; notes about those and about others like them."""
    gone, notes = [], []
    for name, column in table.features.items():
        unnamed = not name or name.startswith("Unnamed: ")
        if is_text(column) or not (unnamed or name == next(iter(table.cells))):
            continue
        whole = not np.isnan(column).any() and bool((column == np.floor(column)).all())
        if unnamed and whole and len(np.unique(column)) == table.rows:
            gone.append(name)
            notes.append(f"column {name!r} is left out: it has no name and numbers the rows")
        elif whole and column[0] in (0, 1) and bool((np.diff(column) == 1).all()):
            notes.append(f"column {name!r} numbers the rows; delete it unless their order means something")
    return table.without(gone) if len(gone) < len(table.features) else table, notes


def _rare(target: Target, classes: NDArray[Any] | None) -> list[str]:
    """A note about classes that are never seen in the rows held out."""
    if classes is None:
        return []
    single = np.flatnonzero(np.bincount(classes, minlength=len(target.classes)) == 1)
    some = ", ".join(repr(target.classes[i]) for i in single[:5]) + (" ..." if len(single) > 5 else "")
    return [f"classes of one row, which is trained on and never tested: {some}"] if len(single) else []


def _doubts(table: Table) -> list[str]:
    """Notes about how columns of texts were read."""
    commas = [name for name, decimal in table.decimals.items() if decimal == ","]
    notes = []
    if commas:
        some = ", ".join(map(repr, commas[:5])) + (" ..." if len(commas) > 5 else "")
        notes.append(f"numbers with a decimal comma are read in: {some}")
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
