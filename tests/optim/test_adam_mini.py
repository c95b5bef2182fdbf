"""Adam-mini's parts of matrices."""

from __future__ import annotations

import pytest
from neurenix.optim import AdamMini


def test_state_of_rows_blocks_and_vectors(make) -> None:
    matrix, heads, bias = make([[0.0] * 2] * 6, 1.0), make([[0.0] * 2] * 6, 1.0), make([0.0] * 4, 1.0)
    optimizer = AdamMini([{"params": [matrix, bias]}, {"params": [heads], "blocks": 3}])
    optimizer.step()
    shapes = [tuple(optimizer.state[p]["exp_avg_sq"].shape) for p in (matrix, heads, bias)]
    assert shapes == [(6, 1), (3, 1), (1, 1)]


def test_the_rows_of_a_block_share_their_scale(make) -> None:
    param = make([[0.0], [0.0], [0.0], [0.0]], [[1.0], [3.0], [2.0], [2.0]], "float64")
    AdamMini([param], lr=1.0, eps=0.0, blocks=2).step()
    low, high, *even = (-value for (value,) in param.tolist())
    assert high == pytest.approx(3 * low, rel=1e-12)
    assert low**2 + high**2 == pytest.approx(2, rel=1e-12)
    assert even == pytest.approx([1.0, 1.0], rel=1e-12)


def test_blocks_that_do_not_fit_are_an_error(make) -> None:
    param = make([[1.0]] * 4, 1.0)
    optimizer = AdamMini([param], blocks=3)
    with pytest.raises(ValueError, match=r"shape \(4, 1\) cannot be divided into 3 blocks"):
        optimizer.step()
    assert param.tolist() == [[1.0]] * 4
