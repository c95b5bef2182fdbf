"""Symbols, functions and tracing."""

from __future__ import annotations

import math

import neurenix as nx
import numpy as np
import pytest
from neurenix.optim import SGD, Adam, AdamW, Optimizer, trace
from neurenix.optim import formula as f
from neurenix.optim.special import angle, cbrt
from neurenix.optim.states import State
from neurenix.optim.tracing import Recipe, trace_recipe

UNARY = [
    "sqrt",
    "rsqrt",
    "exp",
    "log",
    "log1p",
    "expm1",
    "abs_",
    "sign",
    "tanh",
    "sigmoid",
    "sin",
    "cos",
    "erf",
]
UNARY += ["floor", "ceil", "round_"]


def run(rule, p, g, dtype="float64", steps=1, **hyper):
    """What the engine makes of a stateless rule."""

    class Rule(Optimizer):
        formula = staticmethod(rule)

        def __init__(self, params):
            super().__init__(params, hyper)

    param = nx.Tensor(np.asarray(p, dtype="float64"), dtype=dtype, requires_grad=True)
    optimizer = Rule([param])
    for _ in range(steps):
        param.grad = nx.Tensor(np.asarray(g, dtype="float64"), dtype=dtype)
        optimizer.step()
    return param.detach().numpy()


P = np.array([0.3, 1.7, 2.5, 0.01, 4.2])
G = np.array([-1.5, 0.0, 0.5, 2.5, -0.2])


@pytest.mark.parametrize("name", UNARY)
def test_functions_of_one(name: str) -> None:
    function = getattr(f, name)
    argument = P if name in ("sqrt", "rsqrt", "log", "log1p") else G
    got = run(lambda p, g: function(p if argument is P else g), P, G)
    np.testing.assert_allclose(got, function(argument), rtol=1e-14, atol=1e-15)


RULES = {
    "arithmetic": lambda p, g, *, lr: (p + 2 * g - lr) * (1 - p) / (3 + g * g) - -p,
    "reflected": lambda p, g, *, lr: 2 - p + 1 / p + 2**g + (lr - g) * 0.5,
    "power": lambda p, g, *, lr: p**2 + p**-0.5 + p**lr + p**3,
    "rest": lambda p, g, *, lr: p // 0.5 + g % 0.25 + 5 % (p + 1) + 7 // (p + 1),
    "absolute": lambda p, g, *, lr: abs(g) + p,
    "two": lambda p, g, *, lr: f.minimum(p, g) + f.maximum(g, lr) + f.minimum(0.1, g) + f.clamp(g, -1, 1),
    "angles": lambda p, g, *, lr: f.atan2(p, g) + f.atan2(lr, g) + f.atan2(-0.5, p) + f.atan2(g, -0.5),
    "right angles": lambda p, g, *, lr: angle(g, p * p) + angle(-p, 0.0 * p) + angle(lr, p * p),
    "cube roots": lambda p, g, *, lr: cbrt(abs(g)) + cbrt(p * p) + cbrt(0.0 * p) + cbrt(lr),
    "where": lambda p, g, *, lr: f.where(g < 0, p, f.where(g == 0, lr, 2)),
    "comparisons": lambda p, g, *, lr: (g < 0) + 2 * (g <= 0) + 4 * (p > g) + 8 * (p >= 2.5) + 16 * (g != 0),
    "logic": lambda p, g, *, lr: (
        f.where((g < 0) & (p > 1) | (g == 0.5), p, g) + f.where(~(p > lr) ^ (g < 0), 1, 0)
    ),
    "scalars": lambda p, g, *, lr: p - f.where(lr > 0.05, f.sqrt(lr), 7) * g * (1 - lr**3),
    "reductions": lambda p, g, *, lr: (
        p - lr * g / f.norm(g) + f.mean(p) - f.total(g) / f.count(g) + f.largest(p)
    ),
    "finite": lambda p, g, *, lr: f.where(f.isfinite(g) & ~f.isnan(p), p, 0.0),
    "debias": lambda p, g, *, lr: p / f.debias(lr, 3),
    "numpy": lambda p, g, *, lr: np.float64(0.5) * p + np.float32(2) - p / np.int64(3) + (np.float64(1) < g),
}


@pytest.mark.parametrize("name", RULES)
def test_engine_is_numpy(name: str) -> None:
    expected = RULES[name](P, G, lr=0.1)
    np.testing.assert_allclose(run(RULES[name], P, G, lr=0.1), expected, rtol=1e-14, atol=1e-14)
    np.testing.assert_allclose(run(RULES[name], P, G, "float32", lr=0.1), expected, rtol=3e-6, atol=1e-6)


def test_same_value_for_all_elements_is_stored_in_each() -> None:
    assert run(lambda p, g: f.norm(g), P, G).tolist() == [np.linalg.norm(G)] * 5
    assert run(lambda p, g: 3, P, G).tolist() == [3.0] * 5
    assert run(lambda p, g, *, t, lr: t * lr, P, G, steps=2, lr=0.25).tolist() == [0.5] * 5


def test_scalars_are_computed_in_float64() -> None:
    """1 - 0.9999999 has seven digits less in float32."""
    got = run(lambda p, g, *, lr: p * (1 - lr), [1.0], [0.0], "float32", lr=0.9999999)
    assert got[0] == np.float32(1 - 0.9999999)
    got = run(lambda p, g, *, t, lr: p * (1 - (t == 1) * lr), [1.0], [0.0], "float32", lr=0.9999999)
    assert got[0] == np.float32(1 - 0.9999999)


def test_debias_does_not_cancel() -> None:
    beta = 1 - 2.0**-40
    assert f.debias(beta, 2) == pytest.approx(2.0**-39 - 2.0**-80, rel=1e-15, abs=0)
    assert f.debias(0.999, 2**31 + 1) == 1.0
    assert f.debias(0.0, 1) == 1.0


def test_interface_of_a_formula() -> None:
    formula = trace(Adam.formula, 2, {"lr": 0.1, "betas": (0.9, 0.99), "eps": 0.0}, "float32")
    assert formula.inputs == ["float32"] * 4
    assert formula.scalars == ["float64"] * 5  # t, lr, two betas, eps
    assert formula.outputs == 3


def test_traced_once_for_each_static_value() -> None:
    hyper = {"lr": 0.1, "momentum": 0.9, "dampening": 0.0, "weight_decay": 0.0, "nesterov": False}
    recipe = Recipe(SGD.formula, (State("momentum_buffer"),))
    one = trace_recipe(recipe, hyper, "float32")
    assert trace_recipe(recipe, {**hyper, "lr": 0.2}, "float32") is one
    assert trace_recipe(recipe, {**hyper, "nesterov": True}, "float32") is not one
    assert trace_recipe(recipe, hyper, "float64") is not one


@pytest.mark.parametrize("dialect", ["wgsl", "cuda", "hip"])
@pytest.mark.parametrize("cls", [SGD, Adam, AdamW], ids=lambda cls: cls.__name__)
def test_prints(cls: type[Optimizer], dialect: str) -> None:
    hyper = {"lr": 0.1, "betas": (0.9, 0.99), "eps": 0.0, "weight_decay": 0.0}
    hyper |= {"momentum": 0.9, "dampening": 0.0, "nesterov": False}
    text = trace(cls.formula, 1 if cls is SGD else 2, hyper, "float32").print(dialect)
    assert ("f32" if dialect == "wgsl" else "float") in text
    assert "sqrt" in text or cls is SGD


def if_rule(p, g):
    return p if g > 0 else g


def math_rule(p, g):
    return p - math.sqrt(g)


def numpy_rule(p, g):
    return p - np.sqrt(g)


def array_rule(p, g):
    return p - np.ones(3) * g


def unpack_rule(p, g):
    a, b = g
    return a + b


def two_rule(p, g):
    return p, g


def text_rule(p, g):
    return "p"


def logic_rule(p, g):
    return f.where((g > 0) & p, p, g)


def scalar_rule(p, g, *, lr):
    return p - f.total(lr)


def unknown_rule(p, g, *, learning_rate):
    return p


@pytest.mark.parametrize(
    ("rule", "error", "message"),
    [
        (if_rule, TypeError, r"no truth value .* where\(condition, yes, no\)"),
        (math_rule, TypeError, "math.* cannot take it; use the functions of neurenix.optim.formula"),
        (numpy_rule, TypeError, "numpy.sqrt cannot take a symbol"),
        (array_rule, TypeError, "cannot be combined with an array"),
        (unpack_rule, TypeError, "cannot be unpacked"),
        (two_rule, ValueError, "'two_rule' returned 2 values, expected 1"),
        (text_rule, TypeError, "returned 'p', expected symbols"),
        (logic_rule, TypeError, "needs two truth values"),
        (scalar_rule, ValueError, "differs by element"),
        (unknown_rule, TypeError, "asks for learning_rate; the hyperparameters are lr"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_what_a_formula_cannot_do(rule, error, message) -> None:
    with pytest.raises(error, match=message):
        run(rule, P, G, lr=0.1)
