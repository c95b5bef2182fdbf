"""What is wrong is thrown in JavaScript, with the engine's text, and the tab goes on."""

from __future__ import annotations

import re

import pytest
from web.browser import Browser

EXPECTED = {
    "shapes": ("RangeError", r"\(2, 3\).*\(4\)|broadcast"),
    "sizes": ("RangeError", r"3 elements|shape"),
    "dtype": ("RangeError", r"float7.*known: .*float32"),
    "device": ("RangeError", r'"tpu".*"cpu" or "webgpu:0"'),
    "devices": ("Error", r"webgpu:0.*cpu|cpu.*webgpu:0"),
    "option": ("TypeError", r"grad.*requiresGrad"),
    "operand": ("TypeError", r"two"),
    "twice": ("Error", r"backward"),
    "freed": ("TypeError", r"freed"),
    "bound": ("RangeError", r"betas must be .*got 1"),
    "hyper": ("TypeError", r'"rate".*known: .*lr'),
    "unread": ("RangeError", r"momentum: the formulas leave it out, as it was \[0.0\]"),
    "rule": ("RangeError", r'line 1: no operand is called "what"'),
    "float64": ("TypeError", r"float64"),
    "later": ("TypeError", r"tidy: the function must not be asynchronous"),
    "label": (r"RangeError|Error", r"7"),
    "reading": ("numbers", r"^\[\[1,1\],2\]$"),
    "alive": ("number", r"^3$"),
}


@pytest.fixture(scope="module")
def found(browser: Browser, package: object) -> dict[str, tuple[str, str]]:
    """The kind and the text of what is thrown."""
    return browser.run("errors.js")


@pytest.mark.parametrize("name", EXPECTED)
def test_errors_are_exceptions(found: dict[str, tuple[str, str]], name: str) -> None:
    (kind, text), (expected_kind, expected) = found[name], EXPECTED[name]
    assert re.fullmatch(expected_kind, kind), f"{kind}: {text}"
    assert re.search(expected, text), text
