"""Where tensors live and computations run."""

from __future__ import annotations

from enum import Enum
from typing import NamedTuple

from neurenix import _phynexus
from neurenix._phynexus import Device, available_devices

__all__ = [
    "Device",
    "DeviceType",
    "MemoryUsage",
    "get_available_devices",
    "memory_usage",
    "reset_peak_memory",
]


class DeviceType(str, Enum):
    """The kinds of device. Each equals its name: `device.type == "cpu"`.

    >>> from neurenix import Device, DeviceType
    >>> Device(DeviceType.CPU) == Device("cpu:0")
    True
    >>> Device("cpu").type == "cpu"
    True
    """

    CPU = "cpu"
    CUDA = "cuda"
    ROCM = "rocm"
    WEBGPU = "webgpu"

    def __str__(self) -> str:
        return self.value

    def __format__(self, format_spec: str) -> str:
        return format(self.value, format_spec)


def get_available_devices() -> list[Device]:
    """The devices that can really run here, the CPU first.

    Software GPUs are slower than the CPU and left out, unless the environment says `NEURENIX_SOFTWARE_GPU=1`.

    >>> import neurenix
    >>> neurenix.Device("cpu") in neurenix.get_available_devices()
    True
    """
    return available_devices()


class MemoryUsage(NamedTuple):
    """Bytes that tensors of a device hold.

    >>> import neurenix
    >>> usage = neurenix.memory_usage()
    >>> usage.peak >= usage.current
    True
    """

    current: int
    """Now."""
    peak: int
    """The most at once, since the start or the last `reset_peak_memory`."""


def memory_usage(device: Device | str = "cpu") -> MemoryUsage:
    """How much memory the tensors of a device hold, and held at most.

    Memory that the engine keeps for reuse, or that belongs to NumPy, does not count.

    >>> import neurenix
    >>> before = neurenix.memory_usage().current
    >>> x = neurenix.zeros(1000)
    >>> neurenix.memory_usage().current - before
    4000
    """
    return MemoryUsage(*_phynexus.memory_usage(device))


def reset_peak_memory(device: Device | str = "cpu") -> None:
    """Lets `memory_usage().peak` begin anew with what is held now.

    >>> import neurenix
    >>> neurenix.reset_peak_memory()
    >>> before = neurenix.memory_usage().current
    >>> for _ in range(3):
    ...     x = neurenix.zeros(1000)
    >>> neurenix.memory_usage().peak - before  # the old x is freed after the new one is made
    8000
    """
    _phynexus.reset_peak_memory(device)
