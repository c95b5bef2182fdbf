"""The other spellings of PyTorch and NumPy: keywords, aliases and forms that mean what the plain call does."""

import neurenix
import numpy as np
import pytest
from neurenix import Tensor
from neurenix.testing import assert_close

X = Tensor([[1.0, 5.0, 2.0], [4.0, 3.0, 6.0]])
PLACES, VALUES = Tensor([[0, 1, 0]]), Tensor([[1.0, 2.0, 3.0]])

ALONG = "sum mean prod amax amin argmax argmin any all var std logsumexp softmax log_softmax cumsum max min"
KEEPING = "sum mean prod amax amin argmax argmin any all logsumexp max min"
OF_ALL = "sum mean amax amin var std norm logsumexp any all"
SAME = [
    *((f"{name} axis", getattr(Tensor, name), (1,), {"axis": 1}) for name in ALONG.split()),
    *((f"{name} of ()", getattr(Tensor, name), (), {"dim": ()}) for name in OF_ALL.split()),
    ("norm axis", Tensor.norm, (2, 0), {"p": 2, "axis": 0}),
    ("norm fro", Tensor.norm, (2.0, 1), {"p": "fro", "dim": 1}),
    *(
        (f"{name} keepdims", getattr(Tensor, name), (1, True), {"axis": 1, "keepdims": True})
        for name in KEEPING.split()
    ),
    ("norm keepdims", Tensor.norm, (2, 0, True), {"p": 2, "axis": 0, "keepdims": True}),
    ("var keepdims", Tensor.var, (0, True, True), {"axis": 0, "keepdims": True}),
    ("std keepdims", Tensor.std, (0, True, True), {"axis": 0, "keepdims": True}),
    *(
        (f"{name} axis", getattr(Tensor, name), (0,), {"axis": 0})
        for name in ("sort", "argsort", "unsqueeze")
    ),
    ("topk axis", Tensor.topk, (2, 1), {"k": 2, "axis": 1}),
    ("split axis", Tensor.split, (1, 1), {"split_size": 1, "axis": 1}),
    ("squeeze axis", lambda x, *a, **k: x[None].squeeze(*a, **k), (0,), {"axis": 0}),
    ("cat axis", lambda x, *a, **k: neurenix.cat([x, x], *a, **k), (1,), {"axis": 1}),
    ("stack axis", lambda x, *a, **k: neurenix.stack([x, x], *a, **k), (1,), {"axis": 1}),
    ("to non_blocking", Tensor.to, ("cpu",), {"device": "cpu", "non_blocking": True}),
    ("permute", Tensor.permute, (1, 0), {"dims": (1, 0)}),
    ("reshape", Tensor.reshape, (3, -1), {"shape": (3, -1)}),
    ("view", Tensor.view, (6,), {"size": [6]}),
    ("expand", Tensor.expand, (2, -1, -1), {"size": (2, -1, -1)}),
    ("repeat", Tensor.repeat, (2, 1), {"repeats": (2, 1)}),
]


@pytest.mark.parametrize(("call", "places", "words"), [row[1:] for row in SAME], ids=[row[0] for row in SAME])
def test_keywords_mean_what_places_do(call, places, words):
    plain, named = call(X, *places), call(X, **words)
    for a, b in zip(*(r if isinstance(r, tuple) else (r,) for r in (plain, named)), strict=True):
        assert a.shape == b.shape
        assert a.tobytes() == b.tobytes()


@pytest.mark.parametrize(
    ("call", "names"),
    [
        (lambda: X.sum(0, axis=0), "dim and axis"),
        (lambda: X.sum(0, True, keepdims=True), "keepdim and keepdims"),
        (lambda: X.sort(0, axis=0), "dim and axis"),
        (lambda: neurenix.cat([X], 0, axis=0), "dim and axis"),
        (lambda: X.to("cpu", inplace=True, copy=True), "inplace or copy"),
    ],
)
def test_two_names_of_one_thing_are_refused(call, names):
    with pytest.raises(TypeError, match=names):
        call()


def test_to_copies_when_asked_to():
    assert X.to("cpu") is X
    copied = X.to("cpu", copy=True)
    assert copied is not X
    assert copied.tolist() == X.tolist()
    assert np.asarray(copied).ctypes.data != np.asarray(X).ctypes.data
    leaf = neurenix.ones(2, requires_grad=True)
    leaf.to("cpu", copy=True).sum().backward()
    assert leaf.grad.tolist() == [1, 1]


def test_variance_is_corrected_in_every_form():
    values = np.array(X)
    for unbiased in (True, False):
        expected = values.var(0, ddof=int(unbiased))
        for found in (
            X.var(0, unbiased),
            X.var(0, unbiased=unbiased),
            X.var(axis=0, correction=int(unbiased)),
        ):
            assert_close(found, expected, rtol=1e-6)
        assert_close(X.std(0, unbiased), np.sqrt(expected), rtol=1e-6)
        assert X.var(unbiased).item() == X.var(unbiased=unbiased).item() == X.var(correction=unbiased).item()


@pytest.mark.parametrize("name", ["empty", "zeros", "ones", "rand", "randn"])
def test_sizes_by_keyword(name):
    make = getattr(neurenix, name)
    assert make(size=(2, 3)).shape == make(size=[2, 3]).shape == (2, 3)
    assert make(size=4).shape == (4,)


def test_randint_in_every_form():
    drawn = [
        neurenix.randint(1, 3, (50,)),
        neurenix.randint(1, 3, size=(50,)),
        neurenix.randint(low=1, high=3, size=(50,)),
        neurenix.randint(high=2, size=(50,)) + 1,
        neurenix.randint(2, (50,)) + 1,
        neurenix.randint(2, size=50) + 1,
    ]
    assert all(set(x.tolist()) == {1, 2} for x in drawn)
    assert neurenix.full(size=(2,), fill_value=3).tolist() == [3, 3]


def test_squeeze_of_several():
    x = neurenix.ones(1, 2, 1, 1)
    assert x.squeeze((0, 3)).shape == (2, 1)
    assert x.squeeze((0, 1)).shape == (2, 1, 1)
    assert x.squeeze(()).shape == x.shape


def test_extremes_of_two_tensors():
    y = Tensor([2.0, 4.0, 6.0])
    assert X.max(y).tolist() == X.maximum(y).tolist()
    assert neurenix.min(X, y).tolist() == X.minimum(y).tolist()


def test_rounding():
    x = Tensor([1.25, -2.5, 1234.567], dtype="float64")
    for decimals in (-2, 0, 1, 2):
        assert_close(x.round(decimals=decimals), np.round(np.array(x), decimals), rtol=1e-15)
        assert round(x, decimals).tolist() == x.round(decimals=decimals).tolist()
    assert round(x).tolist() == [1, -2, 1235]
    assert Tensor([12]).round(decimals=3).tolist() == [12]
    # The product with 100 does not fit into float16, but no step of the computation is in it.
    assert Tensor([1000.5], dtype="float16").round(decimals=2).tolist() == [1000.5]


def test_aliases():
    assert X.clip(2, 4).tolist() == X.clamp(2, 4).tolist() == neurenix.clip(X, 2, 4).tolist()
    assert X.nelement() == X.numel() == 6
    assert neurenix.gelu(X).tolist() == X.gelu().tolist()
    assert neurenix.one_hot(Tensor([1])).tolist() == [[0, 1]]


def test_repeat():
    assert X.repeat(2, 1, 3).shape == (2, 2, 9)
    assert_close(X.repeat(2, 3), np.tile(np.array(X), (2, 3)))
    assert_close(X.repeat(2, 1, 2), np.tile(np.array(X), (2, 1, 2)))
    assert X.repeat(0, 1).shape == (0, 3)
    assert Tensor(3).repeat(2).tolist() == [3, 3]
    neurenix.testing.check_grads(lambda x: x.repeat(2, 1, 3), [X.double()])


def test_scatter_in_place():
    x, y = neurenix.ones(2, 3), neurenix.ones(2, 3)
    assert x.scatter_add_(0, PLACES, VALUES) is x
    assert x.tolist() == neurenix.ones(2, 3).scatter_add(0, PLACES, VALUES).tolist() == [[2, 1, 4], [1, 3, 1]]
    assert y.scatter_(0, PLACES, VALUES).tolist() == [[1, 1, 3], [1, 2, 1]]
    base, source = neurenix.zeros(2, 3), VALUES.clone().requires_grad_()
    base.scatter_add_(0, PLACES, source).sum().backward()
    assert source.grad.tolist() == [[1, 1, 1]]


def test_closeness():
    a = Tensor([1.0, 1.0, np.inf, np.inf, -np.inf, np.nan])
    b = Tensor([1.0 + 5e-6, 1.1, np.inf, 1.0, np.inf, np.nan])
    assert a.isclose(b).tolist() == np.isclose(np.array(a), np.array(b)).tolist()
    assert a.isclose(b, equal_nan=True).tolist()[-1]
    assert not a.allclose(b)
    assert a[:1].allclose(b[:1])
    assert not a[:1].allclose(b[:1], rtol=1e-6)
    assert X.allclose(np.array(X) + 1e-9)
    large = Tensor([2**53])
    assert large.isclose(large + 2, rtol=0, atol=2).item()
    assert not large.isclose(large + 2, rtol=0, atol=1).item()
    assert neurenix.zeros(0).allclose(neurenix.ones(0))


def test_equality():
    assert neurenix.equal(X, X.double())
    assert not X.equal(X[:1])
    assert not X.equal(X + 1e-6)
    assert not Tensor([np.nan]).equal(Tensor([np.nan]))
    assert neurenix.zeros(0, 2).equal(neurenix.zeros(0, 2))
