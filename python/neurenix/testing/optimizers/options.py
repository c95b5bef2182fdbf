"""That options do to any rule what can be done by hand around it."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any, Final, TypeAlias

import numpy as np

from .record import Array, Record, require
from .runs import Process, Run, bits, process

Inner: TypeAlias = Callable[[Array, Array], Array]

STEPS: Final = 8
DECAY: Final = 0.1


def _decay(mode: str, inner: Inner, p: Array, g: Array, lr: float, peak: float) -> Array:
    """A step with weight decay around it."""
    if mode == "l2":
        return inner(p, g + DECAY * p)
    before = {
        "decoupled": lr * DECAY,
        "independent": DECAY * lr / peak,
        "corrected": DECAY * lr**2 / peak,
        "fixed": DECAY,
    }
    if mode in before:
        return inner((1 - before[mode]) * p, g)
    new = inner(p, g)
    if mode == "proximal":
        return new / (1 + lr * DECAY)
    kept = (p - new) * p < 0 if mode == "cautious" else False
    return new - np.where(kept, 0, lr * DECAY * p)


MODES: Final = (
    "l2", "decoupled", "decoupled_after", "independent", "corrected", "proximal", "fixed", "cautious", "inside",
)  # fmt: skip


def _options(check: Callable[[Record], str | None]) -> Callable[[Record], str | None]:
    """A property of those that take options and let them stand around their rule."""

    @functools.wraps(check)
    def checked(record: Record) -> str | None:
        if record.closure or record.advance is not None:
            return "its closure sets the gradients"
        if record.sample.formula is None:
            return "its step() is its own, not a formula that options could stand around"
        accepted = inspect.signature(record.optimizer).parameters.values()
        if not any(parameter.kind is parameter.VAR_KEYWORD for parameter in accepted):
            return "it takes no options"
        return check(record)

    return checked


@_options
def decays_as_by_hand(record: Record) -> str | None:
    """Each `weight_decay_mode` is its algebra around the rule without weight decay."""
    if not {"lr", "weight_decay"} <= set(record.hyperparameters):
        return "it has no lr or no weight_decay"
    group = record.sample.param_groups[0]
    if callable(group["lr"]):
        return "its lr is a schedule already"
    peak: float = group["lr"]

    def lr(step: int) -> float:
        return peak / (1 + 0.1 * step)

    own = "weight_decay" in inspect.signature(type(record.sample).formula or record.build).parameters
    for mode in MODES:
        if mode == "inside" and own:
            continue  # what the oracle says

        def step(inner: Inner, t: int, p: Array, g: Array, mode: str = mode) -> Array:
            return _decay(mode, inner, p, g, lr(t - 1), peak)

        options = {"weight_decay_mode": mode, "weight_decay": DECAY}
        _follows(record, options, {"lr": lr, "weight_decay": 0.0}, step)
    return None


@_options
def clips_as_by_hand(record: Record) -> str | None:
    """Each way of clipping gradients in the step, and `centralize`, is that done before the step."""
    field = process(tuple(record.shapes), 64, False)
    optimizer = record.sample
    group = optimizer.param_groups[0]
    views = [optimizer.view(param, group) for param in group["params"]]

    def norm(p: Array, g: Array) -> Array:
        g *= min(1, 1.5 / (np.sqrt(np.sum(g**2)) + 1e-6))
        return g

    def by_row(p: Array, g: Array) -> Array:
        for place, g_rows in _rows(field, views, g):
            p_rows = dict(_rows(field, views, p))[place]
            size = np.sqrt(np.sum(g_rows**2, -1, keepdims=True))
            most = 0.5 * np.maximum(np.sqrt(np.sum(p_rows**2, -1, keepdims=True)), 1e-3)
            g_rows *= np.where(size > most, most / np.maximum(size, 1e-6), 1)
        return g

    def centralize(p: Array, g: Array) -> Array:
        for place, rows in _rows(field, views, g):
            if len(field.shapes[place]) > 1:
                rows -= rows.mean(-1, keepdims=True)
        return g

    ways: list[tuple[dict[str, Any], Callable[[Array, Array], Array]]] = [
        ({"clip_value": 0.2}, lambda p, g: np.clip(g, -0.2, 0.2)),
        ({"clip_norm": 1.5}, norm),
        ({"clip_adaptive": 0.5}, by_row),
    ]
    if any(len(shape) > 1 for shape in record.shapes):
        ways.append(({"centralize": True}, centralize))
    for options, prepare in ways:

        def step(
            inner: Inner,
            t: int,
            p: Array,
            g: Array,
            prepare: Callable[[Array, Array], Array] = prepare,
        ) -> Array:
            return inner(p, prepare(p, g.copy()))

        _follows(record, options, {}, step)
    return None


@_options
def is_cautious_as_by_hand(record: Record) -> str | None:
    """`cautious` leaves out what points against the gradient, and scales the rest of each tensor up for it."""
    field = process(tuple(record.shapes), 64, False)

    def step(inner: Inner, t: int, p: Array, g: Array) -> Array:
        update = p - inner(p, g)
        agrees = update * g > 0
        for cut in field.cuts:
            update[cut] /= max(float(np.mean(agrees[cut])), 1e-3)
        return p - np.where(agrees, update, 0)

    base = {"weight_decay": 0.0} if "weight_decay" in record.hyperparameters else {}
    _follows(record, {"cautious": True}, base, step)
    return None


@_options
def averages_as_by_hand(record: Record) -> str | None:
    """`ema` averages the weights after each step and does not change them."""
    run, plain = Run(record, ema=0.8), Run(record)
    average = plain.values()
    for t in range(1, STEPS + 1):
        kept = 0.8 if t > 1 else 0.0
        average = kept * average + (1 - kept) * plain.step(t).values()
        run.step(t)
    before = run.bits()
    require(before == plain.bits(), f"{record}: ema changes the steps")
    with run.optimizer.ema():
        apart = np.max(np.abs(run.values() - average) / np.maximum(np.abs(average), 1e-3))
    require(apart <= 1e-12, f"{record}: the average of the weights differs from one by hand by {apart:.3g}")
    require(run.bits() == before, f"{record}: after optimizer.ema() the weights are not those from before")
    return None


@_options
def accumulates_as_by_hand(record: Record) -> str | None:
    """`accumulate=3` is one step of the mean of three gradients, with `accumulate_sum` of their sum."""
    for total in (False, True):
        run, hand = Run(record, accumulate=3, accumulate_sum=total), Run(record)
        for t in range(1, 6):
            gradients = [run.process.at(3 * t + i, run.values()) for i in range(3)]
            before = run.bits()
            for i, part in enumerate(gradients):
                require(run.bits() == before, f"{record}: gradient {i} of 3 already moves parameters")
                run.step(t, part)
            hand.step(t, np.sum(gradients, 0) if total else np.mean(gradients, 0))
            _close(record, f"accumulate=3, accumulate_sum={total}", t, run.values(), hand.values())
    return None


@_options
def resumes_exactly_with_options(record: Record) -> str | None:
    """With options too it moves after loading as if it had never stopped, bit for bit."""
    options: dict[str, Any] = {
        "clip_norm": 1.5,
        "cautious": True,
        "centralize": True,
        "ema": 0.8,
        "accumulate": 2,
    }
    whole, parts = Run(record, "float32", **options), Run(record, "float32", **options)
    for t in range(1, 8):
        whole.step(t)
        parts.step(t)
        with whole.optimizer.ema(), parts.optimizer.ema():
            same = bits(whole.params) == bits(parts.params)
        require(
            same and whole.bits() == parts.bits(), f"{record}: resumed before step {t}, it goes elsewhere"
        )
        saved = parts.optimizer.state_dict()
        parts.optimizer = record.build(parts.params, **options)
        parts.optimizer.load_state_dict(saved)
    return None


def _follows(
    record: Record,
    options: dict[str, Any],
    base: dict[str, Any],
    step: Callable[[Inner, int, Array, Array], Array],
) -> None:
    """Fails unless the optimizer with options moves as `step` does around the one without, and not as that one."""
    base = {**base, "maximize": False}
    run, hand, plain = Run(record, **{**base, **options}), Run(record, **base), Run(record, **base)
    for each in (run, hand):
        each.optimizer.init_state()
    flat = run.values()
    for t in range(1, STEPS + 1):
        gradients = run.process.at(t, flat)

        def inner(p: Array, g: Array, t: int = t) -> Array:
            hand.place(p)
            return hand.step(t, g).values()

        flat = step(inner, t, flat.copy(), gradients)
        plain.step(t, gradients)
        run.step(t, gradients)
        _close(record, str(options), t, run.values(), flat)
        flat = run.values()
    moved = np.max(np.abs(plain.values() - flat) / np.maximum(np.abs(flat), 1e-3))
    require(
        moved >= 100 * record.tolerance[0] or not set(options).isdisjoint(record.still),
        f"{record}: {options} moves the result by {moved:.3g} of its size only",
    )


def _close(record: Record, what: str, t: int, found: Array, expected: Array) -> None:
    apart = np.abs(found - expected) / np.maximum(np.abs(expected), 1e-3)
    worst = int(np.argmax(np.nan_to_num(apart, nan=np.inf)))
    require(
        apart[worst] <= 10 * record.tolerance[0],
        f"{record}: with {what} step {t} gives {found[worst]:.17g} for element {worst} of all, "
        f"by hand it is {expected[worst]:.17g}",
    )


def _rows(field: Process, views: list[tuple[int, int, int]], flat: Array) -> list[tuple[int, Array]]:
    """Each tensor as its optimizer sees it: (batch, rows, columns), views of the same numbers."""
    return [
        (place, flat[cut].reshape(view))
        for place, (cut, view) in enumerate(zip(field.cuts, views, strict=True))
    ]
