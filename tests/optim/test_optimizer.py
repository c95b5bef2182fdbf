"""The base class: steps, closures, own optimizers, schedules as hyperparameters."""

from __future__ import annotations

import neurenix as nx
import pytest
from neurenix.optim import SGD, Adam, Optimizer, schedule


def test_zero_grad(make) -> None:
    a, b = make([1.0, 2.0], 3.0), make([1.0])
    optimizer = SGD([a, b])
    optimizer.zero_grad(set_to_none=False)
    assert a.grad.tolist() == [0.0, 0.0]
    assert b.grad is None
    optimizer.zero_grad()
    assert a.grad is None


def test_step_returns_what_the_closure_returns(make) -> None:
    param = make([1.0])
    optimizer = SGD([param], lr=0.25)

    def closure():
        optimizer.zero_grad()
        loss = (param * param).sum()
        loss.backward()
        return loss

    assert optimizer.step(closure).item() == 1.0
    assert param.item() == 0.5
    with nx.no_grad():
        assert optimizer.step(closure).item() == 0.25
    assert optimizer.step() is None


def test_a_formula_of_ones_own(lion, make) -> None:
    param = make([1.0, -1.0], [2.0, -3.0])
    optimizer = lion([param], lr=0.25, betas=(0.5, 0.75), weight_decay=1.0)
    optimizer.step()
    assert param.tolist() == [0.5, -0.5]
    assert optimizer.state[param]["m"].tolist() == [0.5, -0.75]


def test_a_step_of_ones_own(plain, make) -> None:
    a, b = make([1.0], 1.0), make([1.0], 1.0)
    optimizer = plain([{"params": [a]}, {"params": [b], "lr": 0.25}], lr=0.5)
    optimizer.step()
    assert (a.item(), b.item()) == (0.5, 0.75)
    optimizer.step()
    assert a.item() == 0.5 - 0.5 * 1.5


def test_a_step_of_ones_own_records_no_gradients(make) -> None:
    class InPlace(Optimizer):
        def __init__(self, params):
            super().__init__(params, {"lr": 0.5})

        def step(self):
            for group in self.param_groups:
                for param in group["params"]:
                    param.sub_(param.grad, alpha=group["lr"])

    param = make([1.0])
    (param * 1.0).sum().backward()
    InPlace([param]).step()
    assert param.item() == 0.5
    assert nx.is_grad_enabled()


def test_its_closure_records_gradients(plain, make) -> None:
    param = make([1.0])

    def closure():
        loss = (param * param).sum()
        loss.backward()
        return loss

    assert plain([param], lr=0.25).step(closure).item() == 1.0
    assert param.item() == 0.5


@pytest.mark.parametrize(
    "option",
    [{"clip_norm": 1.0}, {"ema": 0.9}, {"cautious": True}, {"accumulate": 2}, {"accumulate_sum": True},
     {"state_dtype": "int8"}, {"param_update": "kahan"}, {"weight_decay_mode": "l2"}],
    ids=str,
)  # fmt: skip
def test_a_step_of_ones_own_refuses_what_it_would_ignore(plain, make, option) -> None:
    with pytest.raises(ValueError, match=f"Plain takes no {next(iter(option))}: it has no formula"):
        plain([make([1.0], 1.0)], **option)


def test_an_overridden_step_may_call_its_base(make) -> None:
    class Logged(SGD):
        steps = 0

        def step(self, closure=None):
            Logged.steps += 1
            return super().step(closure)

    param = make([1.0], 1.0)
    optimizer = Logged([param], lr=schedule.linear(0.5, 0.0, steps=2), nonfinite="skip")
    calls = []
    optimizer.register_step_post_hook(lambda *_: calls.append(1))
    optimizer.step()
    optimizer.step()
    assert param.item() == 1.0 - 0.5 - 0.25
    assert (Logged.steps, len(calls)) == (2, 2)


def test_neither_formula_nor_step(make) -> None:
    with pytest.raises(NotImplementedError, match="Empty has neither a formula nor a step"):
        type("Empty", (Optimizer,), {})([make([1.0], 1.0)], {}).step()


def test_any_hyperparameter_may_be_a_schedule(make) -> None:
    param = make([1.0], 1.0, "float64")
    optimizer = SGD([param], lr=schedule.linear(0.5, 0.1, steps=4), weight_decay=lambda t: 0.5 * (t == 1))
    expected = 1.0
    for t in range(6):
        lr, decay = (0.5, 0.4, 0.3, 0.2, 0.1, 0.1)[t], 0.5 * (t == 1)
        expected -= lr * (1.0 + decay * expected)
        optimizer.step()
        assert param.item() == pytest.approx(expected, rel=1e-14)


def test_schedules_in_a_step_of_ones_own(plain, make) -> None:
    param = make([1.0], 1.0)
    optimizer = plain([param], lr=schedule.multi_step(0.5, milestones=[1], gamma=0.5), momentum=0)
    optimizer.step()
    optimizer.step()
    assert param.item() == 0.25


def test_a_schedule_inside_a_tuple(make) -> None:
    one, two = make([1.0], 1.0), make([1.0], 1.0)
    scheduled = Adam([one], betas=(schedule.constant(0.5), 0.9))
    plain = Adam([two], betas=(0.5, 0.9))
    for optimizer, param in ((scheduled, one), (plain, two)):
        optimizer.step()
        param.grad = make([-2.0]).detach()
        optimizer.step()
    assert one.item() == two.item()


def test_schedules_follow_the_group_and_t_the_parameter(make) -> None:
    """A group that is added late begins its schedule; a parameter without gradient does not count."""
    a, b = make([0.0], 1.0), make([0.0], 1.0)
    optimizer = SGD([a], lr=schedule.multi_step(1.0, milestones=[1], gamma=0.5))
    optimizer.step()
    optimizer.add_param_group({"params": [b]})
    optimizer.step()
    assert (a.item(), b.item()) == (-1.5, -1.0)


@pytest.mark.parametrize("value", [-1.0, float("nan"), float("inf"), "x", None])
def test_what_a_schedule_gives_is_checked(make, value) -> None:
    param = make([1.0], 1.0)
    optimizer = SGD([param], lr=lambda t: 0.5 if t == 0 else value)
    optimizer.step()
    with pytest.raises((ValueError, TypeError), match="SGD, group 0: lr must be a number"):
        optimizer.step()
    assert param.item() == 0.5


def test_hyperparameters_of_the_coming_step(make) -> None:
    optimizer = SGD([make([1.0], 1.0)], lr=schedule.linear(1.0, 0.0, steps=2))
    optimizer.step()
    assert optimizer.hyperparameters(optimizer.param_groups[0])["lr"] == 0.5


def test_init_state(make) -> None:
    param = make([1.0, 2.0])
    optimizer = Adam([param])
    assert not optimizer.state
    optimizer.init_state()
    assert optimizer.state[param]["step"] == 0
    assert optimizer.state[param]["exp_avg"].tolist() == [0.0, 0.0]
    assert param.tolist() == [1.0, 2.0]


def test_state_can_be_changed_in_place(make) -> None:
    param = make([0.0], 1.0)
    optimizer = SGD([param], lr=1.0, momentum=0.5)
    optimizer.step()
    optimizer.state[param]["momentum_buffer"].fill_(4.0)
    optimizer.step()
    assert param.item() == -1.0 - 3.0


def test_training_inside_a_model_learns() -> None:
    nx.manual_seed(0)
    model = nx.nn.Sequential(nx.nn.Linear(2, 16), nx.nn.Tanh(), nx.nn.Linear(16, 1))
    x = nx.randn(64, 2)
    y = (x * x).sum(1, keepdim=True)
    optimizer = Adam(model.parameters(), lr=0.02)
    losses = []
    for _ in range(200):
        optimizer.zero_grad()
        loss = nx.nn.functional.mse_loss(model(x), y)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.1 * losses[0]
