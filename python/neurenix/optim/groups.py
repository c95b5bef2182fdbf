"""Parameter groups: every form in which parameters can be given becomes a list of dicts."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from neurenix._phynexus import Tensor

if TYPE_CHECKING:
    from neurenix.nn import Module

Group: TypeAlias = dict[str, Any]
Params: TypeAlias = "Iterable[Tensor | tuple[str, Tensor] | Mapping[str, Any]] | Module"
Scheduled: TypeAlias = float | Callable[[Any], float]
"""A hyperparameter: a number, or a schedule of the step."""

# Keys of a group that are no hyperparameters. Those of schedulers are saved with the rate that they write.
SCHEDULED: Final = ("max_lr", "min_lr", "swa_lr", "base_momentum", "max_momentum")
RESERVED: Final = ("params", "param_names", "name", *SCHEDULED)


def split(params: Any) -> list[dict[str, Any]]:
    """The groups that the first argument of an optimizer describes, not yet completed."""
    if isinstance(params, Mapping):
        raise TypeError('params: one dict is one group; write [{"params": ..., "lr": ...}]')
    items = _items("params", params)
    if not items:
        raise ValueError("params is empty; a generator such as model.parameters() can be read only once")
    dicts = [isinstance(item, dict) for item in items]
    if all(dicts):
        return items
    if any(dicts):
        raise TypeError("params mixes dicts (groups) with tensors; put the tensors into a group of their own")
    return [{"params": items}]


def nearest(name: str, known: Iterable[str]) -> str:
    """A question after a name that is not known, where one that is resembles it."""
    close = difflib.get_close_matches(name, list(known), 1)
    return f"; did you mean {close[0]!r}?" if close else ""


def is_scheduled(key: object, defaults: Iterable[str]) -> bool:
    """Whether a key of a group belongs to a scheduler; `initial_lr` is the lr that it began with."""
    if not isinstance(key, str):
        return False
    return key in SCHEDULED or (key.startswith("initial_") and key.removeprefix("initial_") in defaults)


def complete(label: str, given: Mapping[str, Any], defaults: Mapping[str, Any]) -> Group:
    """A whole group: parameters checked, hyperparameters from the group, else from the defaults."""
    if "params" not in given:
        raise ValueError(f'{label} has no "params"; its keys are: {", ".join(map(repr, given))}')
    for key in given:
        if key not in defaults and key not in RESERVED and not is_scheduled(key, defaults):
            hint = nearest(str(key), defaults)
            raise ValueError(f"{label}: unknown key {key!r}; known are params, {', '.join(defaults)}{hint}")
    items = _items(f"{label}: params", given["params"])
    if not items:
        raise ValueError(
            f"{label} has no parameters; a generator such as model.parameters() can be read only once"
        )
    group: Group = dict(
        zip(("params", "param_names"), _names(label, items, given.get("param_names")), strict=False)
    )
    for position, param in enumerate(group["params"]):
        check_parameter(f"{label}: {describe(group, position)}", param)
    for name, default in defaults.items():
        group[name] = given.get(name, default)
    rest = {key: value for key, value in given.items() if key not in group and key != "param_names"}
    return {**group, **rest}


def describe(group: Group, position: int) -> str:
    """How errors name a parameter of a group."""
    return (
        f"parameter {group['param_names'][position]!r}" if "param_names" in group else f"parameter {position}"
    )


def _items(name: str, params: Any) -> list[Any]:
    if isinstance(params, Tensor):
        if name == "params":
            raise TypeError("params must be an iterable of tensors, got one tensor; write [tensor]")
        return [params]
    if hasattr(params, "named_parameters"):
        return list(params.named_parameters())
    if isinstance(params, (set, frozenset)):
        raise TypeError(
            f"{name}: a set has no order, so saved state could not find its way back; give a list"
        )
    if isinstance(params, (str, bytes)) or not isinstance(params, Iterable):
        raise TypeError(f"{name} must be an iterable of tensors, got {params!r} ({type(params).__name__})")
    return list(params)


def _names(label: str, items: list[Any], names: Any) -> tuple[list[Any]] | tuple[list[Any], list[str]]:
    """Tensors and, if they have any, their names."""
    pairs = [isinstance(item, tuple) and len(item) == 2 and isinstance(item[0], str) for item in items]
    if any(pairs) and not all(pairs):
        raise TypeError(f"{label} mixes (name, tensor) pairs with unnamed tensors; name all of them or none")
    if all(pairs):
        names, items = [name for name, _ in items], [tensor for _, tensor in items]
    if names is None:
        return (items,)
    names = list(names)
    if len(names) != len(items):
        raise ValueError(f"{label} has {len(items)} parameters, but {len(names)} names")
    return items, names


def check_parameter(label: str, param: Any) -> None:
    """That a tensor can be optimized."""
    if not isinstance(param, Tensor):
        raise TypeError(f"{label} must be a tensor, got {param!r} ({type(param).__name__})")
    if not param.is_leaf:
        raise ValueError(
            f"{label} is the result of an operation, not a leaf; pass the tensor it was made of, or detach it"
        )
    if not param.is_floating_point():
        raise TypeError(f"{label} has dtype {param.dtype.name}; only floating point tensors can be optimized")
    if param.numel() == 0:
        raise ValueError(f"{label} is empty, its shape is {tuple(param.shape)}; leave it out")


def check_unique(groups: list[Group], name_of: Callable[[Group, int], str]) -> None:
    """That no tensor and no name occurs twice."""
    tensors: dict[int, str] = {}
    names: set[str] = set()
    for group in groups:
        for position, param in enumerate(group["params"]):
            here = name_of(group, position)
            if id(param) in tensors:
                raise ValueError(f"{here} is the same tensor as {tensors[id(param)]}; give every tensor once")
            tensors[id(param)] = here
        for name in group.get("param_names", ()):
            if name in names:
                raise ValueError(f"the name {name!r} is given to two parameters; names must be unique")
            names.add(name)
