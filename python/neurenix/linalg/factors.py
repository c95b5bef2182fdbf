"""Factorizations and systems of equations."""

from __future__ import annotations

from typing import Literal, NamedTuple

from neurenix import _phynexus as engine
from neurenix._phynexus import Tensor


class QR(NamedTuple):
    """What `qr` returns."""

    Q: Tensor
    R: Tensor


class Eigh(NamedTuple):
    """What `eigh` returns."""

    eigenvalues: Tensor
    eigenvectors: Tensor


class SVD(NamedTuple):
    """What `svd` returns."""

    U: Tensor
    S: Tensor
    Vh: Tensor


def cholesky(A: Tensor, *, upper: bool = False) -> Tensor:
    """The lower triangular L with `A = L Lᵀ`, from the lower triangle of symmetric positive definite matrices.

    Args:
        A: (..., n, n).
        upper: whether the upper triangle is read and Lᵀ returned.

    Raises:
        ValueError: a matrix that is not positive definite, with its number in the batch and the pivot.
        TypeError: no floating-point tensor.

    >>> import neurenix
    >>> neurenix.linalg.cholesky(neurenix.Tensor([[9.0]])).tolist()
    [[3.0]]
    """
    return engine.factor("cholesky", A.mT)[0].mT if upper else engine.factor("cholesky", A)[0]


def qr(A: Tensor, mode: Literal["reduced", "complete", "r"] = "reduced") -> QR:
    """`A = Q R` with orthonormal columns in Q and upper triangular R.

    Args:
        A: (..., m, n).
        mode: "reduced" gives Q (m, k) and R (k, n) with k the smaller of m and n; "complete" gives Q (m, m) and
            R (m, n), without a gradient unless m equals n; "r" gives the reduced R and an empty Q.

    Raises:
        ValueError: another mode.
        TypeError: no floating-point tensor.

    >>> import neurenix
    >>> Q, R = neurenix.linalg.qr(neurenix.Tensor([[0.0, 2.0], [3.0, 0.0]]))
    >>> (Q @ R).tolist()
    [[0.0, 2.0], [3.0, 0.0]]
    """
    if mode not in ("reduced", "complete", "r"):
        raise ValueError(f'qr: mode must be "reduced", "complete" or "r", got {mode!r}')
    Q, R = engine.factor("qr", A, mode == "complete")
    return QR(Tensor.empty(0, dtype=A.dtype) if mode == "r" else Q, R)


def eigh(A: Tensor, UPLO: Literal["L", "U"] = "L") -> Eigh:
    """Eigenvalues, ascending, and orthonormal eigenvectors (columns) of symmetric matrices: `A = V diag(w) Vᵀ`.

    The gradient of the eigenvectors is infinite where eigenvalues are equal.

    Args:
        A: (..., n, n).
        UPLO: the triangle that is read.

    Raises:
        ValueError: NaN or infinite elements; another UPLO.
        TypeError: no floating-point tensor.
        RuntimeError: no convergence.

    >>> import neurenix
    >>> neurenix.linalg.eigh(neurenix.Tensor([[3.0, 0.0], [0.0, 1.0]])).eigenvalues.tolist()
    [1.0, 3.0]
    """
    if UPLO not in ("L", "U"):
        raise ValueError(f'eigh: UPLO must be "L" or "U", got {UPLO!r}')
    values, vectors = engine.factor("eigh", A if UPLO == "L" else A.mT)
    return Eigh(values, vectors)


def eigvalsh(A: Tensor, UPLO: Literal["L", "U"] = "L") -> Tensor:
    """The eigenvalues of symmetric matrices, ascending; see `eigh`.

    >>> import neurenix
    >>> neurenix.linalg.eigvalsh(neurenix.eye(2)).tolist()
    [1.0, 1.0]
    """
    return eigh(A, UPLO).eigenvalues


def svd(A: Tensor, full_matrices: bool = True) -> SVD:
    """Singular values, descending, and singular vectors: `A = U diag(S) Vh`.

    The gradient of the vectors is infinite where singular values are equal, and those of full matrices have none
    unless m equals n.

    Args:
        A: (..., m, n).
        full_matrices: whether U is (m, m) and Vh (n, n); else U is (m, k) and Vh (k, n), k the smaller of both.

    Raises:
        ValueError: NaN or infinite elements.
        TypeError: no floating-point tensor.
        RuntimeError: no convergence.

    >>> import neurenix
    >>> neurenix.linalg.svd(neurenix.Tensor([[0.0, 2.0], [3.0, 0.0]])).S.tolist()
    [3.0, 2.0]
    """
    U, S, Vh = engine.factor("svd", A, full_matrices)
    return SVD(U, S, Vh)


def svdvals(A: Tensor) -> Tensor:
    """The singular values, descending; see `svd`.

    >>> import neurenix
    >>> neurenix.linalg.svdvals(neurenix.Tensor([[3.0], [4.0]])).tolist()
    [5.0]
    """
    return svd(A, full_matrices=False).S


def solve(A: Tensor, B: Tensor, *, left: bool = True) -> Tensor:
    """X with `A X = B` (or `X A = B`), by elimination with row exchanges. Leading dimensions broadcast.

    Args:
        A: (..., n, n).
        B: (..., n, k); or vectors: (n,), or (..., n) with the same leading dimensions as A.
        left: whether A stands on the left.

    Raises:
        ValueError: a singular matrix, with its number in the batch and the pivot; shapes that do not fit.
        TypeError: no floating-point tensors.

    >>> import neurenix
    >>> neurenix.linalg.solve(neurenix.Tensor([[2.0, 0.0], [0.0, 4.0]]), neurenix.Tensor([2.0, 2.0])).tolist()
    [1.0, 0.5]
    """
    if B.ndim == 1 or (A.ndim > 2 and B.shape == A.shape[:-1]):
        return solve(A, B.unsqueeze(-1), left=left).squeeze(-1) if left else solve(A.mT, B)
    return engine.solve(A, B) if left else engine.solve(A.mT, B.mT).mT


def solve_triangular(
    A: Tensor, B: Tensor, *, upper: bool, left: bool = True, unitriangular: bool = False
) -> Tensor:
    """X with `A X = B` (or `X A = B`) for triangular A, whose other triangle is not read. Leading dimensions broadcast.

    A zero on the diagonal leads to infinities.

    Args:
        A: (..., n, n).
        B: (..., n, k), or (..., k, n) with `left=False`.
        upper: which triangle of A is read.
        left: whether A stands on the left.
        unitriangular: whether the diagonal is taken for ones, unread.

    Raises:
        ValueError: shapes that do not fit.
        TypeError: no floating-point tensors.

    >>> import neurenix
    >>> a, b = neurenix.Tensor([[2.0, 0.0], [1.0, 1.0]]), neurenix.Tensor([[2.0], [3.0]])
    >>> neurenix.linalg.solve_triangular(a, b, upper=False).tolist()
    [[1.0], [2.0]]
    """
    if left:
        return engine.solve_triangular(A, B, upper, False, unitriangular)
    return engine.solve_triangular(A, B.mT, upper, True, unitriangular).mT


def inv(A: Tensor) -> Tensor:
    """The inverse of each matrix (..., n, n). To multiply by it, `solve` is faster and more accurate.

    Raises:
        ValueError: a singular matrix.
        TypeError: no floating-point tensor.

    >>> import neurenix
    >>> neurenix.linalg.inv(neurenix.Tensor([[2.0, 0.0], [0.0, 4.0]])).tolist()
    [[0.5, 0.0], [0.0, 0.25]]
    """
    if A.ndim < 2 or A.shape[-1] != A.shape[-2]:
        raise ValueError(f"inv: needs square matrices (..., n, n), got shape {A.shape}")
    return solve(A, Tensor.eye(A.shape[-1], dtype=A.dtype, device=A.device))
