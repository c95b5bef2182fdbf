"""States in fewer bits, and bfloat16 parameters that do not lose small steps."""

from __future__ import annotations

import neurenix as nx
import numpy as np
import pytest
from neurenix import Tensor, optim
from neurenix.optim import packing

SHAPES = [(70, 80), (5000,), (64, 3, 5, 7), (9,)]


def tensors(dtype="float32"):
    rng = np.random.default_rng(0)
    return [Tensor(rng.normal(size=shape)).to(dtype).requires_grad_() for shape in SHAPES]


def advance(optimizer, params, start, stop):
    for t in range(start, stop):
        rng = np.random.default_rng(t)
        for param in params:
            param.grad = (
                param.detach().float() * 0.5 + Tensor(rng.normal(size=param.shape), dtype="float32")
            ).to(param.dtype)
        optimizer.step()
    return [param.detach().float().numpy().copy() for param in params]


def test_formats_by_the_name_of_the_state() -> None:
    params = tensors()
    some = optim.AdamW(params, lr=0.01, state_dtype={"exp_avg": "int8"})
    advance(some, params, 0, 3)
    others = [param.detach().clone().requires_grad_() for param in params]
    full = optim.AdamW(others, lr=0.01, state_dtype="float32")
    full.load_state_dict(some.state_dict())
    assert advance(some, params, 3, 4)[0].tobytes() == advance(full, others, 3, 4)[0].tobytes()
    entry, exact = some.state[params[0]], full.state[others[0]]
    assert entry["exp_avg_sq"].tobytes() == exact["exp_avg_sq"].tobytes()
    codes, scale = packing.packed(exact["exp_avg"], "int8", signed=True)
    assert (entry["exp_avg"].numpy() == codes.numpy()).all()
    assert (entry["exp_avg_scale"].numpy() == scale.numpy()).all()


@pytest.mark.parametrize(
    ("kind", "size"),
    [("float32", 8), ("bfloat16", 4), ("float16", 4), ("int8", 2 + 8 / 256), ("int4", 1 + 8 / 128)],
)
def test_bytes_for_each_parameter(kind, size) -> None:
    (param,) = params = [nx.zeros(512, 512, requires_grad=True)]
    optimizer = optim.AdamW(params, state_dtype=kind)
    optimizer.init_state()
    tensors = [value for value in optimizer.state[param].values() if isinstance(value, Tensor)]
    assert sum(t.numel() * t.dtype.itemsize for t in tensors) == size * param.numel()


@pytest.mark.parametrize("kind", ["bfloat16", "int8", "int4"])
def test_little_is_lost(kind) -> None:
    exact, params = tensors(), tensors()
    reference = advance(optim.AdamW(exact, lr=0.01), exact, 0, 30)
    found = advance(optim.AdamW(params, lr=0.01, state_dtype=kind), params, 0, 30)
    start = [p.detach().numpy() for p in tensors()]
    for a, b, c in zip(found, reference, start, strict=True):
        way = np.abs(b - c).mean()
        assert np.abs(a - b).mean() < {"bfloat16": 0.01, "int8": 0.05, "int4": 0.25}[kind] * way
    small = params[-1]
    assert all(
        t.dtype.name != "uint8" for t in optim.AdamW([small], state_dtype="int8").state[small].values()
    )


def test_what_is_not_a_format() -> None:
    params = tensors()
    with pytest.raises(
        ValueError, match="state_dtype must be one of float32, bfloat16, float16, int8, int4, got 'int2'"
    ):
        optim.Adam(params, state_dtype="int2")
    optimizer = optim.Adam(params, state_dtype={"momentum": "int8"})
    with pytest.raises(ValueError, match="state_dtype names 'momentum'; the states are exp_avg, exp_avg_sq"):
        optimizer.init_state()
    with pytest.raises(
        ValueError, match="param_update must be one of 'nearest', 'stochastic', 'kahan', got 'up'"
    ):
        optim.Adam(params, param_update="up")
    other = optim.Adam(params, state_dtype="int8")
    other.init_state()
    state = other.state_dict()
    state["state"][0]["exp_avg_scale"] = Tensor([1.0])
    with pytest.raises(ValueError, match="exp_avg has 5600 codes and 1 scales, the parameter 5600 elements"):
        optim.Adam(params, state_dtype="int8").load_state_dict(state)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_steps_below_half_a_unit(dtype) -> None:
    """A thousand steps of an eighth of a unit in the last place are lost, kept on average, or kept."""
    unit = {"bfloat16": 2.0**-7, "float16": 2.0**-10}[dtype]
    moved = {}
    for update in ("nearest", "stochastic", "kahan"):
        param = nx.full((2000,), 1.0, dtype=dtype).requires_grad_()
        optimizer = optim.SGD([param], lr=unit / 8, param_update=update)
        for _ in range(64):
            param.grad = nx.full((2000,), -1.0, dtype=dtype)
            optimizer.step()
        moved[update] = float((param.detach().float().mean() - 1).item()) / unit
    assert moved["nearest"] == 0
    assert moved["stochastic"] == pytest.approx(8, abs=6 * np.sqrt(64 * 7 / 64 / 2000))
    assert moved["kahan"] == pytest.approx(8, abs=0.51)


def test_random_rounding_depends_on_seed_step_and_parameter() -> None:
    def bits(seed, names=("a", "b"), threads=2):
        nx.set_num_threads(threads)
        params = [nx.full((3000,), 1.0, dtype="bfloat16").requires_grad_() for _ in names]
        optimizer = optim.SGD(
            list(zip(names, params, strict=True)), lr=2.0**-10, param_update="stochastic", rounding_seed=seed
        )
        seen = []
        for _ in range(2):
            for param in params:
                param.grad = nx.full((3000,), -1.0, dtype="bfloat16")
            optimizer.step()
            seen.append([param.detach().float().numpy().tobytes() for param in params])
        return seen

    threads = nx.get_num_threads()
    one, again, other = bits(0), bits(0, threads=1), bits(1)
    turned = bits(0, names=("b", "a"))
    nx.set_num_threads(threads)
    assert one == again
    assert one != other
    assert one[0][0] != one[0][1]
    assert one[0][0] == turned[0][1]
    assert one[0] != one[1]
