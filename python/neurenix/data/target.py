"""The column to predict: classes or a number."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from neurenix.data.table import Column, DataError, Table, is_text, missing, moments, number

Task = Literal["classification", "regression"]
MAX_CLASSES = 20


@dataclass
class Target:
    """How the target of a table is encoded, and how predictions are read back.

    Classes become their positions (int64); a number becomes (value - mean) / deviation (float32).

    Attributes:
        name: the column.
        task: "classification" or "regression".
        classes: the names of the classes, in order; empty for regression.
        mean, deviation: of the training rows; for regression.

    Example:
        >>> from neurenix.data import Table, Target
        >>> table = Table({"y": ["no", "yes", "no"]}, target="y")
        >>> target = Target.fit(table)
        >>> target.task, target.classes, target.transform(table).tolist()
        ('classification', ['no', 'yes'], [0, 1, 0])
    """

    name: str
    task: Task
    classes: list[str] = field(default_factory=list)
    mean: float = 0.0
    deviation: float = 1.0

    @classmethod
    def fit(cls, table: Table, task: Task | None = None) -> Target:
        """Learns the classes, or mean and deviation, from the table's target.

        Args:
            table: with a target, of which no value is missing.
            task: found from the target when None: texts, and whole numbers of at most 20 different values,
                are classes; other numbers are not.

        Raises:
            DataError: there is no target, it does not fit the task, or all its values are the same.
        """
        name = table.target
        if name is None:
            raise DataError(
                f"say which column of {table.name} to predict with --target; it has: {table.column_names}"
            )
        column = table.columns[name]
        task = task or _find_task(column)
        if task == "regression":
            if is_text(column):
                odd = next(text for text in column.tolist() if text and number(text) is None)
                raise DataError(
                    f"{table.name}: the target {name!r} holds texts such as {odd!r}, so the task cannot be "
                    "regression"
                )
            mean, deviation = moments(column)
            if not deviation:
                raise DataError(
                    f"{table.name}: all values of the target {name!r} are {mean:g}; nothing to learn"
                )
            return cls(name, task, mean=mean, deviation=deviation)
        values = sorted(set(column.tolist()))
        if len(values) < 2:
            raise DataError(
                f"{table.name}: the target {name!r} has only the class {_class_name(values[0])!r}; nothing to learn"
            )
        if len(values) == table.rows:
            remedy = (
                f"texts such as {values[0]!r} are no numbers" if is_text(column) else "try --task regression"
            )
            raise DataError(f"{table.name}: each row has a class of its own in the target {name!r}; {remedy}")
        return cls(name, task, [_class_name(value) for value in values])

    def transform(self, table: Table) -> NDArray[Any]:
        """The encoded target of a table, of shape (rows,)."""
        column = table.columns[self.name]
        if self.task == "regression":
            return ((column - self.mean) / self.deviation).astype(np.float32)
        position = {name: i for i, name in enumerate(self.classes)}
        return np.array([position[_class_name(value)] for value in column.tolist()], dtype=np.int64)


def drop_missing(table: Table) -> tuple[Table, list[str]]:
    """The rows that have a target, and a note where some have none."""
    if table.target is None:
        return table, []
    gaps = missing(table.columns[table.target])
    if not gaps.any():
        return table, []
    if gaps.all():
        raise DataError(f"{table.name}: all values of the target {table.target!r} are missing")
    return table.take(np.flatnonzero(~gaps)), [f"{gaps.sum()} rows without a target are left out"]


def _find_task(column: Column) -> Task:
    if is_text(column):
        return "classification"
    whole = bool((column == np.floor(column)).all())
    return "classification" if whole and len(np.unique(column)) <= MAX_CLASSES else "regression"


def _class_name(value: Any) -> str:
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)
