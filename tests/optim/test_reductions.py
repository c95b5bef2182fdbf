"""Rules with reductions, states of every kind and tensor code, against NumPy."""

from __future__ import annotations

from typing import ClassVar

import neurenix as nx
import numpy as np
import pytest
from neurenix import Tensor
from neurenix.optim import Batch, Optimizer, State
from neurenix.optim.formula import (
    count,
    everywhere,
    largest,
    maximum,
    mean,
    norm,
    smallest,
    sqrt,
    total,
    where,
)
from neurenix.optim.tracing import Recipe, trace_recipe

SHAPES = [(6, 4), (5,), (2, 3, 4), (), (300, 70)]


class Factored(Optimizer):
    """Adafactor's kind: rows, columns, and what is left of both."""

    states: ClassVar = (
        State("row", kind="row"),
        State("column", kind="column"),
        State("level", kind="batch"),
        "full",
    )

    def __init__(self, params, lr=0.1, **options):
        super().__init__(params, {"lr": lr}, **options)

    @staticmethod
    def formula(p, g, row, column, level, full, *, t, lr):
        row = 0.5 * row + mean(g * g, axis=-1)
        column = 0.5 * column + mean(g * g, axis=-2)
        level = level + mean(row, axis=-2) + count(g, axis=-1)
        full = full + g / sqrt(row * column / level + 1)
        return p - lr * full / t, row, column, level, full


def factored(p, g, s, t, lr=0.1):
    view = (1, p.shape[0], -1) if p.ndim > 1 else (1, 1, -1)
    p3, g3 = p.reshape(view), g.reshape(view)
    row = 0.5 * s.get("row", 0) + (g3**2).mean(-1, keepdims=True)
    column = 0.5 * s.get("column", 0) + (g3**2).mean(-2, keepdims=True)
    level = s.get("level", 0) + row.mean(-2, keepdims=True) + g3.shape[-1]
    full = s.get("full", 0) + g3 / np.sqrt(row * column / level + 1)
    s.update(row=row, column=column, level=level, full=full)
    return (p3 - lr * full / t).reshape(p.shape)


class Normed(Optimizer):
    """LAMB's kind: several norms, a state that is a number, and numbers over all tensors."""

    states: ClassVar = (State("speed", kind="scalar", init=1.0), "m")

    def __init__(self, params, lr=0.1, **options):
        super().__init__(params, {"lr": lr}, **options)

    @staticmethod
    def formula(p, g, speed, m, *, lr):
        m = 0.9 * m + g
        everything = sqrt(everywhere(total(g * g)))
        speed = 0.5 * speed + norm(m) / (1 + everything)
        ratio = where(norm(p) > 0, norm(p) / norm(m), 1)
        top = everywhere(largest(abs(p)), largest=True)
        return p - lr * ratio * speed / maximum(top, 1) * m, speed, m


def normed(ps, gs, ss, lr=0.1):
    everything = np.sqrt(sum((g**2).sum() for g in gs))
    top = max(np.abs(p).max() for p in ps)
    new = []
    for p, g, s in zip(ps, gs, ss, strict=True):
        s["m"] = 0.9 * s.get("m", 0) + g
        length = np.sqrt((s["m"] ** 2).sum())
        s["speed"] = 0.5 * s.get("speed", 1.0) + length / (1 + everything)
        size = np.sqrt((p**2).sum())
        ratio = size / length if size > 0 else 1
        new.append(p - lr * ratio * s["speed"] / max(top, 1) * s["m"])
    return new


class Directed(Optimizer):
    """Muon's kind: tensor code between the gradient and the formula."""

    states: ClassVar = (
        "seen",
        State("memory", kind="tensor", sized=lambda p, group: (p.shape[0], p.shape[0])),
    )

    def __init__(self, params, lr=0.1, weight_decay=0.0, **options):
        super().__init__(params, {"lr": lr, "weight_decay": weight_decay}, **options)

    def direction(self, batch: Batch) -> list[Tensor]:
        for g, state in zip(batch.grads, batch.states, strict=True):
            state["memory"] = state["memory"] + g @ g.T
        return [s["memory"] @ g / t for s, g, t in zip(batch.states, batch.grads, batch.steps, strict=True)]

    @staticmethod
    def formula(p, g, d, seen, *, lr):
        return p - lr * d, seen + g


def tensors(dtype="float64", shapes=SHAPES):
    rng = np.random.default_rng(3)
    return [Tensor(np.asarray(rng.normal(size=shape)), dtype=dtype, requires_grad=True) for shape in shapes]


def grads(params, step):
    rng = np.random.default_rng(step)
    values = [np.asarray(rng.normal(size=p.shape)) for p in params]
    for param, value in zip(params, values, strict=True):
        param.grad = Tensor(value).to(param.dtype)
    return [p.grad.double().numpy() for p in params]


@pytest.mark.parametrize(("dtype", "tolerance"), [("float64", 1e-13), ("float32", 1e-5)])
def test_rows_and_columns(dtype, tolerance) -> None:
    params = tensors(dtype)
    optimizer = Factored(params)
    expected, memory = [p.detach().double().numpy().copy() for p in params], [{} for _ in params]
    for t in range(1, 6):
        gs = grads(params, t)
        expected = [factored(p, g, s, t) for p, g, s in zip(expected, gs, memory, strict=True)]
        optimizer.step()
    for p, e, s in zip(params, expected, memory, strict=True):
        assert np.abs(p.detach().numpy() - e).max() < tolerance * 10
        for name, value in s.items():
            own = optimizer.state[p][name].numpy()
            assert own.shape == (value.shape if p.ndim > 2 else value.shape[1:]) or name == "full"
            assert np.abs(own.reshape(value.shape) - value).max() < tolerance * 100
    assert optimizer.state[params[2]]["row"].shape == (1, 2, 1)
    assert optimizer.state[params[0]]["column"].shape == (1, 4)


@pytest.mark.parametrize(("dtype", "tolerance"), [("float64", 1e-13), ("float32", 1e-5)])
def test_numbers_of_tensors_and_of_all(dtype, tolerance) -> None:
    params = tensors(dtype)
    optimizer = Normed([{"params": params[:2]}, {"params": params[2:], "lr": 0.1}])
    expected, memory = [p.detach().double().numpy().copy() for p in params], [{} for _ in params]
    for t in range(1, 6):
        gs = grads(params, t)
        expected = normed(expected, gs, memory)
        optimizer.step()
    for p, e, s in zip(params, expected, memory, strict=True):
        assert np.abs(p.detach().numpy() - e).max() < tolerance * 10
        assert optimizer.state[p]["speed"] == pytest.approx(s["speed"], rel=tolerance)


def test_a_mean_goes_over_the_values_that_there_are() -> None:
    class Means(Optimizer):
        """Of values of a row: the mean of rows, of a matrix, of the tensor."""

        def __init__(self, params):
            super().__init__(params, {})

        @staticmethod
        def formula(p, g):
            rows = mean(g, axis=-1)
            return (
                p
                + mean(rows, axis=-2)
                + mean(rows, axis=(-2, -1))
                + mean(rows)
                + count(rows)
                + count(rows, axis=-1)
            )

    (param,) = tensors(shapes=[(4, 3)])
    start, (g,) = param.detach().numpy().copy(), grads([param], 1)
    Means([param]).step()
    assert np.abs(param.detach().numpy() - (start + 3 * g.mean() + 4 + 1)).max() < 1e-13


def test_order_and_grouping_do_not_move_a_bit() -> None:
    results = []
    for order in ([0, 1, 2, 3, 4], [4, 2, 0, 3, 1]):
        params = tensors("float32")
        optimizer = Normed(
            [{"params": [params[i]]} for i in order] if order[0] else [params[i] for i in order]
        )
        for t in range(1, 4):
            grads(params, t)
            optimizer.step()
        results.append([p.detach().numpy().tobytes() for p in params])
    assert results[0] == results[1]


@pytest.mark.parametrize("options", [{}, {"maximize": True, "weight_decay": 0.1, "clip_norm": 1.0}])
def test_tensor_code(options) -> None:
    params = tensors(shapes=[(4, 3), (2, 6)])
    optimizer = Directed(params, weight_decay_mode="l2", **options)
    expected, memory = [p.detach().numpy().copy() for p in params], [0.0, 0.0]
    for t in range(1, 5):
        gs = [-g if options else g for g in grads(params, t)]
        if options:
            gs = [g * min(1, 1.0 / np.sqrt(sum((g**2).sum() for g in gs))) for g in gs]
            gs = [g + 0.1 * p for g, p in zip(gs, expected, strict=True)]
        memory = [m + g @ g.T for m, g in zip(memory, gs, strict=True)]
        expected = [p - 0.1 * m @ g / t for p, m, g in zip(expected, memory, gs, strict=True)]
        optimizer.step()
    for p, e in zip(params, expected, strict=True):
        assert np.abs(p.detach().numpy() - e).max() < 1e-5 * np.abs(e).max()  # the clip's 1e-6


def test_tensor_code_sees_hyperparameters_as_they_are() -> None:
    class Told(Directed):
        def __init__(self, params, lr=0.1, power=1.0, **options):
            Optimizer.__init__(self, params, {"lr": lr, "power": power}, **options)

        def direction(self, batch):
            seen.append((batch.hyper["lr"], batch.hyper["power"]))
            return batch.grads

        states = ("seen",)

    seen: list[tuple[float, float]] = []
    params = tensors(shapes=[(2, 2)])
    optimizer = Told(params, power=lambda step: 1.0 + step)
    for t in range(1, 5):
        grads(params, t)
        optimizer.step()
        optimizer.param_groups[0].update({"lr": 0.5} if t == 2 else {"power": 9.0} if t == 3 else {})
    assert seen == [(0.1, 1.0), (0.1, 2.0), (0.5, 3.0), (0.5, 9.0)]


def test_saved_states_of_every_kind(tmp_path) -> None:
    for cls, shapes in ((Factored, SHAPES), (Normed, SHAPES), (Directed, [(4, 3)])):
        params = tensors("float32", shapes)
        first = cls(params)
        for t in range(1, 4):
            grads(params, t)
            first.step()
        nx.save(first.state_dict(), tmp_path / "state.safetensors")
        others = [p.detach().clone().requires_grad_() for p in params]
        second = cls(others)
        second.load_state_dict(nx.load(tmp_path / "state.safetensors"))
        for optimizer, tensors_ in ((first, params), (second, others)):
            grads(tensors_, 9)
            optimizer.step()
        for a, b in zip(params, others, strict=True):
            assert a.detach().numpy().tobytes() == b.detach().numpy().tobytes()


def test_states_that_do_not_fit_their_kind() -> None:
    class Wrong(Factored):
        states: ClassVar = (State("row", kind="row"),)

        @staticmethod
        def formula(p, g, row, *, lr):
            return p - lr * g, row + g

    params = tensors()
    grads(params, 1)
    with pytest.raises(ValueError, match="reduce it along axis"):
        Wrong(params).step()

    class Numbered(Wrong):
        states: ClassVar = (State("sum", kind="scalar"),)

    with pytest.raises(ValueError, match="one number, but the formula gives it a value for each element"):
        Numbered(params).step()

    class Coupled(Wrong):
        states: ClassVar = ()

        @staticmethod
        def formula(p, g, *, lr):
            return p - lr * everywhere(g)

    with pytest.raises(ValueError, match="reduce each tensor first"):
        Coupled(params).step()


def test_reductions_of_positions_are_stored_as_they_are_read() -> None:
    """Positions are integers, also beside float64."""

    class First(Optimizer):
        states: ClassVar = (State("first", kind="row"),)

        def __init__(self, params):
            super().__init__(params, {})

        @staticmethod
        def formula(p, g, first):
            place = p.tape.position()
            return p, total(where(place == smallest(place, axis=-1), g, 0), axis=-1)

    scalar = nx.zeros((), dtype="float64", requires_grad=True)
    optimizer = First([scalar, nx.zeros(3, 4, dtype="float64", requires_grad=True)])
    for k in range(20):
        scalar.grad = nx.Tensor(1.5 + k, dtype="float64")
        optimizer.step()
        assert optimizer.state[scalar]["first"].item() == 1.5 + k


def test_later_reductions_of_a_launch_may_read_more() -> None:
    """The norm reads the gradient, what is beside it a state and further numbers."""

    class Beside(Optimizer):
        states: ClassVar = ("last",)

        def __init__(self, params, **options):
            super().__init__(params, {"lr": 0.1, "gamma": 0.5}, **options)

        @staticmethod
        def formula(p, g, last, *, lr, gamma):
            return p - lr * g / norm(g) * norm(gamma * (g - last)), g

    param = nx.Tensor([0.0, 0.0], requires_grad=True)
    param.grad = nx.Tensor([3.0, 4.0])
    Beside([param], cautious=True).step()
    np.testing.assert_allclose(param.tolist(), [-0.15, -0.2], rtol=1e-6)


def stages_of(formula, *kinds):
    """How many stages a rule has whose states are of these kinds."""
    states = tuple(State(f"s{i}", kind=kind) for i, kind in enumerate(kinds))
    return trace_recipe(Recipe(formula, states), {}, "float32").stages


def test_what_rows_and_columns_need_is_computed_there() -> None:
    def dear(p, g, row, column):
        return p - g / sqrt(1 + row * row) * sqrt(1 + column * column), row, column

    def again(p, g, row, column):
        scale = sqrt(1 + row * row)
        return where(g > 0, p / scale, p - g / scale), row, column

    def cheap(p, g, row, column):
        return p - g / (row + 1), row, column

    def alone(p, g, row, column):
        return p - g, sqrt(1 + row * row) + row, column

    counts = [stages_of(formula, "row", "column") for formula in (dear, again, cheap, alone)]
    assert counts == [2, 1, 0, 0]


class Chain(Optimizer):
    """Reductions each of which reads the result of the one before."""

    states = ()

    def __init__(self, params) -> None:
        super().__init__(params, {})

    @staticmethod
    def formula(p, g):
        for _ in range(60):
            p = p - total(p, -1) * g
        return p


class Long(Optimizer):
    """More nodes than 16 bits count."""

    states = ()

    def __init__(self, params) -> None:
        super().__init__(params, {})

    @staticmethod
    def formula(p, g):
        for _ in range(35_000):
            p = abs(p) + g
        return p


def test_sixty_reductions_in_a_row_compile() -> None:
    """Twice the work for each more would never end."""
    p = Tensor([[1.0, 2.0], [3.0, 5.0]], dtype="float64", requires_grad=True)
    p.grad = Tensor([[0.25, 0.5], [0.125, 0.0]], dtype="float64")
    right, slope = p.detach().numpy().copy(), p.grad.numpy()
    for _ in range(60):
        right = right - right.sum(-1, keepdims=True) * slope
    Chain([p]).step()
    np.testing.assert_allclose(p.detach().numpy(), right, rtol=1e-12)


def test_a_rule_of_seventy_thousand_nodes() -> None:
    p = Tensor([1.0, -2.0], requires_grad=True)
    p.grad = Tensor([1.0, 0.5])
    Long([p]).step()
    assert p.tolist() == [35_001.0, 17_502.0]
