"""The range test finds a rate, and leaves everything as it was."""

import itertools
import math

import neurenix as nx
import pytest
from neurenix import nn, optim
from neurenix.optim import lr_find
from neurenix.optim.names import names


@pytest.fixture
def problem():
    """A small regression: a model, and a function that makes the closure of an optimizer."""
    model = nn.Sequential(nn.Linear(4, 16), nn.Tanh(), nn.Linear(16, 1))
    x = nx.randn(256, 4)
    y = x.sum(1, keepdim=True)
    batches = [0]

    def closure_of(optimizer):
        def closure():
            begin = batches[0] % 8 * 32
            batches[0] += 1
            optimizer.zero_grad()
            loss = nn.functional.mse_loss(model(x[begin : begin + 32]), y[begin : begin + 32])
            loss.backward()
            return loss

        return closure

    return model, closure_of


def contents(optimizer):
    """Everything an optimizer knows, as bytes and numbers."""
    state = optimizer.state_dict()

    def plain(value):
        if isinstance(value, nx.Tensor):
            return value.numpy().tobytes()
        if isinstance(value, dict):
            return {str(key): plain(item) for key, item in value.items()}
        return [plain(item) for item in value] if isinstance(value, (list, tuple)) else value

    return plain(state)


def bits(model):
    return [(p.detach().numpy().tobytes(), p.grad.numpy().tobytes()) for p in model.parameters()]


@pytest.mark.parametrize("name", names())
def test_nothing_is_changed(name, problem):
    model, closure_of = problem
    optimizer = optim.named(name)(model, lr=0.01)
    closure = closure_of(optimizer)
    for _ in range(3):
        optimizer.step(closure)
    before, weights, groups = contents(optimizer), bits(model), list(optimizer.param_groups)
    test = lr_find(optimizer, closure, steps=12)
    assert contents(optimizer) == before
    assert bits(model) == weights
    assert all(group is same for group, same in zip(optimizer.param_groups, groups, strict=True))
    assert {group["lr"] for group in optimizer.param_groups} == {0.01}
    assert len(set(test.losses)) > 1


def test_training_goes_on_as_if_nothing_had_happened(problem):
    model, closure_of = problem
    start = model.state_dict()
    start = {name: value.detach().clone() for name, value in start.items()}
    ends = []
    for looks in (False, True):
        model.load_state_dict(start)
        optimizer = optim.AdamW(model, lr=optim.schedule.cosine(0.01, steps=10))
        closure = closure_of(optimizer)
        for step in range(16):
            if looks and step == 8:
                lr_find(optimizer, closure, steps=16)  # two rounds of the batches
            optimizer.step(closure)
        ends.append(bits(model))
    assert ends[0] == ends[1]


def test_gradients_that_are_filled_in_place_are_restored_too():
    w = nx.ones(3).requires_grad_()
    w.grad = grad = nx.full((3,), 2.0)
    optimizer = optim.SGD([w])

    def closure():
        optimizer.zero_grad(set_to_none=False)
        loss = (w * w).sum()
        loss.backward()
        return loss

    lr_find(optimizer, closure, steps=5)
    assert w.grad.tolist() == [2.0] * 3
    assert grad.tolist() == [2.0] * 3


def test_an_error_changes_nothing(problem):
    model, closure_of = problem
    optimizer = optim.SGD(model, lr=0.1, momentum=0.9)
    closure = closure_of(optimizer)
    optimizer.step(closure)
    before, calls = (contents(optimizer), bits(model)), []

    def fails():
        calls.append(1)
        if len(calls) > 5:
            raise RuntimeError("no more batches")
        return closure()

    with pytest.raises(RuntimeError, match="no more batches"):
        lr_find(optimizer, fails)
    assert (contents(optimizer), bits(model)) == before


@pytest.mark.parametrize(
    ("name", "low", "high"), [("sgd", 0.001, 0.5), ("adamw", 0.001, 0.1), ("lion", 1e-4, 0.03)]
)
def test_the_suggestion_learns(name, low, high, problem):
    model, closure_of = problem
    optimizer = optim.named(name)(model)
    closure = closure_of(optimizer)
    test = lr_find(optimizer, closure)
    assert low < test.suggestion < high
    first = closure().item()
    optimizer = optim.named(name)(model, lr=test.suggestion)
    closure = closure_of(optimizer)
    for _ in range(100):
        optimizer.step(closure)
    assert closure().item() < 0.2 * first


@pytest.mark.parametrize("measured", [True, False])
@pytest.mark.parametrize("seed", range(6))
def test_batches_that_differ_do_not_suggest_useless_rates(measured, seed):
    """A few huge rows make the losses of batches differ by a factor of a hundred; none of it is due to the rate."""
    nx.manual_seed(seed)
    x = nx.randn(1024, 4)
    heavy = nx.where(nx.rand(1024, 1) < 0.02, nx.full((1024, 1), 20.0), nx.full((1024, 1), 1.0))
    y = x.sum(1, keepdim=True) * heavy + nx.randn(1024, 1)
    model = nn.Sequential(nn.Linear(4, 16), nn.Tanh(), nn.Linear(16, 1))
    optimizer = optim.AdamW(model)
    batches = itertools.count()

    def loss_of(rows):
        return nn.functional.mse_loss(model(x[rows]), y[rows])

    def closure():
        begin = next(batches) % 64 * 16
        optimizer.zero_grad()
        loss = loss_of(slice(begin, begin + 16))
        loss.backward()
        return loss

    def evaluate():
        with nx.no_grad():
            return loss_of(slice(None)).item()

    test = lr_find(optimizer, closure, evaluate=evaluate if measured else None)
    assert len(test.losses) > 60  # a batch of large losses is no explosion
    if measured:
        assert test.losses[0] == pytest.approx(evaluate(), rel=1e-6)
        assert 1e-3 < test.suggestion < 2
    else:  # better nothing than noise
        assert test.suggestion is None or test.suggestion > 1e-4


def test_rates_rise_evenly_and_stop_when_the_loss_explodes(problem):
    model, closure_of = problem
    optimizer = optim.SGD(model)
    test = lr_find(optimizer, closure_of(optimizer), start=1e-4, end=1e4, steps=81)
    ratios = [b / a for a, b in itertools.pairwise(test.lrs)]
    assert ratios == pytest.approx([10**0.1] * len(ratios))
    assert test.lrs[0] == 1e-4
    assert len(test.lrs) == len(test.losses) == len(test.smoothed) < 81
    assert all(map(math.isfinite, test.losses))


def test_rates_of_groups_keep_their_ratio(problem):
    model, closure_of = problem
    groups = [{"params": model[0].parameters(), "lr": 0.01}, {"params": model[2].parameters(), "lr": 0.1}]
    optimizer = optim.SGD(groups)
    plain, seen = closure_of(optimizer), []

    def closure():
        seen.append(model[0].bias.detach().clone())
        loss = plain()
        model[0].bias.grad.fill_(1.0)
        return loss

    test = lr_find(optimizer, closure, start=1e-3, end=1e-2, steps=3)
    moved = [(a - b)[0].item() for a, b in itertools.pairwise(seen)]
    assert moved == pytest.approx([test.lrs[0] / 10, test.lrs[1] / 10], rel=1e-3)


def test_a_loss_that_never_falls_suggests_nothing():
    w = nx.zeros(1).requires_grad_()
    optimizer = optim.SGD([w])

    def closure():
        w.grad = nx.zeros(1)
        return 1.0

    assert lr_find(optimizer, closure, steps=10).suggestion is None


def test_a_picture(problem, tmp_path):
    pytest.importorskip("matplotlib")
    model, closure_of = problem
    optimizer = optim.SGD(model)
    lr_find(optimizer, closure_of(optimizer), steps=20).plot(tmp_path / "p.png")
    assert (tmp_path / "p.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"start": 0}, "0 < start < end"),
        ({"start": 1, "end": 1}, "0 < start < end, got start=1, end=1"),
        ({"end": math.inf}, "0 < start < end"),
        ({"steps": 1}, "at least 2, got 1"),
        ({"steps": True}, "at least 2"),
        ({"smoothing": 1}, "below 1, got 1"),
        ({"explode": 1.0}, "above 1, got 1.0"),
    ],
)
def test_bad_arguments(arguments, message, problem):
    model, closure_of = problem
    optimizer = optim.SGD(model)
    with pytest.raises(ValueError, match=message):
        lr_find(optimizer, closure_of(optimizer), **arguments)


def test_buffers_of_a_model_are_put_back():
    model = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.Linear(8, 1))
    optimizer, x = optim.SGD(model), nx.randn(32, 4)

    def closure():
        optimizer.zero_grad()
        loss = model(x).square().mean()
        loss.backward()
        return loss

    before = {name: value.tobytes() for name, value in model.state_dict().items()}
    lr_find(optimizer, closure, steps=5, model=model)
    assert {name: value.tobytes() for name, value in model.state_dict().items()} == before


def test_a_closure_without_a_loss(problem):
    model, closure_of = problem
    optimizer = optim.SGD(model)
    closure = closure_of(optimizer)
    before = [p.tobytes() for p in model.parameters()]
    with pytest.raises(TypeError, match="closure must return the loss"):
        lr_find(optimizer, lambda: closure() and None)
    assert [p.tobytes() for p in model.parameters()] == before


def test_a_loss_that_is_no_number():
    w = nx.ones(1).requires_grad_()
    with pytest.raises(ValueError, match="no number at the first rate, 1e-07"):
        lr_find(optim.SGD([w]), lambda: math.nan)
    with pytest.raises(TypeError, match="takes an optimizer and a function"):
        lr_find([w], lambda: 1.0)
