"""Parameters of one kind bound to a stepper, and the beginning of their state."""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from neurenix._phynexus import Rule, Stepper, Tensor

from .groups import Group
from .options import COUNT
from .packing import BLOCKS, decoded, encoded, is_packed, scale_key, settled
from .rounding import Keys, tensor_keys
from .states import State, View


class Batch:
    """Parameters of one group that share a dtype, a device and a variant of the rule, and so one stepper.

    This is also what `Optimizer.direction` is given. Lists hold only the parameters that have a gradient.

    >>> import neurenix as nx
    >>> class Normed(nx.optim.Optimizer):
    ...     def __init__(self, params, lr):
    ...         super().__init__(params, {"lr": lr})
    ...
    ...     def direction(self, batch: nx.optim.Batch):
    ...         return [grad / nx.linalg.matrix_norm(grad, 2) for grad in batch.grads]
    ...
    ...     @staticmethod
    ...     def formula(p, g, d, *, lr):
    ...         return p - lr * d
    >>> w = nx.zeros(2, 2, requires_grad=True)
    >>> w.grad = nx.Tensor([[0.0, 3.0], [4.0, 0.0]])
    >>> Normed([w], lr=1.0).step()
    >>> [[round(x, 4) for x in row] for row in w.tolist()]
    [[0.0, -0.75], [-1.0, 0.0]]
    """

    def __init__(self, members: list[Tensor], variant: Any, hyper: dict[str, Any]) -> None:
        self.members = members
        self.variant = variant
        self.hyper = hyper  #: the hyperparameters as numbers
        self.params: list[Tensor] = []
        self.grads: list[Tensor] = []  #: not to be written into
        self.states: list[dict[str, Any]] = []  #: their entries in `optimizer.state`
        self.steps: list[int] = []  #: the number of this step for each, from 1


class Unit:
    """A batch with its stepper."""

    def __init__(
        self,
        batch: Batch,
        rule: Rule,
        stepper: Stepper,
        states: Sequence[State],
        formats: Mapping[str, str],
        handles: list[dict[str, Tensor]],
        identities: Sequence[float],
        gather: Stepper | None,
    ) -> None:
        self.batch = batch
        self.rule = rule
        self.stepper = stepper
        self.states = states
        self.formats = (
            formats  # of the states that are stored in few bits and that the formula does not decode itself
        )
        self._handles = handles  # what the stepper has in their place
        self.identities = identities  # what rounding at random knows parameters by
        self.scalars = [state.name for state in states if state.kind == "scalar"]
        self.prepares = rule.prepares
        self.gather = gather

    def wait(self) -> None:
        """Adds the gradients to those that wait."""
        assert self.gather is not None
        self.gather.step([])
        self.count_waiting([i for i, param in enumerate(self.batch.members) if param.grad is not None])

    def count_waiting(self, places: Sequence[int]) -> None:
        """Counts gradients that have been added to those that wait."""
        numbers, at = self.stepper.numbers, self.scalars.index(COUNT)
        for place in places:
            numbers[place][at] += 1
        self.stepper.numbers = numbers

    def counted(self, place: int) -> None:
        """Counts a step of a parameter that the stepper has not made."""
        steps = self.stepper.steps
        steps[place] += 1
        self.stepper.steps = steps

    @contextmanager
    def opened(self, place: int, entry: dict[str, Any], keys: Keys | None) -> Iterator[None]:
        """Lets the stepper see the states of one parameter that are stored in few bits, and stores them again.

        Args:
            place: which parameter.
            entry: its states.
            keys: of rounding at random; None where nothing is to be changed.
        """
        param, handles = self.batch.members[place], self._handles[place]
        few = [(i, state) for i, state in enumerate(self.states) if state.name in handles]
        kept = {state.name: {n: entry[n] for n in (state.name, scale_key(state.name))} for _, state in few}
        rest = {name: handle.data for name, handle in handles.items()}
        for _, state in few:
            handles[state.name].data = decoded(entry, state, param)
            entry[state.name] = handles[state.name]
            del entry[scale_key(state.name)]
        try:
            yield
            if keys is not None:
                for i, state in few:
                    own = tensor_keys(keys, self.identities[place], i)
                    value = handles[state.name].detach()
                    kept[state.name] = encoded(value, state, self.formats[state.name], own)
        finally:
            for _, state in few:
                entry.update(kept[state.name])
                handles[state.name].data = rest[state.name]


class Wide(dict[str, Any]):
    """The states of a parameter as tensor code sees them: decoded. What is assigned is kept."""

    def __init__(self, entry: dict[str, Any], values: dict[str, Any]) -> None:
        super().__init__({**entry, **values})
        self._entry = entry

    def __setitem__(self, name: str, value: Any) -> None:
        super().__setitem__(name, value)
        self._entry[name] = value


def widened(entry: dict[str, Any], states: Sequence[State], param: Tensor) -> dict[str, Any]:
    """The states of a parameter for tensor code."""
    values = {state.name: decoded(entry, state, param) for state in states}
    values = {name: value for name, value in values.items() if value is not entry.get(name)}
    return Wide(entry, values) if values else entry


def compute_type(dtype: str) -> str:
    """What a parameter of this dtype is computed in, and its states are stored in unless asked otherwise."""
    return "float64" if dtype == "float64" else "float32"


def identify(group: Group, position: int) -> int:
    """A number for a parameter of a group, by its name, or by its place where there is none."""
    name = group["param_names"][position] if "param_names" in group else f"parameter {position}"
    return zlib.crc32(name.encode()) - 2**31


def check_sizes(
    label: str, group: Group, param: Tensor, view: View, states: Sequence[State], entry: dict[str, Any]
) -> None:
    """ValueError where what is kept of a parameter is not what is needed now."""
    for state in states:
        expected = state.expected(param, view, group)
        value = entry.get(state.name)
        if expected is None or is_packed(entry, state.name):
            continue
        kept = None
        if isinstance(value, Tensor) and tuple(value.shape) != expected:
            kept = f"has shape {tuple(value.shape)}"
        elif value is None and state.kind == "tensor" and entry.get("step", 0) > 0:
            kept = "is not kept"
        if kept is not None:
            raise ValueError(
                f"{label}: after {entry.get('step', 0)} steps {state.name} of a parameter {kept}, and must have shape "
                f"{expected} for its shape {tuple(param.shape)} and the hyperparameters of now; what sizes a state "
                "may not change: give it back its value, or make a new optimizer"
            )


def begin(
    label: str,
    group: Group,
    param: Tensor,
    view: View,
    states: Sequence[State],
    formats: Sequence[str],
    entry: dict[str, Any],
) -> None:
    """Completes the state of one parameter in these formats: what is there goes on, the rest begins."""
    new: dict[str, Any] = {"step": entry.get("step", 0)}
    for state, kind in zip(states, formats, strict=True):
        if entry.get(state.name) is None:
            value = state.start(param, view, group, "float32" if kind in BLOCKS else kind)
            if value is not None:
                entry[state.name] = value
        if state.kind != "tensor":
            new |= settled(state, entry, param, kind)
        elif state.name in entry:
            new[state.name] = entry[state.name]
    entry.clear()
    entry.update(new)


def bind(
    rule: Rule,
    params: list[Tensor],
    views: list[View],
    states: Sequence[State],
    packs: Sequence[State],
    entries: dict[Tensor, dict[str, Any]],
    identities: Sequence[float],
) -> tuple[Stepper, list[dict[str, Tensor]]]:
    """A stepper of these parameters; for each what stands in place of the states that it does not decode itself.

    `identities` are the numbers that tell parameters apart, of a rule that rounds at random; else there are none.
    """
    handles = [{s.name: Tensor.zeros(()).to(p.device).expand(p.shape) for s in packs} for p in params]

    def tensors(param: Tensor, handles: dict[str, Tensor]) -> list[Tensor]:
        found = []
        for state in states:
            if state.name in handles:
                found.append(handles[state.name])
            elif state.kind != "scalar":
                keys = (state.name, scale_key(state.name))
                found += [entries[param][key] for key in keys if key in entries[param]]
        return found

    scalars = [state.name for state in states if state.kind == "scalar"]
    numbers = [[entries[param][name] for name in scalars] for param in params]
    for own, identity in zip(numbers, identities, strict=False):
        own.append(identity)
    stepper = Stepper(
        rule,
        params,
        views,
        [tensors(param, own) for param, own in zip(params, handles, strict=True)],
        numbers,
        [entries[param]["step"] for param in params],
    )
    return stepper, handles
