"""Mechanic."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar, Final

from ..formula import Value, clamp, everywhere, global_norm, maximum, sqrt, total
from ..groups import Scheduled
from ..limits import NOT_NEGATIVE, POSITIVE, Fixed
from ..optimizer import Optimizer
from ..states import State
from ..wrapper import Wrapper

_BETAS: Final = tuple(1 - 0.1**i for i in range(1, 7))


class Mechanic(Wrapper):
    """Any optimizer without a learning rate: the length of its way is learned while it goes.

        Δ ← Δ + u                          u is the wrapped optimizer's step, Δ = (x₀ − p) / Σs before
        h ← ⟨g + λ·Σs·‖g‖/‖p‖·p, Δ⟩        with the Δ of before, over all parameters together
        for each of six β = 1 − 10⁻ⁱ:
            r ← β·r + s·clamp(h, −m, m)
            m ← max(β·m, |h| + ε),  v ← β²·v + h²
            s ← (s₀·m/6 + max(r, 0)) / (√v + ε)
        p ← x₀ − Σs·Δ

    Give the wrapped optimizer lr=1, or a schedule that begins at 1. Keeps one more float for each parameter.

    Args:
        optimizer: the optimizer to wrap; not one whose steps are normalised (LARS, LAMB).
        decay: λ, ≥ 0.
        s_init: s₀, the first scale, > 0; too small costs a few steps, too large may diverge.
        eps: ε, > 0.

    Raises:
        ValueError, TypeError: for a value out of its range.

    Example:
        >>> import neurenix as nx
        >>> w = nx.Tensor([1.0], requires_grad=True)
        >>> optimizer = nx.optim.Mechanic(nx.optim.SGD([w], lr=1.0))
        >>> for _ in range(80):
        ...     optimizer.zero_grad()
        ...     (w * w).sum().backward()
        ...     optimizer.step()
        >>> abs(w.item()) < 1e-5
        True

    References:
        A. Cutkosky, A. Defazio, H. Mehta, Mechanic: a learning rate tuner, arXiv 2306.00144.
    """

    states: ClassVar = (
        State("x0", init="param", role="position"),
        *(
            State(
                f"{name}{i}",
                kind="scalar",
                init=(lambda group: float(group["s_init"])) if name == "s" else 0.0,
            )
            for name in "rmvs"
            for i in range(len(_BETAS))
        ),
    )
    limits: ClassVar = {"mechanic_decay": NOT_NEGATIVE, "s_init": Fixed(POSITIVE), "mechanic_eps": POSITIVE}

    def __init__(
        self,
        optimizer: Optimizer,
        decay: Scheduled = 1e-2,
        s_init: float = 1e-6,
        eps: Scheduled = 1e-8,
    ) -> None:
        super().__init__(optimizer, {"mechanic_decay": decay, "s_init": s_init, "mechanic_eps": eps})

    @staticmethod
    def formula(
        p: Value,
        g: Value,
        x0: Value,
        *numbers: Value,
        inner: Callable[[Value, Value], Value],
        mechanic_decay: Value,
        s_init: Value,
        mechanic_eps: Value,
    ) -> tuple[Value, ...]:
        """The rule above."""
        n, eps = len(_BETAS), mechanic_eps
        r, m, v, s = (list(numbers[k * n : (k + 1) * n]) for k in range(4))
        scale = sum(s)
        before = (x0 - p) / (scale + eps)
        after = before - (inner(p, g) - p)
        lengths = [global_norm(x) for x in (g, p)]
        pull = mechanic_decay * scale * lengths[0] / (lengths[1] + eps)
        h = everywhere(total((g + pull * p) * before))
        r = [beta * r_ + clamp(h, -m_, m_) * s_ for beta, r_, m_, s_ in zip(_BETAS, r, m, s, strict=True)]
        m = [maximum(beta * m_, abs(h) + eps) for beta, m_ in zip(_BETAS, m, strict=True)]
        v = [beta * beta * v_ + h * h for beta, v_ in zip(_BETAS, v, strict=True)]
        s = [
            (s_init / n * m_ + maximum(r_, 0)) / (sqrt(v_) + eps) for r_, m_, v_ in zip(r, m, v, strict=True)
        ]
        return x0 - sum(s) * after, x0, *r, *m, *v, *s
