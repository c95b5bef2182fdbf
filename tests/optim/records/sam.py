"""SAM and ASAM: steps that need a closure."""

from __future__ import annotations

import numpy as np
from neurenix.optim import SAM, SGD
from neurenix.testing import Record


def sam(params, lr=0.1, momentum=0.0, weight_decay=0.0, rho=0.05, adaptive=False, **options):
    return SAM(SGD(params, lr, momentum, weight_decay=weight_decay, **options), rho, adaptive)


def oracle(params, grads, memory, t, *, lr, momentum, weight_decay, rho, adaptive):
    _, gs = grads(params)
    weights = [np.abs(p) if adaptive else np.ones_like(p) for p in params]
    length = np.sqrt(sum(((w * g) ** 2).sum() for w, g in zip(weights, gs, strict=True)))
    away = [p + rho * w * w * g / length for p, w, g in zip(params, weights, gs, strict=True)]
    _, gs = grads(away)
    new = []
    for i, (p, g) in enumerate(zip(params, gs, strict=True)):
        g = g + weight_decay * p
        memory[i] = g if t == 1 else momentum * memory[i] + g
        new.append(p - lr * memory[i])
    return new


RECORDS = [
    Record(
        sam,
        arguments={"lr": 0.1, "momentum": 0.5, "weight_decay": 0.01, "rho": 0.1, "adaptive": adaptive},
        oracle=oracle,
        moves={
            "lr": 0.11,
            "momentum": 0.4,
            "weight_decay": 0.02,
            "rho": 0.2,
            "adaptive": not adaptive,
        },
        still={"nesterov": "is the wrapped rule's", "dampening": "is the wrapped rule's"},
        errors=[({"lr": -1.0}, ValueError, "lr must be"), ({"rho": -1.0}, ValueError, "rho must be")],
        state_bytes=4,
        couples=True,
        closure=True,
        name="ASAM" if adaptive else "SAM",
    )
    for adaptive in (False, True)
]
