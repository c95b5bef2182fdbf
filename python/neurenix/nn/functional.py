"""Layers and losses as functions: everything that a module computes, without the module.

Names, arguments and results are those of `torch.nn.functional`.

>>> import neurenix
>>> from neurenix.nn import functional as F
>>> F.relu(neurenix.Tensor([-1.0, 2.0]))
tensor([0.0000, 2.0000])
"""

from __future__ import annotations

from collections.abc import Sequence

from neurenix import _phynexus
from neurenix._phynexus import Generator, Tensor, embedding, layer_norm
from neurenix.autograd import no_grad
from neurenix.nn._losses import (
    binary_cross_entropy,
    binary_cross_entropy_with_logits,
    cross_entropy,
    huber_loss,
    kl_div,
    l1_loss,
    mse_loss,
    nll_loss,
    smooth_l1_loss,
)

__all__ = [
    "batch_norm",
    "binary_cross_entropy",
    "binary_cross_entropy_with_logits",
    "cross_entropy",
    "dropout",
    "elu",
    "embedding",
    "gelu",
    "hardtanh",
    "huber_loss",
    "kl_div",
    "l1_loss",
    "layer_norm",
    "leaky_relu",
    "linear",
    "log_softmax",
    "logsigmoid",
    "mish",
    "mse_loss",
    "nll_loss",
    "one_hot",
    "pad",
    "relu",
    "sigmoid",
    "silu",
    "smooth_l1_loss",
    "softmax",
    "softplus",
    "softsign",
    "tanh",
]

elu = Tensor.elu
gelu = Tensor.gelu
leaky_relu = Tensor.leaky_relu
log_softmax = Tensor.log_softmax
mish = Tensor.mish
one_hot = Tensor.one_hot
relu = Tensor.relu
sigmoid = Tensor.sigmoid
silu = Tensor.silu
softmax = Tensor.softmax
softplus = Tensor.softplus
softsign = Tensor.softsign
tanh = Tensor.tanh


def linear(input: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """`x W^T + b`.

    Args:
        input: x, (..., in).
        weight: W, (out, in).
        bias: b, (out), or None.

    >>> from neurenix import Tensor
    >>> linear(Tensor([[1.0, 2.0]]), Tensor([[3.0, 4.0]]), Tensor([0.5]))
    tensor([[11.5000]])
    """
    return _phynexus.linear(input, weight, bias)


def hardtanh(input: Tensor, min_val: float = -1.0, max_val: float = 1.0) -> Tensor:
    """The values between two bounds, and the nearer bound for all others.

    >>> from neurenix import Tensor
    >>> hardtanh(Tensor([-3.0, 0.5]))
    tensor([-1.0000, 0.5000])
    """
    return input.clamp(min_val, max_val)


def logsigmoid(input: Tensor) -> Tensor:
    """`log(sigmoid(x))`.

    >>> from neurenix import Tensor
    >>> logsigmoid(Tensor([0.0, -100.0]))
    tensor([  -0.6931, -100.0000])
    """
    return -(-input).softplus(1.0, 40.0)  # above 40 softplus is linear to the last bit of float64


def dropout(
    input: Tensor, p: float = 0.5, training: bool = True, generator: Generator | None = None
) -> Tensor:
    """Sets each element to 0 with probability p and divides the others by 1 - p; outside training does nothing.

    Args:
        input: any shape.
        p: in [0, 1].
        training: whether anything happens at all.
        generator: of the random numbers; by default the one that `manual_seed` sets.

    >>> from neurenix import ones
    >>> dropout(ones(2), p=0.9, training=False)
    tensor([1.0000, 1.0000])

    References: Srivastava and others, "Dropout: A Simple Way to Prevent Neural Networks from Overfitting", 2014.
    """
    return _phynexus.dropout(input, p, training, generator)


def batch_norm(
    input: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    """`(x - mean) / sqrt(var + eps) * w + b` for each channel, the second dimension.

    Args:
        input: (batch, channels) or (batch, channels, ...).
        running_mean: the mean of each channel that is used outside training; (1 - momentum)·old + momentum·new of it is
            written in training.
        running_var: the same for the variance, whose new value has the divisor n - 1.
        weight: w of each channel.
        bias: b of each channel.
        training: whether mean and variance (with divisor n) are those of the input.
        momentum: how much of the input's go into the running ones, in [0, 1].
        eps: added to the variance.

    Raises:
        ValueError: if there are no channels, if a tensor does not have one value for each, if a channel has but one
            value in training, or outside of it no running mean or variance.

    >>> from neurenix import Tensor
    >>> batch_norm(Tensor([[1.0, 5.0], [3.0, 5.0]]), None, None, training=True)
    tensor([[-1.0000,  0.0000],
            [ 1.0000,  0.0000]])

    References: Ioffe and Szegedy, "Batch Normalization", arXiv:1502.03167.
    """
    if input.ndim < 2:
        raise ValueError(
            f"batch_norm: input must have the dimensions (batch, channels, ...), got {input.shape}"
        )
    channels = input.shape[1]
    given = {"running_mean": running_mean, "running_var": running_var, "weight": weight, "bias": bias}
    for name, tensor in given.items():
        if tensor is not None and tensor.shape != (channels,):
            raise ValueError(
                f"batch_norm: {name} has shape {tensor.shape}, the input has {channels} channels"
            )
    over = 1, channels, *(1 for _ in input.shape[2:])
    if training:
        rows = input.transpose(0, 1).reshape(channels, -1)
        count = rows.shape[1]
        if count < 2:
            raise ValueError(
                f"batch_norm: training needs more than 1 value for each channel, got the input {input.shape}; "
                "give a larger batch, or call eval() of the module"
            )
        with no_grad():
            if running_mean is not None:
                running_mean.lerp_(rows.mean(1).to(running_mean), momentum)
            if running_var is not None:
                running_var.lerp_(rows.var(1).to(running_var), momentum)
        across = (channels, input.shape[0], *input.shape[2:])
        result = layer_norm(rows, (count,), None, None, eps).reshape(across).transpose(0, 1)
    elif running_mean is None or running_var is None:
        raise ValueError("batch_norm: outside training a running_mean and a running_var are needed")
    else:
        scale = (running_var.to(input) + eps).sqrt().reshape(over)
        result = (input - running_mean.to(input).reshape(over)) / scale
    result = result if weight is None else result * weight.reshape(over)
    return result if bias is None else result + bias.reshape(over)


def pad(input: Tensor, pad: Sequence[int], mode: str = "constant", value: float = 0.0) -> Tensor:
    """Adds elements of one value around a tensor.

    Args:
        input: any shape.
        pad: how many before and after the last dimension, then before and after the one before it, and so on;
            negative sizes cut off.
        mode: "constant" is the only one.
        value: of the new elements.

    >>> from neurenix import ones
    >>> pad(ones(2), (1, 2))
    tensor([0.0000, 1.0000, 1.0000, 0.0000, 0.0000])
    """
    if mode != "constant":
        raise ValueError(f'pad: mode must be "constant", got {mode!r}')
    return input.pad(pad, value)
