"""Files: any structure comes back as it was, and damaged ones are refused in one way."""

from __future__ import annotations

import os
import re
import tempfile
from random import Random

import neurenix as nx
import pytest

from .values import same, tensor

FOLDER = tempfile.mkdtemp(prefix="neurenix-fuzz-")


def structure(r: Random, depth: int = 0) -> object:
    kind = r.randrange(10 if depth < 4 else 6)
    if kind < 2:
        return tensor(r)
    if kind < 6:
        return r.choice((None, True, 0, -1, 2**70, 0.1, float("inf"), "", "ü\n\x00", "a.b"))
    items = [structure(r, depth + 1) for _ in range(r.randint(0, 3))]
    if kind == 6:
        return tuple(items)
    if kind == 7:
        return items
    return {r.choice((i, str(i), f"k.{i}", "", "__metadata__", "é")): item for i, item in enumerate(items)}


def equal(a: object, b: object) -> bool:
    if isinstance(a, nx.Tensor):
        return isinstance(b, nx.Tensor) and same(a, b)
    if type(a) is not type(b):
        return False
    if isinstance(a, dict):
        return list(a) == list(b) and all(equal(a[k], b[k]) for k in a)
    if isinstance(a, (list, tuple)):
        return len(a) == len(b) and all(map(equal, a, b))
    return a == b


def case(r: Random) -> None:
    path = os.path.join(FOLDER, "x")
    value = structure(r)
    nx.save(value, path)
    assert equal(nx.load(path), value), "a file does not hold what was saved"
    with open(path, "rb") as file:
        data = bytearray(file.read())
    for _ in range(20):
        bad = bytearray(data)
        for _ in range(r.randint(1, 3)):
            place, kind = r.randrange(len(bad)), r.randrange(4)
            if kind == 0:
                bad[place] ^= 1 << r.randrange(8)
            elif kind == 1:
                del bad[place : place + r.randint(1, 20)]
            elif kind == 2:
                bad[place:place] = r.randbytes(r.randint(1, 20))
            else:
                bad[place : place + 8] = r.randbytes(8)
            if not bad:
                break
        if bad == data:
            continue
        with open(path, "wb") as file:
            file.write(bad)
        with pytest.raises(ValueError, match=re.escape(path)):
            nx.load(path)
