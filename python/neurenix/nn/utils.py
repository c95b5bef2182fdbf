"""Functions of all parameters of a model."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from math import hypot, inf, isfinite
from typing import Any

from neurenix._phynexus import RowSparse, Tensor, cat, stack
from neurenix.autograd import no_grad

from ._checks import number

__all__ = ["clip_grad_norm_", "clip_grad_value_", "parameters_to_vector", "vector_to_parameters"]


def _gradients(where: str, parameters: Tensor | Iterable[Tensor]) -> list[Tensor]:
    """The gradients that there are; of row-sparse ones the rows, each once, which the gradients share."""
    if isinstance(parameters, Tensor):
        parameters = [parameters]
    found = list(parameters)
    if not found and isinstance(parameters, Iterator):
        raise ValueError(
            f"{where}: the iterator of parameters gives none: a generator such as model.parameters() can be read only "
            "once; give model.parameters() again, or a list"
        )
    gradients = []
    for parameter in found:
        gradient: Any = parameter.grad
        if isinstance(gradient, RowSparse):
            parameter.grad = gradient = gradient.coalesce()
            gradient = gradient.values()
        if gradient is not None:
            gradients.append(gradient)
    return gradients


@no_grad()
def clip_grad_norm_(
    parameters: Tensor | Iterable[Tensor],
    max_norm: float,
    norm_type: float = 2.0,
    error_if_nonfinite: bool = False,
    foreach: bool | None = None,
) -> Tensor:
    """Scales all gradients by one factor so that their common norm is at most `max_norm`.

    The norm of finite gradients is finite: elements are scaled where their powers overflow or underflow.

    Args:
        parameters: those without a gradient are skipped; they may be on several devices, and have row-sparse gradients.
        max_norm: ≥ 0; infinity measures without clipping.
        norm_type: p of the p-norm, > 0; `float("inf")` is the largest absolute value.
        error_if_nonfinite: whether a norm that is NaN or infinite is an error.
        foreach: taken for torch's sake.

    Returns:
        The norm before, on the device of the first gradient: float64 if a gradient is, else float32.

    Raises:
        ValueError: for numbers out of their range, and an iterator that gives no parameters; nothing has changed.
        RuntimeError: with `error_if_nonfinite`, for a norm that is not finite; nothing has changed.

    >>> import neurenix
    >>> p = neurenix.nn.Parameter(neurenix.zeros(2))
    >>> p.grad = neurenix.Tensor([3.0, 4.0])
    >>> clip_grad_norm_([p], 1.0), p.grad
    (tensor(5.0000), tensor([0.6000, 0.8000]))

    References: Pascanu and others, "On the difficulty of training Recurrent Neural Networks", arXiv:1211.5063.
    """
    max_norm = number("clip_grad_norm_", "max_norm", max_norm, 0, inf)
    norm_type = number("clip_grad_norm_", "norm_type", norm_type, 5e-324, inf)
    gradients = _gradients("clip_grad_norm_", parameters)
    if not gradients:
        return Tensor(0.0)
    value = _joined(_norms(gradients, norm_type), norm_type)
    if error_if_nonfinite and not isfinite(value):
        raise RuntimeError(
            f"clip_grad_norm_: the norm of the gradients is {value}; find out which with isfinite()"
        )
    factor = max_norm / (value + 1e-6) if max_norm < inf else 1.0
    if not factor >= 1:
        for gradient in gradients:
            gradient.mul_(factor)
    wide = any(gradient.dtype.name == "float64" for gradient in gradients)
    return Tensor(value, dtype="float64" if wide else "float32").to(gradients[0].device)


def _norms(gradients: list[Tensor], p: float) -> list[float]:
    """The p-norm of each gradient, in float64 for float64 gradients, else in float32."""
    wide = [gradient.flatten() for gradient in gradients]
    wide = [gradient if gradient.dtype.name == "float64" else gradient.float() for gradient in wide]
    places: dict[tuple[object, str], list[int]] = {}
    for place, gradient in enumerate(wide):
        places.setdefault((gradient.device, gradient.dtype.name), []).append(place)
    norms = [0.0] * len(gradients)
    for (_, dtype), own in places.items():
        least, most = (2.0**-800, 2.0**1023) if dtype == "float64" else (2.0**-60, 2.0**127)
        found: list[float] = stack([wide[place].norm(p) for place in own]).tolist()
        for place, norm in zip(own, found, strict=True):
            # In between, the powers that overflow or underflow do not matter.
            safe = p == inf or norm != norm or least ** (1 / p) <= norm <= most ** (1 / p)
            norms[place] = norm if safe else _scaled_norm(wide[place], p)
    return norms


def _scaled_norm(gradient: Tensor, p: float) -> float:
    """The p-norm by way of elements of at most 1."""
    largest = float(gradient.norm(inf).item())
    if not 0 < largest < inf:
        return largest
    return largest * float((gradient / largest).norm(p).item())


def _joined(norms: list[float], p: float) -> float:
    """The p-norm of p-norms."""
    largest = max(norms)
    if any(norm != norm for norm in norms):
        return float("nan")
    if p == 2:
        return hypot(*norms)
    if p == inf or not 0 < largest < inf:
        return largest
    parts = sum((norm / largest) ** p for norm in norms)
    return float(largest * parts ** (1 / p))


@no_grad()
def clip_grad_value_(
    parameters: Tensor | Iterable[Tensor], clip_value: float, foreach: bool | None = None
) -> None:
    """Clamps every element of every gradient to [-clip_value, clip_value].

    Args:
        parameters: those without a gradient are skipped; gradients may be row-sparse.
        clip_value: ≥ 0.
        foreach: taken for torch's sake.

    Raises:
        ValueError: for a limit that is negative or NaN, and an iterator that gives no parameters.

    >>> import neurenix
    >>> p = neurenix.nn.Parameter(neurenix.zeros(2))
    >>> p.grad = neurenix.Tensor([3.0, -0.5])
    >>> clip_grad_value_([p], 1.0)
    >>> p.grad
    tensor([ 1.0000, -0.5000])
    """
    clip_value = number("clip_grad_value_", "clip_value", clip_value, 0, inf)
    for gradient in _gradients("clip_grad_value_", parameters):
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
