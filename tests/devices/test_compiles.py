"""Every kernel that is printed in C is accepted by the compilers of CUDA and HIP."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import pytest
from devices.compilers import COMPILERS
from neurenix import Tensor
from neurenix._phynexus import Formula, Rule, operation_formulas, printed_kernels
from neurenix.optim import tracing
from optim.test_conformance import RECORDS


def step(record: Any, dtype: str) -> None:
    """One step of a record's optimizer, which traces its rule."""
    params = [Tensor(np.ones(shape), dtype=dtype, requires_grad=True) for shape in record.shapes]
    optimizer = record.build(params)

    def closure() -> Tensor:
        loss = sum((param * param).sum() for param in params)
        loss.backward()
        return loss

    if record.advance is not None:
        record.advance(optimizer, closure, 1)
    elif record.closure:
        optimizer.step(closure)
    else:
        closure()
        optimizer.step()


@functools.lru_cache
def rules() -> list[tuple[str, Formula]]:
    """All formulas of all optimizers, as they are traced for parameters of three dtypes."""
    found: list[tuple[str, Formula]] = []

    def listen(formula, inputs, numbers, states, stages, prepared=None):
        parts = [formula, *(stage for stage, _, _ in stages), *(prepared or ())[:1]]
        found.extend((f"{record}, {dtype}", part) for part in parts)
        return Rule(formula, inputs, numbers, states, stages, prepared)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tracing, "Rule", listen)
        tracing._trace.cache_clear()
        for record in RECORDS:
            for dtype in ("float32", "bfloat16", "float64"):
                step(record, dtype)
    tracing._trace.cache_clear()
    return found


@functools.lru_cache
def kernels(dialect: str) -> list[tuple[str, str]]:
    """The texts of all formulas and of the other kinds of kernel, each once."""
    texts: dict[str, str] = {}
    for name, formula in [*operation_formulas(), *rules()]:
        texts.setdefault(formula.print(dialect), name)
    return [*((name, text) for text, name in texts.items()), *printed_kernels(dialect)]


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
