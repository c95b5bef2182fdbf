"""Steps in the backward pass: each parameter as soon as its gradient is complete."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from neurenix._phynexus import Tensor, join_numbers, step_together

from . import accumulation
from .rows import is_sparse, refusal, step

if TYPE_CHECKING:
    from .binding import Then, Unit
    from .optimizer import Optimizer


class Stream:
    """One backward pass with an optimizer. Numbers over all tensors are found in passes of their own before it."""

    def __init__(self, optimizer: Optimizer, within_step: bool = False) -> None:
        self.optimizer = optimizer
        if not within_step:
            self._check()
            optimizer._prepare()
        self.places = {param: at for plan in optimizer._plans for param, at in plan.places().items()}
        count = accumulation.pending(optimizer) + 1
        self.waits = not within_step and count < optimizer.accumulate
        self.late: list[Tensor] = []  # parameters whose gradients wait and that this pass gives none
        self.waited: dict[Unit, list[int]] = {}  # whose gradients have been added to those that wait
        if optimizer._sums and not within_step and not self.waits:
            for plan in optimizer._plans:
                plan.average(optimizer, count)
            self.late = [
                p for plan in optimizer._plans for unit in plan.units for p in accumulation.waiting(unit)
            ]
        self.met: set[Tensor] = set()  # the parameters that have had their turn in a pass
        self.guards = optimizer.nonfinite != "propagate" and not within_step
        self.joins = [] if self.waits else max((plan.joins for plan in optimizer._plans), key=len)
        self.seen = False
        self.known: list[float] = []  # the numbers over all tensors
        self.given: list[float] = []  # what tensors give to the next
        self.bad: list[Tensor] = []
        self.skips = False

    def _check(self) -> None:
        from .optimizer import Optimizer

        optimizer = self.optimizer
        if optimizer.formula is None or type(optimizer).step is not Optimizer.step:
            raise TypeError(
                f"backward: {type(optimizer).__name__} steps in its own way and needs all gradients at once; "
                "call backward() and then optimizer.step()"
            )
        if optimizer._pre_hooks or optimizer._post_hooks:
            raise ValueError(
                "backward: step hooks belong to step(); remove them, or call backward() and step()"
            )
        if optimizer._exchange.layers:
            raise RuntimeError(
                "backward: the weights are those for evaluation; leave ema(), or call train() of the optimizer, first"
            )

    def run(self) -> None:
        """The step of all parameters that have a gradient, one after the other."""
        params = [param for param in self.places if param.grad is not None]
        for _ in range(self.looks):
            for param in params:
                self.look(param)
            self.looked()
        for param in params:
            self.leaf(param)
        self.end()

    @property
    def looks(self) -> int:
        """How many passes come before the one that steps."""
        return max(len(self.joins), int(self.guards))

    def look(self, param: Tensor) -> None:
        """A parameter's share in the next number over all tensors, and whether its gradient is finite."""
        plan, unit, place = self.places[param]
        self.met.add(param)
        self._dense(param)
        if self.guards and not self.seen and not bool(param.grad.isfinite().all()):  # type: ignore[union-attr]
            self.bad.append(param)
        if len(self.known) < len(self.joins):
            with unit.opened(place, self.optimizer._state[param], None):
                self.given += unit.stepper.look(plan.scalars, place, self.known)

    def looked(self) -> None:
        """All have been seen."""
        self._make_up(self.look)
        self.seen = True
        if self.bad:
            self.optimizer._complain(self.bad)  # raises, or returns to skip
            self.skips = True
        if len(self.known) < len(self.joins):
            self.known.append(join_numbers(self.joins[len(self.known)], self.given))
        self.given = []

    def leaf(self, param: Tensor) -> bool:
        """One step of one parameter."""
        plan, unit, place = self.places[param]
        self.met.add(param)
        if self.skips:
            return True
        if is_sparse(param) and not self.waits and refusal(self.optimizer, plan.group) is None:
            step(self.optimizer, plan, unit, place)
            return True
        self._dense(param)
        if self.waits:
            assert unit.gather is not None
            unit.gather.step([], None, place)
            self.waited.setdefault(unit, []).append(place)
            return True
        extras: Any = None
        keys = plan.keys if unit.formats else None
        with unit.opened(place, self.optimizer._state[param], keys):
            if plan.directed and self.optimizer.is_directed(unit.batch.variant):
                prepared = unit.stepper.prepare(plan.scalars, place, self.known) if unit.prepares else None
                extras = plan.directions(self.optimizer, unit, self.optimizer._state, prepared, only=place)
            unit.stepper.step(plan.scalars, extras, place, self.known)
        return True

    def _dense(self, param: Tensor) -> None:
        """Rows make a dense gradient where the rule needs one: others have stepped already, so that none is refused."""
        if is_sparse(param):
            grad: Any = param.grad
            param.grad = grad.to_dense()

    def _make_up(self, turn: Callable[[Tensor], Any]) -> None:
        """The turns of parameters whose gradients wait and that had none in this pass."""
        for param in self.late:
            if param not in self.met:
                param.grad = Tensor.zeros_like(param)
                try:
                    turn(param)
                finally:
                    param.grad = None
        self.met.clear()

    def end(self) -> None:
        """The pass is over."""
        if self.skips:
            return
        self._make_up(self.leaf)
        plans = self.optimizer._plans
        then: list[Then] = [plan.waited() if self.waits else plan.counted() for plan in plans]
        for unit, places in self.waited.items():
            then += unit.waited(places)
        step_together([], then)
        if self.optimizer._sums and not self.waits:
            accumulation.finish(self.optimizer)
