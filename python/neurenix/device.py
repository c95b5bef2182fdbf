"""Where tensors live and computations run."""

from __future__ import annotations

from enum import Enum

from neurenix._phynexus import Device, available_devices

__all__ = ["Device", "DeviceType", "get_available_devices"]


class DeviceType(Enum):
    """The kinds of device.

    >>> from neurenix import Device, DeviceType
    >>> Device(DeviceType.CPU) == Device("cpu:0")
    True
    """

    CPU = "cpu"
    CUDA = "cuda"
    ROCM = "rocm"
    WEBGPU = "webgpu"


def get_available_devices() -> list[Device]:
    """The devices that can really run here, the CPU first.

    Software GPUs are slower than the CPU and left out, unless the environment says `NEURENIX_SOFTWARE_GPU=1`.

    >>> import neurenix
    >>> neurenix.Device("cpu") in neurenix.get_available_devices()
    True
    """
    return available_devices()
