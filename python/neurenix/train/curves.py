"""Training curves as a picture."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from neurenix._output import save_figure


def draw(lines: Sequence[dict[str, float]], path: Path, task: str) -> bool:
    """Draws loss and score by epoch as a PNG; False where matplotlib is not installed.

    Args:
        lines: of a history, at least one.
        path: of the picture.
        task: "classification" or "regression".
    """
    try:
        from matplotlib.figure import Figure
    except ImportError:
        return False
    figure = Figure(figsize=(9, 3.6), layout="constrained")
    names = {"loss": "loss", "score": "accuracy" if task == "classification" else "R²"}
    epochs = [line["epoch"] for line in lines]
    for axes, (key, name) in zip(figure.subplots(1, 2), names.items(), strict=True):
        for part, label in ("train", "training"), ("val", "validation"):
            axes.plot(epochs, [line[f"{part}_{key}"] for line in lines], label=label)
        axes.set(xlabel="epoch", title=name)
        axes.grid(alpha=0.3)
        axes.legend()
    save_figure(figure, path, dpi=120)
    return True
