"""Faults in a rule, in what must not show, and in steps that should do nothing."""

from __future__ import annotations

import numpy as np
from neurenix import get_num_threads
from neurenix.optim.formula import sqrt
from testing.optimizers.good import Good, Plain, formula, heavy_ball


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


class Decaying(Plain):
    """Adds the decay to the gradient itself, as many do."""

    def __init__(self, params, lr=0.1, weight_decay=0.0, **options):
        super().__init__(params, lr, **options)
        for group in self.param_groups:
            group["weight_decay"] = weight_decay

    def step(self, closure=None):
        for group in self.param_groups:
            for param in group["params"]:
                if param.grad is not None and group["weight_decay"]:
                    param.grad.add_(param, alpha=group["weight_decay"])
        return super().step(closure)


class Uncounted(Good):
    @property
    def state(self):
        entries = super().state.items()
        return {param: {n: v for n, v in entry.items() if n != "step"} for param, entry in entries}


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
    ("goes_downhill", formula(lambda p, g, *, lr, momentum: p - 1e-3 * lr * g), {}, "the loss of a parabola"),
    ("order_and_grouping_do_not_show", Ordered, {}, "the reverse order"),
    ("order_and_grouping_do_not_show", Ordered, {"couples": True}, "the reverse order"),
    ("tensors_are_independent", Normalized, {}, "an optimizer for each"),
    ("threads_do_not_show", Threaded, {}, "number of threads"),
    ("strides_do_not_show", Strided, {}, "strides of gradients"),
    ("strides_do_not_show", Half, {}, "moved some"),
    ("runs_repeat", Noisy, {}, "a second run"),
    ("zero_lr_moves_nothing", Uncounted, {}, "three steps with lr=0 count as"),
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
    (
        "gradients_are_not_written",
        Decaying,
        {"moves": {"lr": 0.2, "weight_decay": 0.1}},
        "'weight_decay': 0.1}: a step writes to float32",
    ),
]
