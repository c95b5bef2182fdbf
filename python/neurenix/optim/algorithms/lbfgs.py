"""L-BFGS."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Mapping, MutableMapping
from typing import TYPE_CHECKING, Any, ClassVar, Final

from neurenix._phynexus import Tensor

from ..curvature import Memory
from ..flat import Flat
from ..groups import Params, Scheduled
from ..limits import NOT_NEGATIVE, Choice, Whole
from ..line_search import Point, strong_wolfe
from ..optimizer import Optimizer
from ..options import Options
from ..rows import refuse_all

if TYPE_CHECKING:
    from typing_extensions import Unpack

# What holds for all parameters together, and so must be the same in all groups.
_JOINT: Final = (
    "max_iter",
    "max_eval",
    "tolerance_grad",
    "tolerance_change",
    "history_size",
    "line_search_fn",
    "maximize",
)


class LBFGS(Optimizer):
    """L-BFGS: Newton's method with a curvature that is learnt from the last gradients; for full batches.

        d = −H·g                            H from the last pairs (s, y) of steps and changes of the gradient
        p ← p + t·d                         t = lr, or what the line search finds

    One call of `step` makes up to `max_iter` such iterations. All parameters move together; where groups have
    their own lr, it scales their part of what H begins with. Weight decay adds λ/2·‖p‖² to the loss. Keeps up to
    2·history_size + 2 floats for each parameter.

    An iteration whose loss or gradient is no number ends the step: parameters stay at (or go back to) the
    last point where it was, and what was learnt is forgotten.

    Args:
        params: tensors, (name, tensor) pairs, a module, or dicts that define groups.
        lr: step size, ≥ 0; with a line search the first to be tried. The very first step is
            lr·min(1, 1/‖g‖₁).
        max_iter: iterations in one call of `step`, ≥ 1.
        max_eval: evaluations after which a call ends, ≥ 1; ⌊1.25·max_iter⌋ if None.
        tolerance_grad: end when no element of the gradient is larger, ≥ 0.
        tolerance_change: end when neither the loss nor any parameter changes by more, ≥ 0.
        history_size: how many pairs to remember, ≥ 1.
        line_search_fn: None for steps of lr, "strong_wolfe" to search; the latter is the usual choice.
        weight_decay: λ, L2 penalty, ≥ 0.
        **options: `maximize` and `nonfinite`, see `neurenix.optim.Options`; none of the others.

    Raises:
        ValueError, TypeError: for a value out of its range, options that it does not take, groups that differ in
            anything but lr and weight_decay, or a step without closure.

    Example:
        >>> import neurenix as nx
        >>> w = nx.Tensor([3.0, -2.0], requires_grad=True)
        >>> optimizer = nx.optim.LBFGS([w], line_search_fn="strong_wolfe")
        >>> def closure():
        ...     optimizer.zero_grad()
        ...     loss = ((w - 1) ** 4).sum()
        ...     loss.backward()
        ...     return loss
        >>> for _ in range(3):
        ...     loss = optimizer.step(closure)
        >>> bool((w - 1).abs().max() < 0.01)
        True

    Differs from torch: several groups; weight_decay; numbers that are not finite are handled.

    References:
        J. Nocedal, S. Wright, Numerical optimization, 2nd edition, algorithms 7.4 and 7.5.
    """

    limits: ClassVar = {
        "max_iter": Whole(1),
        "max_eval": Whole(1),
        "tolerance_grad": NOT_NEGATIVE,
        "tolerance_change": NOT_NEGATIVE,
        "history_size": Whole(1),
        "line_search_fn": Choice((None, "strong_wolfe")),
    }
    _memory: Memory | None = None

    def __init__(
        self,
        params: Params,
        lr: Scheduled = 1,
        max_iter: int = 20,
        max_eval: int | None = None,
        tolerance_grad: Scheduled = 1e-7,
        tolerance_change: Scheduled = 1e-9,
        history_size: int = 100,
        line_search_fn: str | None = None,
        weight_decay: Scheduled = 0,
        **options: Unpack[Options],
    ) -> None:
        refused = sorted(set(options) - {"maximize", "nonfinite", "foreach", "fused", "capturable"})
        if refused:
            raise ValueError(
                f"LBFGS takes no {', '.join(refused)}: a line search needs the gradient of the loss itself"
            )
        if max_eval is None:
            max_eval = self.limits["max_iter"].check("LBFGS: max_iter", max_iter) * 5 // 4
        defaults = {
            "lr": lr,
            "max_iter": max_iter,
            "max_eval": max_eval,
            "tolerance_grad": tolerance_grad,
            "tolerance_change": tolerance_change,
            "history_size": history_size,
            "line_search_fn": line_search_fn,
            "weight_decay": weight_decay,
        }
        super().__init__(params, defaults, **options)
        self._check_groups()

    @property
    def state(self) -> MutableMapping[Tensor, Any]:
        """For each parameter its part of the last step and gradient and of the remembered pairs."""
        kept: MutableMapping[Tensor, Any] = self._state
        if self._memory is not None and self._memory.source is self._state:
            self._memory.write(self._state)
            self._memory = None  # what is written there holds: the next step begins with it
        return kept

    @state.setter
    def state(self, state: Mapping[Tensor, Mapping[str, Any]]) -> None:
        self._state = defaultdict(dict, {param: dict(entry) for param, entry in state.items()})

    def __getstate__(self) -> dict[str, Any]:
        """The memory is part of the state."""
        return {**super().__getstate__(), "_memory": None}

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Up to `max_iter` iterations, or until one of the tolerances is met.

        Args:
            closure: clears the gradients, computes the loss and its gradients, and returns the loss; called
                several times.

        Returns:
            What the closure returned first, the loss before the step.
        """
        if closure is None:
            raise TypeError(
                "LBFGS.step needs a closure that computes the loss and its gradients: optimizer.step(closure)"
            )
        self._check_groups()
        groups = [(self.hyperparameters(group), group["params"]) for group in self.param_groups]
        flat = Flat([param for _, params in groups for param in params])
        memory = Memory.of(self._memory, self._state, flat)

        def measured() -> Any:
            result = closure()
            refuse_all(self)
            return result

        search = _Search(measured, flat, memory, groups)
        start = flat.values()
        try:
            result = search.run()
        except BaseException:  # a closure that fails, or whose gradients are to be skipped, undoes all of it
            flat.put(start)
            raise
        self._memory = memory
        return result

    def _check_groups(self) -> None:
        first, *others = self.param_groups
        for place, group in enumerate(others, 1):
            for name in _JOINT:
                if group[name] != first[name]:
                    raise ValueError(
                        f"LBFGS: {name} must be the same in all groups, got {first[name]!r} in group 0 and "
                        f"{group[name]!r} in group {place}; only lr and weight_decay may differ"
                    )


class _Search:
    """One call of `step`."""

    def __init__(
        self,
        closure: Callable[[], Any],
        flat: Flat,
        memory: Memory,
        groups: list[tuple[dict[str, Any], list[Tensor]]],
    ) -> None:
        def spread(name: str) -> Tensor | float:
            return flat.spread([hyper[name] for hyper, params in groups for _ in params])

        self.closure, self.flat, self.memory = closure, flat, memory
        self.hyper = groups[0][0]
        self.lr = max(float(hyper["lr"]) for hyper, _ in groups)
        self.scale = spread("lr") / self.lr if self.lr else 1.0
        self.decay = spread("weight_decay")
        self.evaluations = 0
        self.result: Any = None

    def measure(self) -> tuple[float, Tensor]:
        """Loss, to be minimised, and gradient where the parameters are."""
        result = self.closure()
        if result is None:
            raise TypeError("LBFGS.step: the closure must return the loss, got None")
        if not self.evaluations:
            self.result = result
        self.evaluations += 1
        self.memory.func_evals += 1
        loss, gradient = float(result), self.flat.gradient()
        if self.hyper["maximize"]:
            loss, gradient = -loss, -gradient
        if isinstance(self.decay, Tensor) or self.decay != 0:
            values = self.flat.values()
            gradient = gradient + self.decay * values
            loss += float((self.decay * values).dot(values)) / 2
        return loss, gradient

    def run(self) -> Any:
        """The iterations; the parameters and the memory are changed."""
        flat, memory, hyper = self.flat, self.memory, self.hyper
        loss, gradient = self.measure()
        if not _finite(loss, gradient):
            if memory.good is not None:
                flat.put(memory.good)
            memory.forget()
            return self.result
        memory.good = None
        if _largest(gradient) <= hyper["tolerance_grad"] or self.lr == 0:
            return self.result
        for left in reversed(range(hyper["max_iter"])):
            before, t = loss, self.lr
            if memory.d is None:
                t *= min(1.0, 1 / float(gradient.abs().sum()))
            memory.learn(gradient, hyper["history_size"])
            d = memory.direction(gradient, self.scale)
            slope = float(gradient.dot(d))
            if slope > -hyper["tolerance_change"]:
                memory.moved(gradient, d, 0.0)
                break
            start, here = flat.values(), Point(0.0, loss, gradient, slope)
            point = self.move(start, here, d, t, left == 0)
            if point is None:
                flat.put(start)
                memory.forget()
                break
            memory.moved(gradient, d, point.t)
            loss, gradient = point.loss, point.gradient
            if (
                self.evaluations >= hyper["max_eval"]
                or _largest(gradient) <= hyper["tolerance_grad"]
                or _largest(d) * point.t <= hyper["tolerance_change"]
                or abs(loss - before) < hyper["tolerance_change"]
            ):
                break
        memory.n_iter += hyper["max_iter"] - left
        return self.result

    def move(self, start: Tensor, here: Point, d: Tensor, t: float, last: bool) -> Point | None:
        """Goes along d; None if it led to where the loss is no number."""

        def evaluate(t: float) -> Point:
            self.flat.put(start + t * d)
            loss, gradient = self.measure()
            return Point(t, loss, gradient, float(gradient.dot(d)))

        hyper = self.hyper
        if hyper["line_search_fn"] is None and last:
            self.flat.put(start + t * d)
            self.memory.good = start  # the next step will see where this one led
            return Point(t, here.loss, here.gradient, here.slope)
        if hyper["line_search_fn"] is None:
            point = evaluate(t)
            return point if point.finite else None
        trials = hyper["max_eval"] - self.evaluations
        point, _ = strong_wolfe(evaluate, here, t, _largest(d), hyper["tolerance_change"], trials)
        self.flat.put(start + point.t * d)
        return point


def _finite(loss: float, gradient: Tensor) -> bool:
    return math.isfinite(loss) and bool(gradient.isfinite().all())


def _largest(vector: Tensor) -> float:
    return float(vector.abs().max())
