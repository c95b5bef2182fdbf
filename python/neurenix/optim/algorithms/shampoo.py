"""Shampoo."""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Final

from neurenix import linalg
from neurenix._phynexus import Tensor, cat

from ..binding import Batch
from ..formula import Value
from ..groups import Group, Params, Scheduled
from ..limits import NOT_NEGATIVE, Choice, Each, Flag, Number, Whole
from ..optimizer import Optimizer
from ..options import Options
from ..states import State
from ._kronecker import along, gram, like, sized, together

if TYPE_CHECKING:
    from typing_extensions import Unpack

_SQUARED: Final = ("adagrad", "rmsprop", "adam")


class Shampoo(Optimizer):
    """Shampoo: divides a matrix's gradient by roots of its covariances on both sides; few steps, each of them long.

        L ← β₂·L + (1 − β₂)·g·gᵀ;   R ← β₂·R + (1 − β₂)·gᵀ·g        (sums with β₂ = 1)
        m ← β₁·m + (1 − β₁)·g
        u = (L̂ + ε)^(−1/4)·m̂·(R̂ + ε)^(−1/4)          m̂, L̂ and R̂ corrected for their beginning with zero
        u ← u·‖a‖ / ‖u‖                              with grafting; a is the step of another rule
        p ← p − η·λ·p − η·u

    Tensors of more dimensions are matrices of their first dimension and the rest; vectors have one matrix and its
    root −1/2. What is larger than `max_preconditioner_dim` is cut into blocks with matrices of their own. Roots
    are computed from eigenvalues in float64. Keeps one float for each parameter (two with grafting other than
    "sgd"), and twice the squares of a block's sides for each block.

    Args:
        params: tensors, (name, tensor) pairs, a module, or dicts that define groups.
        lr: η, step size, ≥ 0.
        betas: β₁ in [0, 1) and β₂ in [0, 1], decay of the averages of gradients and of covariances; 1 adds up.
        eps: ε, ≥ 0, is added to the eigenvalues.
        weight_decay: λ, ≥ 0; each step shrinks the parameters by ηλ.
        max_preconditioner_dim: the largest side of a block, ≥ 1.
        precondition_frequency: steps from one computation of the roots to the next, ≥ 1.
        start_preconditioning_step: the first step with roots, ≥ 1; if negative `precondition_frequency`. Before it
            the step is that of grafting, or along m̂.
        use_bias_correction: whether averages are corrected.
        grafting: whose step's length each block's step has: None for its own, "sgd" (m̂), or m̂ / (√v̂ + ε′) with
            v the sum ("adagrad") or an average ("rmsprop", without correction; "adam") of g².
        grafting_beta: decay of that average, in [0, 1).
        grafting_eps: ε′, ≥ 0.
        **options: what every optimizer takes, see `neurenix.optim.Options`.

    Raises:
        ValueError, TypeError: for a value out of its range or parameters that cannot be optimized.

    Example:
        >>> import neurenix as nx
        >>> w = nx.Tensor([[1.0, 2.0], [3.0, 5.0]], requires_grad=True)
        >>> optimizer = nx.optim.Shampoo([w], lr=1.0)
        >>> for _ in range(40):
        ...     optimizer.zero_grad()
        ...     (w * w).sum().backward()
        ...     optimizer.step()
        >>> bool((w * w).sum() < 1)
        True

    References:
        V. Gupta, T. Koren, Y. Singer, Shampoo: preconditioned stochastic tensor optimization, arXiv 1802.09568.
        R. Anil et al., Scalable second order optimization for deep learning, arXiv 2002.09018.
        H. Shi et al., A distributed data-parallel PyTorch implementation of the distributed Shampoo optimizer, arXiv
        2309.06497.
    """

    decay_mode: ClassVar = "decoupled_after"
    limits: ClassVar = {
        "betas": Each(Number(0, 1, high_included=True), 2),
        "max_preconditioner_dim": Whole(1),
        "precondition_frequency": Whole(1),
        "start_preconditioning_step": Whole(-1),
        "use_bias_correction": Flag(),
        "grafting": Choice((None, "sgd", *_SQUARED)),
        "grafting_beta": Number(0, 1),
        "grafting_eps": NOT_NEGATIVE,
    }

    def __init__(
        self,
        params: Params,
        lr: Scheduled = 0.01,
        betas: tuple[Scheduled, Scheduled] = (0.9, 1.0),
        eps: Scheduled = 1e-12,
        weight_decay: Scheduled = 0.0,
        max_preconditioner_dim: int = 1024,
        precondition_frequency: int = 1,
        start_preconditioning_step: int = -1,
        use_bias_correction: bool = True,
        grafting: str | None = None,
        grafting_beta: Scheduled = 0.999,
        grafting_eps: Scheduled = 1e-8,
        **options: Unpack[Options],
    ) -> None:
        defaults = {
            "lr": lr,
            "betas": betas,
            "eps": eps,
            "weight_decay": weight_decay,
            "max_preconditioner_dim": max_preconditioner_dim,
            "precondition_frequency": precondition_frequency,
            "start_preconditioning_step": start_preconditioning_step,
            "use_bias_correction": use_bias_correction,
            "grafting": grafting,
            "grafting_beta": grafting_beta,
            "grafting_eps": grafting_eps,
        }
        super().__init__(params, defaults, **options)

    def normalize(self, label: str, group: Group) -> None:
        """Only the second of the betas may be 1."""
        super().normalize(label, group)
        if group["betas"][0] == 1:
            raise ValueError(f"{label}: betas[0] must be a number in [0, 1), got {group['betas'][0]!r}")

    def variant(self, param: Tensor, group: Group) -> tuple[int, ...]:
        """The shape as a matrix or a vector."""
        if param.ndim < 2:
            return (param.numel(),)
        return param.shape[0], math.prod(param.shape[1:])

    def states_for(self, group: Group, variant: Any = None) -> Sequence[str | State]:
        """The average, that of grafting, and for each side of each block its matrix and the root."""
        names = ["exp_avg", "exp_avg_sq"] if group["grafting"] in _SQUARED else ["exp_avg"]
        states = [State(name, "tensor", sized=like) for name in names]
        for place, shape in enumerate(_blocks(variant, group["max_preconditioner_dim"])):
            for dim, size in enumerate(shape):
                names = [f"factor_{place}_{dim}", f"root_{place}_{dim}"]
                states += [State(name, "tensor", sized=sized(size, size)) for name in names]
        return states

    def direction(self, batch: Batch) -> list[Tensor]:
        """The gradients between the roots, which are computed first where their time has come."""
        hyper, shape = batch.hyper, batch.variant
        most, beta2 = hyper["max_preconditioner_dim"], hyper["betas"][1]
        start = hyper["start_preconditioning_step"]
        start = hyper["precondition_frequency"] if start < 0 else start
        due: list[tuple[dict[str, Any], str]] = []
        scaled: list[Tensor] = []
        for gradient, state, t in zip(batch.grads, batch.states, batch.steps, strict=True):
            ready = t == start or (t > start and t % hyper["precondition_frequency"] == 0)
            missing = 1 - beta2**t if hyper["use_bias_correction"] and beta2 < 1 else 1.0
            for place, block in enumerate(split(gradient.reshape(shape), most)):
                for dim in range(block.ndim):
                    factor = state[f"factor_{place}_{dim}"]
                    factor.mul_(beta2).add_(gram(block, dim), alpha=1 - beta2 if beta2 < 1 else 1.0)
                    if ready:
                        due.append((state, f"root_{place}_{dim}"))
                        scaled.append(factor / missing)
        power = functools.partial(inverse_root, order=2 * len(shape), eps=hyper["eps"])
        for (state, name), root in zip(due, together(power, scaled), strict=True):
            state[name] = root
        found = []
        for gradient, state, t in zip(batch.grads, batch.states, batch.steps, strict=True):
            m = _filtered(gradient, state, t, hyper)
            grafted = _grafted(gradient, m, state, t, hyper)
            if t < start:
                found.append(m if grafted is None else grafted)
                continue
            blocks = split(m.reshape(shape), most)
            lengths = [] if grafted is None else [a.norm() for a in split(grafted.reshape(shape), most)]
            for place, block in enumerate(blocks):
                u = along(block, [state[f"root_{place}_{dim}"] for dim in range(block.ndim)])
                blocks[place] = u * (lengths[place] / (u.norm() + 1e-16)) if lengths else u
            found.append(join(blocks, shape, most).reshape(gradient.shape))
        return found

    @staticmethod
    def formula(p: Value, g: Value, u: Value, *, lr: Value) -> Value:
        """The last line of the rule."""
        return p - lr * u


def split(x: Tensor, most: int) -> list[Tensor]:
    """The blocks of a vector or matrix, row by row."""
    blocks = [x]
    for dim in range(x.ndim):
        blocks = [part for block in blocks for part in block.split(most, dim)]
    return blocks


def join(blocks: list[Tensor], shape: tuple[int, ...], most: int) -> Tensor:
    """The whole of its blocks."""
    if len(blocks) == 1:
        return blocks[0]
    count = -(-shape[-1] // most)
    rows = [cat(blocks[i : i + count], -1) for i in range(0, len(blocks), count)]
    return cat(rows, 0) if len(rows) > 1 else rows[0]


def inverse_root(matrices: Tensor, order: int, eps: float) -> Tensor:
    """(A + ε)^(−1/order) of symmetric matrices; eigenvalues are raised to 0, then at least to their rounding errors.

    A matrix that is a sum of few products has eigenvalues of 0, of which rounding makes up to n·ulp of the largest, of
    either sign. Their roots would multiply nothing but the rounding errors of gradients, and by a million.
    """
    values, vectors = linalg.eigh(matrices.cpu().double())  # where all devices compute it
    ulp = 2.0**-52 if matrices.dtype.name == "float64" else 2.0**-23
    values = values - values.amin(-1, keepdim=True).clamp(max=0.0)
    errors = values.amax(-1, keepdim=True) * (ulp * matrices.shape[-1])
    powers = (values + eps).maximum(errors) ** (-1 / order)
    return ((vectors * powers.unsqueeze(-2)) @ vectors.mT).to(matrices.device, matrices.dtype)


def _filtered(gradient: Tensor, state: dict[str, Any], t: int, hyper: dict[str, Any]) -> Tensor:
    """The average of gradients."""
    beta1 = hyper["betas"][0]
    m: Tensor = state["exp_avg"].lerp_(gradient, 1 - beta1)
    return m / (1 - beta1**t) if hyper["use_bias_correction"] else m.clone()


def _grafted(
    gradient: Tensor, m: Tensor, state: dict[str, Any], t: int, hyper: dict[str, Any]
) -> Tensor | None:
    """The step of the rule that is grafted from."""
    kind, beta = hyper["grafting"], hyper["grafting_beta"]
    if kind is None or kind == "sgd":
        return m if kind else None
    v: Tensor = state["exp_avg_sq"].mul_(beta if kind != "adagrad" else 1.0)
    v.add_(gradient * gradient, alpha=1 - beta if kind != "adagrad" else 1.0)
    missing = 1 - beta**t if kind == "adam" else 1.0
    return m / (v / missing).sqrt().add_(hyper["grafting_eps"])


def _blocks(shape: tuple[int, ...], most: int) -> list[tuple[int, ...]]:
    """The shapes of the blocks, row by row."""
    sides = [[min(most, size - start) for start in range(0, size, most)] for size in shape]
    return [(a,) for a in sides[0]] if len(sides) == 1 else [(a, b) for a in sides[0] for b in sides[1]]
