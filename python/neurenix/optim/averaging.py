"""Averages of the weights, and who exchanges the weights for those that are to be evaluated."""

from __future__ import annotations

import warnings
import weakref
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from neurenix import _modes
from neurenix._phynexus import Tensor, copy_all, with_grad

from .groups import Group
from .packing import Decoded

if TYPE_CHECKING:
    from neurenix.nn import Module

    from .optimizer import Optimizer

_LIVING: Final[weakref.WeakSet[Exchange]] = weakref.WeakSet()
"""The exchanges of all optimizers that have weights for evaluation; none of them is kept alive by this."""


def mean(averaged: Tensor, current: Tensor, count: Any) -> Tensor:
    """The mean of one more value, where `count` are in the old one."""
    new: Tensor = averaged + (current - averaged) / (count + 1)
    return new


def ema(averaged: Tensor, current: Tensor, decay: float) -> Tensor:
    """The exponential moving average with one more value."""
    return decay * averaged + (1 - decay) * current


def values(optimizer: Optimizer, group: Group, param: Tensor) -> Mapping[str, Any]:
    """The state of a parameter of a group, decoded; as it is where the optimizer's `step()` is its own."""
    entry: Mapping[str, Any] = optimizer.state.get(param, {})
    if optimizer.formula is None:
        return entry
    return Decoded(entry, optimizer.all_states(group, optimizer.variant(param, group)), param)


Stamp: TypeAlias = tuple[int, int]
"""Tells whether a tensor was written in the meantime."""


def _stamp(param: Tensor) -> Stamp:
    return param.data_ptr(), param._version


class Exchange:
    """The owner of every exchange of an optimizer's weights: averages, and weights for evaluation.

    What is written into a parameter while other weights are in place (a state that is loaded, an assignment) stays
    there: only values that nobody has touched are exchanged back.
    """

    def __init__(self, optimizer: Optimizer, training: Sequence[tuple[Tensor, Tensor]] = ()) -> None:
        #: What parameters had before other values were put in their place; in the first layer those of training.
        self.layers: list[dict[Tensor, Tensor]] = [dict(training)] if training else []
        self._stamps: dict[Tensor, Stamp] = {}  # of what was put in place last
        self._optimizer = weakref.ref(optimizer)
        self._models: list[weakref.ref[Module]] = []
        self._by_hand = False  # whether the optimizer's own train() and eval() are called
        self._warned = False

    # Who switches
    def follow(self, model: Module) -> None:
        """Lets the model's train() and eval() switch the weights, as long as both live and nobody else takes over."""
        if all(known() is not model for known in self._models):
            self._models.append(weakref.ref(model))
        _LIVING.add(self)

    def take_over(self, params: Sequence[Tensor], has_evaluation: bool) -> None:
        """Ends what other optimizers do with these parameters: their weights of training come back first."""
        own = set(map(id, params)) if _LIVING else set()
        for other in list(_LIVING):
            if other is not self and not own.isdisjoint(map(id, other.params)):
                other.restore()
                other._models = []
                _LIVING.discard(other)
        if has_evaluation:
            _LIVING.add(self)

    @property
    def models(self) -> list[Module]:
        """The models that are followed."""
        return [model for model in (known() for known in self._models) if model is not None]

    @property
    def params(self) -> list[Tensor]:
        """The optimizer's parameters."""
        optimizer = self._optimizer()
        groups = [] if optimizer is None else optimizer.param_groups
        return [param for group in groups for param in group["params"]]

    def observe(self, model: Module, train: bool) -> None:
        """A model was set to training or evaluation."""
        optimizer = self._optimizer()
        if optimizer is None:
            return
        if followed := self.models:
            parts = set(map(id, model.modules()))
            if any(id(each) in parts for each in followed):
                self.switch(train)
        elif not (train or self._warned or self._by_hand or self.layers) and optimizer._has_stepped():
            own = set(map(id, self.params))
            if any(id(param) in own for param in model.parameters()):
                self._warned = True
                kind = type(optimizer).__name__
                warnings.warn(
                    f"{kind} has other weights for evaluation, and eval() of the {type(model).__name__} does not put "
                    "them in place: call optimizer.follow(model) once, or the optimizer's own eval() and train() too",
                    stacklevel=5,
                )

    def by_hand(self, train: bool) -> None:
        """The optimizer itself was set to training or evaluation."""
        self._by_hand = True
        self.switch(train)

    # Exchanging
    def switch(self, train: bool) -> None:
        """Exchanges the weights of training with those that the rule wants evaluated."""
        if not isinstance(train, bool):
            raise TypeError(f"train: mode must be True or False, got {train!r}")
        optimizer = self._optimizer()
        if train or optimizer is None:
            self.restore()
        elif not self.layers:
            self._put(with_grad(False, _evaluated, optimizer))

    @property
    def training(self) -> dict[Tensor, Tensor]:
        """The weights of training, of those parameters that have others in their place."""
        return {param: value for layer in reversed(self.layers) for param, value in layer.items()}

    def restore(self) -> None:
        """Puts the weights of training back."""
        self._put_back(self.training)
        self.layers, self._stamps = [], {}

    @contextmanager
    def averages(self, values: Mapping[Tensor, Tensor | None]) -> Iterator[None]:
        """Has these values in the place of the parameters' while it lasts; None leaves one as it is."""
        layer = self._put({p: p.detach().clone() if value is None else value for p, value in values.items()})
        try:
            yield
        finally:
            if (
                self.layers and self.layers[-1] is layer
            ):  # else train() has put the weights of training in place
                self._put_back(layer)
                self.layers = self.layers[:-1]

    def _put(self, values: dict[Tensor, Tensor]) -> dict[Tensor, Tensor]:
        layer = {param: param.detach().clone() for param in values}
        if not layer:
            return layer
        # Known as away before the first is written: an interruption at any line loses no weights of training.
        before, self.layers = self.layers, [*self.layers, layer]
        self._stamps = {param: stamp for param, stamp in self._stamps.items() if param not in layer}
        try:
            with_grad(False, copy_all, list(values), list(values.values()))
        except Exception:
            self.layers = before
            raise
        self._stamps = {**self._stamps, **{param: _stamp(param) for param in values}}
        return layer

    def _put_back(self, values: dict[Tensor, Tensor]) -> None:
        own = {param: value for param, value in values.items() if self._is_untouched(param)}
        with_grad(False, copy_all, list(own), list(own.values()))
        self._stamps = {**self._stamps, **{param: _stamp(param) for param in own}}

    def _is_untouched(self, param: Tensor) -> bool:
        """Whether a parameter still has what was put in its place."""
        return self._stamps.get(param) in (None, _stamp(param))


def _evaluated(optimizer: Optimizer) -> dict[Tensor, Tensor]:
    """The weights for evaluation of those parameters that have others than for training."""
    found: dict[Tensor, Tensor] = {}
    for group in optimizer.param_groups:
        for param in group["params"]:
            if param in optimizer.state:
                value = optimizer.evaluation(param, group, values(optimizer, group, param))
                found |= {} if value is None else {param: value}
    return found


def _observe(model: Module, train: bool) -> None:
    for exchange in list(_LIVING):
        exchange.observe(model, train)


_modes.observers.append(_observe)
