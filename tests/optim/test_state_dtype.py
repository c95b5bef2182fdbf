"""States in fewer bits, and bfloat16 parameters that do not lose small steps."""

from __future__ import annotations

import neurenix as nx
import numpy as np
import pytest
from neurenix import Tensor, optim

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
    assert entry["exp_avg"].dtype.name == "uint8"
    steps = some.decoded(params[0], "exp_avg").numpy() - exact["exp_avg"].numpy()
    assert 0 < np.abs(steps).max() < 0.015 * entry["exp_avg_scale"].numpy().max()


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
        assert np.abs(a - b).mean() < {"bfloat16": 0.01, "int8": 0.05, "int4": 0.35}[kind] * way
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


def trained(kind, values, steps, cls=optim.Adam, **options):
    """How far parameters move along these gradients, one after the other."""
    param = nx.zeros(len(values[0]), requires_grad=True)
    optimizer = cls([param], lr=1e-3, state_dtype=kind, **options)
    for step in range(steps):
        param.grad = values[step % len(values)]
        optimizer.step()
    return param.detach().numpy().copy(), optimizer, param


@pytest.mark.parametrize("kind", ["bfloat16", "float16", "int8", "int4"])
@pytest.mark.parametrize("size", [1e-3, 1e-5])
def test_small_squares_do_not_become_zero(kind, size) -> None:
    """Else steps are divided by eps alone, and go hundreds of times too far."""
    rng = np.random.default_rng(0)
    gradients = [Tensor(rng.normal(size=8192) * size, dtype="float32") for _ in range(60)]
    full, few = (trained(each, gradients, 60)[0] for each in ("float32", kind))
    assert np.abs(few).mean() == pytest.approx(np.abs(full).mean(), rel=0.2 if kind == "int4" else 0.05)


@pytest.mark.parametrize("kind", ["bfloat16", "float16", "int8", "int4"])
@pytest.mark.parametrize("cls", [optim.Adam, optim.Adamax, optim.RMSprop, optim.Adadelta])
def test_squares_fall_when_gradients_do(kind, cls) -> None:
    """1 - beta2 is less than half a step of the formats; elements of a block have different sizes."""
    scale = np.random.default_rng(0).uniform(0.2, 1, 8192)
    high, low = (Tensor(scale * size, dtype="float32") for size in (10, 1))
    moved = {}
    for each in ("float32", kind):
        before, optimizer, param = trained(each, [high], 50, cls)
        for _ in range(1500):
            param.grad = low
            optimizer.step()
        moved[each] = (param.detach().numpy() - before).mean()
    assert moved[kind] == pytest.approx(moved["float32"], rel=0.12 if kind == "int4" else 0.03)


@pytest.mark.parametrize("kind", ["bfloat16", "float16", "int8"])
def test_slow_averages_follow(kind) -> None:
    """An average over ten thousand gradients changes by less than a step of the formats, and by more at random."""
    gradient = [Tensor(np.random.default_rng(0).uniform(0.5, 1, 8192), dtype="float32")]
    found = {}
    for each in ("float32", kind):
        _, optimizer, param = trained(each, gradient, 400, optim.AdEMAMix, betas=(0.9, 0.999, 0.9999))
        found[each] = optimizer.decoded(param, "exp_avg_slow").numpy()
    assert found[kind].mean() == pytest.approx(found["float32"].mean(), rel=0.01)


AVERAGES = {
    "ema": lambda params, kind: optim.AdamW(params, ema=0.9, state_dtype=kind),
    "lookahead": lambda params, kind: optim.Lookahead(optim.AdamW(params, state_dtype=kind)),
    "schedule free": lambda params, kind: optim.ScheduleFreeAdamW(params, state_dtype=kind),
    "schedule free wrapper": lambda params, kind: optim.ScheduleFree(
        optim.AdamW(params, betas=(0.0, 0.999), state_dtype=kind)
    ),
    "splus": lambda params, kind: optim.SPlus(params, state_dtype=kind),
}


@pytest.mark.parametrize("kind", ["bfloat16", "float16", "int8", "int4"])
@pytest.mark.parametrize("name", AVERAGES)
def test_weights_that_are_evaluated_are_values(name, kind) -> None:
    evaluated = {}
    for each in ("float32", kind):
        params = tensors()
        optimizer = AVERAGES[name](params, each)
        advance(optimizer, params, 0, 20)
        if name == "ema":
            with optimizer.ema():
                evaluated[each] = params[0].detach().numpy().copy()
        else:
            optimizer.eval()
            evaluated[each] = params[0].detach().numpy().copy()
    assert np.abs(evaluated[kind] - evaluated["float32"]).mean() < 0.003
    assert np.abs(evaluated["float32"]).mean() > 0.5


def test_a_rule_of_ones_own_is_evaluated_by_values() -> None:
    """States that it evaluates may be stored in few bits; what it is handed is decoded."""

    class Averaged(optim.Optimizer):
        states = ("average",)

        @staticmethod
        def formula(p, g, average, *, lr):
            return p - lr * g, 0.5 * average + 0.5 * p

        def evaluation(self, param, group, entry):
            assert set(entry) == {"step", "average"}
            return entry["average"]

    (param,) = params = [Tensor(np.linspace(1, 2, 4096), dtype="float32", requires_grad=True)]
    optimizer = Averaged(params, {"lr": 0.1}, state_dtype="int8")
    param.grad = nx.zeros(4096)
    optimizer.step()
    optimizer.eval()
    assert param.detach().numpy() == pytest.approx(np.linspace(0.5, 1, 4096), rel=0.02)


def test_decoded_gives_values_whatever_is_stored() -> None:
    params = tensors()
    optimizer = optim.Adam(params, lr=0.01, state_dtype="int4")
    advance(optimizer, params, 0, 5)
    for param in params:
        value = optimizer.decoded(param, "exp_avg_sq")
        assert (value.dtype.name, value.shape) == ("float32", param.shape)
        assert optimizer.decoded(param, "step") == 5
    assert optimizer.state[params[0]]["exp_avg"].numel() == params[0].numel() // 2
    with pytest.raises(KeyError, match="momentum"):
        optimizer.decoded(params[0], "momentum")
    with pytest.raises(KeyError, match="no such parameter"):
        optimizer.decoded(nx.zeros(3), "step")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda p: optim.Adam(p, state_dtype={"exp_avg_sq": "float16"}),
            "exp_avg_sq 'float16'.*give it 'bfloat16'",
        ),
        (lambda p: optim.SGD(p, momentum=0.9, state_dtype={"momentum_buffer": "int4"}), "give it 'int8'"),
        (lambda p: optim.ScheduleFreeSGD(p, state_dtype={"z": "int8"}), "z keeps float32"),
        (lambda p: optim.MADGRAD(p, state_dtype={"grad_sum_sq": "bfloat16"}), "grad_sum_sq keeps float32"),
    ],
)
def test_what_a_state_does_not_bear_is_refused_by_name(make, message) -> None:
    optimizer = make(tensors())
    with pytest.raises(ValueError, match=message):
        optimizer.init_state()


def test_where_a_format_would_spoil_a_state_it_has_a_wider_one() -> None:
    def stored(optimizer, name):
        optimizer.init_state()
        entry = optimizer.state[optimizer.param_groups[0]["params"][0]]
        return entry[name].dtype.name, f"{name}_scale" in entry

    assert stored(optim.Adam(tensors(), state_dtype="float16"), "exp_avg_sq") == ("bfloat16", False)
    assert stored(optim.Adam(tensors(), state_dtype="float16"), "exp_avg") == ("float16", False)
    assert stored(optim.SGD(tensors(), momentum=0.9, state_dtype="int4"), "momentum_buffer") == (
        "uint8",
        True,
    )
    assert stored(optim.ASGD(tensors(), state_dtype="int8"), "ax") == ("float32", False)
    assert stored(optim.Adam(tensors(), state_dtype="int8", ema=0.9), "ema") == ("float32", False)


def test_rounding_of_states_depends_on_seed_step_and_parameter() -> None:
    """And on nothing else: not on threads, nor on the order of the parameters."""

    def stored(kind, seed=0, threads=2, names=("a", "b"), steps=2, cls=optim.Adam):
        nx.set_num_threads(threads)
        start = Tensor(np.random.default_rng(0).normal(size=(96, 96)), dtype="float32")
        params = [nx.zeros(96, 96, requires_grad=True) for _ in names]
        pairs = list(zip(names, params, strict=True))
        optimizer = cls(pairs, state_dtype=kind, rounding_seed=seed)
        for _ in range(steps):
            for param in params:
                param.grad = start
            optimizer.step()
        return [optimizer.state[param]["exp_avg"].tobytes() for param in params]

    threads = nx.get_num_threads()
    try:
        for kind in ("bfloat16", "int8", "int4"):
            for cls in (optim.Adam, optim.AdamMini, optim.CAME):
                if kind == "int4" and cls is optim.CAME:
                    continue
                one = stored(kind, cls=cls)
                assert one == stored(kind, threads=1, cls=cls)
                assert one != stored(kind, seed=1, cls=cls)
                assert one[0] != one[1]
                assert one == stored(kind, names=("b", "a"), cls=cls)[::-1]
    finally:
        nx.set_num_threads(threads)
