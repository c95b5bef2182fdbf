"""Rules whose averages live in a subspace."""

from __future__ import annotations

import math

import numpy as np
from neurenix.optim import APOLLO, APOLLOMini, GaLore
from neurenix.optim.algorithms.apollo import subspace
from neurenix.testing import Record, per_tensor

ERRORS = [
    ({"lr": -1.0}, ValueError, "lr must be"),
    ({"weight_decay": "x"}, TypeError, "weight_decay must be"),
    ({"rank": 0}, ValueError, "rank must be"),
    ({"update_proj_gap": 0}, ValueError, "update_proj_gap must be"),
]
BASES = (1e-9, "singular vectors amplify what rounding leaves")
OWN = {"lr": 0.1, "betas": (0.8, 0.9), "eps": 1e-3, "weight_decay": 0.1, "rank": 2, "update_proj_gap": 3}
MOVES = {
    "lr": 0.12,
    "betas": (0.7, 0.9),
    "eps": 1e-2,
    "weight_decay": 0.2,
    "rank": 1,
    "update_proj_gap": 4,
    "correct_bias": False,
}


def adam(g, s, t, betas, eps, correct_bias):
    """What is subtracted for a step size of 1."""
    s["m"] = betas[0] * s.get("m", 0) + (1 - betas[0]) * g
    s["v"] = betas[1] * s.get("v", 0) + (1 - betas[1]) * g**2
    if correct_bias:
        return s["m"] / (np.sqrt(s["v"]) + eps), math.sqrt(1 - betas[1] ** t) / (1 - betas[0] ** t)
    return s["m"] / (np.sqrt(s["v"]) + eps), 1.0


def on_columns(shape, proj_type):
    """Whether columns are projected, and whether rows are."""
    tall = shape[0] >= shape[1]
    columns = {"std": tall, "reverse_std": not tall, "right": True, "left": False, "full": True}[proj_type]
    return columns, proj_type == "full" or not columns


@per_tensor
def galore(
    p, g, s, t, *, lr, betas, eps, weight_decay, rank, update_proj_gap, scale, proj_type, correct_bias
):
    if p.ndim < 2:
        u, corrected = adam(g, s, t, betas, eps, correct_bias)
    else:
        g = g.reshape(len(g), -1)
        columns, rows = on_columns(g.shape, proj_type)
        if (t - 1) % update_proj_gap == 0:
            left, _, right = np.linalg.svd(g)
            s["a"] = left[:, : min(rank, *g.shape)] if rows else np.eye(len(left))
            s["b"] = right.T[:, : min(rank, *g.shape)] if columns else np.eye(len(right))
            for name in "ab":
                s[name] = s[name] * np.where((s[name] * s.get(f"old {name}", 0)).sum(0) < 0, -1, 1)
                s[f"old {name}"] = s[name]
        u, corrected = adam(s["a"].T @ g @ s["b"], s, t, betas, eps, correct_bias)
        u = scale * (s["a"] @ u @ s["b"].T).reshape(p.shape)
    p = p - lr * corrected * u
    return p - lr * weight_decay * p


@per_tensor
def apollo(
    p,
    g,
    s,
    t,
    *,
    lr,
    betas,
    eps,
    weight_decay,
    rank,
    update_proj_gap,
    scale,
    scale_type,
    limit_growth,
    correct_bias,
    seed,
):
    if p.ndim < 2:
        u, corrected = adam(g, s, t, betas, eps, correct_bias)
    else:
        g = g.reshape(len(g), -1)
        axis = 1 if g.shape[0] >= g.shape[1] else 0  # what is projected
        random = subspace(min(g.shape), rank, seed, (t - 1) // update_proj_gap).double().numpy()
        small = g @ random if axis else random.T @ g
        u, corrected = adam(small, s, t, betas, eps, correct_bias)
        axis = axis if scale_type == "channel" else None
        lengths = [np.sqrt(np.sum(x**2, axis, keepdims=True)) for x in (u, small)]
        u = g * lengths[0] / (lengths[1] + 1e-8)
        if limit_growth:
            length = np.linalg.norm(u)
            most = max(length / (s["length"] + 1e-8), 1.01) / 1.01 if t > 1 else 1
            s["length"], u = length / most, u / most
        u = math.sqrt(scale) * u.reshape(p.shape)
    p = p - lr * corrected * u
    return p - lr * weight_decay * p


def mini(params, grads, memory, t, *, rank, scale_type, **hyper):
    return apollo(params, grads, memory, t, rank=1, scale_type="tensor", **hyper)


def channels(rank):
    """Bytes of two averages in the subspace, and a number."""
    return lambda shape: (
        8 * (math.prod(shape) if len(shape) < 2 else rank * max(shape[0], math.prod(shape[1:])))
    )


def low(rank, proj_type="std"):
    """Bytes of two averages in the subspace, and of the subspace."""

    def size(shape):
        if len(shape) < 2:
            return 8 * math.prod(shape)
        sides = shape[0], math.prod(shape[1:])
        columns, rows = on_columns(sides, proj_type)
        inside = (rank if rows else sides[0]) * (rank if columns else sides[1])
        return 4 * (2 * inside + rank * (sides[0] * rows + sides[1] * columns))

    return size


RECORDS = [
    *(
        Record(
            GaLore,
            {**OWN, "proj_type": proj_type, "scale": 0.5},
            galore,
            {**MOVES, "scale": 0.6, "proj_type": "full"},
            [*ERRORS, ({"proj_type": "both"}, ValueError, "proj_type must be")],
            low(2, proj_type),
            tolerance=BASES,
            steps=300,
        )
        for proj_type in ("std", "reverse_std")
    ),
    *(
        Record(
            APOLLO,
            {**OWN, "scale_type": kind, "scale": 2.0},
            apollo,
            {**MOVES, "scale": 3.0, "scale_type": other, "limit_growth": False, "seed": 1},
            [*ERRORS, ({"scale_type": "row"}, ValueError, "scale_type must be")],
            channels(2),
        )
        for kind, other in (("channel", "tensor"), ("tensor", "channel"))
    ),
    Record(
        APOLLOMini,
        {**{name: value for name, value in OWN.items() if name != "rank"}, "scale": 2.0},
        mini,
        {
            **{name: value for name, value in MOVES.items() if name != "rank"},
            "scale": 3.0,
            "limit_growth": False,
            "seed": 1,
        },
        ERRORS[:2] + ERRORS[3:],
        channels(1),
        still={"rank": "is 1", "scale_type": "is tensor"},
    ),
]
