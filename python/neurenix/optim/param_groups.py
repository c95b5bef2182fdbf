"""Groups for a whole model: which parameters decay, and how fast each layer learns."""

from __future__ import annotations

import difflib
import fnmatch
import functools
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from neurenix._phynexus import Tensor

from .groups import Scheduled
from .limits import NOT_NEGATIVE
from .schedule import chain
from .schedule.arguments import Between, Each

if TYPE_CHECKING:
    from neurenix.nn import Module


def param_groups(
    model: Module | Iterable[tuple[str, Tensor]],
    *,
    lr: Scheduled | None = None,
    weight_decay: Scheduled | None = None,
    no_decay: Sequence[str] = ("bias", "norm"),
    layer_decay: float = 1.0,
    lr_mult: Mapping[str, float] | None = None,
    layer: Callable[[str], Any] | None = None,
) -> list[dict[str, Any]]:
    """Groups of a model's parameters for an optimizer, one for each pair of learning rate and decay.

    A pattern matches a parameter if it is a component of the parameter's name or several in a row ("bias", "head",
    "blocks.3"), or the kind of the module that the parameter belongs to: its class, or the last words of that, without
    "1d". "norm" matches all of a `LayerNorm` and a `BatchNorm1d`, but not `abnormality.0.weight`.
    Case does not matter. Of (name, tensor) pairs the module's name stands for its kind: "norm" matches
    `layer_norm.weight` and `norm1.weight`. With `*`, `?` or `[` a pattern has to match the whole name: "blocks.*.bias".

    Args:
        model: a module, or (name, tensor) pairs. Parameters that need no gradient are left out.
        lr: the learning rate that the factors multiply: ≥ 0, or a schedule. Without it groups have the optimizer's, and
            there can be no factors.
        weight_decay: of parameters that decay: ≥ 0, or a schedule; None is the optimizer's.
        no_decay: patterns of parameters with a weight decay of 0.
        layer_decay: factor of the learning rate for each layer that is further from the end, in (0, 1].
        lr_mult: factors ≥ 0 of the learning rate by pattern; those of all patterns that match a parameter multiply.
        layer: the layer of a parameter's name, any value that all of a layer share; layers are in the order of their
            first parameters. By default it is the name up to its first number, else its first part: "blocks.3",
            "head".

    Returns:
        dicts with "params", "param_names", "name" (what is special about the group), and "lr" and "weight_decay" where
        they are known.

    Raises:
        ValueError: for values out of their range, factors without `lr`, a pattern of `lr_mult` that matches nothing.
        TypeError: for values of a wrong kind.

    >>> import neurenix as nx
    >>> from neurenix import nn, optim
    >>> model = nn.Sequential(nn.Linear(4, 8), nn.LayerNorm(8), nn.Linear(8, 2))
    >>> groups = optim.param_groups(model, lr=1e-3, weight_decay=0.1, lr_mult={"2.": 10.0})
    >>> for group in groups:
    ...     print(group["name"], group["param_names"], group["lr"], group["weight_decay"])
    all others ['0.weight'] 0.001 0.1
    no decay ['0.bias', '1.weight', '1.bias'] 0.001 0.0
    lr x 10 ['2.weight'] 0.01 0.1
    lr x 10, no decay ['2.bias'] 0.01 0.0
    >>> optimizer = optim.AdamW(groups)
    """
    label = "param_groups"
    for name, value in {"lr": lr, "weight_decay": weight_decay}.items():
        if value is not None:
            NOT_NEGATIVE.check(f"{label}: {name}", value)
    check_patterns(f"{label}: no_decay", no_decay)
    if not Between(0, 1).check(f"{label}: layer_decay", layer_decay) > 0:
        raise ValueError(f"{label}: layer_decay must be above 0, got {layer_decay!r}")
    factors = {
        _Text().check(f"{label}: a pattern of lr_mult", pattern): Between(0).check(
            f"{label}: lr_mult[{pattern!r}]", factor
        )
        for pattern, factor in (lr_mult or {}).items()
    }
    if lr is None and (factors or layer_decay != 1):
        raise ValueError(f"{label}: layer_decay and lr_mult need lr=, the learning rate that they multiply")
    named, owners = _named(model)
    _check_known(factors, named, owners)
    depths = _depths([name for name, _ in named], layer or _layer)
    groups: dict[tuple[float, bool], dict[str, Any]] = {}
    for name, param in named:
        factor = layer_decay ** depths[name]
        for pattern, own in factors.items():
            factor *= own if matches(pattern, name, owners) else 1
        decays = not any(matches(pattern, name, owners) for pattern in no_decay)
        group = groups.setdefault((factor, decays), {"params": [], "param_names": []})
        group["params"].append(param)
        group["param_names"].append(name)
    for (factor, decays), group in groups.items():
        special = [f"lr x {factor:g}"] * (factor != 1) + ["no decay"] * (not decays)
        group["name"] = ", ".join(special) or "all others"
        if lr is not None:
            group["lr"] = lr if factor == 1 else chain(factor, lr) if callable(lr) else lr * factor
        if weight_decay is not None or not decays:
            group["weight_decay"] = weight_decay if decays else 0.0
    return list(groups.values())


class _Text:
    def check(self, label: str, value: Any) -> str:
        if not isinstance(value, str) or not value:
            raise TypeError(f"{label} must be a text that is not empty, got {value!r}")
        return value


def _named(model: Any) -> tuple[list[tuple[str, Tensor]], dict[str, str]]:
    """Parameters by name, and for each name the class of the module that has it."""
    pairs = list(model.named_parameters() if hasattr(model, "named_parameters") else model)
    for pair in pairs:
        if not (isinstance(pair, tuple) and len(pair) == 2 and isinstance(pair[0], str)):
            raise TypeError(f"param_groups: give a module, or (name, tensor) pairs, got {pair!r}")
    owners = owning_classes(model) if hasattr(model, "named_modules") else _owning_names(pairs)
    return [(name, param) for name, param in pairs if param.requires_grad], owners


def check_patterns(label: str, patterns: Any) -> None:
    """That patterns are a list of texts."""
    Each(_Text()).check(label, patterns)


def owning_classes(model: Any) -> dict[str, str]:
    """For each parameter's name the class of the module that has it."""
    classes = {path: type(module).__name__ for path, module in model.named_modules()}
    return {name: classes[name.rpartition(".")[0]] for name, _ in model.named_parameters()}


def _owning_names(pairs: list[tuple[str, Tensor]]) -> dict[str, str]:
    """For each parameter's name that of the module that has it, in place of its class."""
    return {name: name.rpartition(".")[0].rpartition(".")[2] for name, _ in pairs}


def matches(pattern: str, name: str, owners: Mapping[str, str]) -> bool:
    """Whether a pattern matches a parameter."""
    if any(sign in pattern for sign in "*?["):
        return fnmatch.fnmatchcase(name, pattern)
    wanted = pattern.lower().strip(".")
    return f".{wanted}." in f".{name.lower()}." or wanted in _kinds(owners.get(name, ""))


@functools.lru_cache(maxsize=1024)
def _kinds(owner: str) -> frozenset[str]:
    """What a module of this class (or name) is: the whole and the last words of it, with and without numbers.

    >>> sorted(_kinds("BatchNorm1d"))
    ['batchnorm', 'batchnorm1d', 'norm', 'norm1d']
    """
    starts = [0, *(word.start() for word in _WORD.finditer(owner))]
    kinds = {owner[start:].lower() for start in starts}
    return frozenset(kinds | {_NUMBERS.sub("", kind) for kind in kinds}) - {""}


#: Where a word begins inside of a name: layer_norm, LayerNorm, RMSNorm.
_WORD: Final = re.compile(r"(?<=_)[^_]|(?<=[a-z0-9])[A-Z]|(?<=[A-Z])[A-Z](?=[a-z])")
_NUMBERS: Final = re.compile(r"_?\d+d?$")


def _check_known(patterns: Iterable[str], named: list[tuple[str, Tensor]], owners: Mapping[str, str]) -> None:
    names = [name for name, _ in named]
    for pattern in patterns:
        if not any(matches(pattern, name, owners) for name in names):
            close = difflib.get_close_matches(pattern, names, 3, 0.3) or names[:3]
            raise ValueError(
                f"param_groups: lr_mult[{pattern!r}] matches no parameter; there are {', '.join(map(repr, close))} …"
            )


def _depths(names: list[str], layer: Callable[[str], Any]) -> dict[str, int]:
    """How many layers come after that of each parameter."""
    layers = {name: layer(name) for name in names}
    order = list(dict.fromkeys(layers.values()))
    return {name: len(order) - 1 - order.index(own) for name, own in layers.items()}


def _layer(name: str) -> str:
    parts = name.split(".")
    numbers = [place for place, part in enumerate(parts) if part.isdecimal()]
    return ".".join(parts[: numbers[0] + 1]) if numbers else parts[0]
