"""Adafactor."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Final, Literal, NamedTuple, TypeAlias

import numpy as np

from neurenix._phynexus import Tensor

from ..binding import Batch
from ..formula import Value, maximum, mean, minimum, rsqrt, sqrt, where
from ..groups import Group, Params, Scheduled
from ..limits import ANY_NUMBER, NOT_NEGATIVE, Choice, Each, Flag, Number, OrNone, Whole
from ..optimizer import Optimizer
from ..options import Options
from ..states import EIGHT_BITS, State, View, default_view

if TYPE_CHECKING:
    from typing_extensions import Unpack

Style: TypeAlias = Literal["torch", "hf", "optax", "keras", "timm"]


class _Form(NamedTuple):
    """How a parameter is factored, and ε₁ where the group leaves it open."""

    style: Style
    factored: Literal["no", "matrix", "apart"]
    eps: float


# What the implementations take by default.
_DEFAULTS: Final[Mapping[Style, Mapping[str, Any]]] = {
    "torch": {"lr": 0.01, "d": 1.0, "momentum": 0.0, "relative_step": True, "scale_parameter": True},
    "hf": {"lr": 0.01, "d": 1.0, "momentum": 0.0, "relative_step": True, "scale_parameter": True},
    "optax": {"lr": 1.0, "d": 1.0, "momentum": 0.0, "relative_step": False, "scale_parameter": True},
    "keras": {"lr": 0.001, "d": 1.0, "momentum": 0.0, "relative_step": True, "scale_parameter": True},
    "timm": {"lr": 1.0, "d": 0.0, "momentum": 0.9, "relative_step": False, "scale_parameter": False},
}
_LEAST_SIZE: Final[Mapping[Style, int]] = {"torch": 1, "hf": 1, "optax": 128, "keras": 1, "timm": 16}
_CAPS: Final[Mapping[Style, float]] = {"torch": 1.0, "hf": 1.0, "optax": 1.0, "keras": 1.0, "timm": 0.999}


class Adafactor(Optimizer):
    """Adafactor: adaptive steps whose second moments are kept as one value for each row and column.

        a = max(t^τ, 1 − cap)
        r ← (1 − a)·r + a·(mean of g² along rows)        c likewise along columns
        V = r·c / mean(r)                                 for vectors V ← (1 − a)·V + a·g²
        u = g / √V
        u ← u / max(1, RMS(u) / d)
        p ← p − ρ·max(ε₂, RMS(p))·u                       ρ = min(η, 1/√t)

    Keeps rows + columns floats for a matrix, and one for each element of a vector. The implementations that
    carry the name differ; `variant` says whose steps these are, and arguments that are None are as there:

    - "torch": ε₁ bounds mean(r) and √V from below. Factors the last two dimensions. Decay: p ← p − ηλp.
    - "hf" (transformers, fairseq): ε₁ is added to g². Decay with the actual step size. η caps the relative
      step, 0.01 there; for a step of η itself pass `relative_step=False`.
    - "optax" (and t5x): ρ = η. Factors the two largest dimensions if both have 128. Decay: p ← p − λp.
    - "keras": as "hf", decay p ← p − ηλp first.
    - "timm" (Big Vision): ρ = η, no max(ε₂, RMS(p)), no d, momentum 0.9 of u. Factors the two largest
      dimensions if both have 16. Decay: p ← p − ηλp.

    Args:
        params: tensors, (name, tensor) pairs, a module, or dicts that define groups.
        lr: η, ≥ 0; None: 0.01 (torch, hf), 0.001 (keras), 1 (optax, timm).
        beta2_decay: τ, the power that the averages' memory grows by; −0.8 in the paper.
        eps: (ε₁, ε₂), each ≥ 0. ε₁ None: 1e-30; for torch the resolution of the parameter's dtype.
        d: the largest root mean square of an update, ≥ 0; 0 for none; None: 1 (timm 0).
        weight_decay: λ, ≥ 0.
        variant: whose implementation.
        momentum: decay of an average of the steps, in [0, 1); 0 keeps none; None: 0 (timm 0.9).
        relative_step: whether ρ is min(η, 1/√t) or η.
        scale_parameter: whether steps are in proportion to the parameter's root mean square.
        warmup_init: with relative steps also ρ ≤ 1e-6·t.
        min_dim_size_to_factor: smaller matrices are treated as vectors; None: 1 (optax 128, timm 16).
        beta2_cap: how far the averages' decay may grow, in [0, 1]; None: 1 (timm 0.999).
        decay_offset: by how many steps the growth of their memory is put off.
        **options: what every optimizer takes, see `neurenix.optim.Options`.

    Raises:
        ValueError, TypeError: for a value out of its range or parameters that cannot be optimized.

    Example:
        >>> import neurenix as nx
        >>> w = nx.ones((64, 32), requires_grad=True)
        >>> optimizer = nx.optim.Adafactor([w], lr=0.5, variant="hf")
        >>> (w * w).sum().backward()
        >>> optimizer.step()
        >>> w[0, 0].item(), optimizer.state[w]["row_var"].numel(), optimizer.state[w]["col_var"].numel()
        (0.5, 64, 32)

    Differs from torch: each parameter has ε₁ of its own dtype. From timm: the momentum is kept in float32.

    References:
        N. Shazeer, M. Stern, Adafactor: adaptive learning rates with sublinear memory cost, arXiv 1804.04235.
        X. Zhai et al., Scaling vision transformers, arXiv 2106.04560 (the variant of Big Vision).
    """

    limits: ClassVar = {
        "beta2_decay": ANY_NUMBER,
        "eps": Each(OrNone(NOT_NEGATIVE), 2),
        "d": NOT_NEGATIVE,
        "variant": Choice(tuple(_DEFAULTS)),
        "momentum": Number(0, 1),
        "relative_step": Flag(),
        "scale_parameter": Flag(),
        "warmup_init": Flag(),
        "min_dim_size_to_factor": Whole(1),
        "beta2_cap": Number(0, 1, high_included=True),
        "decay_offset": Whole(0),
    }

    def __init__(
        self,
        params: Params,
        lr: Scheduled | None = None,
        beta2_decay: Scheduled = -0.8,
        eps: tuple[float | None, float] = (None, 1e-3),
        d: Scheduled | None = None,
        weight_decay: Scheduled = 0,
        *,
        variant: Style = "torch",
        momentum: Scheduled | None = None,
        relative_step: bool | None = None,
        scale_parameter: bool | None = None,
        warmup_init: bool = False,
        min_dim_size_to_factor: int | None = None,
        beta2_cap: Scheduled | None = None,
        decay_offset: int = 0,
        **options: Unpack[Options],
    ) -> None:
        self.limits["variant"].check("Adafactor: variant", variant)
        own = {
            **_DEFAULTS[variant],
            "min_dim_size_to_factor": _LEAST_SIZE[variant],
            "beta2_cap": _CAPS[variant],
        }
        given = {
            "lr": lr,
            "beta2_decay": beta2_decay,
            "eps": eps,
            "d": d,
            "weight_decay": weight_decay,
            "variant": variant,
            "momentum": momentum,
            "relative_step": relative_step,
            "scale_parameter": scale_parameter,
            "warmup_init": warmup_init,
            "min_dim_size_to_factor": min_dim_size_to_factor,
            "beta2_cap": beta2_cap,
            "decay_offset": decay_offset,
        }
        defaults = {name: own.get(name) if value is None else value for name, value in given.items()}
        super().__init__(params, defaults, **options)

    def variant(self, param: Tensor, group: Group) -> _Form:
        """Whose rule it is, and how the parameter is factored."""
        style, axes = group["variant"], _factored_axes(param, group)
        dtype = param.dtype.name
        resolution = 2.0**-7 if dtype == "bfloat16" else float(np.finfo(dtype).eps)
        last = axes == (param.ndim - 2, param.ndim - 1)
        return _Form(
            style,
            "no" if axes is None else "matrix" if last else "apart",
            resolution if style == "torch" else 1e-30,
        )

    def view(self, param: Tensor, group: Group) -> View:
        """Matrices of the last two dimensions."""
        if param.ndim < 2:
            return default_view(param)
        rows, columns = param.shape[-2:]
        return param.numel() // (rows * columns), rows, columns

    def states_for(self, group: Group, variant: Any = None) -> Sequence[str | State]:
        """Averages of squares for rows and columns or for all elements, and the momentum if there is one."""
        moments: dict[str, tuple[str | State, ...]] = {
            "no": (State("variance", role="square"),),
            "matrix": (
                State("row_var", kind="row", role="square"),
                State("col_var", kind="column", role="square"),
            ),
            "apart": (
                State(
                    "row_var", "tensor", sized=lambda param, group: _without(param, group, 1), role="square"
                ),
                State(
                    "col_var", "tensor", sized=lambda param, group: _without(param, group, 0), role="square"
                ),
            ),
        }
        return (
            *moments[variant.factored],
            *((State("exp_avg", formats=EIGHT_BITS),) if group["momentum"] != 0 else ()),
        )

    def is_directed(self, variant: Any) -> bool:
        """Where other dimensions than the last two are factored."""
        return bool(variant.factored == "apart")

    def direction(self, batch: Batch) -> list[Tensor]:
        """The update before clipping where the factored dimensions are apart."""
        hyper, found = batch.hyper, []
        names = ("beta2_decay", "beta2_cap", "decay_offset")
        for param, g, state, t in zip(batch.params, batch.grads, batch.states, batch.steps, strict=True):
            axes = _factored_axes(param, hyper)
            assert axes is not None
            share = float(_share(t, *(hyper[name] for name in names)))
            square = g * g + (batch.variant.eps if hyper["eps"][0] is None else hyper["eps"][0])
            for name, axis in zip(("col_var", "row_var"), axes, strict=True):
                state[name] = (1 - share) * state[name] + share * _mean(square, axis)
            row, column = state["row_var"], state["col_var"]
            found.append(g * (row / _mean(row, axes[0]) * column).rsqrt())
        return found

    @staticmethod
    def formula(
        p: Value,
        g: Value,
        *states: Value,
        t: Value,
        variant: _Form,
        lr: Value,
        beta2_decay: Value,
        eps: tuple[Value, Value],
        d: Value,
        weight_decay: Value,
        momentum: Value,
        relative_step: bool,
        scale_parameter: bool,
        warmup_init: bool,
        beta2_cap: Value,
        decay_offset: Value,
    ) -> tuple[Value, ...]:
        """The rule above, with the weight decay of the variant."""
        style, share = variant.style, _share(t, beta2_decay, beta2_cap, decay_offset)
        if style == "keras":
            p = p * (1 - lr * weight_decay)
        rate = minimum(lr, 1e-6 * t) if warmup_init else lr
        rate = minimum(rate, 1 / sqrt(t)) if relative_step else rate
        if scale_parameter:
            rate = maximum(eps[1], sqrt(mean(p * p))) * rate
        decay = {"torch": lr, "hf": rate, "optax": 1, "keras": 0, "timm": lr}[style] * weight_decay

        least = variant.eps if eps[0] is None else eps[0]
        u, moments, rest = _update(g, states, variant, share, least)
        u = u / where(d > 0, maximum(1, sqrt(mean(u * u)) / where(d > 0, d, 1)), 1)
        before, after = (1, rate) if style == "timm" else (rate, 1)  # an average of updates, or of steps
        rest = [momentum * m + (1 - momentum) * (before * u) for m in rest]
        return (p * (1 - decay) - after * (rest[0] if rest else before * u), *moments, *rest)


def _update(
    g: Value, states: Sequence[Value], form: _Form, share: Value, least: Value
) -> tuple[Value, list[Value], list[Value]]:
    """The update before clipping, the new second moments, and the states that are none."""
    torch = form.style == "torch"
    square = g * g if torch else g * g + least
    if form.factored == "apart":
        return states[0], [], list(states[1:])
    if form.factored == "no":
        v = (1 - share) * states[0] + share * square
        moments = [v]
    else:
        row = (1 - share) * states[0] + share * mean(square, axis=-1)
        column = (1 - share) * states[1] + share * mean(square, axis=-2)
        whole = mean(row, axis=-2)
        v = row / (maximum(whole, least) if torch else whole) * column
        moments = [row, column]
    return g * rsqrt(maximum(v, least * least) if torch else v), moments, list(states[len(moments) :])


def _mean(x: Tensor, axis: int) -> Tensor:
    """The mean along an axis, also where the sum overflows."""
    return (x / x.shape[axis]).sum(axis, keepdim=True)


def _share(t: Value, power: Value, cap: Value, offset: Value) -> Value:
    """What the newest squares have of their averages."""
    return maximum(maximum(t - offset, 1) ** power, 1 - cap)


def _factored_axes(param: Tensor, group: Mapping[str, Any]) -> tuple[int, int] | None:
    """The dimensions that get a value each, in order; None for a parameter that is not factored."""
    sizes = list(param.shape)
    if len(sizes) < 2:
        return None
    axes = [len(sizes) - 2, len(sizes) - 1]
    if group["variant"] in ("optax", "timm"):
        axes = sorted(sorted(range(len(sizes)), key=lambda axis: (sizes[axis], axis))[-2:])
    if min(sizes[axis] for axis in axes) < group["min_dim_size_to_factor"]:
        return None
    return axes[0], axes[1]


def _without(param: Tensor, group: Mapping[str, Any], which: int) -> tuple[int, ...]:
    """The shape of a parameter whose first or second factored dimension is averaged away."""
    axes = _factored_axes(param, group)
    assert axes is not None
    return tuple(1 if axis == axes[which] else size for axis, size in enumerate(param.shape))
