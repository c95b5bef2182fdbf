"""How tensors are printed."""

from __future__ import annotations

import numpy as np

from neurenix import dtype
from neurenix._phynexus import Tensor
from neurenix.device import DeviceType

#: Tensors with more elements are summarised.
THRESHOLD = 1000
#: These can be read off the values.
IMPLIED = (dtype.float32, dtype.int64, dtype.bool)


def tensor_repr(tensor: Tensor) -> str:
    """The values with four decimals, then whatever is not the default: shape, dtype, device, requires_grad.

    >>> import neurenix
    >>> neurenix.Tensor([[1.5, 2.0], [3.0, 0.25]], requires_grad=True)
    tensor([[1.5000, 2.0000],
            [3.0000, 0.2500]], requires_grad=True)
    >>> neurenix.zeros(0, 3, dtype="float64")
    tensor([], shape=(0, 3), dtype=float64)
    """
    size, device = tensor.numel(), tensor.device
    parts = [_values(tensor)]
    if size > THRESHOLD or (size == 0 and tensor.shape != (0,)):
        parts.append(f"shape={tensor.shape}")
    if tensor.dtype not in IMPLIED:
        parts.append(f"dtype={tensor.dtype.name}")
    if device.type is not DeviceType.CPU:
        parts.append(f"device='{device.type.value}:{device.index}'")
    if tensor.requires_grad:
        parts.append("requires_grad=True")
    return f"tensor({', '.join(parts)})"


def _values(tensor: Tensor) -> str:
    detached = tensor.detach()
    values = (detached.float() if tensor.dtype == dtype.bfloat16 else detached).numpy()
    if values.size == 0:
        return "[]"
    return np.array2string(
        values, precision=4, floatmode="fixed", threshold=THRESHOLD, separator=", ", prefix="tensor("
    )
