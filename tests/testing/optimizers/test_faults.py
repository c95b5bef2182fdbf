"""Each property of the conformance suite can fail: an optimizer with one fault for each."""

from __future__ import annotations

import pytest
from neurenix.testing import PROPERTIES, Record, check_property
from testing.optimizers.faults import contract, options, rule, state
from testing.optimizers.good import GOOD, PLAIN, Plain

FAULTS = [*rule.FAULTS, *state.FAULTS, *contract.FAULTS, *options.FAULTS]


@pytest.mark.parametrize(
    ("name", "cls", "fields", "message"), FAULTS, ids=[f"{name}-{cls.__name__}" for name, cls, *_ in FAULTS]
)
def test_faults_are_found(name, cls, fields, message):
    usual = PLAIN if issubclass(cls, Plain) else GOOD
    with pytest.raises(AssertionError, match=message):
        check_property(Record(cls, **{**usual, **fields}), name)


def test_every_property_can_fail():
    assert {name for name, *_ in FAULTS} == set(PROPERTIES)
