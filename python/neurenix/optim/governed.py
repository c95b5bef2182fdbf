"""What surrounds a step: hooks, closures, and the policy for gradients that are not finite."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from neurenix._phynexus import StepScope, Tensor, step_together, with_grad

from .averaging import Exchange
from .groups import Group, describe
from .limits import Choice
from .options import Policy

if TYPE_CHECKING:
    from .optimizer import Optimizer

_POLICY: Final = Choice(("propagate", "skip", "raise"))


class _Skipped(Exception):
    """Leaves a step whose gradients are not finite."""

    def __init__(self, loss: Any) -> None:
        self.loss = loss


class Hook:
    """A registered hook; `remove()` ends it.

    >>> import neurenix as nx
    >>> w = nx.Tensor([1.0], requires_grad=True)
    >>> optimizer = nx.optim.SGD([w], lr=0.1)
    >>> hook = optimizer.register_step_post_hook(lambda optimizer, args, kwargs: print("stepped"))
    >>> optimizer.step()
    stepped
    >>> hook.remove()
    >>> optimizer.step()
    """

    def __init__(self, hooks: dict[Hook, Callable[..., Any]], function: Callable[..., Any]) -> None:
        self._hooks = hooks
        hooks[self] = function

    def remove(self) -> None:
        """Removes the hook; a second time is harmless."""
        self._hooks.pop(self, None)


class Governed:
    """The part of an optimizer that surrounds its steps."""

    _parameter_groups: list[Group]
    _label: Callable[[int], str]
    _nonfinite_parameters: Callable[[], list[Tensor]]
    _sums: bool
    zero_grad: Callable[[], None]

    def _begin(self, policy: Policy) -> None:
        self._pre_hooks: dict[Hook, Callable[..., Any]] = {}
        self._post_hooks: dict[Hook, Callable[..., Any]] = {}
        self._scope = StepScope()
        self._skipped = False
        self._exchange = Exchange(self)  # type: ignore[arg-type]
        self.nonfinite = policy

    @property
    def nonfinite(self) -> Policy:
        """What a step does about gradients that hold a NaN or an infinity."""
        return self._nonfinite

    @nonfinite.setter
    def nonfinite(self, policy: Policy) -> None:
        _POLICY.check(f"{type(self).__name__}: nonfinite", policy)
        self._nonfinite: Policy = policy

    @property
    def last_step_skipped(self) -> bool:
        """Whether the last step did nothing because of `nonfinite="skip"`."""
        return self._skipped

    def register_step_pre_hook(self, hook: Callable[..., Any]) -> Hook:
        """Calls `hook(optimizer, args, kwargs)` before each step; it may return other (args, kwargs)."""
        return Hook(self._pre_hooks, hook)

    def register_step_post_hook(self, hook: Callable[..., Any]) -> Hook:
        """Calls `hook(optimizer, args, kwargs)` after each step."""
        return Hook(self._post_hooks, hook)

    def _govern(self, act: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """One step between its hooks and under the policy for gradients that are not finite."""
        if self._exchange.layers:
            raise RuntimeError(
                f"{type(self).__name__}: the weights are those for evaluation; before the next step leave ema(), "
                "or call train() of the optimizer or of the model that it follows"
            )
        if self._scope.active:  # an overridden step() that calls its base
            return act(*args, **kwargs)
        return self._scope.run(self._surrounded, act, args, kwargs)

    def _surrounded(self, act: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        for hook in list(self._pre_hooks.values()):
            args, kwargs = hook(self, args, kwargs) or (args, kwargs)
        closure = args[0] if args else kwargs.get("closure")
        try:
            if closure is None:
                self._check_gradients(None)
                loss = act(*args, **kwargs)
            elif args:
                loss = act(self._watched(closure), *args[1:], **kwargs)
            else:
                loss = act(**{**kwargs, "closure": self._watched(closure)})
            self._skipped = False
        except _Skipped as skipped:
            loss, self._skipped = skipped.loss, True
            if self._sums:  # calls that accumulate take the gradients
                self.zero_grad()
        for hook in list(self._post_hooks.values()):
            hook(self, args, kwargs)
        return loss

    def _watched(self, closure: Callable[[], Any]) -> Callable[[], Any]:
        """The closure with gradients recorded while it runs and examined afterwards."""

        def watched() -> Any:
            loss = with_grad(True, closure)
            self._check_gradients(loss)
            return loss

        return watched

    def _check_gradients(self, loss: Any) -> None:
        if self._nonfinite == "propagate":
            return
        if bad := self._nonfinite_parameters():
            self._complain(bad)
            raise _Skipped(loss)

    def _complain(self, bad: list[Tensor]) -> None:
        """Raises if the policy is to raise."""
        if self._nonfinite == "skip":
            return
        found = {id(param) for param in bad}
        names = [
            f"{self._label(place)}: {describe(group, i)}"
            for place, group in enumerate(self._parameter_groups)
            for i, param in enumerate(group["params"])
            if id(param) in found
        ]
        raise FloatingPointError(
            f"gradients with NaN or infinity in {'; '.join(names)}; nothing was changed. "
            'Lower lr, scale the loss, or pass nonfinite="skip" to leave such steps out'
        )


def governed(step: Callable[..., Any]) -> Callable[..., Any]:
    """An overridden step() with the hooks, policies and step counts that every optimizer has."""

    @functools.wraps(step)
    def whole(self: Optimizer, *args: Any, **kwargs: Any) -> Any:
        outermost = not self._scope.active
        result = self._govern(functools.partial(step, self), args, kwargs)
        if outermost and self.formula is None and not self._skipped:
            self._replan()
            step_together([], [plan.counted() for plan in self._plans])
        return result

    return whole
