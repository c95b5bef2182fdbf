"""Saved state of optimizers: by parameter name, checked as a whole before anything changes."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Set
from numbers import Real
from typing import TYPE_CHECKING, Any, TypeAlias

from neurenix._phynexus import Tensor

from .binding import compute_type
from .groups import Group, is_scheduled
from .options import COUNT, HYPER, SUM
from .packing import is_packed, misfit, scale_key
from .parameter_state import OptimizerState
from .plan import COUNTS, Plan
from .schedule import Schedule, from_dict
from .schedule.multiplier import Multiplier, matching
from .states import State

if TYPE_CHECKING:
    from .optimizer import Optimizer

Key: TypeAlias = str | int


def save(optimizer: Optimizer) -> dict[str, Any]:
    """`{"state": {key: {"step": int, name: tensor or float}}, "param_groups": [{..., "step": int, "params": [key]}]}`.

    Schedules are saved as dicts; a hyperparameter with another callable is left out, and kept when loading.
    """
    state = optimizer.state
    if optimizer.formula is not None and state:
        optimizer._prepare()  # what was deleted, or is needed by other hyperparameters, begins now
    keys = _keys(optimizer._parameter_groups)
    optimizer._replan()
    groups = []
    for group, own, plan in zip(optimizer._parameter_groups, keys, optimizer._plans, strict=True):
        saved = {name: _pack(group[name]) for name in optimizer.defaults if _is_data(group[name])}
        kept = {key: value for key, value in group.items() if is_scheduled(key, optimizer.defaults)}
        unused = _unused(optimizer, group)
        groups.append(
            {**saved, **kept, **plan.saved(), **({"unused": unused} if unused else {}), "params": own}
        )
    params = [param for group in optimizer._parameter_groups for param in group["params"]]
    flat = [key for own in keys for key in own]
    entries = {key: dict(state[param]) for key, param in zip(flat, params, strict=True) if param in state}
    return {"state": {key: entry for key, entry in entries.items() if entry}, "param_groups": groups}


def load(optimizer: Optimizer, saved: Mapping[str, Any], keep: bool = False) -> None:
    """Takes over what `save` returned; ValueError with every mismatch, before anything has changed.

    With `keep` the hyperparameters stay. Otherwise those that are functions of the step stay, and get the states of
    the saved ones.
    """
    problems: list[str] = []
    states: list[tuple[Multiplier, Multiplier]] = []
    matched = _match(optimizer, saved, problems)
    restore = snapshot(optimizer)
    sums, waits = optimizer._sums, any(theirs.get("pending") for _, _, theirs in matched)
    optimizer._keep_sums(optimizer.accumulate > 1 or waits)
    groups, entries = [], {}
    for place, (group, own, theirs) in enumerate(matched):
        known = len(problems)
        if keep:
            loaded = {**_scheduled(optimizer, place, theirs, problems), **group}
            _check_counts(f"group {place}", theirs, problems)
        else:
            loaded = _hyperparameters(optimizer, place, group, theirs, states, problems)
        decisive = loaded if len(problems) == known else group  # which states there are to be
        groups.append((group, loaded, theirs))
        for key, param in zip(own, group["params"], strict=True):
            entry = saved["state"].get(key, {})
            if not waits and isinstance(entry, Mapping):
                entry = {name: value for name, value in entry.items() if name not in (SUM, COUNT)}
            if saved["state"]:
                _check_entry(optimizer, key, param, entry, decisive, theirs.get("unused", ()), problems)
            entries[param] = entry
    if problems:
        optimizer._keep_sums(sums)
        lines = "".join(f"\n  - {problem}" for problem in problems)
        raise ValueError(f"{type(optimizer).__name__} cannot take over this state, and is unchanged:{lines}")

    state, plans = optimizer._kept(), []
    for param, entry in entries.items():
        if entry:
            state[param] = {name: _copy(value, param) for name, value in entry.items()}
    for place, (group, _, theirs) in enumerate(groups):
        counts = {name: theirs.get(name, 0) for name in COUNTS}
        plans.append(Plan(optimizer._label(place), group, **counts))
    if isinstance(state, OptimizerState):
        state.written.flag = False  # the plans are new
    try:
        for mine, other in states:
            mine.load_state_dict(other.state)
        for group, loaded, _ in groups:
            group.update(loaded)
        optimizer._state, optimizer._plans = state, plans
    except BaseException:
        restore()
        raise


def snapshot(optimizer: Optimizer) -> Callable[[], None]:
    """What brings back states, counts and hyperparameters as they are now, as long as there is no step in between."""
    state, plans = optimizer._state, optimizer._plans
    groups = [(group, dict(group)) for group in optimizer._parameter_groups]
    values = [group[name] for group, _ in groups for name in optimizer.defaults if name in group]
    sums = optimizer._sums
    schedules = [(mine, mine.state_dict()) for value in values for mine, _ in matching(value, value)]

    def restore() -> None:
        for group, kept in groups:
            group.clear()
            group.update(kept)
        for schedule, kept in schedules:
            schedule.load_state_dict(kept)
        optimizer._state, optimizer._plans = state, plans
        optimizer._keep_sums(sums)

    return restore


def _unused(optimizer: Optimizer, group: Group) -> list[str]:
    """The states that the group's parameters have, and its rule does not use with its present hyperparameters."""
    if optimizer.formula is None:
        return []
    found: dict[str, None] = {}
    for param in group["params"]:
        if entry := optimizer._state.get(param):
            found |= dict.fromkeys(entry.keys() - _names(optimizer, param, group))
    return sorted(found)


def _names(optimizer: Optimizer, param: Tensor, group: Group) -> set[str]:
    """The keys that a parameter's state may have."""
    states = optimizer.all_states(group, optimizer.variant(param, group))
    return {"step"} | {name for s in states for name in (s.name, scale_key(s.name))}


def _keys(groups: list[Group]) -> list[list[Key]]:
    """For each group the keys of its parameters: names, or positions counted through all groups."""
    keys: list[list[Key]] = []
    start = 0
    for group in groups:
        count = len(group["params"])
        keys.append(list(group.get("param_names", range(start, start + count))))
        start += count
    return keys


def _match(
    optimizer: Optimizer, saved: Mapping[str, Any], problems: list[str]
) -> list[tuple[Group, list[Key], Mapping[str, Any]]]:
    """Each group with its keys and the saved group of the same parameters, in whatever order."""
    theirs = saved.get("param_groups") if isinstance(saved, Mapping) else None
    state = saved.get("state") if isinstance(saved, Mapping) else None
    if not isinstance(theirs, (list, tuple)) or not isinstance(state, Mapping):
        raise ValueError(
            f'{type(optimizer).__name__}: a saved state is a dict of "state" and "param_groups", got '
            f"{sorted(saved) if isinstance(saved, Mapping) else type(saved).__name__}"
        )
    if not all(
        isinstance(group, Mapping) and isinstance(group.get("params"), (list, tuple)) for group in theirs
    ):
        raise ValueError(f'{type(optimizer).__name__}: each saved group must be a dict with a list "params"')
    keys = _keys(optimizer._parameter_groups)
    here = {key for own in keys for key in own}
    there = {key for group in theirs for key in group["params"]}
    _list(problems, "the saved state has no parameter", here - there)
    _list(problems, "this optimizer has no parameter", there - here)
    _list(problems, "the saved groups do not name", set(state) - there)
    if here - there and any(isinstance(k, int) for k in there) != any(isinstance(k, int) for k in here):
        problems.append(
            "one of the two names its parameters and the other counts them: "
            "pass model.named_parameters() to both or to neither"
        )
    if problems:
        return []
    by_keys = {frozenset(group["params"]): group for group in theirs}
    matched = [
        (group, own, by_keys.get(frozenset(own)))
        for group, own in zip(optimizer._parameter_groups, keys, strict=True)
    ]
    if len(theirs) != len(matched) or any(group is None for _, _, group in matched):
        problems.append(
            "the groups divide the parameters differently: "
            f"{[list(group['params']) for group in theirs]} saved, {keys} here"
        )
        return []
    return [(group, own, their) for group, own, their in matched if their is not None]


def _list(problems: list[str], what: str, keys: Set[Any]) -> None:
    problems.extend(f"{what} {key!r}" for key in sorted(keys, key=lambda key: (isinstance(key, str), key)))


def _hyperparameters(
    optimizer: Optimizer,
    place: int,
    group: Group,
    saved: Mapping[str, Any],
    states: list[tuple[Multiplier, Multiplier]],
    problems: list[str],
) -> Group:
    """The group's values after loading, in their normal form; `states` takes pairs of schedules, ours and the saved.

    Options that the saved group has none of stay as they are here.
    """
    label = f"group {place}"
    loaded = _scheduled(optimizer, place, saved, problems)
    needed = (name for name in optimizer.defaults if name not in saved and name not in HYPER)
    problems.extend(
        f"{label}: {name} is missing"
        for name in needed
        if _is_data(group[name]) and not callable(group[name])
    )
    names = set(optimizer.defaults)
    _list(
        problems,
        f"{label}: unknown hyperparameter",
        set(saved) - names - set(loaded) - {"params", "unused", *COUNTS},
    )
    _check_counts(label, saved, problems)
    try:
        for name in optimizer.defaults:
            theirs = _read(group[name], saved.get(name, group[name]))
            loaded[name] = _own_schedules(group[name], theirs)
            states += matching(group[name], theirs)
        optimizer.normalize(label, loaded)
    except (TypeError, ValueError) as error:
        problems.append(str(error))
    return loaded


def _scheduled(optimizer: Optimizer, place: int, saved: Mapping[str, Any], problems: list[str]) -> Group:
    """What schedulers kept in the saved group."""
    kept = {key: value for key, value in saved.items() if is_scheduled(key, optimizer.defaults)}
    problems.extend(
        f"group {place}: {key} must be a number, got {value!r}"
        for key, value in kept.items()
        if isinstance(value, bool) or not isinstance(value, Real)
    )
    return kept


def _check_counts(label: str, saved: Mapping[str, Any], problems: list[str]) -> None:
    problems.extend(
        f"{label}: {name} must be an integer ≥ 0, got {saved[name]!r}"
        for name in ("step", "pending")
        if not _is_count(saved.get(name, 0))
    )
    peak = saved.get("peak_lr", 0.0)
    if isinstance(peak, bool) or not isinstance(peak, (int, float)):
        problems.append(f"{label}: peak_lr must be a number, got {peak!r}")


def _read(present: Any, saved: Any) -> Any:
    """A saved value as it was. A kind of schedule that is unknown here matters only where there is no other."""
    try:
        return _unpack(saved)
    except ValueError:
        if callable(present):
            return present
        raise


def _own_schedules(present: Any, loaded: Any) -> Any:
    """The loaded value, but where this optimizer was given a function of the step, that function."""
    if isinstance(present, tuple) and isinstance(loaded, tuple) and len(present) == len(loaded):
        return tuple(map(_own_schedules, present, loaded))
    return present if callable(present) else loaded


def _check_entry(
    optimizer: Optimizer,
    key: Key,
    param: Tensor,
    entry: Any,
    group: Group,
    unused: Any,
    problems: list[str],
) -> None:
    """That the state of one parameter fits it; optimizers without a formula keep what they like."""
    if not isinstance(entry, Mapping):
        problems.append(f"{key!r}: the state must be a dict, got {type(entry).__name__}")
        return
    if optimizer.formula is None:
        return
    group = {**group, "params": [param]}
    states = optimizer.all_states(group, optimizer.variant(param, group))
    foreign = set(entry) - _names(optimizer, param, group)
    _list(problems, f"{key!r}: this optimizer has no state", {name for name in foreign if name not in unused})
    if not _is_count(entry.get("step")):
        problems.append(f"{key!r}: step must be an integer ≥ 0, got {entry.get('step')!r}")
    view = optimizer.view(param, group)
    for state in states:
        if state.name in (SUM, COUNT) and state.name not in entry:
            continue  # nothing waits
        if state.kind == "full" and is_packed(entry, state.name):
            problem = misfit(entry, state.name, param)
        else:
            problem = _misfit(state, entry.get(state.name), param, state.expected(param, view, group))
        if problem:
            problems.append(f"{key!r}: {state.name} {problem}")


def _misfit(state: State, value: Any, param: Tensor, shape: tuple[int, ...] | None) -> str | None:
    """What is wrong with the value of a state."""
    if value is None:
        return "is missing" if state.kind != "tensor" or shape is not None else None
    if state.kind == "scalar":
        number = isinstance(value, (int, float)) and not isinstance(value, bool)
        return None if number else f"must be a number, got {type(value).__name__}"
    if not isinstance(value, Tensor):
        return "is no tensor"
    if shape is not None and tuple(value.shape) != shape:
        return f"has shape {tuple(value.shape)}, the parameter {tuple(param.shape)}"
    wide = compute_type(param.dtype.name) == "float64"
    if state.kind == "tensor":
        return None
    if not value.is_floating_point() or (value.dtype.name == "float64") != wide:
        return f"has dtype {value.dtype.name}, which does not fit a {param.dtype.name} parameter"
    return None


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _copy(value: Any, param: Tensor) -> Any:
    if isinstance(value, (list, tuple)):
        return [_copy(item, param) for item in value]
    return value.detach().clone().to(param.device) if isinstance(value, Tensor) else copy.deepcopy(value)


def _is_data(value: Any) -> bool:
    """Whether a hyperparameter can be saved: no callables but schedules made of such data."""
    if isinstance(value, tuple):
        return all(map(_is_data, value))
    return value.is_data() if isinstance(value, Schedule) else not callable(value)


def _pack(value: Any) -> Any:
    if isinstance(value, tuple):
        return tuple(map(_pack, value))
    return value.to_dict() if isinstance(value, Schedule) else value


def _unpack(value: Any) -> Any:
    if isinstance(value, (tuple, list)):
        return tuple(map(_unpack, value))
    return from_dict(value) if isinstance(value, dict) else value
