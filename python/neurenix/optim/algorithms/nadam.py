"""NAdam."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from ..formula import Value, debias
from ..groups import Group, Params, Scheduled
from ..limits import NOT_NEGATIVE, Flag, OrNone
from ..optimizer import Optimizer
from ..options import Options
from ..states import State
from ._moments import MOMENTS, moments, spread

if TYPE_CHECKING:
    from typing_extensions import Unpack


class NAdam(Optimizer):
    """Adam with Nesterov's momentum: each step already counts the gradient it has just seen.

        g ← g + λ·p
        m ← β₁·m + (1 − β₁)·g
        v ← β₂·v + (1 − β₂)·g²
        p ← p − η·u / (√v̂ + ε)              v̂ = v / (1 − β₂ᵗ)
        u = (1 − μₜ) / (1 − Πₜ)·g + μₜ₊₁ / (1 − Πₜ₊₁)·m
        μₜ = β₁·(1 − ½·0.96^(ψ·t))           Πₜ = μ₁·μ₂ ⋯ μₜ

    and without the schedule of μ, the form of the AlgoPerf baseline (`momentum_decay=None`):

        u = (β₁·m + (1 − β₁)·g) / (1 − β₁ᵗ)

    Keeps two floats for each parameter.

    Args:
        params: tensors, (name, tensor) pairs, a module, or dicts that define groups.
        lr: η, step size, ≥ 0.
        betas: β₁ and β₂, decay of the two averages, each in [0, 1).
        eps: ε, ≥ 0, bounds the step where gradients vanish.
        weight_decay: λ, ≥ 0.
        momentum_decay: ψ, ≥ 0, how fast μ grows from about β₁/2 to β₁; None for no such warm-up.
        decoupled_weight_decay: shrink the parameters by 1 − ηλ instead of adding λ·p to the gradient.
        **options: what every optimizer takes, see `neurenix.optim.Options`.

    Raises:
        ValueError, TypeError: for a value out of its range or parameters that cannot be optimized.

    Example:
        >>> import neurenix as nx
        >>> w = nx.Tensor([1.0, 100.0], requires_grad=True)
        >>> optimizer = nx.optim.NAdam([w], lr=0.5, betas=(0.5, 0.999), momentum_decay=None)
        >>> (w * w).sum().backward()
        >>> optimizer.step()
        >>> w.tolist()
        [0.25, 99.25]

    References:
        T. Dozat, Incorporating Nesterov momentum into Adam, ICLR 2016 workshop.
        G. Dahl et al., Benchmarking neural network training algorithms, arXiv 2306.07179 (without schedule).
    """

    states = (State("mu_product", kind="scalar", init=1.0), *MOMENTS)
    limits: ClassVar = {"momentum_decay": OrNone(NOT_NEGATIVE)}

    def __init__(
        self,
        params: Params,
        lr: Scheduled = 0.002,
        betas: tuple[Scheduled, Scheduled] = (0.9, 0.999),
        eps: Scheduled = 1e-8,
        weight_decay: Scheduled = 0,
        momentum_decay: Scheduled | None = 0.004,
        decoupled_weight_decay: bool = False,
        **options: Unpack[Options],
    ) -> None:
        if Flag().check("NAdam: decoupled_weight_decay", decoupled_weight_decay):
            options.setdefault("weight_decay_mode", "decoupled")
        defaults = {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay}
        super().__init__(params, {**defaults, "momentum_decay": momentum_decay}, **options)

    def states_for(self, group: Group, variant: Any = None) -> Sequence[str | State]:
        """Without a schedule of μ there is no product of it."""
        return self.states[1:] if group["momentum_decay"] is None else self.states

    @staticmethod
    def formula(
        p: Value,
        g: Value,
        *states: Value,
        t: Value,
        lr: Value,
        betas: Value,
        eps: Value,
        momentum_decay: Value,
    ) -> tuple[Value, ...]:
        """The rule above, without weight decay; the states are Π, if there is a schedule, m and v."""
        *product, m, v = states
        beta1, beta2 = betas
        m, v = moments(g, m, v, betas)
        if product:
            now, then = (beta1 * (1 - 0.5 * 0.96 ** (momentum_decay * time)) for time in (t, t + 1))
            product = [product[0] * now]
            seen, kept = (1 - now) / (1 - product[0]), then / (1 - product[0] * then)
        else:
            seen, kept = (1 - beta1) / debias(beta1, t), beta1 / debias(beta1, t)
        step = (lr * seen * g + lr * kept * m) / (spread(v, beta2, t) + eps)
        return (p - step, *product, m, v)
