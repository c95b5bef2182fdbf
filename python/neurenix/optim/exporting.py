"""Optimizers as data, for programs that have the engine and no Python: web pages."""

from __future__ import annotations

import inspect
import math
from typing import Any, Final

from neurenix._phynexus import Tensor

from .groups import Group
from .limits import Each, Fixed, Limit, Number, OrNone, Whole, has_schedule
from .optimizer import Optimizer
from .plan import Plan
from .rule import UpdateRule
from .states import State
from .tracing import Recipe, leaves, trace_recipe
from .wrapper import Wrapper

#: What stands for all parameters with fewer than two dimensions, and for all others.
PROBES: Final = {"vector": (5,), "matrix": (4, 3)}
_PROBED: Final = -0.4375


def export(optimizer: Optimizer) -> dict[str, Any]:
    """An optimizer as data: its rules as text and what they need, as `Optimizer` of the package for browsers takes it.

    Args:
        optimizer: one whose step is a formula; its first group decides the hyperparameters. Rules are traced for
            float32 parameters that the formula sees as vectors or as matrices.

    Returns:
        What JSON can hold:

        - "name", "summary": the class, and the first sentence about it.
        - "hyper": the numbers that rules are given at each step, in order: dicts of "name", "value" (a number, or a
          list that counts as several numbers) and, where it has bounds, "low", "high", "lowIncluded", "highIncluded".
          One with "largest" instead of a value is the largest value that hyperparameter has had so far; one that is not
          "read" was left out of the formulas, as a momentum of 0 is, and means nothing with another value.
        - "fixed": hyperparameters that are part of the formulas.
        - "forms": for "vector", and for "matrix" if that differs, the "rule" as text and the "states": dicts of
          "name" and "init", which is a number, "param" (the parameter's value) or {"hyper": name}.
        - "reduces": whether a step reads numbers back from the device in between, as global norms.

    Raises:
        ValueError: for an optimizer whose step is more than formulas, or one with a schedule; says why.

    Example:
        >>> import neurenix as nx
        >>> data = nx.optim.export(nx.optim.SGD([nx.zeros(3, requires_grad=True)], lr=0.1))
        >>> data["hyper"][1]
        {'name': 'lr', 'value': 0.1, 'low': 0}
        >>> print(data["forms"]["vector"]["rule"].splitlines()[0])
        operands param grad
    """
    group = optimizer.param_groups[0]
    recipes: dict[str, tuple[Any, Recipe]] = {}
    reason = _refusal(optimizer, group)
    if not reason:
        for form, shape in PROBES.items():
            variant = optimizer.variant(Tensor.zeros(shape), group)
            recipes[form] = variant, optimizer.recipe(group, variant)
        if any(recipe.directed for _, recipe in recipes.values()):
            reason = "tensor code comes before its formula"
    if reason:
        raise ValueError(f"{type(optimizer).__name__} cannot be exported: {reason}")
    numbers = Plan("", group).hyper(optimizer, group, {form: recipe for form, (_, recipe) in recipes.items()})
    forms: dict[str, Any] = {}
    for form, (variant, recipe) in recipes.items():
        rule = trace_recipe(recipe, numbers, "float32", variant=variant, matrix=form == "matrix")
        states = [{"name": s.name, "init": _init(s, group, numbers)} for s in recipe.all_states()]
        forms[form] = {"rule": rule.text, "states": states}
    if forms["matrix"] == forms["vector"]:
        del forms["matrix"]
    hyper, first = [], 0
    for name, value in numbers.items():
        if count := len(leaves(value)):
            entry = _described(optimizer.limit(name), name, value)
            is_read = any(_reads(form["rule"], range(first, first + count)) for form in forms.values())
            hyper.append(entry if is_read else {**entry, "read": False})
            first += count
    known = {entry["name"] for entry in hyper}
    return {
        "name": type(optimizer).__name__,
        "summary": " ".join((inspect.getdoc(type(optimizer)) or "").partition("\n\n")[0].split()),
        "hyper": hyper,
        "fixed": {name: group[name] for name in optimizer.defaults if name not in known},
        "forms": forms,
        "reduces": any("reduced:" in form["rule"].splitlines()[1] for form in forms.values()),
    }


def _refusal(optimizer: Optimizer, group: Group) -> str:
    """Why it is more than formulas; empty if it is not."""
    inside = [optimizer]
    while isinstance(inside[-1], Wrapper):
        inside.append(inside[-1].base)
    if any(type(one).step is not Optimizer.step for one in inside):
        return "it has a step() of its own"
    if any(type(one).evaluation not in (UpdateRule.evaluation, Wrapper.evaluation) for one in inside):
        return "it evaluates other weights than it trains"
    if optimizer.accumulate > 1 or optimizer.state_dtype is not None or optimizer.param_update != "nearest":
        return "accumulate, state_dtype and param_update are options of Python's optimizers alone"
    if scheduled := [name for name in optimizer.defaults if has_schedule(group[name])]:
        return f"{', '.join(scheduled)} has a schedule; give it a number, and set it before each step"
    return ""


def _reads(rule: str, hyper: range) -> bool:
    """Whether any formula of a rule reads one of these hyperparameters."""
    lines = rule.splitlines()
    slots = {
        f"scalar {i}" for i, what in enumerate(lines[1].split()[1:]) if what in {f"hyper:{k}" for k in hyper}
    }
    return any(line.partition(" = ")[2] in slots for line in lines)


def _init(state: State, group: Group, numbers: dict[str, Any]) -> Any:
    """What a state begins as; of a function which number it takes."""
    if not callable(state.init):
        return state.init
    for name, value in numbers.items():
        if isinstance(value, (int, float)) and state.init({**group, name: _PROBED}) == _PROBED:
            return {"hyper": name}
    return float(state.init(group))


def _described(limit: Limit, name: str, value: Any) -> dict[str, Any]:
    """A number that rules are given at each step."""
    if name == "peak_lr":
        return {"name": name, "largest": "lr"}
    entry = {"name": name, "value": value}
    while isinstance(limit, (Each, Fixed, OrNone)):
        limit = limit.limit
    if isinstance(limit, Whole):
        limit = Number(limit.low)
    if isinstance(limit, Number) and limit.low > -math.inf:
        entry |= {"low": limit.low} | ({} if limit.low_included else {"lowIncluded": False})
    if isinstance(limit, Number) and limit.high < math.inf:
        entry |= {"high": limit.high} | ({} if limit.high_included else {"highIncluded": False})
    return entry
