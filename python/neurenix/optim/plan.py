"""How one group is stepped: compiled formulas over its tensors, and the numbers they are given."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from operator import is_
from typing import Any, Protocol

from neurenix._phynexus import Formula, Stepper, Tensor

from .groups import Group, check_parameter, describe
from .limits import Limit, has_schedule, resolve
from .tracing import layout, leaves, select, trace


class Rule(Protocol):
    """What a plan asks of an optimizer."""

    defaults: dict[str, Any]

    def rule(self, group: Group) -> Callable[..., Any] | None:
        """What is traced for a group."""

    def state_names(self, group: Group) -> Sequence[str]:
        """Names of the states that the group's hyperparameters call for."""

    def normalize(self, label: str, group: Group) -> None:
        """Checks all hyperparameters of the group and brings them to their normal form."""

    def limit(self, name: str) -> Limit:
        """What a hyperparameter may be."""


class Plan:
    """The steps of one group. Hyperparameters are read anew at each step, everything else when it changes."""

    __slots__ = ("_forms", "_members", "_scalars", "_scheduled", "_seen", "_steppers", "label", "step")

    def __init__(self, label: str, step: int = 0) -> None:
        self.label = label  # how errors name the group
        self.step = step  # how many steps the group has made: what its schedules are asked for
        self._seen: tuple[Any, ...] = ()  # the group's values when they were last checked
        self._forms: Any = None  # what the formula was traced for
        self._members: list[Tensor] = []
        self._scalars: list[float] = []
        self._scheduled: list[tuple[int, str, Limit, Any]] = []  # where the numbers of schedules go
        self._steppers: list[tuple[Stepper, list[Tensor]]] = []

    def prepare(self, rule: Rule, group: Group, state: dict[Tensor, dict[str, Any]]) -> None:
        """Makes ready for `run`; raises before anything of the group has changed."""
        if (
            len(group) != len(self._seen)
            or not all(map(is_, group.values(), self._seen))
            or len(group["params"]) != len(self._members)
        ):
            self._read(rule, group, state)
        for start, label, limit, value in self._scheduled:
            numbers = leaves(resolve(limit, label, value, self.step))
            self._scalars[start : start + len(numbers)] = numbers
        for stepper, _ in self._steppers:
            if not stepper.is_current():
                self._build(rule, group, state)
                break

    def run(self) -> None:
        """One step of the group."""
        for stepper, _ in self._steppers:
            stepper.step(self._scalars)
        self.step += 1

    def nonfinite(self) -> list[Tensor]:
        """The parameters whose gradients hold a NaN or an infinity."""
        return [members[i] for stepper, members in self._steppers for i in stepper.nonfinite()]

    def sync(self, state: dict[Tensor, dict[str, Any]]) -> None:
        """Writes the step counts, which the engine keeps, into the state."""
        for stepper, members in self._steppers:
            for param, step in zip(members, stepper.steps, strict=True):
                state[param]["step"] = step

    def _read(self, rule: Rule, group: Group, state: dict[Tensor, dict[str, Any]]) -> None:
        formula = rule.rule(group)
        if formula is None:
            raise NotImplementedError(f"{type(rule).__name__} has neither a formula nor a step() of its own")
        rule.normalize(self.label, group)
        self._scalars, self._scheduled = [], []
        for name, value in select(formula, {name: group[name] for name in rule.defaults}).items():
            limit, label = rule.limit(name), f"{self.label}: {name}"
            if has_schedule(value):
                self._scheduled.append((len(self._scalars), label, limit, value))
            self._scalars += leaves(resolve(limit, label, value, self.step))
        forms = self._forms_of(rule, group)
        params = group["params"]
        if (
            forms != self._forms
            or len(params) != len(self._members)
            or not all(map(is_, params, self._members))
        ):
            self._build(rule, group, state)
        self._seen = tuple(group.values())

    @staticmethod
    def _forms_of(rule: Rule, group: Group) -> Any:
        return (
            tuple(rule.state_names(group)),
            [(name, layout(group[name])) for name in rule.defaults],
        )

    def _build(self, rule: Rule, group: Group, state: dict[Tensor, dict[str, Any]]) -> None:
        formula = rule.rule(group)
        assert formula is not None
        self.sync(state)
        batches: dict[Any, list[Tensor]] = {}
        for position, param in enumerate(group["params"]):
            check_parameter(f"{self.label}: {describe(group, position)}", param)
            batches.setdefault((param.dtype.name, param.device), []).append(param)
        names = rule.state_names(group)
        hyper = {name: group[name] for name in rule.defaults}
        steppers = []
        for (dtype, _), params in batches.items():
            kind = compute_type(dtype)
            compiled = trace(formula, len(names), hyper, kind, group["maximize"])
            steppers.append((_stepper(compiled, self.label, params, names, kind, state), params))
        self._steppers, self._members = steppers, list(group["params"])
        self._forms = self._forms_of(rule, group)


def compute_type(dtype: str) -> str:
    """What a parameter of this dtype is computed in, and its states are stored in."""
    return "float64" if dtype == "float64" else "float32"


def _stepper(
    compiled: Formula,
    label: str,
    params: list[Tensor],
    names: Sequence[str],
    kind: str,
    state: dict[Tensor, Any],
) -> Stepper:
    """Steps for these parameters, which go on from their states or, where there are none, from zeros."""
    states = []
    for param in params:
        old = state[param]
        new: dict[str, Any] = {"step": old.get("step", 0)}
        for name in names:
            value = old.get(name)
            if value is None:
                value = Tensor.zeros(param.shape, dtype=kind, device=param.device)
            elif value.shape != param.shape:
                raise ValueError(
                    f"{label}: {name} has shape {tuple(value.shape)}, its parameter {tuple(param.shape)}; "
                    "parameters must not change their shape, give the new tensor to a new optimizer"
                )
            elif (value.dtype.name == "float64") != (kind == "float64"):
                value = value.to(kind)
            new[name] = value
        old.clear()
        old.update(new)
        states.append([new[name] for name in names])
    return Stepper(compiled, params, states, [state[param]["step"] for param in params])
