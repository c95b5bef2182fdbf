"""Rprop by hand."""

from __future__ import annotations

import pytest
from neurenix.optim import Rprop


def test_worked_by_hand(make) -> None:
    """A turn halves the step, is not followed, and is forgotten: the next step counts as a first one."""
    param = make([0.0])
    optimizer = Rprop([param], lr=1.0, etas=(0.5, 2.0), step_sizes=(0.125, 3.0))
    steps = [
        (1.0, -1.0, 1.0),
        (9.0, -3.0, 2.0),
        (0.1, -6.0, 3.0),  # 4, but for its bound
        (-1.0, -6.0, 1.5),
        (-1.0, -4.5, 1.5),
        (0.0, -4.5, 1.5),
        (-2.0, -3.0, 1.5),
    ]
    for gradient, value, size in steps:
        param.grad = make([gradient]).detach()
        optimizer.step()
        assert param.item() == value
        assert optimizer.state[param]["step_size"].item() == size


def test_tiny_gradients_keep_their_signs(make) -> None:
    """Their product underflows."""
    param = make([0.0], 1e-30)
    optimizer = Rprop([param], lr=1.0, etas=(0.5, 2.0))
    optimizer.step()
    optimizer.step()
    assert param.item() == -3.0


def test_zero_lr_holds_still(make) -> None:
    param = make([1.0], 1.0)
    Rprop([param], lr=0).step()
    assert param.item() == 1.0


@pytest.mark.parametrize("etas", [(0.0, 1.2), (0.5, 1.0), (1.2, 0.5)])
def test_etas_in_order(make, etas) -> None:
    with pytest.raises(ValueError, match="etas must be two numbers with 0 < η⁻ < 1 < η⁺, got"):
        Rprop([make([1.0])], etas=etas)
