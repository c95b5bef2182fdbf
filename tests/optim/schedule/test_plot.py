"""Pictures of schedules."""

from __future__ import annotations

import sys

import pytest
from neurenix.optim import schedule as s

matplotlib = pytest.importorskip("matplotlib")


def test_draws_the_values(tmp_path) -> None:
    schedule = s.one_cycle(0.1, steps=50)
    path = tmp_path / "lr.png"
    figure = schedule.plot(60, path)
    assert path.read_bytes().startswith(b"\x89PNG")
    (axes,) = figure.axes
    (line,) = axes.lines
    assert list(line.get_xdata()) == list(range(60))
    assert list(line.get_ydata()) == [schedule(t) for t in range(60)]
    assert axes.get_title() == repr(schedule)


def test_long_ones_are_sampled() -> None:
    figure = s.cosine(1.0, steps=10**7).plot(10**7)
    assert len(figure.axes[0].lines[0].get_xdata()) == 5000


def test_errors(monkeypatch) -> None:
    with pytest.raises(ValueError, match="plot: steps must be an integer ≥ 1, got 0"):
        s.constant(1.0).plot(0)
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(ImportError, match="plot needs matplotlib: pip install matplotlib"):
        s.constant(1.0).plot(10)
