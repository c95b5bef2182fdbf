"""Adam's family."""

from __future__ import annotations

import math

import numpy as np
from neurenix.optim import (
    ADOPT,
    LAMB,
    MARS,
    AdaBelief,
    AdamAtan2,
    AdamC,
    AdamMini,
    AdamP,
    Adan,
    AdEMAMix,
    LaProp,
    NAdamW,
    NovoGrad,
    QHAdam,
    RAdamW,
    StableAdamW,
    Yogi,
)
from neurenix.testing import Record, per_tensor
from optim.records.orthogonal import orthogonal

COMMON = {"lr": 0.1, "betas": (0.8, 0.95), "eps": 1e-2, "weight_decay": 0.1}
MOVES = {"lr": 0.11, "betas": (0.8, 0.9), "eps": 2e-2, "weight_decay": 0.2}
ERRORS = [
    ({"lr": -1.0}, ValueError, "lr must be"),
    ({"weight_decay": "x"}, TypeError, "weight_decay must be"),
    ({"betas": (0.9, 0.9, 0.9, 1.0)}, ValueError, "betas must have"),
]
EPS = [({"eps": -1.0}, ValueError, "eps must be")]


def ema(s, name, beta, value):
    """An average that begins with zero, and without that beginning."""
    s[name] = beta * s.get(name, 0) + (1 - beta) * value
    s["n" + name] = s.get("n" + name, 0) + 1
    return s[name], s[name] / (1 - beta ** s["n" + name])


@per_tensor
def nadamw(p, g, s, t, *, lr, betas, eps, weight_decay):
    m, _ = ema(s, "m", betas[0], g)
    _, v = ema(s, "v", betas[1], g**2)
    ahead = (betas[0] * m + (1 - betas[0]) * g) / (1 - betas[0] ** t)
    return p * (1 - lr * weight_decay) - lr * ahead / (np.sqrt(v) + eps)


@per_tensor
def adabelief(p, g, s, t, *, lr, betas, eps, weight_decay, amsgrad, rectify, degenerated_to_sgd):
    p = p * (1 - lr * weight_decay)
    m, mean = ema(s, "m", betas[0], g)
    s["v"] = betas[1] * s.get("v", 0) + (1 - betas[1]) * (g - m) ** 2 + eps
    s["top"] = np.maximum(s.get("top", 0), s["v"])
    v, missing = s["top"] if amsgrad else s["v"], 1 - betas[1] ** t
    if not rectify:
        return p - lr * mean / (np.sqrt(v / missing) + eps)
    most = 2 / (1 - betas[1]) - 1
    rho = most - 2 * t * betas[1] ** t / missing
    if rho < 5:
        return p - lr * mean * degenerated_to_sgd
    r = math.sqrt(missing * (rho - 4) / (most - 4) * (rho - 2) / rho * most / (most - 2))
    return p - lr * r * mean / (np.sqrt(v) + eps)


@per_tensor
def radamw(p, g, s, t, *, lr, betas, eps, weight_decay):
    _, mean = ema(s, "m", betas[0], g)
    v, _ = ema(s, "v", betas[1], g**2)
    p, most, missing = p * (1 - lr * weight_decay), 2 / (1 - betas[1]) - 1, 1 - betas[1] ** t
    rho = most - 2 * t * betas[1] ** t / missing
    if rho <= 5:
        return p - lr * mean
    r = math.sqrt((rho - 4) * (rho - 2) * most / ((most - 4) * (most - 2) * rho))
    return p - lr * r * mean * math.sqrt(missing) / (np.sqrt(v) + eps)


@per_tensor
def yogi(p, g, s, t, *, lr, betas, eps, initial_accumulator_value, weight_decay):
    g = g + weight_decay * p
    v = s.get("v", np.full_like(g, initial_accumulator_value))
    s["v"] = np.where(v > g**2, v - (1 - betas[1]) * g**2, np.where(v < g**2, v + (1 - betas[1]) * g**2, v))
    _, m = ema(s, "m", betas[0], g)
    return p - lr * m / (np.sqrt(s["v"] / (1 - betas[1] ** t)) + eps)


@per_tensor
def adan(p, g, s, t, *, lr, betas, eps, weight_decay):
    change = g - s.get("g", g)
    s["g"] = g
    _, m = ema(s, "m", betas[0], g)
    _, v = ema(s, "v", betas[1], change)
    _, n = ema(s, "n", betas[2], (g + betas[1] * change) ** 2)
    return (p - lr * (m + betas[1] * v) / (np.sqrt(n) + eps)) / (1 + lr * weight_decay)


@per_tensor
def ademamix(p, g, s, t, *, lr, betas, alpha, beta3_warmup, alpha_warmup, eps, weight_decay):
    b1, b2, b3 = betas
    if alpha_warmup is not None and t < alpha_warmup:
        alpha = t / alpha_warmup * alpha
    if beta3_warmup is not None and t < beta3_warmup:
        low, high = (math.log(0.5) / math.log(b + 1e-8) - 1 for b in (b1, b3))
        b3 = math.pow(0.5, 1 / ((1 - t / beta3_warmup) * low + t / beta3_warmup * high + 1))
    _, fast = ema(s, "m", b1, g)
    s["slow"] = b3 * s.get("slow", 0) + (1 - b3) * g
    _, v = ema(s, "v", b2, g**2)
    return p - lr * ((fast + alpha * s["slow"]) / (np.sqrt(v) + eps) + weight_decay * p)


@per_tensor
def adopt(p, g, s, t, *, lr, betas, eps, clip_exp, weight_decay):
    g = g + weight_decay * p
    if t == 1:
        s["v"], s["m"] = g**2, 0.0
        return p
    u = g / np.maximum(np.sqrt(s["v"]), eps)
    if clip_exp is not None:
        u = np.clip(u, -((t - 1) ** clip_exp), (t - 1) ** clip_exp)
    s["m"] = betas[0] * s["m"] + (1 - betas[0]) * u
    s["v"] = betas[1] * s["v"] + (1 - betas[1]) * g**2
    return p - lr * s["m"]


@per_tensor
def laprop(p, g, s, t, *, lr, betas, eps, weight_decay):
    _, v = ema(s, "v", betas[1], g**2)
    s["m"] = betas[0] * s.get("m", 0) + (1 - betas[0]) * lr * g / (np.sqrt(v) + eps)
    s["a"] = betas[0] * s.get("a", 0) + (1 - betas[0]) * lr
    return p * (1 - lr * weight_decay) - lr * s["m"] / s["a"]


@per_tensor
def qhadam(p, g, s, t, *, lr, betas, nus, weight_decay, eps):
    g = g + weight_decay * p
    _, m = ema(s, "m", betas[0], g)
    _, v = ema(s, "v", betas[1], g**2)
    top = (1 - nus[0]) * g + nus[0] * m
    return p - lr * top / (np.sqrt((1 - nus[1]) * g**2 + nus[1] * v) + eps)


@per_tensor
def adam_atan2(p, g, s, t, *, lr, betas, weight_decay, a, b):
    _, m = ema(s, "m", betas[0], g)
    _, v = ema(s, "v", betas[1], g**2)
    return p * (1 - lr * weight_decay) - lr * a * np.arctan2(m, b * np.sqrt(v))


@per_tensor
def stable_adamw(p, g, s, t, *, lr, betas, eps, weight_decay):
    _, m = ema(s, "m", betas[0], g)
    _, v = ema(s, "v", betas[1], g**2)
    rate = lr / max(1, math.sqrt(np.mean(g**2 / np.maximum(v, eps**2))))
    return p - rate * weight_decay * p - rate * m / (np.sqrt(v) + eps)


@per_tensor
def adamc(p, g, s, t, *, lr, betas, eps, weight_decay, amsgrad):
    s["peak"] = max(s.get("peak", 0), lr)
    _, m = ema(s, "m", betas[0], g)
    v, _ = ema(s, "v", betas[1], g**2)
    s["top"] = np.maximum(s.get("top", 0), v)
    root = np.sqrt((s["top"] if amsgrad else v) / (1 - betas[1] ** t)) + eps
    return p * (1 - lr**2 / s["peak"] * weight_decay) - lr * m / root


@per_tensor
def mars(p, g, s, t, *, lr, betas, eps, weight_decay, gamma, kind, optimize_1d, lr_1d, betas_1d):
    matrix = p.ndim > 1 or optimize_1d
    rate, c, b1, b2 = lr_1d, g, *betas_1d
    if matrix:
        rate, (b1, b2) = lr, betas
        c = g + gamma * b1 / (1 - b1) * (g - s.get("g", 0))
        length = math.sqrt(np.sum(c**2))
        c = c / length if length > 1 else c
        s["g"] = g
    m, mean = ema(s, "m", b1, c)
    _, v = ema(s, "v", b2, c**2)
    u = np.sign(m) if matrix and kind == "lion" else mean / (np.sqrt(v) + eps)
    if p.ndim > 1 and kind == "shampoo":
        flat = m.reshape(len(m), -1)
        factor = math.sqrt(max(1, flat.shape[0] / flat.shape[1]))
        u = factor * orthogonal(flat / (1 - b1), [(3.4445, -4.7750, 2.0315)], 5, eps).reshape(m.shape)
    return p - lr * weight_decay * p - rate * u


def cosine(a, b, eps):
    return np.abs(np.sum(a * b, 1)) / np.maximum(np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1), eps)


def projected(p, g, u, delta, wd_ratio, eps):
    """By rows, else as a whole."""
    if p.ndim < 2:
        return u, 1.0
    for shape in ((p.shape[0], -1), (1, -1)):
        weights, slope = p.reshape(shape), g.reshape(shape)
        if cosine(slope, weights, eps).max() < delta / math.sqrt(weights.shape[1]):
            along = weights / (np.linalg.norm(weights, axis=1, keepdims=True) + eps)
            part = along * np.sum(along * u.reshape(shape), 1, keepdims=True)
            return u - part.reshape(p.shape), wd_ratio
    return u, 1.0


@per_tensor
def adamp(p, g, s, t, *, lr, betas, eps, weight_decay, delta, wd_ratio, nesterov):
    m, _ = ema(s, "m", betas[0], g)
    _, v = ema(s, "v", betas[1], g**2)
    u = (betas[0] * m + (1 - betas[0]) * g if nesterov else m) / (np.sqrt(v) + eps)
    u, ratio = projected(p, g, u, delta, wd_ratio, eps)
    return p * (1 - lr * weight_decay * ratio) - lr / (1 - betas[0] ** t) * u


def lamb(
    params,
    grads,
    memory,
    t,
    *,
    lr,
    betas,
    eps,
    weight_decay,
    max_grad_norm,
    grad_averaging,
    trust_clip,
    always_adapt,
):
    length = math.sqrt(sum(np.sum(g**2) for g in grads))
    share = 1 if max_grad_norm is None or length <= max_grad_norm else max_grad_norm / length
    new = []
    for place, (p, g) in enumerate(zip(params, grads, strict=True)):
        s, g = memory.setdefault(place, {}), g * share
        s["m"] = betas[0] * s.get("m", 0) + g * ((1 - betas[0]) if grad_averaging else 1)
        _, v = ema(s, "v", betas[1], g**2)
        u = s["m"] / (1 - betas[0] ** t) / (np.sqrt(v) + eps) + weight_decay * p
        a, b, trust = math.sqrt(np.sum(p**2)), math.sqrt(np.sum(u**2)), 1.0
        if (weight_decay or always_adapt) and a > 0 and b > 0:
            trust = min(a / b, 1) if trust_clip else a / b
        new.append(p - lr * trust * u)
    return new


@per_tensor
def novograd(p, g, s, t, *, lr, betas, eps, weight_decay, grad_averaging, amsgrad):
    square = np.sum(g**2)
    s["v"] = square if t == 1 else betas[1] * s["v"] + (1 - betas[1]) * square
    s["top"] = max(s.get("top", 0), s["v"])
    d = g / (math.sqrt(s["top"] if amsgrad else s["v"]) + eps) + weight_decay * p
    s["m"] = betas[0] * s.get("m", 0) + (d * (1 - betas[0]) if grad_averaging else d)
    return p - lr * s["m"]


@per_tensor
def adam_mini(p, g, s, t, *, lr, betas, eps, weight_decay, blocks):
    parts = (g.shape[0] if blocks is None else blocks) if g.ndim > 1 else 1
    _, m = ema(s, "m", betas[0], g)
    _, v = ema(s, "v", betas[1], np.mean(g.reshape(parts, -1) ** 2, 1, keepdims=True))
    step = m.reshape(parts, -1) / (np.sqrt(v) + eps)
    return p * (1 - lr * weight_decay) - lr * step.reshape(p.shape)


def rows(shape):
    return shape[0] if len(shape) > 1 else 1


def cooling(step):
    return 0.1 / (1 + 0.1 * step)


def colder(step):
    return 0.1 / (1 + 0.2 * step)


BELIEF = {"amsgrad": False, "rectify": True, "degenerated_to_sgd": True}
MIX = {"betas": (0.8, 0.95, 0.99), "alpha": 2.0, "beta3_warmup": 30, "alpha_warmup": 20}
RECORDS = [
    Record(NAdamW, COMMON, nadamw, MOVES, [*ERRORS, *EPS], 8, still={"momentum_decay": "is NAdam's"}),
    Record(
        AdaBelief,
        {**COMMON, **BELIEF},
        adabelief,
        {**MOVES, "amsgrad": True, "rectify": False, "degenerated_to_sgd": False},
        [*ERRORS, *EPS, ({"rectify": 1}, TypeError, "rectify must be")],
        8,
    ),
    Record(
        AdaBelief,
        {**COMMON, **BELIEF, "amsgrad": True, "rectify": False},
        adabelief,
        {**MOVES, "amsgrad": False, "rectify": True},
        [*ERRORS, *EPS],
        12,
        still={"degenerated_to_sgd": "acts with rectify"},
    ),
    Record(RAdamW, COMMON, radamw, MOVES, [*ERRORS, *EPS], 8),
    Record(
        Yogi,
        {**COMMON, "initial_accumulator_value": 1e-2},
        yogi,
        {**MOVES, "initial_accumulator_value": 1e-1},
        [*ERRORS, *EPS, ({"initial_accumulator_value": -1}, ValueError, "initial_accumulator_value")],
        8,
    ),
    Record(
        Adan,
        {**COMMON, "betas": (0.9, 0.8, 0.95)},
        adan,
        {**MOVES, "betas": (0.9, 0.7, 0.95)},
        [*ERRORS, *EPS],
        16,
    ),
    Record(
        AdEMAMix,
        {**COMMON, **MIX},
        ademamix,
        {
            **MOVES,
            "betas": (0.8, 0.95, 0.98),
            "alpha": 3.0,
            "beta3_warmup": 20,
            "alpha_warmup": 30,
        },
        [
            *ERRORS,
            *EPS,
            ({"alpha": -1}, ValueError, "alpha must be"),
            ({"alpha_warmup": 0}, ValueError, "alpha_warmup"),
        ],
        12,
    ),
    Record(
        AdEMAMix,
        {**COMMON, "betas": (0.8, 0.95, 0.99)},
        ademamix,
        {
            **MOVES,
            "betas": (0.8, 0.95, 0.98),
            "alpha": 3.0,
            "beta3_warmup": 20,
            "alpha_warmup": 30,
        },
        ERRORS,
        12,
    ),
    Record(
        ADOPT,
        {**COMMON, "eps": 0.3, "clip_exp": 0.1},
        adopt,
        {**MOVES, "eps": 0.5, "clip_exp": 0.2},
        [*ERRORS, *EPS, ({"clip_exp": -1}, ValueError, "clip_exp")],
        8,
    ),
    Record(
        ADOPT,
        {**COMMON, "eps": 0.3, "clip_exp": None},
        adopt,
        {**MOVES, "eps": 0.5, "clip_exp": 0.0},
        ERRORS,
        8,
    ),
    Record(LaProp, COMMON, laprop, MOVES, [*ERRORS, *EPS], 8),
    Record(
        QHAdam,
        {**COMMON, "nus": (0.7, 0.9)},
        qhadam,
        {**MOVES, "nus": (0.8, 1.0)},
        [*ERRORS, *EPS, ({"nus": (1.1, 1.0)}, ValueError, r"nus\[0\]")],
        8,
    ),
    Record(
        AdamAtan2,
        {"lr": 0.1, "betas": (0.8, 0.95), "weight_decay": 0.1, "a": 1.2, "b": 0.9},
        adam_atan2,
        {"lr": 0.11, "betas": (0.7, 0.95), "weight_decay": 0.2, "a": 1.3, "b": 1.0},
        [*ERRORS, ({"a": -1}, ValueError, "a must be")],
        8,
    ),
    Record(StableAdamW, COMMON, stable_adamw, MOVES, [*ERRORS, *EPS], 8),
    Record(
        AdamC,
        {**COMMON, "lr": cooling, "amsgrad": False},
        adamc,
        {**MOVES, "lr": colder, "amsgrad": True},
        [*ERRORS, *EPS],
        8,
    ),
    *(
        Record(
            MARS,
            {
                **COMMON,
                "gamma": 0.1,
                "kind": kind,
                "optimize_1d": False,
                "lr_1d": 0.05,
                "betas_1d": (0.7, 0.9),
            },
            mars,
            {
                **MOVES,
                "betas": (0.7, 0.95),
                "gamma": 0.2,
                "kind": other,
                "optimize_1d": True,
                "lr_1d": 0.06,
                "betas_1d": (0.7, 0.8),
            },
            [*ERRORS, *EPS, ({"kind": "adam"}, ValueError, "kind must be one of")],
            lambda shape, size=size: (size if len(shape) > 1 else 8) * math.prod(shape),
            tolerance=(1e-10, "the sign of a sum near zero, the length of a correction"),
        )
        for kind, other, size in (("adamw", "lion", 12), ("lion", "adamw", 8), ("shampoo", "adamw", 8))
    ),
    *(
        Record(
            AdamP,
            {**COMMON, "delta": delta, "wd_ratio": 0.3, "nesterov": delta == 0.5},
            adamp,
            {**MOVES, "delta": 0.05, "wd_ratio": 0.6, "nesterov": delta != 0.5},
            [*ERRORS, *EPS, ({"wd_ratio": 1.1}, ValueError, "wd_ratio")],
            8,
        )
        for delta in (0.5, 3.0)
    ),
    Record(
        LAMB,
        {**COMMON, "max_grad_norm": 1.0, "grad_averaging": True, "trust_clip": False, "always_adapt": False},
        lamb,
        {**MOVES, "max_grad_norm": 2.0, "grad_averaging": False, "trust_clip": True},
        [*ERRORS, *EPS, ({"max_grad_norm": 0}, ValueError, "max_grad_norm")],
        8,
        still={"always_adapt": "acts without weight decay"},
        couples=True,
        skips={"clips_as_by_hand": "it clips the norm itself, after anyone else"},
    ),
    Record(
        LAMB,
        {**COMMON, "weight_decay": 0.0, "max_grad_norm": None, "always_adapt": True, "trust_clip": True},
        lamb,
        {**MOVES, "max_grad_norm": 1.0, "grad_averaging": False, "trust_clip": False, "always_adapt": False},
        ERRORS,
        8,
    ),
    Record(
        NovoGrad,
        {**COMMON, "lr": 0.02, "grad_averaging": False, "amsgrad": False},
        novograd,
        {**MOVES, "grad_averaging": True, "amsgrad": True},
        [*ERRORS, *EPS, ({"amsgrad": 0}, TypeError, "amsgrad")],
        4,
    ),
    Record(
        AdamMini,
        {**COMMON, "blocks": None},
        adam_mini,
        {**MOVES, "blocks": 1},
        [*ERRORS, *EPS, ({"blocks": 0}, ValueError, "blocks")],
        lambda shape: 4 * math.prod(shape) + 4 * rows(shape),
    ),
    Record(
        AdamMini,
        {**COMMON, "blocks": 2},
        adam_mini,
        {**MOVES, "blocks": 1},
        ERRORS,
        lambda shape: 4 * math.prod(shape) + 4 * (2 if len(shape) > 1 else 1),
        shapes=((4, 3), (5,), (), (2, 3, 2)),
    ),
]
