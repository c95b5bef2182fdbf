"""Norms of vectors and matrices."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Literal

from neurenix._phynexus import Tensor
from neurenix.linalg.factors import svdvals


def vector_norm(
    x: Tensor,
    ord: float = 2,
    dim: int | Sequence[int] | None = None,
    keepdim: bool = False,
    *,
    dtype: Any = None,
) -> Tensor:
    """`(Σ |x|^ord)^(1/ord)` over all elements, or over some dimensions.

    Args:
        x: a floating-point tensor.
        ord: any number; infinity is the largest size, minus infinity the smallest, 0 counts what is not zero.
        dim: the dimensions; all by default.
        keepdim: whether they stay, with size 1.
        dtype: what x is converted to before.

    Raises:
        TypeError: no floating-point tensor.

    >>> import neurenix
    >>> neurenix.linalg.vector_norm(neurenix.Tensor([[3.0, 4.0]])).item()
    5.0
    """
    return (x if dtype is None else x.to(dtype)).norm(float(ord), dim, keepdim)


def matrix_norm(
    A: Tensor,
    ord: float | Literal["fro", "nuc"] = "fro",
    dim: tuple[int, int] = (-2, -1),
    keepdim: bool = False,
) -> Tensor:
    """A norm of each matrix.

    Args:
        A: at least two dimensions.
        ord: "fro" (root of the sum of squares), "nuc" (sum of singular values), 2 or -2 (largest or smallest singular
            value), 1 or -1 (largest or smallest column sum of sizes), infinity or minus infinity (the same of rows).
        dim: the dimensions of rows and columns.
        keepdim: whether they stay, with size 1.

    Raises:
        ValueError: another `ord`, or dimensions that are the same.
        TypeError: no floating-point tensor.

    >>> import neurenix
    >>> neurenix.linalg.matrix_norm(neurenix.Tensor([[1.0, -2.0], [3.0, 4.0]]), 1).item()
    6.0
    """
    rows, columns = (d % A.ndim if -A.ndim <= d < A.ndim else d for d in dim)
    if rows == columns:
        raise ValueError(f"matrix_norm: rows and columns must be different dimensions, got {dim}")
    if ord == "fro":
        return A.norm(2.0, (rows, columns), keepdim)
    order = [d for d in range(A.ndim) if d not in (rows, columns)] + [rows, columns]
    matrices = A.permute(*order)
    if ord in ("nuc", 2, -2):
        values = svdvals(matrices)
        norm = values.sum(-1) if ord == "nuc" else values.amax(-1) if ord == 2 else values.amin(-1)
    elif ord in (1, -1, math.inf, -math.inf):
        sums = matrices.abs().sum(-2 if abs(ord) == 1 else -1)
        norm = sums.amax(-1) if ord > 0 else sums.amin(-1)
    else:
        raise ValueError(f'matrix_norm: ord must be "fro", "nuc", 1, -1, 2, -2, inf or -inf, got {ord!r}')
    for d in sorted((rows, columns)) if keepdim else ():
        norm = norm.unsqueeze(d)
    return norm
