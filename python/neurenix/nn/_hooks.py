"""Functions that run before and after the `forward` of one module."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from neurenix.nn.module import Module


class Hook:
    """A registered function, until it is removed."""

    def __init__(self, hooks: list[Hook], function: Callable[..., Any], with_kwargs: bool) -> None:
        self._hooks = hooks
        self.function = function
        self.with_kwargs = with_kwargs

    def remove(self) -> None:
        """Takes the hook away; doing so again has no effect."""
        if self in self._hooks:
            self._hooks.remove(self)


class Hooks:
    """The hooks of a module, in the order in which they run."""

    def __init__(self) -> None:
        self.before: list[Hook] = []
        self.after: list[Hook] = []
        self.mode: list[Hook] = []

    def register(
        self,
        when: Literal["before", "after", "mode"],
        function: Callable[..., Any],
        prepend: bool,
        with_kwargs: bool,
    ) -> Hook:
        """Adds a function and gives the handle that removes it."""
        hooks: list[Hook] = getattr(self, when)
        hook = Hook(hooks, function, with_kwargs)
        hooks.insert(0 if prepend else len(hooks), hook)
        return hook

    def call(self, module: Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Runs `module.forward` with its hooks around it."""
        for hook in list(self.before):
            changed = hook.function(module, args, kwargs) if hook.with_kwargs else hook.function(module, args)
            if changed is None:
                continue
            if hook.with_kwargs:
                args, kwargs = changed
            else:
                args = changed if isinstance(changed, tuple) else (changed,)
        output = module.forward(*args, **kwargs)
        for hook in list(self.after):
            given = (args, kwargs, output) if hook.with_kwargs else (args, output)
            changed = hook.function(module, *given)
            output = output if changed is None else changed
        return output
