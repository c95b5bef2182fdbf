"""Schedule-Free: the oracles keep x, y and z apart."""

from __future__ import annotations

import numpy as np
from neurenix.optim import ScheduleFreeAdamW, ScheduleFreeRAdam, ScheduleFreeSGD
from neurenix.testing import Record, per_tensor

ERRORS = [
    ({"lr": -1.0}, ValueError, "lr must be"),
    ({"weight_decay": "x"}, TypeError, "weight_decay must be"),
    ({"r": -1}, ValueError, "r must be"),
]
BETAS = [
    ({"betas": (0.0, 0.9)}, ValueError, r"betas\[0\]"),
    ({"betas": (0.9, 1.0)}, ValueError, r"betas\[1\]"),
]


def averaged(p, s, t, u, rate, beta, r, weight_lr_power):
    """One step of z, then of the average x, then y between them."""
    s.setdefault("x", p)
    s["top"] = max(s.get("top", 0), rate)
    weight = t**r * s["top"] ** weight_lr_power
    s["sum"] = s.get("sum", 0) + weight
    c = weight / s["sum"] if s["sum"] else 0
    s["z"] = s.get("z", p) - rate * u
    s["x"] = (1 - c) * s["x"] + c * s["z"]
    return beta * s["x"] + (1 - beta) * s["z"]


@per_tensor
def sgd(p, g, s, t, *, lr, momentum, weight_decay, warmup_steps, r, weight_lr_power):
    rate = lr * min(1, t / warmup_steps) if warmup_steps else lr
    return averaged(p, s, t, g + weight_decay * p, rate, momentum, r, weight_lr_power)


@per_tensor
def adamw(p, g, s, t, *, lr, betas, eps, weight_decay, warmup_steps, r, weight_lr_power):
    s["v"] = betas[1] * s.get("v", 0) + (1 - betas[1]) * g**2
    u = g / (np.sqrt(s["v"] / (1 - betas[1] ** t)) + eps) + weight_decay * p
    rate = lr * min(1, t / warmup_steps) if warmup_steps else lr
    return averaged(p, s, t, u, rate, betas[0], r, weight_lr_power)


@per_tensor
def radam(p, g, s, t, *, lr, betas, eps, weight_decay, r, weight_lr_power, silent_sgd_phase):
    s["v"] = betas[1] * s.get("v", 0) + (1 - betas[1]) * g**2
    missing, most = 1 - betas[1] ** t, 2 / (1 - betas[1]) - 1
    rho = most - 2 * t * betas[1] ** t / missing
    if rho > 4:
        u = g / (np.sqrt(s["v"] / missing) + eps)
        rate = lr * np.sqrt((rho - 4) * (rho - 2) * most / ((most - 4) * (most - 2) * rho))
    else:
        u, rate = g, 0.0 if silent_sgd_phase else lr
    return averaged(p, s, t, u + weight_decay * p, rate, betas[0], r, weight_lr_power)


POWER = {"weight_lr_power": "acts where the rate changes"}
WEIGHTS = {"r": 0.5, "weight_lr_power": 2.0}
MOVED = {"r": 1.0, "weight_lr_power": 1.0}
ADAM = {"lr": 0.1, "betas": (0.8, 0.95), "eps": 1e-2, "weight_decay": 0.1}
ADAM_MOVES = {"lr": 0.11, "betas": (0.7, 0.9), "eps": 2e-2, "weight_decay": 0.2}
RECORDS = [
    Record(
        ScheduleFreeSGD,
        {"lr": 0.2, "momentum": 0.8, "weight_decay": 0.1, "warmup_steps": 10, **WEIGHTS},
        sgd,
        {"lr": 0.3, "momentum": 0.7, "weight_decay": 0.2, "warmup_steps": 20, **MOVED},
        [*ERRORS, ({"momentum": 0}, ValueError, "momentum must be")],
        4,
    ),
    Record(
        ScheduleFreeSGD,
        {"lr": 0.2},
        sgd,
        {"lr": 0.3, "momentum": 0.7, "weight_decay": 0.2, "warmup_steps": 20, "r": 1.0},
        ERRORS,
        4,
        still=POWER,
    ),
    Record(
        ScheduleFreeAdamW,
        {**ADAM, "warmup_steps": 10, **WEIGHTS},
        adamw,
        {**ADAM_MOVES, "warmup_steps": 20, **MOVED},
        [*ERRORS, *BETAS],
        8,
    ),
    *(
        Record(
            ScheduleFreeRAdam,
            {**ADAM, **WEIGHTS, "silent_sgd_phase": silent},
            radam,
            {
                **ADAM_MOVES,
                "r": 1.0,
                "silent_sgd_phase": not silent,
                **({"weight_lr_power": 1.0} if silent else {}),
            },
            [*ERRORS, *BETAS],
            8,
            still={} if silent else POWER,
        )
        for silent in (True, False)
    ),
]
