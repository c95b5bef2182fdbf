"""States in fewer bits, and bfloat16 parameters that do not lose small steps."""

from __future__ import annotations

import neurenix as nx
import numpy as np
import pytest
from neurenix import Tensor, optim
from neurenix.optim import packing

SHAPES = [(70, 80), (5000,), (64, 3, 5, 7), (9,)]
FORMATS = ["float32", "bfloat16", "float16", "int8", "int4"]
# Elementwise, with a norm, with rows and columns, with tensor code, around another, coupled.
RULES = {
    "AdamW": lambda p, **k: optim.AdamW(p, lr=0.01, **k),
    "SGD": lambda p, **k: optim.SGD(p, lr=0.01, momentum=0.9, clip_norm=1.0, **k),
    "LAMB": lambda p, **k: optim.LAMB(p, lr=0.01, **k),
    "CAME": lambda p, **k: optim.CAME(p, lr=0.01, **k),
    "Prodigy": lambda p, **k: optim.Prodigy(p, **k),
    "Lookahead": lambda p, **k: optim.Lookahead(optim.Adam(p, lr=0.01, ema=0.9, **k), k=2),
}
all_rules = pytest.mark.parametrize("make", RULES.values(), ids=RULES)


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


def floats(optimizer, param):
    """The states of a parameter as float32, whatever they are stored as."""
    entry = optimizer.state[param]
    group = next(g for g in optimizer.param_groups if any(p is param for p in g["params"]))
    found = {}
    for state in optimizer.all_states(group, optimizer.variant(param, group)):
        value = entry[state.name]
        if packing.is_packed(entry, state.name):
            value = packing.unpacked(
                value, entry[packing.scale_key(state.name)], param.shape, state.is_signed
            )
        found[state.name] = value
    return found


@all_rules
@pytest.mark.parametrize("kind", ["int8", "int4", {"exp_avg": "int8"}], ids=str)
def test_a_step_is_the_float32_step_between_decoding_and_encoding(make, kind) -> None:
    """Bit for bit, whether the formula decodes by itself or states are unpacked around it."""
    if isinstance(kind, dict) and make is RULES["SGD"]:
        kind = {"momentum_buffer": "int8"}
    params = tensors()
    few = make(params, state_dtype=kind)
    advance(few, params, 0, 3)
    others = [param.detach().clone().requires_grad_() for param in params]
    full = make(others)
    full.init_state()
    full.load_state_dict(few.state_dict())
    assert advance(few, params, 3, 4)[0].tobytes() == advance(full, others, 3, 4)[0].tobytes()
    for param, other in zip(params, others, strict=True):
        entry = few.state[param]
        for name, value in full.state[other].items():
            if not packing.is_packed(entry, name):
                continue
            stored = "int8" if entry[name].numel() == param.numel() else "int4"
            signed = next(
                s
                for s in few.all_states(few.param_groups[0], few.variant(param, few.param_groups[0]))
                if s.name == name
            )
            codes, scale = packing.packed(value, stored, signed.is_signed)
            assert (codes.numpy() == entry[name].numpy()).all()
            assert (scale.numpy() == entry[packing.scale_key(name)].numpy()).all()


@all_rules
@pytest.mark.parametrize("kind", FORMATS)
def test_a_saved_state_goes_on_bit_for_bit(make, kind, tmp_path) -> None:
    params = tensors()
    first = make(params, state_dtype=kind)
    advance(first, params, 0, 3)
    nx.save(first.state_dict(), tmp_path / "state.safetensors")
    others = [param.detach().clone().requires_grad_() for param in params]
    second = make(others, state_dtype=kind)
    second.load_state_dict(nx.load(tmp_path / "state.safetensors"))
    for a, b in zip(advance(first, params, 3, 6), advance(second, others, 3, 6), strict=True):
        assert a.tobytes() == b.tobytes()


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
