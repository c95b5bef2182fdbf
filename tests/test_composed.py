"""Functions made of operations, against NumPy's."""

import itertools

import neurenix
import numpy as np
import pytest
from neurenix import Tensor, composed
from neurenix.testing import assert_close


def numbers(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape)


EQUATIONS = [
    ("ik,jk->ij", (2, 3), (4, 3)),
    ("ij,jk", (2, 3), (3, 4)),
    ("bij,bjk->bik", (2, 3, 4), (2, 4, 5)),
    ("bhqd,bhkd->bhqk", (2, 3, 4, 5), (2, 3, 6, 5)),
    ("i,j->ij", (2,), (3,)),
    ("i,i->", (3,), (3,)),
    ("i,i->i", (3,), (3,)),
    ("ii", (3, 3)),
    ("ii->i", (3, 3)),
    ("iij->j", (3, 3, 2)),
    ("ij->ji", (2, 3)),
    ("ijk->k", (2, 3, 4)),
    ("ab,bc,cd->ad", (2, 3), (3, 4), (4, 5)),
    ("ab,cb,db->acd", (2, 3), (4, 3), (5, 3)),
    ("ij,kl->jl", (2, 3), (4, 5)),
    (",ij->ij", (), (2, 3)),
    ("ba,cb->ca", (0, 3), (2, 0)),
    ("...ij,...jk->...ik", (5, 1, 2, 3), (4, 3, 2)),
    ("...ij,jk", (2, 3, 4), (4, 2)),
    ("i...,i...->...", (3, 2, 4), (3, 2, 1)),
    ("b...i,i", (2, 5, 3), (3,)),
    ("a...a->...a", (3, 2, 3)),
    ("i->...i", (2,)),
    ("...,...", (2, 1), (3,)),
]


@pytest.mark.parametrize("row", EQUATIONS, ids=lambda row: row[0])
def test_einsum(row):
    equation, *shapes = row
    arrays = [np.asarray(numbers(*shape, seed=k)) for k, shape in enumerate(shapes)]
    leaves = [Tensor(a, requires_grad=True) for a in arrays]
    found = neurenix.einsum(equation, *leaves)
    expected = np.einsum(equation, *arrays)
    assert found.shape == expected.shape
    assert_close(found.detach(), expected, rtol=1e-12, atol=1e-13)
    weights = np.asarray(numbers(*expected.shape, seed=9))
    (found * Tensor(weights)).sum().backward()
    for k, (leaf, a) in enumerate(zip(leaves, arrays, strict=True)):
        if not a.size:
            continue
        moved = [x + 1e-6 * (i == k) * np.ones_like(x) for i, x in enumerate(arrays)]
        slope = ((np.einsum(equation, *moved) - expected) * weights).sum() / 1e-6
        assert leaf.grad.sum().item() == pytest.approx(slope, rel=1e-4, abs=1e-4)


@pytest.mark.parametrize(
    ("equation", "shapes", "message"),
    [
        ("ij,jk->ik", [(2, 3), (4, 5)], '"j" has the sizes 3 and 4'),
        ("ij->ik", [(2, 3)], "must be in a term"),
        ("ij->ii", [(2, 3)], "be there once"),
        ("ij", [(2,)], "2 letters for an operand of shape"),
        ("ij,jk", [(2, 3)], "2 terms for 1 operands"),
        ("...j...", [(2, 3)], 'one "..." in a term'),
        ("...,...", [(2, 3)], "has 1 operands"),
        ("...jk->jk", [(2,)], "2 letters for an operand of shape"),
        ("...j,...j->...", [(2, 3), (4, 3)], "do not broadcast"),
        ("..j", [(2, 3)], "may hold letters"),
    ],
)
def test_einsum_says_what_does_not_fit(equation, shapes, message):
    with pytest.raises(ValueError, match=message):
        neurenix.einsum(equation, *(neurenix.ones(shape) for shape in shapes))


def test_einsum_takes_its_equation_first():
    with pytest.raises(TypeError, match="the equation comes first"):
        neurenix.einsum(neurenix.ones(2), "i")


def test_arrays_and_tensors():
    array = np.zeros(3, "float32")
    shared = neurenix.from_numpy(array)
    shared[1] = 2.0
    assert array.tolist() == [0, 2, 0]
    assert neurenix.as_tensor(shared) is shared
    assert neurenix.as_tensor(shared, dtype="float64").dtype == neurenix.float64
    array.flags.writeable = False
    with pytest.raises(ValueError, match="read-only"):
        neurenix.from_numpy(array)
    assert neurenix.as_tensor(array).tolist() == [0, 2, 0]
    with pytest.raises(TypeError, match="NumPy array, got list"):
        neurenix.from_numpy([1.0])
    assert neurenix.tensor([1, 2], dtype="float64", requires_grad=True).requires_grad
    assert neurenix.is_tensor(shared)
    assert not neurenix.is_tensor(array)
    assert neurenix.numel(shared) == 3


def test_shapes_against_numpy():
    x = numbers(3, 4)
    for shifts, dims in [(1, 0), (-1, 1), (5, None), ((1, -2), (0, 1)), (0, 0), (7, 1)]:
        assert_close(neurenix.roll(Tensor(x), shifts, dims), np.roll(x, shifts, dims), rtol=0)
    assert neurenix.roll(neurenix.ones(0), 2, 0).shape == (0,)
    for indexing, n in itertools.product(("ij", "xy"), (1, 2, 3)):
        vectors = [np.arange(k + 2) for k in range(n)]
        found = neurenix.meshgrid(*map(Tensor, vectors), indexing=indexing)
        for a, b in zip(found, np.meshgrid(*vectors, indexing=indexing), strict=True):
            assert_close(a, b, rtol=0)
    for matrix, k in itertools.product((x, x[0], x[:, :2], x[:0], np.array([np.nan, np.inf])), (0, 1, -2, 9)):
        found = neurenix.diag(Tensor(matrix), k)
        assert found.shape == np.diag(matrix, k).shape
        np.testing.assert_array_equal(found.numpy(), np.diag(matrix, k))
    assert_close(neurenix.outer(Tensor(x[0]), Tensor(x[:, 0])), np.outer(x[0], x[:, 0]), rtol=0)
    assert neurenix.broadcast_to(Tensor(x), (2, 3, 4)).shape == (2, 3, 4)
    assert neurenix.concat is neurenix.cat
    for call in (
        lambda: neurenix.outer(Tensor(x), Tensor(x)),
        lambda: neurenix.meshgrid(Tensor(x)),
        lambda: neurenix.meshgrid(Tensor(x[0]), indexing="yx"),
        lambda: neurenix.diag(neurenix.ones(1, 1, 1)),
        lambda: neurenix.roll(Tensor(x), (1, 2), 0),
    ):
        with pytest.raises(ValueError, match="vector|indexing|shifts"):
            call()


def test_counting_against_numpy():
    x = np.random.default_rng(0).integers(0, 5, (4, 6))
    t = Tensor(x)
    values, inverse, counts = neurenix.unique(t, return_inverse=True, return_counts=True)
    for found, expected in zip((values, counts), np.unique(x, return_counts=True), strict=True):
        assert found.tolist() == expected.tolist()
    assert values[inverse].tolist() == x.tolist()
    assert neurenix.unique(neurenix.ones(0)).tolist() == []
    assert neurenix.count_nonzero(t, 0).tolist() == np.count_nonzero(x, 0).tolist()
    assert (
        neurenix.bincount(t.flatten(), minlength=8).tolist() == np.bincount(x.ravel(), minlength=8).tolist()
    )
    weights = numbers(24)
    assert_close(neurenix.bincount(t.flatten(), Tensor(weights)), np.bincount(x.ravel(), weights), rtol=1e-12)
    assert neurenix.bincount(neurenix.zeros(0, dtype="int64")).tolist() == []
    with pytest.raises(ValueError, match="not be negative, got -1"):
        neurenix.bincount(Tensor([-1, 2]))
    assert neurenix.masked_select(t, t > 2).tolist() == x[x > 2].tolist()
    assert neurenix.masked_select(Tensor([1, 2]), Tensor([[True], [False]])).tolist() == [1, 2]


def test_draws_follow_their_distribution():
    n = 100_000
    neurenix.manual_seed(0)
    p = Tensor([0.1, 0.5, 0.9])
    shares = neurenix.bernoulli(p.expand(n, 3)).mean(0)
    assert_close(shares, p, rtol=0, atol=4 * 0.5 / n**0.5)
    mean, std = Tensor([0.0, 5.0]), Tensor([1.0, 0.1])
    drawn = neurenix.normal(mean.expand(n, 2), std)
    assert_close(drawn.mean(0), mean, rtol=0, atol=4 / n**0.5)
    assert_close(drawn.std(0), std, rtol=0.02)
    weights = Tensor([1.0, 0.0, 2.0, 5.0])
    for draws in (
        neurenix.multinomial(weights, n, replacement=True),
        neurenix.multinomial(weights.expand(n, 4), 1)[:, 0],
    ):
        shares = neurenix.bincount(draws, minlength=4) / n
        assert_close(shares, weights / 8, rtol=0, atol=4 * 0.5 / n**0.5)
    # Without replacement each row is a permutation of what has a weight.
    assert set(map(frozenset, neurenix.multinomial(weights.expand(50, 4), 3).tolist())) == {
        frozenset((0, 2, 3))
    }
    same = [
        neurenix.multinomial(weights, 9, True, generator=neurenix.Generator(3)).tolist() for _ in range(2)
    ]
    assert same[0] == same[1]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: neurenix.bernoulli(Tensor([1.5])), r"in \[0, 1\], got 1.5"),
        (lambda: neurenix.bernoulli(Tensor([float("nan")])), r"in \[0, 1\]"),
        (lambda: neurenix.normal(0.0, -1.0, (2,)), "0 or more, got -1"),
        (lambda: neurenix.multinomial(Tensor([1.0, -1.0]), 1), "not negative"),
        (lambda: neurenix.multinomial(Tensor([1.0, 0.0]), 2), "1 positive weights, 2"),
        (lambda: neurenix.multinomial(neurenix.ones(1, 1, 1), 1), "one or two dimensions"),
    ],
)
def test_draws_refuse_what_is_no_distribution(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_normal_needs_a_size():
    with pytest.raises(TypeError, match="a size is needed"):
        neurenix.normal(0.0, 1.0)


def test_every_function_has_an_example():
    for name in composed.__all__:
        assert ">>>" in getattr(composed, name).__doc__, name
