"""The suite as its users call it, on optimizers of all kinds."""

from __future__ import annotations

import numpy as np
import pytest
from neurenix import Tensor
from neurenix.optim import Optimizer, State
from neurenix.optim.formula import everywhere, largest, maximum, mean, sqrt, total
from neurenix.testing import Record, check_optimizer, check_property, per_tensor
from testing.optimizers.faults.contract import Terse
from testing.optimizers.good import GOOD, PLAIN, Good, Plain, formula


def test_good_ones_pass():
    assert check_optimizer(Good, **GOOD) == {}
    unchecked = check_optimizer(Plain, **PLAIN)
    assert all(reason.startswith("its step() is its own") for reason in unchecked.values())


def test_a_function_that_makes_one_passes():
    def make(params, lr=0.3, **options):
        return Good(params, lr, 0.5, **options)

    unchecked = check_optimizer(make, moves={"lr": 0.2}, still={"momentum": "fixed", "weight_decay": "fixed"})
    assert unchecked["resumes_in_a_new_process"] == "another process cannot import it"
    assert set(unchecked) == {
        "resumes_in_a_new_process", "computes_its_rule", "state_has_its_size", "bad_arguments_are_errors",
        "errors_change_nothing",
    }  # fmt: skip


class Arrays(Plain):
    """Keeps its state in NumPy's arrays."""

    def update(self, param, grad, lr, place):
        g = grad.double().numpy()
        m = self.state[param].setdefault("m", np.zeros_like(g))
        m += 0.5 * (g - m)
        param.sub_(lr * Tensor(m, dtype=param.dtype))


def test_states_in_arrays():
    @per_tensor
    def oracle(p, g, s, t, *, lr):
        s["m"] = s.get("m", 0) + 0.5 * (g - s.get("m", 0))
        return p - lr * s["m"]

    check_optimizer(Arrays, **{**PLAIN, "oracle": oracle, "state_bytes": 8, "temporaries": 8})
    with pytest.raises(AssertionError, match="96 bytes of state, not 48"):
        check_property(Record(Arrays, **{**PLAIN, "state_bytes": 4}), "state_has_its_size")


class Clipped(Plain):
    """Tensors that depend on each other."""

    def step(self, closure=None):
        loss = None if closure is None else closure()
        params = [p for group in self.param_groups for p in group["params"] if p.grad is not None]
        self.size = sum(float((p.grad.double() ** 2).sum()) for p in params) ** 0.5
        super().step()
        return loss

    def update(self, param, grad, lr, place):
        param.sub_(lr / (1 + self.size) * grad)


def test_tensors_that_depend_on_each_other():
    def oracle(params, grads, memory, t, *, lr):
        size = np.sqrt(sum((g**2).sum() for g in grads))
        return [p - lr / (1 + size) * g for p, g in zip(params, grads, strict=True)]

    record = Record(Clipped, **{**PLAIN, "oracle": oracle, "couples": True})
    assert check_optimizer(record)["tensors_are_independent"] == "its tensors depend on each other"
    with pytest.raises(AssertionError, match="lacks 1 of .*:\n  - tensors_are_independent"):
        check_optimizer(Clipped, **{**PLAIN, "oracle": oracle})


class Kinds(Optimizer):
    """A state for each row, a number for each tensor, and a number over all tensors."""

    states = (State("row", kind="row"), State("d", kind="scalar", init=1.0))

    def __init__(self, params, lr=0.1, weight_decay=0.0, **options):
        super().__init__(params, {"lr": lr, "weight_decay": weight_decay}, **options)

    @staticmethod
    def formula(p, g, row, d, *, lr):
        row = 0.5 * row + mean(g * g, axis=-1)
        d = maximum(d, largest(abs(g)))
        return p - lr * g / (sqrt(row) + d + sqrt(everywhere(total(g * g)))), row, d


def test_states_of_all_kinds():
    def oracle(params, grads, memory, t, *, lr, weight_decay):
        grads = [g + weight_decay * p for p, g in zip(params, grads, strict=True)]
        size = np.sqrt(sum((g**2).sum() for g in grads))
        moved = []
        for place, (p, g) in enumerate(zip(params, grads, strict=True)):
            rows = g.reshape((g.shape[0], -1) if g.ndim > 1 else (1, -1))
            row, d = memory.get(place, (0, 1))
            row, d = 0.5 * row + (rows**2).mean(1, keepdims=True), max(d, np.abs(g).max())
            memory[place] = row, d
            moved.append(p - (lr * rows / (np.sqrt(row) + d + size)).reshape(p.shape))
        return moved

    fields = {
        **PLAIN,
        "oracle": oracle,
        "moves": {"lr": 0.2, "weight_decay": 0.1},
        "state_bytes": lambda shape: 4 * shape[0] if len(shape) > 1 else 4,
    }
    unchecked = check_optimizer(Kinds, couples=True, **fields)
    assert unchecked == {
        "tensors_are_independent": "its tensors depend on each other",
        "stores_states_as_asked": "it keeps nothing of a parameter's size",
    }
    with pytest.raises(AssertionError, match="tensors_are_independent"):
        check_optimizer(Kinds, **fields)


class Extra(Plain):
    """Steps with the gradient of a point further on, and so needs a closure."""

    def step(self, closure=None):
        if closure is None:
            raise TypeError("Extra needs a closure")
        loss = closure()
        params = [p for group in self.param_groups for p in group["params"]]
        kept = [p.detach().clone() for p in params]
        super().step()
        closure()
        for param, value in zip(params, kept, strict=True):
            param.copy_(value)
        super().step()
        return loss


def test_rules_that_need_a_closure():
    def oracle(params, grads, memory, t, *, lr):
        ahead = [p - lr * g for p, g in zip(params, grads(params)[1], strict=True)]
        return [p - lr * g for p, g in zip(params, grads(ahead)[1], strict=True)]

    unchecked = check_optimizer(Extra, **{**PLAIN, "oracle": oracle, "closure": True})
    assert all(reason.startswith(("its closure", "its step() is its own")) for reason in unchecked.values())
    assert {"computes_its_rule", "resumes_exactly"}.isdisjoint(unchecked)
    wrong = Record(Extra, **{**PLAIN, "closure": True, "oracle": lambda p, grads, s, t, *, lr: [
        x - lr * g for x, g in zip(p, grads(p)[1], strict=True)
    ]})  # fmt: skip
    with pytest.raises(AssertionError, match="differs from the oracle"):
        check_property(wrong, "computes_its_rule")


def test_steps_made_in_another_way():
    def twice(optimizer, closure, t):
        for _ in range(2):
            closure()
            optimizer.step()

    def oracle(params, grads, memory, t, *, lr):
        return [p - 2 * lr * g for p, g in zip(params, grads, strict=True)]

    record = Record(Plain, **{**PLAIN, "oracle": oracle, "advance": twice})
    assert check_property(record, "computes_its_rule") is None
    assert "way of its own" in check_property(record, "closures_are_called")


def test_schedules_reach_the_oracle():
    record = Record(Good, **{**GOOD, "arguments": {"lr": lambda t: 0.1 / (1 + t), "momentum": 0.5}})
    assert check_property(record, "computes_its_rule") is None


def test_maximize_reaches_the_oracle():
    record = Record(Good, **{**GOOD, "arguments": {"lr": 0.01, "maximize": True}})
    assert check_property(record, "computes_its_rule") is None


class Broken(Terse):
    def register_step_pre_hook(self, hook):
        raise RuntimeError("not written yet")


def test_all_failures_are_told():
    with pytest.raises(AssertionError, match="lacks 2 of") as error:
        check_optimizer(Broken, **GOOD)
    assert "hooks_are_called: RuntimeError('not written yet')" in str(error.value)
    assert "its_repr_tells: " in str(error.value)
    assert isinstance(error.value.__cause__, RuntimeError)


def test_one_mistake_is_told_once():
    with pytest.raises(AssertionError) as error:
        check_optimizer(formula(lambda p, g, *, lr, momentun: p - lr * g), **GOOD)
    text = str(error.value)
    assert "  - computes_its_rule, hyperparameters_count, holds_in_low_precision and " in text
    assert text.count('the hyperparameters are lr, momentum, weight_decay, maximize")') == 1


def test_skips_and_misuse():
    record = Record(Terse, **GOOD, skips={"its_repr_tells": "too long"})
    assert check_optimizer(record) == {"its_repr_tells": "too long"}
    with pytest.raises(ValueError, match="skips \\['unheard_of'\\]; the properties are computes_its_rule"):
        check_optimizer(Good, skips={"unheard_of": "?"})
    with pytest.raises(TypeError, match="couples belong"):
        check_optimizer(record, couples=True)
