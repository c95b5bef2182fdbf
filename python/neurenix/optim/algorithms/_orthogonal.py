"""What rules that orthogonalise a momentum have in common."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from neurenix import linalg
from neurenix._phynexus import Tensor

from ..formula import Value, count, maximum, sqrt
from ..groups import Group
from ..limits import Choice
from ..states import View, default_view

#: How far a step goes for a matrix of so many rows (outputs) and columns (inputs).
SCALES = Choice((None, "original", "match_rms_adamw", "spectral_unclamped", "none"))


def matrices(param: Tensor, group: Group) -> View:
    """A weight as matrices: one for each head, or for each of the first dimension; a convolution's are flattened."""
    if group["batched"] and param.ndim > 2:
        return param.shape[0], param.shape[1], param.numel() // max(param.shape[0] * param.shape[1], 1)
    batch, rows, columns = default_view(param)
    heads = int(group["heads"])
    if rows % heads:
        raise ValueError(f"a weight of {rows} rows cannot be split into {heads} heads of equal size")
    return batch * heads, rows // heads, columns


def orthogonalized(
    tensors: Sequence[Tensor], views: Sequence[View], coefficients: Any, steps: int, eps: float
) -> list[Tensor]:
    """The nearest orthogonal matrices; all of one shape go through one batched product."""
    if not isinstance(coefficients, str) and not isinstance(coefficients[0], tuple):
        coefficients = [coefficients]
    found = linalg.newton_schulz(
        [tensor.reshape(view) for tensor, view in zip(tensors, views, strict=True)],
        coefficients=coefficients,
        steps=steps,
        eps=eps,
    )
    return [matrix.reshape(tensor.shape) for matrix, tensor in zip(found, tensors, strict=True)]


def scale(g: Value, how: str | None) -> Value:
    """How far the step of a matrix goes, from its numbers of rows and columns."""
    rows, columns = count(g, axis=-2), count(g, axis=-1)
    if how == "match_rms_adamw":
        return 0.2 * sqrt(maximum(rows, columns))
    if how == "spectral_unclamped":
        return sqrt(rows / columns)
    return 1.0 if how == "none" else sqrt(maximum(1, rows / columns))
