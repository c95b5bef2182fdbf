"""LBFGS: against torch (see scripts/goldens/lbfgs_torch.py), and what it promises beyond."""

from __future__ import annotations

import copy
import json
import pickle
from pathlib import Path

import neurenix as nx
import numpy as np
import pytest
from neurenix.optim import LBFGS
from neurenix.serialize import read_metadata

GOLDEN = Path(__file__).parent.parent / "golden" / "lbfgs.safetensors"
CASES = json.loads(read_metadata(GOLDEN)["about"])["cases"]
DATA = nx.load(GOLDEN)
MATRIX, SIGNED = DATA["quadratic.matrix"], DATA["logistic.signed"]
LOSSES = {
    "rosenbrock": lambda w: (100 * (w[1:] - w[:-1] ** 2) ** 2 + (1 - w[:-1]) ** 2).sum(),
    "quadratic": lambda w: (w @ MATRIX) @ w / 2,
    "logistic": lambda w: (1 + (-(SIGNED @ w)).exp()).log().mean() + 0.01 * (w * w).sum(),
}


def closure_of(optimizer, loss, sign=1):
    def closure():
        optimizer.zero_grad()
        value = loss() * sign
        value.backward()
        return value

    return closure


WOLFE = {"line_search_fn": "strong_wolfe"}


@pytest.mark.parametrize("name", CASES)
def test_same_as_torch(name) -> None:
    problem, arguments, _ = CASES[name]
    param = DATA[f"{problem}.start"].clone().requires_grad_()
    optimizer = LBFGS([param], **arguments)
    closure = closure_of(optimizer, lambda: LOSSES[problem](param), -1 if arguments.get("maximize") else 1)
    expected = DATA[name].numpy()
    for there in expected:
        optimizer.step(closure)
        assert np.abs(param.detach().numpy() - there).max() <= 1e-10 * np.abs(expected).max()


def test_finds_the_optimum(make) -> None:
    a = np.random.default_rng(0).normal(size=(30, 8)) @ np.diag(np.logspace(0, 3, 8))
    b = np.arange(30.0)
    left, right = make(np.zeros(3), dtype="float64"), make(np.zeros((5, 1)), dtype="float64")
    optimizer = LBFGS([left, right], tolerance_grad=0, tolerance_change=0, max_iter=300, **WOLFE)
    design, target = nx.Tensor(a), nx.Tensor(b)
    optimizer.step(
        closure_of(
            optimizer,
            lambda: ((design @ nx.cat([left, right.reshape(-1)]) - target) ** 2).sum() / 2,
        )
    )
    best = np.linalg.lstsq(a, b, rcond=None)[0]
    found = np.concatenate([left.detach().numpy(), right.detach().numpy().ravel()])
    np.testing.assert_allclose(found, best, atol=1e-8 * np.abs(best).max())


def bowl(make, dtypes=("float64", "float64"), **arguments):
    """A loss over two tensors whose Hessian couples them."""
    params = [
        make(values, dtype=dtype) for values, dtype in zip(([2.0, -1.0], [[0.5], [3.0]]), dtypes, strict=True)
    ]

    def loss():
        x, y = params[0].double(), params[1].double().reshape(-1)
        return ((x - y) ** 4).sum() + ((x + 2 * y - 1) ** 2).sum() * 3 + (x * y).sum() / 5

    groups = arguments.pop("groups", ({}, {}))
    named = [(name, param) for name, param in zip("xy", params, strict=True)]
    optimizer = LBFGS(
        [{"params": [pair], **extra} for pair, extra in zip(named, groups, strict=True)]
        if any(groups)
        else named,
        **arguments,
    )
    return params, optimizer, closure_of(optimizer, loss)


def bits(params):
    return [param.tobytes() for param in params]


def test_groups_are_one_problem(make) -> None:
    params, optimizer, closure = bowl(make, max_iter=6)
    others, grouped, other = bowl(make, max_iter=6, groups=({"lr": 1}, {"lr": 1.0}))
    for _ in range(3):
        optimizer.step(closure)
        grouped.step(other)
        assert bits(params) == bits(others)


def test_each_rate_scales_its_part(make) -> None:
    x, y = make([1.0], dtype="float64"), make([1.0], dtype="float64")
    optimizer = LBFGS([{"params": [x], "lr": 0.5}, {"params": [y], "lr": 0.25}], max_iter=1)
    optimizer.step(closure_of(optimizer, lambda: 3 * x.sum() + 5 * y.sum()))
    assert (x.item(), y.item()) == (1 - 0.5 * 3 / 8, 1 - 0.25 * 5 / 8)


@pytest.mark.parametrize("search", [None, "strong_wolfe"])
def test_groups_of_unlike_rates_converge(make, search) -> None:
    params, optimizer, closure = bowl(
        make, line_search_fn=search, groups=({"lr": 1.0}, {"lr": 0.01}), tolerance_change=0
    )
    for _ in range(40):
        optimizer.step(closure)
    closure()
    assert max(param.grad.abs().max().item() for param in params) < 1e-4


def test_a_rate_of_zero_holds_its_group_still(make) -> None:
    params, optimizer, closure = bowl(make, groups=({}, {"lr": 0}), **WOLFE)
    before = bits(params)
    for _ in range(5):
        optimizer.step(closure)
    assert bits(params)[1] == before[1]
    assert bits(params)[0] != before[0]
    assert params[0].grad.abs().max().item() < 1e-4
    optimizer.param_groups[0]["lr"] = 0
    before = bits(params)
    optimizer.step(closure)
    assert bits(params) == before


def test_groups_agree_on_what_is_joint(make) -> None:
    message = "max_iter must be the same in all groups, got 20 in group 0 and 3 in group 1; only lr and"
    with pytest.raises(ValueError, match=message):
        bowl(make, groups=({}, {"max_iter": 3}))


def test_parameters_without_gradient_stay(make) -> None:
    x, idle = make([1.0, 2.0]), make([0.1, 0.2])
    optimizer = LBFGS([x, idle], max_iter=5)
    before = idle.tobytes()
    optimizer.step(closure_of(optimizer, lambda: (x**4).sum()))
    assert idle.tobytes() == before


def test_weight_decay_is_a_penalty(make) -> None:
    params, optimizer, closure = bowl(make, weight_decay=0.5, groups=({"weight_decay": 0.25}, {}), **WOLFE)
    others, plain, _ = bowl(make, **WOLFE)

    def penalised():
        x, y = others[0], others[1].reshape(-1)
        loss = ((x - y) ** 4).sum() + ((x + 2 * y - 1) ** 2).sum() * 3 + (x * y).sum() / 5
        return loss + 0.125 * (x * x).sum() + 0.25 * (y * y).sum()

    optimizer.step(closure)
    plain.step(closure_of(plain, penalised))
    for a, b in zip(params, others, strict=True):
        np.testing.assert_allclose(a.detach().numpy(), b.detach().numpy(), rtol=1e-9)


@pytest.mark.parametrize("dtypes", [("float32", "float32"), ("bfloat16", "float32"), ("float64", "float16")])
def test_precisions_mix(make, dtypes) -> None:
    params, optimizer, closure = bowl(make, dtypes, **WOLFE)
    first = optimizer.step(closure).item()
    assert optimizer.step(closure).item() < 0.05 * first
    assert [param.dtype.name for param in params] == list(dtypes)


@pytest.mark.parametrize("search", [None, "strong_wolfe"])
@pytest.mark.parametrize("way", ["file", "copy", "pickle"])
def test_going_on_is_never_having_stopped(make, tmp_path, search, way) -> None:
    arguments = {"max_iter": 2, "max_eval": 9, "lr": 0.2, "history_size": 3, "line_search_fn": search}
    params, optimizer, closure = bowl(make, **arguments)
    others, twin, other = bowl(make, **arguments)
    for _ in range(12):
        optimizer.step(closure)
        twin.step(other)
        assert bits(params) == bits(others)
        if way == "file":
            nx.save(twin.state_dict(), tmp_path / "state.safetensors")
            for param in others:
                param.requires_grad_(True)
            twin = LBFGS(list(zip("xy", others, strict=True)))
            twin.load_state_dict(nx.load(tmp_path / "state.safetensors"))
        else:
            pair = twin, others
            twin, others = copy.deepcopy(pair) if way == "copy" else pickle.loads(pickle.dumps(pair))
        x, y = others
        other = closure_of(
            twin,
            lambda x=x, y=y: (
                ((x - y.reshape(-1)) ** 4).sum()
                + ((x + 2 * y.reshape(-1) - 1) ** 2).sum() * 3
                + (x * y.reshape(-1)).sum() / 5
            ),
        )


def test_state_follows_the_names(make) -> None:
    params, optimizer, closure = bowl(make, max_iter=3, **WOLFE)
    optimizer.step(closure)
    reverse = LBFGS([("y", params[1]), ("x", params[0])])
    reverse.load_state_dict(optimizer.state_dict())
    for name in ("d", "prev_grad"):
        assert reverse.state[params[0]][name].tolist() == optimizer.state[params[0]][name].tolist()
    assert len(reverse.state[params[1]]["old_dirs"]) == len(optimizer.state[params[1]]["old_dirs"]) > 0
    before = [param.detach().clone() for param in params]
    optimizer.step(closure)
    expected = [param.tolist() for param in params]
    for param, value in zip(params, before, strict=True):
        param.detach().copy_(value)
    reverse.step(closure)
    for param, value in zip(params, expected, strict=True):
        np.testing.assert_allclose(param.detach().numpy(), value, rtol=1e-9)


def test_other_parameters_begin_anew(make) -> None:
    x, y = make([1.0, 2.0], dtype="float64"), make([3.0], dtype="float64")
    optimizer = LBFGS([x], max_iter=3, max_eval=10)
    optimizer.step(closure_of(optimizer, lambda: (x**4).sum()))
    optimizer.add_param_group({"params": [y]})
    optimizer.step(closure_of(optimizer, lambda: (x**4).sum() + (y**2).sum()))
    assert optimizer.state[y]["n_iter"] == optimizer.state[x]["n_iter"] == 3
    assert y.item() < 3


def test_needs_a_closure(make) -> None:
    with pytest.raises(TypeError, match=r"LBFGS.step needs a closure .* optimizer.step\(closure\)"):
        LBFGS([make([1.0])]).step()
    with pytest.raises(TypeError, match="the closure must return the loss"):
        LBFGS([make([1.0])]).step(lambda: None)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"max_iter": 0}, ValueError, "max_iter must be an integer ≥ 1, got 0"),
        ({"max_iter": 2.5}, TypeError, "max_iter must be an integer ≥ 1, got 2.5"),
        ({"max_eval": 0}, ValueError, "max_eval must be"),
        ({"history_size": 0}, ValueError, "history_size must be"),
        ({"tolerance_grad": -1}, ValueError, "tolerance_grad must be"),
        ({"tolerance_change": -1}, ValueError, "tolerance_change must be"),
        ({"line_search_fn": "wolfe"}, ValueError, "line_search_fn must be one of None, 'strong_wolfe'"),
        ({"lr": -1}, ValueError, "lr must be"),
    ],
)
def test_arguments(make, arguments, error, message) -> None:
    with pytest.raises(error, match=message):
        LBFGS([make([1.0])], **arguments)


def barrier(x):
    """Least at 3, and no number beyond 4."""
    return (-2 * (4 - x).sqrt() - x).sum()


def test_a_search_goes_back_to_where_there_are_numbers(make) -> None:
    x = make([-30.0, 3.5], dtype="float64")
    optimizer = LBFGS([x], lr=100, max_iter=50, max_eval=1000, **WOLFE)
    optimizer.step(closure_of(optimizer, lambda: barrier(x)))
    np.testing.assert_allclose(x.detach().numpy(), 3, rtol=1e-5)


@pytest.mark.parametrize("max_iter", [1, 20])
def test_no_number_leaves_the_last_good_parameters(make, max_iter) -> None:
    x = make([2.0], dtype="float64")
    optimizer = LBFGS([x], lr=10, max_iter=max_iter)
    closure = closure_of(optimizer, lambda: barrier(x))
    optimizer.step(closure)
    if max_iter == 1:  # nobody has looked yet
        assert x.item() > 4
        saved = optimizer.state_dict()
        optimizer = LBFGS([x])
        optimizer.load_state_dict(saved)
        optimizer.step(closure_of(optimizer, lambda: barrier(x)))
    assert x.item() == 2
    assert optimizer.state[x]["d"] is None
    assert optimizer.state[x]["old_dirs"] == []


def test_a_closure_that_fails_undoes_the_step(make) -> None:
    params, optimizer, closure = bowl(make, **WOLFE)
    optimizer.step(closure)
    before, state = bits(params), copy.deepcopy(optimizer.state_dict())
    calls = []

    def failing():
        calls.append(1)
        if len(calls) == 2:
            raise RuntimeError("no data")
        return closure()

    for param in params:
        param.detach().add_(1.0)
    moved = bits(params)
    with pytest.raises(RuntimeError, match="no data"):
        optimizer.step(failing)
    assert bits(params) == moved != before
    after = optimizer.state_dict()
    assert after["state"]["x"]["n_iter"] == state["state"]["x"]["n_iter"]
    assert [d.tolist() for d in after["state"]["x"]["old_dirs"]] == [
        d.tolist() for d in state["state"]["x"]["old_dirs"]
    ]


def test_skipped_steps_change_nothing(make) -> None:
    x = make([2.0], dtype="float64")
    optimizer = LBFGS([x], lr=10, nonfinite="skip")
    optimizer.step(closure_of(optimizer, lambda: barrier(x)))
    assert optimizer.last_step_skipped
    assert x.item() == 2
    assert optimizer.state_dict()["state"] == {}
