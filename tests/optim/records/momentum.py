"""Rules around momentum."""

from __future__ import annotations

import math

import numpy as np
from neurenix.optim import LARS, MADGRAD, SGDP, AggMo
from neurenix.testing import Record, per_tensor

from .adam import projected

ERRORS = [
    ({"lr": -1.0}, ValueError, "lr must be"),
    ({"weight_decay": "x"}, TypeError, "weight_decay must be"),
]
MOMENTUM = [({"momentum": 1.0}, ValueError, "momentum must be")]


@per_tensor
def aggmo(p, g, s, t, *, lr, betas, weight_decay):
    g = g + weight_decay * p
    s["b"] = [beta * b + g for beta, b in zip(betas, s.get("b", [0] * len(betas)), strict=True)]
    return p - lr * np.mean(s["b"], axis=0)


@per_tensor
def sgdp(p, g, s, t, *, lr, momentum, dampening, weight_decay, nesterov, eps, delta, wd_ratio):
    s["b"] = momentum * s.get("b", 0) + (1 - dampening) * g
    u = g + momentum * s["b"] if nesterov else s["b"]
    u, ratio = projected(p, g, u, delta, wd_ratio, eps)
    return p * (1 - lr * weight_decay * ratio / (1 - momentum)) - lr * u


@per_tensor
def lars(p, g, s, t, *, lr, momentum, weight_decay, nesterov, trust_coeff, eps, trust_clip):
    trust, a, b = 1.0, math.sqrt(np.sum(p**2)), math.sqrt(np.sum(g**2))
    if p.ndim > 1 and a > 0 and b > 0:
        trust = trust_coeff * a / (b + weight_decay * a + eps)
        trust = min(trust / lr, 1) if trust_clip else trust
    d = trust * (g + weight_decay * p)
    s["b"] = momentum * s.get("b", 0) + d
    return p - lr * (d + momentum * s["b"] if nesterov else s["b"])


@per_tensor
def madgrad(p, g, s, t, *, lr, momentum, weight_decay, eps):
    g = g + weight_decay * p
    rate = (lr + eps) * math.sqrt(t)
    s.setdefault("x0", p)
    s["n"] = s.get("n", 0) + rate * g**2
    s["s"] = s.get("s", 0) + rate * g
    return momentum * p + (1 - momentum) * (s["x0"] - s["s"] / (np.cbrt(s["n"]) + eps))


PROJECTED = {"momentum": 0.8, "dampening": 0.1, "weight_decay": 0.1, "eps": 1e-3, "wd_ratio": 0.3}
RECORDS = [
    Record(
        AggMo,
        {"lr": 0.02, "betas": (0.0, 0.8, 0.95), "weight_decay": 0.1},
        aggmo,
        {"lr": 0.03, "betas": (0.1, 0.9), "weight_decay": 0.2},
        [*ERRORS, ({"betas": ()}, ValueError, "one or more"), ({"betas": (1.0,)}, ValueError, r"betas\[0\]")],
        12,
    ),
    *(
        Record(
            SGDP,
            {"lr": 0.05, **PROJECTED, "nesterov": nesterov, "delta": delta},
            sgdp,
            {
                "lr": 0.06,
                "momentum": 0.7,
                "dampening": 0.2,
                "weight_decay": 0.2,
                "nesterov": not nesterov,
                "eps": 1e-2,
                "delta": 0.05,
                "wd_ratio": 0.6,
            },
            [*ERRORS, *MOMENTUM, ({"delta": -1}, ValueError, "delta must be")],
            4,
        )
        for delta, nesterov in ((0.5, False), (3.0, True))
    ),
    *(
        Record(
            LARS,
            {
                "lr": 0.5,
                "momentum": 0.8,
                "weight_decay": 0.1,
                "nesterov": clip,
                "trust_coeff": 0.1,
                "eps": 1e-2,
                "trust_clip": clip,
            },
            lars,
            {
                "lr": 0.4,
                "momentum": 0.7,
                "weight_decay": 0.2,
                "nesterov": not clip,
                "trust_coeff": 0.2,
                "eps": 1e-1,
                "trust_clip": not clip,
            },
            [*ERRORS, *MOMENTUM, ({"trust_coeff": -1}, ValueError, "trust_coeff")],
            4,
        )
        for clip in (False, True)
    ),
    Record(
        LARS,
        {"lr": 0.5, "momentum": 0, "trust_coeff": 0.1, "eps": 1e-2},
        lars,
        {
            "lr": 0.4,
            "momentum": 0.7,
            "weight_decay": 0.2,
            "trust_coeff": 0.2,
            "eps": 1e-1,
            "trust_clip": True,
        },
        ERRORS,
        0,
        still={"nesterov": "acts on momentum"},
    ),
    *(
        Record(
            MADGRAD,
            {"lr": 0.05, "momentum": momentum, "weight_decay": 0.1, "eps": 1e-3},
            madgrad,
            {"lr": 0.06, "momentum": 0.5, "weight_decay": 0.2, "eps": 1e-2},
            [*ERRORS, *MOMENTUM],
            size,
            tolerance=(1e-12 if momentum else 1e-10, "x₀ computed anew at each step"),
        )
        for momentum, size in ((0.8, 12), (0, 8))
    ),
]
