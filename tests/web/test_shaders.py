"""Every kernel that is printed in WGSL is accepted by Tint, the compiler of Chromium, without any extension."""

from __future__ import annotations

from typing import Any

from devices.kernels import kernels
from web.browser import Browser


def refused(browser: Browser, texts: list[tuple[str, str]]) -> list[Any]:
    return browser.run("shaders.js", texts, timeout=300)


def test_all_kernels_compile(browser: Browser) -> None:
    texts = kernels("wgsl")
    assert len(texts) > 500
    found = refused(browser, texts)
    assert not found, "\n".join([f"{len(found)} do not compile", *map("\n".join, found[:3])])


def test_a_compiler_that_takes_anything_proves_nothing(browser: Browser) -> None:
    good, bad = (f"fn f() -> f32 {{ return {value}; }}" for value in ("1.0", "1e60f"))
    found = refused(browser, [("good", good), ("bad", bad)])
    assert [name for name, *_ in found] == ["bad"]
    assert "line 1: value" in found[0][1]
