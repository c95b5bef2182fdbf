"""Weight decay: nine ways, each written once as a layer around any rule.

η is the learning rate, η_max the largest so far, λ the weight decay, u the update of the rule inside.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TypeAlias

from .formula import Value, where

Inner: TypeAlias = Callable[[Value, Value], Value]


def l2(p: Value, g: Value, *, inner: Inner, weight_decay: Value) -> Value:
    """G ← g + λp: torch's Adam, SGD and most of their age."""
    return inner(p, g + weight_decay * p)


def decoupled(p: Value, g: Value, *, inner: Inner, lr: Value, weight_decay: Value) -> Value:
    """P ← (1 − ηλ)p before the step: torch's AdamW, Lion."""
    return inner(p * (1 - lr * weight_decay), g)


def decoupled_after(p: Value, g: Value, *, inner: Inner, lr: Value, weight_decay: Value) -> Value:
    """P ← p − u − ηλp, of the same old p: optax, Keras, SOAP."""
    return inner(p, g) - lr * weight_decay * p


def independent(p: Value, g: Value, *, inner: Inner, lr: Value, peak_lr: Value, weight_decay: Value) -> Value:
    """P ← (1 − λη/η_max)p: λ does not shrink with the learning rate, only with its schedule."""
    return inner(p * (1 - weight_decay * _share(lr, peak_lr)), g)


def corrected(p: Value, g: Value, *, inner: Inner, lr: Value, peak_lr: Value, weight_decay: Value) -> Value:
    """P ← (1 − λη²/η_max)p: AdamC, arXiv 2506.02285."""
    return inner(p * (1 - weight_decay * lr * _share(lr, peak_lr)), g)


def proximal(p: Value, g: Value, *, inner: Inner, lr: Value, weight_decay: Value) -> Value:
    """P ← (p − u) / (1 + ηλ): Adan, MoMo."""
    return inner(p, g) / (1 + lr * weight_decay)


def fixed(p: Value, g: Value, *, inner: Inner, weight_decay: Value) -> Value:
    """P ← (1 − λ)p, whatever the learning rate."""
    return inner(p * (1 - weight_decay), g)


def cautious(p: Value, g: Value, *, inner: Inner, lr: Value, weight_decay: Value) -> Value:
    """P ← p − u − ηλp only where u and p have the same sign (0 counts): arXiv 2510.12402."""
    new = inner(p, g)
    return new - where((p - new) * p >= 0, lr * weight_decay * p, 0)


def _share(lr: Value, peak_lr: Value) -> Value:
    return where(peak_lr > 0, lr / where(peak_lr > 0, peak_lr, 1), 0)


#: "inside" leaves λ to a rule that asks for it (a trust ratio over u + λp), and is `decoupled_after` for all others.
MODES: Final[dict[str, Callable[..., Value]]] = {
    "l2": l2,
    "decoupled": decoupled,
    "decoupled_after": decoupled_after,
    "independent": independent,
    "corrected": corrected,
    "proximal": proximal,
    "fixed": fixed,
    "cautious": cautious,
    "inside": decoupled_after,
}
