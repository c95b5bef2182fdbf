"""Gradients that wait for others: each counts once, in the step of its window."""

from __future__ import annotations

import copy

import neurenix as nx
import pytest
from neurenix import Tensor, nn, optim
from neurenix.optim import schedule


def scalar(value=0.0):
    return Tensor([value], requires_grad=True)


def feed(optimizer, param, *values):
    for value in values:
        param.grad = None if value is None else Tensor([value])
        optimizer.step()


FORMS = {
    "SGD": lambda p, **o: optim.SGD(p, lr=1.0, **o),
    "groups": lambda p, **o: optim.SGD([{"params": [x]} for x in p], lr=1.0, **o),
    "clip_norm": lambda p, **o: optim.SGD(p, lr=1.0, clip_norm=100.0, **o),
    "Adam": lambda p, **o: optim.Adam(p, lr=0.1, **o),
    "int4": lambda p, **o: optim.Adam(p, lr=0.1, state_dtype="int4", **o),
    "Muon": lambda p, **o: optim.Muon(p, lr=0.1, **o),
    "wrapped": lambda p, **o: optim.Lookahead(optim.SGD(p, lr=1.0, **o), k=2),
}


def matrices():
    nx.manual_seed(0)
    return [nx.randn(80, 80).requires_grad_() for _ in range(2)]


@pytest.mark.parametrize("make", FORMS.values(), ids=FORMS)
@pytest.mark.parametrize("total", [False, True])
@pytest.mark.parametrize("backward", [False, True])
def test_gradients_of_some_parameters_in_some_calls(make, total, backward) -> None:
    """Windows of 3, gradients as (a, -), (-, -) of b alone, (a, b) ...: what counts is the mean over the window."""
    (a, b), (c, d) = matrices(), matrices()
    optimizer = make([a, b], accumulate=3, accumulate_sum=total)
    by_hand = make([c, d])
    for window in range(2):
        parts = [(nx.randn(80, 80), None), (nx.randn(80, 80), None), (None, nx.randn(80, 80))]
        if window:
            parts = [part[::-1] for part in parts]
        for part in parts:
            if backward:
                loss = sum((x * g).sum() for x, g in zip((a, b), part, strict=True) if g is not None)
                loss.backward(optimizer=optimizer)
            else:
                a.grad, b.grad = part
                optimizer.step()
            assert a.grad is None
            assert b.grad is None
        for param, own in zip((c, d), zip(*parts, strict=True), strict=True):
            mean = sum(g for g in own if g is not None) * (1 if total else 1 / 3)
            param.grad = mean
        by_hand.step()
    for x, y in ((a, c), (b, d)):
        assert bool((x - y).abs().max() < 1e-5)


def test_a_parameter_without_any_gradient_is_not_stepped() -> None:
    a, b = scalar(1.0), scalar(1.0)
    optimizer = optim.Adam([a, b], lr=0.1, accumulate=2, weight_decay=0.5)
    feed(optimizer, a, 1.0, 1.0)
    assert b.item() == 1.0
    assert [optimizer.state[p]["step"] for p in (a, b)] == [1, 0]


@pytest.mark.parametrize("total", [False, True])
@pytest.mark.parametrize("late", [False, True])
def test_a_short_last_window(total, late) -> None:
    """Of 5 gradients 4 are a window; the fifth is stepped with, or after, its own call."""
    p = scalar()
    optimizer = optim.SGD([p], lr=1.0, accumulate=4, accumulate_sum=total)
    feed(optimizer, p, 1.0, 2.0, 3.0, 4.0)
    assert p.item() == (-10 if total else -2.5)
    p.grad = Tensor([5.0])
    if late:
        optimizer.step()
        assert p.item() == (-10 if total else -2.5)
    optimizer.flush()
    assert p.grad is None
    assert p.item() == (-15 if total else -7.5)
    state, steps = copy.deepcopy(optimizer.state_dict()), optimizer._plans[0].step
    optimizer.flush()  # nothing waits
    assert (p.item(), optimizer._plans[0].step) == ((-15 if total else -7.5), steps)
    assert str(optimizer.state_dict()) == str(state)
    feed(optimizer, p, 1.0, 1.0, 1.0)
    assert p.item() == (-15 if total else -7.5)  # a whole window again
    feed(optimizer, p, 1.0)
    assert p.item() == (-19 if total else -8.5)


@pytest.mark.parametrize("make", [optim.SGD, optim.LBFGS, lambda p: optim.SAM(optim.SGD(p))])
def test_flush_without_accumulation_does_nothing(make) -> None:
    p = scalar()
    p.grad = Tensor([1.0])
    make([p]).flush()
    assert (p.item(), p.grad.item()) == (0, 1)


def test_flush_has_hooks_and_policies() -> None:
    p, calls = scalar(), []
    optimizer = optim.SGD([p], lr=1.0, accumulate=3, nonfinite="skip")
    optimizer.register_step_post_hook(lambda *given: calls.append(given))
    feed(optimizer, p, 2.0)
    p.grad = Tensor([float("nan")])
    optimizer.flush()
    assert (p.item(), p.grad, len(calls), optimizer.last_step_skipped) == (0, None, 2, True)
    optimizer.flush()
    assert (p.item(), len(calls), optimizer.last_step_skipped) == (-2, 3, False)


def test_flush_of_rules_with_a_step_of_their_own() -> None:
    p = scalar(1.0)
    optimizer = optim.MoMo([p], lr=1.0, beta=0.0, accumulate=3)

    def closure():
        loss = (p * p).sum()
        loss.backward()
        return loss

    optimizer.step(closure)
    assert p.item() == 1
    optimizer.flush()
    assert p.item() < 1


def test_backward_passes_without_zero_grad_count_once() -> None:
    """The classical mistake: `.grad` would hold the sum of all passes so far."""
    p = scalar(1.0)
    optimizer = optim.SGD([p], lr=1.0, accumulate=2)
    for factor in (1.0, 3.0, 5.0, 7.0):
        (p * factor).sum().backward()
        optimizer.step()
        optimizer.step()  # without a new gradient: does not count
    assert p.item() == 1 - 2 - 6


@pytest.mark.parametrize("to_none", [True, False])
def test_zero_grad_between_changes_nothing(to_none) -> None:
    p = scalar(1.0)
    optimizer = optim.SGD([p], lr=1.0, accumulate=2)
    for factor in (1.0, 3.0, 5.0, 7.0):
        optimizer.zero_grad(set_to_none=to_none)
        (p * factor).sum().backward()
        optimizer.step()
    assert p.item() == 1 - 2 - 6


def test_the_users_gradient_is_not_written_into() -> None:
    p, grads = scalar(), [Tensor([1.0]), Tensor([3.0])]
    optimizer = optim.SGD([p], lr=1.0, accumulate=2)
    for grad in grads:
        p.grad = grad
        optimizer.step()
    assert [g.item() for g in grads] == [1, 3]


@pytest.mark.parametrize("wrap", [lambda o: o, lambda o: optim.Lookahead(o, k=100)], ids=["plain", "wrapped"])
def test_a_new_number_of_calls(wrap) -> None:
    p = scalar()
    optimizer = wrap(optim.SGD([p], lr=1.0, accumulate=4))
    feed(optimizer, p, 1.0, 3.0)
    optimizer.accumulate = 3
    feed(optimizer, p, 5.0)
    assert p.item() == -3  # the mean of three
    feed(optimizer, p, 2.0, 4.0)
    optimizer.accumulate = 1  # those two count in the coming step
    feed(optimizer, p, 6.0)
    assert p.item() == -7
    feed(optimizer, p, 1.0)
    assert p.item() == -8
    assert "accumulated" not in optimizer.state[p]
    optimizer.accumulate = 2
    feed(optimizer, p, 1.0)
    assert p.item() == -8
    feed(optimizer, p, 3.0)
    assert p.item() == -10
    feed(optimizer, p, 4.0)
    optimizer.accumulate = 5
    feed(optimizer, p, *[4.0] * 3)
    assert p.item() == -10
    feed(optimizer, p, 4.0)
    assert p.item() == -14


@pytest.mark.parametrize("count", [0, -1])
def test_numbers_of_calls_that_are_none(count) -> None:
    p = scalar()
    optimizer = optim.SGD([p], lr=1.0, accumulate=2)
    with pytest.raises(ValueError, match="SGD: accumulate must be an integer ≥ 1"):
        optimizer.accumulate = count
    with pytest.raises(ValueError, match="SGD: accumulate must be an integer ≥ 1"):
        optim.SGD([p], lr=1.0, accumulate=count)
    assert optimizer.accumulate == 2


@pytest.mark.parametrize("count", [1.5, "x", True, None])
def test_kinds_of_calls_that_are_none(count) -> None:
    p = scalar()
    optimizer = optim.SGD([p], lr=1.0, accumulate=2)
    with pytest.raises(TypeError, match="SGD: accumulate must be an integer ≥ 1"):
        optimizer.accumulate = count
    with pytest.raises(TypeError, match="SGD: accumulate must be an integer ≥ 1"):
        optim.SGD([p], lr=1.0, accumulate=count)
    assert optimizer.accumulate == 2


def test_a_step_in_plain_python_takes_none(plain) -> None:
    optimizer = plain([scalar()])
    with pytest.raises(ValueError, match="accumulate"):
        optimizer.accumulate = 2
    assert optimizer.accumulate == 1


@pytest.mark.parametrize("clip", [{}, {"clip_norm": 0.5}])
def test_closures(clip) -> None:
    p, q = scalar(1.0), scalar(1.0)
    optimizer, by_hand = optim.SGD([p], lr=0.5, accumulate=2, **clip), optim.SGD([q], lr=0.5, **clip)

    def closure():
        optimizer.zero_grad()
        loss = (p * p).sum()
        loss.backward()
        return loss

    for _ in range(3):
        losses = [optimizer.step(closure).item() for _ in range(2)]
        assert losses == pytest.approx([q.item() ** 2] * 2)
        q.grad = 2 * q.detach()
        by_hand.step()
        assert p.item() == q.item()


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_calls_that_are_skipped_do_not_count(bad) -> None:
    p = scalar()
    optimizer = optim.SGD([p], lr=1.0, accumulate=2, nonfinite="skip")
    feed(optimizer, p, 1.0, bad)
    assert optimizer.last_step_skipped
    assert p.grad is None  # else it would spoil the next ones
    assert p.item() == 0
    feed(optimizer, p, 3.0)
    assert not optimizer.last_step_skipped
    assert p.item() == -2


def test_an_error_changes_nothing() -> None:
    p = scalar()
    optimizer = optim.SGD([p], lr=1.0, accumulate=2, nonfinite="raise")
    feed(optimizer, p, 1.0)
    with pytest.raises(FloatingPointError):
        feed(optimizer, p, float("nan"))
    assert p.grad.isnan().item()
    feed(optimizer, p, 3.0)
    assert p.item() == -2


@pytest.mark.parametrize("before", [1, 2, 3])
@pytest.mark.parametrize("name", ["SGD", "int4"])
def test_saved_while_gradients_wait(tmp_path, before, name) -> None:
    """Some wait for a parameter that has none later."""
    runs = []
    for saves in (False, True):
        params = matrices()
        optimizer = FORMS[name](params, accumulate=4)
        for i in range(4):
            nx.manual_seed(i)
            params[0].grad = nx.randn(80, 80)
            params[1].grad = nx.randn(80, 80) if i == 0 else None
            optimizer.step()
            if saves and i + 1 == before:
                nx.save(optimizer.state_dict(), tmp_path / "o.safetensors")
                optimizer = FORMS[name](params, accumulate=4)
                optimizer.load_state_dict(nx.load(tmp_path / "o.safetensors"))
        runs.append([p.tobytes() for p in params])
    assert runs[0] == runs[1]


def test_states_go_to_optimizers_that_accumulate_otherwise() -> None:
    """Where nothing waits there is nothing to take over; where something does, it counts in the next step."""
    p = scalar()
    plain, summing = optim.Adam([p], lr=0.5), optim.Adam([p], lr=0.5, accumulate=2)
    feed(plain, p, 1.0)
    summing.load_state_dict(plain.state_dict())
    feed(summing, p, 1.0)
    assert summing.state[p]["accumulated_count"] == 1
    q = scalar()
    other = optim.SGD([q], lr=1.0, accumulate=2)
    feed(other, q, 2.0, 4.0)
    assert q.item() == -3
    alone = optim.SGD([q], lr=1.0)
    alone.load_state_dict(other.state_dict())
    assert "accumulated" not in alone.state[q]
    feed(other, q, 2.0)
    alone.load_state_dict(other.state_dict())
    feed(alone, q, 4.0)
    assert q.item() == -6
    feed(alone, q, 1.0)
    assert q.item() == -7


def test_a_state_that_does_not_fit_changes_nothing() -> None:
    p = scalar()
    optimizer, other = optim.SGD([p], lr=1.0), optim.SGD([p], lr=1.0, accumulate=2)
    feed(other, p, 1.0)
    saved = other.state_dict()
    saved["state"][0]["strange"] = 1.0
    with pytest.raises(ValueError, match="strange"):
        optimizer.load_state_dict(saved)
    feed(optimizer, p, 1.0)
    assert p.item() == -1
    assert "accumulated" not in optimizer.state[p]


def test_row_sparse_gradients_are_refused_before_anything_waits() -> None:
    layer = nn.Embedding(4, 2, sparse=True)
    other = scalar()
    optimizer = optim.SGD([other, layer.weight], lr=1.0, accumulate=2)
    layer(Tensor([1, 2])).sum().backward()
    other.grad = Tensor([1.0])
    with pytest.raises(TypeError, match="row-sparse.*accumulate"):
        optimizer.step()
    assert other.grad.item() == 1
    layer.weight.grad = None
    feed(optimizer, other, 1.0, 3.0)
    assert other.item() == -2


def test_wrapped_while_gradients_wait() -> None:
    p = scalar()
    inner = optim.SGD([p], lr=schedule.linear(1.0, 0.0, steps=4), accumulate=2)
    feed(inner, p, 1.0, 1.0, 3.0)
    wrapped = optim.Lookahead(inner, k=100)
    feed(wrapped, p, 5.0)
    assert p.item() == -1 - 0.75 * 4  # the second step, and of the schedule, too


def test_pure_functions_of_it() -> None:
    adam = optim.Functional(optim.SGD, lr=1.0, accumulate=2)
    params = {"w": Tensor([0.0])}
    state = adam.init(params)
    for value in (1.0, 3.0, 5.0, 7.0):
        params, state = adam.update({"w": Tensor([value])}, state, params)
    assert params["w"].item() == -8


def test_copies_go_on() -> None:
    p = scalar()
    optimizer = optim.SGD([p], lr=1.0, accumulate=2)
    feed(optimizer, p, 1.0)
    twin = copy.deepcopy(optimizer)
    (q,) = twin.param_groups[0]["params"]
    feed(twin, q, 3.0)
    feed(optimizer, p, 5.0)
    assert (q.item(), p.item()) == (-2, -3)
