"""Adafactor, as each of its implementations has it."""

from __future__ import annotations

import numpy as np
from neurenix.optim import Adafactor
from neurenix.testing import Record, per_tensor


def rms(x):
    return np.sqrt(np.mean(np.square(x)))


def pair(shape, variant, least):
    """The two factored dimensions, if any."""
    order = range(len(shape)) if variant not in ("optax", "timm") else np.argsort(shape, kind="stable")
    chosen = sorted(list(order)[-2:])
    return chosen if len(chosen) == 2 and all(shape[i] >= least for i in chosen) else None


@per_tensor
def adafactor(
    p,
    g,
    s,
    t,
    *,
    lr,
    beta2_decay,
    eps,
    d,
    weight_decay,
    variant,
    momentum,
    relative_step,
    scale_parameter,
    warmup_init,
    min_dim_size_to_factor,
    beta2_cap,
    decay_offset,
):
    beta = min(beta2_cap, 1 - max(1, t - decay_offset) ** beta2_decay)
    added, bound = (0, eps[0]) if variant == "torch" else (eps[0], 0)
    if variant == "keras":
        p = p - lr * weight_decay * p
    size = min(lr, 1 / np.sqrt(t)) if relative_step else lr
    if warmup_init:
        size = min(size, t / 1e6)
    if scale_parameter:
        size = size * max(eps[1], rms(p))

    square = g**2 + added
    if axes := pair(g.shape, variant, min_dim_size_to_factor):
        for name, axis in (("rows", axes[1]), ("columns", axes[0])):
            s[name] = beta * s.get(name, 0) + (1 - beta) * square.mean(axis=axis, keepdims=True)
        v = s["rows"] * s["columns"] / np.maximum(s["rows"].mean(axis=axes[0], keepdims=True), bound)
    else:
        v = s["all"] = beta * s.get("all", 0) + (1 - beta) * square
    u = g / np.maximum(np.sqrt(v), bound)
    u = u / max(1, rms(u) / d) if d else u

    if variant == "timm":
        s["mean"] = momentum * s.get("mean", 0) + (1 - momentum) * u
        return p - lr * weight_decay * p - size * s["mean"]
    s["mean"] = momentum * s.get("mean", 0) + (1 - momentum) * size * u
    decay = {"torch": lr, "hf": size, "optax": 1, "keras": 0}[variant] * weight_decay
    return p - decay * p - s["mean"]


def state_bytes(variant, momentum):
    def count(shape):
        size = int(np.prod(shape))
        axes = pair(shape, variant, 2)
        moments = sum(size // shape[axis] for axis in axes) if axes else size
        return 4 * (moments + (size if momentum else 0))

    return count


def record(variant, momentum=0.0, **changes):
    arguments = {
        "lr": 0.3,
        "eps": (1e-2, 0.1),
        "d": 0.9,
        "weight_decay": 0.02,
        "variant": variant,
        "momentum": momentum,
        "min_dim_size_to_factor": 2,
        **changes,
    }
    moves = {
        "lr": 0.2,
        "beta2_decay": -0.5,
        "eps": (0.1, 0.7),
        "d": 0.5,
        "weight_decay": 0.03,
        "variant": "keras" if variant == "hf" else "hf",
        "momentum": 0.5,
        "relative_step": variant in ("optax", "timm"),
        "scale_parameter": variant == "timm",
        "warmup_init": True,
        "min_dim_size_to_factor": 4,
        "beta2_cap": 0.7,
        "decay_offset": 5,
    }
    return Record(
        Adafactor,
        arguments=arguments,
        oracle=adafactor,
        moves=moves,
        errors=[
            ({"lr": -1.0}, ValueError, "lr must be a number in"),
            ({"variant": "t5"}, ValueError, "variant must be one of 'torch', 'hf', 'optax', 'keras', 'timm'"),
            ({"eps": (1e-30, None, 1)}, ValueError, "eps must have 2 values"),
            ({"d": -1}, ValueError, "d must be"),
            ({"momentum": 1.0}, ValueError, "momentum must be"),
            ({"beta2_cap": 1.5}, ValueError, "beta2_cap must be"),
            ({"min_dim_size_to_factor": 0}, ValueError, "min_dim_size_to_factor must be an integer ≥ 1"),
        ],
        state_bytes=state_bytes(variant, momentum),
        temporaries=1,  # the squares, before they are averaged along columns
        skips={"zero_lr_moves_nothing": "weight decay does not depend on lr"} if variant == "optax" else {},
    )


RECORDS = [
    record("torch"),
    record("hf"),
    record("hf", 0.9),
    record("optax"),
    record("optax", 0.8),
    record("keras"),
    record("timm", 0.9),
]
