"""Where tensors live and computations run."""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, NamedTuple

from neurenix import _phynexus
from neurenix._phynexus import Device, available_devices

if TYPE_CHECKING:
    from typing import Self

__all__ = [
    "Device",
    "DeviceType",
    "MemoryUsage",
    "Profile",
    "get_available_devices",
    "get_float32_matmul_precision",
    "memory_usage",
    "profile",
    "reset_peak_memory",
    "set_float32_matmul_precision",
    "synchronize",
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


def set_float32_matmul_precision(precision: str) -> None:
    """Says how exact products of float32 matrices must be, on all devices and threads.

    `"highest"`, which holds unless something else was said, computes in float32 everywhere. `"high"` and `"medium"`
    let a GPU of NVIDIA that has cuBLAS round factors to TF32, of ten binary places, and sum in float32: relative errors
    of about `2**-11` for several times the speed. Elsewhere they change nothing.

    Args:
        precision: `"highest"`, `"high"` or `"medium"`.

    Raises:
        ValueError: for anything else.

    >>> import neurenix
    >>> neurenix.set_float32_matmul_precision("high")
    >>> neurenix.get_float32_matmul_precision()
    'high'
    >>> neurenix.set_float32_matmul_precision("highest")
    """
    _phynexus.set_float32_matmul_precision(precision)


def get_float32_matmul_precision() -> str:
    """How exact products of float32 matrices are: `"highest"` or `"high"`.

    >>> import neurenix
    >>> neurenix.get_float32_matmul_precision()
    'highest'
    """
    return _phynexus.get_float32_matmul_precision()


def synchronize(device: Device | str = "cpu") -> None:
    """Waits until a device has done all that it was asked for; reading a value does so by itself.

    Errors that kernels found in their data (an index out of range, an int64 that int32 does not hold) are raised here.

    >>> import neurenix
    >>> neurenix.synchronize("cpu")  # nothing is ever queued there
    """
    _phynexus.synchronize(device)


class Profile:
    """What GPUs did within a `with` block: see `profile`.

    >>> import neurenix
    >>> with neurenix.profile() as p:
    ...     x = neurenix.ones(3)
    >>> p.kernels  # the CPU does not queue
    0
    """

    def __init__(self, device: Device | str | None = None) -> None:
        self._device = device
        self._start = self._now()
        self._end: tuple[int, ...] | None = None

    def _now(self) -> tuple[int, ...]:
        return _phynexus.device_counters(self._device)

    def _since(self, which: int) -> int:
        return (self._end or self._now())[which] - self._start[which]

    def __enter__(self) -> Self:
        self._start, self._end = self._now(), None
        return self

    def __exit__(self, *_: object) -> None:
        self._end = self._now()

    @property
    def kernels(self) -> int:
        """Kernels that were queued."""
        return self._since(0)

    @property
    def submissions(self) -> int:
        """How often queued work was handed to a GPU."""
        return self._since(1)

    @property
    def waits(self) -> int:
        """How often the program waited for a GPU."""
        return self._since(2)

    @property
    def uploaded(self) -> int:
        """Bytes that went to a GPU."""
        return self._since(3)

    @property
    def downloaded(self) -> int:
        """Bytes that came from a GPU."""
        return self._since(4)

    def __repr__(self) -> str:
        return (
            f"Profile(kernels={self.kernels}, submissions={self.submissions}, waits={self.waits}, "
            f"uploaded={self.uploaded}, downloaded={self.downloaded})"
        )


def profile(device: Device | str | None = None) -> Profile:
    """Counts what GPUs do: kernels, submissions, waits and bytes moved, within a `with` block or from the call on.

    Args:
        device: which one; all that are in use by default.

    >>> import neurenix
    >>> with neurenix.profile() as p:
    ...     total = neurenix.ones(3).sum().item()
    >>> p
    Profile(kernels=0, submissions=0, waits=0, uploaded=0, downloaded=0)
    """
    return Profile(device)
