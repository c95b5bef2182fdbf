"""Layers that give activations a common scale."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from neurenix import _phynexus
from neurenix._phynexus import Tensor
from neurenix.nn import functional, init
from neurenix.nn._checks import number, positive
from neurenix.nn.module import Module
from neurenix.nn.parameter import Parameter

__all__ = ["BatchNorm1d", "LayerNorm"]


class BatchNorm1d(Module):
    """`(x - mean) / sqrt(var + eps) * w + b` for each channel, with mean and variance over batch and length.

    In training they are those of the batch, and running averages of them are kept for evaluation:
    `running ← (1 - momentum)·running + momentum·batch`, the variance with the divisor n - 1 there.

    Args:
        num_features: how many channels.
        eps: added to the variance, > 0.
        momentum: share of the batch in the running averages, in [0, 1]; None averages all batches alike.
        affine: whether there are w (starts as 1) and b (starts as 0).
        track_running_stats: whether there are running averages; without them evaluation uses the batch, too.
        device: of the tensors.
        dtype: of the tensors, float32 by default.
        bias: whether there is a b.

    Attributes:
        weight: w, or None.
        bias: b, or None.
        running_mean: of all batches, starts as 0, or None.
        running_var: of all batches, starts as 1, or None.
        num_batches_tracked: how many batches that were, or None.

    >>> from neurenix import Tensor, nn
    >>> layer = nn.BatchNorm1d(2)
    >>> layer(Tensor([[1.0, 5.0], [3.0, 5.0]])).detach()
    tensor([[-1.0000,  0.0000],
            [ 1.0000,  0.0000]])
    >>> layer.running_mean, layer.running_var
    (tensor([0.2000, 0.5000]), tensor([1.1000, 0.9000]))

    References: Ioffe and Szegedy, "Batch Normalization: Accelerating Deep Network Training by Reducing Internal
    Covariate Shift", arXiv:1502.03167.
    """

    weight: Parameter | None
    bias: Parameter | None
    running_mean: Tensor | None
    running_var: Tensor | None
    num_batches_tracked: Tensor | None

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
        device: Any = None,
        dtype: Any = None,
        *,
        bias: bool = True,
    ) -> None:
        super().__init__()
        self.num_features = positive("BatchNorm1d", "num_features", num_features)
        self.eps = number("BatchNorm1d", "eps", eps, 0, float("inf"))
        self.momentum = None if momentum is None else number("BatchNorm1d", "momentum", momentum, 0, 1)
        self.affine, self.track_running_stats = affine, track_running_stats
        where, size = {"device": device, "dtype": dtype}, (self.num_features,)
        self.weight = Parameter(Tensor.empty(size, **where)) if affine else None
        self.bias = Parameter(Tensor.empty(size, **where)) if affine and bias else None
        kept: dict[str, Tensor] = {}
        if track_running_stats:
            kept = {"running_mean": Tensor.empty(size, **where), "running_var": Tensor.empty(size, **where)}
            kept["num_batches_tracked"] = Tensor.zeros((), dtype="int64", device=device)
        for name in ("running_mean", "running_var", "num_batches_tracked"):
            self.register_buffer(name, kept.get(name))
        self.reset_parameters()

    def reset_running_stats(self) -> None:
        """Sets the running mean to 0, the running variance to 1, and forgets how many batches there were."""
        if self.running_mean is not None and self.running_var is not None:
            self.running_mean.zero_()
            self.running_var.fill_(1.0)
        if self.num_batches_tracked is not None:
            self.num_batches_tracked.zero_()

    def reset_parameters(self) -> None:
        """Sets w to 1 and b to 0, and the running averages to what they begin as."""
        self.reset_running_stats()
        if self.weight is not None:
            init.ones_(self.weight)
        if self.bias is not None:
            init.zeros_(self.bias)

    def forward(self, input: Tensor) -> Tensor:
        """Takes and gives (batch, channels) or (batch, channels, length)."""
        if input.ndim not in (2, 3) or input.shape[1] != self.num_features:
            raise ValueError(
                f"BatchNorm1d: input must be (batch, {self.num_features}) or (batch, {self.num_features}, length), "
                f"got {input.shape}"
            )
        mean, var = self.running_mean, self.running_var
        counted = self.num_batches_tracked if self.training else None
        share = self.momentum or 0.0
        if self.momentum is None and counted is not None:
            share = 1 / (int(counted) + 1)
        batch = self.training or mean is None or var is None
        result = functional.batch_norm(input, mean, var, self.weight, self.bias, batch, share, self.eps)
        if counted is not None:
            counted.add_(1)
        return result

    def extra_repr(self) -> str:
        """The arguments."""
        bias = ", bias=False" if self.affine and self.bias is None else ""
        return (
            f"{self.num_features}, eps={self.eps}, momentum={self.momentum}, affine={self.affine}, "
            f"track_running_stats={self.track_running_stats}{bias}"
        )


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
