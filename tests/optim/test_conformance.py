"""Every optimizer has every property. Records of what is known about each are in `records/`."""

from __future__ import annotations

import importlib
import inspect
from pathlib import Path

import pytest
from neurenix import optim
from neurenix.optim import Optimizer
from neurenix.testing import PROPERTIES, Record, check_property

FOLDER = Path(__file__).parent / "records"
RECORDS: list[Record] = [
    record
    for path in sorted(FOLDER.glob("*.py"))
    for record in importlib.import_module(f"optim.records.{path.stem}").RECORDS
]


SAMPLED = {"resumes_in_a_new_process": 5}
"""Properties that take long, of which every so many records are checked."""


def covered(record: Record) -> type[Optimizer]:
    return record.optimizer if inspect.isclass(record.optimizer) else type(record.sample)


def is_complete(value: object) -> bool:
    """Whether something is an optimizer, and no base for others."""
    if not (inspect.isclass(value) and issubclass(value, Optimizer)):
        return False
    return value.formula is not None or value.step is not Optimizer.step


def test_every_optimizer_has_a_record() -> None:
    classes = set(filter(is_complete, vars(optim).values()))
    missing = {cls.__name__ for cls in classes - set(map(covered, RECORDS))}
    assert not missing, f"no record in tests/optim/records for {', '.join(sorted(missing))}"


@pytest.mark.parametrize("record", RECORDS, ids=str)
def test_records_say_everything(record: Record) -> None:
    assert record.oracle is not None
    assert record.errors
    assert record.state_bytes is not None
    assert set(record.skips) <= set(PROPERTIES)


@pytest.mark.parametrize(
    ("record", "name"),
    [
        pytest.param(record, name, id=f"{record}-{name}")
        for name in PROPERTIES
        for record in RECORDS[:: SAMPLED.get(name, 1)]
    ],
)
def test_property(record: Record, name: str) -> None:
    if name in record.skips:
        with pytest.raises(AssertionError):  # or the skip has become superfluous
            PROPERTIES[name](record)
    if reason := check_property(record, name):
        pytest.skip(reason)
