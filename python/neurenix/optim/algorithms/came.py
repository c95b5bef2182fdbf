"""CAME."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Final

from neurenix._phynexus import Tensor

from ..formula import Value, maximum, mean, sqrt, where
from ..groups import Group, Params, Scheduled
from ..limits import FRACTION, NOT_NEGATIVE, POSITIVE, Each
from ..optimizer import Optimizer
from ..options import Options
from ..states import EIGHT_BITS, State, View, default_view
from ._moments import EXP_AVG_SQ

if TYPE_CHECKING:
    from typing_extensions import Unpack

STEP: Final = State("exp_avg", formats=EIGHT_BITS)
FACTORS: Final = (
    State("exp_avg_sq_row", kind="row", role="square"),
    State("exp_avg_sq_col", kind="column", role="square"),
    State("exp_avg_res_row", kind="row", role="square"),
    State("exp_avg_res_col", kind="column", role="square"),
)


def averages(row: Value, column: Value, square: Value, beta: Value) -> tuple[Value, Value]:
    """The averages of row and column means after one more matrix."""
    return (
        beta * row + (1 - beta) * mean(square, axis=-1),
        beta * column + (1 - beta) * mean(square, axis=-2),
    )


def estimate(row: Value, column: Value) -> Value:
    """The inverse root of the matrix that these are the row and column means of."""
    whole = mean(row, axis=-2)
    return inverse(row / where(whole > 0, whole, 1)) * inverse(column)


def inverse(x: Value) -> Value:
    """1/√x, or 1 where x is 0."""
    return 1 / sqrt(where(x > 0, x, 1))


class CAME(Optimizer):
    """CAME: Adafactor with momentum that trusts steady updates more; memory of one float a weight.

        r, c ← averages with decay β₂ of the row and column means of g² + ε₁
        u = g / √(r·c / mean(r));   u ← u / max(1, RMS(u) / clip_threshold)
        m ← β₁·m + (1 − β₁)·u
        r', c' ← averages with decay β₃ of the row and column means of (u − m)² + ε₂
        p ← p − η·λ·p − η·m / √(r'·c' / mean(r'))

    Vectors keep the average of g² + ε₁ itself and step by m. Keeps one float for each parameter and two for
    each row and column.

    Args:
        params: tensors, (name, tensor) pairs, a module, or dicts that define groups.
        lr: η, step size, ≥ 0.
        eps: ε₁ and ε₂, ≥ 0.
        clip_threshold: largest root of the mean square of u, > 0.
        betas: β₁, β₂ and β₃, each in [0, 1).
        weight_decay: λ, ≥ 0; each step shrinks the parameters by the factor 1 − ηλ.
        **options: what every optimizer takes, see `neurenix.optim.Options`.

    Raises:
        ValueError, TypeError: for a value out of its range or parameters that cannot be optimized.

    Example:
        >>> import neurenix as nx
        >>> w = nx.Tensor([1.0, 2.0], requires_grad=True)
        >>> optimizer = nx.optim.CAME([w], lr=0.25)
        >>> (w * w).sum().backward()
        >>> optimizer.step()
        >>> [round(x, 4) for x in w.tolist()]
        [0.975, 1.975]

    References:
        Y. Luo et al., CAME: confidence-guided adaptive memory efficient optimization, arXiv 2307.02047,
        algorithm 2.
    """

    decay_mode: ClassVar = "decoupled"
    limits: ClassVar = {"eps": Each(NOT_NEGATIVE, 2), "clip_threshold": POSITIVE, "betas": Each(FRACTION, 3)}

    def __init__(
        self,
        params: Params,
        lr: Scheduled = 0.0002,
        eps: tuple[Scheduled, Scheduled] = (1e-30, 1e-16),
        clip_threshold: Scheduled = 1.0,
        betas: tuple[Scheduled, Scheduled, Scheduled] = (0.9, 0.999, 0.9999),
        weight_decay: Scheduled = 0.0,
        **options: Unpack[Options],
    ) -> None:
        defaults = {
            "lr": lr,
            "eps": eps,
            "clip_threshold": clip_threshold,
            "betas": betas,
            "weight_decay": weight_decay,
        }
        super().__init__(params, defaults, **options)

    def view(self, param: Tensor, group: Group) -> View:
        """Matrices of the last two dimensions."""
        if param.ndim < 2:
            return default_view(param)
        rows, columns = param.shape[-2], param.shape[-1]
        return param.numel() // (rows * columns), rows, columns

    def variant(self, param: Tensor, group: Group) -> str:
        """Whether there are rows and columns."""
        return "matrix" if param.ndim > 1 else "vector"

    def states_for(self, group: Group, variant: Any = None) -> Sequence[str | State]:
        """The momentum and what the variant has of averages."""
        return (STEP, *FACTORS) if variant == "matrix" else (STEP, EXP_AVG_SQ)

    @staticmethod
    def formula(
        p: Value,
        g: Value,
        m: Value,
        *v: Value,
        lr: Value,
        eps: Value,
        clip_threshold: Value,
        betas: Value,
        variant: str,
    ) -> tuple[Value, ...]:
        """The rule above, without weight decay."""
        beta1, beta2, beta3 = betas
        square = g * g + eps[0]
        first: tuple[Value, ...]
        if variant == "vector":
            first = (beta2 * v[0] + (1 - beta2) * square,)
            u = g * inverse(first[0])
        else:
            first = row, column = averages(v[0], v[1], square, beta2)
            u = g * estimate(row, column)
        u = u / maximum(sqrt(mean(u * u)) / clip_threshold, 1)
        m = m + (1 - beta1) * (u - m)
        if variant == "vector":
            return p - lr * m, m, *first
        row, column = averages(v[2], v[3], (u - m) * (u - m) + eps[1], beta3)
        return p - lr * m * estimate(row, column), m, *first, row, column
