"""Neurenix trains models with the best optimizers there are, on any processor.

>>> import neurenix
>>> x = neurenix.Tensor([1.0, 2.0, 3.0], requires_grad=True)
>>> (x * x).sum().backward()
>>> x.grad
tensor([2.0000, 4.0000, 6.0000])
"""

from typing import TYPE_CHECKING as _TYPE_CHECKING

from neurenix import composed, functions
from neurenix._phynexus import (
    Generator,
    RowSparse,
    Tensor,
    get_num_threads,
    manual_seed,
    set_num_threads,
)
from neurenix._phynexus import version as _version
from neurenix.autograd import enable_grad, is_grad_enabled, no_grad, set_grad_enabled
from neurenix.composed import *  # noqa: F403
from neurenix.device import (
    Device,
    DeviceType,
    MemoryUsage,
    Profile,
    get_available_devices,
    get_float32_matmul_precision,
    memory_usage,
    profile,
    reset_peak_memory,
    set_float32_matmul_precision,
    synchronize,
)
from neurenix.dtype import DType, bfloat16, bool, float16, float32, float64, int32, int64, uint8
from neurenix.functions import *  # noqa: F403
from neurenix.serialize import load, save

from neurenix import autograd, linalg, nn  # isort: skip

if _TYPE_CHECKING:
    from types import ModuleType as _ModuleType

    from neurenix import optim, testing

__version__ = _version()

__all__ = [
    "DType",
    "Device",
    "DeviceType",
    "Generator",
    "MemoryUsage",
    "Profile",
    "RowSparse",
    "Tensor",
    "__version__",
    "autograd",
    "bfloat16",
    "bool",
    "enable_grad",
    "float16",
    "float32",
    "float64",
    "get_available_devices",
    "get_float32_matmul_precision",
    "get_num_threads",
    "int32",
    "int64",
    "is_grad_enabled",
    "linalg",
    "load",
    "manual_seed",
    "memory_usage",
    "nn",
    "no_grad",
    "optim",
    "profile",
    "reset_peak_memory",
    "save",
    "set_float32_matmul_precision",
    "set_grad_enabled",
    "set_num_threads",
    "synchronize",
    "testing",
    "uint8",
]
__all__ += composed.__all__
__all__ += functions.__all__


def __getattr__(name: str) -> "_ModuleType":
    if name in ("optim", "testing"):  # imported when they are asked for
        import importlib

        return importlib.import_module(f"neurenix.{name}")
    raise AttributeError(f"module 'neurenix' has no attribute {name!r}")
