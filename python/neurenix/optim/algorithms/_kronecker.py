"""What rules have in common that keep a matrix for each dimension of a parameter."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from neurenix import linalg
from neurenix._phynexus import Tensor, stack


def each(x: Tensor, maps: Iterable[Callable[[Tensor], Tensor] | None]) -> Tensor:
    """A function of rows along each dimension; None leaves a dimension as it is."""
    for function in maps:
        rows = x.reshape(x.shape[0], -1).mT
        if function is not None:
            rows = function(rows)
        x = rows.reshape(*x.shape[1:], rows.shape[-1])
    return x


def along(x: Tensor, matrices: Iterable[Tensor | None]) -> Tensor:
    """The tensor times a matrix along each dimension, Σᵢ x[…, i, …]·M[i, j]; None leaves a dimension."""
    return each(x, [None if matrix is None else matrix.__rmatmul__ for matrix in matrices])


def back(matrices: Iterable[Tensor | None]) -> list[Tensor | None]:
    """The transposes: for orthogonal matrices the way back."""
    return [None if matrix is None else matrix.mT for matrix in matrices]


def gram(x: Tensor, dim: int) -> Tensor:
    """The products of a tensor's slices along a dimension with each other: x·xᵀ and xᵀ·x for a matrix."""
    if x.ndim == 2:
        return x @ x.mT if dim == 0 else x.mT @ x
    rows = x.transpose(0, dim).reshape(x.shape[dim], -1)
    return rows @ rows.mT


def together(function: Callable[[Tensor], Tensor], matrices: Sequence[Tensor]) -> list[Tensor]:
    """A function of stacks for each matrix; NaN for those that hold anything but numbers.

    Those of one shape are stacked, as factoring takes a core for each.
    """
    places: dict[tuple[int, ...], list[int]] = {}
    for place, matrix in enumerate(matrices):
        places.setdefault(matrix.shape, []).append(place)
    found: dict[int, Tensor] = {}
    for group in places.values():
        good = [bool(matrices[place].isfinite().all()) for place in group]
        given = [
            matrices[p] if ok else Tensor.zeros_like(matrices[p]) for p, ok in zip(group, good, strict=True)
        ]
        results = function(stack(given)).unbind()
        found |= {p: r if ok else r * math.nan for p, ok, r in zip(group, good, results, strict=True)}
    return [found[place] for place in range(len(matrices))]


def eigenvectors(matrices: Tensor) -> Tensor:
    """Those of symmetric matrices by falling eigenvalue."""
    return linalg.eigh(matrices).eigenvectors.flip(-1)


def like(param: Tensor, group: Mapping[str, Any]) -> tuple[int, ...]:
    """The parameter's shape, for states."""
    return tuple(param.shape)


def sized(*shape: int) -> Callable[[Tensor, Mapping[str, Any]], tuple[int, ...]]:
    """A fixed shape, for states."""
    return lambda param, group: shape


def merged(shape: Sequence[int], most: int) -> tuple[int, ...]:
    """A shape whose neighbouring dimensions are joined as long as none becomes larger than `most`."""
    sizes: list[int] = []
    joined = 1
    for size in shape:
        if joined * size <= most:
            joined *= size
            continue
        if joined > 1:
            sizes.append(joined)
            joined = size
        else:
            sizes.append(size)
    return (*sizes, joined) if joined > 1 or not sizes else tuple(sizes)
