"""Optimizers by name, with the learning rate and arguments that suit small models: what the command line takes."""

from __future__ import annotations

import difflib
import functools
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final

from neurenix._phynexus import Tensor

from . import algorithms
from .optimizer import Optimizer
from .param_groups import param_groups
from .rule import UpdateRule
from .wrapper import Wrapper

if TYPE_CHECKING:
    from neurenix.nn import Module

    from .groups import Params, Scheduled


@dataclass(frozen=True)
class Named:
    """An optimizer that is known by name; calling it builds the optimizer for a model.

    Attributes:
        name: lower case, such as "adamw"; "sam+lion" is SAM around Lion.
        kind: the class.
        lr: its usual learning rate, for small models.
        weight_decay: its usual weight decay.
        arguments: further arguments.
        around: what a wrapper wraps.
        schedule: what its learning rate usually does, a name of `neurenix.train.SCHEDULES`.
        factors: of the learning rate, for a first search.

    Example:
        >>> import neurenix as nx
        >>> lion = nx.optim.named("lion")
        >>> print(lion.line(lr=0.0003, weight_decay=0.1))
        optimizer = optim.Lion(optim.param_groups(model), lr=0.0003, weight_decay=0.1)
        >>> optimizer = lion(nx.nn.Linear(4, 2), lr=0.0003, weight_decay=0.1)
        >>> [group["weight_decay"] for group in optimizer.param_groups]
        [0.1, 0.0]
    """

    name: str
    kind: type[Optimizer]
    lr: float
    weight_decay: float
    arguments: Mapping[str, Any] = field(default_factory=dict)
    around: Named | None = None
    schedule: str = "cosine"
    factors: tuple[float, ...] = (0.1, 0.3, 1.0, 3.0, 10.0)

    def __call__(
        self,
        params: Params | Module,
        lr: Scheduled | None = None,
        weight_decay: float | None = None,
    ) -> Optimizer:
        """Builds the optimizer.

        Args:
            params: a module or (name, tensor) pairs, of which biases and normalizations get no weight decay; tensors,
                of which those with fewer than two dimensions get none; or groups, which are taken as they are.
            lr: a number or schedule; the usual one when None.
            weight_decay: ≥ 0; the usual one when None.

        Muon and its like get the hidden matrices, and step everything else as AdamW with the same learning rate.
        """
        optimizer = self._build(self._groups(params), lr, weight_decay)
        if self.averages and hasattr(params, "register_mode_hook"):
            optimizer.follow(params)  # type: ignore[arg-type]
        return optimizer

    @property
    def averages(self) -> bool:
        """Whether other weights are evaluated than trained, so that the optimizer has to follow its model."""
        own = self.kind.evaluation not in (UpdateRule.evaluation, Wrapper.evaluation)
        return own or (self.around is not None and self.around.averages)

    def line(self, lr: float | None = None, weight_decay: float | None = None) -> str:
        """The Python statement that builds it for `model`; `optim` is `neurenix.optim`."""
        follow = "; optimizer.follow(model)" if self.averages else ""
        return f"optimizer = {self._expression(lr, weight_decay)}{follow}"

    @property
    def _routed(self) -> bool:
        """Whether only some matrices are for the rule itself."""
        return "use_muon" in self.kind.limits

    def _groups(self, params: Any) -> Any:
        if self.around is not None:
            return self.around._groups(params)
        if self._routed and hasattr(params, "named_parameters"):
            return vars(algorithms)["muon_groups"](params, aux_lr=None)
        return _groups(params, self._routed)

    def _build(self, groups: Any, lr: Any, weight_decay: float | None) -> Optimizer:
        make: Callable[..., Optimizer] = self.kind
        rate, decay = self._values(lr, weight_decay)
        if self.around is not None:
            return make(self.around._build(groups, rate, decay), **self.arguments)
        return make(groups, lr=rate, weight_decay=decay, **self.arguments)

    def _expression(self, lr: float | None, weight_decay: float | None) -> str:
        rate, decay = self._values(lr, weight_decay)
        first = f"optim.{'muon_groups(model, aux_lr=None)' if self._routed else 'param_groups(model)'}"
        given = {"lr": float(f"{rate:.6g}"), "weight_decay": decay, **self.arguments}
        if self.around is not None:
            first, given = self.around._expression(rate, decay), dict(self.arguments)
        return f"optim.{self.kind.__name__}({', '.join([first, *(f'{k}={v!r}' for k, v in given.items())])})"

    def _values(self, lr: Any, weight_decay: float | None) -> tuple[Any, float]:
        return self.lr if lr is None else lr, self.weight_decay if weight_decay is None else weight_decay


def named(name: str) -> Named:
    """The optimizer of a name.

    Args:
        name: the class's in lower case, words apart as in "schedule_free_adamw"; or wrapper+optimizer, such as
            "lookahead+lion".

    Raises:
        ValueError: for names that mean nothing, and optimizers that need more than a closure; says why.
        TypeError: for what is no text.

    >>> from neurenix.optim import named
    >>> named("sgd").line()
    'optimizer = optim.SGD(optim.param_groups(model), lr=0.05, weight_decay=0.001, momentum=0.9)'
    >>> named("lookahead+sgd").around.kind.__name__
    'SGD'
    """
    if not isinstance(name, str):
        raise TypeError(f"an optimizer's name must be a text such as 'adamw', got {name!r}")
    first, plus, rest = name.strip().lower().replace("-", "_").partition("+")
    if first in REFUSED:
        raise ValueError(f"optimizer {first}: {REFUSED[first]}")
    known = names()
    if first not in known:
        close = difflib.get_close_matches(first, known, 3) or list(known)
        raise ValueError(f"there is no optimizer {first!r}; there are {', '.join(close)}")
    found = known[first]
    if not plus:
        return found
    if found.around is None:
        raise ValueError(f"{first} goes around no other optimizer; in {name!r} a wrapper has to come first")
    inner = named(rest)
    if inner.kind.step is not Optimizer.step:
        raise ValueError(f"{first} cannot go around {inner.name}, which has a step of its own")
    lr = USUAL.get(first, {}).get("lr", inner.lr)
    return replace(found, name=f"{first}+{inner.name}", lr=lr, weight_decay=inner.weight_decay, around=inner)


@functools.cache
def names() -> Mapping[str, Named]:
    """All optimizers by name, in the order of the names.

    A weight decay that the learning rate multiplies is 0.0003 / lr, at most 0.1; in the gradient it is 0.001.

    >>> from neurenix.optim.names import names
    >>> names()["lion"].kind.__name__
    'Lion'
    """
    found: dict[str, Named] = {}
    wrappers: dict[str, type[Optimizer]] = {}
    for public in sorted(algorithms.__all__, key=str.lower):
        kind: Any = vars(algorithms)[public]
        if not hasattr(kind, "decay_mode"):  # a function
            continue
        name, usual = _snake(kind), USUAL.get(_snake(kind), {})
        if name in REFUSED:
            continue
        arguments = inspect.signature(kind).parameters
        if "optimizer" in arguments:
            wrappers[name] = kind
            continue
        lr = usual.get("lr") or arguments["lr"].default or 1e-3
        decay = 1e-3 if kind.decay_mode == "l2" else float(f"{min(0.1, 3e-4 / lr):.3g}")
        found[name] = Named(name, kind, **{"lr": lr, "weight_decay": decay, **usual})
    for name, kind in wrappers.items():
        usual = USUAL.get(name, {})
        inner = found[usual.get("around", "adamw")]
        if name == "schedule_free":  # which has momentum of its own
            inner = replace(inner, arguments={"betas": (0.0, 0.999)})
        own = {"lr": inner.lr, "weight_decay": inner.weight_decay, **usual, "around": inner}
        found[name] = Named(name, kind, **own)
    return dict(sorted(found.items()))


# What cannot be built from a name and stepped with a closure, and why.
REFUSED: Final = {
    "sophia": "needs update_hessian() every few steps; write the loop yourself, see help(neurenix.optim.Sophia)",
    "sparse_adam": "takes sparse gradients only, as those of nn.Embedding(sparse=True)",
}
_ONE: Final[dict[str, Any]] = {"lr": 1.0, "weight_decay": 0.01, "factors": (0.1, 0.3, 1.0, 3.0)}
_SHAMPOO: Final = {"grafting": "adam", "betas": (0.9, 0.99), "precondition_frequency": 10}
# What differs from the class's own defaults; see `names` for the weight decay.
USUAL: Final[dict[str, dict[str, Any]]] = {
    "adabelief": {"lr": 0.01},
    "adadelta": {"lr": 3.0},
    "adafactor": {"lr": 0.01},
    "adagrad": {"lr": 0.1},
    "adam": {"lr": 0.003},
    "adam_atan2": {"lr": 0.003},
    "adam_mini": {"lr": 0.003},
    "adamax": {"lr": 0.01},
    "adamc": {"lr": 0.003},
    "adamp": {"lr": 0.003},
    "adamw": {"lr": 0.003},
    "adamuon": {"lr": 0.01},
    "adan": {"lr": 0.01},
    "ademamix": {"lr": 0.003},
    "adopt": {"lr": 0.003},
    "aggmo": {"lr": 0.03},
    "apollo": {"lr": 0.003},
    "apollo_mini": {"lr": 0.003},
    "asgd": {"lr": 0.3},
    "came": {"lr": 0.001},
    "ftrl": {"lr": 0.1, "schedule": "constant"},  # its weights are multiples of lr
    "galore": {"lr": 0.03},
    "lamb": {"lr": 0.01},
    "laprop": {"lr": 0.003},
    "lars": {"lr": 3.0},
    "lion": {"lr": 0.001},
    "madgrad": {"lr": 0.01},
    "mars": {"lr": 0.01},
    "muon": {"lr": 0.003, "arguments": {"adjust_lr_fn": "match_rms_adamw"}},
    "nadam": {"lr": 0.003},
    "nadamw": {"lr": 0.003},
    "novograd": {"lr": 0.01},
    "psgd_kron": {"lr": 0.003},
    "qhadam": {"lr": 0.003},
    "radam": {"lr": 0.01},
    "radamw": {"lr": 0.01},
    "rmsprop": {"lr": 0.003},
    "scion": {"lr": 0.01, "arguments": {"scale": 10.0}},
    "shampoo": {"lr": 0.003, "arguments": _SHAMPOO},
    "signum": {"lr": 0.001},
    "sm3": {"lr": 0.3},
    "soap": {"lr": 0.01},
    "stable_adamw": {"lr": 0.003},
    "yogi": {"lr": 0.01},
    "sgd": {"lr": 0.05, "arguments": {"momentum": 0.9}},
    "sgdp": {"lr": 0.05, "arguments": {"momentum": 0.9}},
    "dadapt_adam": _ONE,
    "dadapt_lion": _ONE,
    "dadapt_sgd": _ONE,
    "dog": _ONE,
    "dowg": _ONE,
    "prodigy": _ONE,
    "lbfgs": {
        "lr": 1.0,
        "arguments": {"line_search_fn": "strong_wolfe", "max_iter": 4, "history_size": 10},
        "schedule": "constant",
        "factors": (0.1, 0.3, 1.0),
    },
    "schedule_free_adamw": {"lr": 0.01, "schedule": "constant"},
    "schedule_free_radam": {"lr": 0.03, "schedule": "constant"},
    "schedule_free_sgd": {"schedule": "constant"},
    # wrappers; around AdamW where nothing is said
    "mechanic": {"lr": 1.0, "factors": (0.3, 1.0, 3.0)},
    "sam": {"around": "sgd"},
    "schedule_free": {"schedule": "constant"},
}


def _groups(params: Any, routed: bool) -> Any:
    """Groups of which biases and normalizations have no weight decay."""
    if hasattr(params, "named_parameters"):
        return param_groups(params)
    items: list[Any] = [params] if isinstance(params, Tensor) else list(params)
    if not items or isinstance(items[0], Mapping):
        return items
    if isinstance(items[0], tuple) and not routed:
        return param_groups(items)
    parts: tuple[dict[str, Any], ...] = ({"params": []}, {"params": [], "weight_decay": 0.0})
    for item in items:
        param = item[1] if isinstance(item, tuple) else item
        parts[param.ndim <= 1]["params"].append(item)
    if routed:
        parts[1]["use_muon"] = False
    return [part for part in parts if part["params"]]


def _snake(kind: type[Optimizer]) -> str:
    """The name of a class: that of its file, where it is the file's first."""
    file, name = kind.__module__.rpartition(".")[2], kind.__name__.lower()
    return file if file.replace("_", "") == name else {"momoadam": "momo_adam"}.get(name, name)
