"""Writing into `optimizer.state`, and hyperparameters that need other states."""

from __future__ import annotations

import copy
from collections import defaultdict

import neurenix as nx
import pytest
from neurenix import Tensor, optim
from neurenix.optim import Adam, Optimizer, Prodigy, RMSprop, ScheduleFreeSGD


def stepped(cls=Adam, steps: int = 2, **arguments):
    """A parameter, and its optimizer after some steps with the gradient (1, 2)."""
    param = nx.ones(2).requires_grad_()
    optimizer = cls([param], **arguments)
    for _ in range(steps):
        step(param, optimizer)
    return param, optimizer


def step(param: Tensor, optimizer: Optimizer) -> list[float]:
    """How far a step goes."""
    before = param.detach().clone()
    param.grad = nx.tensor([1.0, 2.0])
    optimizer.step()
    return (before - param.detach()).tolist()


def test_a_step_count_that_is_written_holds() -> None:
    """Adam's averages go on without their bias: m = 0.271, v = 0.002997 g^2, corrected as in the first step."""
    param, optimizer = stepped(lr=0.5)
    optimizer.state[param]["step"] = 0
    first = 0.5 * (0.271 / 0.1) / (0.002997001 / 0.001) ** 0.5
    assert step(param, optimizer) == pytest.approx([first, first], rel=1e-5)
    assert (optimizer.state[param]["step"], optimizer.state_dict()["state"][0]["step"]) == (1, 1)


@pytest.mark.parametrize("count", [-1, 1.5, "1", None, True, float("nan"), float("inf")])
def test_a_step_count_must_be_one(count) -> None:
    param, optimizer = stepped()
    with pytest.raises(ValueError, match=r"step must be an integer ≥ 0, got"):
        optimizer.state[param]["step"] = count
    assert optimizer.state[param]["step"] == 2


def test_tensors_and_floats_are_step_counts_as_in_torch() -> None:
    param, optimizer = stepped()
    optimizer.state[param]["step"] = nx.tensor(7.0)
    step(param, optimizer)
    assert optimizer.state[param]["step"] == 8


@pytest.mark.parametrize("held", [False, True])
def test_a_tensor_that_is_assigned_takes_the_place_of_the_old_one(held: bool) -> None:
    param, optimizer = stepped(lr=0.1)
    entry = optimizer.state[param]
    if held:  # the same object long after it was taken
        step(param, optimizer)
        entry["step"] = 2
    entry["exp_avg"], entry["exp_avg_sq"] = nx.zeros(2), nx.ones(2)
    step(param, optimizer)
    assert entry["exp_avg"].tolist() == pytest.approx([0.1, 0.2])
    assert entry["exp_avg_sq"].tolist() == pytest.approx([1.0, 0.999 + 0.004])
    assert entry["step"] == 3


def test_a_tensor_in_place_is_written_as_ever() -> None:
    param, optimizer = stepped()
    optimizer.state[param]["exp_avg"].zero_()
    step(param, optimizer)
    assert optimizer.state[param]["exp_avg"].tolist() == pytest.approx([0.1, 0.2])


@pytest.mark.parametrize(
    "forget",
    [
        lambda optimizer, param: optimizer.state.clear(),
        lambda optimizer, param: optimizer.state.pop(param),
        lambda optimizer, param: optimizer.state.__delitem__(param),
        lambda optimizer, param: optimizer.state[param].clear(),
        lambda optimizer, param: optimizer.state.__setitem__(param, {}),
        lambda optimizer, param: setattr(optimizer, "state", defaultdict(dict)),
        lambda optimizer, param: [optimizer.state[param].pop(name) for name in list(optimizer.state[param])],
    ],
)
@pytest.mark.parametrize("cls", [Adam, Prodigy, ScheduleFreeSGD])
def test_what_is_deleted_begins_anew_and_its_checkpoint_loads(cls, forget) -> None:
    param, optimizer = stepped(cls)
    fresh = param.detach().clone().requires_grad_()
    forget(optimizer, param)
    optimizer.load_state_dict(optimizer.state_dict())
    other = cls([fresh])
    for _ in range(2):
        assert step(param, optimizer) == step(fresh, other)
    assert optimizer.state[param]["step"] == 2
    optimizer.load_state_dict(optimizer.state_dict())


def test_one_state_that_is_deleted_begins_anew() -> None:
    param, optimizer = stepped()
    del optimizer.state[param]["exp_avg"]
    saved = optimizer.state_dict()
    assert saved["state"][0]["exp_avg"].tolist() == [0.0, 0.0]
    optimizer.load_state_dict(saved)
    step(param, optimizer)
    assert optimizer.state[param]["exp_avg"].tolist() == pytest.approx([0.1, 0.2])
    assert optimizer.state[param]["step"] == 3
    with pytest.raises(KeyError):
        del optimizer.state[param]["nothing"]


def test_a_whole_entry_may_be_assigned() -> None:
    param, optimizer = stepped(lr=0.1)
    source_param, source = stepped(lr=0.1, steps=5)
    optimizer.state[param] = copy.deepcopy(source.state[source_param])
    assert step(param, optimizer) == pytest.approx(step(source_param, source), rel=1e-5)
    assert optimizer.state[param]["step"] == 6


def test_numbers_are_written_too() -> None:
    param, optimizer = stepped(Prodigy)
    optimizer.state[param]["d"] = optimizer.state[param]["d_max"] = 0.25
    assert (optimizer.state[param]["d"], optimizer.state_dict()["state"][0]["d"]) == (0.25, 0.25)
    with pytest.raises(ValueError, match="d must be a number, got 'x'"):
        optimizer.state[param]["d"] = "x"
    step(param, optimizer)
    assert optimizer.state[param]["d"] >= 0.25


@pytest.mark.parametrize(
    ("value", "error", "message"),
    [
        (nx.zeros(3), ValueError, r"exp_avg of a parameter has shape \(3,\), and must have shape \(2,\)"),
        (0.0, TypeError, "exp_avg of a parameter must be a tensor, got 0.0"),
        ("x", TypeError, "exp_avg of a parameter must be a tensor, got 'x'"),
    ],
)
def test_what_no_rule_can_take_is_an_error_before_anything_changes(value, error, message) -> None:
    param, optimizer = stepped()
    kept = optimizer.state[param]["exp_avg"]
    before = param.tolist()
    optimizer.state[param]["exp_avg"] = value
    for _ in range(2):
        param.grad = nx.ones(2)
        with pytest.raises(error, match=message):
            optimizer.step()
    assert param.tolist() == before
    optimizer.state[param]["exp_avg"] = kept
    step(param, optimizer)
    assert optimizer.state[param]["step"] == 3


def test_states_of_no_parameter_or_kind_are_refused() -> None:
    param, optimizer = stepped()
    with pytest.raises(TypeError, match="optimizer.state is by parameter, got the key 'w'"):
        optimizer.state["w"] = {}
    with pytest.raises(TypeError, match="the state of a parameter is a dict"):
        optimizer.state[param] = [1]


def test_names_of_the_users_own_are_kept_and_saved() -> None:
    param, optimizer = stepped()
    optimizer.state[param]["seen"] = nx.ones(1)
    step(param, optimizer)
    assert optimizer.state[param]["seen"].tolist() == [1.0]
    other_param, other = stepped()
    other.load_state_dict(optimizer.state_dict())
    assert other.state[other_param]["seen"].tolist() == [1.0]


def test_an_own_step_has_plain_dicts() -> None:
    class Own(Optimizer):
        def __init__(self, params):
            super().__init__(params, {"lr": 0.1})

        def step(self, closure=None):
            for group in self.param_groups:
                for param in group["params"]:
                    state = self.state[param]
                    state["seen"] = state.get("seen", 0) + 1

    param, optimizer = stepped(Own)
    assert type(optimizer.state[param]) is dict
    assert optimizer.state[param] == {"seen": 2}
    optimizer.state.clear()
    optimizer.step()
    assert optimizer.state[param] == {"seen": 1}


def test_states_that_are_not_used_for_a_while_are_kept() -> None:
    """RMSprop with momentum 0.5, 0, 0.5 and squares that stay: the buffer goes on where it was."""
    param, optimizer = stepped(RMSprop, lr=0.1, momentum=0.5, alpha=0.5)
    buffer = optimizer.state[param]["momentum_buffer"].tolist()
    optimizer.param_groups[0]["momentum"] = 0
    step(param, optimizer)
    saved = optimizer.state_dict()
    assert saved["state"][0]["momentum_buffer"].tolist() == buffer
    other_param, other = stepped(RMSprop, lr=0.1, momentum=0, alpha=0.5)
    other.load_state_dict(saved)
    for p, each in ((param, optimizer), (other_param, other)):
        each.param_groups[0]["momentum"] = 0.5
        moved = step(p, each)
        rate = 0.1 / (each.state[p]["square_avg"][0].item() ** 0.5 + 1e-8)
        assert each.state[p]["momentum_buffer"][0].item() == pytest.approx(
            0.5 * buffer[0] + rate / 0.1, rel=1e-5
        )
        assert moved[0] == pytest.approx(0.1 * each.state[p]["momentum_buffer"][0].item(), rel=1e-5)


def test_amsgrad_may_come_and_go() -> None:
    param, optimizer = stepped()
    optimizer.param_groups[0]["amsgrad"] = True
    optimizer.load_state_dict(optimizer.state_dict())
    step(param, optimizer)
    largest = optimizer.state[param]["max_exp_avg_sq"].tolist()
    optimizer.param_groups[0]["amsgrad"] = False
    step(param, optimizer)
    assert optimizer.state[param]["max_exp_avg_sq"].tolist() == largest
    optimizer.load_state_dict(optimizer.state_dict())


def test_a_copy_has_a_state_of_its_own() -> None:
    param, optimizer = stepped(Prodigy)
    other = copy.deepcopy(optimizer)
    (twin,) = other.param_groups[0]["params"]
    other.state[twin]["step"] = 9
    step(twin, other)
    assert (optimizer.state[param]["step"], other.state[twin]["step"]) == (2, 10)
    assert dict(copy.copy(optimizer.state[param]))["step"] == 2
    assert optim.Prodigy([param]).state == {}


@pytest.mark.parametrize("kind", ["int8", "int4", "bfloat16"])
def test_values_may_be_written_over_what_is_stored_in_few_bits(kind: str) -> None:
    """0.9 · 1 + 0.1 · 1: the average stays 1, up to what the format resolves."""
    param = nx.ones(64, 64).requires_grad_()
    optimizer = Adam([param], state_dtype=kind)
    for _ in range(2):
        param.grad = nx.ones(64, 64)
        optimizer.step()
        optimizer.state[param]["exp_avg"] = nx.ones(64, 64)
    assert optimizer.decoded(param, "exp_avg").tolist() == nx.ones(64, 64).tolist()
    param.grad = nx.ones(64, 64)
    optimizer.step()
    assert optimizer.decoded(param, "exp_avg").mean().item() == pytest.approx(1.0, abs=0.01)
    assert optimizer.state[param]["step"] == 3
    optimizer.load_state_dict(optimizer.state_dict())
