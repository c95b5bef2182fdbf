"""Changes in place while recording: the right gradient, or an error, through whichever tensor they are made."""

import neurenix
import numpy as np
import pytest
from neurenix import Tensor

CHANGED = "changed in place"


def leaf(*values):
    return Tensor([float(v) for v in values], requires_grad=True)


@pytest.mark.parametrize(
    "change",
    [
        lambda y: y.copy_(Tensor([1.0, 1.0, 1.0])),
        lambda y: y.copy_(Tensor(1.0)),
        lambda y: y.copy_(Tensor([1, 1, 1])),
        lambda y: y.fill_(1.0),
        lambda y: y.zero_(),
        lambda y: y.__setitem__(slice(None), 1.0),
    ],
)
def test_constants_over_a_result_cut_its_history(change):
    x = leaf(1, 2, 3)
    y = x * 2
    change(y)
    (y * y + x).sum().backward()
    assert x.grad.tolist() == [1, 1, 1]
    x.grad = None
    y = x * 2
    change(y)
    (y * y).sum().backward()
    assert x.grad.tolist() == [0, 0, 0]


VIEWS = [
    lambda x: x[0],
    lambda x: x[::2],
    lambda x: x.reshape(3, 2),
    lambda x: x.unsqueeze(0),
    lambda x: x.narrow(1, 0, 2),
    lambda x: x.T[1:].unsqueeze(1),
]
CHANGES = [
    lambda v: v.mul_(3),
    lambda v: v.sub_(1),
    lambda v: v.zero_(),
    lambda v: v.copy_(neurenix.ones_like(v.detach())),
    lambda v: v.__setitem__(0, 5.0),
    lambda v: v.clamp_(min=2),
]


@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize("change", CHANGES)
def test_leaves_are_not_changed_through_views(view, change):
    x = Tensor(np.arange(6.0).reshape(2, 3), requires_grad=True)
    v = view(x)
    with pytest.raises(RuntimeError, match="a view of a leaf that requires gradients"):
        change(v)
    assert x.tolist() == [[0, 1, 2], [3, 4, 5]]
    with neurenix.no_grad():
        change(view(x))
    assert x.tolist() != [[0, 1, 2], [3, 4, 5]]
    (x * x).sum().backward()
    np.testing.assert_array_equal(x.grad.numpy(), 2 * x.detach().numpy())
    change(view(x).clone())
    change(view(x.detach()))


def test_memory_without_history_that_gains_one():
    s = Tensor(2.0, requires_grad=True)
    base = Tensor([1.0, 2.0, 3.0])
    view = base[1:]
    view.add_(s)
    with pytest.raises(RuntimeError, match=CHANGED):
        base * base
    (view * view).sum().backward()
    assert s.grad.item() == 2 * (4 + 5)
    base = Tensor([1.0, 2.0, 3.0])
    view = base[1:]
    base.add_(s)
    with pytest.raises(RuntimeError, match=CHANGED):
        view * view
    rows = neurenix.zeros(2, 3)
    with pytest.raises(RuntimeError, match=CHANGED):
        for i in range(2):
            rows[i][1] = s
    rows = neurenix.zeros(2, 3)
    for i in range(2):
        rows[i, 1] = s
    s.grad = None
    rows.sum().backward()
    assert s.grad.item() == 2


def test_values_taken_off_the_tape_are_values():
    s = Tensor(2.0, requires_grad=True)
    base = Tensor([1.0, 2.0])
    base[:1].add_(s)
    assert (base.detach() * 2).tolist() == [6, 4]
    assert base.tolist() == [3, 2]
    with neurenix.no_grad():
        assert (base * 2).tolist() == [6, 4]
    later = base.detach()
    later.mul_(2)
    assert (later + s).tolist() == [8, 6]


def test_flip_is_a_copy_and_a_negative_step_a_view():
    x = Tensor([1.0, 2.0])
    x.flip(0).mul_(2)
    assert x.tolist() == [1, 2]
    x[::-1].mul_(Tensor([10.0, 1.0]))
    assert x.tolist() == [1, 20]


def test_clamp_takes_tensors_and_fractions():
    x = Tensor([[1, 5], [7, -3]])
    assert x.clamp(0, 2.5).tolist() == [[1, 2.5], [2.5, 0]]
    assert x.clamp(0, 2).dtype == neurenix.int64
    low, high = Tensor([0, 2]), Tensor([2, 4])
    assert x.clamp(low, high).tolist() == neurenix.clip(x, low, high).tolist() == [[1, 4], [2, 2]]
    assert x.clone().clamp_(max=high).tolist() == [[1, 4], [2, -3]]
    assert x.clamp(min=Tensor(0.5)).dtype == neurenix.float32
    with pytest.raises(TypeError, match="needs min, max or both"):
        x.clamp()


def test_truth_values_are_what_is_not_zero():
    flags = neurenix.zeros(3, dtype="bool")
    flags[0] = 0.5
    flags[1] = np.float32(0.3)
    assert flags.tolist() == [True, True, False]
    assert neurenix.full((1,), 0.5, dtype="bool").tolist() == flags.fill_(0.1)[:1].tolist() == [True]
