"""Comparing tensors and checking gradients, for the tests of Neurenix and for those of its users."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from neurenix import dtype
from neurenix._phynexus import DType, Tensor, grad
from neurenix.autograd import enable_grad

__all__ = ["TOLERANCE", "assert_close", "check_grads"]

Function: TypeAlias = Callable[..., Tensor | Sequence[Tensor]]

#: For each dtype how far apart two numbers may be that ought to be equal: (relative, absolute).
TOLERANCE: dict[DType, tuple[float, float]] = {
    dtype.float64: (1e-7, 1e-7),
    dtype.float32: (1.3e-6, 1e-5),
    dtype.float16: (1e-3, 1e-5),
    dtype.bfloat16: (1.6e-2, 1e-5),
    dtype.int64: (0.0, 0.0),
    dtype.int32: (0.0, 0.0),
    dtype.uint8: (0.0, 0.0),
    dtype.bool: (0.0, 0.0),
}

#: The step of a central difference in float64, and what then remains of its error.
STEP = 1e-5
GRAD_TOLERANCE = (1e-6, 1e-7)


def assert_close(
    actual: Any,
    expected: Any,
    *,
    rtol: float | None = None,
    atol: float | None = None,
    equal_nan: bool = False,
    check_dtype: bool = True,
) -> None:
    """Fails unless shapes and dtypes are the same and `|actual - expected| <= atol + rtol * |expected|`.

    Args:
        actual: a tensor, or what a tensor can be made of.
        expected: the same.
        rtol: relative tolerance; by default that of `TOLERANCE` for the less precise of both dtypes.
        atol: absolute tolerance; likewise.
        equal_nan: whether two NaNs count as equal.
        check_dtype: whether the dtypes must be the same.

    Raises:
        AssertionError: with the number of elements that differ and where they differ most.

    >>> import neurenix
    >>> assert_close(neurenix.Tensor([0.1]) + neurenix.Tensor([0.2]), neurenix.Tensor([0.3]))
    """
    a, b = (value if isinstance(value, Tensor) else Tensor(value) for value in (actual, expected))
    if a.shape != b.shape:
        raise AssertionError(f"the shapes differ: {a.shape}, expected {b.shape}")
    if check_dtype and a.dtype != b.dtype:
        raise AssertionError(f"the dtypes differ: {a.dtype.name}, expected {b.dtype.name}")
    usual = max(TOLERANCE[a.dtype], TOLERANCE[b.dtype])
    rtol, atol = usual[0] if rtol is None else rtol, usual[1] if atol is None else atol
    x, y = _values(a), _values(b)
    close = x == y if rtol == atol == 0 else np.isclose(x, y, rtol, atol, equal_nan)
    if close.all():
        return
    with np.errstate(invalid="ignore"):
        error = np.where(close, -1.0, np.abs(x - y))
    worst = np.unravel_index(np.argmax(np.where(np.isnan(error), np.inf, error)), error.shape)
    raise AssertionError(
        f"{(~close).sum()} of {close.size} elements differ by more than {atol:g} + {rtol:g} * |expected|; "
        f"most at {tuple(int(i) for i in worst)}: {x[worst]:.9g}, expected {y[worst]:.9g}"
    )


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


def _values(tensor: Tensor) -> NDArray[Any]:
    tensor = tensor.detach()
    if tensor.dtype in (dtype.float16, dtype.bfloat16):
        tensor = tensor.float()
    values = tensor.numpy()
    return values.astype(np.int64) if values.dtype.kind in "bu" else values
