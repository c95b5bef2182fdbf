"""Functions of all parameters of a model."""

from __future__ import annotations

from collections.abc import Iterable
from math import inf, isfinite

from neurenix._phynexus import Tensor, cat, stack
from neurenix.autograd import no_grad

__all__ = ["clip_grad_norm_", "clip_grad_value_", "parameters_to_vector", "vector_to_parameters"]


def _gradients(parameters: Tensor | Iterable[Tensor]) -> list[Tensor]:
    parameters = [parameters] if isinstance(parameters, Tensor) else parameters
    return [parameter.grad for parameter in parameters if parameter.grad is not None]


@no_grad()
def clip_grad_norm_(
    parameters: Tensor | Iterable[Tensor],
    max_norm: float,
    norm_type: float = 2.0,
    error_if_nonfinite: bool = False,
) -> Tensor:
    """Scales all gradients by one factor so that their common norm is at most `max_norm`.

    Args:
        parameters: those without a gradient are skipped; they may be on several devices.
        max_norm: > 0.
        norm_type: p of the p-norm; `float("inf")` is the largest absolute value.
        error_if_nonfinite: whether a norm that is NaN or infinite is an error.

    Returns:
        The norm before, on the device of the first gradient.

    >>> import neurenix
    >>> p = neurenix.nn.Parameter(neurenix.zeros(2))
    >>> p.grad = neurenix.Tensor([3.0, 4.0])
    >>> clip_grad_norm_([p], 1.0), p.grad
    (tensor(5.0000), tensor([0.6000, 0.8000]))

    References: Pascanu and others, "On the difficulty of training Recurrent Neural Networks", arXiv:1211.5063.
    """
    gradients = _gradients(parameters)
    if not gradients:
        return Tensor(0.0)
    device = gradients[0].device
    norms = stack([gradient.flatten().float().norm(norm_type).to(device) for gradient in gradients])
    total = norms.max() if norm_type == inf else norms.norm(norm_type)
    value = total.item()
    if error_if_nonfinite and not isfinite(value):
        raise RuntimeError(
            f"clip_grad_norm_: the norm of the gradients is {value}; find out which with isfinite()"
        )
    factor = max_norm / (value + 1e-6)
    if not factor >= 1:
        for gradient in gradients:
            gradient.mul_(factor)
    return total


@no_grad()
def clip_grad_value_(parameters: Tensor | Iterable[Tensor], clip_value: float) -> None:
    """Clamps every element of every gradient to [-clip_value, clip_value].

    >>> import neurenix
    >>> p = neurenix.nn.Parameter(neurenix.zeros(2))
    >>> p.grad = neurenix.Tensor([3.0, -0.5])
    >>> clip_grad_value_([p], 1.0)
    >>> p.grad
    tensor([ 1.0000, -0.5000])
    """
    for gradient in _gradients(parameters):
        gradient.clamp_(-clip_value, clip_value)


def parameters_to_vector(parameters: Iterable[Tensor]) -> Tensor:
    """All values, one after the other, as one dimension.

    >>> from neurenix import nn
    >>> parameters_to_vector(nn.Linear(3, 2).parameters()).shape
    (8,)
    """
    return cat([parameter.flatten() for parameter in parameters])


@no_grad()
def vector_to_parameters(vec: Tensor, parameters: Iterable[Tensor]) -> None:
    """Copies the values of a vector into parameters, in their order.

    Raises:
        ValueError: if the vector is longer or shorter than all parameters together; nothing is changed then.

    >>> from neurenix import nn, zeros
    >>> layer = nn.Linear(3, 2)
    >>> vector_to_parameters(zeros(8), layer.parameters())
    >>> layer.weight.abs().sum().item()
    0.0
    """
    parameters = list(parameters)
    expected = sum(parameter.numel() for parameter in parameters)
    if vec.shape != (expected,):
        raise ValueError(
            f"vector_to_parameters: expected a vector of {expected} values, got the shape {vec.shape}"
        )
    start = 0
    for parameter in parameters:
        parameter.copy_(vec.narrow(0, start, parameter.numel()).reshape(parameter.shape))
        start += parameter.numel()
