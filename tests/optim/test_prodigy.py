"""What tensors share in rules that find their learning rate."""

from __future__ import annotations

import pytest
from neurenix.optim import DAdaptAdam, DAdaptLion, DAdaptSGD, DoG, DoWG, Prodigy

OWN = {Prodigy: "d", DAdaptAdam: "d", DAdaptLion: "d", DAdaptSGD: "d", DoG: "max_dist", DoWG: "estim_sq_dist"}


def run(cls, params, steps=10):
    optimizer = cls([{"params": [param]} for param in params], weight_decay=0.01)
    for _ in range(steps):
        optimizer.zero_grad()
        sum(((param - 3) ** 2).sum() for param in params).backward()
        optimizer.step()
    return optimizer


@pytest.mark.parametrize("cls", OWN)
def test_all_tensors_have_one_estimate(cls, make) -> None:
    params = [make([1.0, 2.0]), make([[5.0]])]
    optimizer = run(cls, params)
    one, other = (optimizer.state[param][OWN[cls]] for param in params)
    assert one == other > 0


@pytest.mark.parametrize("cls", OWN)
def test_a_tensor_that_comes_back_takes_up_the_estimate(cls, make) -> None:
    params = [make([1.0, 2.0]), make([[5.0]])]
    optimizer = run(cls, params, 3)
    for _ in range(20):
        params[1].grad = None
        params[0].grad = 2 * (params[0].detach() - 3)
        optimizer.step()
    late = optimizer.state[params[0]][OWN[cls]]
    assert late > optimizer.state[params[1]][OWN[cls]]
    params[1].grad = 2 * (params[1].detach() - 3)
    optimizer.step()
    one, other = (optimizer.state[param][OWN[cls]] for param in params)
    assert one == other >= late


@pytest.mark.parametrize("cls", [Prodigy, DAdaptAdam, DAdaptSGD, DoG, DoWG])
def test_without_a_rate_they_get_there(cls, make) -> None:
    param = make([1.0, 20.0], dtype="float64")
    run(cls, [param], 300)
    assert param.tolist() == pytest.approx([3.0, 3.0], abs=0.2)
