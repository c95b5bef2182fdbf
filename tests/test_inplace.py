"""Changes in place while recording: the right gradient, or an error, through whichever tensor they are made."""

import neurenix
import numpy as np
import pytest
from neurenix import Tensor, autograd

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


def test_memory_without_history_gains_one_through_views():
    s = Tensor(2.0, requires_grad=True)
    base = Tensor([1.0, 2.0, 3.0])
    view = base[1:]
    view.add_(s)
    assert base.requires_grad
    assert view.requires_grad
    assert not base.is_leaf
    (base * base).sum().backward()
    assert s.grad.item() == 2 * (4 + 5)
    base = Tensor([1.0, 2.0, 3.0])
    view = base[1:]
    base.add_(s)
    s.grad = None
    (view * view).sum().backward()
    assert s.grad.item() == 2 * (4 + 5)
    rows = neurenix.zeros(2, 3)
    for i in range(2):
        rows[i][1] = s
    s.grad = None
    (rows * Tensor([[1.0], [10.0]])).sum().backward()
    assert s.grad.item() == 11
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


def gradients(program, *values):
    """The result of a program of fresh leaves, its gradients, and those of a function of these."""
    leaves = [Tensor(v, dtype="float64", requires_grad=True) for v in values]
    result = program(*leaves)
    found = [result.detach().numpy()]
    weights = neurenix.arange(result.numel(), dtype="float64").reshape(result.shape) / 7 + 1
    loss = (result * result * weights).sum()
    first = [None] * len(leaves)
    if loss.requires_grad:
        first = autograd.grad(loss, leaves, create_graph=True, allow_unused=True)
    zeros = [neurenix.zeros_like(leaf) if g is None else g for g, leaf in zip(first, leaves, strict=True)]
    found += [g.detach().numpy() for g in zeros]
    loss = sum(((g * g).sum() for g in zeros), Tensor(0.0, dtype="float64"))
    second = [None] * len(leaves)
    if loss.requires_grad:
        second = autograd.grad(loss, leaves, allow_unused=True)
    found += [np.zeros(x.shape) if g is None else g.numpy() for g, x in zip(second, leaves, strict=True)]
    return found


def same_gradients(program, equivalent, *values):
    """Whether a program that changes tensors in place has the derivatives of one that does not."""
    for got, expected in zip(gradients(program, *values), gradients(equivalent, *values), strict=True):
        np.testing.assert_allclose(got, expected, rtol=1e-12, atol=1e-12)


X = np.array([[1.0, -2.0, 3.0], [0.5, 4.0, -1.5], [2.5, -0.5, 1.25], [3.5, 0.75, -2.25]])
W = np.array([1.5, -0.5, 2.0])


def rows_of(x):
    return [x[i] for i in range(len(x))]


def with_column(x, column):
    return neurenix.cat([column.unsqueeze(1), x[:, 1:]], 1)


def loop(x, w):
    out = neurenix.zeros(4, 3, dtype="float64")
    for i in range(4):
        out[i] += w * x[i]
    return out


def recurrence(x, w):
    out = neurenix.zeros(4, 3, dtype="float64")
    h = w
    for i in range(4):
        h = (h * x[i]).tanh()
        out[i] = h
        h = out[i] * 2
    return out


def recurrence_equivalent(x, w):
    h, rows = w, []
    for i in range(4):
        rows.append((h * x[i]).tanh())
        h = rows[-1] * 2
    return neurenix.stack(rows)


def run(body):
    """A program that copies x and changes the copy: `y` is that, `x` and `w` are leaves."""

    def program(x, w):
        y = x * 1
        body(y, x, w)
        return y

    return program


def do(*statements):
    def body(y, x, w):
        names = {"y": y, "x": x, "w": w, "T": Tensor, "nx": neurenix}
        for statement in statements:
            exec(statement, names)

    return run(body)


PROGRAMS = {
    "row, int": (do("y[1] += w"), lambda x, w: neurenix.stack([x[0], x[1] + w, x[2], x[3]])),
    "row, 0-d tensor": (
        do("y[T(1)] *= w"),
        lambda x, w: neurenix.stack([x[0], x[1] * w, x[2], x[3]]),
    ),
    "rows, slice": (do("y[1:3] *= w"), lambda x, w: neurenix.cat([x[:1], x[1:3] * w, x[3:]])),
    "every other row, backwards": (
        do("y[::2][::1].mul_(w); y.T[:, ::2].add_(1.0)"),
        lambda x, w: neurenix.stack([x[0] * w + 1, x[1], x[2] * w + 1, x[3]]),
    ),
    "column": (do("y[:, 0] *= 2"), lambda x, w: with_column(x, x[:, 0] * 2)),
    "column by itself": (do("y[:, 0] *= y[:, 1]"), lambda x, w: with_column(x, x[:, 0] * x[:, 1])),
    "overlapping columns": (
        do("y[:, 1:] = y[:, :-1].clone() * w[0]"),
        lambda x, w: neurenix.cat([x[:, :1], x[:, :-1] * w[0]], 1),
    ),
    "index list": (
        do("y[[0, 2]] += w"),
        lambda x, w: neurenix.stack([x[0] + w, x[1], x[2] + w, x[3]]),
    ),
    "mask": (
        do("y[T([True, False, True, False])] *= w"),
        lambda x, w: neurenix.stack([x[0] * w, x[1], x[2] * w, x[3]]),
    ),
    "mask of elements": (do("y[y < 0] = w[0]"), lambda x, w: neurenix.where(x < 0, w[0], x)),
    "mask in a view": (
        do("v = y[1:]", "v[v < 0] = w[1] * w[1]"),
        lambda x, w: neurenix.cat([x[:1], neurenix.where(x[1:] < 0, w[1] * w[1], x[1:])]),
    ),
    "index list in a view": (
        do("v = y.T", "v[[0, 2]] = v[[2, 0]] * w[0]"),
        lambda x, w: neurenix.stack([x[:, 2] * w[0], x[:, 1], x[:, 0] * w[0]], 1),
    ),
    "add_ of a row": (do("y[0].add_(w)"), lambda x, w: neurenix.stack([x[0] + w, x[1], x[2], x[3]])),
    "view": (do("v = y.view(12); v *= 3"), lambda x, w: x * 3),
    "view and its part": (
        do("v = y.view(2, 6)", "v[1] *= v[0]"),
        lambda x, w: neurenix.cat([x.reshape(2, 6)[:1], x.reshape(2, 6)[1:] * x.reshape(2, 6)[:1]]).reshape(
            4, 3
        ),
    ),
    "transpose": (do("v = y.T; v.mul_(2)"), lambda x, w: x * 2),
    "transpose by a column": (do("y.T.mul_(w.unsqueeze(1))"), lambda x, w: x * w),
    "view of a view of a view": (
        do("y[1:].T[1:].unsqueeze(0)[0, 1].mul_(w)"),
        lambda x, w: neurenix.cat([x[:, :2], neurenix.cat([x[:1, 2], x[1:, 2] * w]).unsqueeze(1)], 1),
    ),
    "base, then view": (do("v = y[1]", "y.mul_(w)", "v.add_(v)"), lambda x, w: x * w * T_ROW_1),
    "view, then base": (do("v = y[1]", "v.mul_(2)", "y.mul_(w)"), lambda x, w: x * w * T_ROW_1),
    "brothers": (
        do("a = y[:2]; b = y[1:]", "a.mul_(w)", "b.mul_(w)", "a.mul_(w)"),
        lambda x, w: neurenix.stack([x[0] * w * w, x[1] * w * w * w, x[2] * w, x[3] * w]),
    ),
    "parts of split": (
        do("a, b = y.split(2)", "a.mul_(b)", "b.mul_(w)"),
        lambda x, w: neurenix.cat([x[:2] * x[2:], x[2:] * w]),
    ),
    "parts of chunk": (
        do("a, b, c = y.chunk(3, 1)", "c.copy_(a)", "a.zero_()"),
        lambda x, w: neurenix.cat([x[:, :1] * 0, x[:, 1:2], x[:, :1]], 1),
    ),
    "parts of unbind": (
        do("for k, r in enumerate(y.unbind()): r.mul_(w ** (k + 1))"),
        lambda x, w: neurenix.stack([r * w ** (k + 1) for k, r in enumerate(rows_of(x))]),
    ),
    "zeros over a part": (do("y[1:].zero_()"), lambda x, w: neurenix.cat([x[:1], x[1:] * 0])),
    "a number over a part": (do("y[1:, 1:].fill_(3)"), lambda x, w: neurenix.where(T_CORNER, T_THREE, x)),
    "a constant over a part": (
        do("y[1:, 1:] = nx.full((3, 2), 3)"),
        lambda x, w: neurenix.where(T_CORNER, T_THREE, x),
    ),
    "a constant over all, through a view": (do("y.T.fill_(3)", "y.mul_(x)"), lambda x, w: x * 3),
    "a value of another dtype": (
        do("y[0] = w.float()"),
        lambda x, w: neurenix.stack([w.float().double(), x[1], x[2], x[3]]),
    ),
    "clamp_ of a part": (
        do("y[:2].clamp_(min=-1, max=2)"),
        lambda x, w: neurenix.cat([x[:2].clamp(-1, 2), x[2:]]),
    ),
    "exchanged": (
        do("y[0], y[1] = y[1].clone(), y[0].clone()"),
        lambda x, w: neurenix.stack([x[1], x[0], x[2], x[3]]),
    ),
    "diagonal by stride": (
        do("y.view(12)[::4].mul_(w)"),
        lambda x, w: x * (neurenix.eye(4, 3, dtype="float64") * (w - 1) + 1),
    ),
    "an expanded value": (do("y[1:] = w.expand(3, 3)"), lambda x, w: neurenix.stack([x[0], w, w, w])),
    "scatter_ in a part": (
        do("y[1:].scatter_(0, T([[2, 0, 1]]), w.unsqueeze(0))"),
        lambda x, w: neurenix.where(T_PLACES, w.expand(4, 3), x),
    ),
    "lerp_": (do("y[0].lerp_(w, w)"), lambda x, w: neurenix.stack([x[0] + w * (w - x[0]), x[1], x[2], x[3]])),
    "random numbers": (
        do("y[0].uniform_(1, 1)"),
        lambda x, w: neurenix.stack([x[0] * 0 + 1, x[1], x[2], x[3]]),
    ),
    "loop": (loop, lambda x, w: x * w),
    "recurrence": (recurrence, recurrence_equivalent),
    "the leaf's own view beside": (
        do("v = x[0]", "y[0] = v * v", "y[1].mul_(v)"),
        lambda x, w: neurenix.stack([x[0] * x[0], x[1] * x[0], x[2], x[3]]),
    ),
    "no change": (do("y[0] = y[0]", "y.copy_(y)", "y[:] = y"), lambda x, w: x * 1),
}
T_ROW_1 = Tensor([[1.0], [2.0], [1.0], [1.0]], dtype="float64")
T_CORNER = Tensor([[False] * 3] + [[False, True, True]] * 3)
T_THREE = Tensor(3.0, dtype="float64")
T_PLACES = Tensor([[False, False, False], [False, True, False], [False, False, True], [True, False, False]])


@pytest.mark.parametrize("name", PROGRAMS)
def test_changes_of_parts_have_the_gradients_of_programs_without(name):
    program, equivalent = PROGRAMS[name]
    same_gradients(program, equivalent, X, W)


def test_a_part_changed_has_the_gradient_worked_out_by_hand():
    x = leaf(1, 2, 3, 4)
    w = leaf(10, 20)
    y = x * 2  # 2, 4, 6, 8
    y[1:3] *= w  # 2, 40, 120, 8
    y[2:].mul_(y[1])  # 2, 40, 4800, 320
    y.sum().backward()
    # y = 2 x0, 2 x1 w0, 4 x1 x2 w0 w1, 4 x1 x3 w0
    assert x.grad.tolist() == [2, 20 + 4 * 3 * 200 + 4 * 4 * 10, 4 * 2 * 200, 4 * 2 * 10]
    assert w.grad.tolist() == [2 * 2 + 4 * 6 * 20 + 4 * 8, 4 * 6 * 10]


TWINS = {
    "add_": (lambda y, w: y.add_(w, alpha=2), lambda x, w: x + 2 * w),
    "sub_": (lambda y, w: y.sub_(w), lambda x, w: x - w),
    "mul_": (lambda y, w: y.mul_(w), lambda x, w: x * w),
    "div_": (lambda y, w: y.div_(w), lambda x, w: x / w),
    "clamp_ from below": (lambda y, w: y.clamp_(min=0.6), lambda x, w: x.clamp(min=0.6)),
    "clamp_ between": (lambda y, w: y.clamp_(-1, 2), lambda x, w: x.clamp(-1, 2)),
    "clamp_ by tensors": (lambda y, w: y.clamp_(max=w), lambda x, w: x.clamp(max=w)),
    "lerp_": (lambda y, w: y.lerp_(w, w), lambda x, w: x.lerp(w, w)),
    "copy_": (lambda y, w: y.copy_(w), lambda x, w: x * 0 + w),
    "scatter_": (
        lambda y, w: y.scatter_(0, Tensor([[1, 0, 3]]), w.unsqueeze(0)),
        lambda x, w: x.scatter(0, Tensor([[1, 0, 3]]), w.unsqueeze(0)),
    ),
    "scatter_add_": (
        lambda y, w: y.scatter_add_(0, Tensor([[1, 0, 3]]), w.unsqueeze(0)),
        lambda x, w: x.scatter_add(0, Tensor([[1, 0, 3]]), w.unsqueeze(0)),
    ),
    "+=": (lambda y, w: y.__iadd__(w), lambda x, w: x + w),
    "-=": (lambda y, w: y.__isub__(w), lambda x, w: x - w),
    "*=": (lambda y, w: y.__imul__(w), lambda x, w: x * w),
    "/=": (lambda y, w: y.__itruediv__(w), lambda x, w: x / w),
    "add_ of itself": (lambda y, w: y.add_(y), lambda x, w: x + x),
    "mul_ by itself": (lambda y, w: y.mul_(y), lambda x, w: x * x),
    "div_ by itself": (lambda y, w: y.div_(y), lambda x, w: x / x),
    "lerp_ to itself": (lambda y, w: y.lerp_(w, y), lambda x, w: x + x * (w - x)),
    "mul_ by its row": (lambda y, w: y.mul_(y[1]), lambda x, w: x * x[1]),
}


@pytest.mark.parametrize("name", TWINS)
@pytest.mark.parametrize("part", [False, True])
def test_operations_in_place_have_the_gradient_of_their_twins(name, part):
    """Also those whose gradient needs the values that are written over."""
    change, twin = TWINS[name]
    if not part:

        def program(x, w):
            y = x * 1
            change(y, w)
            return y

        same_gradients(program, twin, X, W)
        return

    def of_part(x, w):
        y = x * 1
        change(y[1:].T.T[:4], w)
        return y

    same_gradients(of_part, lambda x, w: neurenix.cat([x[:1], twin(x[1:], w)]), np.vstack([X[:1], X]), W)


def test_clamp_in_place_of_a_result():
    w = neurenix.ones(3, requires_grad=True)
    x = w * Tensor([0.5, 2.0, 3.0])
    x.clamp_(max=2.5)
    x.sum().backward()
    assert w.grad.tolist() == [0.5, 2, 0]


def test_what_another_gradient_needs_is_still_missed():
    x = leaf(1, 2, 3)
    y = x * 2
    z = y * y
    y[0].add_(1)
    with pytest.raises(RuntimeError, match=CHANGED):
        z.sum().backward()
    y = x.exp()
    y[0] *= 2
    with pytest.raises(RuntimeError, match=CHANGED):
        y.sum().backward()
    y = x * 2
    y[1:] = y[:-1] * leaf(1)
    with pytest.raises(RuntimeError, match=CHANGED):
        y.sum().backward()


def test_views_made_without_recording_are_not_changed_while_recording():
    x = leaf(1, 2, 3)
    y = x * 2
    with neurenix.no_grad():
        view = y[1:]
    with pytest.raises(RuntimeError, match="no_grad"):
        view.mul_(2)
    assert y.tolist() == [2, 4, 6]
    with neurenix.no_grad():
        view.mul_(2)
    (y * y).sum().backward()
    assert x.grad.tolist() == [2 * 2 * 2, 2 * 8 * 2, 2 * 12 * 2]
    plain = neurenix.zeros(3)
    with neurenix.no_grad():
        view = plain[1:]
    view.add_(1)
    assert plain.tolist() == [0, 1, 1]
    with pytest.raises(RuntimeError, match="no_grad"):
        view.add_(x[1:])


def test_changes_without_recording_of_parts_of_a_result():
    x = leaf(1, 2, 3)
    y = x * 1
    view, brother = y[1:], y[:2]
    with neurenix.no_grad():
        view.mul_(10)
        y[0] = 5
    assert y.tolist() == [5, 20, 30]
    (y.sum() + view.sum() + brother.sum()).backward()
    assert x.grad.tolist() == [2, 3, 2]


def test_expanded_tensors_are_not_written_to():
    x = leaf(1, 2, 3)
    y = x * 1
    wide = y.expand(2, 3)
    with pytest.raises(RuntimeError, match="share memory"):
        wide.mul_(2)
    y.mul_(x)
    (wide * wide).sum().backward()  # 2 x⁴
    assert x.grad.tolist() == [8, 64, 216]


def test_values_taken_off_the_tape_stay_so():
    x = leaf(1, 2, 3)
    y = x * 1
    log, part = y.detach(), y.detach()[1:]
    y.mul_(x)
    assert (log * 2).tolist() == [2, 8, 18]
    assert (part * 2).tolist() == [8, 18]
    assert not (log * 2).requires_grad
    assert not part.requires_grad
    log.add_(x)  # has a history of its own now, of which y knows nothing
    with pytest.raises(RuntimeError, match=CHANGED):
        y * 2
    log.sum().backward()
    assert x.grad.tolist() == [1, 1, 1]


def test_integers_carry_no_gradient():
    y = neurenix.zeros(3, dtype="int64")
    with pytest.raises(TypeError, match="cannot carry gradients"):
        y[:1].copy_(leaf(1))
    with pytest.raises(TypeError, match="cannot be stored"):
        y[1:].add_(leaf(1.5))
    assert y.tolist() == [0, 0, 0]


def test_a_view_that_becomes_a_leaf_is_one():
    base = neurenix.zeros(3)
    view = base[1:].requires_grad_()
    with pytest.raises(RuntimeError, match="a leaf"):
        view.add_(1)
    (view * 3).sum().backward()
    assert view.grad.tolist() == [3, 3]
    assert not base.requires_grad
    x = leaf(1, 2)
    view = (x * 2)[1:].detach_()
    view.add_(1)
    assert view.is_leaf
    assert view.tolist() == [5]


def test_a_base_with_other_data_is_no_base():
    x = leaf(1, 2, 3)
    y = neurenix.zeros(3)
    view = y[1:]
    y.data = neurenix.ones(3)
    view.add_(x[1:])
    assert not y.requires_grad
    assert view.requires_grad
    assert y.tolist() == [1, 1, 1]
    view.sum().backward()
    assert x.grad.tolist() == [0, 1, 1]


def test_hooks_and_retained_gradients_of_what_is_changed():
    x = leaf(1, 2, 3)
    y = x * 1
    y.retain_grad()
    before = []
    y.register_hook(lambda g: before.append(g.tolist()))
    y[1:].mul_(10)
    after = []
    y.register_hook(lambda g: after.append(g.tolist()))
    (y * 2).sum().backward()
    assert before == [[2, 20, 20]]  # a hook sees the gradient of the values that it was registered on
    assert after == [[2, 2, 2]]
    assert y.grad.tolist() == [2, 2, 2]  # and a retained gradient is that of the values that are there


def test_long_chains_of_views_and_of_changes():
    x = leaf(*range(1, 12))
    y = x * 1
    view = y
    for _ in range(10):
        view = view[1:]
    view.mul_(5)
    total = neurenix.zeros(1)
    for i in range(300):
        y[i % 11] *= 1.0
        total[0] += y[i % 11]
    total.sum().backward()
    counts = [28] * 3 + [27] * 8
    counts[10] *= 5
    assert x.grad.tolist() == counts
    deep = x * 1
    for _ in range(40):
        deep = (
            deep.unsqueeze(0).transpose(0, 1)[0:1].reshape(11)
            if deep.shape[0] == 1
            else deep.T.view(11).T[:11]
        )
    view = x * 1
    for _k in range(100):
        view = view.view(1, 11) if view.ndim == 1 else view.T[:, 0]
    with pytest.raises(RuntimeError, match="steps deep"):
        view.add_(1)


def test_dropping_a_long_chain_of_changes():
    x = leaf(1, 2)
    y = x * 1
    for _ in range(50_000):
        y[0] *= 1.0
    del y
    (x * 2).sum().backward()
    assert x.grad.tolist() == [2, 2]


class Model:
    """The values in one line; each view has the places of its own. Nothing is changed in place."""

    def __init__(self, values):
        self.line = values.reshape(-1)

    def read(self, places):
        return self.line.index_select(0, Tensor(places.reshape(-1))).reshape(*places.shape)

    def write(self, places, values):
        values = values.expand(*places.shape).reshape(-1)
        self.line = self.line.scatter(0, Tensor(places.reshape(-1)), values)


def random_view(rng, t, places):
    """A view of a tensor, and of the places of its elements."""
    kind = rng.integers(7)
    if kind == 0 and t.ndim:
        a = rng.integers(t.ndim)
        start = int(rng.integers(t.shape[a]))
        index = (slice(None),) * a + (slice(start, None, int(rng.integers(1, 3))),)
        return t[index], places[index]
    if kind == 1 and t.ndim > 1:
        a = int(rng.integers(t.ndim))
        i = int(rng.integers(-t.shape[a], t.shape[a]))
        return t.select(a, i), places.take(i, a)
    if kind == 2:
        order = [int(a) for a in rng.permutation(t.ndim)]
        return t.permute(*order), places.transpose(order)
    if kind == 3 and t.is_contiguous() and t.numel():
        return t.view(-1), places.reshape(-1)
    if kind == 4 and t.numel() % 2 == 0 and t.is_contiguous():
        return t.view(2, -1), places.reshape(2, -1)
    if kind == 5 and t.ndim < 4:
        return t.unsqueeze(0), places[None]
    if kind == 6 and t.ndim:
        part = int(rng.integers(2))
        parts = t.chunk(2, 0)
        if part < len(parts):
            n = parts[0].shape[0]
            return parts[part], places[part * n : (part + 1) * n]
    return t[...], places


def random_program(rng, choices):
    """Changes in place of views of one tensor, and the model of them; `choices` are made by the seed alone."""

    def program(x, w, in_place):
        state = np.random.default_rng(choices)
        y = x * 1 if state.integers(2) else neurenix.zeros(3, 4, dtype="float64")
        model = Model(y)
        views = [(y, np.arange(12).reshape(3, 4))]
        for _ in range(12):
            t, places = views[state.integers(len(views))]
            other, elsewhere = views[state.integers(len(views))]
            kind = state.integers(12)
            if kind < 4:
                if len(views) < 8:
                    views.append(random_view(state, t, places))
                continue
            scale = float(state.integers(1, 4)) / 2
            factor = w[int(state.integers(3))]
            old = None if in_place else model.read(places)
            if kind == 4:
                new = t.mul_(factor) if in_place else old * factor
            elif kind == 5:
                new = t.add_(factor, alpha=scale) if in_place else old + factor * scale
            elif kind == 6:
                new = t.fill_(scale) if in_place else old * 0 + scale
            elif kind == 7:
                new = t.clamp_(min=-scale, max=scale) if in_place else old.clamp(-scale, scale)
            elif kind == 8 and elsewhere.size:
                flat = elsewhere.reshape(-1)[0]
                value = other.reshape(-1)[0] if in_place else model.line[int(flat)]
                new = t.mul_(value) if in_place else old * value
            elif kind == 9:
                new = t.mul_(t) if in_place else old * old
            elif kind == 10 and t.ndim and t.shape[0]:
                i = int(state.integers(t.shape[0]))
                if in_place:
                    t[[i]] = t[[i]] * factor
                    new = t
                else:
                    mask = np.zeros(places.shape, dtype=bool)
                    mask[i] = True
                    new = neurenix.where(Tensor(mask), old * factor, old)
            else:
                new = t.sub_(scale) if in_place else old - scale
            if not in_place:
                model.write(places, new)
        last = views[-1]
        seen = last[0] if in_place else model.read(last[1])
        whole = y if in_place else model.line.reshape(3, 4)
        return neurenix.cat([whole.reshape(-1), seen.reshape(-1) * 2])

    return program


@pytest.mark.parametrize("seed", range(150))
def test_random_chains_of_views_and_changes(seed):
    rng = np.random.default_rng(seed)
    x, w = rng.standard_normal((3, 4)), rng.standard_normal(3)
    program = random_program(rng, seed)
    same_gradients(lambda x, w: program(x, w, True), lambda x, w: program(x, w, False), x, w)
