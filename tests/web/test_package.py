"""The npm package: its size, its parts, its types."""

from __future__ import annotations

import gzip
import json
import shutil
import subprocess
from pathlib import Path

import pytest
from web.browser import ROOT

TYPESCRIPT = "typescript@5.9.3"


def test_it_is_small(package: Path) -> None:
    files = ("neurenix.js", "neurenix_bg.wasm")
    size = sum(len(gzip.compress((package / name).read_bytes(), 9)) for name in files)
    assert size < 1_100_000


def test_it_is_complete(package: Path) -> None:
    about = json.loads((package / "package.json").read_text())
    assert all((package / about[name]).is_file() for name in ("main", "types"))
    assert (package / "README.md").is_file()
    assert (package / "optimizers.json").read_bytes() == (ROOT / "web" / "optimizers.json").read_bytes()


def tsc(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Runs TypeScript's compiler of a fixed version, if it can be had."""
    npx = shutil.which("npx")
    if npx is None:
        pytest.skip("npx, of Node.js, runs TypeScript's compiler")
    command = [npx, "--yes", "--package", TYPESCRIPT, "tsc"]
    if subprocess.run([*command, "--version"], cwd=folder, capture_output=True, check=False).returncode:
        pytest.skip(f"npx cannot install {TYPESCRIPT}")
    options = ("--noEmit", "--target", "esnext", "--module", "nodenext", "--lib", "esnext,dom,dom.iterable")
    return subprocess.run(
        [*command, *options, *arguments], cwd=folder, capture_output=True, text=True, check=False
    )


@pytest.fixture
def project(package: Path, tmp_path: Path) -> Path:
    """A folder in which the package is installed."""
    (tmp_path / "node_modules").mkdir()
    (tmp_path / "node_modules" / "neurenix").symlink_to(package)
    (tmp_path / "package.json").write_text('{"type": "module"}')
    return tmp_path


def test_types(project: Path) -> None:
    right = (Path(__file__).parent / "example.ts").read_text()
    (project / "right.ts").write_text(right)
    (project / "wrong.ts").write_text(right.replace("[2, 3]", '"two by three"'))
    found = tsc(project, "--strict", "right.ts", "wrong.ts").stdout.splitlines()
    errors = [line for line in found if not line.startswith(" ")]
    assert errors
    assert all(line.startswith("wrong.ts") for line in errors), "\n".join(found)


def test_the_page_passes_the_type_checker(project: Path) -> None:
    for script in (ROOT / "examples" / "web").glob("*.js"):
        shutil.copy(script, project)
    found = tsc(project, "--allowJs", "--checkJs", "--skipLibCheck", "main.js")
    assert found.returncode == 0, found.stdout
