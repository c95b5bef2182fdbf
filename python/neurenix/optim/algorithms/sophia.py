"""Sophia."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Final

from neurenix._phynexus import Tensor, set_grad
from neurenix.autograd import grad

from ..formula import Value, abs_, minimum, sign, where
from ..groups import Params, Scheduled
from ..limits import NOT_NEGATIVE, POSITIVE
from ..optimizer import Optimizer
from ..options import Options
from ..packing import revise
from ..rounding import step_keys
from ..states import State

if TYPE_CHECKING:
    from typing_extensions import Unpack


HESSIAN: Final = State("hessian")  # estimates by random vectors have either sign


class Sophia(Optimizer):
    """Sophia: momentum over a cheap estimate of the curvature, clipped; made for language models.

        p ← p − η·λ·p
        m ← β₁·m + (1 − β₁)·g
        p ← p − η·sign(m)·min(|m| / (ρ·bs·h + ε), 1)
        h ← β₂·h + (1 − β₂)·ĥ                 by `update_hessian()`, every 10 steps or so

    The estimate ĥ is either the square of gradients of labels that the model itself has drawn (Sophia-G:
    compute them, then call `update_hessian()`), with bs the number of examples or tokens in a batch; or
    u·∇⟨∇loss, u⟩ for random u (Sophia-H: call `update_hessian(loss)`), with bs 1. Keeps two floats for each
    parameter. Before the first `update_hessian` it is `Signum`.

    Args:
        params: tensors, (name, tensor) pairs, a module, or dicts that define groups.
        lr: η, step size, ≥ 0.
        betas: β₁ and β₂, decay of the average of gradients and of curvatures, each in [0, 1).
        rho: ρ, ≥ 0, how much of the curvature counts: larger means that less is clipped.
        weight_decay: λ, ≥ 0; each step shrinks the parameters by the factor 1 − ηλ.
        eps: ε, ≥ 0, bounds the quotient before it is clipped.
        bs: how many examples a mean gradient is of, > 0.
        **options: what every optimizer takes, see `neurenix.optim.Options`.

    Raises:
        ValueError, TypeError: for a value out of its range or parameters that cannot be optimized.

    Example:
        >>> import neurenix as nx
        >>> w = nx.Tensor([1.0, 2.0], requires_grad=True)
        >>> optimizer = nx.optim.Sophia([w], lr=0.25, betas=(0.5, 0.9))
        >>> for step in range(40):
        ...     optimizer.zero_grad()
        ...     if step % 10 == 0:
        ...         optimizer.update_hessian((w * w).sum())
        ...     (w * w).sum().backward()
        ...     optimizer.step()
        >>> (w * w).sum().item() < 0.1
        True

    Differs from the reference: where the curvature is negative or 0 the quotient counts as clipped; ε has a
    name.

    References:
        H. Liu et al., Sophia: a scalable stochastic second-order optimizer for language model pre-training,
        arXiv 2305.14342, algorithm 3.
    """

    states = ("exp_avg", HESSIAN)
    decay_mode: ClassVar = "decoupled"
    limits: ClassVar = {"rho": NOT_NEGATIVE, "bs": POSITIVE}

    def __init__(
        self,
        params: Params,
        lr: Scheduled = 0.0001,
        betas: tuple[Scheduled, Scheduled] = (0.965, 0.99),
        rho: Scheduled = 0.04,
        weight_decay: Scheduled = 0.1,
        eps: Scheduled = 1e-15,
        bs: Scheduled = 1.0,
        **options: Unpack[Options],
    ) -> None:
        defaults = {"lr": lr, "betas": betas, "rho": rho, "weight_decay": weight_decay, "eps": eps, "bs": bs}
        super().__init__(params, defaults, **options)

    def update_hessian(self, loss: Tensor | None = None) -> None:
        """Takes the curvature of the present batch into h.

        Args:
            loss: the loss, for Hutchinson's estimate from second derivatives; random numbers are those of
                `neurenix.manual_seed`. Without it the square of the parameters' gradients is the estimate,
                which must be of labels drawn from the model's own predictions.

        Raises:
            ValueError: if a loss is given that no parameter takes part in.
        """
        self.init_state()
        found = self._squares() if loss is None else self._products(loss)
        recording = set_grad(False)
        try:
            for group in self.param_groups:
                beta2 = self.hyperparameters(group)["betas"][1]
                for param in group["params"]:
                    if (new := found.get(param)) is not None:
                        self._average(param, new, beta2)
        finally:
            set_grad(recording)

    def _average(self, param: Tensor, new: Tensor, beta2: float) -> None:
        entry = self.state[param]
        keys = step_keys(self.rounding_seed, -1 - entry["step"])
        revise(entry, HESSIAN, param, lambda h: beta2 * h + (1 - beta2) * new.to(h.dtype), keys)

    def _squares(self) -> dict[Tensor, Tensor]:
        params = [param for group in self.param_groups for param in group["params"]]
        return {param: param.grad.detach() ** 2 for param in params if param.grad is not None}

    def _products(self, loss: Tensor) -> dict[Tensor, Tensor]:
        params = [param for group in self.param_groups for param in group["params"]]
        first = grad(loss, params, create_graph=True, allow_unused=True)
        used = [(param, g) for param, g in zip(params, first, strict=True) if g is not None]
        if not used:
            raise ValueError(f"{type(self).__name__}: no parameter takes part in this loss")
        noise = [Tensor.randn_like(param) for param, _ in used]
        products = [(g * u).sum() for (_, g), u in zip(used, noise, strict=True)]
        second = grad(products, [param for param, _ in used], allow_unused=True)
        return {
            param: u * hu.detach()
            for (param, _), u, hu in zip(used, noise, second, strict=True)
            if hu is not None
        }

    @staticmethod
    def formula(
        p: Value, g: Value, m: Value, h: Value, *, lr: Value, betas: Value, rho: Value, eps: Value, bs: Value
    ) -> tuple[Value, Value, Value]:
        """The rule above, without weight decay."""
        m = m + (1 - betas[0]) * (g - m)
        down = rho * bs * h + eps
        size = where(down > 0, minimum(abs_(m) / where(down > 0, down, 1), 1), 1)
        return p - lr * sign(m) * size, m, h
