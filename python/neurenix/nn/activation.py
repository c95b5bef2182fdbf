"""Activations: functions of each element, and softmax.

The `inplace` of PyTorch's activations is accepted so that models can be moved over; the result is always a new
tensor, and its memory is recycled.
"""

from __future__ import annotations

from typing import ClassVar, Literal

from neurenix._phynexus import Tensor
from neurenix.nn import functional
from neurenix.nn._checks import choice
from neurenix.nn.module import Module

__all__ = [
    "ELU",
    "GELU",
    "Hardtanh",
    "LeakyReLU",
    "LogSigmoid",
    "LogSoftmax",
    "Mish",
    "ReLU",
    "SiLU",
    "Sigmoid",
    "Softmax",
    "Softplus",
    "Softsign",
    "Tanh",
]


class _Plain(Module):
    """An activation without parameters that the engine can apply at the end of another operation."""

    #: The engine's name for it.
    operation: ClassVar[str]


class _InPlace(_Plain):
    def __init__(self, inplace: bool = False) -> None:
        super().__init__()


class ReLU(_InPlace):
    """`max(x, 0)`.

    >>> from neurenix import Tensor, nn
    >>> nn.ReLU()(Tensor([-1.0, 2.0]))
    tensor([0.0000, 2.0000])
    """

    operation = "relu"

    def forward(self, input: Tensor) -> Tensor:
        """Any shape."""
        return input.relu()


class SiLU(_InPlace):
    """`x sigmoid(x)`.

    >>> from neurenix import Tensor, nn
    >>> nn.SiLU()(Tensor([0.0, 1.0]))
    tensor([0.0000, 0.7311])

    References: Hendrycks and Gimpel, "Gaussian Error Linear Units", arXiv:1606.08415.
    """

    operation = "silu"

    def forward(self, input: Tensor) -> Tensor:
        """Any shape."""
        return input.silu()


class Mish(_InPlace):
    """`x tanh(softplus(x))`.

    >>> from neurenix import Tensor, nn
    >>> nn.Mish()(Tensor([0.0, 1.0]))
    tensor([0.0000, 0.8651])

    References: Misra, "Mish: A Self Regularized Non-Monotonic Activation Function", arXiv:1908.08681.
    """

    operation = "mish"

    def forward(self, input: Tensor) -> Tensor:
        """Any shape."""
        return input.mish()


class Sigmoid(_Plain):
    """`1 / (1 + exp(-x))`.

    >>> from neurenix import Tensor, nn
    >>> nn.Sigmoid()(Tensor([0.0, 1.0]))
    tensor([0.5000, 0.7311])
    """

    operation = "sigmoid"

    def forward(self, input: Tensor) -> Tensor:
        """Any shape."""
        return input.sigmoid()


class Tanh(_Plain):
    """`tanh(x)`.

    >>> from neurenix import Tensor, nn
    >>> nn.Tanh()(Tensor([0.0, 1.0]))
    tensor([0.0000, 0.7616])
    """

    operation = "tanh"

    def forward(self, input: Tensor) -> Tensor:
        """Any shape."""
        return input.tanh()


class Softsign(_Plain):
    """`x / (1 + |x|)`.

    >>> from neurenix import Tensor, nn
    >>> nn.Softsign()(Tensor([1.0, -3.0]))
    tensor([ 0.5000, -0.7500])
    """

    operation = "softsign"

    def forward(self, input: Tensor) -> Tensor:
        """Any shape."""
        return input.softsign()


#: Those that a linear operation can apply itself.
FUSED = frozenset({Mish, ReLU, Sigmoid, SiLU, Softsign, Tanh})


class GELU(Module):
    """`x Phi(x)`, Phi being the normal distribution function.

    Args:
        approximate: "none", or "tanh": `x/2 (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3)))`.

    >>> from neurenix import Tensor, nn
    >>> nn.GELU()(Tensor([0.0, 1.0]))
    tensor([0.0000, 0.8413])

    References: Hendrycks and Gimpel, "Gaussian Error Linear Units", arXiv:1606.08415.
    """

    def __init__(self, approximate: Literal["none", "tanh"] = "none") -> None:
        super().__init__()
        self.approximate = choice("GELU", "approximate", approximate, ["none", "tanh"])

    def forward(self, input: Tensor) -> Tensor:
        """Any shape."""
        return input.gelu(self.approximate)

    def extra_repr(self) -> str:
        """The approximation, if any."""
        return "" if self.approximate == "none" else f"approximate={self.approximate!r}"


class LeakyReLU(Module):
    """x where it is positive, else `slope x`.

    Args:
        negative_slope: slope of the negative half.
        inplace: has no effect.

    >>> from neurenix import Tensor, nn
    >>> nn.LeakyReLU(0.1)(Tensor([-1.0, 2.0]))
    tensor([-0.1000,  2.0000])
    """

    def __init__(self, negative_slope: float = 0.01, inplace: bool = False) -> None:
        super().__init__()
        self.negative_slope = negative_slope

    def forward(self, input: Tensor) -> Tensor:
        """Any shape."""
        return input.leaky_relu(self.negative_slope)

    def extra_repr(self) -> str:
        """The slope."""
        return f"{self.negative_slope}"


class ELU(Module):
    """x where it is positive, else `alpha (exp(x) - 1)`.

    Args:
        alpha: minus the limit on the left.
        inplace: has no effect.

    >>> from neurenix import Tensor, nn
    >>> nn.ELU()(Tensor([-1.0, 2.0]))
    tensor([-0.6321,  2.0000])

    References: Clevert and others, "Fast and Accurate Deep Network Learning by Exponential Linear Units",
    arXiv:1511.07289.
    """

    def __init__(self, alpha: float = 1.0, inplace: bool = False) -> None:
        super().__init__()
        self.alpha = alpha

    def forward(self, input: Tensor) -> Tensor:
        """Any shape."""
        return input.elu(self.alpha)

    def extra_repr(self) -> str:
        """Alpha."""
        return f"alpha={self.alpha}"


class Softplus(Module):
    """`log(1 + exp(beta x)) / beta`, and x itself where `beta x` is above the threshold.

    Args:
        beta: the sharpness of the bend.
        threshold: above it the function is linear.

    >>> from neurenix import Tensor, nn
    >>> nn.Softplus()(Tensor([0.0, 30.0]))
    tensor([ 0.6931, 30.0000])
    """

    def __init__(self, beta: float = 1.0, threshold: float = 20.0) -> None:
        super().__init__()
        self.beta = beta
        self.threshold = threshold

    def forward(self, input: Tensor) -> Tensor:
        """Any shape."""
        return input.softplus(self.beta, self.threshold)

    def extra_repr(self) -> str:
        """Both numbers."""
        return f"beta={self.beta}, threshold={self.threshold}"


class LogSigmoid(Module):
    """`log(sigmoid(x))`.

    >>> from neurenix import Tensor, nn
    >>> nn.LogSigmoid()(Tensor([0.0]))
    tensor([-0.6931])
    """

    def forward(self, input: Tensor) -> Tensor:
        """Any shape."""
        return functional.logsigmoid(input)


class Hardtanh(Module):
    """x between two bounds, and the nearer bound elsewhere.

    Args:
        min_val: the lower bound.
        max_val: the upper bound.
        inplace: has no effect.

    >>> from neurenix import Tensor, nn
    >>> nn.Hardtanh()(Tensor([-3.0, 0.5]))
    tensor([-1.0000,  0.5000])
    """

    def __init__(self, min_val: float = -1.0, max_val: float = 1.0, inplace: bool = False) -> None:
        super().__init__()
        if not min_val < max_val:
            raise ValueError(f"Hardtanh: min_val must be below max_val, got {min_val} and {max_val}")
        self.min_val = min_val
        self.max_val = max_val

    def forward(self, input: Tensor) -> Tensor:
        """Any shape."""
        return input.clamp(self.min_val, self.max_val)

    def extra_repr(self) -> str:
        """Both bounds."""
        return f"{self.min_val}, {self.max_val}"


class Softmax(Module):
    """`exp(x) / sum(exp(x))` along one dimension.

    Args:
        dim: the dimension whose elements add up to 1.

    >>> from neurenix import Tensor, nn
    >>> nn.Softmax(dim=-1)(Tensor([[0.0, 0.0], [1.0, 0.0]]))
    tensor([[0.5000, 0.5000],
            [0.7311, 0.2689]])
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.dim = dim

    def forward(self, input: Tensor) -> Tensor:
        """Any shape that has the dimension."""
        return input.softmax(self.dim)

    def extra_repr(self) -> str:
        """The dimension."""
        return f"dim={self.dim}"


class LogSoftmax(Softmax):
    """The logarithm of `Softmax`, without its rounding to 0.

    Args:
        dim: the dimension whose elements belong together.

    >>> from neurenix import Tensor, nn
    >>> nn.LogSoftmax(dim=-1)(Tensor([0.0, 0.0]))
    tensor([-0.6931, -0.6931])
    """

    def forward(self, input: Tensor) -> Tensor:
        """Any shape that has the dimension."""
        return input.log_softmax(self.dim)
