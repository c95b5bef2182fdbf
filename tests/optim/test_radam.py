"""RAdam by hand."""

from __future__ import annotations

import math

import pytest
from neurenix.optim import RAdam


def test_the_variance_counts_from_the_sixth_step(make) -> None:
    param = make([1.0], 4.0, "float64")
    optimizer = RAdam([param], lr=0.1, eps=0.5)
    for t in range(1, 7):
        before = param.item()
        optimizer.step()
        step = before - param.item()
        if t < 6:
            assert step == pytest.approx(0.4, rel=1e-12)  # lr times the mean gradient
    missing = 1 - 0.999**6
    rho = 1999 - 12 * 0.999**6 / missing
    r = math.sqrt((rho - 4) * (rho - 2) * 1999 / (1995 * 1997 * rho))
    assert 5 < rho < 6
    assert step == pytest.approx(0.1 * 4 * r * math.sqrt(missing) / (4 * math.sqrt(missing) + 0.5), rel=1e-9)


def test_short_memories_never_adapt(make) -> None:
    """ρ is at most ρ∞ = 2 / (1 − β₂) − 1, here 4, where r has a pole."""
    param = make([1.0], 4.0, "float64")
    optimizer = RAdam([param], lr=0.1, betas=(0.9, 0.6))
    for _ in range(100):
        optimizer.step()
    assert param.item() == pytest.approx(1 - 100 * 0.4, rel=1e-12)
