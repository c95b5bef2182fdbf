"""The losses as functions; `loss.py` has the modules.

N: batch, C: classes, d...: further dimensions.
"""

from __future__ import annotations

from typing import Any, Literal

from neurenix import _phynexus
from neurenix._phynexus import Tensor, apply, where

Reduction = Literal["none", "mean", "sum"]
REDUCTIONS = ("none", "mean", "sum")


def mse_loss(input: Tensor, target: Tensor, reduction: Reduction = "mean") -> Tensor:
    """Squared error: `(x - y)^2`.

    Args:
        input: predictions x, any shape.
        target: y, of the same shape.
        reduction: "none" (a loss for each element), "mean" or "sum".

    >>> from neurenix import Tensor
    >>> mse_loss(Tensor([1.0, 2.0]), Tensor([0.0, 4.0]))
    tensor(2.5000)
    """
    return _phynexus.mse_loss(input, target, reduction)


def l1_loss(input: Tensor, target: Tensor, reduction: Reduction = "mean") -> Tensor:
    """Absolute error: `|x - y|`; arguments as those of `mse_loss`.

    >>> from neurenix import Tensor
    >>> l1_loss(Tensor([1.0, 2.0]), Tensor([0.0, 4.0]))
    tensor(1.5000)
    """
    return _phynexus.elementwise_loss("absolute_error", input, target, reduction)


def smooth_l1_loss(input: Tensor, target: Tensor, reduction: Reduction = "mean", beta: float = 1.0) -> Tensor:
    """`(x - y)^2 / (2 beta)` where `|x - y| < beta`, else `|x - y| - beta / 2`.

    Args:
        input: predictions x, any shape.
        target: y, of the same shape.
        reduction: "none", "mean" or "sum".
        beta: where the loss turns from quadratic to linear, >= 0; 0 is the absolute error.

    >>> from neurenix import Tensor
    >>> smooth_l1_loss(Tensor([1.0, 2.0]), Tensor([0.0, 4.0]))
    tensor(1.0000)

    References: Girshick, "Fast R-CNN", arXiv:1504.08083.
    """
    if not beta >= 0:
        raise ValueError(f"smooth_l1_loss: beta must be at least 0, got {beta}")
    return _phynexus.elementwise_loss("smooth_l1", input, target, reduction, beta)


def huber_loss(input: Tensor, target: Tensor, reduction: Reduction = "mean", delta: float = 1.0) -> Tensor:
    """`(x - y)^2 / 2` where `|x - y| <= delta`, else `delta (|x - y| - delta / 2)`.

    Args:
        input: predictions x, any shape.
        target: y, of the same shape.
        reduction: "none", "mean" or "sum".
        delta: where the loss turns from quadratic to linear, > 0.

    >>> from neurenix import Tensor
    >>> huber_loss(Tensor([1.0, 2.0]), Tensor([0.0, 4.0]), delta=0.5)
    tensor(0.6250)

    References: Huber, "Robust Estimation of a Location Parameter", 1964.
    """
    if not delta > 0:
        raise ValueError(f"huber_loss: delta must be above 0, got {delta}")
    return _phynexus.elementwise_loss("huber", input, target, reduction, delta)


def kl_div(
    input: Tensor,
    target: Tensor,
    reduction: Literal["none", "mean", "sum", "batchmean"] = "mean",
    log_target: bool = False,
) -> Tensor:
    """Kullback-Leibler divergence: `y (log(y) - x)`, 0 where y is 0.

    Args:
        input: logarithms x of predicted probabilities, (N, d...).
        target: probabilities y of the same shape, or with `log_target` their logarithms.
        reduction: "none", "mean" (over all elements), "sum", or "batchmean": the sum divided by N, which is what
            the divergence means.
        log_target: whether the target holds logarithms.

    >>> from neurenix import Tensor
    >>> kl_div(Tensor([[0.5, 0.5]]).log(), Tensor([[0.75, 0.25]]), reduction="batchmean")
    tensor(0.1308)
    """
    name = "kl_div_log_target" if log_target else "kl_div"
    if reduction != "batchmean":
        return _phynexus.elementwise_loss(name, input, target, reduction)
    if input.ndim == 0:
        raise ValueError('kl_div: "batchmean" needs a batch dimension, got a tensor of shape ()')
    return _phynexus.elementwise_loss(name, input, target, "sum") / input.shape[0]


def binary_cross_entropy(
    input: Tensor, target: Tensor, weight: Tensor | None = None, reduction: Reduction = "mean"
) -> Tensor:
    """`-(y log(p) + (1 - y) log(1 - p))`; logarithms are never less than -100.

    Args:
        input: predicted probabilities p in [0, 1], any shape.
        target: y in [0, 1], of the same shape.
        weight: factors of the elements' losses; broadcasts to the shape of the input.
        reduction: "none", "mean" or "sum".

    >>> from neurenix import Tensor
    >>> binary_cross_entropy(Tensor([0.5, 0.9]), Tensor([1.0, 1.0]))
    tensor(0.3993)
    """
    return _phynexus.elementwise_loss("bce", input, target, reduction, weight=weight)


def binary_cross_entropy_with_logits(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    pos_weight: Tensor | None = None,
    reduction: Reduction = "mean",
) -> Tensor:
    """`binary_cross_entropy` of `sigmoid(x)`, without the loss of digits.

    Args:
        input: logits x, any shape.
        target: y in [0, 1], of the same shape.
        weight: factors of the elements' losses; broadcasts to the shape of the input.
        pos_weight: factors of the part `y log(p)`, for instance one for each class; broadcasts likewise.
        reduction: "none", "mean" or "sum".

    >>> from neurenix import Tensor
    >>> binary_cross_entropy_with_logits(Tensor([0.0, 1000.0]), Tensor([1.0, 1.0]))
    tensor(0.3466)
    """
    if pos_weight is None:
        return _phynexus.elementwise_loss("bce_with_logits", input, target, reduction, weight=weight)
    if input.shape != target.shape:
        raise ValueError(
            f"bce_with_logits: the input has shape {input.shape}, the target {target.shape}; they must be equal"
        )
    loss: Any = apply("bce_with_logits_weighted", [input, target, pos_weight.expand(input.shape)])
    return _reduced(loss if weight is None else loss * weight, reduction)


def cross_entropy(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    *,
    ignore_index: int = -100,
    reduction: Reduction = "mean",
    label_smoothing: float = 0.0,
) -> Tensor:
    """`-w[y] log(softmax(x)[y])`.

    Args:
        input: logits x, (C), (N, C) or (N, C, d...).
        target: class numbers y of an integer dtype, (), (N) or (N, d...); or probabilities of the input's shape.
        weight: a factor w for each class, (C); "mean" then divides by the sum of the weights of the targets.
        ignore_index: a class number that counts as no target.
        reduction: "none", "mean" or "sum".
        label_smoothing: share of the target, in [0, 1], that is spread evenly over all classes.

    >>> from neurenix import Tensor
    >>> cross_entropy(Tensor([[2.0, 0.0], [0.0, 0.0]]), Tensor([0, 1]))
    tensor(0.4100)

    References: label smoothing from Szegedy and others, "Rethinking the Inception Architecture", arXiv:1512.00567.
    """
    return _phynexus.cross_entropy(input, target, weight, ignore_index, reduction, label_smoothing)


def nll_loss(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    *,
    ignore_index: int = -100,
    reduction: Reduction = "mean",
) -> Tensor:
    """`-w[y] x[y]`: the negative log-likelihood, where x are logarithms of probabilities.

    Args:
        input: x, (C), (N, C) or (N, C, d...).
        target: class numbers y of an integer dtype, (), (N) or (N, d...).
        weight: a factor w for each class, (C); "mean" then divides by the sum of the weights of the targets.
        ignore_index: a class number that counts as no target.
        reduction: "none", "mean" or "sum".

    >>> from neurenix import Tensor
    >>> nll_loss(Tensor([[-0.5, -1.0], [-2.0, -0.1]]), Tensor([0, 1]))
    tensor(0.3000)
    """
    if input.ndim == 0 or target.is_floating_point():
        raise ValueError(
            f"nll_loss: expected an input (N, C) and integer class numbers, got the shape {input.shape} and the "
            f"dtype {target.dtype.name}"
        )
    dim = min(input.ndim - 1, 1)
    expected = input.shape[:dim] + input.shape[dim + 1 :]
    if target.shape != expected:
        raise ValueError(
            f"nll_loss: a target of shape {target.shape} does not fit the input {input.shape}; expected {expected}"
        )
    if weight is not None and weight.shape != (input.shape[dim],):
        raise ValueError(f"nll_loss: weight must have the shape {(input.shape[dim],)}, got {weight.shape}")
    counts = target.ne(ignore_index)
    label = target.long().where(counts, 0)
    picked = input.gather(dim, label.unsqueeze(dim)).squeeze(dim)
    factor = Tensor.ones_like(picked) if weight is None else weight.index_select(0, label.flatten())
    factor = factor.reshape(picked.shape).where(counts, 0)
    loss = where(counts, -picked * factor, 0)
    return loss.sum() / factor.sum() if reduction == "mean" else _reduced(loss, reduction)


def _reduced(loss: Tensor, reduction: str) -> Tensor:
    if reduction not in REDUCTIONS:
        raise ValueError(f"reduction must be one of {REDUCTIONS}, got {reduction!r}")
    return loss.mean() if reduction == "mean" else loss.sum() if reduction == "sum" else loss
