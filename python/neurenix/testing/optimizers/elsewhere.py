"""That training goes on in another process as it would have in this one."""

from __future__ import annotations

import dataclasses
import os
import pickle
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, Final

from neurenix import no_grad, serialize

from .record import Record, require
from .runs import MEMORY, Run, contents, named

SAVED: Final = 5
STEPS: Final = 8
FOREIGN: Final = 3
"""What the other process returns if it cannot import the optimizer."""
START: Final = f"import sys; from {__name__} import go_on; sys.exit(go_on(sys.argv[1]))"


def resumes_in_a_new_process(record: Record) -> str | None:
    """Saved to a file and loaded by a new process, it moves as if it had never stopped, bit for bit."""
    needed = dataclasses.replace(record, oracle=None, moves={}, errors=(), state_bytes=None, skips={})
    alone = "another process cannot import it"
    if getattr(record.optimizer, "__module__", None) == "__main__":
        return alone
    try:
        pickled = pickle.dumps(needed)
    except (pickle.PicklingError, AttributeError, TypeError):
        return alone
    run = Run(record, "float32", arrange=named).train(SAVED)
    with tempfile.TemporaryDirectory(dir=MEMORY if MEMORY.is_dir() else None) as folder:
        Path(folder, "record").write_bytes(pickled)
        serialize.save(_everything(run), Path(folder, "before"))
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
        child = subprocess.run(
            [sys.executable, "-c", START, folder],
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        if child.returncode == FOREIGN:
            return alone
        require(
            child.returncode == 0, f"{record}: another process cannot go on: {child.stderr.strip()[-500:]}"
        )
        there = contents(serialize.load(Path(folder, "after")))
    here = contents(_everything(run.train(STEPS, SAVED + 1)))
    require(there["params"] == here["params"], f"{record}: resumed in another process, it goes elsewhere")
    return None


def go_on(folder: str) -> int:
    """What the other process does; returns its exit status."""
    try:
        record: Record = pickle.loads(Path(folder, "record").read_bytes())
    except (ImportError, AttributeError):
        return FOREIGN
    saved, run = serialize.load(Path(folder, "before")), Run(record, "float32", arrange=named)
    with no_grad():
        for param, value in zip(run.params, saved["params"].values(), strict=True):
            param.copy_(value)
    run.optimizer.load_state_dict(saved["optimizer"])
    serialize.save(_everything(run.train(STEPS, SAVED + 1)), Path(folder, "after"))
    return 0


def _everything(run: Run) -> dict[str, Any]:
    return {"params": dict(named(run.params)), "optimizer": run.optimizer.state_dict()}
