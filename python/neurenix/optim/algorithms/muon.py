"""Muon."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Final

from neurenix._phynexus import Tensor
from neurenix.nn.embedding import Embedding

from ..binding import Batch
from ..formula import Value, debias
from ..groups import Group, Params, Scheduled, describe
from ..limits import FRACTION, NOT_NEGATIVE, Choice, Each, Flag, Number
from ..optimizer import Optimizer
from ..options import Options
from ..param_groups import check_patterns, matches, owning_classes
from ..states import State, View
from ._moments import MOMENTS, moments, spread
from ._orthogonal import SCALES, matrices, orthogonalized, scale

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from neurenix.nn import Module

ORIGINAL: Final = (3.4445, -4.7750, 2.0315)
_SETS: Final = ("original", "quintic", "polar_express")


class Coefficients:
    """The name of a set of coefficients, three numbers, or a list of three numbers for each step."""

    def check(self, name: str, value: Any) -> Any:
        """The value; lists become tuples."""
        if isinstance(value, str):
            return Choice(_SETS).check(name, value)
        steps = (
            value
            if isinstance(value, (tuple, list)) and value and isinstance(value[0], (tuple, list))
            else [value]
        )
        found = tuple(Each(Number(), 3).check(name, step) for step in steps)
        return found if steps is value else found[0]


class Muon(Optimizer):
    """Steps of equal length in all directions of a matrix: the strongest choice for hidden layers.

        b ← b + (1 − μ)·(g − b)
        u ← g + μ·(b − g)          (b without Nesterov's momentum)
        O ← the nearest orthogonal matrix to u, by Newton–Schulz steps
        p ← (1 − η·λ)·p − η·s·O    (s depends on the shape, see `adjust_lr_fn`)

    It is meant for the matrices inside of a network. Vectors, embeddings and the last layer are stepped by AdamW in the
    same optimizer: groups with `use_muon=False`, which `muon_groups(model)` makes. Convolutions are flattened to
    (out, rest); matrices of the same shape go through one batched product.

    Keeps one float for each parameter (two with AdamW).

    Args:
        params: tensors, (name, tensor) pairs, a module, or dicts that define groups.
        lr: η, step size, ≥ 0.
        weight_decay: λ, ≥ 0, with the learning rate that is not scaled by s.
        momentum: μ, in [0, 1).
        nesterov: look ahead along the momentum.
        ns_coefficients: of the Newton–Schulz polynomial: three numbers, a tuple of three for each step, or "original",
            "quintic", "polar_express".
        eps: ε, ≥ 0, beside the norm that the matrix is divided by first.
        ns_steps: how many Newton–Schulz steps, ≥ 1.
        adjust_lr_fn: s for a matrix of m rows (outputs) and n columns: "original" (or None) √max(1, m/n);
            "match_rms_adamw" 0.2·√max(m, n), which takes AdamW's learning rates; "spectral_unclamped" √(m/n); "none" 1.
        use_muon: whether a group is stepped this way, or by AdamW.
        heads: how many matrices of equal size are stacked in the rows of each weight, ≥ 1.
        batched: whether the first of three and more dimensions counts matrices.
        aux_betas, aux_eps: betas and eps of AdamW for groups with `use_muon=False`, which have an lr of their own.
        **options: see `neurenix.optim.Options`.

    Raises:
        ValueError, TypeError: for a value out of its range, or a vector in a group with `use_muon=True`.

    Example:
        >>> import neurenix as nx
        >>> model = nx.nn.Sequential(
        ...     nx.nn.Linear(8, 16), nx.nn.ReLU(), nx.nn.Linear(16, 16), nx.nn.Linear(16, 4)
        ... )
        >>> optimizer = nx.optim.Muon(nx.optim.muon_groups(model), lr=0.02)
        >>> [(group["use_muon"], len(group["params"])) for group in optimizer.param_groups]
        [(True, 2), (False, 4)]

    References:
        K. Jordan et al., Muon: an optimizer for hidden layers in neural networks, 2024; J. Liu et al., Muon is scalable
        for LLM training, arXiv 2502.16982; N. Amsel et al., The Polar Express, arXiv 2505.16932.
    """

    decay_mode: ClassVar = "decoupled"
    limits: ClassVar = {
        "momentum": FRACTION,
        "nesterov": Flag(),
        "ns_coefficients": Coefficients(),
        "ns_steps": Number(1),
        "adjust_lr_fn": SCALES,
        "use_muon": Flag(),
        "heads": Number(1),
        "batched": Flag(),
        "aux_betas": Each(FRACTION, 2),
        "aux_eps": NOT_NEGATIVE,
    }

    def __init__(
        self,
        params: Params,
        lr: Scheduled = 1e-3,
        weight_decay: Scheduled = 0.1,
        momentum: Scheduled = 0.95,
        nesterov: bool = True,
        ns_coefficients: Any = ORIGINAL,
        eps: Scheduled = 1e-7,
        ns_steps: int = 5,
        adjust_lr_fn: str | None = None,
        *,
        use_muon: bool = True,
        heads: int = 1,
        batched: bool = False,
        aux_betas: tuple[Scheduled, Scheduled] = (0.9, 0.95),
        aux_eps: Scheduled = 1e-10,
        **options: Unpack[Options],
    ) -> None:
        defaults = {
            "lr": lr,
            "weight_decay": weight_decay,
            "momentum": momentum,
            "nesterov": nesterov,
            "ns_coefficients": ns_coefficients,
            "eps": eps,
            "ns_steps": ns_steps,
            "adjust_lr_fn": adjust_lr_fn,
            "use_muon": use_muon,
            "heads": heads,
            "batched": batched,
            "aux_betas": aux_betas,
            "aux_eps": aux_eps,
        }
        super().__init__(params, {**defaults, **self.own_defaults()}, **options)

    def own_defaults(self) -> dict[str, Any]:
        """What a rule that is made of this one has besides."""
        return {}

    def normalize(self, label: str, group: Group) -> None:
        """Also that what is to be orthogonalised is a matrix."""
        super().normalize(label, group)
        for position, param in enumerate(group.get("params", ())):
            if group["use_muon"] and param.ndim < 2:
                raise ValueError(
                    f"{label}: {describe(group, position)} has shape {tuple(param.shape)}, but Muon steps matrices; "
                    "put it into a group with use_muon=False, as neurenix.optim.muon_groups(model) does"
                )

    def variant(self, param: Tensor, group: Group) -> str:
        """Which rule a parameter gets."""
        return "matrix" if group["use_muon"] else "rest"

    def is_directed(self, variant: Any) -> bool:
        """Matrices are orthogonalised."""
        return bool(variant == "matrix")

    def states_for(self, group: Group, variant: Any = None) -> Sequence[str | State]:
        """The momentum, or AdamW's averages."""
        return ("momentum_buffer",) if variant == "matrix" else MOMENTS

    def view(self, param: Tensor, group: Group) -> View:
        """One matrix or many."""
        return matrices(param, group) if group["use_muon"] else super().view(param, group)

    def measured(self, momentum: Tensor) -> Tensor:
        """What of a momentum is orthogonalised."""
        return momentum

    def direction(self, batch: Batch) -> list[Tensor]:
        """The nearest orthogonal matrix to the momentum."""
        hyper = batch.hyper
        ahead = []
        for g, state in zip(batch.grads, batch.states, strict=True):
            b = state["momentum_buffer"].lerp(g, 1 - hyper["momentum"])
            ahead.append(self.measured(g.lerp(b, hyper["momentum"]) if hyper["nesterov"] else b))
        views = [matrices(param, hyper) for param in batch.params]
        return orthogonalized(ahead, views, hyper["ns_coefficients"], int(hyper["ns_steps"]), hyper["eps"])

    @staticmethod
    def formula(
        p: Value,
        g: Value,
        *rest: Value,
        t: Value,
        lr: Value,
        momentum: Value,
        adjust_lr_fn: str | None,
        aux_betas: Value,
        aux_eps: Value,
        variant: str,
    ) -> tuple[Value, ...]:
        """The rule above, without weight decay; AdamW for what is no matrix."""
        if variant == "matrix":
            o, b = rest
            return p - lr * scale(g, adjust_lr_fn) * o, b + (1 - momentum) * (g - b)
        return auxiliary(p, g, rest[0], rest[1], t, lr, aux_betas, aux_eps)


def auxiliary(
    p: Value, g: Value, m: Value, v: Value, t: Value, lr: Value, betas: Value, eps: Value
) -> tuple[Value, Value, Value]:
    """AdamW's step of what is no matrix."""
    m, v = moments(g, m, v, betas)
    return p - lr / debias(betas[0], t) * m / (spread(v, betas[1], t) + eps), m, v


def muon_groups(
    model: Module,
    *,
    lr: Any = None,
    aux_lr: Any = 3e-4,
    exclude: Sequence[str] = (),
    include: Sequence[str] = (),
    head: bool = False,
    no_decay: Sequence[str] = (),
    **groups: Any,
) -> list[dict[str, Any]]:
    """The parameters of a model in two groups: the matrices of hidden layers for Muon, everything else for its AdamW.

    A matrix has at least two dimensions of at least 4 (a convolution flattened to (out, rest)) and is at most 128
    times as long as it is wide. Embeddings and the last layer are not hidden.

    Args:
        model: the module.
        lr: learning rate of the matrices; by default the optimizer's.
        aux_lr: learning rate of everything else; None takes the optimizer's.
        exclude: patterns of parameters that AdamW is to step whatever they are, as of `param_groups`.
        include: patterns of parameters that Muon is to step whatever they are.
        head: whether the last layer counts as hidden.
        no_decay: patterns of parameters with a weight decay of 0, as of `param_groups`: ("bias", "norm") is usual.
        **groups: further hyperparameters of both groups.

    Returns:
        Groups for `Muon(groups, ...)`, those of them that are not empty: matrices, everything else, and after each what
        of it does not decay.

    Example:
        >>> import neurenix as nx
        >>> model = nx.nn.Sequential(nx.nn.Embedding(9, 8), nx.nn.Linear(8, 8), nx.nn.Linear(8, 5))
        >>> matrices, rest = nx.optim.muon_groups(model)
        >>> [name for name, _ in matrices["params"]]
        ['1.weight']
        >>> groups = nx.optim.muon_groups(model, no_decay=("bias", "norm"))
        >>> [(len(group["params"]), group.get("weight_decay")) for group in groups]
        [(1, None), (2, None), (2, 0.0)]
    """
    for what, patterns in (("no_decay", no_decay), ("exclude", exclude), ("include", include)):
        check_patterns(f"muon_groups: {what}", patterns)
    named, owners = list(model.named_parameters()), owning_classes(model)
    embeddings = {id(p) for m in model.modules() if isinstance(m, Embedding) for p in m.parameters()}
    wide = [id(param) for _, param in named if param.ndim > 1 and id(param) not in embeddings]
    outside = embeddings | (set() if head else set(wide[-1:]))

    def is_hidden(name: str, param: Tensor) -> bool:
        if any(matches(pattern, name, owners) for pattern in include):
            return True
        if (
            id(param) in outside
            or param.ndim < 2
            or any(matches(pattern, name, owners) for pattern in exclude)
        ):
            return False
        rows, columns = param.shape[0], param.numel() // max(param.shape[0], 1)
        return min(rows, columns) >= 4 and max(rows, columns) <= 128 * min(rows, columns)

    rates = {True: lr, False: aux_lr}
    own: dict[tuple[bool, bool], dict[str, Any]] = {}
    for muon, decays in itertools.product((True, False), repeat=2):
        group = own[muon, decays] = {"params": [], "use_muon": muon, **groups}
        group |= {} if rates[muon] is None else {"lr": rates[muon]}
        group |= {} if decays else {"weight_decay": 0.0}
    for name, param in named:
        decays = not any(matches(pattern, name, owners) for pattern in no_decay)
        own[is_hidden(name, param), decays]["params"].append((name, param))
    return [group for group in own.values() if group["params"]]
