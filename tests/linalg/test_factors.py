"""Factorizations, equations and norms against NumPy; the polar factor against the singular value decomposition."""

import math

import neurenix
import numpy as np
import pytest
from matrices import definite, drawn, near
from neurenix import linalg
from neurenix.testing import check_grads

SHAPES = [
    (1, 1),
    (3, 3),
    (5, 2),
    (2, 5),
    (40, 33),
    (33, 40),
    (2, 3, 4, 4),
    (2, 1, 6, 3),
    (0, 3, 3),
    (3, 0),
    (0, 3),
]
SQUARE = [(1, 1), (2, 2), (5, 5), (67, 67), (4, 3, 3), (2, 2, 6, 6), (0, 3, 3), (0, 0)]
DTYPES = ["float32", "float64"]
NAN, INF = math.nan, math.inf


def orthonormal(q):
    near(q.mT @ q, np.broadcast_to(np.eye(q.shape[-1]), (*q.shape[:-2], q.shape[-1], q.shape[-1])))


def same_bits(function, *args):
    before = neurenix.get_num_threads()
    found = []
    for threads in (1, 2, 3):
        neurenix.set_num_threads(threads)
        results = function(*args)
        results = [results] if isinstance(results, neurenix.Tensor) else results
        found.append([r.tobytes() for r in results])
    neurenix.set_num_threads(before)
    assert found[0] == found[1] == found[2]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("mode", ["reduced", "complete"])
def test_qr(shape, dtype, mode):
    a = drawn(shape, dtype)
    Q, R = linalg.qr(neurenix.Tensor(a), mode)
    expected = np.linalg.qr(a, mode)
    assert (Q.shape, R.shape) == tuple(e.shape for e in expected)
    near(Q @ R, a, 10)
    orthonormal(Q)
    np.testing.assert_array_equal(R.numpy(), np.triu(R.numpy()))
    only_r = linalg.qr(neurenix.Tensor(a), "r")
    assert only_r.Q.numel() == 0
    np.testing.assert_array_equal(only_r.R.numpy(), linalg.qr(neurenix.Tensor(a)).R.numpy())


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("full", [False, True])
def test_svd(shape, dtype, full):
    a = drawn(shape, dtype)
    U, S, Vh = linalg.svd(neurenix.Tensor(a), full)
    expected = np.linalg.svd(a, full_matrices=full)
    assert (U.shape, S.shape, Vh.shape) == tuple(e.shape for e in expected)
    near(S, expected[1], 10)
    k = S.shape[-1]
    near((U.numpy()[..., :k] * S.numpy()[..., None, :]) @ Vh.numpy()[..., :k, :], a, 10)
    orthonormal(U)
    orthonormal(Vh.mT)
    np.testing.assert_array_equal(linalg.svdvals(neurenix.Tensor(a)).numpy().shape, S.shape)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", SQUARE, ids=str)
@pytest.mark.parametrize("UPLO", ["L", "U"])
def test_eigh(shape, dtype, UPLO):
    a = drawn(shape, dtype)
    a = a + a.swapaxes(-1, -2)
    half = np.tril(a) if UPLO == "L" else np.triu(a)
    w, V = linalg.eigh(neurenix.Tensor(half), UPLO)
    near(w, np.linalg.eigvalsh(a), 10)
    near((V.numpy() * w.numpy()[..., None, :]) @ V.mT.numpy(), a, 10)
    orthonormal(V)
    near(linalg.eigvalsh(neurenix.Tensor(half), UPLO), w.numpy())
    largest = (
        np.take_along_axis(V.numpy(), np.abs(V.numpy()).argmax(-2)[..., None, :], -2) if a.size else V.numpy()
    )
    assert (largest > 0).all(), "the largest element of each vector is positive"


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", SQUARE, ids=str)
def test_cholesky(shape, dtype):
    a = definite(shape, dtype)
    near(linalg.cholesky(neurenix.Tensor(np.tril(a))), np.linalg.cholesky(a), 10)
    near(linalg.cholesky(neurenix.Tensor(np.triu(a)), upper=True), np.linalg.cholesky(a).swapaxes(-1, -2), 10)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", SQUARE, ids=str)
@pytest.mark.parametrize("left", [True, False])
def test_solve(shape, dtype, left):
    a = definite(shape, dtype)
    b = drawn((*shape[:-1], 4) if left else (*shape[:-2], 4, shape[-1]), dtype, 1)
    x = linalg.solve(neurenix.Tensor(a), neurenix.Tensor(b), left=left).numpy()
    near(a @ x if left else x @ a, b, 30)
    near(linalg.inv(neurenix.Tensor(a)), np.linalg.inv(a), 10)


@pytest.mark.parametrize("upper", [True, False])
@pytest.mark.parametrize("left", [True, False])
@pytest.mark.parametrize("unit", [True, False])
@pytest.mark.parametrize("shape", SQUARE, ids=str)
def test_solve_triangular_reads_its_triangle_alone(shape, upper, left, unit):
    n = shape[-1]
    a = drawn(shape) / max(n, 1) + 2 * np.eye(n)
    a = np.triu(a) if upper else np.tril(a)
    b = drawn((*shape[:-1], 4) if left else (*shape[:-2], 4, n), seed=1)
    given = np.where(np.tri(n, k=-1, dtype=bool) if upper else ~np.tri(n, dtype=bool), NAN, a)
    if unit:
        given, a = (np.where(np.eye(n, dtype=bool), value, m) for value, m in ((NAN, given), (1.0, a)))
    x = linalg.solve_triangular(
        neurenix.Tensor(given), neurenix.Tensor(b), upper=upper, left=left, unitriangular=unit
    ).numpy()
    near(a @ x if left else x @ a, b, 10)


def test_leading_dimensions_broadcast_and_vectors_are_columns():
    a, b = definite((3, 1, 4, 4)), drawn((2, 4, 5))
    near(linalg.solve(neurenix.Tensor(a), neurenix.Tensor(b)), np.linalg.solve(a, b), 10)
    found = linalg.solve_triangular(neurenix.Tensor(np.tril(a)), neurenix.Tensor(b), upper=False)
    near(found, np.linalg.solve(np.tril(a), b), 10)
    vector = drawn((4,))
    near(
        linalg.solve(neurenix.Tensor(a[0, 0]), neurenix.Tensor(vector)), np.linalg.solve(a[0, 0], vector), 10
    )
    near(
        linalg.solve(neurenix.Tensor(a[0, 0]), neurenix.Tensor(vector), left=False),
        vector @ np.linalg.inv(a[0, 0]),
        10,
    )
    vectors = drawn((3, 1, 4))
    near(
        linalg.solve(neurenix.Tensor(a), neurenix.Tensor(vectors)),
        np.linalg.solve(a, vectors[..., None])[..., 0],
        10,
    )


def test_views_give_what_copies_give():
    a = drawn((6, 5, 8))
    for view in (lambda t: t.permute(1, 2, 0), lambda t: t[::2, 1:, ::3].mT):
        given = view(neurenix.Tensor(a))
        for found, expected in zip(linalg.svd(given), linalg.svd(given.clone()), strict=True):
            np.testing.assert_array_equal(found.numpy(), expected.numpy())


def test_rank_deficient():
    a = drawn((6, 2)) @ drawn((2, 4), seed=1)
    U, S, Vh = linalg.svd(neurenix.Tensor(a), False)
    assert (S.numpy()[2:] < 1e-13).all()
    near((U * S) @ Vh, a, 10)
    orthonormal(U)
    Q, R = linalg.qr(neurenix.Tensor(a))
    near(Q @ R, a, 10)
    orthonormal(Q)
    zeros = neurenix.zeros(4, 4)
    assert linalg.svdvals(zeros).tolist() == linalg.eigvalsh(zeros).tolist() == [0.0] * 4
    orthonormal(linalg.eigh(zeros).eigenvectors)
    orthonormal(linalg.qr(zeros).Q)


@pytest.mark.parametrize("scale", [2.0**-100, 2.0**100])
def test_scale(scale):
    a = definite((5, 5), "float32")
    small, large = neurenix.Tensor(a), neurenix.Tensor(a * np.float32(scale))
    near(linalg.svdvals(large) / scale, linalg.svdvals(small).numpy(), 30)
    near(linalg.eigvalsh(large) / scale, linalg.eigvalsh(small).numpy(), 30)
    near(linalg.qr(large).R / scale, linalg.qr(small).R.numpy(), 30)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_half_precision_is_computed_in_float32(dtype):
    a = neurenix.Tensor(definite((4, 4), "float32")).to(dtype)
    for found, expected in zip(linalg.eigh(a), linalg.eigh(a.float()), strict=True):
        assert found.dtype == a.dtype
        assert found.tolist() == expected.to(dtype).tolist()
    assert linalg.newton_schulz(a).dtype == linalg.solve(a, a).dtype == a.dtype


MATRIX = neurenix.Tensor(definite((2, 3, 3), "float32"))


@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        (lambda: linalg.cholesky(neurenix.stack([neurenix.eye(3), -neurenix.eye(3)])), ValueError, "matrix 1.*pivot 0"),
        (lambda: linalg.cholesky(neurenix.Tensor([[1.0, 0.0], [2.0, 1.0]])), ValueError, "matrix 0.*pivot 1"),
        (lambda: linalg.cholesky(neurenix.Tensor([[NAN]])), ValueError, "not positive definite"),
        (lambda: linalg.cholesky(neurenix.ones(2, 3)), ValueError, r"square.*\(2, 3\)"),
        (lambda: linalg.eigh(neurenix.ones(3)), ValueError, r"\(3,\)"),
        (lambda: linalg.eigh(neurenix.Tensor([[1.0, 0.0], [NAN, 1.0]])), ValueError, r"\(1, 0\) of matrix 0.*NaN"),
        (lambda: linalg.svd(neurenix.Tensor([[[1.0]], [[INF]]])), ValueError, "matrix 1.*inf"),
        (lambda: linalg.inv(neurenix.ones(2, 2)), ValueError, "matrix 0.*singular"),
        (lambda: linalg.inv(neurenix.ones(2, 3)), ValueError, "square"),
        (lambda: linalg.solve(MATRIX, neurenix.ones(4, 2)), ValueError, r"\(2, 4, 2\)"),
        (lambda: linalg.solve(MATRIX, neurenix.ones(5, 3, 1)), ValueError, "broadcast"),
        (lambda: linalg.qr(MATRIX, "full"), ValueError, "full"),
        (lambda: linalg.eigh(MATRIX, "X"), ValueError, "X"),
        (lambda: linalg.svd(neurenix.ones(2, 2, dtype="int64")), TypeError, "int64"),
        (lambda: linalg.newton_schulz(neurenix.ones(2, 2, dtype="int64")), TypeError, "int64"),
        (lambda: linalg.newton_schulz(neurenix.ones(2)), ValueError, r"\(2,\)"),
        (lambda: linalg.newton_schulz(MATRIX, "cubic"), ValueError, "cubic"),
        (lambda: linalg.newton_schulz(MATRIX, []), ValueError, "0 polynomials"),
        (lambda: linalg.newton_schulz(MATRIX, steps=-1), ValueError, "steps=-1"),
        (lambda: linalg.newton_schulz(MATRIX, eps=NAN), ValueError, "eps=nan"),
        (lambda: linalg.newton_schulz(MATRIX, safety=0.5), ValueError, "safety=0.5"),
        (lambda: linalg.matrix_norm(MATRIX, 3), ValueError, "3"),
        (lambda: linalg.matrix_norm(MATRIX, dim=(0, -3)), ValueError, r"\(0, -3\)"),
        (lambda: linalg.vector_norm(neurenix.ones(2, dtype="int64")), TypeError, "int64"),
    ],
)  # fmt: skip
def test_errors(call, error, text):
    with pytest.raises(error, match=text):
        call()


def test_nan_leads_to_nan():
    a = neurenix.Tensor([[1.0, NAN], [0.0, 1.0]])
    assert all(t.isnan().all() for t in linalg.qr(a))
    assert linalg.solve(a, neurenix.ones(2, 1)).isnan().all()
    assert linalg.newton_schulz(a).isnan().all()
    assert linalg.solve_triangular(a, neurenix.ones(2, 1), upper=True).isnan().tolist() == [[True], [False]]


@pytest.mark.parametrize("shape", [(3, 3), (2, 3, 3)], ids=str)
def test_gradients_of_symmetric_factors(shape):
    a = neurenix.Tensor(definite(shape))
    check_grads(lambda a: linalg.cholesky((a + a.mT) / 2), [a], order=2)
    check_grads(lambda a: linalg.cholesky((a + a.mT) / 2, upper=True), [a])
    check_grads(lambda a: linalg.eigh((a + a.mT) / 2), [a], order=2, rtol=1e-5)
    a.requires_grad = True
    linalg.cholesky(a).sum().backward()
    near(a.grad, a.grad.mT.numpy())


@pytest.mark.parametrize("shape", [(3, 3), (4, 2), (2, 4), (2, 3, 2)], ids=str)
def test_gradients_of_other_factors(shape):
    a = neurenix.Tensor(drawn(shape) + 3 * np.eye(*shape[-2:]) * np.arange(1, shape[-1] + 1))
    check_grads(lambda a: linalg.qr(a), [a], order=2, rtol=1e-5)
    check_grads(lambda a: linalg.svd(a, False), [a], order=2, rtol=1e-5)
    check_grads(linalg.svdvals, [a])
    for ord in ("fro", "nuc", 1, -1, 2, -2, INF, -INF):
        check_grads(lambda a, ord=ord: linalg.matrix_norm(a, ord), [a])


def test_gradients_of_equations():
    a, b = neurenix.Tensor(definite((2, 3, 3))), neurenix.Tensor(drawn((3, 2)))
    check_grads(linalg.solve, [a, b], order=2)
    check_grads(linalg.inv, [a])
    for upper in (True, False):
        for left in (True, False):
            right = b if left else b.mT
            check_grads(
                lambda a, b, u=upper, w=left: linalg.solve_triangular(a, b, upper=u, left=w),
                [a, right],
                order=2,
            )


def test_eigenvalues_that_are_equal_have_a_gradient():
    a = neurenix.eye(3, dtype="float64").requires_grad_()
    linalg.eigvalsh(a).sum().backward()
    near(a.grad, np.eye(3))


def test_full_factors_have_no_gradient():
    a = neurenix.ones(3, 2, requires_grad=True)
    with pytest.raises(ValueError, match="reduced"):
        linalg.svd(a).S.sum().backward()


def test_bits_do_not_depend_on_threads():
    a = neurenix.Tensor(definite((7, 65, 65), "float32"))
    for function in (linalg.cholesky, linalg.qr, linalg.eigh, linalg.svd, linalg.inv, linalg.newton_schulz):
        same_bits(function, a)
