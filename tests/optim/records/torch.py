"""The optimizers of torch: their rules as the papers state them, with torch's conventions."""

from __future__ import annotations

import numpy as np
from neurenix.optim import ASGD, LBFGS, Adadelta, Adagrad, Adamax, NAdam, RAdam, RMSprop, Rprop, SparseAdam
from neurenix.testing import Record, per_tensor


@per_tensor
def adagrad(p, g, s, t, *, lr, lr_decay, weight_decay, initial_accumulator_value, eps):
    g = g + weight_decay * p
    s["squares"] = s.get("squares", np.full_like(p, initial_accumulator_value)) + g**2
    rate = lr / (1 + lr_decay * (t - 1))
    return p - rate * g / (np.sqrt(s["squares"]) + eps)


@per_tensor
def adadelta(p, g, s, t, *, lr, rho, eps, weight_decay):
    g = g + weight_decay * p
    s["gradients"] = rho * s.get("gradients", 0) + (1 - rho) * g**2
    moved = s.get("moved", np.zeros_like(p))
    move = -np.sqrt((moved + eps) / (s["gradients"] + eps)) * g
    s["moved"] = rho * moved + (1 - rho) * move**2
    return p + lr * move


@per_tensor
def adamax(p, g, s, t, *, lr, betas, eps, weight_decay):
    g = g + weight_decay * p
    s["mean"] = betas[0] * s.get("mean", 0) + (1 - betas[0]) * g
    s["top"] = np.fmax(betas[1] * s.get("top", 0), np.abs(g) + eps)
    return p - lr * (s["mean"] / (1 - betas[0] ** t)) / s["top"]


@per_tensor
def nadam(p, g, s, t, *, lr, betas, eps, weight_decay, momentum_decay, decoupled_weight_decay):
    if decoupled_weight_decay:
        p = p - lr * weight_decay * p
    else:
        g = g + weight_decay * p
    s["m"] = betas[0] * s.get("m", 0) + (1 - betas[0]) * g
    s["v"] = betas[1] * s.get("v", 0) + (1 - betas[1]) * g**2
    if momentum_decay is None:
        ahead = (betas[0] * s["m"] + (1 - betas[0]) * g) / (1 - betas[0] ** t)
    else:
        mu = betas[0] * (1 - 0.5 * 0.96 ** (np.arange(1, t + 2) * momentum_decay))
        ahead = (1 - mu[-2]) * g / (1 - np.prod(mu[:-1])) + mu[-1] * s["m"] / (1 - np.prod(mu))
    return p - lr * ahead / (np.sqrt(s["v"] / (1 - betas[1] ** t)) + eps)


@per_tensor
def radam(p, g, s, t, *, lr, betas, eps, weight_decay, decoupled_weight_decay):
    if decoupled_weight_decay:
        p = p - lr * weight_decay * p
    else:
        g = g + weight_decay * p
    b1, b2 = betas
    s["m"] = b1 * s.get("m", 0) + (1 - b1) * g
    s["v"] = b2 * s.get("v", 0) + (1 - b2) * g**2
    mean = s["m"] / (1 - b1**t)
    longest = 2 / (1 - b2) - 1
    length = longest - 2 * t * b2**t / (1 - b2**t)
    if length <= 5:
        return p - lr * mean
    variance = (length - 4) / (longest - 4) * (length - 2) / (longest - 2) * longest / length
    return p - lr * mean * np.sqrt(variance) * np.sqrt(1 - b2**t) / (np.sqrt(s["v"]) + eps)


@per_tensor
def rmsprop(p, g, s, t, *, lr, alpha, eps, weight_decay, momentum, centered):
    g = g + weight_decay * p
    s["second"] = alpha * s.get("second", 0) + (1 - alpha) * g**2
    s["first"] = alpha * s.get("first", 0) + (1 - alpha) * g
    variance = np.clip(s["second"] - s["first"] ** 2, 0, None) if centered else s["second"]
    s["b"] = momentum * s.get("b", 0) + g / (np.sqrt(variance) + eps)
    return p - lr * s["b"]


@per_tensor
def rprop(p, g, s, t, *, lr, etas, step_sizes, weight_decay):
    g = g + weight_decay * p
    sizes, before = s.get("sizes", np.full_like(p, lr)), s.get("before", np.zeros_like(p))
    sizes = np.where(g * before > 0, sizes * etas[1], sizes)
    sizes = np.where(g * before < 0, sizes * etas[0], sizes)
    s["sizes"] = np.clip(sizes, *step_sizes)
    s["before"] = np.where(g * before < 0, 0, g)
    return p - s["sizes"] * np.sign(s["before"])


@per_tensor
def asgd(p, g, s, t, *, lr, lambd, alpha, t0, weight_decay):
    g = g + weight_decay * p
    eta = lr / (1 + lambd * lr * (t - 1)) ** alpha
    return (1 - lambd * eta) * p - eta * g


def lbfgs(
    params,
    grads,
    memory,
    t,
    *,
    lr,
    max_iter,
    max_eval,
    tolerance_grad,
    tolerance_change,
    history_size,
    weight_decay,
):
    """With the inverse Hessian written out."""
    cuts = np.cumsum([p.size for p in params])[:-1]

    def split(x):
        return [part.reshape(p.shape) for part, p in zip(np.split(x, cuts), params, strict=True)]

    def measure(x):
        loss, found = grads(split(x))
        return loss + weight_decay * x @ x / 2, np.concatenate([g.ravel() for g in found]) + weight_decay * x

    x = np.concatenate([p.ravel() for p in params])
    loss, g = measure(x)
    evaluations, pairs = 1, memory.setdefault("pairs", [])
    for left in reversed(range(max_iter)):
        if np.abs(g).max() <= tolerance_grad:
            break
        rate = lr if "g" in memory else lr * min(1, 1 / np.abs(g).sum())
        if "g" in memory:
            s, y = memory["move"], g - memory["g"]
            if s @ y > 1e-10:
                pairs.append((s, y))
                del pairs[:-history_size]
        h = np.eye(x.size)
        if pairs:
            s, y = pairs[-1]
            h *= (s @ y) / (y @ y)
        for s, y in pairs:
            v = np.eye(x.size) - np.outer(y, s) / (s @ y)
            h = v.T @ h @ v + np.outer(s, s) / (s @ y)
        move, before, memory["g"] = -rate * h @ g, loss, g
        memory["move"] = move
        if g @ move / rate > -tolerance_change:
            memory["move"] = 0 * move
            break
        x = x + move
        if left == 0:
            break
        loss, g = measure(x)
        evaluations += 1
        if (
            evaluations >= max_eval
            or np.abs(move).max() <= tolerance_change
            or abs(loss - before) < tolerance_change
        ):
            break
    return split(x)


@per_tensor
def sparse_adam(p, g, s, t, *, lr, betas, eps, weight_decay):
    g = g + weight_decay * p
    s["m"] = betas[0] * s.get("m", 0) + (1 - betas[0]) * g
    s["v"] = betas[1] * s.get("v", 0) + (1 - betas[1]) * g**2
    rate = lr * np.sqrt(1 - betas[1] ** t) / (1 - betas[0] ** t)
    return p - rate * s["m"] / (np.sqrt(s["v"]) + eps)


NEGATIVE_LR = ({"lr": -1.0}, ValueError, "lr must be a number in")

RECORDS = [
    Record(
        Adagrad,
        arguments={
            "lr": 0.1,
            "lr_decay": 0.1,
            "weight_decay": 0.1,
            "initial_accumulator_value": 0.2,
            "eps": 1e-3,
        },
        oracle=adagrad,
        moves={
            "lr": 0.11,
            "lr_decay": 0.2,
            "weight_decay": 0.2,
            "initial_accumulator_value": 0.4,
            "eps": 1e-2,
        },
        errors=[
            NEGATIVE_LR,
            ({"lr_decay": -0.1}, ValueError, "lr_decay must be"),
            ({"initial_accumulator_value": -1}, ValueError, "initial_accumulator_value must be"),
        ],
        state_bytes=4,
    ),
    Record(
        Adadelta,
        arguments={"lr": 0.5, "rho": 0.8, "eps": 1e-3, "weight_decay": 0.1},
        oracle=adadelta,
        moves={"lr": 0.6, "rho": 0.9, "eps": 1e-2, "weight_decay": 0.2},
        errors=[NEGATIVE_LR, ({"rho": 1.0}, ValueError, "rho must be")],
        state_bytes=8,
    ),
    Record(
        Adamax,
        arguments={"lr": 0.05, "betas": (0.8, 0.95), "eps": 1e-3, "weight_decay": 0.1},
        oracle=adamax,
        moves={"lr": 0.06, "betas": (0.8, 0.9), "eps": 1e-2, "weight_decay": 0.2},
        errors=[NEGATIVE_LR, ({"betas": (0.9, 1.0)}, ValueError, r"betas\[1\] must be")],
        state_bytes=8,
    ),
    *(
        Record(
            NAdam,
            arguments={
                "lr": 0.05,
                "betas": (0.8, 0.95),
                "eps": 1e-2,
                "weight_decay": 0.1,
                "momentum_decay": momentum_decay,
                "decoupled_weight_decay": decoupled,
            },
            oracle=nadam,
            moves={
                "lr": 0.06,
                "betas": (0.9, 0.9),
                "eps": 0.1,
                "weight_decay": 0.2,
                "momentum_decay": 0.2,
                "decoupled_weight_decay": not decoupled,
            },
            errors=[
                NEGATIVE_LR,
                ({"momentum_decay": -1}, ValueError, "momentum_decay must be"),
                ({"decoupled_weight_decay": None}, TypeError, "decoupled_weight_decay must be True or False"),
            ],
            state_bytes=8,
        )
        for decoupled, momentum_decay in ((False, 0.1), (True, 0.1), (False, None))
    ),
    *(
        Record(
            RAdam,
            arguments={
                "lr": 0.05,
                "betas": (0.8, beta2),
                "eps": 1e-2,
                "weight_decay": 0.1,
                "decoupled_weight_decay": decoupled,
            },
            oracle=radam,
            moves={
                "lr": 0.06,
                "betas": (0.9, 0.9),
                "weight_decay": 0.2,
                "decoupled_weight_decay": not decoupled,
                **({"eps": 0.1} if beta2 > 0.7 else {}),
            },
            still={} if beta2 > 0.7 else {"eps": "the variance is never known: ρ∞ = 3"},
            errors=[
                NEGATIVE_LR,
                ({"decoupled_weight_decay": 1}, TypeError, "decoupled_weight_decay must be"),
            ],
            state_bytes=8,
        )
        for decoupled, beta2 in ((False, 0.95), (True, 0.95), (False, 0.5))
    ),
    *(
        Record(
            RMSprop,
            arguments={
                "lr": 0.02,
                "alpha": 0.9,
                "eps": 1e-2,
                "weight_decay": 0.1,
                "momentum": momentum,
                "centered": centered,
            },
            oracle=rmsprop,
            moves={
                "lr": 0.03,
                "alpha": 0.8,
                "eps": 0.1,
                "weight_decay": 0.2,
                "momentum": 0.7,
                "centered": not centered,
            },
            errors=[NEGATIVE_LR, ({"alpha": 1}, ValueError, "alpha must be")],
            state_bytes=4 * (1 + centered + (momentum > 0)),
        )
        for centered, momentum in ((False, 0), (True, 0), (False, 0.5), (True, 0.5))
    ),
    Record(
        Rprop,
        arguments={"lr": 0.05, "etas": (0.5, 1.5), "step_sizes": (0.01, 0.1), "weight_decay": 0.1},
        oracle=rprop,
        moves={"lr": 0.06, "etas": (0.4, 1.5), "step_sizes": (0.01, 0.2), "weight_decay": 0.5},
        errors=[
            NEGATIVE_LR,
            ({"etas": (1.0, 1.2)}, ValueError, "0 < η⁻ < 1 < η⁺, got"),
            ({"step_sizes": (2, 1)}, ValueError, "a lower and an upper bound, got"),
        ],
        state_bytes=8,
    ),
    Record(
        ASGD,
        arguments={"lr": 0.1, "lambd": 0.1, "alpha": 0.8, "t0": 5, "weight_decay": 0.1},
        oracle=asgd,
        moves={"lr": 0.11, "lambd": 0.2, "alpha": 0.5, "weight_decay": 0.2},
        still={"t0": "acts on the average alone; tests/optim/test_asgd.py"},
        errors=[NEGATIVE_LR, ({"t0": -1}, ValueError, "t0 must be")],
        state_bytes=4,
        skips={"zero_gradients_move_nothing": "lambd is a decay of the parameters"},
    ),
    Record(
        LBFGS,
        arguments={
            "lr": 0.5,
            "max_iter": 8,
            "max_eval": 10,
            "tolerance_grad": 1e-9,
            "tolerance_change": 1e-9,
            "history_size": 3,
            "weight_decay": 1.0,
        },
        oracle=lbfgs,
        moves={
            "lr": 0.6,
            "max_iter": 6,
            "max_eval": 3,
            "tolerance_grad": 0.3,
            "tolerance_change": 0.1,
            "history_size": 1,
            "weight_decay": 1.1,
        },
        still={"line_search_fn": "against torch, tests/optim/test_lbfgs.py"},
        errors=[NEGATIVE_LR, ({"max_iter": 0}, ValueError, "max_iter must be an integer ≥ 1, got 0")],
        state_bytes=lambda shape: 4 * int(np.prod(shape)) * (2 + 1 + 2 * 3),
        steps=20,
        couples=True,
        closure=True,
        skips={"holds_in_low_precision": "each iteration learns from what the one before rounded"},
    ),
    Record(
        SparseAdam,
        arguments={"lr": 0.1, "betas": (0.8, 0.9), "eps": 1e-2, "weight_decay": 0.1},
        oracle=sparse_adam,
        moves={"lr": 0.11, "betas": (0.7, 0.9), "eps": 0.1, "weight_decay": 0.2},
        errors=[NEGATIVE_LR, ({"betas": (0.9, 1.0)}, ValueError, r"betas\[1\]")],
        state_bytes=8,
    ),
]
