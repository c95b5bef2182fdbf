"""SOAP."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar

from neurenix import linalg
from neurenix._phynexus import Tensor

from ..binding import Batch
from ..formula import Value, debias, maximum, mean, sqrt, where
from ..groups import Group, Params, Scheduled
from ..limits import Flag, Number, Whole
from ..optimizer import Optimizer
from ..options import Options
from ..states import State, as_states
from ._kronecker import along, back, eigenvectors, gram, like, merged, sized, together
from ._moments import MOMENTS, moments

if TYPE_CHECKING:
    from typing_extensions import Unpack


class SOAP(Optimizer):
    """SOAP: Adam in the directions in which a matrix's gradients vary, found as Shampoo finds them.

        L ← β·L + (1 − β)·g·gᵀ;   R ← β·R + (1 − β)·gᵀ·g        with eigenvectors Q_L and Q_R
        g' = Q_Lᵀ·g·Q_R
        m ← β₁·m + (1 − β₁)·g';   v ← β₂·v + (1 − β₂)·g'²
        p ← p − η·Q_L·(m̂ / (√v̂ + ε))·Q_Rᵀ
        p ← p − η·λ·p

    The first step only begins L, R and their eigenvectors. Afterwards these follow every
    `precondition_frequency` steps by one power iteration and a QR decomposition; m is turned along, and v
    put into the new order of the eigenvalues. Parameters of more dimensions have a matrix for each; vectors,
    and dimensions larger than `max_precond_dim`, have none, which for vectors is Adam. Keeps two floats for each
    parameter and twice the square of each dimension. It needs fewer steps than AdamW, each of them longer.

    Args:
        params: tensors, (name, tensor) pairs, a module, or dicts that define groups.
        lr: η, step size, ≥ 0.
        betas: β₁ and β₂, decay of the averages of gradients and of their squares, each in [0, 1).
        shampoo_beta: β, decay of L and R, in [0, 1); if negative β₂.
        eps: ε, ≥ 0, bounds the step where gradients vanish.
        weight_decay: λ, ≥ 0; shrinks the parameters by the factor 1 − ηλ after each step but the first.
        precondition_frequency: steps from one refinement of the eigenvectors to the next, ≥ 1.
        max_precond_dim: the largest dimension that has a matrix, ≥ 1.
        merge_dims: join neighbouring dimensions as long as they do not become larger than `max_precond_dim`.
        precondition_1d: whether vectors have a matrix.
        normalize_grads: divide what is subtracted by the root of its mean square.
        correct_bias: whether m and v are corrected for their beginning with zero.
        **options: what every optimizer takes, see `neurenix.optim.Options`.

    Raises:
        ValueError, TypeError: for a value out of its range or parameters that cannot be optimized.

    Example:
        >>> import neurenix as nx
        >>> w = nx.Tensor([[1.0, 2.0], [3.0, 5.0]], requires_grad=True)
        >>> optimizer = nx.optim.SOAP([w], lr=0.2)
        >>> for _ in range(40):
        ...     optimizer.zero_grad()
        ...     (w * w).sum().backward()
        ...     optimizer.step()
        >>> bool((w * w).sum() < 1)
        True

    References:
        N. Vyas et al., SOAP: improving and stabilizing Shampoo using Adam, arXiv 2409.11321, algorithm 3.
    """

    decay_mode: ClassVar = "inside"
    limits: ClassVar = {
        "shampoo_beta": Number(-1, 1),
        "precondition_frequency": Whole(1),
        "max_precond_dim": Whole(1),
        "merge_dims": Flag(),
        "precondition_1d": Flag(),
        "normalize_grads": Flag(),
        "correct_bias": Flag(),
    }

    def __init__(
        self,
        params: Params,
        lr: Scheduled = 0.003,
        betas: tuple[Scheduled, Scheduled] = (0.95, 0.95),
        shampoo_beta: Scheduled = -1,
        eps: Scheduled = 1e-8,
        weight_decay: Scheduled = 0.01,
        precondition_frequency: int = 10,
        max_precond_dim: int = 10000,
        merge_dims: bool = False,
        precondition_1d: bool = False,
        normalize_grads: bool = False,
        correct_bias: bool = True,
        **options: Unpack[Options],
    ) -> None:
        defaults = {
            "lr": lr,
            "betas": betas,
            "shampoo_beta": shampoo_beta,
            "eps": eps,
            "weight_decay": weight_decay,
            "precondition_frequency": precondition_frequency,
            "max_precond_dim": max_precond_dim,
            "merge_dims": merge_dims,
            "precondition_1d": precondition_1d,
            "normalize_grads": normalize_grads,
            "correct_bias": correct_bias,
        }
        super().__init__(params, defaults, **options)

    def variant(self, param: Tensor, group: Group) -> tuple[tuple[int, bool], ...] | None:
        """Its dimensions and whether each has a matrix; None if none has."""
        if param.ndim < (1 if group["precondition_1d"] else 2):
            return None
        most = group["max_precond_dim"]
        shape = merged(param.shape, most) if group["merge_dims"] and param.ndim > 1 else param.shape
        return tuple((size, size <= most) for size in shape) if min(shape) <= most else None

    def is_directed(self, variant: Any) -> bool:
        """Whether there are matrices."""
        return variant is not None

    def states_for(self, group: Group, variant: Any = None) -> Sequence[str | State]:
        """The averages, and for each dimension its matrix and the eigenvectors."""
        if variant is None:
            return MOMENTS

        states = [replace(state, kind="tensor", sized=like) for state in as_states(MOMENTS)]
        for dim, (size, whole) in enumerate(variant):
            if whole:
                states += [State(f"{name}_{dim}", "tensor", sized=sized(size, size)) for name in ("GG", "Q")]
        return states

    def direction(self, batch: Batch) -> list[Tensor]:
        """What Adam would do along the eigenvectors; these then learn of the gradient."""
        beta1, beta2 = batch.hyper["betas"]
        decay = batch.hyper["shampoo_beta"]
        shape = tuple(size for size, _ in batch.variant)
        dims = [dim for dim, (_, whole) in enumerate(batch.variant) if whole]
        found, first, due = [], [], []
        for param, gradient, state, t in zip(
            batch.params, batch.grads, batch.states, batch.steps, strict=True
        ):
            g = gradient.reshape(shape)
            if t == 1:
                found.append(Tensor.zeros_like(gradient))
                first.append(state)
            else:
                bases = _bases(state, shape)
                turned = along(g, bases)
                m = state["exp_avg"].reshape(shape).lerp_(turned, 1 - beta1)
                v = state["exp_avg_sq"].reshape(shape).lerp_(turned.mul_(turned), 1 - beta2)
                u = v.sqrt().add_(batch.hyper["eps"])
                found.append(along(m / u, back(bases)).reshape(param.shape))
                if (t - 1) % batch.hyper["precondition_frequency"] == 0:
                    due.append(state)
            for dim in dims:
                state[f"GG_{dim}"].lerp_(gram(g, dim), 1 - (decay if decay >= 0 else beta2))
        begin([(state, dim) for state in first for dim in dims])
        refine(due, dims, shape)
        return found

    @staticmethod
    def formula(
        p: Value,
        g: Value,
        *given: Value,
        t: Value,
        lr: Value,
        betas: Value,
        eps: Value,
        weight_decay: Value,
        correct_bias: bool,
        normalize_grads: bool,
        variant: Any,
    ) -> tuple[Value, ...]:
        """The step; without matrices also the averages."""
        after = t > 1
        states: tuple[Value, ...] = ()
        if variant is None:
            before = given[0], given[1]
            m, v = moments(g, *before, betas)
            states = where(after, m, before[0]), where(after, v, before[1])
            u = m / (sqrt(v) + eps)
        else:
            (u,) = given
        if normalize_grads:
            u = u / (sqrt(mean(u * u)) + 1e-30)
        size, steps = lr, maximum(t - 1, 1)
        if correct_bias:
            size = lr * sqrt(debias(betas[1], steps)) / debias(betas[0], steps)
        return where(after, (p - size * u) * (1 - lr * weight_decay), p), *states


def begin(places: list[tuple[dict[str, Any], int]]) -> None:
    """The first eigenvectors."""
    vectors = together(eigenvectors, [state[f"GG_{dim}"] for state, dim in places])
    for (state, dim), q in zip(places, vectors, strict=True):
        state[f"Q_{dim}"] = q


def refine(states: list[dict[str, Any]], dims: list[int], shape: tuple[int, ...]) -> None:
    """One power iteration for all eigenvectors, which are put into order by what they say of the eigenvalues."""
    powers = []
    for state in states:
        state["exp_avg"] = along(state["exp_avg"].reshape(shape), back(_bases(state, shape)))
        v = state["exp_avg_sq"].reshape(shape)
        for dim in dims:
            q = state[f"Q_{dim}"]
            power = state[f"GG_{dim}"] @ q
            order = (q * power).sum(0).argsort(descending=True)
            v = v.index_select(dim, order)
            powers.append(power.index_select(1, order))
        state["exp_avg_sq"] = v.reshape(state["exp_avg_sq"].shape)
    vectors = iter(together(lambda matrices: linalg.qr(matrices).Q, powers))
    for state in states:
        for dim in dims:
            state[f"Q_{dim}"] = next(vectors)
        m = along(state["exp_avg"], _bases(state, shape))
        state["exp_avg"] = m.reshape(state["exp_avg_sq"].shape)


def _bases(state: dict[str, Any], shape: tuple[int, ...]) -> list[Tensor | None]:
    return [state.get(f"Q_{dim}") for dim in range(len(shape))]
