"""How one group is stepped: compiled rules over its tensors, and the numbers they are given."""

from __future__ import annotations

from collections.abc import Mapping
from operator import is_
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from neurenix._phynexus import Counts, Tensor, prepare_together, step_together

from .binding import Batch, Then, Unit, begin, bind, check_sizes, compute_type, identify, widened
from .groups import Group, check_parameter, describe
from .limits import Limit, has_schedule, resolve
from .options import SUM, gather
from .packing import check_names, rounds, storage
from .parameter_state import OptimizerState
from .rounding import Keys, step_keys
from .states import State, as_states
from .tracing import Recipe, identifies, layout, leaves, trace_recipe

if TYPE_CHECKING:
    from .optimizer import Optimizer

#: What a plan keeps besides the group's hyperparameters.
COUNTS: Final = ("step", "peak_lr", "pending")
Extras: TypeAlias = list[list[Tensor | None]] | None


class Plan:
    """The steps of one group. Hyperparameters are read anew at each step, everything else when it changes."""

    def __init__(
        self, label: str, group: Group, step: int = 0, peak_lr: float = 0.0, pending: int = 0
    ) -> None:
        self.label = label  # how errors name the group
        self.group = group
        self.counts = Counts(step, [peak_lr, pending])
        self.units: list[Unit] = []
        self.scalars: list[float] = []
        self.joins: list[str] = []  # how the numbers over all tensors that the rule needs are joined
        self.directed = False  # whether tensor code comes before the rule
        self.packs = False  # whether states are unpacked and packed around the rule
        self.is_single = False  # whether a step is one launch and what belongs to it
        self._seen: tuple[Any, ...] = ()  # the group's values when they were last checked
        self._forms: Any = None  # what the rule was traced for
        self._members: list[Tensor] = []
        self._scheduled: list[tuple[int, str, Limit, Any]] = []  # where the numbers of schedules go
        self._peak: int | None = None  # where the largest learning rate goes
        self._noise: int | None = None  # where the keys of random rounding go
        self._share: int | None = None  # where the factor of a sum of gradients goes

    @property
    def step(self) -> int:
        """How many steps the group has made: what its schedules are asked for."""
        return self.counts.step

    @property
    def peak_lr(self) -> float:
        """The largest learning rate so far."""
        return self.counts.numbers[0]

    @property
    def pending(self) -> int:
        """How many gradients wait to be accumulated."""
        return int(self.counts.numbers[1])

    def renewed(self) -> Plan:
        """The same group and counts, bound to nothing yet."""
        return Plan(self.label, self.group, self.step, self.peak_lr, self.pending)

    def unbind(self) -> None:
        """Lets the next `prepare` bind the rules anew."""
        self._seen, self._forms = (), None

    @property
    def keys(self) -> Keys:
        """The keys of rounding at random in this step."""
        assert self._noise is not None
        return self.scalars[self._noise], self.scalars[self._noise + 1]

    def saved(self) -> dict[str, Any]:
        """What of it belongs into a saved state."""
        kept = {name: getattr(self, name) for name in COUNTS}
        return {name: value for name, value in kept.items() if value or name == "step"}

    def prepare(self, rule: Optimizer, state: OptimizerState) -> None:
        """Makes ready for a step; raises before anything of the group has changed."""
        group = self.group
        if (
            len(group) != len(self._seen)
            or not all(map(is_, group.values(), self._seen))
            or len(group["params"]) != len(self._members)
            or not all(map(is_, group["params"], self._members))
        ):
            self._read(rule, group, state)
        for start, label, limit, value in self._scheduled:
            numbers = leaves(resolve(limit, label, value, self.step))
            self.scalars[start : start + len(numbers)] = numbers
        if self._peak is not None:
            lr = resolve(rule.limit("lr"), f"{self.label}: lr", group["lr"], self.step)
            self.scalars[self._peak] = max(self.peak_lr, lr)
        if self._noise is not None:
            self.scalars[self._noise : self._noise + 2] = step_keys(rule.rounding_seed, self.step)
        for unit in self.units:
            if not unit.stepper.is_current():
                self._forms = None
                self._read(rule, group, state)
                break

    def run(self, rule: Optimizer, state: OptimizerState) -> None:
        """One step of a group that is one launch."""
        unit = self.units[0]
        extras = self.directions(rule, unit, state) if self.directed else None
        if self._peak is None:  # no gradients wait either
            unit.stepper.step(self.scalars, extras, None, (), self.counts)
        else:
            step_together([(unit.stepper, self.scalars, extras)], [self.counted()])

    def counted(self) -> Then:
        """What its counts are after the step: the engine sets them with those of the parameters."""
        peak = self.peak_lr if self._peak is None else self.scalars[self._peak]
        return self.counts, self.counts.step + 1, (peak, 0.0)

    def waited(self) -> Then:
        """What its counts are after a further gradient waits."""
        peak, pending = self.counts.numbers
        return self.counts, self.counts.step, (peak, pending + 1)

    def places(self) -> dict[Tensor, tuple[Plan, Unit, int]]:
        """Where each parameter is."""
        return {
            param: (self, unit, place)
            for unit in self.units
            for place, param in enumerate(unit.batch.members)
        }

    def average(self, rule: Optimizer, count: int) -> None:
        """Makes the coming step that of the mean of so many gradients, or of their sum if the rule is to add up."""
        if self._share is not None:
            self.scalars[self._share] = 1.0 if rule._adds_up else 1.0 / count

    def directions(
        self,
        rule: Optimizer,
        unit: Unit,
        state: OptimizerState,
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
        batch.grads = [grad for _, grad in prepared]
        batch.params = [members[i] for i in places]
        batch.states = [widened(state[members[i]], unit.states, members[i]) for i in places]
        batch.steps = [state[members[i]].counts.step + 1 for i in places]
        batch.hyper = {
            name: resolve(rule.limit(name), f"{self.label}: {name}", self.group[name], self.step)
            for name in rule.defaults
        }
        found = dict(zip(places, rule.direction(batch), strict=True)) if places else {}
        return [[found.get(i) for i in range(len(members))]]

    def nonfinite(self) -> list[Tensor]:
        """The parameters whose gradients hold a NaN or an infinity."""
        return [unit.batch.members[i] for unit in self.units for i in unit.stepper.nonfinite()]

    def _read(self, rule: Optimizer, group: Group, state: OptimizerState) -> None:
        if rule.formula is None:
            raise NotImplementedError(f"{type(rule).__name__} has neither a formula nor a step() of its own")
        rule.normalize(self.label, group)
        recipes = {variant: rule.recipe(group, variant) for variant in rule.variants(group)}
        hyper = self.hyper(rule, group, recipes)
        self.scalars, self._scheduled, self._peak, self._noise, self._share = [], [], None, None, None
        for name, value in hyper.items():
            if name == "peak_lr":
                self._peak = len(self.scalars)
            if name == "share":
                self._share = len(self.scalars)
            if name == "noise":
                self._noise = len(self.scalars)
            limit, label = rule.limit(name), f"{self.label}: {name}"
            if has_schedule(value):
                self._scheduled.append((len(self.scalars), label, limit, value))
            self.scalars += leaves(resolve(limit, label, value, self.step))
        sizes = self._sizes(rule, group, recipes)
        forms = recipes, [(name, layout(value)) for name, value in hyper.items()], sizes
        params = group["params"]
        if (
            forms != self._forms
            or len(params) != len(self._members)
            or not all(map(is_, params, self._members))
        ):
            if self._members:  # else the constructor has looked, or whoever noticed another group
                rule._check_unique(rule.param_groups)
            self._build(rule, group, state, recipes, hyper)
        self._forms, self._seen = forms, tuple(group.values())

    def _sizes(self, rule: Optimizer, group: Group, recipes: Mapping[Any, Recipe]) -> list[Any]:
        """The shapes of the states that are not of a parameter's own."""
        sized = {
            variant: [
                state
                for state in (*as_states(rule.states_for(group, variant)), *recipe.all_states())
                if state.kind not in ("full", "scalar")
            ]
            for variant, recipe in recipes.items()
        }
        if not any(sized.values()):
            return []
        return [
            state.expected(param, rule.view(param, group), group)
            for param in group["params"]
            for state in sized[rule.variant(param, group)]
        ]

    def hyper(self, rule: Optimizer, group: Group, recipes: Mapping[Any, Recipe]) -> dict[str, Any]:
        """What the recipes ask for: hyperparameters, and what is known of the group beside them."""
        known = {name: group[name] for name in rule.defaults}
        beside = {"peak_lr": self.peak_lr, "share": 1.0, "noise": (0.0, 0.0)}
        known |= {
            name: value for name, value in beside.items() if any(r.asks(name) for r in recipes.values())
        }
        hyper: dict[str, Any] = {}
        for recipe in recipes.values():
            hyper |= recipe.select(known)
        return hyper | ({"noise": (0.0, 0.0)} if rounds(rule.state_dtype) else {})

    def _build(
        self,
        rule: Optimizer,
        group: Group,
        state: OptimizerState,
        recipes: Mapping[Any, Recipe],
        hyper: dict[str, Any],
    ) -> None:
        batches: dict[Any, list[tuple[Tensor, int]]] = {}
        by_dimensions = any(recipe.asks("matrix") for recipe in recipes.values())
        for position, param in enumerate(group["params"]):
            check_parameter(f"{self.label}: {describe(group, position)}", param)
            variant = rule.variant(param, group)
            formats = tuple(storage(rule.state_dtype, s, param) for s in rule.all_states(group, variant))
            matrix = by_dimensions and param.ndim > 1  # else vectors and matrices share a launch
            key = (param.dtype.name, param.device, variant, matrix, formats)
            batches.setdefault(key, []).append((param, identify(group, position)))
        for (_, _, variant, _, _), members in batches.items():
            for param, _ in members:
                every = rule.all_states(group, variant)
                check_sizes(self.label, group, param, rule.view(param, group), every, state[param])
        units = []
        for (dtype, _, variant, matrix, formats), members in batches.items():
            recipe, computed = recipes[variant], compute_type(dtype)
            states, every = recipe.all_states(), rule.all_states(group, variant)
            check_names(self.label, rule.state_dtype, every)
            params = [param for param, _ in members]
            form = {"variant": variant, "matrix": matrix, "dtype": dtype}
            stored = tuple(f if s.stored == "asked" else "" for s, f in zip(states, formats, strict=False))
            traced = trace_recipe(recipe, hyper, computed, **form, stored=stored)
            apart = {"int4"}  # formats that are decoded and encoded around the formula
            if "int8" in stored and (traced.is_mixed or recipe.directed or recipe.asks("noise")):
                apart.add("int8")
                stored = tuple("" if kind == "int8" else kind for kind in stored)
                traced = trace_recipe(recipe, hyper, computed, **form, stored=stored)
            views = [rule.view(param, group) for param in params]
            identities = [float(identity) for _, identity in members]
            has_identity = identifies(recipe, stored)
            for param, view, identity in zip(params, views, identities, strict=True):
                own = (identity,) if has_identity else ()
                begin(self.label, group, param, view, every, formats, state[param], own)
            few = {s.name: f for s, f in zip(states, formats, strict=False) if f in apart}
            packs = [s for s in states if s.name in few]
            counts = [state[param].counts for param in params]
            stepper, handles = bind(traced, params, views, states, packs, state, counts)
            waiting = None
            if rule._sums:
                sums = (State(SUM),)
                gathers = trace_recipe(Recipe(gather, sums), {}, computed)
                waiting, _ = bind(gathers, params, views, sums, [], state, [Counts() for _ in params])
            batch = Batch(params, variant, {name: group[name] for name in rule.defaults})
            units.append(Unit(batch, traced, stepper, states, few, handles, counts, identities, waiting))
        self.units, self._members = units, list(group["params"])
        self.joins = max((unit.stepper.joins for unit in units), key=len, default=[])
        self.directed = any(rule.is_directed(unit.batch.variant) for unit in units)
        self.packs = any(unit.formats for unit in units)
        self.is_single = len(units) == 1 and not self.packs and not self.joins
