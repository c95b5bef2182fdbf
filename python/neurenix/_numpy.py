"""What NumPy's operators and functions do with tensors, in one place.

- `array + x`, `array @ x` and the other operators are the tensor's, on the tape, and give a tensor.
- `array += x` is the array's: it writes into the array's memory, an error while x requires gradients.
- Other functions (`numpy.exp(x)`) compute with the values and give arrays, likewise.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from neurenix._phynexus import Tensor

# The method of a tensor on the left, and of one on the right.
_OPERATORS = {
    np.add: ("__add__", "__radd__"),
    np.subtract: ("__sub__", "__rsub__"),
    np.multiply: ("__mul__", "__rmul__"),
    np.true_divide: ("__truediv__", "__rtruediv__"),
    np.floor_divide: ("__floordiv__", "__rfloordiv__"),
    np.remainder: ("__mod__", "__rmod__"),
    np.power: ("__pow__", "__rpow__"),
    np.matmul: ("__matmul__", "__rmatmul__"),
    np.bitwise_and: ("__and__", "__rand__"),
    np.bitwise_or: ("__or__", "__ror__"),
    np.bitwise_xor: ("__xor__", "__rxor__"),
    np.equal: ("__eq__", "__eq__"),
    np.not_equal: ("__ne__", "__ne__"),
    np.less: ("__lt__", "__gt__"),
    np.less_equal: ("__le__", "__ge__"),
    np.greater: ("__gt__", "__lt__"),
    np.greater_equal: ("__ge__", "__le__"),
}


def run_ufunc(ufunc: Any, method: str, inputs: tuple[Any, ...], /, **options: Any) -> Any:
    """Runs a function of NumPy with a tensor among its operands, as `__array_ufunc__` has it."""
    out = options.get("out", ())
    if any(isinstance(x, Tensor) for x in out):
        raise TypeError(f"numpy.{ufunc.__name__}: out must be an array, got a Tensor; use its methods")
    if method == "__call__" and not options and ufunc in _OPERATORS:
        left, right = inputs
        on_the_left, on_the_right = _OPERATORS[ufunc]
        is_left = isinstance(left, Tensor)
        result = getattr(left, on_the_left)(right) if is_left else getattr(right, on_the_right)(left)
        if result is not NotImplemented:
            return result
    arrays = [np.asarray(x) if isinstance(x, Tensor) else x for x in inputs]
    options = {name: np.asarray(x) if isinstance(x, Tensor) else x for name, x in options.items()}
    return getattr(ufunc, method)(*arrays, **options)
