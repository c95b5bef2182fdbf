"""Pictures of schedules."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from .arguments import Whole

if TYPE_CHECKING:
    from matplotlib.figure import Figure

POINTS: Final = 5000  # more than a picture has columns


def plot(schedule: Callable[[float], float], steps: int, path: str | os.PathLike[str] | None) -> Figure:
    """See `Schedule.plot`."""
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise ImportError(
            'plot needs matplotlib: pip install matplotlib, or "neurenix[train]" with all extras'
        ) from None
    steps = Whole(1).check("plot: steps", steps)
    times = range(0, steps, -(-steps // POINTS))
    figure = Figure(figsize=(6, 3), layout="constrained")  # not pyplot's: it would stay open until closed
    axes = figure.add_subplot(xlabel="step", title=repr(schedule) if len(repr(schedule)) < 80 else "")
    axes.plot(times, [schedule(t) for t in times])
    axes.grid(alpha=0.3)
    if path is not None:
        figure.savefig(path, dpi=150)
    return figure
