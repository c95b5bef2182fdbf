"""PSGD with Kronecker factors."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Final

import numpy as np

from neurenix import linalg
from neurenix._phynexus import Generator, Tensor

from ..binding import Batch
from ..formula import Value, mean, minimum, sqrt
from ..groups import Group, Params, Scheduled
from ..limits import FRACTION, POSITIVE, Choice, Flag, Number, OrNone, Whole
from ..optimizer import Optimizer
from ..options import Options
from ..states import State
from ._kronecker import each, gram, like, sized

if TYPE_CHECKING:
    from typing_extensions import Unpack

TINY: Final = float(np.finfo(np.float32).tiny)
DAMPING: Final = math.sqrt(float(np.finfo(np.float32).eps))
BALANCED: Final = 0.01  # the share of updates that balance the factors first


class PSGDKron(Optimizer):
    """PSGD Kron: fits triangular factors that whiten the gradient, without inverses or eigenvectors.

        m ← b₁·m + (1 − b₁)·g
        u = QᵀQ·m̂                                      Q = Q₁ ⊗ Q₂ ⊗ …, one for each dimension; m̂ corrected m
        p ← p − η·(u·min(1, 1.1 / RMS(u)) + λ·p)

    Before u, in some steps, with h = m̂ + noise, A = Q·h, and B = Q⁻ᵀ·V of a random V:

        Qᵢ ← Qᵢ − precond_lr·triu(Aᵢ·Aᵢᵀ − Bᵢ·Bᵢᵀ)·Qᵢ / ‖Aᵢ·Aᵢᵀ + Bᵢ·Bᵢᵀ‖

    with the slices along dimension i as rows and a lower bound of the spectral norm. By default this happens in each of
    500 steps and then ever more seldom, with a share that falls to 3 % within 3500 steps. Once in a hundred times the
    factors are given the same size first. Keeps one float for each parameter and the square of each dimension, or for
    a diagonal factor its size. Random numbers follow from seed and step: resumed runs go on exactly.

    Args:
        params: tensors, (name, tensor) pairs, a module, or dicts that define groups.
        lr: η, step size, ≥ 0.
        b1: b₁, decay of the average of gradients, in [0, 1).
        weight_decay: λ, ≥ 0, for parameters of at least two dimensions.
        preconditioner_update_probability: the share of steps that fit the factors, in (0, 1], or a schedule of it; None
            for the schedule above.
        max_size_triangular: the largest dimension whose factor is triangular, ≥ 0; larger ones have a diagonal.
        min_ndim_triangular: with fewer dimensions all factors are diagonal, ≥ 0.
        memory_save_mode: "one_diag" makes the factor of the largest dimension diagonal, "smart_one_diag" only if no
            other is as large, "all_diag" all factors; or None.
        momentum_into_precond_update: whether factors are fitted to m̂; else to g.
        precond_lr: step size of the factors, > 0.
        precond_init_scale: what the product of the factors begins as, > 0.
        merge_dims: whether tensors of more than two dimensions are matrices, as square as leading or trailing
            dimensions allow.
        seed: of V, ≥ 0.
        **options: what every optimizer takes, see `neurenix.optim.Options`.

    Raises:
        ValueError, TypeError: for a value out of its range or parameters that cannot be optimized.

    Example:
        >>> import neurenix as nx
        >>> w = nx.Tensor([[1.0, 2.0], [3.0, 5.0]], requires_grad=True)
        >>> optimizer = nx.optim.PSGDKron([w], lr=0.2)
        >>> for _ in range(60):
        ...     optimizer.zero_grad()
        ...     (w * w).sum().backward()
        ...     optimizer.step()
        >>> bool((w * w).sum() < 1)
        True

    Differs from the reference: noise for fitting does not reach the step; merging looks for the most square matrix;
    random numbers, which parameters of one shape share.

    References:
        X.-L. Li, Preconditioned stochastic gradient descent, arXiv 1512.04202.
        O. Pooladzandi, X.-L. Li, Curvature-informed SGD via general purpose Lie-group preconditioners, arXiv
        2402.04553.
    """

    decay_mode: ClassVar = "inside"
    limits: ClassVar = {
        "b1": FRACTION,
        "preconditioner_update_probability": OrNone(Number(0, 1, high_included=True, low_included=False)),
        "max_size_triangular": Whole(0),
        "min_ndim_triangular": Whole(0),
        "memory_save_mode": Choice((None, "one_diag", "smart_one_diag", "all_diag")),
        "momentum_into_precond_update": Flag(),
        "precond_lr": POSITIVE,
        "precond_init_scale": POSITIVE,
        "merge_dims": Flag(),
        "seed": Whole(0),
    }

    def __init__(
        self,
        params: Params,
        lr: Scheduled = 0.0003,
        b1: Scheduled = 0.9,
        weight_decay: Scheduled = 0.0,
        preconditioner_update_probability: Scheduled | None = None,
        max_size_triangular: int = 8192,
        min_ndim_triangular: int = 2,
        memory_save_mode: str | None = None,
        momentum_into_precond_update: bool = True,
        precond_lr: Scheduled = 0.1,
        precond_init_scale: Scheduled = 1.0,
        merge_dims: bool = True,
        seed: int = 0,
        **options: Unpack[Options],
    ) -> None:
        defaults = {
            "lr": lr,
            "b1": b1,
            "weight_decay": weight_decay,
            "preconditioner_update_probability": preconditioner_update_probability,
            "max_size_triangular": max_size_triangular,
            "min_ndim_triangular": min_ndim_triangular,
            "memory_save_mode": memory_save_mode,
            "momentum_into_precond_update": momentum_into_precond_update,
            "precond_lr": precond_lr,
            "precond_init_scale": precond_init_scale,
            "merge_dims": merge_dims,
            "seed": seed,
        }
        super().__init__(params, defaults, **options)

    def variant(self, param: Tensor, group: Group) -> tuple[tuple[int, bool], ...]:
        """Its dimensions and whether the factor of each is triangular."""
        shape = tuple(param.shape) or (1,)
        if group["merge_dims"] and len(shape) > 2:
            first, last = (shape[0], math.prod(shape[1:])), (math.prod(shape[:-1]), shape[-1])
            shape = last if abs(last[0] - last[1]) <= abs(first[0] - first[1]) else first
        mode, largest = group["memory_save_mode"], max(range(len(shape)), key=shape.__getitem__)
        if len(shape) < group["min_ndim_triangular"] or mode == "all_diag":
            diagonal = set(range(len(shape)))
        elif mode == "one_diag" or (
            mode == "smart_one_diag" and shape.count(shape[largest]) == 1 < len(shape)
        ):
            diagonal = {largest}
        else:
            diagonal = set()
        most = group["max_size_triangular"]
        return tuple((size, 1 < size <= most and dim not in diagonal) for dim, size in enumerate(shape))

    def states_for(self, group: Group, variant: Any = None) -> Sequence[State]:
        """The average, the factors, and how many steps they have not been fitted for."""
        states = [
            State("momentum_buffer", "tensor", sized=like),
            State("update_counter", "tensor", sized=sized()),
        ]
        for dim, (size, triangular) in enumerate(variant):
            shape = sized(size, size) if triangular else sized(size)
            states.append(State(f"Q_{dim}", "tensor", sized=shape))
        return states

    def direction(self, batch: Batch) -> list[Tensor]:
        """The whitened averages, after the factors were fitted."""
        hyper, found = batch.hyper, []
        shape = tuple(size for size, _ in batch.variant)
        names = [f"Q_{dim}" for dim in range(len(shape))]
        for gradient, state, t in zip(batch.grads, batch.states, batch.steps, strict=True):
            if t == 1:
                begin = hyper["precond_init_scale"] ** (1 / len(shape))
                for name, (size, triangular) in zip(names, batch.variant, strict=True):
                    ones = Tensor.eye(size) if triangular else Tensor.ones(size)
                    state[name] = ones.to(state[name]) * begin
            factors = [state[name] for name in names]
            m = state["momentum_buffer"].lerp_(gradient, 1 - hyper["b1"]) / (1 - hyper["b1"] ** t)
            share = hyper["preconditioner_update_probability"]
            waited = state["update_counter"].add_(1.0)
            if float(waited) >= 1 / (update_probability(t - 1) if share is None else share):
                waited.zero_()
                aim = m if hyper["momentum_into_precond_update"] else gradient
                factors = fit(factors, aim.reshape(shape), hyper["precond_lr"], hyper["seed"], t)
                for name, q in zip(names, factors, strict=True):
                    state[name] = q
            u = scaled(scaled(m.reshape(shape), factors, transposed=True), factors)
            found.append(u.reshape(gradient.shape))
        return found

    @staticmethod
    def formula(p: Value, g: Value, u: Value, *, lr: Value, weight_decay: Value, matrix: bool) -> Value:
        """The step, whose root mean square is bounded."""
        u = u * minimum(1, 1.1 / (sqrt(mean(u * u)) + 1e-12))
        return p - lr * (u + weight_decay * p if matrix else u)


def update_probability(step: int) -> float:
    """The share of steps that fit the factors, in the reference's schedule; steps count from 0."""
    return min(1.0, max(0.03, math.exp(-0.001 * (step - 500))))


def scaled(x: Tensor, factors: Sequence[Tensor], transposed: bool = False) -> Tensor:
    """The tensor times each factor (or its transpose) along its dimension, Σᵢ x[…, i, …]·Q[i, j]."""
    return each(x, [q.__rmul__ if q.ndim < 2 else (q.mT if transposed else q).__rmatmul__ for q in factors])


def balance(factors: Sequence[Tensor]) -> list[Tensor]:
    """Factors of the same product, whose largest elements have the same size."""
    sizes = [float(q.abs().max()) for q in factors]
    middle = math.exp(sum(map(math.log, sizes)) / len(sizes))
    return [q * (middle / size) for q, size in zip(factors, sizes, strict=True)]


def fit(factors: Sequence[Tensor], aim: Tensor, lr: float, seed: int, t: int) -> list[Tensor]:
    """The factors after a step towards those that whiten `aim`."""
    generator = Generator(seed)
    generator.offset = t << 32
    noise = Tensor.randn(*aim.shape, generator=generator).to(aim)
    if aim.ndim > 1 and float(Tensor.rand(1, generator=generator)) < BALANCED:
        factors = balance(factors)
    a = scaled(aim + noise * (DAMPING * aim.abs().mean()), factors, transposed=True)
    b = each(noise, [_divide(q) for q in factors])
    fitted = []
    for dim, q in enumerate(factors):
        if q.ndim < 2:
            others = [other for other in range(a.ndim) if other != dim]
            plus, minus = (
                (x * x).sum(others) if others else x * x  # the products of slices with themselves
                for x in (a, b)
            )
            size = (plus + minus).abs().max().clamp(min=TINY)
            fitted.append(q - (plus - minus) * (lr / size) * q)
        else:
            plus, minus = gram(a, dim), gram(b, dim)
            fitted.append(q - ((plus - minus) * (lr / length(plus + minus))).triu() @ q)
    return fitted


def length(matrix: Tensor) -> Tensor:
    """A lower bound of the spectral norm of a symmetric matrix, from its longest column."""
    most = matrix.abs().max().clamp(min=TINY)
    unit = matrix / most
    longest = (unit * unit).sum(0).argmax()
    x = unit.index_select(1, longest.reshape(1)).reshape(1, -1) @ unit
    x = x / x.norm().clamp(min=TINY)
    return ((x @ unit.mT).norm() * most).clamp(min=TINY)


def _divide(q: Tensor) -> Any:
    """Multiplication by the inverse of a factor from the right."""
    if q.ndim < 2:
        return q.__rtruediv__
    return lambda rows: linalg.solve_triangular(q, rows, upper=True, left=False)
