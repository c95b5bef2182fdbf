"""Layers that give activations a common scale."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from neurenix import _phynexus
from neurenix._phynexus import Tensor
from neurenix.nn import init
from neurenix.nn._checks import number, positive
from neurenix.nn.module import Module
from neurenix.nn.parameter import Parameter

__all__ = ["LayerNorm"]


class LayerNorm(Module):
    """`(x - mean) / sqrt(var + eps) * w + b`, with mean and variance over the last dimensions.

    Args:
        normalized_shape: sizes of the last dimensions, or the size of the last.
        eps: added to the variance (with divisor n), > 0.
        elementwise_affine: whether there are w (starts as 1) and b (starts as 0).
        bias: whether there is a b.
        device: of the parameters.
        dtype: of the parameters, float32 by default.

    Attributes:
        weight: w, of the normalized shape, or None.
        bias: b, of the normalized shape, or None.

    >>> from neurenix import Tensor, nn
    >>> nn.LayerNorm(2)(Tensor([[1.0, 3.0], [5.0, 5.0]])).detach()
    tensor([[-1.0000,  1.0000],
            [ 0.0000,  0.0000]])

    References: Ba, Kiros and Hinton, "Layer Normalization", arXiv:1607.06450.
    """

    weight: Parameter | None
    bias: Parameter | None

    def __init__(
        self,
        normalized_shape: int | Sequence[int],
        eps: float = 1e-5,
        elementwise_affine: bool = True,
        bias: bool = True,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        sizes = normalized_shape if isinstance(normalized_shape, Sequence) else (normalized_shape,)
        self.normalized_shape = tuple(positive("LayerNorm", "normalized_shape", size) for size in sizes)
        if not self.normalized_shape:
            raise ValueError("LayerNorm: normalized_shape must name at least one size, got ()")
        self.eps = number("LayerNorm", "eps", eps, 0, float("inf"))
        where = {"device": device, "dtype": dtype}
        shape = self.normalized_shape
        self.weight = Parameter(Tensor.empty(shape, **where)) if elementwise_affine else None
        self.bias = Parameter(Tensor.empty(shape, **where)) if elementwise_affine and bias else None
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Sets w to 1 and b to 0."""
        if self.weight is not None:
            init.ones_(self.weight)
        if self.bias is not None:
            init.zeros_(self.bias)

    def forward(self, input: Tensor) -> Tensor:
        """Takes and gives (..., *normalized_shape)."""
        return _phynexus.layer_norm(input, self.normalized_shape, self.weight, self.bias, self.eps)

    def extra_repr(self) -> str:
        """The shape, and what is not the default."""
        affine = "" if self.weight is not None else ", elementwise_affine=False"
        bias = ", bias=False" if self.bias is None and self.weight is not None else ""
        return f"{self.normalized_shape}, eps={self.eps}{affine}{bias}"
