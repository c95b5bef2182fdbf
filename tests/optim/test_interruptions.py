"""An interruption at any line of a step or of loading leaves an optimizer that is whole."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import neurenix as nx
import pytest
from fuzz.interruptions import interrupted
from neurenix import optim
from neurenix.checkpoint import load_checkpoint, save_checkpoint


def made(name: str):
    nx.manual_seed(0)
    params = [("p", nx.randn(3, 4, requires_grad=True)), ("q", nx.randn(4, requires_grad=True))]
    optimizer = getattr(optim, name)([{"params": [params[0]]}, {"params": [params[1]]}])
    return optimizer, [param for _, param in params]


def closure(params) -> Callable[[], nx.Tensor]:
    def run() -> nx.Tensor:
        for param in params:
            param.grad = nx.ones(*param.shape)
        return nx.Tensor(1.0)

    return run


@pytest.mark.parametrize("name", ["Adam", "Shampoo"])
@pytest.mark.parametrize("phase", ["first", "third", "load"])
def test_at_every_line(name: str, phase: str) -> None:
    line = 0
    while True:
        line += 61
        optimizer, params = made(name)
        for _ in range(0 if phase == "first" else 2):
            optimizer.step(closure(params))
        if phase == "load":
            source, others = made(name)
            for _ in range(5):
                source.step(closure(others))
            saved = source.state_dict()
            action = partial(optimizer.load_state_dict, saved)
        else:
            action = partial(optimizer.step, closure(params))
        before = [param.tolist() for param in params]
        stopped = interrupted(action, line)
        assert nx.is_grad_enabled()
        state = optimizer.state_dict()
        counts = {entry["step"] for entry in state["state"].values()}
        groups = {group["step"] for group in state["param_groups"]}
        assert len(groups) == 1
        assert counts == groups or (groups == {0} and not counts), (line, counts, groups)
        moved = [param.tolist() != old for param, old in zip(params, before, strict=True)]
        assert moved in ([False, False], [True, True]), line
        made(name)[0].load_state_dict(state)
        optimizer.step(closure(params))
        assert {entry["step"] for entry in optimizer.state_dict()["state"].values()} == {
            count + 1 for count in groups
        }
        if not stopped:
            break
    assert line > 100


def test_loading_a_checkpoint_at_every_line(tmp_path) -> None:
    def content():
        model = nx.nn.Linear(2, 1)
        return model, optim.Adam(model.named_parameters())

    model, optimizer = content()
    closure(list(model.parameters()))()
    optimizer.step()
    save_checkpoint(tmp_path / "saved", model=model, optimizer=optimizer)
    after = [param.tolist() for param in model.parameters()]
    line, seen = 0, set()
    while True:
        line += 97
        model, optimizer = content()
        before = [param.tolist() for param in model.parameters()]
        stopped = interrupted(
            partial(load_checkpoint, tmp_path / "saved", model=model, optimizer=optimizer), line
        )
        now = [param.tolist() for param in model.parameters()]
        assert now in (before, after)
        assert nx.is_grad_enabled()
        step = optimizer.state_dict()["param_groups"][0]["step"]
        assert step in (0, 1)
        seen.add((now == after, step))
        if not stopped:
            break
    assert seen == {(False, 0), (True, 1)}


def test_a_model_is_loaded_as_a_whole() -> None:
    model = nx.nn.Linear(2, 1)
    before = [param.tolist() for param in model.parameters()]
    state = {"weight": nx.ones(1, 2), "bias": nx.ones(1)}
    line = 0
    while True:
        line += 2
        stopped = interrupted(lambda: model.load_state_dict(state), line)
        now = [param.tolist() for param in model.parameters()]
        assert now in (before, [[[1.0, 1.0]], [1.0]])
        assert nx.is_grad_enabled()
        if not stopped:
            break
