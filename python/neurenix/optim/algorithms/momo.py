"""MoMo and MoMo-Adam."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar

from neurenix._phynexus import Tensor

from ..formula import Value, debias, everywhere, global_norm, maximum, minimum, sqrt, total, where
from ..groups import Params, Scheduled
from ..limits import ANY_NUMBER, FRACTION, Fixed, Flag
from ..optimizer import Optimizer
from ..options import Options
from ..states import EIGHT_BITS, State
from ._moments import EXP_AVG_SQ

if TYPE_CHECKING:
    from typing_extensions import Unpack


class MoMo(Optimizer):
    """SGD with momentum whose learning rate is bounded by how far the loss can still fall.

        d ← β·d + (1 − β)·g,   f̄ ← β·f̄ + (1 − β)·loss,   γ ← β·γ + (1 − β)·⟨g, p⟩        (β = 0 at the first step)
        τ ← min(η, max((1 + ηλ)·(f̄ − f* − γ) + ⟨d, p⟩, 0) / ‖d‖²)       over all parameters together
        p ← (p − τ·d) / (1 + ηλ)

    Keeps one float for each parameter. A step needs the loss: `step(loss=loss)`, or a closure that returns it.

    Args:
        params: tensors, (name, tensor) pairs, a module, or dicts that define groups.
        lr: η, the largest learning rate, ≥ 0; rather large.
        beta: β, decay of the averages, in [0, 1).
        lower_bound: f*, what the loss cannot fall below.
        weight_decay: λ, ≥ 0, applied as above.
        adapt_lower_bound: begin with f* and raise it where the steps show that the loss cannot come so far.
        **options: see `neurenix.optim.Options`.

    Raises:
        ValueError, TypeError: for a value out of its range, or a step without the loss.

    Example:
        >>> import neurenix as nx
        >>> w = nx.Tensor([1.0, 2.0, 3.0], requires_grad=True)
        >>> optimizer = nx.optim.MoMo([w])
        >>> loss = (w * w).sum()
        >>> loss.backward()
        >>> optimizer.step(loss=loss)
        >>> w.tolist()
        [0.5, 1.0, 1.5]

    References:
        F. Schaipp et al., MoMo: momentum models for adaptive learning rates, arXiv 2305.07583.
    """

    states: ClassVar[tuple[str | State, ...]] = (
        State("exp_avg", formats=EIGHT_BITS),
        State("loss_avg", kind="scalar"),
        State("gamma", kind="scalar"),
        State("bound", kind="scalar", init=lambda group: float(group["lower_bound"])),
    )
    decay_mode: ClassVar = "inside"
    limits: ClassVar = {
        "beta": FRACTION,
        "lower_bound": Fixed(ANY_NUMBER),
        "adapt_lower_bound": Flag(),
        "loss": ANY_NUMBER,
    }

    def __init__(
        self,
        params: Params,
        lr: Scheduled = 1.0,
        beta: Scheduled = 0.9,
        lower_bound: float = 0.0,
        weight_decay: Scheduled = 0.0,
        adapt_lower_bound: bool = False,
        **options: Unpack[Options],
    ) -> None:
        defaults = {"lr": lr, "beta": beta, "lower_bound": lower_bound, "weight_decay": weight_decay}
        super().__init__(params, {**defaults, "adapt_lower_bound": adapt_lower_bound, "loss": 0.0}, **options)

    def step(self, closure: Callable[[], Any] | None = None, *, loss: Any = None) -> Any:
        """One step.

        Args:
            closure: computes and returns the loss, with its gradients.
            loss: the loss, where there is no closure; a tensor of one element or a number.

        Returns:
            What the closure returned, or None.
        """
        value = loss if closure is None else closure()
        if value is None:
            raise TypeError(
                f"{type(self).__name__}.step needs the loss: step(loss=loss), or a closure that returns it"
            )
        self._prepare()  # before anything is written, so that errors leave all as it was
        number = value.item() if isinstance(value, Tensor) else float(value)
        for group in self.param_groups:
            group["loss"] = number
        super()._advance()
        return None if closure is None else value

    @staticmethod
    def formula(
        p: Value,
        g: Value,
        d: Value,
        loss_avg: Value,
        gamma: Value,
        bound: Value,
        *,
        t: Value,
        lr: Value,
        beta: Value,
        lower_bound: Value,
        adapt_lower_bound: bool,
        weight_decay: Value,
        loss: Value,
    ) -> tuple[Value, ...]:
        """The rule above."""
        b = where(t == 1, 0, beta)
        d = b * d + (1 - b) * g
        loss_avg = b * loss_avg + (1 - b) * loss
        gamma = b * gamma + (1 - b) * everywhere(total(g * p))
        length = global_norm(d)
        product, bounds = everywhere(total(d * p)), (bound, lower_bound)
        tau, bound = polyak(
            lr, weight_decay, loss_avg - gamma, product, length * length, 1.0, bounds, adapt_lower_bound
        )
        return (p - tau * d) / (1 + lr * weight_decay), d, loss_avg, gamma, bound


class MoMoAdam(MoMo):
    """Adam whose learning rate is bounded by how far the loss can still fall.

    As `MoMo`, with d divided by (√v̂ + ε) and its norm measured accordingly; averages begin at 0 and are corrected.
    Keeps two floats for each parameter. A step needs the loss: `step(loss=loss)`, or a closure that returns it.

    Args:
        params: tensors, (name, tensor) pairs, a module, or dicts that define groups.
        lr: η, the largest learning rate, ≥ 0.
        betas: decay of the averages of gradients and of their squares, each in [0, 1).
        eps: ε, ≥ 0.
        lower_bound: f*, what the loss cannot fall below.
        weight_decay: λ, ≥ 0; p is divided by 1 + ηλ.
        adapt_lower_bound: begin with f* and raise it where the steps show that the loss cannot come so far.
        **options: see `neurenix.optim.Options`.

    Raises:
        ValueError, TypeError: for a value out of its range, or a step without the loss.

    Example:
        >>> import neurenix as nx
        >>> w = nx.Tensor([1.0, 2.0, 3.0], requires_grad=True)
        >>> optimizer = nx.optim.MoMoAdam([w], lr=1.0)
        >>> loss = (w * w).sum()
        >>> loss.backward()
        >>> optimizer.step(loss=loss)
        >>> [round(x, 4) for x in w.tolist()]
        [0.0, 1.0, 2.0]

    References:
        F. Schaipp et al., MoMo: momentum models for adaptive learning rates, arXiv 2305.07583.
    """

    states: ClassVar = ("exp_avg", EXP_AVG_SQ, *MoMo.states[1:])

    def __init__(
        self,
        params: Params,
        lr: Scheduled = 1e-2,
        betas: tuple[Scheduled, Scheduled] = (0.9, 0.999),
        eps: Scheduled = 1e-8,
        lower_bound: float = 0.0,
        weight_decay: Scheduled = 0.0,
        adapt_lower_bound: bool = False,
        **options: Unpack[Options],
    ) -> None:
        defaults = {
            "lr": lr,
            "betas": betas,
            "eps": eps,
            "lower_bound": lower_bound,
            "weight_decay": weight_decay,
        }
        Optimizer.__init__(
            self, params, {**defaults, "adapt_lower_bound": adapt_lower_bound, "loss": 0.0}, **options
        )

    @staticmethod
    def formula(  # type: ignore[override]
        p: Value,
        g: Value,
        d: Value,
        v: Value,
        loss_avg: Value,
        gamma: Value,
        bound: Value,
        *,
        t: Value,
        lr: Value,
        betas: Value,
        eps: Value,
        lower_bound: Value,
        adapt_lower_bound: bool,
        weight_decay: Value,
        loss: Value,
    ) -> tuple[Value, ...]:
        """The rule above."""
        b1, b2 = betas
        d = b1 * d + (1 - b1) * g
        v = b2 * v + (1 - b2) * g * g
        way = d / (sqrt(v / debias(b2, t)) + eps)
        loss_avg = b1 * loss_avg + (1 - b1) * loss
        gamma = b1 * gamma + (1 - b1) * everywhere(total(g * p))
        square = everywhere(total(d * way))
        product, bounds, missing = everywhere(total(d * p)), (bound, lower_bound), debias(b1, t)
        tau, bound = polyak(
            lr, weight_decay, loss_avg - gamma, product, square, missing, bounds, adapt_lower_bound
        )
        return (p - tau * way) / (1 + lr * weight_decay), d, v, loss_avg, gamma, bound


def polyak(
    lr: Value,
    weight_decay: Value,
    level: Value,
    product: Value,
    square: Value,
    correction: Value,
    bounds: tuple[Value, Value],
    adapts: bool,
) -> tuple[Value, Value]:
    """The length of a step, and the bound of the loss after it; `level` is f̄ − γ, `product` ⟨d, p⟩, `square` ‖d‖²."""
    bound, lower_bound = bounds
    decayed = 1 + lr * weight_decay
    if adapts:
        cap = decayed * level + product
        low = maximum(cap / (2 * correction * decayed), lower_bound)
        bound = where(cap < decayed * correction * bound, low, bound)
    room = maximum(decayed * (level - correction * bound) + product, 0)
    tau = minimum(lr / correction, where(square > 0, room / where(square > 0, square, 1), 0))
    if adapts:
        bound = maximum((level + product - tau * square / 2) / correction, lower_bound)
    return tau, bound
