"""The orthogonal polar factor by Newton–Schulz iterations."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, TypeAlias, overload

from neurenix import _phynexus as engine
from neurenix._phynexus import Tensor

Coefficients: TypeAlias = (
    Literal["original", "quintic", "polar_express"] | Sequence[tuple[float, float, float]]
)

#: For each name the polynomials of the steps (the last is repeated) and the factor that the norm is multiplied with.
POLYNOMIALS: dict[str, tuple[list[tuple[float, float, float]], float]] = {
    "original": ([(3.4445, -4.7750, 2.0315)], 1.0),
    "quintic": (
        [
            (4.0848, -6.8946, 2.9270),
            (3.9505, -6.3029, 2.6377),
            (3.7418, -5.5913, 2.3037),
            (2.8769, -3.1427, 1.2046),
            (2.8366, -3.0525, 1.2012),
        ],
        1.0,
    ),
    "polar_express": (
        [
            (8.1566, -22.4833, 15.8788),
            (4.0429, -2.8089, 0.5000),
            (3.8917, -2.7725, 0.5061),
            (3.2858, -2.3681, 0.4645),
            (2.3465, -1.7098, 0.4232),
        ],
        1.02,
    ),
}


@overload
def newton_schulz(
    matrices: Tensor,
    coefficients: Coefficients = ...,
    steps: int = ...,
    eps: float = ...,
    safety: float | None = ...,
) -> Tensor: ...
@overload
def newton_schulz(
    matrices: Sequence[Tensor],
    coefficients: Coefficients = ...,
    steps: int = ...,
    eps: float = ...,
    safety: float | None = ...,
) -> list[Tensor]: ...
def newton_schulz(
    matrices: Tensor | Sequence[Tensor],
    coefficients: Coefficients = "original",
    steps: int = 5,
    eps: float = 1e-7,
    safety: float | None = None,
) -> Tensor | list[Tensor]:
    """About the nearest matrix with orthonormal rows or columns: `U Vᵀ` of the singular value decomposition.

        X ← X / (safety ‖X‖ + eps);    X ← a X + b (X Xᵀ) X + c (X Xᵀ)² X    steps times

    Each step pushes all singular values towards 1. With the original coefficients they end in about [0.7, 1.2], with
    those of Polar Express closer to 1. Tall matrices are iterated on as their transposes; half of every symmetric
    product is computed. All is float32 (float64 for float64 matrices). There is no gradient.

    Args:
        matrices: (..., m, n); or a sequence of such tensors, of which those of one shape and dtype are stacked into one
            batched product.
        coefficients: "original" (one polynomial), "quintic" or "polar_express" (five), or a sequence of (a, b, c), one
            for each step.
        steps: how many; of fewer polynomials than steps the last is repeated, of more the first are taken.
        eps: added to the norm, so that zeros stay zeros.
        safety: what the norm is multiplied with, at least 1; by default 1.02 for Polar Express, else 1.

    Raises:
        ValueError: unknown coefficients, or numbers out of range.
        TypeError: no floating-point tensors.

    Example:
        >>> import neurenix
        >>> x = neurenix.linalg.newton_schulz(neurenix.Tensor([[3.0, 0.0], [0.0, 2.0]]), "quintic")
        >>> bool((x - neurenix.eye(2)).abs().max() < 0.1)
        True

    References:
        Polar Express, arXiv:2505.16932.
    """
    if isinstance(coefficients, str):
        if coefficients not in POLYNOMIALS:
            known = ", ".join(f'"{name}"' for name in POLYNOMIALS)
            raise ValueError(
                f"newton_schulz: coefficients must be one of {known} or a sequence, got {coefficients!r}"
            )
        polynomials, usual = POLYNOMIALS[coefficients]
    else:
        polynomials, usual = [(float(a), float(b), float(c)) for a, b, c in coefficients], 1.0
    safety = usual if safety is None else safety
    if not polynomials or steps < 0 or not eps >= 0 or not safety >= 1:
        raise ValueError(
            "newton_schulz: needs at least one polynomial, steps >= 0, eps >= 0 and safety >= 1, got "
            f"{len(polynomials)} polynomials, steps={steps}, eps={eps}, safety={safety}"
        )
    each = (polynomials + polynomials[-1:] * (steps - len(polynomials)))[:steps]
    if isinstance(matrices, Tensor):
        return engine.newton_schulz(matrices, each, eps, safety)
    groups: dict[Any, list[int]] = {}
    for k, matrix in enumerate(matrices):
        groups.setdefault((matrix.shape, matrix.dtype, matrix.device), []).append(k)
    results: list[Tensor] = list(matrices)
    for members in groups.values():
        if len(members) == 1:
            results[members[0]] = engine.newton_schulz(matrices[members[0]], each, eps, safety)
            continue
        stacked = engine.newton_schulz(engine.stack([matrices[k] for k in members]), each, eps, safety)
        for k, result in zip(members, stacked.unbind(0), strict=True):
            results[k] = result
    return results
