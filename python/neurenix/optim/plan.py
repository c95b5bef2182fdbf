"""How one group is stepped: compiled rules over its tensors, and the numbers they are given."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from operator import is_
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from neurenix._phynexus import Stepper, Tensor, prepare_together

from .groups import Group, check_parameter, describe
from .limits import Limit, has_schedule, resolve
from .options import gather
from .states import State, View
from .tracing import Recipe, layout, leaves, trace_recipe

if TYPE_CHECKING:
    from .optimizer import Optimizer

#: What a plan keeps besides the group's hyperparameters.
COUNTS: Final = ("step", "peak_lr", "pending")
Extras: TypeAlias = list[list[Tensor | None]] | None


class Batch:
    """Parameters of one group that share a dtype, a device and a variant of the rule, and so one stepper.

    This is also what `Optimizer.direction` is given. Lists hold only the parameters that have a gradient.
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
        self, batch: Batch, stepper: Stepper, states: Sequence[State], prepares: bool, gather: Stepper | None
    ) -> None:
        self.batch = batch
        self.stepper = stepper
        self.scalars = [state.name for state in states if state.kind == "scalar"]
        self.prepares = prepares
        self.gather = gather


class Plan:
    """The steps of one group. Hyperparameters are read anew at each step, everything else when it changes."""

    def __init__(self, label: str, step: int = 0, peak_lr: float = 0.0, pending: int = 0) -> None:
        self.label = label  # how errors name the group
        self.step = step  # how many steps the group has made: what its schedules are asked for
        self.peak_lr = peak_lr  # the largest learning rate so far
        self.pending = pending  # how many gradients wait to be accumulated
        self.units: list[Unit] = []
        self.scalars: list[float] = []
        self.joins: list[str] = []  # how the numbers over all tensors that the rule needs are joined
        self.directed = False  # whether tensor code comes before the rule
        self._seen: tuple[Any, ...] = ()  # the group's values when they were last checked
        self._forms: Any = None  # what the rule was traced for
        self._members: list[Tensor] = []
        self._scheduled: list[tuple[int, str, Limit, Any]] = []  # where the numbers of schedules go
        self._peak: int | None = None  # where the largest learning rate goes

    def saved(self) -> dict[str, float]:
        """What of it belongs into a saved state."""
        kept = {name: getattr(self, name) for name in COUNTS}
        return {name: value for name, value in kept.items() if value or name == "step"}

    def prepare(self, rule: Optimizer, group: Group, state: dict[Tensor, dict[str, Any]]) -> None:
        """Makes ready for a step; raises before anything of the group has changed."""
        if (
            len(group) != len(self._seen)
            or not all(map(is_, group.values(), self._seen))
            or len(group["params"]) != len(self._members)
        ):
            self._read(rule, group, state)
        for start, label, limit, value in self._scheduled:
            numbers = leaves(resolve(limit, label, value, self.step))
            self.scalars[start : start + len(numbers)] = numbers
        if self._peak is not None:
            lr = resolve(rule.limit("lr"), f"{self.label}: lr", group["lr"], self.step)
            self.scalars[self._peak] = max(self.peak_lr, lr)
        for unit in self.units:
            if not unit.stepper.is_current():
                self._forms = None
                self._read(rule, group, state)
                break

    def run(self, rule: Optimizer, state: dict[Tensor, dict[str, Any]]) -> None:
        """One step of the group by itself."""
        for unit in self.units:
            if self.directed:
                unit.stepper.step(self.scalars, self.directions(rule, unit, state))
            else:
                unit.stepper.step(self.scalars)
        self.count()

    def count(self) -> None:
        """Counts a step that was made."""
        self.step += 1
        if self._peak is not None:
            self.peak_lr = self.scalars[self._peak]

    def places(self) -> dict[Tensor, tuple[Plan, Unit, int]]:
        """Where each parameter is."""
        return {
            param: (self, unit, place)
            for unit in self.units
            for place, param in enumerate(unit.batch.members)
        }

    def wait(self) -> None:
        """Adds the gradients to those that wait."""
        for unit in self.units:
            if unit.gather is not None:
                unit.gather.step([])
        self.pending += 1

    def directions(
        self,
        rule: Optimizer,
        unit: Unit,
        state: dict[Tensor, dict[str, Any]],
        prepared: list[tuple[int, Tensor]] | None = None,
        only: int | None = None,
    ) -> Extras:
        """What the rule's tensor code makes of the gradients of a batch."""
        batch, members = unit.batch, unit.batch.members
        if not rule.is_directed(batch.variant):
            return None
        if unit.prepares and prepared is None:
            (prepared,) = prepare_together([(unit.stepper, self.scalars, None)])
        if prepared is None:
            wide = [
                (i, param.grad)
                for i, param in enumerate(members)
                if param.grad is not None and only in (None, i)
            ]
            prepared = [(i, grad.to(compute_type(grad.dtype.name))) for i, grad in wide]
        places = [i for i, _ in prepared]
        steps = unit.stepper.steps
        batch.grads = [grad for _, grad in prepared]
        batch.params = [members[i] for i in places]
        batch.states = [state[members[i]] for i in places]
        batch.steps = [steps[i] + 1 for i in places]
        batch.hyper = self.numbers(batch.hyper)
        found = dict(zip(places, rule.direction(batch), strict=True)) if places else {}
        return [[found.get(i) for i in range(len(members))]]

    def numbers(self, hyper: Mapping[str, Any]) -> dict[str, Any]:
        """The hyperparameters of this step in place of schedules."""
        values = {**hyper}
        for _, label, limit, value in self._scheduled:
            name = label.rsplit(": ", 1)[1]
            values[name] = resolve(limit, label, value, self.step)
        return values

    def nonfinite(self) -> list[Tensor]:
        """The parameters whose gradients hold a NaN or an infinity."""
        return [unit.batch.members[i] for unit in self.units for i in unit.stepper.nonfinite()]

    def sync(self, state: dict[Tensor, dict[str, Any]]) -> None:
        """Writes the numbers that the engine keeps, the step counts among them, into the state."""
        for unit in self.units:
            members = unit.batch.members
            for param, step, numbers in zip(members, unit.stepper.steps, unit.stepper.numbers, strict=True):
                state[param]["step"] = step
                state[param].update(zip(unit.scalars, numbers, strict=True))

    def _read(self, rule: Optimizer, group: Group, state: dict[Tensor, dict[str, Any]]) -> None:
        if rule.formula is None:
            raise NotImplementedError(f"{type(rule).__name__} has neither a formula nor a step() of its own")
        rule.normalize(self.label, group)
        recipes = {variant: rule.recipe(group, variant) for variant in rule.variants(group)}
        hyper = self._hyper(rule, group, recipes)
        self.scalars, self._scheduled, self._peak = [], [], None
        for name, value in hyper.items():
            if name == "peak_lr":
                self._peak = len(self.scalars)
            limit, label = rule.limit(name), f"{self.label}: {name}"
            if has_schedule(value):
                self._scheduled.append((len(self.scalars), label, limit, value))
            self.scalars += leaves(resolve(limit, label, value, self.step))
        forms = recipes, [(name, layout(value)) for name, value in hyper.items()]
        params = group["params"]
        if (
            forms != self._forms
            or len(params) != len(self._members)
            or not all(map(is_, params, self._members))
        ):
            self._build(rule, group, state, recipes, hyper)
        self._forms, self._seen = forms, tuple(group.values())

    def _hyper(self, rule: Optimizer, group: Group, recipes: Mapping[Any, Recipe]) -> dict[str, Any]:
        """What the recipes ask for: hyperparameters, and what is known of the group beside them."""
        known = {name: group[name] for name in rule.defaults}
        beside = {"peak_lr": self.peak_lr, "share": rule.share}
        known |= {
            name: value for name, value in beside.items() if any(r.asks(name) for r in recipes.values())
        }
        hyper: dict[str, Any] = {}
        for recipe in recipes.values():
            hyper |= recipe.select(known)
        return hyper

    def _build(
        self,
        rule: Optimizer,
        group: Group,
        state: dict[Tensor, dict[str, Any]],
        recipes: Mapping[Any, Recipe],
        hyper: dict[str, Any],
    ) -> None:
        self.sync(state)
        batches: dict[Any, list[Tensor]] = {}
        for position, param in enumerate(group["params"]):
            check_parameter(f"{self.label}: {describe(group, position)}", param)
            key = (param.dtype.name, param.device, rule.variant(param, group), param.ndim > 1)
            batches.setdefault(key, []).append(param)
        units = []
        for (dtype, _, variant, matrix), params in batches.items():
            recipe, kind = recipes[variant], compute_type(dtype)
            traced = trace_recipe(recipe, hyper, kind, variant, matrix)
            states = recipe.all_states()
            views = [rule.view(param, group) for param in params]
            for param, view in zip(params, views, strict=True):
                _begin(self.label, group, param, view, rule.all_states(group, variant), kind, state[param])
            stepper = _stepper(traced, params, views, states, state)
            waiting = None
            if rule.accumulate > 1:
                sums = (State("accumulated"),)
                waiting = _stepper(trace_recipe(Recipe(gather, sums), {}, kind), params, views, sums, state)
            batch = Batch(params, variant, {name: group[name] for name in rule.defaults})
            units.append(Unit(batch, stepper, states, traced.prepares, waiting))
        self.units, self._members = units, list(group["params"])
        self.joins = max((unit.stepper.joins for unit in units), key=len, default=[])
        self.directed = any(rule.is_directed(unit.batch.variant) for unit in units)


def compute_type(dtype: str) -> str:
    """What a parameter of this dtype is computed in, and its states are stored in."""
    return "float64" if dtype == "float64" else "float32"


def _begin(
    label: str,
    group: Group,
    param: Tensor,
    view: View,
    states: Sequence[State],
    kind: str,
    entry: dict[str, Any],
) -> None:
    """Completes the state of one parameter: what is there goes on, the rest begins."""
    new: dict[str, Any] = {"step": entry.get("step", 0)}
    for state in states:
        value = entry.get(state.name)
        if value is None:
            value = state.start(param, view, group, kind)
        elif isinstance(value, Tensor) and state.kind != "tensor":
            if tuple(value.shape) != state.shape(param, view):
                raise ValueError(
                    f"{label}: {state.name} has shape {tuple(value.shape)}, its parameter {tuple(param.shape)}; "
                    "parameters must not change their shape, give the new tensor to a new optimizer"
                )
            if (value.dtype.name == "float64") != (kind == "float64"):
                value = value.to(kind)
        if value is not None:
            new[state.name] = value
    entry.clear()
    entry.update(new)


def _stepper(
    rule: Any,
    params: list[Tensor],
    views: list[View],
    states: Sequence[State],
    entries: dict[Tensor, dict[str, Any]],
) -> Stepper:
    tensors = [state.name for state in states if state.kind != "scalar"]
    scalars = [state.name for state in states if state.kind == "scalar"]
    return Stepper(
        rule,
        params,
        views,
        [[entries[param][name] for name in tensors] for param in params],
        [[entries[param][name] for name in scalars] for param in params],
        [entries[param]["step"] for param in params],
    )
