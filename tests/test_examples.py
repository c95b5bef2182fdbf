"""Every example runs as a person runs it, and checks itself."""

import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = sorted((Path(__file__).parent.parent / "examples").glob("*.py"))


def test_they_are_there():
    assert [path.name[:2] for path in EXAMPLES] == ["01", "02", "03", "04", "05"]


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_example(path):
    done = subprocess.run(
        [sys.executable, "-W", "error", path], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "assert " in path.read_text()
    assert done.stdout
