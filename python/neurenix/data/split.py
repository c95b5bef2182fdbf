"""Rows for training and rows held out."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurenix.data.table import DataError

Rows = NDArray[np.intp]


def split(
    rows: int, fraction: float = 0.2, seed: int = 0, classes: NDArray[Any] | None = None
) -> tuple[Rows, Rows]:
    """Splits row numbers at random; the same arguments give the same rows everywhere.

    Args:
        rows: how many there are, at least 2.
        fraction: the share to hold out, in (0, 1); at least one row is held out and one is not.
        seed: of the random order.
        classes: of shape (rows,); each class is then split by itself, so that both parts have its share. Of a class of
            several rows at least one is held out; that of a class of one row is not.

    Returns:
        Row numbers for training and row numbers held out, both ascending.

    Raises:
        DataError: there are too few rows, or the fraction is not in (0, 1).

    Example:
        >>> from neurenix.data import split
        >>> train, held_out = split(10, fraction=0.2)
        >>> len(train), len(held_out)
        (8, 2)
    """
    if not 0 < fraction < 1:
        raise DataError(f"the share of rows to hold out must be between 0 and 1, got {fraction}")
    if rows < 2:
        raise DataError(
            f"{rows} row cannot be split into rows for training and rows held out; need at least 2"
        )
    random = np.random.Generator(np.random.Philox(seed))
    order = random.permutation(rows)
    if classes is None:
        count = min(max(round(fraction * rows), 1), rows - 1)
        return np.sort(order[count:]), np.sort(order[:count])
    by_class = order[np.argsort(classes[order], kind="stable")]
    groups = np.split(by_class, np.flatnonzero(np.diff(classes[by_class])) + 1)
    counts = [min(max(round(fraction * len(group)), 1), len(group) - 1) for group in groups]
    if sum(counts) == 0:
        raise DataError(f"{rows} rows of {len(groups)} classes cannot be split; each class has only one row")
    held_out = np.concatenate([group[:count] for group, count in zip(groups, counts, strict=True)])
    train = np.concatenate([group[count:] for group, count in zip(groups, counts, strict=True)])
    return np.sort(train), np.sort(held_out)
