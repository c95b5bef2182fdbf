"""Traces update rules into formulas of the engine.

Numbers among the hyperparameters are scalars of the formula, which change from step to step. Truth values,
strings, None and the shape of tuples are part of the formula itself, which is traced once for each of them.
"""

from __future__ import annotations

import functools
import inspect
import math
from collections.abc import Callable, Mapping
from typing import Any, Final, TypeAlias

import numpy as np

from neurenix._phynexus import Formula, Graph

from .formula import Symbol, Value, where


class _Static(tuple[str, Any]):
    """The layout of a value that is fixed when the formula is traced."""


_NUMBER: Final = None
Layout: TypeAlias = Any


def layout(value: Value) -> Layout:
    """What of a hyperparameter's value is part of the formula."""
    if isinstance(value, (bool, str)) or value is None:
        return _Static((type(value).__name__, value))
    return tuple(map(layout, value)) if isinstance(value, (tuple, list)) else _NUMBER


def leaves(value: Value) -> list[float]:
    """The numbers in a hyperparameter's value, in order."""
    if isinstance(value, (tuple, list)):
        return [leaf for item in value for leaf in leaves(item)]
    return [] if isinstance(value, (bool, str)) or value is None else [float(value)]


@functools.lru_cache(maxsize=512)
def wanted(function: Callable[..., Any]) -> tuple[str, ...] | None:
    """The hyperparameters that a rule names besides t, in order; None if it takes all of them."""
    parameters = inspect.signature(function).parameters.values()
    if any(p.kind is p.VAR_KEYWORD for p in parameters):
        return None
    return tuple(p.name for p in parameters if p.kind is p.KEYWORD_ONLY and p.name != "t")


def select(function: Callable[..., Any], hyper: Mapping[str, Value]) -> dict[str, Value]:
    """Those of the hyperparameters that the rule asks for, in its order."""
    names = wanted(function)
    if names is None:
        return dict(hyper)
    missing = [name for name in names if name not in hyper]
    if missing:
        raise TypeError(
            f"{_title(function)} asks for {', '.join(missing)}; the hyperparameters are {', '.join(hyper)}"
        )
    return {name: hyper[name] for name in names}


def trace(
    function: Callable[..., Any], states: int, hyper: Mapping[str, Value], type: str, maximize: bool = False
) -> Formula:
    """The formula of an update rule.

    Args:
        function: `function(p, g, *states, t, **hyper)` returning the new p and states; p and g are elements
            of the parameter and its gradient, t counts steps from 1. It need not name t or hyperparameters it
            does not use.
        states: how many states the rule has.
        hyper: hyperparameters; numbers become scalars of the formula in this order (those of a tuple one by
            one).
        type: what elements are computed in, "float32" or "float64".
        maximize: negate the gradient first.

    Returns:
        A formula of inputs (p, g, *states), scalars (t, *numbers) and outputs (p, *states).

    Raises:
        TypeError: for Python control flow or foreign functions on symbols.
        ValueError: if the rule does not return 1 + states values.

    Example:
        >>> formula = trace(lambda p, g, *, lr: p - lr * g, 0, {"lr": 0.1}, "float32")
        >>> formula.inputs, formula.scalars
        (['float32', 'float32'], ['float64', 'float64'])
    """
    fixed = tuple((name, layout(value)) for name, value in select(function, hyper).items())
    return _trace(function, states, fixed, type, maximize)


@functools.lru_cache(maxsize=512)
def _trace(
    function: Callable[..., Any],
    states: int,
    hyper: tuple[tuple[str, Layout], ...],
    type: str,
    maximize: bool,
) -> Formula:
    graph = Graph()
    p, g, *state = (Symbol(graph, graph.input(type), type) for _ in range(2 + states))
    t = p.new(graph.scalar("float64"))

    def fill(layout: Layout) -> Value:
        if layout is _NUMBER:
            return p.new(graph.scalar("float64"))
        return layout[1] if isinstance(layout, _Static) else tuple(map(fill, layout))

    arguments = {name: fill(layout) for name, layout in hyper}
    if "t" in inspect.signature(function).parameters or wanted(function) is None:
        arguments["t"] = t
    result = function(p, -g if maximize else g, *state, **arguments)
    outputs = result if isinstance(result, (tuple, list)) else (result,)
    if len(outputs) != 1 + states:
        raise ValueError(
            f"{_title(function)} returned {len(outputs)} values, expected {1 + states}: "
            f"the new parameter and each of its {states} states, in the order of its arguments"
        )
    return graph.finish([_output(function, p, value) for value in outputs])


def _output(function: Callable[..., Any], p: Symbol, value: Value) -> int:
    if not isinstance(value, (Symbol, int, float, np.number)):
        raise TypeError(f"{_title(function)} returned {value!r}, expected symbols")
    if not isinstance(value, Symbol) or not value.is_element:
        value = where(p == p, value, math.nan)  # what is the same for all elements is stored in each of them
    return p.graph.cast(p.kind, value.number().id)


def _title(function: Callable[..., Any]) -> str:
    return f"formula {getattr(function, '__qualname__', function)!r}"
