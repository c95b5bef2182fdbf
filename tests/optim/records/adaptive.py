"""Rules that find their learning rate, and rules of little memory."""

from __future__ import annotations

import math

import numpy as np
from neurenix.optim import CAME, FTRL, SM3, DAdaptAdam, DAdaptSGD, DoG, DoWG, Prodigy
from neurenix.testing import Record, per_tensor

ERRORS = [
    ({"lr": -1.0}, ValueError, "lr must be"),
    ({"weight_decay": "x"}, TypeError, "weight_decay must be"),
]
EPS = [({"eps": -1.0}, ValueError, "eps must be")]
D0 = [({"d0": 0.0}, ValueError, "d0 must be"), ({"growth_rate": 0.5}, ValueError, "growth_rate")]


def dot(a, b):
    return sum(np.sum(x * y) for x, y in zip(a, b, strict=True))


def correction(betas, t, wanted):
    return math.sqrt(1 - betas[1] ** t) / (1 - betas[0] ** t) if wanted else 1.0


def apart(size, slice_p):
    return max(n for n in range(1, slice_p + 1) if size % n == 0)


def prodigy(
    params,
    grads,
    s,
    t,
    *,
    lr,
    betas,
    beta3,
    eps,
    weight_decay,
    use_bias_correction,
    safeguard_warmup,
    d0,
    d_coef,
    growth_rate,
    slice_p,
):
    def seen(xs):
        return [x.reshape(-1)[:: apart(x.size, slice_p)] for x in xs]

    zeros = [0 * p for p in params]
    s.setdefault("p0", params)
    beta3 = math.sqrt(betas[1]) if beta3 is None else beta3
    d, top = s.get("d", d0), s.get("top", d0)
    rate = d * lr * correction(betas, t, use_bias_correction)
    away = [p0 - p for p0, p in zip(s["p0"], params, strict=True)]
    s["n"] = beta3 * s.get("n", 0) + d / d0 * rate * dot(seen(grads), seen(away))
    step = d if safeguard_warmup else rate
    s["s"] = [beta3 * a + d / d0 * step * g for a, g in zip(s.get("s", zeros), grads, strict=True)]
    s["m"] = [betas[0] * m + (1 - betas[0]) * d * g for m, g in zip(s.get("m", zeros), grads, strict=True)]
    s["v"] = [
        betas[1] * v + (1 - betas[1]) * (d * g) ** 2 for v, g in zip(s.get("v", zeros), grads, strict=True)
    ]
    length = sum(np.abs(a).sum() for a in seen(s["s"]))
    if length:
        guess = d_coef * s["n"] / length
        d = max(d, guess) if d == d0 else d
        s["top"] = max(top, guess)
        d = s["top"] if growth_rate is None else min(s["top"], d * growth_rate)
    s["d"] = d
    return [
        p - weight_decay * rate * p - rate * m / (np.sqrt(v) + d * eps)
        for p, m, v in zip(params, s["m"], s["v"], strict=True)
    ]


def grown(d, guess, growth_rate):
    return max(d, guess if growth_rate is None else min(guess, d * growth_rate))


def dadapt_adam(params, grads, s, t, *, lr, betas, eps, weight_decay, use_bias_correction, d0, growth_rate):
    zeros = [0 * p for p in params]
    d, b3 = s.get("d", d0), math.sqrt(betas[1])
    rate = d * lr * correction(betas, t, use_bias_correction)
    scaled = [a / (np.sqrt(v) + eps) for a, v in zip(s.get("s", zeros), s.get("v", zeros), strict=True)]
    s["n"] = b3 * s.get("n", 0) + (1 - b3) * rate * dot(grads, scaled)
    s["m"] = [betas[0] * m + (1 - betas[0]) * rate * g for m, g in zip(s.get("m", zeros), grads, strict=True)]
    s["v"] = [betas[1] * v + (1 - betas[1]) * g**2 for v, g in zip(s.get("v", zeros), grads, strict=True)]
    s["s"] = [b3 * a + (1 - b3) * rate * g for a, g in zip(s.get("s", zeros), grads, strict=True)]
    length = sum(np.abs(a).sum() for a in s["s"])
    if length:
        s["d"] = grown(d, s["n"] / ((1 - b3) * length), growth_rate)
    return [
        p * (1 - weight_decay * rate) - m / (np.sqrt(v) + eps)
        for p, m, v in zip(params, s["m"], s["v"], strict=True)
    ]


def dadapt_sgd(params, grads, s, t, *, lr, momentum, weight_decay, d0, growth_rate):
    grads = [g + weight_decay * p for p, g in zip(params, grads, strict=True)]
    s.setdefault("x0", params)
    s.setdefault("g0", math.sqrt(dot(grads, grads)))
    sums, d = s.get("s", [0 * p for p in params]), s.get("d", d0)
    rate = d * lr / s["g0"]
    s["n"] = s.get("n", 0) + rate * dot(grads, sums)
    s["s"] = [a + rate * g for a, g in zip(sums, grads, strict=True)]
    s["d"] = grown(d, 2 * s["n"] / math.sqrt(dot(s["s"], s["s"])), growth_rate)
    return [
        momentum * p + (1 - momentum) * (x0 - a) for p, x0, a in zip(params, s["x0"], s["s"], strict=True)
    ]


def dog(params, grads, s, t, *, lr, reps_rel, eps, weight_decay):
    grads = [g + weight_decay * p for p, g in zip(params, grads, strict=True)]
    x0 = s.setdefault("x0", params)
    away = [p - a for p, a in zip(params, x0, strict=True)]
    s["r"] = max(s.get("r", reps_rel * (1 + math.sqrt(dot(x0, x0)))), math.sqrt(dot(away, away)))
    s["g"] = s.get("g", 0) + dot(grads, grads)
    return [p - lr * s["r"] / math.sqrt(s["g"] + eps) * g for p, g in zip(params, grads, strict=True)]


def dowg(params, grads, s, t, *, lr, init_estim_sq_dist, eps, weight_decay):
    grads = [g + weight_decay * p for p, g in zip(params, grads, strict=True)]
    x0 = s.setdefault("x0", params)
    away = [p - a for p, a in zip(params, x0, strict=True)]
    s["r"] = max(s.get("r", eps if init_estim_sq_dist is None else init_estim_sq_dist), dot(away, away))
    s["v"] = s.get("v", 0) + s["r"] * dot(grads, grads)
    return [p - lr * s["r"] / (math.sqrt(s["v"]) + eps) * g for p, g in zip(params, grads, strict=True)]


@per_tensor
def ftrl(p, g, s, t, *, lr, lr_power, initial_accumulator_value, l1, l2, l2_shrinkage, beta, weight_decay):
    g = g + weight_decay * p
    n, z = s.get("n", initial_accumulator_value), s.get("z", 0)
    s["n"] = n + g**2
    sigma = (s["n"] ** -lr_power - n**-lr_power) / lr
    s["z"] = z + g + 2 * l2_shrinkage * p - sigma * p
    quadratic = (beta + s["n"] ** -lr_power) / lr + 2 * l2
    return np.where(np.abs(s["z"]) > l1, (np.sign(s["z"]) * l1 - s["z"]) / quadratic, 0.0)


@per_tensor
def sm3(p, g, s, t, *, lr, momentum, weight_decay, eps):
    g = g + weight_decay * p
    matrix = g.reshape(g.shape[0] if g.ndim > 1 else 1, -1)
    nu = np.minimum(s.get("row", 0), s.get("column", 0)) + matrix**2
    s["row"], s["column"] = nu.max(1, keepdims=True), nu.max(0, keepdims=True)
    u = (matrix / np.sqrt(nu + eps)).reshape(g.shape)
    s["m"] = momentum * s.get("m", 0) + (1 - momentum) * u
    return p - lr * s["m"]


def factored(s, name, beta, square):
    """What divides, from averages over the last two dimensions each."""
    row, column = square.mean(-1), square.mean(-2)
    s[name + "r"] = beta * s.get(name + "r", 0) + (1 - beta) * row
    s[name + "c"] = beta * s.get(name + "c", 0) + (1 - beta) * column
    row, column = s[name + "r"], s[name + "c"]
    return np.sqrt((row / row.mean(-1, keepdims=True))[..., None] * column[..., None, :])


@per_tensor
def came(p, g, s, t, *, lr, eps, clip_threshold, betas, weight_decay):
    square = g**2 + eps[0]
    if g.ndim > 1:
        u = g / factored(s, "v", betas[1], square)
    else:
        s["v"] = betas[1] * s.get("v", 0) + (1 - betas[1]) * square
        u = g / np.sqrt(s["v"])
    u = u / max(1.0, math.sqrt(np.mean(u**2)) / clip_threshold)
    s["m"] = betas[0] * s.get("m", 0) + (1 - betas[0]) * u
    step = s["m"]
    if g.ndim > 1:
        step = step / factored(s, "s", betas[2], (u - s["m"]) ** 2 + eps[1])
    return p * (1 - lr * weight_decay) - lr * step


def sides(shape):
    return shape[0] + math.prod(shape[1:]) if len(shape) > 1 else 1 + math.prod(shape)


def factors(shape):
    if len(shape) < 2:
        return math.prod(shape)
    return 2 * math.prod(shape[:-2]) * (shape[-2] + shape[-1])


OWN = {"lr": 0.9, "betas": (0.8, 0.9), "eps": 1e-3, "weight_decay": 0.1}
OWN_MOVES = {"lr": 1.1, "betas": (0.7, 0.9), "eps": 1e-2, "weight_decay": 0.2}
D_MOVES = {"d0": 2e-2, "growth_rate": 1.05}
KINK = (1e-10, "an estimate that feeds on itself")
RECORDS = [
    Record(
        Prodigy,
        {**OWN, "d0": 1e-2, "d_coef": 1.2, "beta3": 0.9, "growth_rate": 1.1},
        prodigy,
        {
            **OWN_MOVES,
            **D_MOVES,
            "beta3": 0.95,
            "use_bias_correction": True,
            "safeguard_warmup": True,
            "d_coef": 1.3,
            "slice_p": 2,
        },
        [*ERRORS, *EPS, *D0, ({"beta3": 1.0}, ValueError, "beta3")],
        16,
        couples=True,
        tolerance=KINK,
    ),
    Record(
        Prodigy,
        {**OWN, "d0": 1e-2, "use_bias_correction": True, "safeguard_warmup": True},
        prodigy,
        {
            **OWN_MOVES,
            **D_MOVES,
            "beta3": 0.9,
            "use_bias_correction": False,
            "safeguard_warmup": False,
            "d_coef": 1.3,
            "slice_p": 2,
        },
        ERRORS,
        16,
        couples=True,
        tolerance=KINK,
    ),
    Record(
        Prodigy,
        {**OWN, "d0": 1e-2, "slice_p": 3},
        prodigy,
        {**OWN_MOVES, **D_MOVES, "beta3": 0.9, "use_bias_correction": True, "d_coef": 1.3, "slice_p": 2},
        [*ERRORS, ({"slice_p": 0}, ValueError, "slice_p must be an integer")],
        lambda shape: 8 * math.prod(shape) * (1 + 1 / apart(math.prod(shape), 3)),
        still={"safeguard_warmup": "has a record without slices"},
        temporaries=1,  # what the sums of rows are made of
        couples=True,
        tolerance=KINK,
    ),
    *(
        Record(
            DAdaptAdam,
            {**OWN, "d0": 1e-2, "use_bias_correction": corrected, "growth_rate": 1.02 if corrected else 1.01},
            dadapt_adam,
            {**OWN_MOVES, **D_MOVES, "use_bias_correction": not corrected},
            [*ERRORS, *EPS, *D0],
            12,
            couples=True,
            tolerance=KINK,
        )
        for corrected in (False, True)
    ),
    Record(
        DAdaptSGD,
        {"lr": 1.0, "momentum": 0.8, "weight_decay": 0.1, "d0": 1e-2},
        dadapt_sgd,
        {"lr": 1.1, "momentum": 0.7, "weight_decay": 0.2, **D_MOVES},
        [*ERRORS, *D0, ({"momentum": 1.0}, ValueError, "momentum")],
        8,
        couples=True,
        tolerance=KINK,
    ),
    Record(
        DoG,
        {"lr": 0.9, "reps_rel": 1e-3, "eps": 1e-2, "weight_decay": 0.1},
        dog,
        {"lr": 1.0, "reps_rel": 1e-2, "eps": 1e-1, "weight_decay": 0.2},
        [*ERRORS, *EPS, ({"reps_rel": 0}, ValueError, "reps_rel")],
        4,
        couples=True,
    ),
    *(
        Record(
            DoWG,
            {"lr": 0.9, "init_estim_sq_dist": first, "eps": 1e-2, "weight_decay": 0.1},
            dowg,
            {"lr": 1.0, "init_estim_sq_dist": 1e-1, "eps": 2e-2, "weight_decay": 0.2},
            [*ERRORS, *EPS, ({"init_estim_sq_dist": 0}, ValueError, "init_estim_sq_dist")],
            4,
            couples=True,
        )
        for first in (1e-3, None)
    ),
    Record(
        FTRL,
        {
            "lr": 0.5,
            "lr_power": -0.6,
            "initial_accumulator_value": 0.2,
            "l1": 0.05,
            "l2": 0.02,
            "l2_shrinkage": 0.03,
            "beta": 0.1,
            "weight_decay": 0.1,
        },
        ftrl,
        {
            "lr": 0.6,
            "lr_power": -0.5,
            "initial_accumulator_value": 0.3,
            "l1": 0.1,
            "l2": 0.03,
            "l2_shrinkage": 0.04,
            "beta": 0.2,
            "weight_decay": 0.2,
        },
        [*ERRORS, ({"lr_power": 0.1}, ValueError, "lr_power"), ({"l1": -1}, ValueError, "l1 must be")],
        8,
        skips={"zero_gradients_move_nothing": "its parameters follow from the sums alone"},
    ),
    *(
        Record(
            SM3,
            {"lr": 0.1, "momentum": momentum, "weight_decay": 0.1, "eps": 1e-3},
            sm3,
            {"lr": 0.11, "momentum": 0.7, "weight_decay": 0.2, "eps": 1e-2},
            [*ERRORS, *EPS, ({"momentum": 1.0}, ValueError, "momentum")],
            lambda shape, momentum=momentum: 4 * sides(shape) + (4 * math.prod(shape) if momentum else 0),
            temporaries=2,
        )
        for momentum in (0.8, 0)
    ),
    Record(
        CAME,
        {
            "lr": 0.01,
            "eps": (1e-3, 1e-2),
            "clip_threshold": 0.9,
            "betas": (0.8, 0.9, 0.95),
            "weight_decay": 0.1,
        },
        came,
        {
            "lr": 0.011,
            "eps": (1e-2, 1e-1),
            "clip_threshold": 0.5,
            "betas": (0.7, 0.9, 0.9),
            "weight_decay": 0.2,
        },
        [*ERRORS, ({"clip_threshold": 0}, ValueError, "clip_threshold"), ({"eps": 1e-8}, TypeError, "eps")],
        lambda shape: 4 * math.prod(shape) + 4 * factors(shape),
        temporaries=1,
    ),
]
