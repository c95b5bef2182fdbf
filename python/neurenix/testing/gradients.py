"""Checking gradients against differences."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from neurenix import dtype
from neurenix._phynexus import Tensor, grad
from neurenix.autograd import enable_grad

from .compare import assert_close

Function: TypeAlias = Callable[..., Tensor | Sequence[Tensor]]

#: The step of a central difference in float64, and what then remains of its error.
STEP: Final = 1e-5
GRAD_TOLERANCE: Final = (1e-6, 1e-7)


def check_grads(
    function: Function,
    args: Sequence[Tensor],
    order: int = 1,
    *,
    rtol: float = GRAD_TOLERANCE[0],
    atol: float = GRAD_TOLERANCE[1],
) -> None:
    """Compares the gradients of a function with central differences.

    The outputs are multiplied by fixed weights and added up, so that one pass tests all of them. With `order`
    2 the gradients themselves are then tested in the same way.

    Args:
        function: takes the tensors and gives one tensor or several.
        args: where to test; float64 tensors are varied, all others stay as they are.
        order: 1, or 2 for second derivatives as well.
        rtol: relative tolerance.
        atol: absolute tolerance.

    Raises:
        AssertionError: with the argument and the element where the gradients differ most.
        TypeError: if no argument is a float64 tensor.

    >>> import neurenix
    >>> check_grads(neurenix.tanh, [neurenix.randn(3, dtype="float64")], order=2)
    """
    leaves = [arg.detach().clone().requires_grad_() if arg.dtype == dtype.float64 else arg for arg in args]
    varied = [k for k, leaf in enumerate(leaves) if leaf.requires_grad]
    if not varied:
        raise TypeError("check_grads: no argument is a float64 tensor; differences of float32 say nothing")
    weights: list[Tensor] = []

    def total(*xs: Tensor) -> Tensor:
        outputs = function(*xs)
        outputs = [outputs] if isinstance(outputs, Tensor) else list(outputs)
        outputs = [output for output in outputs if output.is_floating_point()]
        if not weights:
            rng = np.random.default_rng(0)
            weights.extend(Tensor(rng.uniform(0.5, 1.5, output.shape)) for output in outputs)
        terms = [(output * weight).sum() for output, weight in zip(outputs, weights, strict=True)]
        return sum(terms[1:], start=terms[0])

    def gradients(*xs: Tensor, create_graph: bool = True) -> list[Tensor]:
        value, inputs = total(*xs), [xs[k] for k in varied]
        if not value.requires_grad:
            return [Tensor.zeros_like(x) for x in inputs]
        found = grad(value, inputs, create_graph=create_graph, allow_unused=True)
        return [Tensor.zeros_like(x) if g is None else g for x, g in zip(inputs, found, strict=True)]

    with enable_grad():
        analytic = gradients(*leaves, create_graph=False)
        for k, gradient in zip(varied, analytic, strict=True):
            numeric = _differences(total, leaves, k)
            try:
                assert_close(gradient, numeric, rtol=rtol, atol=atol)
            except AssertionError as error:
                raise AssertionError(f"gradient of argument {k}: {error}") from None
        if order > 1:
            check_grads(gradients, leaves, order - 1, rtol=rtol, atol=atol)


def _differences(function: Callable[..., Tensor], args: Sequence[Tensor], k: int) -> NDArray[np.float64]:
    values = np.array(args[k].detach().numpy())
    result = np.empty_like(values)
    for index in np.ndindex(values.shape):
        ends = []
        for step in (STEP, -STEP):
            moved = values.copy()
            moved[index] += step
            ends.append(function(*args[:k], Tensor(moved, requires_grad=True), *args[k + 1 :]).item())
        result[index] = (ends[0] - ends[1]) / (2 * STEP)
    return result
