"""An interruption at any line of a step, a load or a backward pass: what is there afterwards is whole."""

from __future__ import annotations

import sys
from random import Random

import neurenix as nx
from neurenix import optim

NAMES = (
    *("Adam", "SGD", "AdamW", "Lion", "Adafactor", "Shampoo", "SOAP", "Muon", "Prodigy", "ScheduleFreeAdamW"),
    *("RAdam", "LAMB", "DoG", "AdamMini"),
)


class Interruption(BaseException):
    """As KeyboardInterrupt, which the runner needs for itself."""


def interrupted(action, at: int) -> bool:
    """Raises at the at-th line that the package runs; whether there were so many."""
    count = 0

    def lines(frame, event, _):
        nonlocal count
        if event == "line":
            count += 1
            if count == at:
                raise Interruption
        return lines

    def calls(frame, *_):
        name = frame.f_code.co_filename
        return lines if "/neurenix/" in name and "/tests/" not in name else None

    before = sys.gettrace()
    sys.settrace(calls)
    try:
        action()
    except Interruption:
        return True
    finally:
        sys.settrace(before)
    return False


def case(r: Random) -> None:
    name = r.choice(NAMES)

    def make():
        nx.manual_seed(0)
        params = [("p", nx.randn(3, 4, requires_grad=True)), ("q", nx.randn(4, 2, requires_grad=True))]
        return getattr(optim, name)(params), [p for _, p in params]

    def step(optimizer, params) -> None:
        for p in params:
            p.grad = nx.ones(*p.shape)
        optimizer.step()

    optimizer, params = make()
    for _ in range(r.randint(0, 2)):
        step(optimizer, params)
    saved = optimizer.state_dict()
    action = r.choice(("step", "load", "save", "backward"))
    acts = {
        "step": lambda: step(optimizer, params),
        "load": lambda: optimizer.load_state_dict(saved),
        "save": optimizer.state_dict,
        "backward": lambda: (params[0] @ params[1]).sum().backward(optimizer=optimizer),
    }
    try:
        interrupted(acts[action], r.randint(1, 400))
    except (TypeError, ValueError, RuntimeError):
        return  # this optimizer has no step in the backward pass
    state = optimizer.state_dict()
    steps = {entry.get("step") for entry in state["state"].values()}
    # A step in the backward pass is made of steps of single parameters.
    assert len(steps) <= (1 if action != "backward" else 2), f"{name}, {action}: {steps} steps were made"
    other, _ = make()
    other.load_state_dict(state)
    step(optimizer, params)
    assert nx.is_grad_enabled(), f"{name}, {action}: gradients are no longer recorded"
    assert all(bool(p.isfinite().all()) for p in params)
