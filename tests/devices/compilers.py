"""The run-time compilers of NVIDIA and AMD, which need no GPU: kernels are compiled, many at once, and never run."""

from __future__ import annotations

import ctypes
import importlib.util
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

BATCH = 24
"""Kernels that are compiled as one program; starting a compiler takes as long as several of them."""


class RuntimeCompiler:
    """NVRTC or hipRTC: the same functions under other names."""

    def __init__(self, library: str, prefix: str, target: str, quickly: str) -> None:
        self.library = ctypes.CDLL(library)
        self.prefix = prefix
        self.target = target  # the option that says for which processor
        self.quickly = (
            quickly  # the option that leaves optimisations out, which take ten times as long as the rest
        )

    def _call(self, name: str, *arguments: object) -> int:
        return int(getattr(self.library, self.prefix + name)(*arguments))

    def complaints(self, source: str, target: str) -> str:
        """What the compiler says about a program that it refuses; nothing if it takes it."""
        program, size = ctypes.c_void_p(), ctypes.c_size_t()
        assert self._call("CreateProgram", ctypes.byref(program), source.encode(), b"", 0, None, None) == 0
        options = (ctypes.c_char_p * 2)((self.target + target).encode(), self.quickly.encode())
        failed = self._call("CompileProgram", program, len(options), options)
        self._call("GetProgramLogSize", program, ctypes.byref(size))
        log = ctypes.create_string_buffer(size.value + 1)
        self._call("GetProgramLog", program, log)
        self._call("DestroyProgram", ctypes.byref(program))
        return log.value.decode() or f"error {failed}" if failed else ""

    def refused(self, kernels: Sequence[tuple[str, str]], target: str) -> list[str]:
        """The kernels (name, text) that do not compile, and why."""
        batches = [kernels[i : i + BATCH] for i in range(0, len(kernels), BATCH)]
        with ThreadPoolExecutor(2) as pool:
            return [
                why for found in pool.map(lambda b: self._one_by_one(b, target), batches) for why in found
            ]

    def _one_by_one(self, kernels: Sequence[tuple[str, str]], target: str) -> list[str]:
        if not self.complaints(together(text for _, text in kernels), target):
            return []
        # Together they may need more shared memory than there is, which each has for itself.
        wrong = [(name, text, self.complaints(text, target)) for name, text in kernels]
        return [f"{name} for {target}:\n{why}\n{text}" for name, text, why in wrong if why]


def together(kernels: Iterable[str]) -> str:
    """One program of many: each in a namespace of its own, as entry points have one name."""
    parts = (
        f"namespace n{i} {{\n{re.sub('kernel_main', f'kernel_{i}', text)}\n}}\n"
        for i, text in enumerate(kernels)
    )
    return "".join(parts)


def nvrtc() -> RuntimeCompiler:
    """NVIDIA's, from its wheel."""
    found = importlib.util.find_spec("nvidia")
    folders = [Path(place) for place in found.submodule_search_locations or ()] if found else []
    for library in (path for folder in folders for path in sorted(folder.glob("cu*/lib/libnvrtc.so.*"))):
        return RuntimeCompiler(str(library), "nvrtc", "--gpu-architecture=", "--Ofast-compile=max")
    raise OSError("pip install nvidia-cuda-nvrtc==13.5.37 for the compiler of CUDA kernels")


def hiprtc() -> RuntimeCompiler:
    """AMD's, from Debian's packages or a ROCm installation."""
    for library in ("libhiprtc.so", "libamdhip64.so", "libamdhip64.so.5", "/opt/rocm/lib/libhiprtc.so"):
        try:
            compiler = RuntimeCompiler(library, "hiprtc", "--offload-arch=", "-O0")
            compiler.library.hiprtcCreateProgram  # noqa: B018
        except (OSError, AttributeError):
            continue
        return compiler
    raise OSError("apt-get install libamdhip64-5 libhiprtc-builtins5 for the compiler of HIP kernels")


COMPILERS: Mapping[str, tuple[Callable[[], RuntimeCompiler], Mapping[str, int]]] = {
    "cuda": (nvrtc, {"sm_80": 1, "compute_90": 1, "compute_100": 1, "sm_90": 10, "sm_100": 10}),
    "hip": (hiprtc, {"gfx90a": 1, "gfx1030": 5}),
}
"""For each dialect its compiler, and what it compiles for: all kernels, or every so manieth where it takes long.

compute_90 is what drivers turn into sm_90 when a kernel is loaded, as the engine's are.
"""
