"""Parameters of one kind bound to a stepper, and the beginning of their state."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, TypeAlias

from neurenix._phynexus import Counts, Rule, Stepper, Tensor

from .groups import Group
from .options import COUNT, SUM
from .packing import BLOCKS, decoded, encoded, is_packed, scale_key, settled
from .parameter_state import ParameterState, as_count, as_number
from .rounding import Keys, tensor_keys
from .states import State, View

#: What counts become at the moment of a step: the new count and numbers.
Then: TypeAlias = tuple[Counts, int, Sequence[float]]


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
        counts: Sequence[Counts],
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
        self.counts = counts  # the step counts and numbers of the parameters
        self._scalars = [state.name for state in states if state.kind == "scalar"]  # what the numbers are
        self.identities = identities  # what rounding at random knows parameters by
        self.prepares = rule.prepares
        self.gather = gather

    def waiting(self) -> list[int]:
        """Places of the parameters of which gradients wait."""
        if COUNT not in self._scalars:
            return []
        at = self._scalars.index(COUNT)
        return [place for place, counts in enumerate(self.counts) if counts.numbers[at] > 0]

    def waited(self, places: Iterable[int]) -> list[Then]:
        """What the counts of these parameters are after a further gradient of theirs waits."""
        at = self._scalars.index(COUNT)
        found: list[Then] = []
        for counts in (self.counts[place] for place in places):
            numbers = counts.numbers
            numbers[at] += 1
            found.append((counts, counts.step, numbers))
        return found

    @contextmanager
    def opened(self, place: int, entry: ParameterState, keys: Keys | None) -> Iterator[None]:
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
            entry.keep({state.name: handles[state.name], scale_key(state.name): None})
        try:
            yield
            if keys is not None:
                for i, state in few:
                    own = tensor_keys(keys, self.identities[place], i)
                    value = handles[state.name].detach()
                    kept[state.name] = encoded(value, state, self.formats[state.name], own)
        finally:
            for _, state in few:
                entry.keep(kept[state.name])
                handles[state.name].data = rest[state.name]


class Wide(dict[str, Any]):
    """The states of a parameter as tensor code sees them: decoded. What is assigned is kept."""

    def __init__(self, entry: ParameterState, values: dict[str, Any]) -> None:
        super().__init__({**entry, **values})
        self._entry = entry

    def __setitem__(self, name: str, value: Any) -> None:
        super().__setitem__(name, value)
        self._entry.keep({name: value})


def widened(entry: ParameterState, states: Sequence[State], param: Tensor) -> Wide:
    """The states of a parameter for tensor code."""
    values = {state.name: decoded(entry, state, param) for state in states}
    return Wide(entry, {name: value for name, value in values.items() if value is not entry.get(name)})


def compute_type(dtype: str) -> str:
    """What a parameter of this dtype is computed in, and its states are stored in unless asked otherwise."""
    return "float64" if dtype == "float64" else "float32"


def identify(group: Group, position: int) -> int:
    """A number for a parameter of a group, by its name, or by its place where there is none."""
    name = group["param_names"][position] if "param_names" in group else f"parameter {position}"
    return zlib.crc32(name.encode()) - 2**31


def check_sizes(
    label: str, group: Group, param: Tensor, view: View, states: Sequence[State], entry: Mapping[str, Any]
) -> None:
    """ValueError where what is kept of a parameter is not what is needed now."""
    as_count(entry.get("step", 0))
    for state in states:
        expected = state.expected(param, view, group)
        value = entry.get(state.name)
        if state.kind == "scalar" and value is not None:
            as_number(f"{label}: {state.name}", value)
        elif state.kind != "tensor" and value is not None and not isinstance(value, Tensor):
            raise TypeError(f"{label}: {state.name} of a parameter must be a tensor, got {value!r}")
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
    entry: ParameterState,
    identity: Sequence[float],
) -> None:
    """Completes the state of one parameter in these formats: what is there goes on, the rest begins.

    What the rule does not use now is kept until it does again. `identity` is the number that tells the parameter apart,
    where the rule rounds at random.
    """
    new: dict[str, Any] = {"step": entry.get("step", 0)}
    for state, kind in zip(states, formats, strict=True):
        held: Mapping[str, Any] = entry
        if entry.get(state.name) is None:
            value = state.start(param, view, group, "float32" if kind in BLOCKS else kind)
            held = {} if value is None else {state.name: value}
        if state.kind != "tensor":
            new |= settled(state, held, param, kind)
        elif state.name in held:
            new[state.name] = held[state.name]
    used = {"step", SUM, COUNT}  # where a rule has no sums nothing waits
    used |= {key for state in states for key in (state.name, scale_key(state.name))}
    new |= {name: value for name, value in entry.items() if name not in used}
    entry.bind(new, [state.name for state in states if state.kind == "scalar"], identity)


def bind(
    rule: Rule,
    params: list[Tensor],
    views: list[View],
    states: Sequence[State],
    packs: Sequence[State],
    entries: Mapping[Tensor, Mapping[str, Any]],
    counts: Sequence[Counts],
) -> tuple[Stepper, list[dict[str, Tensor]]]:
    """A stepper of these parameters; for each what stands in place of the states that it does not decode itself.

    `entries` are their states, and `counts` their step counts and numbers.
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

    stepper = Stepper(
        rule,
        params,
        views,
        [tensors(param, own) for param, own in zip(params, handles, strict=True)],
        counts,
    )
    return stepper, handles
