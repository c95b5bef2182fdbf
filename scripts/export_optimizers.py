"""Writes web/optimizers.json, every optimizer whose step is a formula as data; says why others are not there."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import neurenix as nx
from neurenix.optim.names import REFUSED, Named, names

FILE = Path(__file__).parent.parent / "web" / "optimizers.json"


def title(named: Named) -> str:
    """What people call it."""
    inside = f"({title(named.around)})" if named.around else ""
    return named.kind.__name__ + inside


def exported() -> dict[str, Any]:
    """All of them with the learning rates that suit small models, and the reasons of those that cannot be there."""
    optimizers, others = [], dict(REFUSED)
    for name, named in names().items():
        params = nx.zeros(4, 3, requires_grad=True)
        try:
            data = nx.optim.export(named([params]))
        except ValueError as refused:
            others[name] = str(refused).partition(": ")[2]
        else:
            optimizers.append({**data, "name": title(named)})
    return {"optimizers": optimizers, "others": dict(sorted(others.items()))}


def text() -> str:
    """The file: an optimizer a line."""
    data = exported()
    lines = ",\n".join(json.dumps(entry, ensure_ascii=False) for entry in data["optimizers"])
    return f'{{"optimizers": [\n{lines}\n],\n"others": {json.dumps(data["others"], indent=0)}}}\n'


if __name__ == "__main__":
    FILE.parent.mkdir(exist_ok=True)
    FILE.write_text(text())
    found = json.loads(FILE.read_text())
    print(f"{len(found['optimizers'])} optimizers, {FILE.stat().st_size / 1e3:.0f} kB; not there are")
    for name, reason in found["others"].items():
        print(f"  {name}: {reason}")
