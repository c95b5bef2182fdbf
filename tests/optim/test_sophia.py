"""Sophia's curvature."""

from __future__ import annotations

import neurenix as nx
import numpy as np
import pytest
from neurenix import Tensor
from neurenix.optim import Sophia


def test_squares_of_gradients_are_averaged(make) -> None:
    param, idle = make([1.0, 2.0], [3.0, -4.0]), make([1.0])
    optimizer = Sophia([param, idle], betas=(0.9, 0.75))
    for expected in ([2.25, 4.0], [3.9375, 7.0]):
        optimizer.update_hessian()
        assert optimizer.state[param]["hessian"].tolist() == expected
    assert optimizer.state[idle]["hessian"].tolist() == [0.0]
    assert param.tolist() == [1.0, 2.0]
    assert param.grad.tolist() == [3.0, -4.0]


def test_each_group_has_its_own_decay(make) -> None:
    params = [make([1.0], [2.0]), make([1.0], [2.0])]
    groups = [{"params": [p], "betas": (0.9, beta)} for p, beta in zip(params, (0.75, 0.5), strict=True)]
    optimizer = Sophia(groups)
    optimizer.update_hessian()
    assert [optimizer.state[param]["hessian"].item() for param in params] == [1.0, 2.0]


def test_a_loss_gives_the_diagonal_of_its_second_derivatives() -> None:
    """Σ aᵢxᵢ³/6 at x = 1 has the diagonal a and nothing beside it, so that only u² with mean 1 is random."""
    nx.manual_seed(0)
    size = 20_000
    a = Tensor(np.where(np.arange(size) % 2, 2.0, -3.0), dtype="float64")
    param = Tensor.ones(size, dtype="float64", requires_grad=True)
    idle = Tensor.ones(1, requires_grad=True)
    optimizer = Sophia([param, idle], betas=(0.9, 0.0))
    optimizer.update_hessian((a * param**3).sum() / 6)
    found = optimizer.state[param]["hessian"].numpy() / a.numpy()
    assert found.min() > 0  # u²
    assert found.mean() == pytest.approx(1, abs=5 * np.sqrt(2 / size))
    assert optimizer.state[idle]["hessian"].item() == 0
    assert param.grad is None


def test_no_random_number_is_used_twice() -> None:
    nx.manual_seed(0)
    params = [Tensor.ones(3, dtype="float64", requires_grad=True) for _ in range(2)]
    optimizer = Sophia(params, betas=(0.9, 0.0))
    seen = []
    for _ in range(2):
        optimizer.update_hessian(sum((p**2).sum() for p in params))
        seen += [x for p in params for x in optimizer.state[p]["hessian"].tolist()]
    assert len(set(seen)) == 12


def test_negative_curvature_counts_as_clipped(make) -> None:
    param = make([1.0, 1.0], [0.5, -0.5])
    optimizer = Sophia([param], lr=0.25, betas=(0.0, 0.0), weight_decay=0)
    optimizer.init_state()
    optimizer.state[param]["hessian"].copy_(Tensor([-4.0, -4.0]))
    optimizer.step()
    assert param.tolist() == [0.75, 1.25]


def test_a_loss_of_nothing_is_an_error(make) -> None:
    other = make([1.0])
    optimizer = Sophia([make([1.0])])
    with pytest.raises(ValueError, match="no parameter takes part in this loss"):
        optimizer.update_hessian((other**2).sum())
