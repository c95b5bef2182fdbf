"""SPlus."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Final

from neurenix._phynexus import Tensor

from ..binding import Batch
from ..formula import Value, sign
from ..groups import Group, Params, Scheduled
from ..limits import FRACTION, NOT_NEGATIVE, Whole
from ..optimizer import Optimizer
from ..options import Options
from ..states import State
from ._kronecker import along, back, eigenvectors, gram, like, sized, together

if TYPE_CHECKING:
    from typing_extensions import Unpack

AVERAGE: Final = State("param_ema", role="position")


class SPlus(Optimizer):
    """SPlus: signs along the eigenvectors of Shampoo, which seldom need to be computed; evaluates an average.

        m ← b₁·m + (1 − b₁)·g
        u = Q_L·sign(Q_Lᵀ·m·Q_R)·Q_Rᵀ
        L ← b₂·L + (1 − b₂)·g·gᵀ;   R ← b₂·R + (1 − b₂)·gᵀ·g
        Q_L, Q_R ← eigenvectors of L and R              at the first step and every `inverse_every` steps
        p ← p − η′·u                                   η′ = 2η / (rows + columns)
        e ← ema_rate·e + (1 − ema_rate)·p
        p ← p − η′·λ·p

    `optimizer.eval()` puts the average e, corrected for its beginning with zero, in the weights' place, and
    `optimizer.train()` puts the weights back; a model given as `params` does it with its own mode. Sides that are not
    smaller than `max_dim` have no eigenvectors. All that is no matrix, and matrices with a side larger than
    `max_dim`, have η′ = η·nonstandard_constant; what is no matrix steps by sign(m). Keeps two floats for each parameter
    and twice the squares of a matrix's sides.

    Args:
        params: tensors, (name, tensor) pairs, a module, or dicts that define groups.
        lr: η, step size, ≥ 0, of another scale than that of Adam.
        b1: b₁, decay of the average of gradients, in [0, 1).
        b2: b₂, decay of L and R, in [0, 1).
        ema_rate: decay of the average of weights, in [0, 1).
        inverse_every: steps from one computation of the eigenvectors to the next, ≥ 1.
        weight_decay: λ, ≥ 0; each step shrinks the parameters by the factor 1 − η′λ.
        max_dim: sides of this size and above have no eigenvectors, ≥ 1.
        nonstandard_constant: ≥ 0.
        **options: what every optimizer takes, see `neurenix.optim.Options`.

    Raises:
        ValueError, TypeError: for a value out of its range or parameters that cannot be optimized.

    Example:
        >>> import neurenix as nx
        >>> w = nx.Tensor([[1.0, 2.0], [3.0, 5.0]], requires_grad=True)
        >>> optimizer = nx.optim.SPlus([w], lr=0.25, ema_rate=0.5)
        >>> (w * w).sum().backward()
        >>> optimizer.step()
        >>> optimizer.eval()
        >>> [[round(x, 4) for x in row] for row in w.tolist()]
        [[0.875, 1.875], [2.875, 4.875]]

    Differs from the reference: no eps, as it moves no eigenvector; a mode of weight decay instead of "inside" has η.

    References:
        K. Frans, S. Levine, P. Abbeel, A stable whitening optimizer for efficient neural network training, arXiv
        2506.07254.
    """

    decay_mode: ClassVar = "inside"
    limits: ClassVar = {
        "b1": FRACTION,
        "b2": FRACTION,
        "ema_rate": FRACTION,
        "inverse_every": Whole(1),
        "max_dim": Whole(1),
        "nonstandard_constant": NOT_NEGATIVE,
    }

    def __init__(
        self,
        params: Params,
        lr: Scheduled = 0.1,
        b1: Scheduled = 0.9,
        b2: Scheduled = 0.999,
        ema_rate: Scheduled = 0.999,
        inverse_every: int = 100,
        weight_decay: Scheduled = 0.01,
        max_dim: int = 10000,
        nonstandard_constant: Scheduled = 0.001,
        **options: Unpack[Options],
    ) -> None:
        defaults = {
            "lr": lr,
            "b1": b1,
            "b2": b2,
            "ema_rate": ema_rate,
            "inverse_every": inverse_every,
            "weight_decay": weight_decay,
            "max_dim": max_dim,
            "nonstandard_constant": nonstandard_constant,
        }
        super().__init__(params, defaults, **options)

    def variant(self, param: Tensor, group: Group) -> tuple[tuple[int, ...], bool] | None:
        """The sides of a matrix and whether both are small enough; None for all else."""
        if param.ndim != 2:
            return None
        return tuple(param.shape), max(param.shape) <= group["max_dim"]

    def is_directed(self, variant: Any) -> bool:
        """Whether it is a matrix."""
        return variant is not None

    def states_for(self, group: Group, variant: Any = None) -> Sequence[str | State]:
        """The averages, and for each side its matrix and the eigenvectors."""
        if variant is None:
            return ("momentum", AVERAGE)
        states: list[str | State] = [AVERAGE, State("momentum", "tensor", sized=like)]
        for dim, size in enumerate(variant[0]):
            if size < group["max_dim"]:
                names = [f"side_{dim}", f"q_side_{dim}"]
                states += [State(name, "tensor", sized=sized(size, size)) for name in names]
        return states

    def direction(self, batch: Batch) -> list[Tensor]:
        """The signs, turned back."""
        hyper, found, due = batch.hyper, [], []
        dims = [dim for dim, size in enumerate(batch.variant[0]) if size < hyper["max_dim"]]
        for g, state, t in zip(batch.grads, batch.states, batch.steps, strict=True):
            bases = [state.get(f"q_side_{dim}") if t > 1 else None for dim in (0, 1)]
            m = state["momentum"].lerp_(g, 1 - hyper["b1"])
            found.append(along(along(m, bases).sign(), back(bases)))
            for dim in dims:
                state[f"side_{dim}"].lerp_(gram(g, dim), 1 - hyper["b2"])
            if t == 1 or t % hyper["inverse_every"] == 0:
                due += [(state, dim) for dim in dims]
        vectors = together(eigenvectors, [state[f"side_{dim}"] for state, dim in due])
        for (state, dim), q in zip(due, vectors, strict=True):
            state[f"q_side_{dim}"] = q
        return found

    def evaluation(self, param: Tensor, group: Group, entry: Mapping[str, Any]) -> Tensor | None:
        """The average of the weights."""
        if not entry.get("step"):
            return None
        average: Tensor = entry["param_ema"] / (1 - self.hyperparameters(group)["ema_rate"] ** entry["step"])
        return average

    @staticmethod
    def formula(
        p: Value,
        g: Value,
        *given: Value,
        lr: Value,
        b1: Value,
        ema_rate: Value,
        weight_decay: Value,
        nonstandard_constant: Value,
        variant: Any,
    ) -> tuple[Value, ...]:
        """The step and the averages."""
        states: tuple[Value, ...] = ()
        if variant is None:
            m = given[0] + (1 - b1) * (g - given[0])
            states, u = (m,), sign(m)
        else:
            u = given[0]
        size = lr * (2 / sum(variant[0]) if variant and variant[1] else nonstandard_constant)
        p = p - size * u
        return p * (1 - size * weight_decay), *states, given[1] + (1 - ema_rate) * (p - given[1])
