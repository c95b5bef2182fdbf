"""SGD by hand."""

from __future__ import annotations

from neurenix.optim import SGD


def test_worked_by_hand(make) -> None:
    param = make([1.0])
    optimizer = SGD([param], lr=0.5, momentum=0.5, dampening=0.25, weight_decay=0.5)
    expected = [
        0.25,  # g = 1 + 0.5 = 1.5, b = 1.5
        -0.546875,  # g = 1.125, b = 0.75 + 0.75 * 1.125 = 1.59375
    ]
    for value in expected:
        param.grad = make([1.0]).detach()
        optimizer.step()
        assert param.item() == value


def test_nesterov_by_hand(make) -> None:
    param = make([1.0], 1.0)
    SGD([param], lr=0.5, momentum=0.5, nesterov=True).step()
    assert param.item() == 0.25  # b = 1, p - 0.5 * (1 + 0.5)


def test_defaults() -> None:
    """Promised: another lr than torch's."""
    import inspect

    names = {name: p.default for name, p in inspect.signature(SGD).parameters.items() if name != "options"}
    assert list(names.items())[1:] == [
        ("lr", 0.01),
        ("momentum", 0),
        ("dampening", 0),
        ("weight_decay", 0),
        ("nesterov", False),
    ]


def test_no_momentum_no_state(make) -> None:
    optimizer = SGD([param := make([1.0], 1.0)])
    optimizer.step()
    assert optimizer.state[param] == {"step": 1}


def test_momentum_may_come_and_go(make) -> None:
    """As in torch: where it is 0 the buffer waits, and goes on from where it was."""
    optimizer = SGD([param := make([1.0], 1.0)], lr=0.25)
    optimizer.step()
    optimizer.param_groups[0]["momentum"] = 0.5
    optimizer.step()
    assert optimizer.state[param]["momentum_buffer"].tolist() == [1.0]
    optimizer.param_groups[0]["momentum"] = 0
    optimizer.step()
    assert optimizer.state[param]["momentum_buffer"].tolist() == [1.0]
    optimizer.param_groups[0]["momentum"] = 0.5
    optimizer.step()
    assert optimizer.state[param]["momentum_buffer"].tolist() == [1.5]
    assert param.item() == 1 - 0.25 * (1 + 1 + 1 + 1.5)
