"""Training as the properties need it: fixed random gradients, for the optimizer and for its oracle."""

from __future__ import annotations

import functools
import inspect
import itertools
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np

from neurenix._phynexus import Tensor
from neurenix.optim import Optimizer
from neurenix.optim.limits import ANYTHING, has_schedule, resolve

from .record import Array, Record, Shape

SETTLED: Final = 10
"""Steps after which every rule moves its parameters; some begin with others that only learn a scale."""
MEMORY: Final = Path("/dev/shm")
"""Where files cost no time, if there is such a place."""
LARGE: Final[tuple[Shape, ...]] = ((131_075,), (96, 257), (3,))
"""Parameters that are cut into pieces for several threads."""


def large(record: Record) -> Sequence[Shape]:
    """Large shapes with as many dimensions as the record's have."""
    dimensions = {len(shape) for shape in record.shapes}
    return [shape for shape in LARGE if len(shape) in dimensions] or record.shapes


class Process:
    """Gradients of a mild parabola in every other tensor (in all for rules with a closure), and noise.

    Scales differ by element; one element never has a gradient. The noise begins anew after `period` steps.
    """

    def __init__(self, shapes: Sequence[Shape], period: int = 64, everywhere: bool = False) -> None:
        rng = np.random.default_rng(0)
        sizes = [int(np.prod(shape)) for shape in shapes]
        bounds = np.cumsum([0, *sizes])
        self.shapes = tuple(shapes)
        self.cuts = [slice(a, b) for a, b in itertools.pairwise(bounds)]
        self.start = rng.normal(size=bounds[-1])
        scale = rng.permutation(np.logspace(-1.5, 0.5, bounds[-1]))
        self.noise = scale * (rng.normal(size=(period, bounds[-1])) + rng.normal(size=bounds[-1]))
        self.curvature = rng.uniform(0.05, 0.2, bounds[-1])
        for place, cut in enumerate(self.cuts):
            if place % 2 and not everywhere:
                self.curvature[cut] = 0
        still = self.cuts[int(np.argmax(sizes))].start
        self.noise[:, still] = self.curvature[still] = 0

    def split(self, flat: Array) -> list[Array]:
        """Views of the tensors in one array of all elements."""
        return [flat[cut].reshape(shape) for cut, shape in zip(self.cuts, self.shapes, strict=True)]

    def at(self, t: int, flat: Array) -> Array:
        """The gradients at step t, counted from 1."""
        with np.errstate(all="ignore"):  # a run that diverges shows in its values
            gradients: Array = self.curvature * flat + self.noise[t % len(self.noise)]
        return gradients

    def loss(self, t: int, flat: Array) -> float:
        """What the gradients are those of."""
        return float(np.dot(flat, self.curvature * flat / 2 + self.noise[t % len(self.noise)]))


@functools.lru_cache(maxsize=64)
def process(shapes: tuple[Shape, ...], period: int, everywhere: bool) -> Process:
    """The process of these shapes, made once."""
    return Process(shapes, period, everywhere)


def flatten(arrays: Sequence[Any]) -> Array:
    """All elements in one array."""
    return np.concatenate([np.ravel(array) for array in arrays], dtype=np.float64)


def named(params: list[Tensor]) -> list[tuple[str, Tensor]]:
    """Parameters with names."""
    return [(f"p{place}", param) for place, param in enumerate(params)]


def bits(params: Sequence[Tensor]) -> list[bytes]:
    """The exact contents of tensors."""
    return [param.detach().tobytes() for param in params]


class Run:
    """Parameters with their optimizer, which are trained.

    Args:
        record: whose optimizer.
        dtype: of the parameters.
        start: their values; by default those of the process.
        shapes: by default the record's.
        period: of the noise.
        arrange: makes the optimizer's first argument of the parameters; by default their list.
        changes: other arguments.
    """

    def __init__(
        self,
        record: Record,
        dtype: str = "float64",
        *,
        start: Array | None = None,
        shapes: Sequence[Shape] | None = None,
        period: int = 64,
        arrange: Callable[[list[Tensor]], Any] = list,
        **changes: Any,
    ) -> None:
        self.record = record
        self.process = process(tuple(shapes or record.shapes), period, record.closure)
        arrays = self.process.split(self.process.start if start is None else start)
        self.params = [Tensor(array, dtype=dtype, requires_grad=True) for array in arrays]
        self.optimizer: Optimizer = record.build(arrange(self.params), **changes)
        self._windows: dict[tuple[int, Shape], Any] = {}

    def put(self, flat: Array) -> None:
        """Sets the gradients."""
        for param, gradient in zip(self.params, self.process.split(flat), strict=True):
            old = param.grad
            if old is not None and old.dtype.name != "bfloat16":
                self._window(old)[...] = gradient
            else:
                param.grad = Tensor(gradient, dtype=param.dtype.name)

    def place(self, flat: Array) -> None:
        """Sets the parameters, which must not be bfloat16."""
        for param, value in zip(self.params, self.process.split(flat), strict=True):
            self._window(param)[...] = value

    def values(self) -> Array:
        """All elements of the parameters."""
        return flatten([self._window(param) for param in self.params])

    def _window(self, tensor: Tensor) -> Any:
        """A tensor as NumPy sees it, in its own memory; a copy if it is bfloat16. Made once: it takes long."""
        if tensor.dtype.name == "bfloat16":
            return tensor.detach().double().numpy()
        key = tensor.data_ptr(), tuple(tensor.shape)
        if key not in self._windows:  # it keeps the memory, so that no other tensor comes to the same address
            self._windows[key] = tensor.detach().numpy()
        return self._windows[key]

    def closure(self, t: int, gradients: Array | None = None) -> Callable[[], Tensor]:
        """Computes the loss and its gradients at step t, or sets those that are given."""

        def closure() -> Tensor:
            here = self.values()
            self.put(self.process.at(t, here) if gradients is None else gradients)
            return Tensor(self.process.loss(t, here), dtype="float64")

        return closure

    def step(self, t: int, gradients: Array | None = None) -> Run:
        """Makes step t, counted from 1."""
        record = self.record
        if record.advance is not None:
            record.advance(self.optimizer, self.closure(t, gradients), t)
        elif record.closure:
            self.optimizer.step(self.closure(t, gradients))
        else:
            self.put(self.process.at(t, self.values()) if gradients is None else gradients)
            self.optimizer.step()
        return self

    def train(self, stop: int, start: int = 1) -> Run:
        """Makes the steps from `start` to `stop`, both included."""
        for t in range(start, stop + 1):
            self.step(t)
        return self

    def bits(self) -> list[bytes]:
        """The exact contents of the parameters."""
        return bits(self.params)


def contents(value: Any) -> Any:
    """Nested state with tensors as their exact contents, to be compared."""
    if isinstance(value, Tensor):
        return value.dtype.name, tuple(value.shape), value.detach().tobytes()
    if isinstance(value, np.ndarray):
        return value.dtype.name, value.shape, value.tobytes()
    if isinstance(value, Mapping):
        return {key: contents(item) for key, item in value.items()}
    return list(map(contents, value)) if isinstance(value, (list, tuple)) else value


class Oracle:
    """The way of a record's oracle beside a run that has not yet begun.

    Args:
        run: whose start, gradients and hyperparameters it has.
        changes: the arguments that the run was given.
    """

    def __init__(self, run: Run, **changes: Any) -> None:
        record, optimizer = run.record, run.optimizer
        assert record.oracle is not None
        self.record = record
        self.process = run.process
        self.flat = self.process.start.copy()
        self.memory: dict[Any, Any] = {}
        group = optimizer.param_groups[0]
        self.sign = -1.0 if group.get("maximize") else 1.0
        named = inspect.signature(record.oracle).parameters.values()
        known = {**record.hyperparameters, **record.arguments, **changes}
        known |= {name: group[name] for name in optimizer.defaults}
        wanted = {parameter.name for parameter in named if parameter.kind is parameter.KEYWORD_ONLY}
        if any(parameter.kind is parameter.VAR_KEYWORD for parameter in named):
            wanted |= set(record.hyperparameters)
        self.hyper = known = {name: value for name, value in known.items() if name in wanted}
        self.scheduled = [name for name, value in known.items() if has_schedule(value)]

    def step(self, t: int) -> Array:
        """Makes step t and returns the gradients at its start."""
        oracle = self.record.oracle
        assert oracle is not None
        gradients = self.process.at(t, self.flat)
        hyper = {**self.hyper}
        for name in self.scheduled:
            hyper[name] = resolve(ANYTHING, name, hyper[name], t - 1)

        def grads(params: Sequence[Array]) -> tuple[float, list[Array]]:
            flat = flatten(params)
            loss, found = self.process.loss(t, flat), self.process.at(t, flat)
            return self.sign * loss, self.process.split(self.sign * found)

        given = grads if self.record.closure else self.process.split(self.sign * gradients)
        self.flat = flatten(oracle(self.process.split(self.flat), given, self.memory, t, **hyper))
        return gradients
