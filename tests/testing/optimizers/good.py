"""Optimizers without fault, and what makes faulty ones of them."""

from __future__ import annotations

from neurenix.optim import Optimizer
from neurenix.testing import per_tensor


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


def told(**changes):
    """The good optimizer that takes options for others."""

    def init(self, params, *args, **options):
        given = {name: change(options[name]) for name, change in changes.items() if name in options}
        Good.__init__(self, params, *args, **{**options, **given})

    return type("Told", (Good,), {"__init__": init})
