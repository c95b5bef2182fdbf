"""The losses as modules; `functional.py` has the formulas and the shapes.

The modules take the arguments of the functions of the same name, apart from the input and the target.
"""

from __future__ import annotations

from typing import Any, ClassVar

from neurenix import _phynexus
from neurenix._phynexus import Tensor
from neurenix.nn import _losses
from neurenix.nn._checks import choice, number
from neurenix.nn.module import Module

__all__ = [
    "BCELoss",
    "BCEWithLogitsLoss",
    "CrossEntropyLoss",
    "HuberLoss",
    "KLDivLoss",
    "L1Loss",
    "MSELoss",
    "NLLLoss",
    "SmoothL1Loss",
]


class _Loss(Module):
    reductions: ClassVar[tuple[str, ...]] = _losses.REDUCTIONS

    def __init__(self, reduction: str = "mean") -> None:
        super().__init__()
        self.reduction: Any = choice(type(self).__name__, "reduction", reduction, self.reductions)

    def extra_repr(self) -> str:
        """What is not the default."""
        return "" if self.reduction == "mean" else f"reduction={self.reduction!r}"


class _Weighted(_Loss):
    """A loss with a constant tensor of weights, which moves with the module."""

    weight: Tensor | None

    def __init__(self, weight: Tensor | None, reduction: str) -> None:
        super().__init__(reduction)
        self.register_buffer("weight", weight)


class MSELoss(_Loss):
    """Squared error, see `functional.mse_loss`.

    >>> from neurenix import Tensor, nn
    >>> nn.MSELoss()(Tensor([1.0, 2.0]), Tensor([0.0, 4.0]))
    tensor(2.5000)
    """

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """Input and target of one shape."""
        return _phynexus.mse_loss(input, target, self.reduction)


class L1Loss(_Loss):
    """Absolute error, see `functional.l1_loss`.

    >>> from neurenix import Tensor, nn
    >>> nn.L1Loss(reduction="sum")(Tensor([1.0, 2.0]), Tensor([0.0, 4.0]))
    tensor(3.0000)
    """

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """Input and target of one shape."""
        return _losses.l1_loss(input, target, self.reduction)


class SmoothL1Loss(_Loss):
    """Quadratic near 0, linear beyond `beta`, see `functional.smooth_l1_loss`.

    >>> from neurenix import Tensor, nn
    >>> nn.SmoothL1Loss()(Tensor([1.0, 2.0]), Tensor([0.0, 4.0]))
    tensor(1.0000)
    """

    def __init__(self, reduction: str = "mean", beta: float = 1.0) -> None:
        super().__init__(reduction)
        self.beta = number("SmoothL1Loss", "beta", beta, 0, float("inf"))

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """Input and target of one shape."""
        return _losses.smooth_l1_loss(input, target, self.reduction, self.beta)


class HuberLoss(_Loss):
    """Quadratic near 0, linear beyond `delta`, see `functional.huber_loss`.

    >>> from neurenix import Tensor, nn
    >>> nn.HuberLoss(delta=0.5)(Tensor([1.0, 2.0]), Tensor([0.0, 4.0]))
    tensor(0.6250)
    """

    def __init__(self, reduction: str = "mean", delta: float = 1.0) -> None:
        super().__init__(reduction)
        self.delta = number("HuberLoss", "delta", delta, 5e-324, float("inf"))

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """Input and target of one shape."""
        return _losses.huber_loss(input, target, self.reduction, self.delta)


class KLDivLoss(_Loss):
    """Divergence of a distribution from log-probabilities, see `functional.kl_div`.

    >>> from neurenix import Tensor, nn
    >>> nn.KLDivLoss(reduction="batchmean")(Tensor([[0.5, 0.5]]).log(), Tensor([[0.75, 0.25]]))
    tensor(0.1308)
    """

    reductions = (*_losses.REDUCTIONS, "batchmean")

    def __init__(self, reduction: str = "mean", log_target: bool = False) -> None:
        super().__init__(reduction)
        self.log_target = log_target

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """Input and target of one shape."""
        return _losses.kl_div(input, target, self.reduction, self.log_target)


class BCELoss(_Weighted):
    """Cross entropy of probabilities of two classes, see `functional.binary_cross_entropy`.

    >>> from neurenix import Tensor, nn
    >>> nn.BCELoss()(Tensor([0.5, 0.9]), Tensor([1.0, 1.0]))
    tensor(0.3993)
    """

    def __init__(self, weight: Tensor | None = None, reduction: str = "mean") -> None:
        super().__init__(weight, reduction)

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """Input and target of one shape."""
        return _losses.binary_cross_entropy(input, target, self.weight, self.reduction)


class BCEWithLogitsLoss(_Weighted):
    """Cross entropy of logits of two classes, see `functional.binary_cross_entropy_with_logits`.

    >>> from neurenix import Tensor, nn
    >>> nn.BCEWithLogitsLoss(pos_weight=Tensor([2.0]))(Tensor([0.0]), Tensor([1.0]))
    tensor(1.3863)
    """

    pos_weight: Tensor | None

    def __init__(
        self, weight: Tensor | None = None, reduction: str = "mean", pos_weight: Tensor | None = None
    ) -> None:
        super().__init__(weight, reduction)
        self.register_buffer("pos_weight", pos_weight)

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """Input and target of one shape."""
        return _losses.binary_cross_entropy_with_logits(
            input, target, self.weight, self.pos_weight, self.reduction
        )


class NLLLoss(_Weighted):
    """Negative log-likelihood, see `functional.nll_loss`.

    >>> from neurenix import Tensor, nn
    >>> nn.NLLLoss()(Tensor([[-0.5, -1.0], [-2.0, -0.1]]), Tensor([0, 1]))
    tensor(0.3000)
    """

    def __init__(
        self, weight: Tensor | None = None, *, ignore_index: int = -100, reduction: str = "mean"
    ) -> None:
        super().__init__(weight, reduction)
        self.ignore_index = ignore_index

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """Input (N, C, d...) and target (N, d...)."""
        return _losses.nll_loss(
            input, target, self.weight, ignore_index=self.ignore_index, reduction=self.reduction
        )


class CrossEntropyLoss(_Weighted):
    """Cross entropy of logits, see `functional.cross_entropy`.

    >>> from neurenix import Tensor, nn
    >>> nn.CrossEntropyLoss()(Tensor([[2.0, 0.0], [0.0, 0.0]]), Tensor([0, 1]))
    tensor(0.4100)
    """

    def __init__(
        self,
        weight: Tensor | None = None,
        *,
        ignore_index: int = -100,
        reduction: str = "mean",
        label_smoothing: float = 0.0,
    ) -> None:
        super().__init__(weight, reduction)
        self.ignore_index = ignore_index
        self.label_smoothing = number("CrossEntropyLoss", "label_smoothing", label_smoothing, 0, 1)

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """Input (N, C, d...) and target (N, d...), or of the input's shape."""
        return _phynexus.cross_entropy(
            input, target, self.weight, self.ignore_index, self.reduction, self.label_smoothing
        )
