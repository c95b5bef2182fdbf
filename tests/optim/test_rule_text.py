"""Traced rules as text: what is read again is the same rule, and steps to the same bits."""

from __future__ import annotations

from typing import Any

import pytest
from devices.kernels import step
from neurenix._phynexus import Rule
from neurenix.optim import tracing
from optim.test_conformance import RECORDS

DTYPES = ("float32", "bfloat16", "float64")


def traced(record: Any, make: Any) -> list[bytes]:
    """The bits of parameters and states after steps whose rules `make` has made."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tracing, "Rule", make)
        tracing._trace.cache_clear()
        found = [tensor for dtype in DTYPES for tensor in step(record, dtype)]
    tracing._trace.cache_clear()
    return [tensor.detach().double().numpy().tobytes() for tensor in found]


@pytest.mark.parametrize("record", RECORDS, ids=str)
def test_rules_of_all_optimizers_are_read_as_they_were(record: Any) -> None:
    texts: list[str] = []

    def again(*parts: Any) -> Rule:
        texts.append(Rule(*parts).text)
        rule = Rule.parse(texts[-1])
        assert rule.text == texts[-1]
        return rule

    assert traced(record, Rule) == traced(record, again)
    assert texts or record.optimizer.formula is None


def test_a_text_is_readable() -> None:
    rule = tracing.trace_recipe(tracing.Recipe(lambda p, g, *, lr: p - lr * g), {"lr": 0.1}, "float32")
    lines = ["operands param grad", "numbers step hyper:0", "states", "step", "inputs float32 float32"]
    lines += ["scalars float64 float64", "0 = input 0", "1 = input 1", "2 = scalar 1", "3 = cast float32 2"]
    assert rule.text.splitlines() == [*lines, "4 = mul 1 3", "5 = sub 0 4", "outputs 5"]


def test_what_is_no_rule_is_refused() -> None:
    with pytest.raises(ValueError, match=r"cannot be read: line 1: expected \"operands\", found \"no\""):
        Rule.parse("no rule")
