"""Curves of a race as a picture."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from neurenix._output import save_figure

from .trials import Trial

if TYPE_CHECKING:
    from .result import Result


SHOWN: Final = 20  # optimizers, the best; more could not be told apart


def draw(result: Result, path: Path) -> bool:
    """Draws curves of the best rates and the loss by learning rate as a PNG; False where matplotlib is missing."""
    try:
        from matplotlib.figure import Figure
    except ImportError:
        return False
    figure = Figure(figsize=(12, 4.8), layout="constrained")
    curves, rates = figure.subplots(1, 2)
    for place, entry in enumerate(result.ranking[:SHOWN]):
        color, dashes = f"C{place % 10}", ("-", "--", ":", "-.")[place // 10 % 4]
        own = [trial for trial in result.trials if trial.name == entry.name]
        first = True
        for trial in own:
            if trial.lr == entry.lr and trial.curve:
                _curve(curves, result, trial, color, dashes, _label(entry.name) if first else None)
                first = False
        best = {lr: min(t.loss for t in own if t.lr == lr) for lr in sorted({t.lr for t in own})}
        shown = {lr: loss for lr, loss in best.items() if math.isfinite(loss)}
        rates.plot(shown.keys(), shown.values(), dashes, color=color, marker="o", markersize=3)
        if entry.lr in shown:
            rates.plot([entry.lr], [shown[entry.lr]], marker="*", markersize=12, color=color)
    curves.set(xlabel=_unit(result), ylabel="loss", title="Curves at the best learning rate")
    rates.set(xlabel="learning rate", xscale="log", title="Last loss by learning rate (★: chosen)")
    losses = [t.loss for t in result.trials if math.isfinite(t.loss)]
    for axes in (curves, rates):
        axes.grid(alpha=0.3)
        if losses and min(losses) > 0:
            axes.set_yscale("log")
    if curves.lines:
        figure.legend(loc="outside right upper", fontsize="small")
    save_figure(figure, path, dpi=110)
    return True


def _label(name: str) -> str:
    """A name for the legend, which leaves out those that begin with an underscore."""
    return f" {name}" if name.startswith("_") else name


def _curve(axes: Any, result: Result, trial: Trial, color: str, dashes: str, label: str | None) -> None:
    """The loss by steps, or by seconds where the race gave everyone the same time."""
    xs, ys = [], []
    for point in trial.curve:
        if not math.isfinite(point.loss):
            break
        xs.append(point.seconds if result.settings["steps"] is None else result.steps(point.pieces))
        ys.append(point.loss)
    axes.plot(xs, ys, dashes, color=color, alpha=0.8, linewidth=1.2, label=label)


def _unit(result: Result) -> str:
    return "seconds" if result.settings["steps"] is None else "steps"
