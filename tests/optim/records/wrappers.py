"""Optimizers around optimizers, here around SGD."""

from __future__ import annotations

from neurenix.optim import SGD, Grokfast, Lookahead, ScheduleFree, schedule
from neurenix.testing import Record, per_tensor


def heavy_ball(p, g, s, t, lr, momentum, weight_decay):
    s["b"] = momentum * s.get("b", 0) + g + weight_decay * p
    return p - lr * s["b"]


def lookahead(params, lr=0.1, momentum=0.5, weight_decay=0.01, k=3, alpha=0.4, **options):
    return Lookahead(SGD(params, lr, momentum, 0, weight_decay, **options), k, alpha)


@per_tensor
def lookahead_oracle(p, g, s, t, *, lr, momentum, weight_decay, k, alpha):
    slow = s.setdefault("slow", p)
    p = heavy_ball(p, g, s, t, lr, momentum, weight_decay)
    if t % k == 0:
        s["slow"] = p = slow + alpha * (p - slow)
    return p


def grokfast(params, lr=0.05, momentum=0.5, weight_decay=0.01, alpha=0.9, lamb=1.0, **options):
    return Grokfast(SGD(params, lr, momentum, 0, weight_decay, **options), alpha, lamb)


@per_tensor
def grokfast_oracle(p, g, s, t, *, lr, momentum, weight_decay, alpha, lamb):
    s["h"] = alpha * s.get("h", g) + (1 - alpha) * g
    return heavy_ball(p, g + lamb * s["h"], s, t, lr, momentum, weight_decay)


def schedule_free(
    params, lr=0.1, momentum=0.1, weight_decay=0.01, beta=0.8, r=0.5, weight_lr_power=1.5, **options
):
    return ScheduleFree(SGD(params, lr, momentum, 0, weight_decay, **options), beta, r, weight_lr_power)


@per_tensor
def schedule_free_oracle(y, g, s, t, *, lr, momentum, weight_decay, beta, r, weight_lr_power):
    s["top"] = max(s.get("top", 0), lr)
    weight = t**r * s["top"] ** weight_lr_power
    s["sum"] = s.get("sum", 0) + weight
    s["z"] = heavy_ball(s.get("z", y), g, s, t, lr, momentum, weight_decay)
    s["x"] = s.get("x", y) + weight / s["sum"] * (s["z"] - s.get("x", y))
    return (1 - beta) * s["z"] + beta * s["x"]


MOVES = {"lr": 0.06, "momentum": 0.6, "weight_decay": 0.02}
STILL = dict.fromkeys(("dampening", "nesterov"), "is the wrapped optimizer's")
ERRORS = [({"lr": -1.0}, ValueError, "lr must be"), ({"momentum": "x"}, TypeError, "momentum")]
SKIPS = {
    "decays_as_by_hand": "weight decay stands around the wrapped rule",
    "is_cautious_as_by_hand": "it stands around the wrapped rule",
}

RECORDS = [
    Record(
        lookahead,
        oracle=lookahead_oracle,
        moves={**MOVES, "k": 2, "alpha": 0.6},
        errors=[*ERRORS, ({"k": 0}, ValueError, "k must be"), ({"alpha": 1.5}, ValueError, "alpha")],
        state_bytes=8,
        still=STILL,
        skips=SKIPS,
    ),
    Record(
        grokfast,
        oracle=grokfast_oracle,
        moves={**MOVES, "alpha": 0.8, "lamb": 2.0},
        errors=[*ERRORS, ({"alpha": 1.0}, ValueError, "alpha"), ({"lamb": -1}, ValueError, "lamb")],
        state_bytes=8,
        still=STILL,
        skips=SKIPS,
    ),
    Record(
        schedule_free,
        arguments={"lr": schedule.linear(0.02, 0.1, steps=30)},  # the power matters while it rises
        oracle=schedule_free_oracle,
        moves={**MOVES, "beta": 0.7, "r": 0.0, "weight_lr_power": 2.0},
        errors=[
            *ERRORS,
            ({"beta": 0.0}, ValueError, "averaging"),
            ({"weight_lr_power": -1}, ValueError, "power"),
        ],
        state_bytes=8,
        still={**STILL, "averaging": "is given as beta"},
        skips={"is_cautious_as_by_hand": SKIPS["is_cautious_as_by_hand"]},
    ),
]
