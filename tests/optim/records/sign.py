"""Rules that step by signs."""

from __future__ import annotations

import neurenix as nx
import numpy as np
from neurenix.optim import DAdaptLion, Lion, Signum, Sophia, Tiger
from neurenix.testing import Record, per_tensor

ERRORS = [
    ({"lr": -1.0}, ValueError, "lr must be"),
    ({"weight_decay": "x"}, TypeError, "weight_decay must be"),
]
BETAS = [({"betas": (0.9, 1.0)}, ValueError, r"betas\[1\]"), ({"betas": (0.9,)}, ValueError, "2 values")]


@per_tensor
def lion(p, g, s, t, *, lr, betas, weight_decay):
    m = s.get("m", np.zeros_like(g))
    update = np.sign(m * betas[0] + g * (1 - betas[0]))
    s["m"] = m * betas[1] + g * (1 - betas[1])
    return p - lr * weight_decay * p - lr * update


@per_tensor
def signum(p, g, s, t, *, lr, momentum, weight_decay):
    s["m"] = momentum * s.get("m", 0) + (1 - momentum) * g
    return p - lr * (np.sign(s["m"]) + weight_decay * p)


@per_tensor
def tiger(p, g, s, t, *, lr, beta, weight_decay):
    s["m"] = beta * s.get("m", 0) + (1 - beta) * g
    return p - lr * (np.sign(s["m"]) + weight_decay * p)


def dadapt_lion(params, grads, memory, t, *, lr, betas, weight_decay, d0):
    d, inertia = memory.get("d", d0), np.sqrt(betas[1])
    step, products, new = d * lr, 0.0, []
    for place, (p, g) in enumerate(zip(params, grads, strict=True)):
        m, s = memory.get(place, (0 * g, 0 * g))
        update = np.sign(betas[0] * m + (1 - betas[0]) * g)
        new.append(p * (1 - step * weight_decay) - step * update)
        products += step * np.sum(update * s)
        memory[place] = (
            betas[1] * m + (1 - betas[1]) * step * g,
            inertia * s + (1 - inertia) * step * update,
        )
    memory["n"] = inertia * memory.get("n", 0.0) + (1 - inertia) * products
    length = sum(np.abs(memory[place][1]).sum() for place in range(len(params)))
    if length > 0:
        memory["d"] = max(d, memory["n"] / ((1 - inertia) * length))
    return new


@per_tensor
def sophia(p, g, s, t, *, lr, betas, rho, weight_decay, eps, bs):
    if t % 3 == 1:
        s["h"] = betas[1] * s.get("h", 0) + (1 - betas[1]) * g**2
    s["m"] = betas[0] * s.get("m", 0) + (1 - betas[0]) * g
    ratio = np.minimum(np.abs(s["m"]) / (rho * bs * s["h"] + eps), 1)
    return p * (1 - lr * weight_decay) - lr * np.sign(s["m"]) * ratio


def every_third(optimizer, closure, t):
    """A step of Sophia-G whose labels happen to be the true ones."""
    loss = closure()
    if t % 3 == 1:
        optimizer.update_hessian()
    optimizer.step()
    return nx.Tensor(float(loss))


SIGNS = {"clips_as_by_hand": "clipping leaves the signs of a gradient alone"}
RECORDS = [
    Record(
        Lion,
        arguments={"lr": 0.01, "betas": (0.9, 0.95), "weight_decay": 0.1},
        oracle=lion,
        moves={"lr": 0.011, "betas": (0.8, 0.95), "weight_decay": 0.2},
        errors=[*ERRORS, *BETAS],
        state_bytes=4,
    ),
    Record(
        Signum,
        arguments={"lr": 0.01, "momentum": 0.9, "weight_decay": 0.1},
        oracle=signum,
        moves={"lr": 0.011, "momentum": 0.5, "weight_decay": 0.2},
        errors=[*ERRORS, ({"momentum": 1.0}, ValueError, "momentum must be")],
        state_bytes=4,
    ),
    Record(
        Signum,
        arguments={"lr": 0.01, "momentum": 0},
        oracle=signum,
        moves={"lr": 0.011, "momentum": 0.9, "weight_decay": 0.2},
        errors=ERRORS,
        state_bytes=0,
        skips=SIGNS,
        name="SignSGD",
    ),
    Record(
        Tiger,
        arguments={"lr": 0.01, "beta": 0.9, "weight_decay": 0.1},
        oracle=tiger,
        moves={"lr": 0.011, "beta": 0.5, "weight_decay": 0.2},
        errors=[*ERRORS, ({"beta": -0.1}, ValueError, "beta must be")],
        state_bytes=4,
    ),
    Record(
        DAdaptLion,
        arguments={"lr": 0.085, "betas": (0.8, 0.9), "weight_decay": 0.1, "d0": 0.05},
        oracle=dadapt_lion,
        moves={"lr": 0.08, "betas": (0.8, 0.95), "weight_decay": 0.2, "d0": 0.06},
        errors=[*ERRORS, *BETAS, ({"d0": 0}, ValueError, "d0 must be")],
        state_bytes=8,
        couples=True,
        skips=SIGNS,
        shapes=((3, 4), (), (2, 3, 2)),
    ),
    Record(
        Sophia,
        arguments={
            "lr": 0.05,
            "betas": (0.9, 0.8),
            "rho": 0.5,
            "weight_decay": 0.1,
            "eps": 1e-3,
            "bs": 2.0,
        },
        oracle=sophia,
        moves={
            "lr": 0.06,
            "betas": (0.9, 0.7),
            "rho": 0.4,
            "weight_decay": 0.2,
            "eps": 1e-2,
            "bs": 3.0,
        },
        errors=[*ERRORS, *BETAS, ({"rho": -1}, ValueError, "rho must be"), ({"bs": 0}, ValueError, "bs")],
        state_bytes=8,
        advance=every_third,
    ),
]
