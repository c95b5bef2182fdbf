"""The code in README.md and docs/ runs, links lead somewhere, and what the pages list exists."""

import importlib
import re
import sys
import types
from pathlib import Path

import pytest
from neurenix.testing import PROPERTIES

ROOT = Path(__file__).parent.parent
PAGES = [
    *(ROOT / name for name in ("README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "CHANGELOG.md")),
    *sorted((ROOT / "docs").rglob("*.md")),
]
BLOCK = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def name(path):
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("page", [page for page in PAGES if BLOCK.search(page.read_text())], ids=name)
def test_code_runs(page, tmp_path, monkeypatch):
    """The blocks of a page are one program, from the top."""
    monkeypatch.chdir(tmp_path)
    text = page.read_text()
    module = types.ModuleType("page")
    monkeypatch.setitem(sys.modules, "page", module)  # so that its classes can be pickled
    for block in BLOCK.finditer(text):
        line = text[: block.start(1)].count("\n")
        exec(compile("\n" * line + block[1], str(page), "exec"), vars(module))


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text()):
        assert (page.parent / target).exists(), target


@pytest.mark.parametrize("page", sorted((ROOT / "docs" / "api").glob("*.md")), ids=name)
def test_api_pages_list_what_there_is(page):
    module = importlib.import_module(page.stem)
    listed = re.findall(r"^\| `([\w.]+)", page.read_text(), re.MULTILINE)
    assert sorted(listed) == sorted(set(listed))
    assert set(listed) == set(module.__all__)


def test_properties_of_optimizers_are_listed():
    table = re.findall(
        r"^\| `(\w+)` \| (.*) \|$", (ROOT / "docs" / "testing-optimizers.md").read_text(), re.MULTILINE
    )
    assert table == [(name, " ".join(check.__doc__.split())) for name, check in PROPERTIES.items()]


def test_readme_shows_the_examples():
    readme = (ROOT / "README.md").read_text()
    for path in sorted((ROOT / "examples").glob("0[1-4]_*.py")):
        assert path.read_text() in readme, f"{path.name} differs from what README.md prints"
    for path in sorted((ROOT / "examples").glob("*.py")):
        assert f"examples/{path.name}" in readme
