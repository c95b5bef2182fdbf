"""Rules that find their learning rate: MoMo, MoMo-Adam, Mechanic."""

from __future__ import annotations

import numpy as np
from neurenix.optim import SGD, Mechanic, MoMo, MoMoAdam
from neurenix.testing import Record


def dot(a, b):
    return sum((x * y).sum() for x, y in zip(a, b, strict=True))


def momo(params, grads, memory, t, *, lr, beta, lower_bound, weight_decay, adapt_lower_bound):
    loss, gs = grads(params)
    m = memory.setdefault(0, {"bound": lower_bound})
    if t == 1:
        m.update(d=gs, f=loss, gamma=dot(gs, params))
    else:
        m["d"] = [beta * d + (1 - beta) * g for d, g in zip(m["d"], gs, strict=True)]
        m["f"] = beta * m["f"] + (1 - beta) * loss
        m["gamma"] = beta * m["gamma"] + (1 - beta) * dot(gs, params)
    shrink = 1 + lr * weight_decay
    cap = shrink * (m["f"] - m["gamma"]) + dot(m["d"], params)
    if adapt_lower_bound and cap < shrink * m["bound"]:
        m["bound"] = max(cap / (2 * shrink), lower_bound)
    square = dot(m["d"], m["d"])
    tau = min(lr, max(cap - shrink * m["bound"], 0) / square)
    if adapt_lower_bound:
        m["bound"] = max(m["f"] - m["gamma"] + dot(m["d"], params) - tau * square / 2, lower_bound)
    return [(p - tau * d) / shrink for p, d in zip(params, m["d"], strict=True)]


def momo_adam(params, grads, memory, t, *, lr, betas, eps, lower_bound, weight_decay, adapt_lower_bound):
    loss, gs = grads(params)
    b1, b2 = betas
    zeros = [np.zeros_like(p) for p in params]
    m = memory.setdefault(0, {"bound": lower_bound, "d": zeros, "v": zeros, "f": 0.0, "gamma": 0.0})
    m["d"] = [b1 * d + (1 - b1) * g for d, g in zip(m["d"], gs, strict=True)]
    m["v"] = [b2 * v + (1 - b2) * g * g for v, g in zip(m["v"], gs, strict=True)]
    m["f"] = b1 * m["f"] + (1 - b1) * loss
    m["gamma"] = b1 * m["gamma"] + (1 - b1) * dot(gs, params)
    way = [d / (np.sqrt(v / (1 - b2**t)) + eps) for d, v in zip(m["d"], m["v"], strict=True)]
    c, shrink = 1 - b1**t, 1 + lr * weight_decay
    cap = shrink * (m["f"] - m["gamma"]) + dot(m["d"], params)
    if adapt_lower_bound and cap < shrink * c * m["bound"]:
        m["bound"] = max(cap / (2 * c * shrink), lower_bound)
    square = dot(m["d"], way)
    tau = min(lr / c, max(cap - shrink * c * m["bound"], 0) / square)
    if adapt_lower_bound:
        m["bound"] = max((m["f"] - m["gamma"] + dot(m["d"], params) - tau * square / 2) / c, lower_bound)
    return [(p - tau * w) / shrink for p, w in zip(params, way, strict=True)]


def mechanic(
    params,
    lr=1.0,
    momentum=0.0,
    weight_decay=0.0,
    mechanic_decay=1e-2,
    s_init=1e-6,
    mechanic_eps=1e-8,
    **options,
):
    base = SGD(params, lr, momentum, weight_decay=weight_decay, **options)
    return Mechanic(base, mechanic_decay, s_init, mechanic_eps)


def mechanic_oracle(
    params, grads, memory, t, *, lr, momentum, weight_decay, mechanic_decay, s_init, mechanic_eps
):
    betas = np.array([0.9, 0.99, 0.999, 0.9999, 0.99999, 0.999999])
    if t == 1:
        memory.update(x0=params, r=np.zeros(6), m=np.zeros(6), v=np.zeros(6), s=np.full(6, s_init))
        memory["b"] = [g + weight_decay * p for p, g in zip(params, grads, strict=True)]
    else:
        pairs = zip(memory["b"], params, grads, strict=True)
        memory["b"] = [momentum * b + g + weight_decay * p for b, p, g in pairs]
    scale = memory["s"].sum()
    before = [(x - p) / (scale + mechanic_eps) for x, p in zip(memory["x0"], params, strict=True)]
    after = [d + lr * b for d, b in zip(before, memory["b"], strict=True)]
    pull = mechanic_decay * scale * np.sqrt(dot(grads, grads)) / (np.sqrt(dot(params, params)) + mechanic_eps)
    h = dot([g + pull * p for g, p in zip(grads, params, strict=True)], before)
    clipped = np.clip(h, -memory["m"], memory["m"])
    memory["r"] = betas * memory["r"] + clipped * memory["s"]
    memory["m"] = np.maximum(betas * memory["m"], abs(h) + mechanic_eps)
    memory["v"] = betas**2 * memory["v"] + h**2
    wealth = s_init / 6 * memory["m"] + np.maximum(memory["r"], 0)
    memory["s"] = wealth / (np.sqrt(memory["v"]) + mechanic_eps)
    return [x - memory["s"].sum() * d for x, d in zip(memory["x0"], after, strict=True)]


def with_loss(optimizer, closure, t):
    return optimizer.step(loss=closure())


BAD = [({"lr": -1.0}, ValueError, "lr must be")]
COUPLED = {"loss": "is written by step()"}

RECORDS = [
    *(
        Record(
            MoMo,
            arguments={
                "lr": 0.3,
                "beta": 0.8,
                "lower_bound": -50.0,
                "weight_decay": 0.1,
                "adapt_lower_bound": adapts,
            },
            oracle=momo,
            moves={
                "lr": 0.2,
                "beta": 0.7,
                "lower_bound": 5.0,
                "weight_decay": 0.2,
                "adapt_lower_bound": not adapts,
            },
            still=COUPLED,
            errors=[*BAD, ({"beta": 1.0}, ValueError, "beta must be")],
            state_bytes=4,
            couples=True,
            closure=True,
            advance=with_loss,
        )
        for adapts in (False, True)
    ),
    *(
        Record(
            MoMoAdam,
            arguments={
                "lr": 0.3,
                "betas": (0.8, 0.9),
                "eps": 1e-3,
                "lower_bound": -50.0,
                "weight_decay": 0.1,
                "adapt_lower_bound": adapts,
            },
            oracle=momo_adam,
            moves={
                "lr": 0.2,
                "betas": (0.7, 0.9),
                "eps": 1e-2,
                "lower_bound": 5.0,
                "weight_decay": 0.2,
                "adapt_lower_bound": not adapts,
            },
            still=COUPLED,
            errors=BAD,
            state_bytes=8,
            couples=True,
            closure=True,
            advance=with_loss,
        )
        for adapts in (False, True)
    ),
    Record(
        mechanic,
        arguments={"lr": 1.0, "momentum": 0.5, "weight_decay": 0.01, "s_init": 1e-3, "mechanic_decay": 0.1},
        oracle=mechanic_oracle,
        moves={
            "lr": 0.9,
            "momentum": 0.4,
            "weight_decay": 0.02,
            "mechanic_decay": 0.2,
            "s_init": 2e-3,
            "mechanic_eps": 1e-4,
        },
        still={"nesterov": "is the wrapped rule's", "dampening": "is the wrapped rule's"},
        errors=[*BAD, ({"s_init": 0.0}, ValueError, "s_init must be")],
        state_bytes=8,
        couples=True,
        skips={
            "decays_as_by_hand": "weight decay is the wrapped rule's and acts inside",
            "is_cautious_as_by_hand": "the mask is the wrapped rule's and acts inside",
        },
        name="Mechanic",
    ),
]
