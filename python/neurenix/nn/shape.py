"""Layers that change shapes only."""

from __future__ import annotations

from collections.abc import Sequence

from neurenix._phynexus import Tensor
from neurenix.nn.module import Module

__all__ = ["Flatten", "Unflatten"]


class Flatten(Module):
    """Makes one dimension of several.

    Args:
        start_dim: the first of them; 1 leaves the batch alone.
        end_dim: the last of them.

    >>> from neurenix import nn, zeros
    >>> nn.Flatten()(zeros(32, 8, 8)).shape
    (32, 64)
    """

    def __init__(self, start_dim: int = 1, end_dim: int = -1) -> None:
        super().__init__()
        self.start_dim = start_dim
        self.end_dim = end_dim

    def forward(self, input: Tensor) -> Tensor:
        """Any shape that has the dimensions."""
        return input.flatten(self.start_dim, self.end_dim)

    def extra_repr(self) -> str:
        """The dimensions, if they are not the usual ones."""
        return "" if (self.start_dim, self.end_dim) == (1, -1) else f"{self.start_dim}, {self.end_dim}"


class Unflatten(Module):
    """Makes several dimensions of one.

    Args:
        dim: the dimension.
        unflattened_size: sizes of those in its place; one may be -1 and follows from the others.

    >>> from neurenix import nn, zeros
    >>> nn.Unflatten(1, (8, 8))(zeros(32, 64)).shape
    (32, 8, 8)
    """

    def __init__(self, dim: int, unflattened_size: Sequence[int]) -> None:
        super().__init__()
        self.dim = dim
        self.unflattened_size = tuple(unflattened_size)

    def forward(self, input: Tensor) -> Tensor:
        """Any shape that has the dimension."""
        return input.unflatten(self.dim, self.unflattened_size)

    def extra_repr(self) -> str:
        """Both arguments."""
        return f"{self.dim}, {self.unflattened_size}"
