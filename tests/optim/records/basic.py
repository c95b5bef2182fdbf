"""SGD, Adam and AdamW."""

from __future__ import annotations

import numpy as np
from neurenix.optim import SGD, Adam, AdamW
from neurenix.testing import Record, per_tensor


@per_tensor
def sgd(p, g, s, t, *, lr, momentum, dampening, weight_decay, nesterov):
    g = g + weight_decay * p
    if momentum:
        s["b"] = g if t == 1 else momentum * s["b"] + (1 - dampening) * g
        g = g + momentum * s["b"] if nesterov else s["b"]
    return p - lr * g


def direction(g, s, t, betas, eps, amsgrad):
    s["m"] = betas[0] * s.get("m", 0) + (1 - betas[0]) * g
    s["v"] = betas[1] * s.get("v", 0) + (1 - betas[1]) * g**2
    s["largest"] = np.maximum(s.get("largest", 0), s["v"])
    v = s["largest"] if amsgrad else s["v"]
    return s["m"] / (1 - betas[0] ** t) / (np.sqrt(v / (1 - betas[1] ** t)) + eps)


@per_tensor
def adam(p, g, s, t, *, lr, betas, eps, weight_decay, amsgrad, decoupled_weight_decay):
    if decoupled_weight_decay:
        p, weight_decay = p * (1 - lr * weight_decay), 0
    return p - lr * direction(g + weight_decay * p, s, t, betas, eps, amsgrad)


@per_tensor
def adamw(p, g, s, t, *, lr, betas, eps, weight_decay, amsgrad):
    return p - lr * weight_decay * p - lr * direction(g, s, t, betas, eps, amsgrad)


ADAM = {"lr": 0.1, "betas": (0.8, 0.99), "eps": 1e-3, "weight_decay": 0.01}
ADAM_MOVES = {"lr": 0.11, "betas": (0.7, 0.98), "eps": 1e-2, "weight_decay": 0.02}
ERRORS = [
    ({"lr": -1.0}, ValueError, "lr must be"),
    ({"weight_decay": "x"}, TypeError, "weight_decay must be"),
]
ADAM_ERRORS = [*ERRORS, ({"betas": (0.9, 1.0)}, ValueError, r"betas\[1\]"), ({"eps": -1}, ValueError, "eps")]
NESTEROV = [({"nesterov": True, "momentum": 0}, ValueError, "nesterov needs momentum")]

RECORDS = [
    Record(
        SGD,
        arguments={"lr": 0.1},
        oracle=sgd,
        moves={"lr": 0.11, "momentum": 0.1, "weight_decay": 0.01},
        still={"dampening": "acts on momentum", "nesterov": "acts on momentum"},
        errors=[*ERRORS, *NESTEROV],
        state_bytes=0,
    ),
    Record(
        SGD,
        arguments={"lr": 0.1, "momentum": 0.9, "dampening": 0.1, "weight_decay": 0.01},
        oracle=sgd,
        moves={"lr": 0.11, "momentum": 0.8, "dampening": 0.2, "weight_decay": 0.02},
        still={"nesterov": "excludes dampening"},
        errors=ERRORS,
        state_bytes=4,
    ),
    Record(
        SGD,
        arguments={"lr": 0.1, "momentum": 0.9, "nesterov": True},
        oracle=sgd,
        moves={"lr": 0.11, "momentum": 0.8, "weight_decay": 0.02, "nesterov": False},
        still={"dampening": "is excluded by nesterov"},
        errors=[*ERRORS, *NESTEROV],
        state_bytes=4,
    ),
    *(
        Record(
            Adam,
            arguments={**ADAM, "amsgrad": amsgrad, "decoupled_weight_decay": decoupled},
            oracle=adam,
            moves={**ADAM_MOVES, "amsgrad": not amsgrad, "decoupled_weight_decay": not decoupled},
            errors=[
                *ADAM_ERRORS,
                ({"decoupled_weight_decay": 1}, TypeError, "decoupled_weight_decay must be True or False"),
            ],
            state_bytes=12 if amsgrad else 8,
        )
        for amsgrad, decoupled in ((False, False), (True, False), (False, True))
    ),
    *(
        Record(
            AdamW,
            arguments={**ADAM, "amsgrad": amsgrad},
            oracle=adamw,
            moves={**ADAM_MOVES, "amsgrad": not amsgrad},
            errors=ADAM_ERRORS,
            state_bytes=12 if amsgrad else 8,
        )
        for amsgrad in (False, True)
    ),
]
