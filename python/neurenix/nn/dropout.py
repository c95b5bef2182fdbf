"""Random zeros against overfitting."""

from __future__ import annotations

from neurenix import _phynexus
from neurenix._phynexus import Generator, Tensor
from neurenix.nn._checks import number
from neurenix.nn.module import Module

__all__ = ["Dropout"]


class Dropout(Module):
    """In training sets each element to 0 with probability p and divides the others by 1 - p.

    Args:
        p: in [0, 1].
        inplace: has no effect; the result is always a new tensor.
        generator: of the random numbers; by default the one that `neurenix.manual_seed` sets.

    >>> from neurenix import nn, ones
    >>> nn.Dropout(0.9).eval()(ones(3))
    tensor([1.0000, 1.0000, 1.0000])

    References: Srivastava and others, "Dropout: A Simple Way to Prevent Neural Networks from Overfitting", 2014.
    """

    def __init__(self, p: float = 0.5, inplace: bool = False, *, generator: Generator | None = None) -> None:
        super().__init__()
        self.p = number("Dropout", "p", p, 0, 1)
        self.generator = generator

    def forward(self, input: Tensor) -> Tensor:
        """Any shape."""
        return _phynexus.dropout(input, self.p, True, self.generator) if self.training else input

    def extra_repr(self) -> str:
        """The probability."""
        return f"p={self.p}"
