"""Editing `param_groups`: states and counts belong to parameters, wherever they stand."""

from __future__ import annotations

import neurenix as nx
import pytest
from neurenix import optim
from neurenix.optim import SGD, Adam, schedule


def edits():
    """Changes of two groups that leave what each parameter is stepped with as it is."""

    def move(groups):  # both parameters have the same learning rate then
        groups[0]["params"].append(groups[1]["params"].pop())
        del groups[1]

    return {
        "reverse": lambda groups: groups.reverse(),
        "move": move,
        "replace": lambda groups: groups.__setitem__(1, dict(groups[1])),
        "replace all": lambda groups: groups.__setitem__(slice(None), [dict(group) for group in groups]),
        "delete and insert": lambda groups: groups.insert(0, groups.pop()),
        "new list of parameters": lambda groups: groups[1].update(params=list(groups[1]["params"])),
    }


RULES = {
    "Adam": lambda groups: Adam(groups, lr=0.1),
    "a schedule": lambda groups: Adam(groups, lr=schedule.linear(0.5, 0.0, steps=8)),
    "the largest rate so far": lambda groups: optim.AdamW(
        groups, lr=schedule.cosine(0.5, steps=8), weight_decay=0.1, weight_decay_mode="independent"
    ),
    "Schedule-Free": lambda groups: optim.ScheduleFree(SGD(groups, lr=schedule.linear(0.5, 0.0, steps=8))),
    "an estimate of d": lambda groups: optim.Prodigy(groups, d0=0.1),
    "dampening": lambda groups: SGD(groups, lr=0.1, momentum=0.9, dampening=0.5),
    "tensor code": lambda groups: optim.Shampoo(groups, lr=0.1),
}


def run(make, edit) -> tuple:
    p, q = nx.ones(2, 3).requires_grad_(), nx.ones(2, 3).requires_grad_()
    optimizer = make([{"params": [p]}, {"params": [q]}])
    for k in range(6):
        if k == 3:
            edit(optimizer.param_groups)
        p.grad, q.grad = nx.full((2, 3), 1.0), nx.full((2, 3), k - 3.0)
        optimizer.step()
    optimizer.load_state_dict(optimizer.state_dict())
    counts = [optimizer.state[param]["step"] for param in (p, q)]
    return p.tolist(), q.tolist(), counts, {group["step"] for group in optimizer.state_dict()["param_groups"]}


@pytest.mark.parametrize("edit", edits())
@pytest.mark.parametrize("rule", RULES)
def test_an_edit_changes_no_step(rule: str, edit: str) -> None:
    expected = run(RULES[rule], lambda groups: None)
    assert expected[2:] == ([6, 6], {6})
    assert run(RULES[rule], edits()[edit]) == expected


def test_a_group_that_is_deleted_leaves_the_others_as_they_are() -> None:
    def of_q(edit):
        p, q = nx.ones(2).requires_grad_(), nx.ones(2).requires_grad_()
        optimizer = Adam([{"params": [p], "lr": 0.1}, {"params": [q], "lr": 0.01}])
        for k in range(6):
            if k == 3:
                edit(optimizer.param_groups)
            p.grad, q.grad = nx.tensor([1.0, 2.0]), nx.tensor([2.0, k - 3.0])
            optimizer.step()
        return q.tolist(), optimizer.state[q]["step"], optimizer.state[p]["step"]

    *kept, count = of_q(lambda groups: None)
    *left, stopped = of_q(lambda groups: groups.__delitem__(0))
    assert (left, count, stopped) == (kept, 6, 3)


def test_a_parameter_comes_back_to_its_state() -> None:
    p, q = nx.ones(2).requires_grad_(), nx.ones(2).requires_grad_()
    optimizer = Adam([{"params": [p]}, {"params": [q]}])
    for k in range(4):
        p.grad = q.grad = nx.ones(2)
        optimizer.step()
        if k == 1:
            gone = optimizer.param_groups.pop()
        elif k == 2:
            optimizer.param_groups.append(gone)
    assert (optimizer.state[p]["step"], optimizer.state[q]["step"]) == (4, 3)


def test_a_new_group_begins_its_schedule() -> None:
    p, q = nx.zeros(1).requires_grad_(), nx.zeros(1).requires_grad_()
    optimizer = SGD([p], lr=schedule.linear(1.0, 0.0, steps=4))
    p.grad = q.grad = nx.ones(1)
    optimizer.step()
    optimizer.add_param_group({"params": [q]})
    optimizer.step()
    assert (p.item(), q.item()) == (-1.75, -1.0)
    assert [group["step"] for group in optimizer.state_dict()["param_groups"]] == [2, 1]


def test_gradients_that_wait_belong_to_no_place() -> None:
    p, q = nx.zeros(1).requires_grad_(), nx.zeros(1).requires_grad_()
    optimizer = SGD([{"params": [p]}, {"params": [q]}], lr=1.0, accumulate=2)
    for k in range(2):
        p.grad = q.grad = nx.ones(1)
        optimizer.step()
        if k == 0:
            optimizer.param_groups.reverse()
            optimizer.param_groups[0] = dict(optimizer.param_groups[0])
    assert (p.item(), q.item()) == (-1.0, -1.0)


def test_a_parameter_twice_is_an_error() -> None:
    p, q = nx.zeros(1).requires_grad_(), nx.zeros(1).requires_grad_()
    optimizer = SGD([{"params": [p]}, {"params": [q]}], lr=1.0)
    p.grad = q.grad = nx.ones(1)
    optimizer.step()
    optimizer.param_groups[1]["params"].append(p)
    with pytest.raises(
        ValueError, match="group 1: parameter 1 is the same tensor as SGD, group 0: parameter 0"
    ):
        optimizer.step()
    assert p.item() == -1.0


def test_names_move_with_parameters() -> None:
    p, q = nx.zeros(1).requires_grad_(), nx.zeros(1).requires_grad_()
    optimizer = SGD([("p", p), ("q", q)], lr=1.0)
    p.grad = q.grad = nx.ones(1)
    optimizer.step()
    del optimizer.param_groups[0]["params"][0]
    with pytest.raises(ValueError, match="SGD, group 0 has 1 parameters, but 2 names"):
        optimizer.step()
    del optimizer.param_groups[0]["param_names"][0]
    optimizer.step()
    assert (p.item(), q.item()) == (-1.0, -2.0)
