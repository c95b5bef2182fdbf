"""Each property of the conformance suite can fail: an optimizer with one fault for each."""

from __future__ import annotations

import numpy as np
import pytest
from neurenix import Tensor, get_num_threads
from neurenix.optim import Optimizer, State
from neurenix.optim.formula import everywhere, exp, largest, maximum, mean, sign, sqrt, total
from neurenix.optim.limits import ANYTHING
from neurenix.testing import PROPERTIES, Record, check_optimizer, check_property, per_tensor
from neurenix.testing.optimizers.options import MODES


class Good(Optimizer):
    """A formula without fault."""

    states = ("m",)

    def __init__(self, params, lr=0.1, momentum=0.5, weight_decay=0.0, **options):
        defaults = {"lr": lr, "momentum": momentum, "weight_decay": weight_decay}
        super().__init__(params, defaults, **options)

    @staticmethod
    def formula(p, g, m, *, lr, momentum):
        m = momentum * m + g
        return p - lr * m, m


class Plain(Optimizer):
    """A step() without fault."""

    def __init__(self, params, lr=0.1, **options):
        super().__init__(params, {"lr": lr}, **options)

    def step(self, closure=None):
        loss = None if closure is None else closure()
        for group in self.param_groups:
            hyper = self.hyperparameters(group)
            for place, param in enumerate(group["params"]):
                if param.grad is not None:
                    self.update(param, -param.grad if hyper["maximize"] else param.grad, hyper["lr"], place)
        return loss

    def update(self, param, grad, lr, place):
        param.sub_(lr * grad)


@per_tensor
def heavy_ball(p, g, s, t, *, lr, momentum, weight_decay):
    s["m"] = momentum * s.get("m", 0) + g + weight_decay * p
    return p - lr * s["m"]


GOOD = {
    "arguments": {"lr": 0.1, "momentum": 0.5},
    "oracle": heavy_ball,
    "moves": {"lr": 0.2, "momentum": 0.6, "weight_decay": 0.1},
    "errors": [({"lr": -1}, ValueError, "lr must be"), ({"momentum": "x"}, TypeError, "momentum")],
    "state_bytes": 4,
}
PLAIN = {
    "arguments": {"lr": 0.1},
    "oracle": per_tensor(lambda p, g, s, t, *, lr: p - lr * g),
    "moves": {"lr": 0.2},
    "errors": [({"lr": -1}, ValueError, "lr must be")],
    "state_bytes": 0,
    "temporaries": 4,
}


def formula(rule, **attributes):
    """The good optimizer with another rule."""
    return type("Faulty", (Good,), {"states": (), "formula": staticmethod(rule), **attributes})


class Imprecise(Plain):
    def update(self, param, grad, lr, place):
        param.sub_((lr if param.dtype.name == "float64" else 0.9 * lr) * grad)


class Ordered(Plain):
    def update(self, param, grad, lr, place):
        param.sub_(lr * (1 + place) * grad)


class Normalized(Plain):
    def step(self, closure=None):
        if closure is not None:
            closure()
        grads = [p.grad for group in self.param_groups for p in group["params"] if p.grad is not None]
        self.size = sum(float((g * g).sum()) for g in grads) ** 0.5
        super().step()

    def update(self, param, grad, lr, place):
        param.sub_(lr / self.size * grad)


class Threaded(Plain):
    def update(self, param, grad, lr, place):
        param.sub_(lr * get_num_threads() * grad)


class Strided(Plain):
    def update(self, param, grad, lr, place):
        param.sub_(lr * (1 if grad.is_contiguous() else 2) * grad)


class Half(Plain):
    """Moves the first parameter before it refuses those that are not contiguous."""

    def update(self, param, grad, lr, place):
        param.sub_(lr * grad)
        if not param.is_contiguous():
            raise ValueError("not contiguous")


class Noisy(Plain):
    def update(self, param, grad, lr, place):
        param.sub_(lr * (1 + np.random.default_rng().random()) * grad)


class Forgetful(Plain):
    """Momentum where no saved state holds it."""

    def update(self, param, grad, lr, place):
        memory = self.__dict__.setdefault("memory", {})
        memory[id(param)] = 0.5 * memory.get(id(param), 0.0) + grad
        param.sub_(lr * memory[id(param)])


class Restless(Plain):
    """Moves on without a gradient."""

    def step(self, closure=None):
        for group in self.param_groups:
            for param in group["params"]:
                old = self.state[param].get("v", 0.0)
                self.state[param]["v"] = 0.5 * old + (0.0 if param.grad is None else param.grad)
                param.sub_(group["lr"] * self.state[param]["v"])


class Consuming(Plain):
    def update(self, param, grad, lr, place):
        param.sub_(param.grad.mul_(lr))


class Loose(Good):
    def load_state_dict(self, state_dict):
        try:
            super().load_state_dict(state_dict)
        except ValueError:
            self.param_groups[0]["lr"] = 0.5


class Torn(Good):
    def load_state_dict(self, state_dict):
        if "state" in state_dict:
            self.param_groups[0]["lr"] = state_dict["param_groups"][0]["lr"] / 2
        super().load_state_dict(state_dict)


class Eager(Good):
    def init_state(self):
        super().init_state()
        for entry in self.state.values():
            entry["m"].fill_(1.0)


class Uncopied(Good):
    def __getstate__(self):
        return {**super().__getstate__(), "_state": []}


class Alone(Good):
    """Copies that still hold the original's parameters."""

    def __deepcopy__(self, memo):
        return type(self)(self.param_groups[0]["params"], 0.1, 0.5)


class Descending(Plain):
    def step(self, closure=None):
        for group in self.param_groups:
            for param in group["params"]:
                param.sub_(group["lr"] * param.grad)


class Unguarded(Good):
    def _check_gradients(self, loss):
        pass


class Nameless(Good):
    def _check_gradients(self, loss):
        try:
            super()._check_gradients(loss)
        except FloatingPointError:
            raise FloatingPointError("something is not finite") from None


class Patient(Good):
    """Takes no parameters at all."""

    def __init__(self, params, *args, **options):
        super().__init__(params or [Tensor([1.0], requires_grad=True)], *args, **options)


class Hasty(Plain):
    """Moves before it looks at the hyperparameters."""

    def step(self, closure=None):
        for group in self.param_groups:
            for param in group["params"]:
                if param.grad is not None:
                    param.sub_(0.1 * param.grad)
            self.hyperparameters(group)


class Deaf(Good):
    def register_step_pre_hook(self, hook):
        return super().register_step_pre_hook(lambda *_: None)


class Silent(Plain):
    def step(self, closure=None):
        super().step(closure)


class Streamed(Good):
    """Steps in the backward pass with gradients that are too large."""

    def _backward_leaf(self, param):
        param.grad = param.grad * 1.01
        return super()._backward_leaf(param)


class Keeping(Good):
    """Does not let gradients go in the backward pass."""

    def _backward_leaf(self, param):
        super()._backward_leaf(param)
        return False


class Bypassed(Plain):
    """Takes part in the backward pass with another step than its own."""

    def _backward_begin(self):
        return 0

    def _backward_leaf(self, param):
        return True

    def _backward_end(self, error):
        pass


class Marked(Good):
    """Keeps in itself what belongs into its state."""

    steps = 0

    def step(self, closure=None):
        self.steps += 1
        self.param_groups[0]["lr"] = 0.1 / self.steps
        return super().step(closure)


class Lasting(Good):
    """Does not give the weights back."""

    def eval(self):
        for param in self.param_groups[0]["params"]:
            param.data = param.detach() * 0.5


class Terse(Good):
    def __repr__(self):
        return "Terse()"


def told(**changes):
    """The good optimizer that takes options for others."""

    def init(self, params, *args, **options):
        given = {name: change(options[name]) for name, change in changes.items() if name in options}
        Good.__init__(self, params, *args, **{**options, **given})

    return type("Told", (Good,), {"__init__": init})


class Relapsing(Good):
    """Loses the average of the weights on loading."""

    def load_state_dict(self, state_dict):
        super().load_state_dict(state_dict)
        for entry in self.state.values():
            if "ema" in entry:
                entry["ema"].fill_(0.0)


def lossy(p, g, *, lr, momentum):
    return p - lr * g / sqrt(g * g)


FAULTS = [
    (
        "computes_its_rule",
        Good,
        {"oracle": lambda *a, **k: heavy_ball(*a, **{**k, "lr": k["lr"] * (1 + 1e-10)})},
        "by step",
    ),
    (
        "hyperparameters_count",
        formula(lambda p, g, *, lr, momentum: (p - lr * g,)),
        {"oracle": None},
        "momentum=0.6 moves",
    ),
    ("hyperparameters_count", Good, {"moves": {"lr": 0.2, "momentum": 0.6}}, "give moves for weight_decay"),
    (
        "hyperparameters_count",
        Good,
        {"oracle": lambda p, g, s, t, **k: heavy_ball(p, g, s, t, **{**k, "momentum": 0.5})},
        "momentum",
    ),
    ("hyperparameters_count", Good, {"still": {"eta": "?"}}, "eta in still"),
    ("holds_in_low_precision", Imprecise, {}, "step 1 in float32"),
    ("goes_downhill", formula(lambda p, g, *, lr, momentum: p + lr * g), {}, "the loss of a parabola"),
    ("order_and_grouping_do_not_show", Ordered, {}, "the reverse order"),
    ("order_and_grouping_do_not_show", Ordered, {"couples": True}, "the reverse order"),
    ("tensors_are_independent", Normalized, {}, "an optimizer for each"),
    ("threads_do_not_show", Threaded, {}, "number of threads"),
    ("strides_do_not_show", Strided, {}, "strides of gradients"),
    ("strides_do_not_show", Half, {}, "moved some"),
    ("runs_repeat", Noisy, {}, "a second run"),
    ("zero_lr_moves_nothing", formula(lambda p, g, *, lr, momentum: p - (lr + 1e-3) * g), {}, "lr=0 moves"),
    ("no_gradient_no_change", Restless, {}, "without gradient"),
    ("zero_gradients_are_finite", formula(lossy), {}, "NaN or infinity"),
    (
        "zero_gradients_move_nothing",
        formula(lambda p, g, *, lr, momentum: p * (1 - lr) - g),
        {},
        "move parameters",
    ),
    ("gradients_are_not_written", Consuming, {}, "writes to float32"),
    ("resumes_exactly", Forgetful, {}, "resumed before step 2"),
    ("refused_states_change_nothing", Loose, {}, "takes an empty dict"),
    ("refused_states_change_nothing", Torn, {}, "changed the optimizer"),
    ("state_has_its_size", Good, {"state_bytes": 8}, "48 bytes of state, not 96"),
    ("state_has_its_size", Good, {"state_bytes": lambda shape: 4 * sum(shape)}, "48 bytes of state, not 28"),
    ("steps_need_little_memory", Plain, {"temporaries": 0}, "bytes beside what it keeps; 0 times"),
    ("state_may_be_made_early", Eager, {}, "changes the steps after it"),
    ("copies_go_on_alike", Uncopied, {}, "a deep copy goes elsewhere"),
    ("copies_go_on_alike", Alone, {}, "does not hold the copied parameters"),
    ("counts_do_not_overflow", formula(lambda p, g, *, t, lr: p - lr * exp(t * 1e-6) * g), {}, "not finite"),
    ("maximizing_is_the_negated_gradient", Descending, {}, "at step 1"),
    ("nonfinite_gradients_can_be_skipped", Unguarded, {}, "changed parameters"),
    ("nonfinite_gradients_can_raise", Unguarded, {}, "does not raise"),
    ("nonfinite_gradients_can_raise", Nameless, {}, "does not name parameter 4"),
    (
        "bad_arguments_are_errors",
        formula(Good.formula, states=("m",), limits={"lr": ANYTHING}),
        {},
        "is no error",
    ),
    ("bad_arguments_are_errors", Good, {"errors": [({"lr": -1}, TypeError, "lr")]}, "not TypeError"),
    ("bad_arguments_are_errors", Good, {"errors": [({"lr": -1}, ValueError, "eta")]}, "does not say 'eta'"),
    ("bad_parameters_are_errors", Patient, {}, "no parameters as parameters"),
    ("errors_change_nothing", Hasty, {}, "changed parameters"),
    (
        "errors_change_nothing",
        formula(Good.formula, states=("m",), limits={"lr": ANYTHING}),
        {},
        "is no error",
    ),
    ("hooks_are_called", Deaf, {}, "hooks were called as"),
    ("closures_are_called", Silent, {}, "the loss is not returned"),
    ("steps_in_the_backward_pass", Streamed, {}, "step 1 in the backward pass differs"),
    ("steps_in_the_backward_pass", Keeping, {}, "still have gradients"),
    ("steps_in_the_backward_pass", Bypassed, {}, "does not call its step"),
    ("agrees_with_its_functional_form", Marked, {}, "step 2 of its functional form"),
    ("evaluation_comes_and_goes", Lasting, {}, "a step moves"),
    ("its_repr_tells", Terse, {}, "does not show lr"),
    *(
        (
            "decays_as_by_hand",
            told(weight_decay_mode=lambda x, mode=mode: "l2" if x == mode else x),
            {},
            mode,
        )
        for mode in MODES
        if mode != "l2"
    ),
    ("decays_as_by_hand", told(weight_decay=lambda given: 0.99 * given), {}, "by hand it is"),
    ("clips_as_by_hand", told(clip_value=lambda given: 0.99 * given), {}, "clip_value"),
    ("clips_as_by_hand", told(clip_norm=lambda given: 0.99 * given), {}, "clip_norm"),
    ("clips_as_by_hand", told(clip_adaptive=lambda given: 0.99 * given), {}, "clip_adaptive"),
    (
        "clips_as_by_hand",
        formula(lambda p, g, *, lr, momentum: p - lr * sign(g)),
        {},
        "moves the result by 0 of",
    ),
    ("clips_as_by_hand", told(centralize=lambda given: False), {}, "centralize"),
    ("is_cautious_as_by_hand", told(cautious=lambda given: False), {}, "cautious"),
    ("averages_as_by_hand", told(ema=lambda given: 0.99 * given), {}, "differs from one by hand"),
    ("accumulates_as_by_hand", told(accumulate=lambda given: 1), {}, "already moves"),
    ("accumulates_as_by_hand", told(accumulate_sum=lambda given: False), {}, "accumulate_sum=True step 1"),
    ("resumes_exactly_with_options", Relapsing, {}, "resumed before step"),
]


@pytest.mark.parametrize(
    ("name", "cls", "fields", "message"), FAULTS, ids=[f"{name}-{cls.__name__}" for name, cls, *_ in FAULTS]
)
def test_faults_are_found(name, cls, fields, message):
    usual = PLAIN if issubclass(cls, Plain) else GOOD
    with pytest.raises(AssertionError, match=message):
        check_property(Record(cls, **{**usual, **fields}), name)


def test_every_property_can_fail():
    assert {name for name, *_ in FAULTS} == set(PROPERTIES)


def test_good_ones_pass():
    assert check_optimizer(Good, **GOOD) == {}
    unchecked = check_optimizer(Plain, **PLAIN)
    assert set(unchecked.values()) == {"its step() is its own, not a formula that options could stand around"}


def test_a_function_that_makes_one_passes():
    def make(params, lr=0.3, **options):
        return Good(params, lr, 0.5, **options)

    unchecked = check_optimizer(make, moves={"lr": 0.2}, still={"momentum": "fixed", "weight_decay": "fixed"})
    assert set(unchecked) == {
        "computes_its_rule", "state_has_its_size", "bad_arguments_are_errors", "errors_change_nothing",
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
    assert unchecked == {"tensors_are_independent": "its tensors depend on each other"}
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
    assert all(reason.startswith("its closure") for reason in unchecked.values())
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


def test_skips_and_misuse():
    record = Record(Terse, **GOOD, skips={"its_repr_tells": "too long"})
    assert check_optimizer(record) == {"its_repr_tells": "too long"}
    with pytest.raises(ValueError, match="skips \\['unheard_of'\\]; the properties are computes_its_rule"):
        check_optimizer(Good, skips={"unheard_of": "?"})
    with pytest.raises(TypeError, match="couples belong"):
        check_optimizer(record, couples=True)
