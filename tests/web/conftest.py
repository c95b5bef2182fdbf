"""A browser for all tests, and the package that it loads."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from web.browser import ROOT, Browser, Missing


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """A Chromium without a window."""
    try:
        browser = Browser()
    except Missing as missing:
        pytest.skip(str(missing))
    yield browser
    browser.close()


@pytest.fixture(scope="session")
def package() -> Path:
    """The folder of the npm package."""
    folder = ROOT / "web" / "dist"
    if not (folder / "neurenix.js").is_file():
        pytest.skip("make web builds the package for browsers, given a Rust toolchain that knows wasm32")
    return folder
