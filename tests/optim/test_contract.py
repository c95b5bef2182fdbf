"""What holds for every optimizer: each row of CASES goes through all tests, and every optimizer has one."""

from __future__ import annotations

import copy
import inspect
import pickle
from typing import Any

import neurenix as nx
import numpy as np
import pytest
from neurenix import Tensor, optim
from neurenix.optim import Optimizer

SHAPES = [(3, 4), (5,), (1,), (2, 1, 3), ()]

# class -> the arguments it is tested with, and for each argument another value that must show in the result
CASES: dict[type[Optimizer], list[tuple[dict[str, Any], dict[str, Any]]]] = {
    optim.SGD: [
        ({"lr": 0.1}, {"lr": 0.11, "momentum": 0.1, "weight_decay": 0.01, "maximize": True}),
        (
            {"lr": 0.1, "momentum": 0.9, "dampening": 0.1, "weight_decay": 0.01},
            {"lr": 0.11, "momentum": 0.8, "dampening": 0.2, "weight_decay": 0.02, "maximize": True},
        ),
        ({"lr": 0.1, "momentum": 0.9, "nesterov": True}, {"nesterov": False}),
    ],
    optim.Adam: [
        (
            {"lr": 0.1, "betas": (0.8, 0.99), "eps": 1e-3, "weight_decay": 0.01, "amsgrad": amsgrad},
            {
                "lr": 0.11,
                "betas": (0.7, 0.99),
                "eps": 1e-2,
                "weight_decay": 0.02,
                "amsgrad": not amsgrad,
                "maximize": True,
            },
        )
        for amsgrad in (False, True)
    ],
}
CASES[optim.AdamW] = CASES[optim.Adam]
ROWS = [
    pytest.param(cls, arguments, others, id=f"{cls.__name__}-{i}")
    for cls, cases in CASES.items()
    for i, (arguments, others) in enumerate(cases)
]
all_optimizers = pytest.mark.parametrize(("cls", "arguments", "others"), ROWS)


def test_every_optimizer_has_a_row() -> None:
    classes = [
        value for value in vars(optim).values() if inspect.isclass(value) and issubclass(value, Optimizer)
    ]
    assert {cls for cls in classes if cls is not Optimizer} == set(CASES)


def gradients(params: list[Tensor], step: int) -> None:
    rng = np.random.default_rng(step)
    for param in params:
        # A parabola and noise; float64 first, so that float32 sees the same numbers, rounded.
        noise = rng.normal(size=param.shape)
        param.grad = (param.detach().double() * 0.5 + Tensor(np.asarray(noise))).to(param.dtype)


def train(optimizer: Optimizer, params: list[Tensor], start: int, stop: int) -> list[np.ndarray]:
    for step in range(start, stop):
        gradients(params, step)
        optimizer.step()
    return [param.detach().double().numpy().copy() for param in params]


def same(a: list[np.ndarray], b: list[np.ndarray]) -> bool:
    return all(x.tobytes() == y.tobytes() for x, y in zip(a, b, strict=True))


@all_optimizers
def test_engine_is_the_formula_on_numpy(cls, arguments, others, randoms) -> None:
    (param,) = randoms([(50,)], "float64")
    optimizer = cls([param], **arguments)
    group = optimizer.param_groups[0]
    named = {
        n for n, p in inspect.signature(optimizer.rule(group)).parameters.items() if p.kind is p.KEYWORD_ONLY
    }
    hyper = {name: group[name] for name in named - {"t"}}
    p, states = param.detach().numpy().copy(), [np.zeros(50) for _ in optimizer.state_names(group)]
    for t in range(1, 1001):
        gradients([param], t)
        timed = {"t": t} if "t" in named else {}
        p, *states = optimizer.rule(group)(p, param.grad.numpy(), *states, **timed, **hyper)
        optimizer.step()
    np.testing.assert_allclose(param.detach().numpy(), p, rtol=1e-12)
    for name, state in zip(optimizer.state_names(group), states, strict=True):
        np.testing.assert_allclose(optimizer.state[param][name].numpy(), state, rtol=1e-12)


@all_optimizers
def test_every_argument_shows(cls, arguments, others, randoms) -> None:
    before = train(cls(params := randoms([(20,)], "float64"), **arguments), params, 0, 20)
    for name, value in others.items():
        after = train(cls(params := randoms([(20,)], "float64"), **{**arguments, name: value}), params, 0, 20)
        assert np.abs(after[0] - before[0]).max() > 100 * 1e-6, name


@all_optimizers
@pytest.mark.parametrize("dtype", ["float32", "float64", "float16", "bfloat16"])
def test_grouping_and_order_do_not_move_a_bit(cls, arguments, others, dtype, randoms) -> None:
    together = train(cls(params := randoms(SHAPES, dtype), **arguments), params, 0, 10)
    params = randoms(SHAPES, dtype)
    assert same(together, train(cls([{"params": [p]} for p in params], **arguments), params, 0, 10))
    params = randoms(SHAPES, dtype)
    assert same(together, train(cls(params[::-1], **arguments), params, 0, 10))


@all_optimizers
def test_threads_do_not_move_a_bit(cls, arguments, others, randoms) -> None:
    shapes = [(300, 700), (123_457,), (3,)]
    threads = nx.get_num_threads()
    try:
        nx.set_num_threads(1)
        one = train(cls(params := randoms(shapes), **arguments), params, 0, 2)
        nx.set_num_threads(3)
        three = train(cls(params := randoms(shapes), **arguments), params, 0, 2)
        assert same(one, three)
    finally:
        nx.set_num_threads(threads)


@all_optimizers
def test_maximize_is_the_negated_gradient(cls, arguments, others, randoms) -> None:
    up, down = randoms([(30,)])[0], randoms([(30,)])[0]
    rising, falling = cls([up], maximize=True, **arguments), cls([down], **arguments)
    for step in range(5):
        gradients([up], step)
        down.grad = -up.grad
        rising.step()
        falling.step()
    assert same([up.detach().numpy()], [down.detach().numpy()])


@all_optimizers
def test_zero_lr_moves_nothing_but_the_state(cls, arguments, others, randoms) -> None:
    params = randoms(SHAPES)
    before = [param.detach().double().numpy().copy() for param in params]
    optimizer = cls(params, **{**arguments, "lr": 0})
    assert same(before, train(optimizer, params, 0, 3))
    assert all(optimizer.state[param]["step"] == 3 for param in params)
    assert all(
        float(optimizer.state[p][n].abs().sum()) > 0
        for p in params
        for n in optimizer.state_names(optimizer.param_groups[0])
    )


@all_optimizers
def test_no_gradient_no_change(cls, arguments, others, randoms) -> None:
    moving, frozen = randoms([(4,), (4,)])
    optimizer = cls([moving, frozen], **arguments)
    train(optimizer, [moving], 0, 2)
    frozen.grad = None
    before = copy.deepcopy(optimizer.state_dict()["state"][1])
    values = frozen.detach().numpy().copy()
    train(optimizer, [moving], 2, 4)
    assert frozen.detach().numpy().tobytes() == values.tobytes()
    after = optimizer.state_dict()["state"][1]
    assert after["step"] == before["step"] == 2
    assert all(after[n].tobytes() == before[n].tobytes() for n in after if n != "step")
    assert optimizer.state[moving]["step"] == 4


@all_optimizers
def test_gradients_are_not_touched(cls, arguments, others, randoms) -> None:
    params = randoms(SHAPES)
    before = [param.grad.tobytes() for param in params]
    cls(params, **arguments).step()
    assert [param.grad.tobytes() for param in params] == before


@all_optimizers
def test_strided_gradients(cls, arguments, others, make) -> None:
    values, grad = np.arange(12.0).reshape(3, 4), np.linspace(-1, 1, 12).reshape(4, 3)
    strided, plain = make(values), make(values, grad.T.copy())
    strided.grad = Tensor(grad, dtype="float32").T
    for param in (strided, plain):
        cls([param], **arguments).step()
    assert strided.tobytes() == plain.tobytes()


@all_optimizers
def test_going_on_after_loading_is_never_having_stopped(cls, arguments, others, randoms, tmp_path) -> None:
    whole = cls(params := randoms(SHAPES), **arguments)
    other = randoms(SHAPES)
    resumed = cls(other, **arguments)
    for step in range(50):
        expected = train(whole, params, step, step + 1)
        assert same(expected, train(resumed, other, step, step + 1))
        nx.save(resumed.state_dict(), tmp_path / "state.safetensors")
        resumed = cls(other, **{**arguments, "lr": 7})
        resumed.load_state_dict(nx.load(tmp_path / "state.safetensors"))


@all_optimizers
@pytest.mark.parametrize(
    "copier", [copy.deepcopy, lambda value: pickle.loads(pickle.dumps(value))], ids=["copy", "pickle"]
)
def test_copies_go_on_alike(cls, arguments, others, copier, randoms) -> None:
    params = randoms(SHAPES)
    optimizer = cls(params, **arguments)
    train(optimizer, params, 0, 3)
    twin, twins = copier((optimizer, params))
    assert twin.param_groups[0]["params"][0] is twins[0]
    assert twins[0] is not params[0]
    assert same(train(optimizer, params, 3, 6), train(twin, twins, 3, 6))


@all_optimizers
def test_many_steps_do_not_overflow(cls, arguments, others, make) -> None:
    for steps in (2**24 + 1, 2**31 + 1):
        param = make([1.0, 2.0], 0.5)
        optimizer = cls([param], **arguments)
        optimizer.init_state()
        state = optimizer.state_dict()
        state["state"][0]["step"] = steps
        optimizer.load_state_dict(state)
        optimizer.step()
        assert optimizer.state[param]["step"] == steps + 1
        assert np.isfinite(param.detach().numpy()).all()


@all_optimizers
def test_zero_gradient_is_no_nan(cls, arguments, others, make) -> None:
    param = make([1.0, -2.0], 0.0)
    cls([param], **{**arguments, "weight_decay": 0}).step()
    assert param.tolist() == [1.0, -2.0]


@all_optimizers
def test_repr_shows_all_hyperparameters(cls, arguments, others, make) -> None:
    text = repr(cls([make([1.0])], **arguments))
    assert text.startswith(cls.__name__)
    assert all(f"{name}={value!r}" in text for name, value in arguments.items())


@all_optimizers
def test_converges(cls, arguments, others, make) -> None:
    param = make([3.0, -2.0])
    optimizer = cls([param], **{**arguments, "lr": 0.05, "weight_decay": 0})
    for _ in range(500):
        optimizer.zero_grad()
        (param * param * Tensor([1.0, 3.0])).sum().backward()
        optimizer.step()
    assert np.abs(param.detach().numpy()).max() < 0.01
