"""Layers of matrix products."""

from __future__ import annotations

from math import sqrt
from typing import Any

from neurenix import _phynexus
from neurenix._phynexus import Tensor
from neurenix.nn import init
from neurenix.nn._checks import positive
from neurenix.nn.module import Module
from neurenix.nn.parameter import Parameter

__all__ = ["Identity", "Linear"]


class Identity(Module):
    """Gives back what it gets; any arguments are accepted and forgotten.

    >>> from neurenix import nn, ones
    >>> nn.Identity(54, unused=0.1)(ones(2))
    tensor([1.0000, 1.0000])
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__()

    def forward(self, input: Tensor) -> Tensor:
        """The input itself."""
        return input


class Linear(Module):
    """`y = x W^T + b`. Both start as U(-1/sqrt(in), 1/sqrt(in)).

    Args:
        in_features: size of the last dimension of the input, >= 1.
        out_features: size of the last dimension of the output, >= 1.
        bias: whether there is a b.
        device: of the parameters.
        dtype: of the parameters, float32 by default.

    Attributes:
        weight: W, (out_features, in_features).
        bias: b, (out_features), or None.

    >>> import neurenix
    >>> layer = neurenix.nn.Linear(10, 5)
    >>> layer(neurenix.ones(100, 10)).shape
    (100, 5)
    """

    weight: Parameter
    bias: Parameter | None

    def __init__(
        self, in_features: int, out_features: int, bias: bool = True, device: Any = None, dtype: Any = None
    ) -> None:
        super().__init__()
        self.in_features = positive("Linear", "in_features", in_features)
        self.out_features = positive("Linear", "out_features", out_features)
        where = {"device": device, "dtype": dtype}
        self.weight = Parameter(Tensor.empty((self.out_features, self.in_features), **where))
        self.bias = Parameter(Tensor.empty((self.out_features,), **where)) if bias else None
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draws the parameters anew."""
        bound = 1 / sqrt(self.in_features)
        init.uniform_(self.weight, -bound, bound)
        if self.bias is not None:
            init.uniform_(self.bias, -bound, bound)

    def forward(self, input: Tensor) -> Tensor:
        """Takes (..., in_features) and gives (..., out_features)."""
        return _phynexus.linear(input, self.weight, self.bias)

    def extra_repr(self) -> str:
        """The sizes, and whether the bias is missing."""
        return f"{self.in_features}, {self.out_features}" + (", bias=False" if self.bias is None else "")
