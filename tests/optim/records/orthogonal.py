"""Rules that orthogonalise: Muon."""

from __future__ import annotations

import numpy as np
from neurenix.optim import Muon
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
]
