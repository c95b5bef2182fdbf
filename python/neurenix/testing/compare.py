"""Comparing tensors."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from neurenix import dtype
from neurenix._phynexus import DType, Tensor

#: For each dtype how far apart two numbers may be that ought to be equal: (relative, absolute).
TOLERANCE: Final[dict[DType, tuple[float, float]]] = {
    dtype.float64: (1e-7, 1e-7),
    dtype.float32: (1.3e-6, 1e-5),
    dtype.float16: (1e-3, 1e-5),
    dtype.bfloat16: (1.6e-2, 1e-5),
    dtype.int64: (0.0, 0.0),
    dtype.int32: (0.0, 0.0),
    dtype.uint8: (0.0, 0.0),
    dtype.bool: (0.0, 0.0),
}


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


def _values(tensor: Tensor) -> NDArray[Any]:
    tensor = tensor.detach()
    if tensor.dtype in (dtype.float16, dtype.bfloat16):
        tensor = tensor.float()
    values = tensor.numpy()
    return values.astype(np.int64) if values.dtype.kind in "bu" else values
