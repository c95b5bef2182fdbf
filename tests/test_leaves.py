"""Leaves whose gradient is complete: their hooks, and optimizers in the backward pass."""

import neurenix
import numpy as np
import pytest
from neurenix import Tensor, autograd, nn
from neurenix.testing import assert_close


@pytest.fixture
def x():
    return Tensor([1.0, 2.0, 3.0], requires_grad=True)


class Descent:
    """The least optimizer that backward() can use; notes what happens to it."""

    def __init__(self, params, lr=0.1, keep=()):
        self.param_groups = [{"params": list(params)}]
        self.lr, self.keep, self.log = lr, keep, []

    def _backward_begin(self):
        self.log.append("begin")
        return 0

    def _backward_look(self, param):
        raise AssertionError("nobody asked to look")

    _backward_looked = _backward_look

    def _backward_leaf(self, param):
        assert not neurenix.is_grad_enabled()
        self.log.append(param)
        param.add_(param.grad, alpha=-self.lr)
        return not any(param is other for other in self.keep)

    def _backward_end(self, error):
        self.log.append(error)


def network(depth, width):
    neurenix.manual_seed(3)
    return nn.Sequential(*[layer for _ in range(depth) for layer in (nn.Linear(width, width), nn.Tanh())])


def test_hooks_run_while_the_pass_goes_on():
    model, log = network(3, 2), []
    for name, param in model.named_parameters():
        param.register_hook(lambda g, name=name: log.append(f"gradient {name}"))
        param.register_post_accumulate_grad_hook(lambda p, name=name: log.append(f"sum {name}"))
    hidden = model[:2](neurenix.ones(1, 2))
    hidden.register_hook(lambda g: log.append("hidden"))
    model[2:](hidden).sum().backward()
    steps = [
        f"{kind} {layer}.{name}"
        for layer in (4, 2, 0)
        for name in ("weight", "bias")
        for kind in ("gradient", "sum")
    ]
    assert log == [*steps[:8], "hidden", *steps[8:]]


def test_tied_weights_are_seen_once_and_whole():
    w = neurenix.randn(3, 3, requires_grad=True)
    h = neurenix.randn(2, 3)
    seen = []

    def loss():
        return ((h @ w).tanh() @ w.T + w[0] + w.reshape(9)[:3]).sum()

    (expected,) = autograd.grad(loss(), w)
    w.register_hook(lambda g: seen.append(g))
    w.register_hook(lambda g: g * 2)
    loss().backward()
    assert_close(w.grad, expected * 2)
    assert_close(seen[0], expected)
    assert len(seen) == 1


def test_retained_and_recorded_graphs(x):
    seen = []
    x.register_post_accumulate_grad_hook(lambda p: seen.append(p.grad.tolist()))
    y = (x * x * x).sum()
    y.backward(retain_graph=True)
    y.backward()
    assert seen == [[3, 12, 27], [6, 24, 54]]
    x.grad = None
    x.register_hook(lambda g: g * 2)
    with pytest.warns(UserWarning, match="never freed"):
        (x**3).sum().backward(create_graph=True)
    (second,) = autograd.grad(x.grad.sum(), x)
    assert second.tolist() == [12 * 2, 24 * 2, 36 * 2]  # the hook on each of the two ways


def test_grad_runs_the_hooks_of_what_it_is_asked_for(x):
    other = neurenix.ones(3, requires_grad=True)
    x.register_hook(lambda g: g * 10)
    other.register_hook(lambda g: 1 / 0)
    assert autograd.grad((x * other + x).sum(), [x, x])[1].tolist() == [20, 20, 20]
    assert x.grad is None


def test_hooks_that_come_and_go_during_a_pass(x):
    w, seen = neurenix.ones(3, requires_grad=True), []
    handle = w.register_hook(lambda g: seen.append("gone"))

    def change(_):
        handle.remove()
        w.register_hook(lambda g: seen.append("came"))

    x.register_hook(change)
    (w * 2 * x).sum().backward()
    assert seen == ["came"]
    assert w.grad.tolist() == [2, 4, 6]


def test_an_exception_in_a_hook_leaves_everything_usable(x):
    w = neurenix.ones(3, requires_grad=True)
    handle = w.register_post_accumulate_grad_hook(lambda p: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        (x * 2 * w).sum().backward()
    assert neurenix.is_grad_enabled()
    assert w.grad.tolist() == [2, 4, 6]
    assert x.grad is None
    handle.remove()
    w.grad = None
    (x * 2 * w).sum().backward()
    assert (x.grad.tolist(), w.grad.tolist()) == ([2, 2, 2], [2, 4, 6])


def test_an_optimizer_in_the_pass_is_the_same_as_after_it():
    inside, after, data = network(4, 5), network(4, 5), neurenix.randn(3, 5)
    optimizer = Descent(inside.parameters())
    for _ in range(3):
        inside(data).sum().backward(optimizer=optimizer)
        after(data).sum().backward()
        with neurenix.no_grad():
            for param in after.parameters():
                param.add_(param.grad, alpha=-0.1)
                param.grad = None
    for mine, other in zip(inside.parameters(), after.parameters(), strict=True):
        np.testing.assert_array_equal(mine._numpy_data, other._numpy_data)
        assert mine.grad is None
    first = optimizer.log[: 2 + 8]
    assert (first[0], first[-1]) == ("begin", None)
    params = list(inside.parameters())
    places = [next(i for i, p in enumerate(params) if p is seen) for seen in first[1:-1]]
    assert places == [6, 7, 4, 5, 2, 3, 0, 1]


def test_gradients_take_the_memory_of_one_layer():
    class Forgetting(Descent):
        def _backward_leaf(self, param):
            return True

    depth, width = 8, 256
    data = neurenix.ones(1, width)

    def peak(in_backward):
        model = network(depth, width)
        options = {"optimizer": Forgetting(model.parameters())} if in_backward else {}
        loss = model(data).sum()
        neurenix.reset_peak_memory()
        before = neurenix.memory_usage().current
        loss.backward(**options)
        return neurenix.memory_usage().peak - before

    layer = width * (width + 1) * 4
    assert peak(in_backward=False) > 0.95 * depth * layer  # what the pass frees counts against it
    assert peak(in_backward=True) < 1.1 * layer


def test_what_is_not_the_optimizers_or_not_used_keeps_its_gradient(x):
    w, kept = neurenix.ones(3, requires_grad=True), neurenix.ones(3, requires_grad=True)
    kept.grad = neurenix.ones(3)
    optimizer = Descent([w, kept], lr=1.0, keep=[kept])
    (x * w * kept).sum().backward(optimizer=optimizer)
    assert (x.grad.tolist(), w.grad, kept.grad.tolist()) == ([1, 1, 1], None, [2, 3, 4])
    assert (w.tolist(), kept.tolist()) == ([0, -1, -2], [-1, -2, -3])


def test_errors_reach_the_optimizer(x):
    class Failing(Descent):
        failure = None

        def _backward_leaf(self, param):
            raise KeyError("leaf")

        def _backward_end(self, error):
            super()._backward_end(error)
            if self.failure:
                raise self.failure

    optimizer = Failing([x])
    with pytest.raises(KeyError, match="leaf") as raised:
        (x * 2).sum().backward(optimizer=optimizer)
    assert optimizer.log == ["begin", raised.value]
    optimizer.failure = ValueError("end")
    with pytest.raises(ValueError, match="end") as raised:
        (x * 2).sum().backward(optimizer=optimizer)
    assert isinstance(raised.value.__cause__, KeyError)
    good = Descent([x])
    with pytest.raises(RuntimeError, match="requires_grad"):
        x.detach().sum().backward(optimizer=good)
    assert isinstance(good.log[-1], RuntimeError)


def test_an_old_value_that_is_still_needed_is_an_error(x):
    """The detached tensor shares the parameter's memory, but the pass cannot know that it belongs to it."""
    hidden = x.detach() * neurenix.ones(3, requires_grad=True)
    loss = (hidden.exp() * x).sum()
    optimizer = Descent([x])
    with pytest.raises(RuntimeError, match="changed in place"):
        loss.backward(optimizer=optimizer)
    assert len(optimizer.log) == 3


def test_what_an_optimizer_in_the_pass_must_be(x):
    with pytest.raises(TypeError, match="float.*param_groups"):
        (x * 2).sum().backward(optimizer=0.1)
    with pytest.raises(ValueError, match="create_graph"):
        (x * 2).sum().backward(create_graph=True, optimizer=Descent([x]))
    assert x.grad is None
