"""A browser for all tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from web.browser import Browser, Missing


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """A Chromium without a window."""
    try:
        browser = Browser()
    except Missing as missing:
        pytest.skip(str(missing))
    yield browser
    browser.close()
