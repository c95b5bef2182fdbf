"""Norms of gradients in a step: right for every finite gradient, also where squares overflow or underflow."""

from __future__ import annotations

import math

import neurenix as nx
import numpy as np
import pytest
from neurenix import Tensor, optim
from neurenix._phynexus import join_numbers
from neurenix.optim import formula

SIZES = [1e20, 3e38, 1e-20, 1e-30, 1e-37]
WIDE = [1e200, 1e307, 1e-200, 1e-300]
CASES = [("float32", x) for x in SIZES] + [("float64", x) for x in SIZES + WIDE]


def filled(count, size, dtype="float32"):
    param = nx.zeros(count, dtype=dtype, requires_grad=True)
    param.grad = nx.full((count,), size, dtype=dtype)
    return param


@pytest.mark.parametrize(("dtype", "size"), CASES)
@pytest.mark.parametrize("groups", [1, 2])
def test_clip_norm(dtype, size, groups) -> None:
    """16 elements of one size in two tensors: the norm is 4 times the size."""
    params = [filled(10, size, dtype), filled(6, size, dtype)]
    given = params if groups == 1 else [{"params": [param]} for param in params]
    optimizer = optim.SGD(given, lr=1.0, clip_norm=1.0, nonfinite="raise")
    optimizer.step()
    assert optimizer.grad_norm == pytest.approx(4 * size, rel=1e-6, abs=0)
    moved = size / max(1, 4 * size)
    for param in params:
        assert param.tolist() == pytest.approx([-moved] * param.numel(), rel=2e-6, abs=0)


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_norm_that_is_not_finite_stays_so(bad) -> None:
    params = [filled(3, 1e30), filled(3, bad)]
    optimizer = optim.SGD(params, lr=1.0, clip_norm=1.0)
    optimizer.step()
    assert str(optimizer.grad_norm) == str(bad)


def test_tensors_of_both_ranges_and_zeros_in_one_step() -> None:
    params = [filled(4, 1e-30), filled(4, 1e25), filled(4, 0.0), filled(4, 1.0)]
    optimizer = optim.SGD(params, lr=1.0, clip_norm=1.0)
    optimizer.step()
    assert optimizer.grad_norm == pytest.approx(2e25, rel=1e-6)
    assert params[1].tolist() == pytest.approx([-0.5] * 4, rel=1e-6)
    assert params[3].tolist() == pytest.approx([-5e-26] * 4, rel=1e-6, abs=0)


@pytest.mark.parametrize("size", [1e20, 1e-30])
def test_in_the_backward_pass_too(size) -> None:
    w = nx.zeros(16, requires_grad=True)
    optimizer = optim.SGD([w], lr=1.0, clip_norm=1e-32)
    (w * Tensor(size)).sum().backward(optimizer=optimizer)
    assert optimizer.grad_norm == pytest.approx(4 * size, rel=1e-6, abs=0)


@pytest.mark.parametrize(("dtype", "size"), [("float32", 1e20), ("float32", 3e37), ("float64", 1e200)])
def test_clip_adaptive(dtype, size) -> None:
    """A row (3, 4) of the parameter has the norm 5: rows of the gradient are cut to 0.05."""
    w = Tensor([[3.0, 4.0], [0.0, 5.0]], dtype=dtype, requires_grad=True)
    w.grad = Tensor([[3 * size, 4 * size], [0.0, 1e-3]], dtype=dtype)
    optim.SGD([w], lr=1.0, clip_adaptive=0.01).step()
    expected = [[3 - 0.03, 4 - 0.04], [0.0, 5 - 1e-3]]
    np.testing.assert_allclose(w.detach().numpy(), expected, rtol=1e-6)


def trusted(name, size):
    """How far a first step goes for a gradient of elements of this size and both signs."""
    w = nx.ones(4, 4, requires_grad=True)
    w.grad = Tensor([[size, -size] * 2] * 4)
    getattr(optim, name)([w], lr=0.5).step()
    return (1 - w.detach()).flatten().tolist()


@pytest.mark.parametrize(("name", "usual"), [("LARS", 1.0), ("LAMB", 1e6), ("NovoGrad", 1.0), ("DoG", 1e4)])
def test_rules_that_divide_by_norms_do_not_depend_on_the_size(name, usual) -> None:
    assert trusted(name, 1e20) == pytest.approx(trusted(name, usual), rel=1e-4)
    assert trusted(name, 1e20)[0] > 0 > trusted(name, 1e20)[1]


def test_norms_of_numpy_are_right_everywhere() -> None:
    x = np.array([[3e200, 4e200], [0.0, 0.0], [3e-200, -4e-200]])
    np.testing.assert_allclose(formula.norm(x, axis=-1).ravel(), [5e200, 0, 5e-200], rtol=1e-15)
    np.testing.assert_allclose(formula.norm(x), 5e200, rtol=1e-15)
    assert formula.global_norm(x) == formula.norm(x)
    assert math.isnan(formula.norm(np.array([math.nan, 1.0])))
    assert formula.norm(np.array([math.inf, 1.0])) == math.inf


@pytest.mark.parametrize("values", [[3e200, 4e200], [3e-200, 4e-200], [3.0, 4.0, 0.0], [0.0], []])
def test_norms_of_norms(values) -> None:
    assert join_numbers("norm", values) == pytest.approx(math.hypot(*values), rel=1e-15, abs=0)
    assert join_numbers("norm", values[::-1]) == join_numbers("norm", values)
    assert math.isnan(join_numbers("norm", [*values, math.nan]))
    assert join_numbers("norm", [*values, math.inf]) == math.inf


@pytest.mark.parametrize("shape", [(64, 50), (70,), (3, 40, 30)])
@pytest.mark.parametrize("options", [{}, {"variant": "optax", "min_dim_size_to_factor": 2}], ids=str)
def test_adafactor_does_not_overflow_where_its_averages_do_not(shape, options) -> None:
    """Squares of 1e38 can be stored, their sums cannot."""
    moved = []
    for size in (1.0, 1e19):
        nx.manual_seed(0)
        w = nx.ones(*shape, requires_grad=True)
        w.grad = nx.randn(*shape).sign() * size
        optim.Adafactor([w], lr=0.1, **options).step()
        moved.append(w.detach().numpy() - 1)
    assert np.abs(moved[0]).min() > 1e-3
    np.testing.assert_allclose(moved[1], moved[0], rtol=1e-5)


@pytest.mark.parametrize("name", ["CAME", "AdamMini", "StableAdamW"])
def test_means_of_squares_do_not_overflow_where_they_can_be_stored(name) -> None:
    moved = []
    for size in (1.0, 1e19):
        w = nx.ones(64, 50, requires_grad=True)
        w.grad = nx.full((64, 50), size)
        getattr(optim, name)([w], lr=0.1).step()
        moved.append(w.detach().numpy() - 1)
    assert np.abs(moved[0]).min() > 1e-3
    np.testing.assert_allclose(moved[1], moved[0], rtol=1e-5)


def test_a_mean_whose_sum_overflows() -> None:
    class Centered(optim.Optimizer):
        def __init__(self, params):
            super().__init__(params, {})

        @staticmethod
        def formula(p, g):
            return p + (g - formula.mean(g)) / formula.mean(g, axis=-1)

    w = nx.zeros(5, 3, requires_grad=True)
    w.grad = nx.full((5, 3), 3e38)
    Centered([w]).step()
    assert w.abs().max().item() <= 1e-6
    assert formula.mean(np.full((3, 2), 1e308)) == 1e308
    assert formula.mean(np.ones((3, 7)), axis=-1).tolist() == [[1.0]] * 3
