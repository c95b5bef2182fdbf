"""MARS."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from neurenix._phynexus import Tensor

from ..binding import Batch
from ..formula import Value, debias, maximum, norm, sign, where
from ..groups import Group, Params, Scheduled
from ..limits import FRACTION, NOT_NEGATIVE, Choice, Each, Flag
from ..optimizer import Optimizer
from ..options import Options
from ..states import State, default_view
from ._kronecker import like
from ._moments import MOMENTS, moments, spread
from ._orthogonal import orthogonalized, scale
from .muon import ORIGINAL

if TYPE_CHECKING:
    from typing_extensions import Unpack


class MARS(Optimizer):
    """MARS: AdamW, Lion or Muon on gradients whose noise is reduced by the previous gradient.

        c = g + γ·β₁/(1 − β₁)·(g − g₋₁)         g₋₁ = 0 at the first step
        c ← c / max(1, ‖c‖)
        m ← β₁·m + (1 − β₁)·c
        v ← β₂·v + (1 − β₂)·c²
        p ← p − η·(m̂ / (√v̂ + ε) + λ·p)         (kind "lion": p ← p − η·(sign(m) + λ·p), without v)

    Kind "shampoo" steps matrices by η·(√max(1, rows/columns)·O + λ·p), with O the nearest orthogonal matrix to
    m / (1 − β₁) by five Newton–Schulz steps, as `Muon` does; it keeps no v.

    Vectors and scalars (biases, scales) get AdamW's rule with lr_1d and betas_1d unless optimize_1d; give
    them a group of their own if their weight decay is to differ. Keeps three floats for each parameter of a
    matrix (two for "lion" and "shampoo"), two of a vector.

    Args:
        params: tensors, (name, tensor) pairs, a module, or dicts that define groups.
        lr: η, step size, ≥ 0.
        betas: β₁ and β₂, decay of the two averages, each in [0, 1).
        eps: ε, ≥ 0, bounds the step where gradients vanish; for "shampoo" beside the norm that m is divided by first.
        weight_decay: λ, ≥ 0; each step also takes η·λ·p away.
        gamma: γ, ≥ 0, strength of the correction.
        kind: "adamw", "lion" or "shampoo".
        optimize_1d: treat vectors and scalars as everything else.
        lr_1d: step size of vectors and scalars, ≥ 0.
        betas_1d: β₁ and β₂ of vectors and scalars.
        **options: what every optimizer takes, see `neurenix.optim.Options`.

    Raises:
        ValueError, TypeError: for a value out of its range or parameters that cannot be optimized.

    Example:
        >>> import neurenix as nx
        >>> w = nx.Tensor([1.0, 2.0], requires_grad=True)
        >>> optimizer = nx.optim.MARS([w], lr=0.25)
        >>> (w * w).sum().backward()
        >>> optimizer.step()
        >>> [round(x, 4) for x in w.tolist()]
        [0.997, 1.997]

    Differs from the reference: the previous gradient is a copy; weight decay is the same for all ranks; with
    η = 0 nothing moves.

    References:
        H. Yuan et al., MARS: unleashing the power of variance reduction for training large models, arXiv
        2411.10438, algorithm 2.
    """

    states = MOMENTS
    decay_mode: ClassVar = "decoupled_after"
    limits: ClassVar = {
        "gamma": NOT_NEGATIVE,
        "kind": Choice(("adamw", "lion", "shampoo")),
        "optimize_1d": Flag(),
        "lr_1d": NOT_NEGATIVE,
        "betas_1d": Each(FRACTION, 2),
    }

    def __init__(
        self,
        params: Params,
        lr: Scheduled = 0.003,
        betas: tuple[Scheduled, Scheduled] = (0.95, 0.99),
        eps: Scheduled = 1e-8,
        weight_decay: Scheduled = 0.0,
        gamma: Scheduled = 0.025,
        kind: str = "adamw",
        optimize_1d: bool = False,
        lr_1d: Scheduled = 0.003,
        betas_1d: tuple[Scheduled, Scheduled] = (0.9, 0.95),
        **options: Unpack[Options],
    ) -> None:
        defaults = {
            "lr": lr,
            "betas": betas,
            "eps": eps,
            "weight_decay": weight_decay,
            "gamma": gamma,
            "kind": kind,
            "optimize_1d": optimize_1d,
            "lr_1d": lr_1d,
            "betas_1d": betas_1d,
        }
        super().__init__(params, defaults, **options)

    def variant(self, param: Tensor, group: Group) -> str:
        """Which rule a parameter gets."""
        if param.ndim > 1:
            return str(group["kind"])
        return group["kind"].replace("shampoo", "adamw") if group["optimize_1d"] else "vector"

    def is_directed(self, variant: Any) -> bool:
        """Whether a matrix is orthogonalised."""
        return bool(variant == "shampoo")

    def states_for(self, group: Group, variant: Any = None) -> Sequence[str | State]:
        """The averages that the rule of the variant keeps, and the previous gradient."""
        return {
            "vector": self.states,
            "adamw": (*self.states, "last_grad"),
            "lion": ("exp_avg", "last_grad"),
            "shampoo": (State("exp_avg", "tensor", sized=like), State("last_grad", "tensor", sized=like)),
        }[variant]

    def direction(self, batch: Batch) -> list[Tensor]:
        """The nearest orthogonal matrices to the averages."""
        hyper = batch.hyper
        beta1 = hyper["betas"][0]
        averages = []
        for g, state in zip(batch.grads, batch.states, strict=True):
            c = g + (g - state["last_grad"]) * (hyper["gamma"] * beta1 / (1 - beta1))
            state["last_grad"].copy_(g)
            m = state["exp_avg"].lerp_(c / c.norm().clamp(min=1.0), 1 - beta1)
            averages.append(m / (1 - beta1))
        views = [default_view(param) for param in batch.params]
        return orthogonalized(averages, views, ORIGINAL, 5, hyper["eps"])

    @staticmethod
    def formula(
        p: Value,
        g: Value,
        *given: Value,
        t: Value,
        lr: Value,
        betas: Value,
        eps: Value,
        gamma: Value,
        lr_1d: Value,
        betas_1d: Value,
        variant: str,
    ) -> tuple[Value, ...]:
        """The rule above, without weight decay; given are m, v and the previous gradient as far as kept, or O."""
        if variant == "vector":
            m, v = moments(g, given[0], given[1], betas_1d)
            step = m / debias(betas_1d[0], t) / (spread(v, betas_1d[1], t) + eps)
            return p - where(lr > 0, lr_1d, 0) * step, m, v
        if variant == "shampoo":
            return (p - lr * scale(g, "original") * given[0],)
        c = g + gamma * betas[0] / (1 - betas[0]) * (g - given[-1])
        c = c / maximum(norm(c), 1)
        if variant == "adamw":
            m, v = moments(c, given[0], given[1], betas)
            step = m / debias(betas[0], t) / (spread(v, betas[1], t) + eps)
            return p - lr * step, m, v, g
        m = given[0] + (1 - betas[0]) * (c - given[0])
        return p - lr * sign(m), m, g
