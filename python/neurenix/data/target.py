"""The column to predict: classes or a number."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

from neurenix.data.table import DataError, Table, is_marker, is_number, is_text, moments, number, number_text

Task = Literal["classification", "regression"]
MAX_CLASSES: Final = 20
NUMERIC_SHARE: Final = 0.9


@dataclass
class Target:
    """How the target of a table is encoded, and how predictions are read back.

    Classes become their positions (int64); a number becomes (value - mean) / deviation (float32).

    Attributes:
        name: the column.
        task: "classification" or "regression".
        classes: the names of the classes, in order; empty for regression.
        mean, deviation: of the training rows; for regression.
        decimal: the decimal sign of numbers in texts, "." or ",".

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
    decimal: str = "."

    @classmethod
    def fit(cls, table: Table, task: Task | None = None) -> Target:
        """Learns the classes, or mean and deviation, from the table's target.

        Args:
            table: with a target, of which no value is missing.
            task: found from the target when None: texts, and whole numbers of at most 20 different values,
                are classes; other numbers are not. A target of which 90 % are numbers is one of numbers, so that
                the others are errors.

        Raises:
            DataError: there is no target, it does not fit the task, a cell of a target of numbers is none, or all its
                values are the same.
        """
        name = table.target
        if name is None:
            raise DataError(
                f"say which column of {table.name} to predict with --target; it has: {table.column_names}"
            )
        task = task or _find_task(table, name)
        decimal = table.decimals[name] or "."
        if task == "regression":
            _check_numbers(table, name)
            mean, deviation = moments(table.columns[name])
            if not deviation:
                raise DataError(
                    f"{table.name}: all values of the target {name!r} are {mean:g}; nothing to learn"
                )
            return cls(name, task, mean=mean, deviation=deviation, decimal=decimal)
        counts = Counter(_labels(table, name))
        numeric = table.decimals[name] is not None
        classes = sorted(counts, key=Decimal) if numeric else sorted(counts)
        if len(classes) < 2:
            raise DataError(
                f"{table.name}: the target {name!r} has only the class {classes[0]!r}; nothing to learn"
            )
        single = sum(count == 1 for count in counts.values())
        if len(classes) == table.rows or (not numeric and 2 * single > table.rows):
            remedy = "try --task regression" if numeric else f"texts such as {classes[0]!r} are no numbers"
            rows = "each row has a class of its own"
            if len(classes) < table.rows:
                rows = f"{single} of {table.rows} rows have a class of their own"
            raise DataError(f"{table.name}: {rows} in the target {name!r}; {remedy}")
        return cls(name, task, classes, decimal=decimal)

    def transform(self, table: Table) -> NDArray[Any]:
        """The encoded target of a table, of shape (rows,).

        Raises:
            DataError: a cell is none of the classes, or not a number.
        """
        if self.name not in table.cells:
            raise DataError(f"{table.name} lacks the target {self.name!r}; it has: {table.column_names}")
        if self.task == "regression":
            values = table.numbers(self.name, self.decimal)
            return ((values - self.mean) / self.deviation).astype(np.float32)
        position = {name: i for i, name in enumerate(self.classes)}
        labels = table.texts(self.name, markers=False).tolist()
        # Each by its own text, whatever the other rows of this table are.
        places = [position.get(text, position.get(_canonical(text, self.decimal), -1)) for text in labels]
        if -1 in places:
            row = places.index(-1)
            some = ", ".join(map(repr, self.classes[:10])) + (" ..." if len(self.classes) > 10 else "")
            raise DataError(
                f"{table.name}, column {self.name!r}, row {table.row_numbers[row]}: {labels[row]!r} is none of the "
                f"classes {some}"
            )
        return np.array(places, dtype=np.int64)


def drop_missing(table: Table, markers: Sequence[str] | None = None) -> tuple[Table, list[str]]:
    """The rows that have a target, and notes.

    Args:
        table: with a target or without.
        markers: texts that mean a missing target, besides the empty one. None: NA, null, None and the like in
            a target of numbers, and nothing else in one of texts, where they may be classes.

    Raises:
        DataError: no row has a target.
    """
    name = table.target
    if name is None:
        return table, []
    cells = table.cells[name]
    if not is_text(cells):
        gaps = np.isnan(cells) if cells.dtype.kind == "f" else np.zeros(len(cells), dtype=bool)
        found: Counter[str] = Counter()
    else:
        usual = table.decimals[name] is not None or _numeric_share(cells.tolist()) >= NUMERIC_SHARE
        if markers is None:
            gone = [cell == "" or (usual and is_marker(cell)) for cell in cells.tolist()]
        else:
            gone = [cell == "" or cell in markers for cell in cells.tolist()]
        gaps = np.array(gone, dtype=bool)
        found = Counter(cell for cell in cells[gaps].tolist() if cell)
    if gaps.all():
        raise DataError(f"{table.name}: all values of the target {name!r} are missing")
    notes = []
    if gaps.any():
        which = f" ({', '.join(map(repr, sorted(found)))})" if found else ""
        notes.append(f"{gaps.sum()} rows without a target{which} are left out")
        table = _settled(table, np.flatnonzero(~gaps))
    elif markers is not None and is_text(cells):
        table = _settled(table, np.arange(table.rows))
    if is_text(table.cells[name]) and table.decimals[name] is None:
        classes = Counter(cell for cell in table.cells[name].tolist() if is_marker(cell))
        notes += [
            f"the target has the class {text!r} ({count} rows); if it means a missing value, say --missing {text}"
            for text, count in classes.items()
        ]
    return table, notes


def _settled(table: Table, rows: NDArray[np.intp]) -> Table:
    """These rows, with the target's kind found from its own cells, of which none is missing."""
    name = str(table.target)
    taken = table.take(rows)
    cells = taken.cells[name]
    if is_text(cells):
        if any(map(is_marker, cells.tolist())):
            decimal = None  # what is left was said to be no marker
        else:
            decimal = table.decimals[name] or Table({name: cells}).decimals[name]
        taken.decimals = {**table.decimals, name: decimal}
        taken.columns[name] = taken.texts(name) if decimal is None else taken.numbers(name, decimal)
    return taken


def _numeric_share(cells: list[Any]) -> float:
    """The share of numbers, with either decimal sign, among the cells that are no missing markers."""
    there = [cell for cell in cells if not is_marker(cell)]
    counts = [sum(is_number(cell, sign) for cell in there) for sign in ".,"]
    return max(counts) / len(there) if there else 0.0


def _find_task(table: Table, name: str) -> Task:
    column = table.columns[name]
    if is_text(column):
        if _numeric_share(table.cells[name].tolist()) < NUMERIC_SHARE:
            return "classification"
        _check_numbers(table, name)
    whole = bool((column == np.floor(column)).all())
    return "classification" if whole and len(np.unique(column)) <= MAX_CLASSES else "regression"


def _check_numbers(table: Table, name: str) -> None:
    """Raises DataError for the first cell of a target that is not a number."""
    if table.decimals[name] is not None:
        return
    cells = table.cells[name].tolist()
    if _numeric_share(cells) < NUMERIC_SHARE:
        odd_one = next((cell for cell in cells if not is_number(cell)), cells[0])
        raise DataError(
            f"{table.name}: the target {name!r} holds texts such as {odd_one!r}, so the task cannot be regression"
        )
    sign = max(".,", key=lambda sign: sum(is_number(cell, sign) for cell in cells))
    odd = [row for row, cell in enumerate(cells) if not is_number(cell, sign)]
    if not odd:
        raise DataError(
            f"{table.name}, row {table.row_numbers[0]}: {cells[0]!r} in the target {name!r} has a decimal comma or "
            "separates thousands; write numbers such as 1234.5"
        )
    row, texts = odd[0], len({cells[row] for row in odd})
    raise DataError(
        f"{table.name}, row {table.row_numbers[row]}: {cells[row]!r} in the target {name!r} is not a number, as "
        f"{len(cells) - len(odd)} of {len(cells)} are; "
        + ("mend it" if len(odd) == 1 else f"mend these {len(odd)} rows ({texts} different texts)")
        + f", leave such rows out with --missing {shlex.quote(cells[row])}, or take all cells as classes with "
        "--task classification"
    )


def _labels(table: Table, name: str) -> list[str]:
    """The name of each row's class."""
    texts: list[str] = table.texts(name, markers=False).tolist()
    decimal = table.decimals[name]
    if decimal is None or not is_text(table.cells[name]):
        return texts
    return [
        _canonical(text, decimal) if isinstance(cell, str) else text
        for text, cell in zip(texts, table.cells[name].tolist(), strict=True)
    ]


def _canonical(text: str, decimal: str = ".") -> str:
    """One text for each number, whatever its form; other texts as they are."""
    if len(text) < 40 and text.removeprefix("-").isdecimal():
        return str(int(text))
    value = number(text, decimal)
    return text if value is None else number_text(value)
