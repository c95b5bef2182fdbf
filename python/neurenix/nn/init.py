"""Filling parameters with their first values: PyTorch's functions and distributions.

Every function changes the tensor in place, outside the tape, and returns it. Random ones take a `generator`; by
default the numbers are those that `neurenix.manual_seed` decides.
"""

from __future__ import annotations

from math import erf, prod, sqrt
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from neurenix._phynexus import Generator, Tensor
from neurenix.autograd import no_grad
from neurenix.nn._checks import choice

__all__ = [
    "calculate_gain",
    "constant_",
    "eye_",
    "kaiming_normal_",
    "kaiming_uniform_",
    "normal_",
    "ones_",
    "orthogonal_",
    "trunc_normal_",
    "uniform_",
    "xavier_normal_",
    "xavier_uniform_",
    "zeros_",
]

Mode = Literal["fan_in", "fan_out"]

GAINS = {
    "linear": 1.0,
    "conv1d": 1.0,
    "conv2d": 1.0,
    "conv3d": 1.0,
    "sigmoid": 1.0,
    "tanh": 5 / 3,
    "relu": sqrt(2),
    "selu": 3 / 4,
}


def calculate_gain(nonlinearity: str, param: float | None = None) -> float:
    """By how much the weights before a nonlinearity are larger than before none.

    Args:
        nonlinearity: "linear", "conv1d" ... "conv3d", "sigmoid", "tanh", "relu", "leaky_relu" or "selu".
        param: the slope of "leaky_relu", 0.01 by default.

    >>> calculate_gain("leaky_relu", 1.0)
    1.0
    """
    choice("calculate_gain", "nonlinearity", nonlinearity, [*GAINS, "leaky_relu"])
    if nonlinearity == "leaky_relu":
        return sqrt(2 / (1 + (0.01 if param is None else param) ** 2))
    return GAINS[nonlinearity]


@no_grad()
def uniform_(tensor: Tensor, a: float = 0.0, b: float = 1.0, generator: Generator | None = None) -> Tensor:
    """U(a, b).

    >>> import neurenix
    >>> uniform_(neurenix.empty(3), 2.0, 2.0)
    tensor([2.0000, 2.0000, 2.0000])
    """
    return tensor.uniform_(a, b, generator=generator)


@no_grad()
def normal_(
    tensor: Tensor, mean: float = 0.0, std: float = 1.0, generator: Generator | None = None
) -> Tensor:
    """N(mean, std^2).

    >>> import neurenix
    >>> normal_(neurenix.empty(3), mean=4.0, std=0.0)
    tensor([4.0000, 4.0000, 4.0000])
    """
    return tensor.normal_(mean, std, generator=generator)


@no_grad()
def trunc_normal_(
    tensor: Tensor,
    mean: float = 0.0,
    std: float = 1.0,
    a: float = -2.0,
    b: float = 2.0,
    generator: Generator | None = None,
) -> Tensor:
    """N(mean, std^2) without what lies outside [a, b]; the bounds are values, not multiples of std.

    >>> import neurenix
    >>> bool((trunc_normal_(neurenix.empty(1000)).abs() <= 2).all())
    True
    """
    if not a < b or not std > 0:
        raise ValueError(f"trunc_normal_: needs a < b and std > 0, got a={a}, b={b}, std={std}")
    # The inverse of the distribution function, at uniform numbers between its values at both bounds.
    low, high = (erf((bound - mean) / (std * sqrt(2))) for bound in (a, b))
    uniform = Tensor.rand(tensor.shape, dtype="float64", generator=generator).numpy()
    values = mean + std * sqrt(2) * _inverse_erf(low + (high - low) * uniform)
    return tensor.copy_(Tensor(np.clip(values, a, b)))


@no_grad()
def constant_(tensor: Tensor, val: float) -> Tensor:
    """One value everywhere.

    >>> import neurenix
    >>> constant_(neurenix.empty(2), 0.5)
    tensor([0.5000, 0.5000])
    """
    return tensor.fill_(val)


def ones_(tensor: Tensor) -> Tensor:
    """1 everywhere.

    >>> import neurenix
    >>> ones_(neurenix.empty(2))
    tensor([1.0000, 1.0000])
    """
    return constant_(tensor, 1.0)


def zeros_(tensor: Tensor) -> Tensor:
    """0 everywhere.

    >>> import neurenix
    >>> zeros_(neurenix.empty(2))
    tensor([0.0000, 0.0000])
    """
    return constant_(tensor, 0.0)


@no_grad()
def eye_(tensor: Tensor) -> Tensor:
    """1 on the diagonal of a matrix and 0 elsewhere: as much of the input as fits passes unchanged.

    >>> import neurenix
    >>> eye_(neurenix.empty(2, 2))
    tensor([[1.0000, 0.0000],
            [0.0000, 1.0000]])
    """
    if tensor.ndim != 2:
        raise ValueError(f"eye_: needs a matrix, got the shape {tensor.shape}")
    return tensor.copy_(Tensor.eye(*tensor.shape, dtype=tensor.dtype, device=tensor.device))


def xavier_uniform_(tensor: Tensor, gain: float = 1.0, generator: Generator | None = None) -> Tensor:
    """U(-s, s) with `s = gain sqrt(6 / (fan_in + fan_out))`.

    >>> import neurenix
    >>> bool((xavier_uniform_(neurenix.empty(3, 3)).abs() <= 1).all())
    True

    References: Glorot and Bengio, "Understanding the difficulty of training deep feedforward neural networks", 2010.
    """
    bound = gain * sqrt(6 / sum(_fans("xavier_uniform_", tensor)))
    return uniform_(tensor, -bound, bound, generator)


def xavier_normal_(tensor: Tensor, gain: float = 1.0, generator: Generator | None = None) -> Tensor:
    """N(0, s^2) with `s = gain sqrt(2 / (fan_in + fan_out))`.

    >>> import neurenix
    >>> xavier_normal_(neurenix.empty(3, 3), gain=0.0).abs().sum().item()
    0.0

    References: Glorot and Bengio, "Understanding the difficulty of training deep feedforward neural networks", 2010.
    """
    return normal_(tensor, 0.0, gain * sqrt(2 / sum(_fans("xavier_normal_", tensor))), generator)


def kaiming_uniform_(
    tensor: Tensor,
    a: float = 0,
    mode: Mode = "fan_in",
    nonlinearity: str = "leaky_relu",
    generator: Generator | None = None,
) -> Tensor:
    """U(-s, s) with `s = gain sqrt(3 / fan)`.

    Args:
        tensor: a weight of at least two dimensions (out, in, ...).
        a: slope of the leaky ReLU behind the layer.
        mode: "fan_in" keeps the variance of values, "fan_out" that of gradients.
        nonlinearity: decides the gain, see `calculate_gain`.
        generator: of the random numbers.

    >>> import neurenix
    >>> bool((kaiming_uniform_(neurenix.empty(4, 6)).abs() <= 1).all())
    True

    References: He and others, "Delving Deep into Rectifiers", arXiv:1502.01852.
    """
    bound = sqrt(3) * _kaiming_std("kaiming_uniform_", tensor, a, mode, nonlinearity)
    return uniform_(tensor, -bound, bound, generator)


def kaiming_normal_(
    tensor: Tensor,
    a: float = 0,
    mode: Mode = "fan_in",
    nonlinearity: str = "leaky_relu",
    generator: Generator | None = None,
) -> Tensor:
    """N(0, s^2) with `s = gain / sqrt(fan)`; arguments as those of `kaiming_uniform_`.

    >>> import neurenix
    >>> kaiming_normal_(neurenix.empty(4, 6), mode="fan_out").shape
    (4, 6)

    References: He and others, "Delving Deep into Rectifiers", arXiv:1502.01852.
    """
    return normal_(tensor, 0.0, _kaiming_std("kaiming_normal_", tensor, a, mode, nonlinearity), generator)


@no_grad()
def orthogonal_(tensor: Tensor, gain: float = 1, generator: Generator | None = None) -> Tensor:
    """Orthogonal rows or columns, whichever are fewer, of length `gain`; later dimensions count as one.

    >>> import neurenix
    >>> q = orthogonal_(neurenix.empty(3, 5))
    >>> neurenix.testing.assert_close(q @ q.T, neurenix.eye(3), atol=1e-5)

    References: Saxe and others, "Exact solutions to the nonlinear dynamics of learning in deep linear neural
    networks", arXiv:1312.6120.
    """
    if tensor.ndim < 2:
        raise ValueError(f"orthogonal_: needs at least two dimensions, got the shape {tensor.shape}")
    rows, columns = tensor.shape[0], prod(tensor.shape[1:])
    normal = Tensor.randn(
        max(rows, columns), min(rows, columns), dtype="float64", generator=generator
    ).numpy()
    q, r = np.linalg.qr(normal)
    q *= np.sign(np.diagonal(r))  # makes every orthogonal matrix equally likely
    q = gain * (q.T if rows < columns else q)
    return tensor.copy_(Tensor(np.ascontiguousarray(q)).reshape(tensor.shape))


def _fans(where: str, tensor: Tensor) -> tuple[int, int]:
    """How many inputs an output has, and how many outputs an input has."""
    if tensor.ndim < 2:
        raise ValueError(
            f"{where}: needs at least two dimensions (out, in, ...), got the shape {tensor.shape}"
        )
    if tensor.numel() == 0:
        raise ValueError(f"{where}: nothing to fill in a tensor of shape {tensor.shape}")
    field = prod(tensor.shape[2:])
    return tensor.shape[1] * field, tensor.shape[0] * field


def _kaiming_std(where: str, tensor: Tensor, a: float, mode: Mode, nonlinearity: str) -> float:
    choice(where, "mode", mode, ["fan_in", "fan_out"])
    fan_in, fan_out = _fans(where, tensor)
    return calculate_gain(nonlinearity, a) / sqrt(fan_in if mode == "fan_in" else fan_out)


def _inverse_erf(y: NDArray[np.float64]) -> NDArray[np.float64]:
    """Winitzki's approximation (2 permille), made exact by two steps of Halley's method."""
    y = np.clip(y, np.nextafter(-1, 0), np.nextafter(1, 0))
    log = np.log1p(-y * y)
    half = 2 / (np.pi * 0.147) + log / 2
    x: NDArray[np.float64] = np.sign(y) * np.sqrt(np.sqrt(half * half - log / 0.147) - half)
    for _ in range(2):
        error = (Tensor(x).erf().numpy() - y) * (np.sqrt(np.pi) / 2) * np.exp(x * x)
        x = x - error / (1 + x * error)
    return x
