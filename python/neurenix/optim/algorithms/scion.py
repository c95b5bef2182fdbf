"""Scion."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from neurenix._phynexus import Tensor

from ..binding import Batch
from ..formula import Value, count, mean, sign, sqrt
from ..groups import Group, Params, Scheduled
from ..limits import NOT_NEGATIVE, Choice, Flag, Number
from ..optimizer import Optimizer
from ..options import Options
from ..states import EIGHT_BITS, State, View
from ._orthogonal import matrices, orthogonalized
from .muon import ORIGINAL, Coefficients

if TYPE_CHECKING:
    from typing_extensions import Unpack


class Scion(Optimizer):
    """Steps of a fixed length in a norm that suits the layer, inside of a ball of that norm.

        m ← (1 − α)·m + α·g        (m ← g at the first step)
        p ← (1 − η)·p − η·ρ·d(m)   (constrained; else p ← p − η·ρ·d(m))

    with the direction d of the norm: "spectral" √(out/in)·(the nearest orthogonal matrix), for hidden layers;
    "sign" sign(m)/in, for the last layer; "row" and "column" with a root mean square of 1 in each row or
    column, for embeddings; "rms" with one of 1 in all, for biases. "auto" takes spectral for matrices and rms for
    vectors. Learning rates carry over between widths. Keeps one float for each parameter.

    Args:
        params: tensors, (name, tensor) pairs, a module, or dicts that define groups, each with its norm.
        lr: η, step size, ≥ 0; below 1 unless unconstrained, since p shrinks by 1 − η.
        momentum: α, weight of the newest gradient, in (0, 1].
        norm: "auto", "spectral", "sign", "row", "column" or "rms".
        scale: ρ, radius of the ball, ≥ 0; about 50 for hidden layers and 3000 for the last.
        unconstrained: leave out the shrinking by 1 − η.
        weight_decay: λ, ≥ 0, besides.
        ns_coefficients, eps, ns_steps: of Newton–Schulz, as of `Muon`.
        **options: see `neurenix.optim.Options`.

    Raises:
        ValueError, TypeError: for a value out of its range.

    Example:
        >>> import neurenix as nx
        >>> model = nx.nn.Sequential(nx.nn.Linear(8, 16), nx.nn.ReLU(), nx.nn.Linear(16, 4))
        >>> optimizer = nx.optim.Scion(
        ...     [
        ...         {"params": model[0].parameters()},
        ...         {"params": [model[2].weight], "norm": "sign", "scale": 3000.0},
        ...     ],
        ...     lr=1e-3,
        ...     scale=50.0,
        ... )
        >>> model(nx.randn(4, 8)).sum().backward()
        >>> optimizer.step()

    References:
        T. Pethick et al., Training deep learning models with norm-constrained LMOs, arXiv 2502.07529.
    """

    decay_mode: ClassVar = "decoupled"
    limits: ClassVar = {
        "momentum": Number(0, 1, high_included=True, low_included=False),
        "norm": Choice(("auto", "spectral", "sign", "row", "column", "rms")),
        "scale": NOT_NEGATIVE,
        "unconstrained": Flag(),
        "ns_coefficients": Coefficients(),
        "ns_steps": Number(1),
    }
    states: ClassVar[Sequence[str | State]] = (State("momentum_buffer", formats=EIGHT_BITS),)

    def __init__(
        self,
        params: Params,
        lr: Scheduled = 1e-3,
        momentum: Scheduled = 0.1,
        norm: str = "auto",
        scale: Scheduled = 1.0,
        unconstrained: bool = False,
        weight_decay: Scheduled = 0.0,
        *,
        ns_coefficients: Any = ORIGINAL,
        eps: Scheduled = 1e-7,
        ns_steps: int = 5,
        **options: Unpack[Options],
    ) -> None:
        defaults = {
            "lr": lr,
            "momentum": momentum,
            "norm": norm,
            "scale": scale,
            "unconstrained": unconstrained,
            "weight_decay": weight_decay,
            "ns_coefficients": ns_coefficients,
            "eps": eps,
            "ns_steps": ns_steps,
        }
        super().__init__(params, defaults, **options)

    def variant(self, param: Tensor, group: Group) -> str:
        """The norm of a parameter; a vector has no other than rms and sign."""
        if param.ndim < 2:
            return "sign" if group["norm"] == "sign" else "rms"
        return "spectral" if group["norm"] == "auto" else str(group["norm"])

    def is_directed(self, variant: Any) -> bool:
        """The spectral norm needs an orthogonal matrix."""
        return bool(variant == "spectral")

    def view(self, param: Tensor, group: Group) -> View:
        """Convolutions are flattened."""
        return matrices(param, _WHOLE) if param.ndim > 1 else super().view(param, group)

    def direction(self, batch: Batch) -> list[Tensor]:
        """The nearest orthogonal matrix to the momentum."""
        hyper = batch.hyper
        moved = [
            g if t == 1 else state["momentum_buffer"].lerp(g, hyper["momentum"])
            for g, state, t in zip(batch.grads, batch.states, batch.steps, strict=True)
        ]
        views = [matrices(param, _WHOLE) for param in batch.params]
        return orthogonalized(moved, views, hyper["ns_coefficients"], int(hyper["ns_steps"]), hyper["eps"])

    @staticmethod
    def formula(
        p: Value,
        g: Value,
        *rest: Value,
        t: Value,
        lr: Value,
        momentum: Value,
        scale: Value,
        unconstrained: bool,
        eps: Value,
        variant: str,
    ) -> tuple[Value, Value]:
        """The rule above."""
        m = rest[-1]
        m = m + ((t == 1) * (1 - momentum) + momentum) * (g - m)
        if variant == "spectral":
            d = sqrt(count(g, axis=-2) / count(g, axis=-1)) * rest[0]
        elif variant == "sign":
            d = sign(m) / count(g, axis=-1)
        else:
            axis = {"row": -1, "column": -2, "rms": None}[variant]
            d = m / (sqrt(mean(m * m, axis=axis)) + eps)
        return (p if unconstrained else p * (1 - lr)) - lr * scale * d, m


_WHOLE = {"heads": 1, "batched": False}
