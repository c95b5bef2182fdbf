"""Formulas: update rules as ordinary Python functions that are traced once and compiled for every device.

A rule is written over symbols with operators and the functions of this module. The same function runs on
NumPy arrays and floats, which makes it its own slow reference:

>>> from neurenix.optim.formula import sqrt
>>> def rule(p, g, s, *, lr):
...     s = s + g * g
...     return p - lr * g / sqrt(s), s
>>> rule(1.0, 2.0, 0.0, lr=0.1)
(0.9, 4.0)
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar, Final, TypeAlias

import numpy as np

from neurenix._phynexus import Graph

if TYPE_CHECKING:
    from .tracing import Tape

Value: TypeAlias = Any
"""What a rule computes with: a symbol while it is traced, a NumPy array or a float otherwise."""

Axis: TypeAlias = int | tuple[int, ...] | None
"""What a reduction goes over: the whole tensor (None), its columns (-1), its rows (-2) or both (-2, -1)."""

_OPERATORS: Final = {
    "add": operator.add,
    "subtract": operator.sub,
    "multiply": operator.mul,
    "divide": operator.truediv,
    "power": operator.pow,
    "less": operator.lt,
    "less_equal": operator.le,
    "greater": operator.gt,
    "greater_equal": operator.ge,
}


_NUMBERS: Final = (int, float, np.number, np.bool_)


def _infix(op: str) -> tuple[Any, Any]:
    """The methods of an operator for a symbol on the left and on the right."""

    def left(self: Symbol, other: Value) -> Any:
        return self.binary(op, other)

    def right(self: Symbol, other: Value) -> Any:
        return self.binary(op, other, swap=True)

    return left, right


class Symbol:
    """A node of a formula that is being traced; arithmetic on symbols makes further nodes.

    Hyperparameters and the step count are float64 scalars, and so is what is made of them alone: the engine
    computes that on the host once a step. A scalar that meets an element is converted to the element's type
    first.
    """

    __slots__ = ("id", "kind", "tape")
    __hash__: ClassVar[None]  # type: ignore[assignment]

    def __init__(self, tape: Tape, id: int, kind: str) -> None:
        self.tape = tape
        self.id = id
        self.kind = kind  # the type of elements: float32 or float64

    def new(self, id: int) -> Symbol:
        """The symbol of another node of the same graph."""
        return Symbol(self.tape, id, self.kind)

    @property
    def graph(self) -> Graph:
        """The graph that the node is in."""
        return self.tape.graph

    @property
    def type(self) -> str:
        """The type that the node is computed in."""
        return self.graph.type(self.id)

    @property
    def is_element(self) -> bool:
        """Whether the node has a value of its own for each element."""
        return self.graph.rank(self.id) == "element"

    @property
    def _number_type(self) -> str:
        return "float64" if self.graph.rank(self.id) == "scalar" else self.kind

    def number(self) -> Symbol:
        """The node as a float: truth values become 0 and 1."""
        return self if self.type != "bool" else self.new(self.graph.cast(self._number_type, self.id))

    def unary(self, op: str) -> Symbol:
        """A function of this node."""
        return self.new(self.graph.unary(op, self.number().id))

    def pair(self, other: Value) -> tuple[int, int]:
        """This node and another (or a number), brought to one type."""
        a = self.number()
        if not isinstance(other, Symbol):
            return a.id, self.graph.constant(a.type, float(other))
        a, b = self.tape.meet(a, other.number())
        if a.type == b.type:
            return a.id, b.id
        return self.graph.cast(self.kind, a.id), self.graph.cast(self.kind, b.id)

    def binary(self, op: str, other: Value, swap: bool = False) -> Any:
        """A function of this node and another or a number; `swap` exchanges the two."""
        if not isinstance(other, (Symbol, *_NUMBERS)):
            return NotImplemented
        logic = op in ("and", "or", "xor") and self.type != "int32"
        a, b = self.truths(op, other) if logic else self.pair(other)
        return self.new(self.graph.binary(op, *((b, a) if swap else (a, b))))

    def truths(self, op: str, other: Value) -> tuple[int, int]:
        """This node and another, which must both be truth values."""
        if isinstance(other, bool):
            other = self.new(self.graph.constant("bool", other))
        if not isinstance(other, Symbol) or {self.type, other.type} != {"bool"}:
            raise TypeError(
                f"formula: `{op}` needs two truth values (comparisons), got {self!r} and {other!r}"
            )
        return self.id, other.id

    def as_element(self, value: Value) -> Symbol:
        """A value that differs by element; one that is the same for all stands in each of them."""
        if isinstance(value, Symbol) and value.is_element:
            return value
        return where(self == self, value, math.nan)  # type: ignore[no-any-return]

    def reduced(self, op: str, axis: Axis) -> Symbol:
        """A reduction over the tensor, or along axes of (batch, rows, columns)."""
        if not self.is_element:
            raise ValueError("formula: a reduction needs something that differs by element, got a scalar")
        return self.tape.reduce(op, self, "tensor" if axis is None else _left(axis))

    def norm(self) -> Symbol:
        """The Euclidean norm of the tensor."""
        if not self.is_element:
            raise ValueError("formula: a norm needs something that differs by element, got a scalar")
        return self.tape.norm(self)

    __add__, __radd__ = _infix("add")
    __sub__, __rsub__ = _infix("sub")
    __mul__, __rmul__ = _infix("mul")
    __truediv__, __rtruediv__ = _infix("div")
    __floordiv__, __rfloordiv__ = _infix("floor_div")
    __mod__, __rmod__ = _infix("rem")
    __pow__, __rpow__ = _infix("pow")
    __lt__, __gt__ = _infix("lt")
    __le__, __ge__ = _infix("le")
    __eq__, _ = _infix("eq")
    __ne__, _ = _infix("ne")
    __and__, __rand__ = _infix("and")
    __or__, __ror__ = _infix("or")
    __xor__, __rxor__ = _infix("xor")

    def __neg__(self) -> Symbol:
        return self.unary("neg")

    def __pos__(self) -> Symbol:
        return self

    def __abs__(self) -> Symbol:
        return self.unary("abs")

    def __invert__(self) -> Symbol:
        if self.type != "bool":
            raise TypeError("formula: `~` needs a truth value (a comparison)")
        return self.new(self.graph.unary("not", self.id))

    def __bool__(self) -> bool:
        raise TypeError(
            "formula: a symbol has no truth value while the formula is traced; instead of `if`, `and`, `or`, "
            "min or max write where(condition, yes, no), `&`, `|`, minimum or maximum "
            "of neurenix.optim.formula"
        )

    def __float__(self) -> float:
        raise TypeError(
            "formula: a symbol has no value while the formula is traced, so math.* and float() cannot take "
            "it; use the functions of neurenix.optim.formula (sqrt, exp, where ...)"
        )

    __int__ = __index__ = __float__

    def __iter__(self) -> Any:
        raise TypeError("formula: a symbol stands for one element and cannot be unpacked or iterated over")

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Value, **options: Any) -> Symbol:
        """NumPy's numbers take part in arithmetic; its functions have their own here."""
        apply = _OPERATORS.get(ufunc.__name__)
        if apply is None or method != "__call__" or options:
            raise TypeError(
                f"formula: numpy.{ufunc.__name__} cannot take a symbol; "
                "use the functions of neurenix.optim.formula"
            )
        if any(isinstance(x, np.ndarray) and x.ndim for x in inputs):
            raise TypeError(
                "formula: a symbol cannot be combined with an array, only with symbols and numbers"
            )
        a, b = (x if isinstance(x, Symbol) else float(x) for x in inputs)
        return apply(a, b)  # type: ignore[no-any-return]

    def __repr__(self) -> str:
        return f"<{self.graph.rank(self.id)} symbol %{self.id} of {self.type}>"


def _function(op: str, oracle: Callable[..., Any], summary: str) -> Callable[[Value], Value]:
    """A function of one operand: a node for a symbol, NumPy for everything else."""

    def apply(x: Value) -> Value:
        if isinstance(x, Symbol):
            return x.unary(op)
        with np.errstate(all="ignore"):  # as the engine: infinities and NaNs, not warnings
            result = oracle(x)
        return result.item() if isinstance(x, (int, float)) else result

    apply.__name__ = apply.__qualname__ = op
    apply.__doc__ = summary
    return apply


sqrt = _function("sqrt", np.sqrt, "√x.")
rsqrt = _function("rsqrt", lambda x: 1 / np.sqrt(x), "1/√x.")
exp = _function("exp", np.exp, "eˣ.")
log = _function("log", np.log, "The natural logarithm of x.")
log1p = _function("log1p", np.log1p, "log(1 + x), exact for small x.")
expm1 = _function("expm1", np.expm1, "eˣ − 1, exact for small x.")
abs_ = _function("abs", np.abs, "|x|.")
sign = _function("sign", np.sign, "−1, 0 or 1.")
tanh = _function("tanh", np.tanh, "The hyperbolic tangent of x.")
sigmoid = _function("sigmoid", lambda x: 1 / (1 + np.exp(-x)), "1/(1 + e⁻ˣ).")
sin = _function("sin", np.sin, "The sine of x in radians.")
cos = _function("cos", np.cos, "The cosine of x in radians.")
floor = _function("floor", np.floor, "The largest integer that is not above x.")
ceil = _function("ceil", np.ceil, "The smallest integer that is not below x.")
round_ = _function("round", np.round, "The nearest integer, ties to even.")
isfinite = _function("is_finite", np.isfinite, "Whether x is neither NaN nor infinite.")
isnan = _function("is_nan", np.isnan, "Whether x is NaN.")


def _erf(x: Value) -> Value:
    return np.vectorize(math.erf, otypes=[float])(x)


erf = _function("erf", _erf, "The error function of x.")


def atan2(y: Value, x: Value) -> Value:
    """The angle of the point (x, y), from −π to π; 0 at the origin."""
    if isinstance(y, Symbol):
        return y.binary("atan2", x)
    return x.binary("atan2", y, swap=True) if isinstance(x, Symbol) else np.arctan2(y, x)


def minimum(a: Value, b: Value) -> Value:
    """The smaller of two; NaN if either is NaN."""
    if isinstance(a, Symbol):
        return a.binary("min", b)
    return b.binary("min", a) if isinstance(b, Symbol) else np.minimum(a, b)


def maximum(a: Value, b: Value) -> Value:
    """The larger of two; NaN if either is NaN."""
    if isinstance(a, Symbol):
        return a.binary("max", b)
    return b.binary("max", a) if isinstance(b, Symbol) else np.maximum(a, b)


def clamp(x: Value, low: Value, high: Value) -> Value:
    """X held between `low` and `high`; NaN stays NaN."""
    return minimum(maximum(x, low), high)


def where(condition: Value, yes: Value, no: Value) -> Value:
    """`yes` where the condition holds, else `no`: what `if` is outside of formulas."""
    if not isinstance(condition, Symbol):
        if isinstance(condition, (bool, np.bool_)):
            return yes if condition else no
        return np.where(condition, yes, no)
    if condition.type != "bool":
        condition = condition != 0
    condition, yes, no = condition.tape.meet(condition, yes, no)
    if isinstance(yes, Symbol):
        yes, no = yes.pair(no)
    elif isinstance(no, Symbol):
        no, yes = no.pair(yes)
    else:
        kind = condition._number_type
        yes, no = (condition.graph.constant(kind, float(x)) for x in (yes, no))
    return condition.new(condition.graph.select(condition.id, yes, no))


def _left(axis: Axis) -> str:
    """What keeps a value of its own when a reduction has gone over these axes."""
    axes = axis if isinstance(axis, tuple) else (axis,)
    kept = {(-1,): "row", (-2,): "column", (-2, -1): "batch"}.get(tuple(sorted(axes)))  # type: ignore[type-var, arg-type]
    if kept is None:
        raise ValueError(f"formula: axis must be None, -1 (columns), -2 (rows) or (-2, -1), got {axis!r}")
    return kept


def total(x: Value, axis: Axis = None) -> Value:
    """The sum over all elements of the tensor, or along axes of (batch, rows, columns), which stay with size 1.

    >>> import numpy as np
    >>> total(np.ones((2, 3)), axis=-1)
    array([[3.],
           [3.]])
    """
    return x.reduced("sum", axis) if isinstance(x, Symbol) else np.sum(x, axis, keepdims=axis is not None)


def largest(x: Value, axis: Axis = None) -> Value:
    """The largest element of the tensor, or along axes; NaN if any is NaN."""
    return x.reduced("max", axis) if isinstance(x, Symbol) else np.max(x, axis, keepdims=axis is not None)


def smallest(x: Value, axis: Axis = None) -> Value:
    """The smallest element of the tensor, or along axes; NaN if any is NaN."""
    return x.reduced("min", axis) if isinstance(x, Symbol) else np.min(x, axis, keepdims=axis is not None)


def count(x: Value, axis: Axis = None) -> Value:
    """How many values of x there are in the tensor, or along axes, as a float; one where x does not differ."""
    axes = (-3, -2, -1) if axis is None else axis if isinstance(axis, tuple) else (axis,)
    if isinstance(x, Symbol):
        differs = x.tape.extent(x)
        return math.prod((x.tape.size(axis + 3) for axis in axes if axis + 3 in differs), start=1.0)
    return float(np.size(x) if axis is None else math.prod(np.shape(x)[axis] for axis in axes))


def mean(x: Value, axis: Axis = None) -> Value:
    """The mean of all elements of the tensor, or along axes; exact also where their sum overflows."""
    number = count(x, axis)
    part = 2.0 ** -ceil(log(number) / math.log(2))  # a power of two costs no digits
    return total(x * part, axis) / (number * part)


def norm(x: Value, axis: Axis = None) -> Value:
    """The Euclidean norm of the tensor, or along axes; exact also where squares overflow or underflow.

    >>> float(norm(1e300)), float(norm(-1e-300))
    (1e+300, 1e-300)
    """
    if isinstance(x, Symbol) and axis is None:
        return x.norm()
    size = largest(abs(x), axis)
    size = where((size > 0) & (size < math.inf), size, 1)
    scaled = x / size
    return size * sqrt(total(scaled * scaled, axis))


def global_norm(x: Value) -> Value:
    """The Euclidean norm of all tensors of the optimizer that have a gradient together.

    The order of the tensors does not matter, not even to the last bit. On NumPy there is one tensor.
    """
    length = norm(x)
    return length.tape.reduce("sum", length, "norms") if isinstance(length, Symbol) else length


def everywhere(x: Value, *, largest: bool = False) -> Value:
    """The sum (or the largest) of a number of each tensor over all tensors of the optimizer that have a gradient.

    The order of the tensors does not matter, not even to the last bit. On NumPy there is one tensor.
    """
    if not isinstance(x, Symbol):
        return x
    return x.tape.reduce("max" if largest else "sum", x, "tensors")


def debias(beta: Value, t: Value) -> Value:
    """What an average of t values with decay `beta` lacks, 1 − betaᵗ, without cancellation for beta near 1.

    >>> round(debias(0.9, 2), 12)
    0.19
    """
    return -expm1(t * log(beta))
