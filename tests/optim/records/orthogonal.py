"""Rules that orthogonalise: Muon, NorMuon, AdaMuon, Dion, Scion."""

from __future__ import annotations

import math

import numpy as np
from neurenix.optim import AdaMuon, Dion, Muon, NorMuon, Scion
from neurenix.testing import Record, per_tensor

SETS = {
    "original": [(3.4445, -4.7750, 2.0315)] * 5,
    "quintic": [
        (4.0848, -6.8946, 2.9270),
        (3.9505, -6.3029, 2.6377),
        (3.7418, -5.5913, 2.3037),
        (2.8769, -3.1427, 1.2046),
        (2.8366, -3.0525, 1.2012),
    ],
}


def orthogonal(x, coefficients, steps, eps):
    """Newton and Schulz on one matrix, the smaller side first."""
    x = x / (np.linalg.norm(x) + eps)
    tall = x.shape[0] > x.shape[1]
    x = x.T if tall else x
    for a, b, c in (coefficients * steps)[:steps]:
        gram = x @ x.T
        x = a * x + (b * gram + c * gram @ gram) @ x
    return x.T if tall else x


def muon_oracle(flat):
    @per_tensor
    def rule(
        p,
        g,
        s,
        t,
        *,
        lr,
        weight_decay,
        momentum,
        nesterov,
        ns_coefficients,
        eps,
        ns_steps,
        adjust_lr_fn,
        heads=1,
    ):
        s["b"] = momentum * s.get("b", 0) + (1 - momentum) * g
        u = (1 - momentum) * g + momentum * s["b"] if nesterov else s["b"]
        sets = SETS.get(ns_coefficients) if isinstance(ns_coefficients, str) else [ns_coefficients]
        matrices = u.reshape(heads, p.shape[0] // heads, -1)
        rows, columns = matrices.shape[1:]
        o = np.stack([orthogonal(m, list(sets), ns_steps, eps) for m in matrices]).reshape(p.shape)
        how = {
            "original": np.sqrt(max(1, rows / columns)),
            "match_rms_adamw": 0.2 * np.sqrt(max(rows, columns)),
            "spectral_unclamped": np.sqrt(rows / columns),
            "none": 1.0,
        }[adjust_lr_fn or "original"]
        return p * (1 - lr * weight_decay) - lr * how * o

    return rule


@per_tensor
def adamw(p, g, s, t, *, lr, weight_decay, aux_betas, aux_eps):
    b1, b2 = aux_betas
    s["m"] = b1 * s.get("m", 0) + (1 - b1) * g
    s["v"] = b2 * s.get("v", 0) + (1 - b2) * g * g
    p = p * (1 - lr * weight_decay)
    return p - lr * s["m"] / (1 - b1**t) / (np.sqrt(s["v"] / (1 - b2**t)) + aux_eps)


@per_tensor
def normuon(p, g, s, t, *, lr, weight_decay, momentum, nesterov, beta2, eps, ns_steps, adjust_lr_fn):
    s["b"] = momentum * s.get("b", 0) + (1 - momentum) * g
    u = (1 - momentum) * g + momentum * s["b"] if nesterov else s["b"]
    o = orthogonal(u.reshape(len(p), -1), list(SETS["original"]), ns_steps, eps)
    s["v"] = beta2 * s.get("v", 0) + (1 - beta2) * (o**2).mean(1, keepdims=True)
    u = o / (np.sqrt(s["v"]) + 1e-8)
    u *= np.linalg.norm(o) / np.linalg.norm(u)
    how = 0.2 * np.sqrt(max(o.shape)) if adjust_lr_fn == "match_rms_adamw" else 1.0
    return p * (1 - lr * weight_decay) - lr * how * u.reshape(p.shape)


@per_tensor
def adamuon(p, g, s, t, *, lr, weight_decay, momentum, nesterov, beta2, eps, ns_steps, adjust_lr_fn):
    s["b"] = momentum * s.get("b", 0) + (1 - momentum) * g
    u = (1 - momentum) * g + momentum * s["b"] if nesterov else s["b"]
    o = orthogonal(np.sign(u).reshape(len(p), -1), list(SETS["original"]), ns_steps, eps)
    s["v"] = beta2 * s.get("v", 0) + (1 - beta2) * o**2
    u = o / (np.sqrt(s["v"] / (1 - beta2**t)) + 1e-8)
    u *= 0.2 * np.sqrt(u.size) / np.linalg.norm(u)
    how = 0.2 * np.sqrt(max(o.shape)) if adjust_lr_fn == "match_rms_adamw" else 1.0
    return p * (1 - lr * weight_decay) - lr * how * u.reshape(p.shape)


@per_tensor
def dion(p, g, s, t, *, lr, weight_decay, momentum, rank_fraction, adjust_lr_fn):
    m = s.get("m", 0) + g.reshape(len(p), -1)
    rows, columns = m.shape
    rank = int(np.ceil(rank_fraction * min(rows, columns)))
    if t == 1:
        q = np.cos(np.pi * (np.arange(columns)[:, None] + 0.5) * np.arange(rank) / columns)
        s["q"] = q / np.sqrt((q**2).sum(0))
    y = m @ s["q"]
    columns_of_p = []  # Gram and Schmidt
    for k in range(rank):
        c = y[:, k] - sum((d * (d @ y[:, k]) for d in columns_of_p), np.zeros(rows))
        columns_of_p.append(c / np.linalg.norm(c))
    left = np.stack(columns_of_p, 1)
    r = m.T @ left
    s["m"] = m - (1 - momentum) * left @ r.T
    s["q"] = r / (np.sqrt((r**2).sum(0)) + 1e-8)
    how = np.sqrt(rows / columns) if adjust_lr_fn == "spectral_unclamped" else 1.0
    return p * (1 - lr * weight_decay) - lr * how * (left @ s["q"].T).reshape(p.shape)


@per_tensor
def scion(p, g, s, t, *, lr, momentum, norm, scale, unconstrained, weight_decay, eps, ns_steps):
    s["m"] = g if t == 1 else (1 - momentum) * s["m"] + momentum * g
    m = s["m"].reshape(len(p), -1) if p.ndim > 1 else s["m"][None]
    kind = norm if norm != "auto" else "spectral" if p.ndim > 1 else "rms"
    if p.ndim < 2 and kind != "sign":
        kind = "rms"
    rows, columns = m.shape
    if kind == "spectral":
        d = np.sqrt(rows / columns) * orthogonal(m, list(SETS["original"]), ns_steps, eps)
    elif kind == "sign":
        d = np.sign(m) / columns
    else:
        axis = {"row": 1, "column": 0, "rms": None}[kind]
        d = m / (np.sqrt((m**2).mean(axis, keepdims=True)) + eps)
    p = p * (1 - lr * weight_decay) * (1 if unconstrained else 1 - lr)
    return p - lr * scale * d.reshape(p.shape)


OF_MUON = ("use_muon", "heads", "batched", "ns_coefficients", "aux_betas", "aux_eps")
OF_MATRICES = (
    *("use_muon", "momentum", "nesterov", "ns_coefficients"),
    *("eps", "ns_steps", "adjust_lr_fn", "heads", "batched"),
)
MATRICES = ((4, 6), (6, 4), (4, 6), (4, 2, 3))
BAD = [
    ({"lr": -1.0}, ValueError, "lr must be"),
    ({"momentum": 1.0}, ValueError, "momentum must be"),
    ({"ns_coefficients": "best"}, ValueError, "ns_coefficients must be one of"),
    ({"ns_steps": 0}, ValueError, "ns_steps must be"),
    ({"adjust_lr_fn": "rms"}, ValueError, "adjust_lr_fn must be one of"),
]
ALONE = "is AdamW's, for groups with use_muon=False, which have a record of their own"
CHAOS = (1e-9, "each step of the polynomial enlarges what rounding leaves by about three")

RECORDS = [
    *(
        Record(
            Muon,
            arguments={
                "lr": 0.05,
                "weight_decay": 0.1,
                "momentum": 0.8,
                "nesterov": nesterov,
                "adjust_lr_fn": scale,
                "ns_coefficients": kind,
                "eps": 1e-3,
                "heads": heads,
            },
            oracle=muon_oracle(heads),
            moves={
                "lr": 0.06,
                "weight_decay": 0.2,
                "momentum": 0.7,
                "nesterov": not nesterov,
                "ns_coefficients": (3.0, -3.2, 1.2),
                "eps": 1e-1,
                "ns_steps": 4,
                "adjust_lr_fn": "none",
                "heads": 3 - heads,
            },
            still={
                "use_muon": "makes another rule of it",
                "batched": "has a test of its own",
                "aux_betas": ALONE,
                "aux_eps": ALONE,
            },
            errors=BAD,
            state_bytes=4,
            shapes=MATRICES,
            tolerance=CHAOS,
            steps=100,
        )
        for nesterov, scale, kind, heads in (
            (True, None, (3.4445, -4.7750, 2.0315), 1),
            (False, "match_rms_adamw", "quintic", 2),
            (True, "spectral_unclamped", "original", 1),
        )
    ),
    Record(
        Muon,
        arguments={
            "lr": 0.05,
            "weight_decay": 0.1,
            "use_muon": False,
            "aux_betas": (0.8, 0.9),
            "aux_eps": 1e-3,
        },
        oracle=adamw,
        moves={"lr": 0.06, "weight_decay": 0.2, "aux_betas": (0.7, 0.9), "aux_eps": 1e-2},
        still=dict.fromkeys(OF_MATRICES, "is of matrices"),
        errors=BAD[:1],
        state_bytes=8,
    ),
    *(
        Record(
            kind,
            arguments={
                "lr": 0.05,
                "weight_decay": 0.1,
                "momentum": 0.8,
                "nesterov": nesterov,
                "beta2": 0.9,
                "eps": 1e-3,
                "adjust_lr_fn": "match_rms_adamw",
            },
            oracle=oracle,
            moves={
                "lr": 0.06,
                "weight_decay": 0.2,
                "momentum": 0.7,
                "nesterov": not nesterov,
                "beta2": 0.8,
                "eps": 1e-1,
                "ns_steps": 4,
                "adjust_lr_fn": "none",
            },
            still=dict.fromkeys(OF_MUON, "is Muon's, and checked there"),
            errors=[*BAD[:2], ({"beta2": 1.0}, ValueError, "beta2 must be")],
            state_bytes=size,
            shapes=MATRICES,
            tolerance=CHAOS,
            steps=100,
        )
        for kind, oracle, nesterov, size in (
            (NorMuon, normuon, True, lambda shape: 4 * math.prod(shape) + 4 * shape[0]),
            (AdaMuon, adamuon, False, 8),
        )
    ),
    Record(
        Dion,
        arguments={"lr": 0.05, "weight_decay": 0.1, "momentum": 0.8, "rank_fraction": 0.5},
        oracle=dion,
        moves={
            "lr": 0.06,
            "weight_decay": 0.2,
            "momentum": 0.7,
            "rank_fraction": 1.0,
            "adjust_lr_fn": "none",
        },
        still=dict.fromkeys(("use_muon", "aux_betas", "aux_eps"), "is Muon's, and checked there"),
        errors=[*BAD[:2], ({"rank_fraction": 0.0}, ValueError, "rank_fraction must be")],
        state_bytes=lambda shape: (
            4 * math.prod(shape)
            + 4 * math.prod(shape[1:]) * math.ceil(min(shape[0], math.prod(shape[1:])) / 2)
        ),
        shapes=MATRICES,
        tolerance=(1e-9, "an iteration that enlarges what rounding leaves"),
        steps=100,
    ),
    *(
        Record(
            Scion,
            arguments={
                "lr": 0.05,
                "momentum": 0.3,
                "norm": norm,
                "scale": 2.0,
                "unconstrained": free,
                "weight_decay": 0.1,
                "eps": 1e-3,
            },
            oracle=scion,
            moves={
                "lr": 0.06,
                "momentum": 0.4,
                "norm": "sign" if norm != "sign" else "row",
                "scale": 3.0,
                "unconstrained": not free,
                "weight_decay": 0.2,
                **({} if norm == "sign" else {"eps": 1e-1}),
                **({"ns_steps": 4} if norm == "auto" else {}),
            },
            still={
                "ns_coefficients": "is Muon's, and checked there",
                **({} if norm == "auto" else {"ns_steps": "is of the spectral norm"}),
                **({"eps": "is of the other norms"} if norm == "sign" else {}),
            },
            errors=[
                ({"norm": "best"}, ValueError, "norm must be one of"),
                ({"momentum": 0.0}, ValueError, "momentum must be"),
            ],
            state_bytes=4,
            tolerance=CHAOS,
            steps=100,
            temporaries={"auto": None, "column": 1}.get(norm, 0),
            skips={}
            if free
            else {"zero_gradients_move_nothing": "parameters shrink by 1 − η whatever the gradient"},
        )
        for norm, free in (("auto", False), ("sign", True), ("row", False), ("column", False), ("rms", True))
    ),
]
