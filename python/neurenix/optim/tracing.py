"""Traces update rules into formulas of the engine.

Numbers among the hyperparameters are scalars of the formula, which change from step to step. Truth values,
strings, None and the shape of tuples are part of the formula itself, which is traced once for each of them.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import numpy as np

from neurenix._phynexus import Formula, Graph, Rule

from .bits import bits, integer, shift
from .formula import Symbol, Value
from .rounding import noise, state_salt, stochastic
from .states import State, as_states
from .storage import BLOCK, block_scale, decode8, encode8


class _Static(tuple[str, Any]):
    """The layout of a value that is fixed when the formula is traced."""


_NUMBER: Final = None
Layout: TypeAlias = Any

#: Along which of (batch, rows, columns) a value of a kind differs.
EXTENTS: Final[dict[str, frozenset[int]]] = {
    "full": frozenset((0, 1, 2)),
    "row": frozenset((0, 1)),
    "column": frozenset((0, 2)),
    "batch": frozenset((0,)),
}

#: How many nodes are no more work than a value that is read from memory.
LITTLE: Final = 3

#: Keywords that a formula may ask for besides hyperparameters.
GIVEN: Final = frozenset(("t", "inner", "variant", "matrix", "dtype", "identity"))

#: Formats that a formula rounds to itself, at random.
ROUNDED: Final = ("bfloat16", "float16", "int8")


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


@functools.lru_cache(maxsize=1024)
def keywords(function: Callable[..., Any]) -> tuple[str, ...] | None:
    """The keywords that a formula names, in order; None if it takes all of them."""
    parameters = inspect.signature(function).parameters.values()
    if any(p.kind is p.VAR_KEYWORD for p in parameters):
        return None
    return tuple(p.name for p in parameters if p.kind is p.KEYWORD_ONLY)


@dataclass(frozen=True)
class Layer:
    """A formula around others: `formula(p, g, *states, t, inner, **hyper)`; `inner(p, g)` is the p of the inside."""

    formula: Callable[..., Any]
    states: tuple[State, ...] = ()


@dataclass(frozen=True)
class Recipe:
    """All that a parameter's step is made of: a rule, and layers around it from the outermost to the innermost.

    `decays`: whether the rule is given the weight decay that it asks for. `directed`: whether tensor code makes a
    direction of the gradient first, which the rule takes after g.
    """

    formula: Callable[..., Any]
    states: tuple[State, ...] = ()
    layers: tuple[Layer, ...] = ()
    decays: bool = True
    directed: bool = False

    @property
    def functions(self) -> list[Callable[..., Any]]:
        """The formulas of all layers and the rule."""
        return [*(layer.formula for layer in self.layers), self.formula]

    def all_states(self) -> tuple[State, ...]:
        """The states of the rule, then those of the layers."""
        return (*self.states, *(state for layer in self.layers for state in layer.states))

    def asks(self, name: str) -> bool:
        """Whether any formula names this keyword."""
        return any(name in (keywords(function) or ()) for function in self.functions)

    def select(self, hyper: Mapping[str, Value]) -> dict[str, Value]:
        """Those of the hyperparameters that are asked for."""
        wanted: dict[str, Value] = {}
        for function in self.functions:
            names = keywords(function)
            if names is None:
                wanted |= hyper
                continue
            missing = [name for name in names if name not in hyper and name not in GIVEN]
            if missing:
                raise TypeError(
                    f"{_title(function)} asks for {', '.join(missing)}; the hyperparameters are {', '.join(hyper)}"
                )
            wanted |= {name: hyper[name] for name in names if name in hyper}
        return wanted


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
    named = as_states(f"state {i}" for i in range(states))
    layers = (Layer(negated),) if maximize else ()
    recipe = Recipe(function, named, layers)
    return trace_recipe(recipe, recipe.select(hyper), type).formula


def negated(p: Value, g: Value, *, inner: Callable[[Value, Value], Value]) -> Value:
    """Ascends instead of descending."""
    return inner(p, -g)


def trace_recipe(
    recipe: Recipe,
    hyper: Mapping[str, Value],
    type: str,
    *,
    variant: Any = None,
    matrix: bool = True,
    dtype: str = "float32",
    stored: tuple[str, ...] = (),
) -> Rule:
    """The rule of a whole recipe, for parameters of one variant; all of `hyper` are numbers of it, asked for or not.

    `stored` are the formats of all states: what is less than float32 the formula decodes, and rounds at random by the
    hyperparameter "noise". With `identifies` the last state is a number that tells parameters apart.
    """
    fixed = tuple((name, layout(value)) for name, value in hyper.items())
    given = (("variant", variant), ("matrix", matrix), ("dtype", dtype if recipe.asks("dtype") else None))
    return _trace(recipe, fixed, type, given, tuple(kind if kind in ROUNDED else "" for kind in stored))


def identifies(recipe: Recipe, stored: tuple[str, ...]) -> bool:
    """Whether a rule rounds at random, and needs a number that tells parameters apart."""
    return recipe.asks("identity") or any(kind in ROUNDED for kind in stored)


@functools.lru_cache(maxsize=1024)
def _trace(
    recipe: Recipe,
    hyper: tuple[tuple[str, Layout], ...],
    type: str,
    given: tuple[tuple[str, Any], ...],
    stored: tuple[str, ...],
) -> Rule:
    return _Tracer(recipe, hyper, type, dict(given), stored).rule()


class Tape:
    """The graph of a formula that is being traced, with what its operands are and the reductions that cut it."""

    def __init__(self, kind: str) -> None:
        self.graph = Graph()
        self.kind = kind
        self.inputs: list[tuple[str, int]] = []
        self._extents: list[frozenset[int]] = []  # which of (batch, rows, columns) each operand differs along
        self.numbers: list[tuple[str, int]] = []
        self.stages: list[tuple[Formula, str, str]] = []
        self._sizes: dict[int, Symbol] = {}
        self._once: dict[int, Symbol] = {}

    def operand(self, what: str, index: int = 0, kind: str = "full", type: str | None = None) -> Symbol:
        """The next tensor operand."""
        self.inputs.append((what, index))
        self._extents.append(EXTENTS[kind])
        return Symbol(self, self.graph.input(type or self.kind), self.kind)

    def position(self) -> Symbol:
        """The number of the element in its tensor."""
        return Symbol(self, self.graph.cast("int32", self.graph.index()), self.kind)

    def number(self, what: str, index: int = 0) -> Symbol:
        """The next number."""
        self.numbers.append((what, index))
        return Symbol(self, self.graph.scalar("float64"), self.kind)

    @property
    def is_mixed(self) -> bool:
        """Whether some operands differ along less than all dimensions."""
        return any(extent != EXTENTS["full"] for extent in self._extents)

    def size(self, axis: int) -> Symbol:
        """The size of the batch (0), of rows (1) or of columns (2)."""
        if axis not in self._sizes:
            self._sizes[axis] = self.number("size", axis)
        return self._sizes[axis]

    def extent(self, value: Symbol) -> frozenset[int]:
        """Which of (batch, rows, columns) a value differs along."""
        read = self.graph.finish([value.id]).reads
        return frozenset().union(*(self._extents[slot] for slot in read))

    def meet(self, *values: Any) -> list[Any]:
        """The values, which an operation joins: what differs along less than the others is computed before.

        Each element would compute it again. A stage without anything to reduce keeps it, unless that is hardly work.
        """
        if all(extent == EXTENTS["full"] for extent in self._extents):
            return list(values)
        extents = [self.extent(x) if isinstance(x, Symbol) else frozenset() for x in values]
        every = frozenset().union(*extents)
        return [
            self._kept(x, extent) if extent and extent != every and x.type == x.kind else x
            for x, extent in zip(values, extents, strict=True)
        ]

    def _kept(self, value: Symbol, extent: frozenset[int]) -> Symbol:
        if len(self.graph.finish([value.id])) <= LITTLE:
            return value
        if value.id not in self._once:
            over = next(name for name, differs in EXTENTS.items() if differs == extent)
            self._once[value.id] = self.reduce("sum", value, over)
        return self._once[value.id]

    def reduce(self, op: str, value: Symbol, over: str) -> Symbol:
        """A stage: a number where it leaves one for each tensor or for all, else an operand."""
        number = value.number()
        self.stages.append((self.graph.finish([number.id]), op, over))
        last = len(self.stages) - 1
        if over in ("tensor", "norm", "tensors", "norms"):
            return self.number("reduced", last)
        left = self.extent(value) & EXTENTS[over]
        result = self.operand("reduced", last, type=number.type)
        self._extents[-1] = left
        return result

    def norm(self, value: Symbol) -> Symbol:
        """A stage: the Euclidean norm of a tensor. The engine scales elements whose squares overflow or underflow."""
        slot = len(self.numbers)
        scaled = value * self.number("scale")
        result = self.reduce("sum", scaled * scaled, "norm")
        self.numbers[slot] = ("scale", len(self.stages) - 1)
        return result


class _Tracer:
    """Calls the formulas of a recipe on symbols."""

    def __init__(
        self,
        recipe: Recipe,
        hyper: tuple[tuple[str, Layout], ...],
        type: str,
        given: dict[str, Any],
        stored: tuple[str, ...],
    ) -> None:
        self.recipe = recipe
        self.tape = Tape(type)
        self.p, self.g = self.tape.operand("param"), self.tape.operand("grad")
        self.direction = [self.tape.operand("extra")] if recipe.directed else []
        self.states = recipe.all_states()
        self.stored = stored or ("",) * len(self.states)
        self.kinds: list[str] = []  # of what the engine keeps: codes and scales are two
        self.given = {**given, "t": self.tape.number("step")}
        count = iter(range(10**9))

        def fill(layout: Layout) -> Value:
            if layout is _NUMBER:
                return self.tape.number("hyper", next(count))
            return layout[1] if isinstance(layout, _Static) else tuple(map(fill, layout))

        self.hyper = {name: fill(layout) for name, layout in hyper}
        self.symbols = [
            self._state(state, kind) for state, kind in zip(self.states, self.stored, strict=True)
        ]
        if identifies(recipe, self.stored):
            self.kinds.append("number")
            self.given["identity"] = self.tape.number("state", len(self.kinds) - 1)
        self.new: dict[int, Value] = {}
        self.drawn = 0  # random numbers of an element
        self.spare: Value | None = None  # the half of the last one that nothing has used
        self.prepared: tuple[Symbol, int] | None = None

    def _state(self, state: State, kind: str) -> Symbol:
        """The value of a state, decoded."""
        place = len(self.kinds)
        if state.kind == "scalar":
            self.kinds.append("number")
            return self.tape.number("state", place)
        if kind != "int8":
            self.kinds.append(state.kind)
            return self.tape.operand("state", place, state.kind)
        self.kinds += ["full", f"blocks:{BLOCK}"]
        code = self.tape.operand("state", place, type="int32")
        return decode8(code, self.tape.operand("state", place + 1), state.is_signed)  # type: ignore[no-any-return]

    def rule(self) -> Rule:
        """The traced recipe."""
        p = self.apply(0, self.p, self.g)
        outputs = [self._output(self.recipe.formula, self.p, p)]
        for i, (state, kind) in enumerate(zip(self.states, self.stored, strict=True)):
            like = self.p if state.kind == "full" else self.symbols[i]
            new = self._output(self.recipe.formula, like, self.new[i], state.kind)
            if kind == "int8":
                value = self.p.new(new)
                scale = block_scale(value, kind, state.is_signed)
                outputs += [encode8(value, scale, state.is_signed, self._random(scale)).id, scale.id]
            elif kind:
                outputs.append(stochastic(self.p.new(new), self._random(), kind).id)  # type: ignore[arg-type]
            else:
                outputs.append(new)
        if "identity" in self.given:
            outputs.append(self.given["identity"].id)
        prepared = None
        if self.prepared is not None and self.prepared[0].id != self.g.id:
            prepared = self.tape.graph.finish([self.prepared[0].id]), self.prepared[1]
        tape = self.tape
        return Rule(tape.graph.finish(outputs), tape.inputs, tape.numbers, self.kinds, tape.stages, prepared)

    def _random(self, scale: Symbol | None = None) -> Value:
        """Random bits for the elements of the next state that needs them, 16 for each; two states share a number."""
        if self.spare is not None:
            bits16, self.spare = self.spare, None
            return bits16
        first, second = self.hyper["noise"]
        keys = integer(first) ^ integer(self.given["identity"]), integer(second) ^ state_salt(self.drawn)
        self.drawn += 1
        place = self.tape.position()
        # Places are numbered within a block or a row: what these hold tells them apart.
        if scale is not None:
            place = place + bits(scale) + bits(self.g)
        elif self.tape.is_mixed:
            place = place + bits(self.g)
        random = noise(place, keys)
        self.spare = shift(random, 16)
        return random

    def apply(self, depth: int, p: Value, g: Value) -> Value:
        """The new p of the layers from `depth` inwards."""
        rule = depth == len(self.recipe.layers)
        layer = Layer(self.recipe.formula, self.recipe.states) if rule else self.recipe.layers[depth]
        start = (
            0 if rule else len(self.recipe.states) + sum(len(x.states) for x in self.recipe.layers[:depth])
        )
        places = range(start, start + len(layer.states))
        calls: list[None] = []

        def inner(p: Value, g: Value) -> Value:
            calls.append(None)
            if len(calls) > 1:
                raise ValueError(f"{_title(layer.formula)} calls inner more than once")
            return self.apply(depth + 1, p, g)

        extra: list[Symbol] = []
        if rule and self.recipe.directed:
            self.prepared = self.p.as_element(g), len(self.tape.stages)
            extra = self.direction
        result = layer.formula(
            p, g, *extra, *(self.symbols[i] for i in places), **self.arguments(layer.formula, inner, rule)
        )
        values = result if isinstance(result, (tuple, list)) else (result,)
        if len(values) != 1 + len(places):
            raise ValueError(
                f"{_title(layer.formula)} returned {len(values)} values, expected {1 + len(places)}: "
                f"the new parameter and each of its {len(places)} states, in the order of its arguments"
            )
        if not rule and not calls:
            raise ValueError(f"{_title(layer.formula)} does not call inner")
        self.new.update(zip(places, values[1:], strict=True))
        return values[0]

    def arguments(
        self, formula: Callable[..., Any], inner: Callable[..., Any], rule: bool
    ) -> dict[str, Value]:
        names = keywords(formula)
        if names is None:
            return {**self.hyper, "t": self.given["t"]}
        known = {**self.hyper, **self.given, "inner": inner}
        if rule and not self.recipe.decays:
            known["weight_decay"] = 0.0
        return {name: known[name] for name in names}

    def _output(self, function: Callable[..., Any], like: Symbol, value: Value, kind: str = "full") -> int:
        if not isinstance(value, (Symbol, int, float, np.number)):
            raise TypeError(f"{_title(function)} returned {value!r}, expected symbols")
        graph = self.tape.graph
        if kind == "scalar":
            if not isinstance(value, Symbol):
                return graph.constant("float64", float(value))
            return graph.cast("float64", value.number().id)
        return graph.cast(like.kind, like.as_element(value).number().id)


def _title(function: Callable[..., Any]) -> str:
    return f"formula {getattr(function, '__qualname__', function)!r}"
