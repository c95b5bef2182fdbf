"""Random tensors: shapes, dtypes, values that are special, and views of all kinds."""

from __future__ import annotations

import math
from random import Random

import neurenix as nx
from neurenix import Tensor

FLOATS = ("float32", "float64", "float16", "bfloat16")
INTEGERS = ("int64", "int32", "uint8")
DTYPES = (*FLOATS, *INTEGERS, "bool")
SPECIAL = (0.0, -0.0, 1.0, -1.0, 0.5, math.nan, math.inf, -math.inf, 1e-40, 3e38, 2.0**31, 2.0**63)


def shape(r: Random, most: int = 3) -> tuple[int, ...]:
    """Few dimensions, of which some are empty, 1, or too long for a vector register."""
    return tuple(r.choice((0, 1, 1, 2, 3, 5, 17, 40)) for _ in range(r.randint(0, most)))


def tensor(r: Random, sizes: tuple[int, ...] | None = None, dtypes: tuple[str, ...] = DTYPES) -> Tensor:
    """A tensor that need not be contiguous."""
    sizes, dtype = shape(r) if sizes is None else sizes, r.choice(dtypes)
    if dtype in FLOATS:
        x = nx.randn(*sizes).to(dtype) if sizes else nx.randn(1).to(dtype).reshape(())
        if r.random() < 0.3 and x.numel():
            x.reshape(-1)[r.randrange(x.numel())] = r.choice(SPECIAL)
    elif dtype == "bool":
        x = nx.rand(*sizes) < 0.5 if sizes else nx.tensor(r.random() < 0.5)
    else:
        x = nx.randint(0, 120, sizes).to(dtype)
    return view(r, x)


def view(r: Random, x: Tensor) -> Tensor:
    """The same number of dimensions, seen otherwise."""
    kind = r.randrange(6)
    if kind == 0 and x.ndim > 1:
        order = list(range(x.ndim))
        r.shuffle(order)
        return x.permute(*order)
    if kind == 1 and x.ndim:
        axis = r.randrange(x.ndim)
        wide = nx.cat([x, x], axis)
        index = [slice(None)] * x.ndim
        index[axis] = slice(r.randrange(2), None, 2)
        return wide[tuple(index)]
    if kind == 2 and x.ndim and 1 in x.shape:
        axis = x.shape.index(1)
        return x.expand(*(r.choice((1, 3, 20)) if i == axis else n for i, n in enumerate(x.shape)))
    if kind == 3 and x.ndim:
        return nx.stack([x, x], -1)[..., r.randrange(2)]
    return x


def same(a: Tensor, b: Tensor) -> bool:
    """Whether two tensors have the same bits, but that one NaN is as good as another."""
    if (a.shape, a.dtype) != (b.shape, b.dtype):
        return False
    if a.is_floating_point():
        return bool(((a == b) | (a.isnan() & b.isnan())).all())
    return bool((a == b).all())
