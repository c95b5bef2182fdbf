"""Every kernel that the suite prints, as text: to be compiled where no GPU is."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import pytest
from neurenix import Tensor
from neurenix._phynexus import Formula, Rule, operation_formulas, printed_kernels
from neurenix.optim import tracing
from optim.test_conformance import RECORDS


def step(record: Any, dtype: str) -> list[Tensor]:
    """One step of a record's optimizer, which traces its rule; parameters and states afterwards."""
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
    states = [value for param in params for value in optimizer.state[param].values()]
    return [*params, *(value for value in states if isinstance(value, Tensor))]


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
    """The texts of all formulas whose types the language has, and of the other kinds of kernel, each once."""
    lacks = {"float64", "int64"} if dialect == "wgsl" else set()
    texts: dict[str, str] = {}
    for name, formula in [*operation_formulas(), *rules()]:
        if not lacks & {*formula.inputs} and (text := formula.print(dialect)):
            texts.setdefault(text, name)
    return [*((name, text) for text, name in texts.items()), *printed_kernels(dialect)]
