"""The fuzz targets, each for some seconds from a fixed seed. `run.py` says how to run them for hours."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from fuzz.run import TARGETS

CASES = {"operations": 3000, "tape": 300, "files": 60, "states": 250, "dlpack": 2000, "interruptions": 150}


@pytest.mark.parametrize("target", TARGETS)
def test_fuzz(target: str) -> None:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(Path(__file__).parents[1]), *sys.path])}
    program = [sys.executable, "-m", "fuzz.run", target, "--seed", "1", "--cases", str(CASES[target])]
    done = subprocess.run(program, capture_output=True, text=True, env=environment, check=False)
    last = done.stderr.splitlines()[-60:]
    assert done.returncode == 0, f"exit code {done.returncode}\n{done.stdout}\n" + "\n".join(last)
    assert f"{target}: " in done.stdout
