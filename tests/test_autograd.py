"""The tape: what it records, what it accumulates, what it refuses."""

import gc
import weakref

import neurenix
import pytest
from neurenix import Tensor, autograd, nn
from neurenix.testing import assert_close, check_grads


@pytest.fixture
def x():
    return Tensor([1.0, 2.0, 3.0], requires_grad=True)


def test_gradients_accumulate_on_leaves(x):
    y = x * 2
    y.sum().backward()
    assert x.grad.tolist() == [2, 2, 2]
    assert y.grad is None
    (x * x).sum().backward()
    assert x.grad.tolist() == [4, 6, 8]
    x.grad = None
    (x * x).sum().backward()
    assert x.grad.tolist() == [2, 4, 6]


def test_gradient_of_several_uses(x):
    y = x * x
    (y * y + y * 3).sum().backward()
    assert x.grad.tolist() == [4 + 6, 32 + 12, 108 + 18]


def test_gradient_argument(x):
    (x * 2).backward(Tensor([1.0, 10.0, 100.0]))
    assert x.grad.tolist() == [2, 20, 200]
    with pytest.raises((ValueError, RuntimeError), match="scalar|one element|shape"):
        (x * 2).backward()
    with pytest.raises(ValueError, match="shape"):
        (x * 2).backward(neurenix.ones(2))


def test_the_graph_is_freed_unless_retained(x):
    y = (x * x).sum()
    y.backward(retain_graph=True)
    y.backward()
    assert x.grad.tolist() == [4, 8, 12]
    with pytest.raises(RuntimeError, match="retain_graph"):
        y.backward()


def test_nothing_to_differentiate():
    with pytest.raises(RuntimeError, match="requires"):
        neurenix.ones(1).backward()


def test_grad_is_assignable(x):
    x.grad = neurenix.ones(3)
    (x * 1).sum().backward()
    assert x.grad.tolist() == [2, 2, 2]
    x.grad.zero_()
    assert x.grad.tolist() == [0, 0, 0]
    for wrong in (neurenix.ones(2), neurenix.ones(3, dtype="float64")):
        with pytest.raises(ValueError, match="gradient"):
            x.grad = wrong
    with pytest.raises(TypeError, match="int"):
        x.grad = 1


def test_is_leaf_and_requires_grad(x):
    assert x.is_leaf
    assert not (x * 2).is_leaf
    assert (x * 2).requires_grad
    assert not x.detach().requires_grad
    assert x.detach().data_ptr() == x.data_ptr()
    y = neurenix.ones(2)
    assert y.requires_grad_() is y
    assert y.requires_grad
    with pytest.raises(TypeError, match="floating"):
        neurenix.arange(3).requires_grad_()
    with pytest.raises(RuntimeError, match="detach"):
        (x * 2).requires_grad_(False)


def test_no_grad_in_all_its_forms(x):
    @neurenix.no_grad()
    def called(y):
        return y * 2

    @neurenix.no_grad
    def bare(y):
        return y * 2

    assert not called(x).requires_grad
    assert not bare(x).requires_grad
    with neurenix.no_grad():
        assert not (x * 2).requires_grad
        with neurenix.enable_grad():
            assert (x * 2).requires_grad
        assert not neurenix.is_grad_enabled()
    assert neurenix.is_grad_enabled()
    mode = neurenix.no_grad()
    with mode, mode:
        pass
    assert neurenix.is_grad_enabled()
    with pytest.raises(KeyError), neurenix.no_grad():
        raise KeyError
    assert neurenix.is_grad_enabled()
    assert called.__name__ == "called"


def test_set_grad_enabled():
    with neurenix.set_grad_enabled(False):
        assert not neurenix.is_grad_enabled()
    assert neurenix.is_grad_enabled()
    neurenix.set_grad_enabled(False)
    assert not neurenix.is_grad_enabled()
    neurenix.set_grad_enabled(True)

    @neurenix.set_grad_enabled(False)
    def off():
        return neurenix.is_grad_enabled()

    assert neurenix.is_grad_enabled()
    assert not off()


def test_generators_switch_only_inside():
    log = []

    @neurenix.no_grad()
    def numbers():
        try:
            while True:
                sent = yield neurenix.is_grad_enabled()
                log.append((sent, neurenix.is_grad_enabled()))
        except ValueError:
            yield "caught"
        return "done"

    generator = numbers()
    assert next(generator) is False
    assert neurenix.is_grad_enabled()
    assert generator.send("a") is False
    assert generator.throw(ValueError("b")) == "caught"
    with pytest.raises(StopIteration, match="done"):
        next(generator)
    assert log == [("a", False)]
    assert neurenix.is_grad_enabled()
    closed = numbers()
    next(closed)
    closed.close()


def test_grad_leaves_no_trace(x):
    y = x.exp()
    (g,) = autograd.grad(y.sum(), x)
    assert_close(g, y.detach())
    assert x.grad is None


def test_grad_of_inner_tensors_and_unused_ones(x):
    y = x * 2
    z = (y * y).sum()
    (g,) = autograd.grad(z, [y], retain_graph=True)
    assert g.tolist() == [4, 8, 12]
    other = neurenix.ones(1, requires_grad=True)
    assert autograd.grad(z, [other], allow_unused=True, retain_graph=True) == (None,)
    with pytest.raises(RuntimeError, match="allow_unused"):
        autograd.grad(z, [other])


def test_grad_outputs(x):
    (g,) = autograd.grad([x * 2, x * 3], [x], [neurenix.ones(3), Tensor([1.0, 0.0, 2.0])])
    assert g.tolist() == [5, 2, 8]
    with pytest.raises(ValueError, match="grad_outputs"):
        autograd.grad([x * 2, x * 3], [x], [neurenix.ones(3)])


def test_higher_derivatives():
    x = Tensor(2.0, dtype="float64", requires_grad=True)
    y, derivatives = x**5, []
    for _ in range(4):
        (y,) = autograd.grad(y, x, create_graph=True)
        derivatives.append(y.item())
    assert derivatives == pytest.approx([80, 160, 240, 240])


def test_backward_with_create_graph(x):
    with pytest.warns(UserWarning, match="never freed"):
        (x**3).sum().backward(create_graph=True)
    assert x.grad.requires_grad
    (h,) = autograd.grad(x.grad.sum(), x)
    assert h.tolist() == [6, 12, 18]


def test_gradient_penalty():
    """A gradient inside a loss, as of a network that is to be smooth."""
    neurenix.manual_seed(1)
    model = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 1)).double()

    def penalty(x, *parameters):
        (g,) = autograd.grad(model(x).sum(), x, create_graph=True)
        return (g * g).sum()

    check_grads(penalty, [neurenix.randn(2, 3, dtype="float64")])
    x = neurenix.randn(2, 3, dtype="float64", requires_grad=True)
    penalty(x).backward()
    assert model[0].weight.grad.abs().sum().item() > 0


def test_hooks_on_tensors(x):
    seen = []
    y = x * 2
    handle = y.register_hook(lambda g: seen.append(g.tolist()))
    y.register_hook(lambda g: g * 10)
    y.sum().backward(retain_graph=True)
    assert seen == [[1, 1, 1]]
    assert x.grad.tolist() == [20, 20, 20]
    handle.remove()
    handle.remove()
    y.sum().backward()
    assert len(seen) == 1


def test_hooks_on_leaves(x):
    x.register_hook(lambda g: g * 2)
    (x * 3).sum().backward()
    assert x.grad.tolist() == [6, 6, 6]


def test_hooks_raise(x):
    def hook(g):
        raise KeyError("from the hook")

    x.register_hook(hook)
    with pytest.raises(KeyError, match="from the hook"):
        (x * 3).sum().backward()
    y = neurenix.ones(2, requires_grad=True)
    y.register_hook(lambda g: neurenix.ones(3))
    with pytest.raises(ValueError, match="hook"):
        (y * 2).sum().backward()


@pytest.mark.parametrize(
    "other",
    [
        lambda g: g.double(),
        lambda g: g.half(),
        lambda g: g.long(),
        lambda g: g.bool(),
        lambda g: g.reshape(3, 1),
        lambda g: g.sum(),
        lambda g: g[:2],
    ],
)
def test_hooks_that_return_another_kind_of_gradient_are_refused(x, other):
    x.register_hook(other)
    with pytest.raises(
        ValueError, match=r"a hook returned a gradient of shape .*, expected shape \(3,\) float32"
    ):
        (x * x).sum().backward()
    assert x.grad is None
    leaf = Tensor([1.0, 2.0, 3.0], requires_grad=True)
    y = leaf * 2
    y.register_hook(other)
    with pytest.raises(
        ValueError, match=r"a hook returned a gradient of shape .*, expected shape \(3,\) float32"
    ):
        (y * y).sum().backward()
    assert leaf.grad is None


def test_a_removed_hook_is_that_hook_alone(x):
    seen = []
    y = x * 1
    first = y.register_hook(lambda g: seen.append("first"))
    first.remove()
    y.register_hook(lambda g: seen.append("second"))
    first.remove()
    y.mul_(2)
    y.register_hook(lambda g: seen.append("after"))
    first.remove()
    y.sum().backward()
    assert seen == ["after", "second"]


def hook_of_a_leaf():
    q = neurenix.ones(3, requires_grad=True)
    q.register_hook(lambda g: g * q.detach())
    return q


def hook_after_accumulation():
    q = neurenix.ones(3, requires_grad=True)
    q.register_post_accumulate_grad_hook(lambda leaf: q.zero_())
    return q


def hook_of_a_result():
    q = neurenix.ones(3, requires_grad=True) * 2
    q.register_hook(lambda g: g * q.detach())
    return q


def hook_of_a_parameter():
    q = nn.Parameter(neurenix.ones(3))
    q.register_hook(lambda g: g * q.detach())
    return q


def hook_that_removes_itself():
    q = neurenix.ones(3, requires_grad=True)
    handle = q.register_hook(lambda g: (handle.remove(), q)[0])
    return q


def hook_that_was_used():
    q = hook_of_a_leaf()
    (q * q).sum().backward()
    return q


def attributes():
    q = nn.Parameter(neurenix.ones(3))
    q.others = [q]
    return q


@pytest.mark.parametrize(
    "make",
    [
        hook_of_a_leaf,
        hook_after_accumulation,
        hook_of_a_result,
        hook_of_a_parameter,
        hook_that_removes_itself,
        hook_that_was_used,
        attributes,
    ],
)
def test_tensors_that_know_themselves_are_collected(make):
    gc.collect()
    alive = weakref.ref(make())
    gc.collect()
    assert alive() is None


def test_hooks_live_as_long_as_a_graph_needs_them():
    seen = []

    def make():
        q = neurenix.ones(3, requires_grad=True)
        q.register_hook(lambda g: seen.append((g.tolist(), q.tolist())))
        return (q * 3).sum()

    loss = make()
    gc.collect()
    loss.backward()
    assert seen == [([3, 3, 3], [1, 1, 1])]
    q = hook_of_a_leaf()
    for _ in range(3):
        gc.collect()
        (q * 3).sum().backward()
    assert q.grad.tolist() == [9, 9, 9]


def test_gradients_of_gradients_in_a_circle_are_refused(x):
    with pytest.raises(ValueError, match="its own gradient"):
        x.grad = x
    other = neurenix.ones(3, requires_grad=True)
    other.grad = x
    with pytest.raises(ValueError, match="its own gradient"):
        x.grad = other
    assert x.grad is None
    with pytest.warns(UserWarning, match="never freed"):
        x.backward(x, create_graph=True)
    assert x.grad is not x
    assert x.grad.tolist() == [1, 2, 3]
    alive = weakref.ref(x)
    x.grad = None
    assert alive() is x


def test_gradients_are_added_only_to_what_they_fit(x):
    y = (x * x).sum()
    x.data = neurenix.zeros(1)
    x.grad = neurenix.zeros(1)
    with pytest.raises(RuntimeError, match=r"shape \(1,\) float32.* now, and its gradient of shape \(3,\)"):
        y.backward()
    assert x.grad.tolist() == [0]
    for data in (neurenix.zeros(1), neurenix.zeros(3, dtype="uint8"), neurenix.zeros(3, dtype="float64")):
        p = neurenix.ones(3, requires_grad=True)
        p.sum().backward()
        p.grad.data = data
        with pytest.raises(RuntimeError, match="accumulated gradient"):
            (p * p).sum().backward()
        assert p.grad.tolist() == data.tolist()
    p = neurenix.ones(3, requires_grad=True)
    y = (p * p).sum()
    p.data = p.data.double()
    with pytest.raises(RuntimeError, match="float64"):
        y.backward()


def test_what_requires_gradients_stays_floating_point(x):
    with pytest.raises(TypeError, match="cannot take int64 data"):
        x.data = neurenix.zeros(3, dtype="int64")
    assert x.tolist() == [1, 2, 3]
    x.data = neurenix.zeros(2, dtype="float64")
    assert x.requires_grad
    assert x.dtype == neurenix.float64


def test_post_accumulate_hooks():
    seen = []
    p = nn.Parameter(neurenix.ones(2))

    def step(leaf):
        seen.append((leaf is p, leaf.grad.tolist()))
        leaf.grad = None

    handle = p.register_post_accumulate_grad_hook(step)
    (p * 2).sum().backward()
    (p * 3).sum().backward()
    handle.remove()
    (p * 4).sum().backward()
    assert seen == [(True, [2, 2]), (True, [3, 3])]
    assert p.grad.tolist() == [4, 4]
    with pytest.raises(RuntimeError, match="leaf"):
        (p * 2).register_post_accumulate_grad_hook(step)


def test_retain_grad(x):
    y = x * 2
    y.retain_grad()
    (y * y).sum().backward()
    assert y.grad.tolist() == [4, 8, 12]


def test_detach_in_place(x):
    y = x * 2
    assert y.detach_() is y
    assert not y.requires_grad
    assert y.is_leaf


LENGTH = 100_000


def test_deep_graphs():
    x = Tensor(1.0, dtype="float64", requires_grad=True)
    y = x
    for _ in range(LENGTH):
        y = y * 1.00001
    y.backward()
    assert x.grad.item() == pytest.approx(1.00001**LENGTH)
    del y


def test_deep_graphs_are_dropped_without_backward():
    x = Tensor(1.0, requires_grad=True)
    y = x
    for _ in range(LENGTH):
        y = y + 1
    del y
    (x * 2).backward()
    assert x.grad.item() == 2


def test_graphs_do_not_leak():
    class Marked(Tensor):
        pass

    x = Marked([1.0], requires_grad=True)
    alive = weakref.ref(x)
    (x.exp() * x).sum().backward()
    del x
    gc.collect()
    assert alive() is None


def test_in_place_on_leaves(x):
    for change in (lambda: x.add_(1), lambda: x.zero_(), lambda: x.__setitem__(0, 1.0)):
        with pytest.raises(RuntimeError, match="leaf"):
            change()
    with neurenix.no_grad():
        x.add_(1)
        x[0] = 10
    assert x.tolist() == [10, 3, 4]


def test_in_place_changes_of_needed_values_are_found(x):
    y = x * 2
    z = y * y
    y.add_(1)
    with pytest.raises(RuntimeError, match="changed in place"):
        z.sum().backward()
    w = neurenix.ones(3)
    u = x * w
    w.mul_(3)
    with pytest.raises(RuntimeError, match="changed in place"):
        u.sum().backward()
    e = x.exp()  # its gradient needs its result
    with neurenix.no_grad():
        e.zero_()
    with pytest.raises(RuntimeError, match="changed in place"):
        e.sum().backward()


def test_in_place_changes_are_recorded(x):
    y = x * 1
    y.mul_(4)
    y[1] = 0
    y += x
    y.sum().backward()
    assert x.grad.tolist() == [5, 1, 5]


def test_a_needed_value_changed_through_a_view_is_found():
    x = neurenix.ones(2, 2, requires_grad=True)
    w = neurenix.ones(2, 2)
    y = x * w
    w[0].zero_()
    with pytest.raises(RuntimeError, match="changed in place"):
        y.sum().backward()


def test_changes_that_do_not_matter_are_allowed(x):
    y = x + 1  # its gradient needs no values
    z = y * 2
    y.zero_()
    z.sum().backward()
    assert x.grad.tolist() == [2, 2, 2]


def test_record_and_replay():
    w = neurenix.randn(3, 2)
    program = autograd.record(lambda x: (x @ w).relu().sum(1), [neurenix.randn(4, 3)])
    assert len(program) > 0
    x = neurenix.randn(4, 3)
    assert program.replay([x])[0].tobytes() == (x @ w).relu().sum(1).tobytes()
    with pytest.raises(ValueError, match=r"\(4, 3\).*\(5, 3\)"):
        program.replay([neurenix.randn(5, 3)])


def test_a_refused_assignment_changes_nothing():
    target = neurenix.zeros(2, dtype="int64")
    with pytest.raises(TypeError, match="cannot carry gradients"):
        target.copy_(neurenix.ones(2, requires_grad=True) * 3)
    assert target.tolist() == [0, 0]
