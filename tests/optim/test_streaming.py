"""Optimizers in the backward pass: the same bits as backward() and step(), with the memory of one gradient."""

from __future__ import annotations

import neurenix as nx
import numpy as np
import pytest
from neurenix import Tensor, nn, optim


def model(seed=0):
    nx.manual_seed(seed)
    return nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 8), nn.Tanh(), nn.Linear(8, 2))


def loss_of(net, step):
    rng = np.random.default_rng(step)
    return (net(Tensor(rng.normal(size=(5, 6)), dtype="float32")) ** 2).sum()


CASES = {
    "sgd": lambda p: optim.SGD(p, lr=0.1, momentum=0.9),
    "adamw": lambda p: optim.AdamW(p, lr=0.1, ema=0.9),
    "clipped": lambda p: optim.Adam(p, lr=0.1, clip_norm=0.1),
    "accumulated": lambda p: optim.Adam(p, lr=0.1, accumulate=3),
    "accumulated and clipped": lambda p: optim.SGD(p, lr=0.1, accumulate=2, clip_norm=0.1, maximize=True),
    "around": lambda p: optim.Lookahead(optim.SGD(p, lr=0.1, clip_norm=0.5, nonfinite="skip"), k=2),
}


@pytest.mark.parametrize("make", CASES.values(), ids=CASES)
def test_same_bits_as_a_step(make) -> None:
    results = []
    for streaming in (False, True):
        net = model()
        groups = [
            {"params": net[0].parameters()},
            {"params": net[2].parameters()},
            {"params": net[4].parameters()},
        ]
        optimizer = make(groups)
        for step in range(7):
            loss = loss_of(net, step)
            if streaming:
                loss.backward(optimizer=optimizer)
                assert all(param.grad is None for param in net.parameters())
            else:
                loss.backward()
                optimizer.step()
                optimizer.zero_grad()
        results.append([param.detach().numpy().tobytes() for param in net.parameters()])
        results.append(str(optimizer.state_dict()["param_groups"]))
    assert results[0] == results[2]
    assert results[1] == results[3]


def test_norm_is_known() -> None:
    net = model()
    optimizer = optim.SGD(net.parameters(), lr=0.0, clip_norm=1e9)
    loss_of(net, 0).backward()
    expected = np.sqrt(sum((param.grad.numpy() ** 2).sum() for param in net.parameters()))
    net.zero_grad()
    loss_of(net, 0).backward(optimizer=optimizer)
    assert optimizer.grad_norm == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("policy", ["skip", "raise"])
def test_gradients_that_are_not_finite_leave_everything(policy) -> None:
    net = model()
    optimizer = optim.Adam(net.parameters(), nonfinite=policy)
    loss_of(net, 0).backward(optimizer=optimizer)
    before = [param.detach().numpy().copy() for param in net.parameters()]
    bad = (loss_of(net, 1) * float("inf")).sum()
    if policy == "raise":
        with pytest.raises(FloatingPointError, match="NaN or infinity"):
            bad.backward(optimizer=optimizer)
    else:
        bad.backward(optimizer=optimizer)
        assert optimizer.last_step_skipped
    assert all(
        (param.detach().numpy() == old).all() for param, old in zip(net.parameters(), before, strict=True)
    )
    assert {entry["step"] for entry in optimizer.state.values()} == {1}
    loss_of(net, 2).backward(optimizer=optimizer)
    assert not optimizer.last_step_skipped


def test_peak_memory_is_one_gradient() -> None:
    def peak(streaming: bool) -> int:
        nx.manual_seed(0)
        net = nn.Sequential(*[nn.Linear(300, 300, bias=False) for _ in range(12)])
        optimizer = optim.SGD(net.parameters(), lr=1e-3)
        x = nx.randn(2, 300)
        loss = net(x).sum()
        nx.reset_peak_memory()
        base = nx.memory_usage().current
        loss.backward(optimizer=optimizer) if streaming else loss.backward()
        return nx.memory_usage().peak - base

    size = 300 * 300 * 4
    assert peak(False) > 11 * size
    assert peak(True) < 3 * size


def test_what_cannot_stream_says_so() -> None:
    net = model()

    class Own(optim.Optimizer):
        def __init__(self, params):
            super().__init__(params, {})

        def step(self, closure=None):
            pass

    with pytest.raises(TypeError, match="Own steps in its own way and needs all gradients at once"):
        loss_of(net, 0).backward(optimizer=Own(net.parameters()))
    optimizer = optim.SGD(net.parameters())
    optimizer.register_step_pre_hook(lambda *args: None)
    with pytest.raises(ValueError, match="step hooks belong to step"):
        loss_of(net, 0).backward(optimizer=optimizer)
