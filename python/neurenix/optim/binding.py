"""Parameters of one kind bound to a stepper, and the beginning of their state."""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from neurenix._phynexus import Rule, Stepper, Tensor

from .groups import Group
from .packing import BLOCKS, FORMATS, packed, scale_key, settled, unpacked
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
        packs: Sequence[State],
        handles: list[dict[str, Tensor]],
        gather: Stepper | None,
    ) -> None:
        self.batch = batch
        self.rule = rule
        self.stepper = stepper
        self.states = states
        self.packs = packs  # states in few bits that the formula does not decode itself
        self._handles = handles  # what the stepper has in their place
        self.scalars = [state.name for state in states if state.kind == "scalar"]
        self.prepares = rule.prepares
        self.gather = gather

    def counted(self, place: int) -> None:
        """Counts a step of a parameter that the stepper has not made."""
        steps = self.stepper.steps
        steps[place] += 1
        self.stepper.steps = steps

    @contextmanager
    def opened(self, place: int, entry: dict[str, Any], write: bool) -> Iterator[None]:
        """Lets the stepper see the states of one parameter that are stored in few bits, and stores them again."""
        handles = self._handles[place]
        kept = {name: (entry[name], entry[scale_key(name)], handles[name].data) for name in handles}
        for state in self.packs:
            codes, scale, _ = kept[state.name]
            handle = entry[state.name] = handles[state.name]
            handle.data = unpacked(codes, scale, handle.shape, state.is_signed)
        try:
            yield
            for state in self.packs if write else ():
                codes, scale, rest = kept[state.name]
                kind = "int8" if codes.numel() == handles[state.name].numel() else "int4"
                kept[state.name] = (*packed(handles[state.name].detach(), kind, state.is_signed), rest)
        finally:
            for name, (codes, scale, rest) in kept.items():
                entry[name], entry[scale_key(name)], handles[name].data = codes, scale, rest


class Wide(dict[str, Any]):
    """The state of a parameter as tensor code sees it: in float32. What is assigned is kept."""

    def __init__(self, entry: dict[str, Any]) -> None:
        super().__init__({name: _wide(value) for name, value in entry.items()})
        self._entry = entry

    def __setitem__(self, name: str, value: Any) -> None:
        super().__setitem__(name, value)
        self._entry[name] = value


def widened(entry: dict[str, Any]) -> dict[str, Any]:
    """A parameter's state for tensor code."""
    return Wide(entry) if any(_wide(value) is not value for value in entry.values()) else entry


def _wide(value: Any) -> Any:
    narrow = isinstance(value, Tensor) and value.dtype.name in FORMATS[1:3]
    return value.float() if narrow else value


def compute_type(dtype: str) -> str:
    """What a parameter of this dtype is computed in, and its states are stored in unless asked otherwise."""
    return "float64" if dtype == "float64" else "float32"


def identify(group: Group, position: int) -> int:
    """A number for a parameter of a group, by its name, or by its place where there is none."""
    name = group["param_names"][position] if "param_names" in group else f"parameter {position}"
    return zlib.crc32(name.encode()) - 2**31


def noise_keys(seed: int, step: int) -> tuple[float, float]:
    """Two integers of 32 bits for a step: the finalizer of splitmix64."""
    x = (seed * 0x9E3779B97F4A7C15 + step * 0xD1B54A32D192ED03 + 1) % 2**64
    x = (x ^ x >> 30) * 0xBF58476D1CE4E5B9 % 2**64
    x = (x ^ x >> 27) * 0x94D049BB133111EB % 2**64
    x ^= x >> 31
    return float((x >> 32) - 2**31), float((x & 0xFFFFFFFF) - 2**31)


def check_sizes(
    label: str, group: Group, param: Tensor, view: View, states: Sequence[State], entry: dict[str, Any]
) -> None:
    """ValueError where what is kept of a parameter is not what is needed now."""
    for state in states:
        expected = state.expected(param, view, group)
        value, packed = entry.get(state.name), scale_key(state.name) in entry
        if expected is None or packed:
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
    identity: int,
    keep: bool,
) -> None:
    """Completes the state of one parameter in these formats: what is there goes on, the rest begins."""
    new: dict[str, Any] = {"step": entry.get("step", 0)}
    for state, kind in zip(states, formats, strict=True):
        value, scale = entry.get(state.name), entry.get(scale_key(state.name))
        if value is None:
            value = state.start(param, view, group, "float32" if kind in BLOCKS else kind, identity)
        if state.kind == "tensor":
            new |= {} if value is None else {state.name: value}
        else:
            new |= settled(state, value, scale, param, kind, keep)
    entry.clear()
    entry.update(new)


def bind(
    rule: Rule,
    params: list[Tensor],
    views: list[View],
    states: Sequence[State],
    packs: Sequence[State],
    entries: dict[Tensor, dict[str, Any]],
) -> tuple[Stepper, list[dict[str, Tensor]]]:
    """A stepper of these parameters; for each what stands in place of the states that it does not decode itself."""
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
    stepper = Stepper(
        rule,
        params,
        views,
        [tensors(param, own) for param, own in zip(params, handles, strict=True)],
        [[entries[param][name] for name in scalars] for param in params],
        [entries[param]["step"] for param in params],
    )
    return stepper, handles
