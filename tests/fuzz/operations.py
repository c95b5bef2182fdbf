"""Any method with any arguments: no panic, no write into operands, and the same of a view as of its contiguous copy."""

from __future__ import annotations

from random import Random

import neurenix as nx
from neurenix import Tensor
from neurenix._phynexus import default_generator

from .values import DTYPES, same, shape, tensor

#: Not values of their operands alone, or not of interest here.
LEFT_OUT = {
    *("backward", "register_hook", "register_post_accumulate_grad_hook", "retain_grad", "requires_grad_"),
    *(
        "data_ptr",
        "numpy",
        "tobytes",
        "tolist",
        "random_",
        "normal_",
        "uniform_",
        "bernoulli_",
        "multinomial",
    ),
    *(
        "bernoulli",
        "from_dlpack",
        "from_numpy",
        "from_bytes",
        "to",
        "stride",
        "is_contiguous",
        "rand",
        "randn",
    ),
    *(
        "randint",
        "empty",
        "empty_like",
        "rand_like",
        "randn_like",
        "randint_like",
        "new_empty",
        "element_size",
    ),
    *("exponential_", "dropout", "share_memory_"),
}
METHODS = sorted(
    name
    for name in dir(Tensor)
    if callable(getattr(Tensor, name)) and not name.startswith("_") and name not in LEFT_OUT
)
OPERATORS = sorted(
    f"__{name}__"
    for name in (
        *(
            "add",
            "sub",
            "mul",
            "truediv",
            "floordiv",
            "mod",
            "pow",
            "matmul",
            "and",
            "or",
            "xor",
            "lt",
            "le",
            "gt",
        ),
        *("ge", "eq", "ne", "neg", "invert", "abs", "getitem", "radd", "rsub", "rtruediv", "rpow", "rmod"),
    )
)


def argument(r: Random, x: Tensor) -> object:
    """Something that a method might take."""
    kind = r.randrange(12)
    if kind == 0:
        return tensor(r)
    if kind <= 2:
        return tensor(r, tuple(x.shape))
    if kind == 3:
        return r.choice((0, 1, -1, 2, -2, 3, 7, 300, -(2**31), 2**40, 2**63, 10**30))
    if kind == 4:
        return r.choice((0.0, 0.5, -1.5, 2.0, float("nan"), float("inf"), 1e300, True, False))
    if kind == 5:
        return shape(r)
    if kind == 6:
        return nx.randint(-3, 4, shape(r, 2))
    if kind == 7:
        return r.choice(DTYPES)
    if kind == 8:
        return slice(*(r.choice((None, 0, 1, -1, 2, 5)) for _ in range(3)))
    if kind == 9:
        return r.choice((None, ..., "mean", [], [0], [0, -1], range(2)))
    if kind == 10:
        return tuple(
            r.choice((None, ..., 0, -1, slice(None, None, 2), [0], True)) for _ in range(r.randint(0, 3))
        )
    return x


def results(value: object) -> list[Tensor]:
    if isinstance(value, Tensor):
        return [value]
    return [t for item in value for t in results(item)] if isinstance(value, (tuple, list)) else []


def case(r: Random) -> None:
    x = tensor(r)
    name = r.choice(METHODS + OPERATORS)
    arguments = [argument(r, x) for _ in range(r.choice((0, 0, 1, 1, 1, 2, 2, 3)))]
    names = {key: argument(r, x) for key in ("dim", "keepdim", "dtype") if r.random() < 0.1}
    state = default_generator().offset
    if name.endswith("_") and not name.startswith("__"):
        getattr(x.clone(), name)(*arguments, **names)
        return
    operands = [x, *(a for a in arguments if isinstance(a, Tensor))]
    before = [t.clone() for t in operands]
    value = results(getattr(x, name)(*arguments, **names))
    assert all(same(t, old) for t, old in zip(operands, before, strict=True)), f"{name} wrote into an operand"
    default_generator().offset = state
    if name in ("sum", "mean", "prod", "std", "var", "norm", "logsumexp", "cumsum", "softmax", "log_softmax"):
        return  # how a sum is cut may depend on the layout
    if name in ("matmul", "mm", "bmm", "dot", "mv", "__matmul__", "outer"):
        return
    copies = [a.clone() if isinstance(a, Tensor) else a for a in arguments]
    again = results(getattr(x.clone(), name)(*copies, **names))
    assert len(value) == len(again)
    for a, b in zip(value, again, strict=True):
        assert same(a, b), (
            f"{name} of a view {x.shape} {x.stride()} {x.dtype} {arguments} {names}: {a} and {b}"
        )
