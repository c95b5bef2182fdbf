"""What is known about an optimizer that is to be checked."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias, get_type_hints

import numpy as np
from numpy.typing import NDArray

from neurenix._phynexus import Tensor
from neurenix.optim import Optimizer, Options

Array: TypeAlias = NDArray[np.float64]
Shape: TypeAlias = tuple[int, ...]

SHAPES: Final[tuple[Shape, ...]] = ((3, 4), (5,), (), (2, 3, 2), (3, 2, 2, 2))
OPTIONS: Final = frozenset(get_type_hints(Options))


@dataclass(frozen=True, eq=False)
class Record:
    """An optimizer with what `check_optimizer` is to know about it.

    Args:
        optimizer: a class, or a function `(params, **arguments) -> Optimizer`.
        arguments: what it is tested with; values at which every hyperparameter matters.
        oracle: the rule in NumPy and float64, written from the paper and not from the code:
            `oracle(params, grads, memory, t, **hyperparameters) -> params` over lists of arrays, with a dict
            `memory` that is kept between steps and t counted from 1; `per_tensor` makes one of a function of a
            single tensor. It gets those hyperparameters that it names. With `closure`, `grads` is a function
            `grads(params) -> (loss, grads)`.
        moves: for each hyperparameter another value, which must change the result.
        errors: (arguments, exception, regular expression that its message matches).
        state_bytes: bytes of state for each element of a float32 parameter; or a function of a parameter's
            shape that gives all of its bytes.
        temporaries: how much memory a step may take beside parameters, gradients and state, in float32 copies
            of the largest parameter; by default none for a formula, and anything for tensor code.
        still: hyperparameters that are in no move, and options that change nothing, with the reason.
        tolerance: (bound, reason) where results may differ from the oracle's by more than 1e-12 of the largest
            value that an element had on its way.
        shapes: of the parameters.
        steps: how many are compared with the oracle's; fewer for rules whose steps take long.
        couples: whether tensors depend on each other (a common step size, a global norm). Then their order
            and grouping may show in the last bits, and each may not be given an optimizer of its own.
        closure: whether a step needs a closure.
        advance: `advance(optimizer, closure, t)`, how a step is made if not by `optimizer.step()`; it calls
            the closure, which computes gradients.
        skips: properties that do not hold, with the reason.
        name: how failures and tests name it.

    Example:
        >>> import neurenix as nx
        >>> from neurenix.testing import Record, check_optimizer, per_tensor
        >>> @per_tensor
        ... def sgd(p, g, s, t, *, lr, momentum, weight_decay):
        ...     g = g + weight_decay * p
        ...     s["b"] = g if t == 1 else momentum * s["b"] + g
        ...     return p - lr * s["b"]
        >>> record = Record(
        ...     lambda params, **arguments: nx.optim.SGD(params, **arguments),
        ...     arguments={"lr": 0.1, "momentum": 0.9, "weight_decay": 0.01},
        ...     oracle=sgd,
        ...     moves={"lr": 0.11, "momentum": 0.8, "weight_decay": 0.02, "dampening": 0.1},
        ...     still={"nesterov": "has a record of its own"},
        ...     errors=[({"lr": -1}, ValueError, "lr must be")],
        ...     state_bytes=4,
        ... )
    """

    optimizer: Callable[..., Optimizer]
    arguments: Mapping[str, Any] = field(default_factory=dict)
    oracle: Callable[..., Any] | None = None
    moves: Mapping[str, Any] = field(default_factory=dict)
    errors: Sequence[tuple[Mapping[str, Any], type[Exception], str]] = ()
    state_bytes: float | Callable[[Shape], float] | None = None
    temporaries: float | None = None
    still: Mapping[str, str] = field(default_factory=dict)
    tolerance: tuple[float, str] = (1e-12, "the bound of all")
    shapes: Sequence[Shape] = SHAPES
    steps: int = 1000
    couples: bool = False
    closure: bool = False
    advance: Callable[[Optimizer, Callable[[], Tensor], int], Any] | None = None
    skips: Mapping[str, str] = field(default_factory=dict)
    name: str = ""

    def __str__(self) -> str:
        title = self.name or getattr(self.optimizer, "__name__", repr(self.optimizer))
        return f"{title}({', '.join(f'{name}={value!r}' for name, value in self.arguments.items())})"

    def build(self, params: Any, **changes: Any) -> Optimizer:
        """The optimizer of these parameters, with some arguments changed.

        Options that it does not take as arguments are written to its groups or itself.
        """
        given = {**self.arguments, **changes}
        accepted = inspect.signature(self.optimizer).parameters
        if not any(parameter.kind is parameter.VAR_KEYWORD for parameter in accepted.values()):
            late = {name: given.pop(name) for name in changes if name in OPTIONS and name not in accepted}
        else:
            late = {}
        optimizer = self.optimizer(params, **given)
        for name, value in late.items():
            if name in optimizer.defaults:
                for group in optimizer.param_groups:
                    group[name] = value
            else:
                setattr(optimizer, name, value)
        return optimizer

    @functools.cached_property
    def sample(self) -> Optimizer:
        """The optimizer of small parameters, to look at."""
        return self.build([Tensor(np.ones(shape), requires_grad=True) for shape in self.shapes])

    @functools.cached_property
    def hyperparameters(self) -> dict[str, Any]:
        """All of its own, without the options that every optimizer takes, and what they are by default."""
        signature = inspect.signature(self.optimizer)
        given = {
            parameter.name: parameter.default
            for parameter in list(signature.parameters.values())[1:]
            if parameter.kind not in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
        }
        everything = {**given, **self.sample.defaults}
        return {name: value for name, value in everything.items() if name not in OPTIONS}


def require(holds: Any, message: str) -> None:
    """Raises AssertionError unless something holds, under `python -O` too."""
    if not holds:
        raise AssertionError(message)


def per_tensor(rule: Callable[..., Any]) -> Callable[..., list[Array]]:
    """An oracle from a rule for one tensor: `rule(p, g, s, t, **hyperparameters) -> p`.

    `s` is the tensor's own dict, empty at first, for whatever the rule keeps between steps. A tensor without
    dimensions comes as one of a single element, as NumPy makes plain numbers of what is computed from it.

    >>> import numpy as np
    >>> @per_tensor
    ... def signum(p, g, s, t, *, lr):
    ...     s["m"] = 0.9 * s.get("m", 0) + 0.1 * g
    ...     return p - lr * np.sign(s["m"])
    >>> signum([np.array([1.0, 2.0])], [np.array([3.0, -4.0])], {}, 1, lr=0.5)
    [array([0.5, 2.5])]
    """

    @functools.wraps(rule)
    def oracle(
        params: Sequence[Array], grads: Sequence[Array], memory: dict[Any, Any], t: int, **hyper: Any
    ) -> list[Array]:
        return [
            rule(np.atleast_1d(p), np.atleast_1d(g), memory.setdefault(place, {}), t, **hyper).reshape(
                p.shape
            )
            for place, (p, g) in enumerate(zip(params, grads, strict=True))
        ]

    return oracle
