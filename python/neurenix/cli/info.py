"""`neurenix info`."""

from __future__ import annotations

import argparse
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import neurenix
from neurenix._phynexus import cpu_features

OPTIONAL = ("rich", "matplotlib", "scikit-learn")


def run(options: argparse.Namespace) -> int:
    """Prints what is installed and what the machine can do."""
    lines = {
        "neurenix": neurenix.__version__,
        "python": f"{platform.python_version()}, numpy {version('numpy')}",
        "devices": ", ".join(_described(device) for device in neurenix.get_available_devices()),
        "processor": _processor(),
        "features": " ".join(cpu_features()) or "none that matter",
        "threads": str(neurenix.get_num_threads()),
        "optional": ", ".join(f"{name} {_installed(name)}" for name in OPTIONAL),
    }
    for name, value in lines.items():
        print(f"{name:<10} {value}")
    return 0


def _described(device: neurenix.Device) -> str:
    memory = f", {device.memory / 2**30:.1f} GiB" if device.memory else ""
    untried = "; compiled in CI, not run" if device.type.value in ("cuda", "rocm") else ""
    return f"{device.type.value}:{device.index} ({device.name}{memory}{untried})"


def _installed(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "missing"


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
