"""Switching the recording of operations on and off, and derivatives as values.

The switch belongs to the thread. Each of `no_grad`, `enable_grad` and `set_grad_enabled` is a context manager
and a decorator; a decorated generator function switches only while its own body runs.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from functools import wraps
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar, overload

from neurenix import _phynexus
from neurenix._phynexus import Program, Tensor, is_grad_enabled, record

if TYPE_CHECKING:
    from typing import Self

__all__ = ["Program", "enable_grad", "grad", "is_grad_enabled", "no_grad", "record", "set_grad_enabled"]

F = TypeVar("F", bound=Callable[..., Any])
CO_GENERATOR = 0x20  # as in inspect, which is slow to import


class _GradMode:
    """Sets the switch on entry, restores it on exit, and may be entered again in between."""

    __slots__ = ("_previous",)
    enabled: ClassVar[bool]
    _previous: list[bool]

    @overload
    def __new__(cls) -> Self: ...
    @overload
    def __new__(cls, function: F) -> F: ...  # type: ignore[misc]
    def __new__(cls, function: F | None = None) -> Self | F:  # type: ignore[misc]
        if function is not None:  # a decorator without parentheses
            return _decorated(function, cls.enabled)
        self = object.__new__(cls)
        self._previous = []
        return self

    def __enter__(self) -> None:
        self._previous.append(_phynexus.set_grad(self.enabled))

    def __exit__(self, *_: object) -> None:
        _phynexus.set_grad(self._previous.pop())

    def __call__(self, function: F) -> F:
        return _decorated(function, self.enabled)


class no_grad(_GradMode):
    """Operations inside are not recorded: results do not require gradients.

    >>> import neurenix
    >>> x = neurenix.ones(2, requires_grad=True)
    >>> with neurenix.no_grad():
    ...     y = x * 2
    >>> y.requires_grad
    False
    """

    __slots__ = ()
    enabled = False


class enable_grad(_GradMode):
    """Operations inside are recorded, also within `no_grad`.

    >>> import neurenix
    >>> x = neurenix.ones(2, requires_grad=True)
    >>> with neurenix.no_grad(), neurenix.enable_grad():
    ...     y = x * 2
    >>> y.requires_grad
    True
    """

    __slots__ = ()
    enabled = True


class set_grad_enabled:
    """Switches recording at once; as a context manager it restores on exit what was before.

    Args:
        mode: whether operations are recorded.

    >>> import neurenix
    >>> with neurenix.set_grad_enabled(False):
    ...     neurenix.is_grad_enabled()
    False
    """

    __slots__ = ("_enabled", "_previous")

    def __init__(self, mode: bool) -> None:
        self._enabled = bool(mode)
        self._previous = _phynexus.set_grad(self._enabled)

    def __enter__(self) -> None:
        _phynexus.set_grad(self._enabled)

    def __exit__(self, *_: object) -> None:
        _phynexus.set_grad(self._previous)

    def __call__(self, function: F) -> F:
        """Makes a decorator of it: the switch goes back to where it was."""
        _phynexus.set_grad(self._previous)
        return _decorated(function, self._enabled)


def _decorated(function: F, enabled: bool) -> F:
    if getattr(getattr(function, "__code__", None), "co_flags", 0) & CO_GENERATOR:
        return _decorated_generator(function, enabled)

    @wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        previous = _phynexus.set_grad(enabled)
        try:
            return function(*args, **kwargs)
        finally:
            _phynexus.set_grad(previous)

    return wrapper  # type: ignore[return-value]


def _decorated_generator(function: F, enabled: bool) -> F:
    @wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> Generator[Any, Any, Any]:
        generator = function(*args, **kwargs)
        mode = enable_grad() if enabled else no_grad()
        try:
            with mode:
                item = next(generator)
            while True:
                try:
                    sent = yield item
                except GeneratorExit:
                    with mode:
                        generator.close()
                    raise
                except BaseException as error:
                    with mode:
                        item = generator.throw(error)
                else:
                    with mode:
                        item = generator.send(sent)
        except StopIteration as stop:
            return stop.value

    return wrapper  # type: ignore[return-value]


def grad(
    outputs: Tensor | Sequence[Tensor],
    inputs: Tensor | Sequence[Tensor],
    grad_outputs: Tensor | Sequence[Tensor | None] | None = None,
    retain_graph: bool | None = None,
    create_graph: bool = False,
    allow_unused: bool = False,
) -> tuple[Tensor | None, ...]:
    """The sum of the gradients of the outputs with respect to each input; no `.grad` is touched.

    Args:
        outputs: what is differentiated.
        inputs: with respect to what; any tensors that the outputs were computed from.
        grad_outputs: for each output the gradient that arrives there, of its shape; None for a scalar output
            means 1.
        retain_graph: keep the graph for another pass; by default what `create_graph` says.
        create_graph: record the pass itself, so that the gradients can be differentiated again.
        allow_unused: give None for an input that the outputs do not depend on, instead of an error.

    >>> import neurenix
    >>> x = neurenix.Tensor(3.0, requires_grad=True)
    >>> (first,) = neurenix.autograd.grad(x**3, x, create_graph=True)
    >>> (second,) = neurenix.autograd.grad(first, x)
    >>> first.item(), second.item()
    (27.0, 18.0)
    """
    return _phynexus.grad(outputs, inputs, grad_outputs, retain_graph, create_graph, allow_unused)
