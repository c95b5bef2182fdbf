"""Every kernel that is printed in C is accepted by the compilers of CUDA and HIP."""

from __future__ import annotations

import pytest
from devices.compilers import COMPILERS
from devices.kernels import kernels


@pytest.fixture(
    params=[(dialect, target) for dialect, (_, targets) in COMPILERS.items() for target in targets]
)
def compiler(request):
    """A dialect, its compiler, a target, and which kernels are compiled for it."""
    dialect, target = request.param
    find, targets = COMPILERS[dialect]
    try:
        return dialect, find(), target, slice(None, None, targets[target])
    except OSError as missing:
        pytest.skip(str(missing))


def test_all_kernels_compile(compiler) -> None:
    dialect, compiler, target, some = compiler
    refused = compiler.refused(kernels(dialect)[some], target)
    assert not refused, "\n".join([f"{len(refused)} do not compile", *refused[:3]])


def test_a_compiler_that_takes_anything_proves_nothing(compiler) -> None:
    _, compiler, target, _ = compiler
    good, bad = (f'extern "C" __global__ void kernel_main(float *x) {{ x[0] = {v}; }}' for v in ("1", "y"))
    refused = compiler.refused([("good", good), ("bad", bad)], target)
    assert [why.split("\n")[0] for why in refused] == [f"bad for {target}:"]
