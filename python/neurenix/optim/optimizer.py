"""The base class of all optimizers: groups, steps, hooks, policies and saved state."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, MutableMapping, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, Final, Literal

from neurenix._phynexus import StepScope, Tensor, prepare_together, step_together

from . import accumulation, persistence, rows
from .averaging import Exchange, values
from .governed import Governed, governed
from .groups import Group, Params, check_unique, complete, describe, nearest, split
from .limits import Choice, Flag, Whole, resolve
from .options import DECAY_MODE, FURTHER, HYPER, ROUNDING, Policy, refuse
from .packing import Option, check_option
from .parameter_state import OptimizerState
from .plan import Plan
from .rule import UpdateRule
from .streaming import Stream

if TYPE_CHECKING:
    from neurenix.nn import Module

_LOADING: Final = Choice(("load", "keep"))


class Optimizer(UpdateRule, Governed):
    """Base of all optimizers, and of your own.

    There are two ways to write one. Give a *formula*, which is compiled for every device and runs at the
    speed of the built-in ones:

    >>> import neurenix as nx
    >>> from neurenix.optim import Optimizer
    >>> from neurenix.optim.formula import sign
    >>> class Signum(Optimizer):
    ...     states = ("m",)
    ...
    ...     def __init__(self, params, lr=0.01, momentum=0.9):
    ...         super().__init__(params, {"lr": lr, "momentum": momentum})
    ...
    ...     @staticmethod
    ...     def formula(p, g, m, *, lr, momentum):
    ...         m = momentum * m + (1 - momentum) * g
    ...         return p - lr * sign(m), m
    >>> w = nx.Tensor([1.0, -1.0], requires_grad=True)
    >>> (w * w).sum().backward()
    >>> Signum([w], lr=0.25).step()
    >>> w.tolist()
    [0.75, -0.75]

    Or override `step()` in plain Python over `_parameter_groups` and `param.grad`; it runs without recording
    gradients, and `self.state[param]` is a dict for whatever it wants to remember. Of the options it has `maximize`
    in its groups to heed, and `nonfinite`; what acts on a formula is refused.

    Args:
        params: tensors; (name, tensor) pairs such as `model.named_parameters()`; a module; or dicts that
            define groups: `{"params": tensors, "lr": 0.01}`. Names make saved state independent of the order
            of parameters.
        defaults: hyperparameters for groups that leave them out. Wherever a number may stand, so may a
            schedule: a callable of the group's step (from 0), see `neurenix.optim.schedule`.
        weight_decay_mode, accumulate, accumulate_sum, maximize, nonfinite, **options: see `Options`.

    Raises:
        TypeError, ValueError: for parameters that cannot be optimized and values out of range; names both.
    """

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        cls.limits = {
            name: limit
            for base in reversed(cls.__mro__)
            for name, limit in vars(base).get("limits", {}).items()
        }
        if "step" in cls.__dict__:
            cls.step = governed(cls.__dict__["step"])  # type: ignore[method-assign]

    def __init__(
        self,
        params: Params,
        defaults: Mapping[str, Any],
        *,
        maximize: bool = False,
        nonfinite: Policy = "propagate",
        weight_decay_mode: str | None = None,
        accumulate: int = 1,
        accumulate_sum: bool = False,
        state_dtype: Option = None,
        param_update: str = "nearest",
        rounding_seed: int = 0,
        foreach: bool | None = None,
        fused: bool | None = None,
        capturable: bool = False,
        **options: Any,
    ) -> None:
        kind = type(self).__name__
        self._parameter_groups: list[Group] = []
        self._plans: list[Plan] = []
        self._state = self._kept()
        self._begin(nonfinite)
        self._mode = DECAY_MODE.check(f"{kind}: weight_decay_mode", weight_decay_mode)
        self.accumulate = accumulate
        self._adds_up = Flag().check(f"{kind}: accumulate_sum", accumulate_sum)
        self.state_dtype = check_option(kind, state_dtype)  #: how states are stored
        self.param_update = ROUNDING.check(
            f"{kind}: param_update", param_update
        )  #: how parameters are rounded
        self.rounding_seed = Whole(0).check(
            f"{kind}: rounding_seed", rounding_seed
        )  #: of stochastic rounding
        self.defaults: dict[str, Any] = {**defaults, "maximize": maximize}
        for name, value in options.items():
            if name not in HYPER:
                known = [*self.defaults, *FURTHER, *HYPER]
                hint = nearest(name, known) or f"; it takes {', '.join(known)}"
                raise TypeError(f"{kind} has no argument {name!r}{hint}")
            if value is not None and value is not False:
                self.defaults[name] = value
        if self.formula is None:
            sums = {"accumulate_sum": accumulate_sum}
            kept = {"state_dtype": state_dtype, "param_update": param_update}
            refuse(kind, {**options, **sums, **kept, "weight_decay_mode": weight_decay_mode})
        self.normalize(kind, self.defaults)
        for group in split(params):
            self.add_param_group(group)
        if hasattr(params, "register_mode_hook") and self._has_evaluation():
            self.follow(params)  # type: ignore[arg-type]

    # What there is
    @property
    def param_groups(self) -> list[Group]:
        """The groups: dicts of "params" and every hyperparameter; what is written there holds at once."""
        return self._parameter_groups

    @property
    def state(self) -> MutableMapping[Tensor, Any]:
        """For each parameter its state by name: "step", and the tensors and numbers of the formula, as they are stored.

        What is written there holds at the next step. What is deleted or cleared begins anew; so does, after its
        `step` was set to 0, the correction of averages for their beginning. A value of a shape or kind that the rule
        cannot take is an error of the next step, before it changes anything.
        """
        kept: MutableMapping[Tensor, Any] = self._state
        return kept

    @state.setter
    def state(self, state: Mapping[Tensor, Mapping[str, Any]]) -> None:
        kept = self._kept()
        for param, entry in state.items():
            kept[param] = entry
        self._state, self._plans = kept, [plan.renewed() for plan in self._plans]

    def _kept(self) -> Any:
        """The states of parameters before there are any; without a formula nothing is bound to them."""
        own = self.formula is None and type(self).step is not Optimizer.step
        return defaultdict(dict) if own else OptimizerState()

    def decoded(self, param: Tensor, name: str) -> Any:
        """The values of a state of a parameter, whatever format `state_dtype` stores it in.

        `state[param]` holds what is stored: of states in few bits codes, and their scales under another name. A copy of
        the values comes from here; writing into it changes nothing.

        Args:
            param: one of the parameters.
            name: a key of its state.

        Returns:
            A float32 tensor (float64 for float64 parameters), or a number.

        Raises:
            KeyError: if there is no such parameter, or no such state yet.

        Example:
            >>> import neurenix as nx
            >>> w = nx.zeros(64, 64, requires_grad=True)
            >>> optimizer = nx.optim.AdamW([w], state_dtype="int8")
            >>> w.grad = nx.ones(64, 64)
            >>> optimizer.step()
            >>> (
            ...     optimizer.state[w]["exp_avg"].dtype.name,
            ...     round(optimizer.decoded(w, "exp_avg")[0, 0].item(), 4),
            ... )
            ('uint8', 0.1)
        """
        for group in self._parameter_groups:
            if any(param is other for other in group["params"]):
                return values(self, group, param)[name]
        raise KeyError(f"{type(self).__name__} has no such parameter, of shape {tuple(param.shape)}")

    @property
    def accumulate(self) -> int:
        """How many calls of `step()` make one step, see `Options`; gradients that wait count in the coming step."""
        return self._accumulate

    @accumulate.setter
    def accumulate(self, count: int) -> None:
        kind = type(self).__name__
        count = Whole(1).check(f"{kind}: accumulate", count)
        if self.formula is None:
            refuse(kind, {"accumulate": count})
        self._accumulate: int = count
        self._keep_sums(count > 1 or accumulation.pending(self) > 0)

    def _keep_sums(self, keep: bool) -> None:
        """Whether rules have sums of gradients that wait."""
        if keep != self._sums:
            self._sums = keep
            for plan in self._plans:
                plan.unbind()

    @property
    def grad_norm(self) -> float:
        """The norm of all gradients together in the last step, before clipping; needs `clip_norm`."""
        if "clip_norm" not in self.defaults:
            raise ValueError(
                f"{type(self).__name__}: grad_norm needs clip_norm (a large number clips nothing)"
            )
        found = [unit.stepper.shared[0] for plan in self._plans for unit in plan.units]
        return max(found, default=0.0)

    def normalize(self, label: str, group: Group) -> None:
        """Checks the hyperparameters of a group; rules that join several override this and call it first."""
        for name in self.defaults:
            if name not in group:
                raise ValueError(f"{label}: {name} is missing from the group; give it a value again")
            value = self.limit(name).check(f"{label}: {name}", group[name])
            if value is not group[name]:
                group[name] = value

    def add_param_group(self, group: Mapping[str, Any]) -> None:
        """Adds a group, all or nothing: a dict of "params" and what differs from the defaults."""
        if not isinstance(group, Mapping):
            raise TypeError(f"a group must be a dict with params, got {group!r}")
        label = self._label(len(self._parameter_groups))
        whole = complete(label, group, self.defaults)
        self.normalize(label, whole)
        groups = [*self._parameter_groups, whole]
        self._check_unique(groups)
        self._parameter_groups.append(whole)
        self._claim(whole["params"])

    def hyperparameters(self, group: Group) -> dict[str, Any]:
        """The hyperparameters of a group for the coming step as numbers: checked, schedules evaluated."""
        self._replan()
        place = _place(self._parameter_groups, group)
        self.normalize(self._label(place), group)
        step = self._plans[place].step
        return {
            name: resolve(self.limit(name), f"{self._label(place)}: {name}", group[name], step)
            for name in self.defaults
        }

    # Stepping
    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forgets the gradients of all parameters, or with `set_to_none=False` fills them with zeros."""
        for group in self._parameter_groups:
            for param in group["params"]:
                if set_to_none:
                    param.grad = None
                elif param.grad is not None:
                    param.grad.zero_()

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Updates all parameters that have a gradient.

        Args:
            closure: computes the loss and its gradients; called first.

        Returns:
            What the closure returned, or None.
        """
        governed = (
            self._pre_hooks or self._post_hooks or self._nonfinite != "propagate" or self._exchange.layers
        )
        if closure is not None or governed:
            return self._govern(self._advance, (closure,), {})
        return self._advance()

    def flush(self) -> Any:
        """The step of the gradients that wait, however few; see `accumulate` in `Options`. Without any it does nothing.

        >>> import neurenix as nx
        >>> w = nx.Tensor([1.0], requires_grad=True)
        >>> optimizer = nx.optim.SGD([w], lr=1.0, accumulate=4)
        >>> for value in (1.0, 0.5):
        ...     w.grad = nx.Tensor([value])
        ...     optimizer.step()
        >>> w.item()
        1.0
        >>> optimizer.flush()
        >>> w.item()
        0.25
        """
        return self._govern(self._advance, (None,), {"flush": True}) if self._sums else None

    def init_state(self) -> None:
        """Creates the state of all parameters now instead of at the first step; keeps what exists."""
        if self.formula is not None:
            self._prepare()

    def ema(self) -> AbstractContextManager[None]:
        """Puts the averages of the weights in place of the weights while the context lasts; needs the option `ema`.

        >>> import neurenix as nx
        >>> w = nx.Tensor([1.0], requires_grad=True)
        >>> optimizer = nx.optim.SGD([w], lr=1.0, ema=0.5)
        >>> for _ in range(2):
        ...     w.grad = nx.Tensor([1.0])
        ...     optimizer.step()
        >>> with optimizer.ema():
        ...     print(w.item())
        -0.5
        >>> w.item()
        -1.0
        """
        if "ema" not in self.defaults:
            raise ValueError(f"{type(self).__name__} keeps no average; give it one: ema=0.999")
        own = [(group, param) for group in self.param_groups for param in group["params"]]
        return self._exchange.averages({param: values(self, group, param).get("ema") for group, param in own})

    def eval(self) -> None:
        """Puts the weights that are to be evaluated in place, where a rule has such (Lookahead, Schedule-Free)."""
        self.train(False)

    def train(self, mode: bool = True) -> None:
        """Puts the weights of training back in place; with `mode=False` as `eval()`. `follow` calls this by itself."""
        self._exchange.by_hand(mode)

    def follow(self, model: Module) -> None:
        """Lets `model.train()` and `model.eval()` switch this optimizer, too; done for a model given as `params`.

        It ends when the optimizer is gone, and when another one is made for any of its parameters: then the weights of
        training are put in place first. Copies of the model are not followed.
        """
        self._exchange.follow(model)

    def _has_evaluation(self) -> bool:
        """Whether the rule wants other weights evaluated than it trains."""
        return type(self).evaluation is not UpdateRule.evaluation

    def _claim(self, params: list[Tensor]) -> None:
        """Says that these parameters are this optimizer's now."""
        self._exchange.take_over(params, self._has_evaluation())

    def _advance(self, closure: Callable[[], Any] | None = None, flush: bool = False) -> Any:
        loss = None if closure is None else closure()
        self._prepare()
        plans = self._plans
        if self._sums:
            accumulation.advance(self, flush)
            return loss
        if tables := rows.find(plans):
            self._run_rows(plans, tables)
        elif len(plans) == 1 and plans[0].is_single:
            plans[0].run(self, self._state)
        else:
            self._run(plans)
        return loss

    def _run_rows(self, plans: list[Plan], tables: list[rows.Place]) -> None:
        """One step where some gradients are row-sparse."""
        rows.check(self, tables)
        steps = [rows.RowStep(self, *table) for table in tables]
        with rows.aside(tables):
            self._run(plans, steps)
        for own in steps:
            own.finish()

    def _run(self, plans: list[Plan], tables: Sequence[rows.RowStep] = ()) -> None:
        if any(plan.packs for plan in plans):
            Stream(self, within_step=True).run()
        else:
            self._run_together(plans, tables)

    def _run_together(self, plans: list[Plan], tables: Sequence[rows.RowStep]) -> None:
        """One step of all groups. Tensor code comes first; then all launches and counts are one call of the engine."""
        units = [(plan, unit) for plan in plans for unit in plan.units]
        steps: list[Any] = [(unit.stepper, plan.scalars, None) for plan, unit in units]
        steps += [(own.stepper, own.plan.scalars, None) for own in tables]
        if any(plan.directed for plan in plans):
            prepares = any(plan.directed and unit.prepares for plan, unit in units)
            found = prepare_together(steps) if prepares else []
            for k, (plan, unit) in enumerate(units):
                if plan.directed:
                    prepared = found[k] if unit.prepares else None
                    extras = plan.directions(self, unit, self._state, prepared)
                    steps[k] = unit.stepper, plan.scalars, extras
        step_together(steps, [plan.counted() for plan in plans])

    def _backward_begin(self) -> int:
        self._stream = Stream(self)
        return self._stream.looks

    def _backward_look(self, param: Tensor) -> None:
        self._stream.look(param)

    def _backward_looked(self) -> None:
        self._stream.looked()

    def _backward_leaf(self, param: Tensor) -> bool:
        return self._stream.leaf(param)

    def _backward_end(self, error: BaseException | None) -> None:
        stream = self.__dict__.pop("_stream")
        self._skipped = stream.skips
        if error is None:
            stream.end()

    def _prepare(self) -> None:
        state, groups = self._state, self._parameter_groups
        written = state.written
        if len(self._plans) != len(groups):
            self._replan()
        for place, plan in enumerate(self._plans):
            if plan.group is not groups[place]:
                self._replan()
                self._prepare()
                return
            if written.flag:
                plan.unbind()
            plan.prepare(self, state)
        written.flag = False

    def _nonfinite_parameters(self) -> list[Tensor]:
        if self.formula is not None:
            self._prepare()
            tables = rows.find(self._plans)
            with rows.aside(tables):
                found = [param for plan in self._plans for param in plan.nonfinite()]
            return found + rows.nonfinite(tables)
        params = [param for group in self._parameter_groups for param in group["params"]]
        return [param for param in params if param.grad is not None and not bool(param.grad.isfinite().all())]

    def _has_stepped(self) -> bool:
        """Whether `step()` was ever called, for schedulers, which come after it."""
        return self._skipped or any(plan.step or plan.pending for plan in self._plans)

    def _replan(self) -> None:
        """A plan for each group: a group keeps its own wherever it stands, new dicts take over from it."""
        groups, known = self._parameter_groups, self._plans
        if len(known) == len(groups):
            for plan, group in zip(known, groups, strict=True):
                if plan.group is not group:
                    break
            else:
                return
        if known:
            self._check_unique(groups)
        own = {id(plan.group): plan for plan in known}
        former = {id(param): plan for plan in known for param in plan.group["params"]}
        plans = []
        for place, group in enumerate(groups):
            if id(group) in own:
                plan = own[id(group)]
            else:
                source = next((former[id(p)] for p in group["params"] if id(p) in former), None)
                counts: dict[str, Any] = {} if source is None else source.saved()
                plan = Plan(self._label(place), group, **{"pending": accumulation.pending(self), **counts})
            plan.label = self._label(place)
            plans.append(plan)
        self._plans = plans

    def _check_unique(self, groups: list[Group]) -> None:
        """That each parameter is in one group, with one name if any."""
        for place, group in enumerate(groups):
            params = group["params"]
            names = group.get("param_names")
            if names is not None and len(params) != len(names):
                raise ValueError(
                    f"{self._label(place)} has {len(params)} parameters, but {len(names)} names; "
                    "param_names go with params"
                )
        check_unique(groups, lambda g, i: f"{self._label(_place(groups, g))}: {describe(g, i)}")

    # Saving and copying
    def state_dict(self) -> dict[str, Any]:
        """The state by parameter name (by position where there is no name) and the groups' hyperparameters.

        Tensors in it are the optimizer's own and change with it; `neurenix.save` or a copy keeps them.
        """
        if self._exchange.layers:
            raise RuntimeError(
                f"{type(self).__name__}: leave ema(), or call train(), before state_dict(), "
                "which belongs to the weights of training"
            )
        return persistence.save(self)

    def load_state_dict(
        self, state_dict: Mapping[str, Any], hyperparameters: Literal["load", "keep"] = "load"
    ) -> None:
        """Takes over a saved state, found by name; it is stored in the formats of this optimizer from its next step on.

        Args:
            state_dict: what `state_dict()` returned.
            hyperparameters: "load" takes the saved numbers. Schedules that this optimizer was given stay: a training
                that is lengthened goes on at its step of the new schedule. A number here is replaced by a saved
                schedule. "keep" leaves all hyperparameters as they are here.

        Raises:
            ValueError: lists everything that does not fit; the optimizer is then unchanged.

        >>> import neurenix as nx
        >>> from neurenix.optim import SGD, schedule
        >>> w = nx.Tensor([1.0], requires_grad=True)
        >>> short = SGD([w], lr=schedule.linear(1.0, 0.0, steps=2))
        >>> for _ in range(2):
        ...     short.step()
        >>> longer = SGD([w], lr=schedule.linear(1.0, 0.0, steps=4))
        >>> longer.load_state_dict(short.state_dict())
        >>> longer.hyperparameters(longer.param_groups[0])["lr"]
        0.5
        """
        _LOADING.check(f"{type(self).__name__}: load_state_dict: hyperparameters", hyperparameters)
        persistence.load(self, state_dict, keep=hyperparameters == "keep")

    def _restoring(self) -> Callable[[], None]:
        """What brings the optimizer back to where it is now, if there is no step in between."""
        return persistence.snapshot(self)

    def __getstate__(self) -> dict[str, Any]:
        """Everything but hooks and compiled steps; parameters stay those of the same pickle or copy."""
        return {
            **self.__dict__,
            "_state": [(param, dict(entry)) for param, entry in self.state.items()],
            "_plans": [plan.saved() for plan in self._plans],
            "_pre_hooks": {},
            "_post_hooks": {},
            "_exchange": list(self._exchange.training.items()),
            "_scope": None,
        }

    def __setstate__(self, saved: dict[str, Any]) -> None:
        self.__dict__.update(saved)
        self._exchange, self._scope = Exchange(self, saved["_exchange"]), StepScope()
        if self._has_evaluation():
            self._exchange.take_over([], True)
        self._state = self._kept()
        self._state.update(saved["_state"])
        groups = zip(self._parameter_groups, saved["_plans"], strict=False)
        self._plans = [Plan(self._label(place), group, **kept) for place, (group, kept) in enumerate(groups)]

    def __repr__(self) -> str:
        lines = [type(self).__name__ + "("]
        for place, group in enumerate(self._parameter_groups):
            count = sum(param.numel() for param in group["params"])
            values = ", ".join(f"{name}={group[name]!r}" for name in self.defaults)
            lines.append(f"  group {place}: {len(group['params'])} tensors, {count:,} parameters, {values}")
        return "\n".join([*lines, ")"])

    def _label(self, place: int) -> str:
        return f"{type(self).__name__}, group {place}"


def _place(groups: list[Group], group: Group) -> int:
    return next(i for i, other in enumerate(groups) if other is group)
