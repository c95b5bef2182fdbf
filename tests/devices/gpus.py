"""The devices beside the CPU that tests run on, and how exact they have to be."""

from __future__ import annotations

import os

import neurenix
import pytest

os.environ.setdefault("NEURENIX_SOFTWARE_GPU", "1")

GPUS = [str(device) for device in neurenix.get_available_devices() if device.type != "cpu"]
MISSING = "no GPU is there; a software one comes with: apt-get install mesa-vulkan-drivers"

TOLERANCE = {
    "float32": (2e-5, 2e-5),
    "float16": (4e-3, 4e-3),
    "bfloat16": (3e-2, 3e-2),
    "int32": (0.0, 0.0),
    "int64": (0.0, 0.0),
    "uint8": (0.0, 0.0),
    "bool": (0.0, 0.0),
}
"""Relative and absolute, against the CPU in float64; functions of GPUs are off by a few units in the last place."""

each_gpu = pytest.mark.parametrize(
    "gpu", GPUS or [pytest.param("webgpu", marks=pytest.mark.skip(reason=MISSING))]
)
