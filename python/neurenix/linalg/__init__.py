"""Linear algebra: factorizations, systems of equations, norms, and the orthogonal polar factor.

Names and signatures are those of `torch.linalg`. Matrices are the last two dimensions, all leading ones are a batch,
and each matrix is factored on one core, so that results do not depend on the number of threads. Float16 and bfloat16
are computed in float32. Matrices of another device are factored by the processor, which waits for them: they move there
and back. All functions but `newton_schulz` have gradients.

>>> import neurenix
>>> a = neurenix.Tensor([[4.0, 2.0], [2.0, 5.0]])
>>> neurenix.linalg.cholesky(a).tolist()
[[2.0, 0.0], [1.0, 2.0]]
"""

from neurenix.linalg.factors import (
    cholesky,
    eigh,
    eigvalsh,
    inv,
    qr,
    solve,
    solve_triangular,
    svd,
    svdvals,
)
from neurenix.linalg.norms import matrix_norm, vector_norm
from neurenix.linalg.polar import newton_schulz

__all__ = [
    "cholesky",
    "eigh",
    "eigvalsh",
    "inv",
    "matrix_norm",
    "newton_schulz",
    "qr",
    "solve",
    "solve_triangular",
    "svd",
    "svdvals",
    "vector_norm",
]
