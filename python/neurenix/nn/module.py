"""The base class of everything that holds parameters and computes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar

from neurenix import _modes
from neurenix._phynexus import Device, DType, Tensor
from neurenix.nn import _state
from neurenix.nn._errors import locate
from neurenix.nn._hooks import Hook, Hooks
from neurenix.nn.parameter import Parameter

if TYPE_CHECKING:
    from typing import Self

__all__ = ["Module"]

MISSING: Any = object()


class Module:
    """The base class of layers, losses and models: subclass it, assign parameters and submodules, write `forward`.

    Parameters, buffers and submodules are ordinary attributes, in the order of their assignment. Calling the module
    runs its hooks and `forward`; an error that comes out of a nested module names the path to it.

    >>> import neurenix
    >>> from neurenix import nn
    >>> class Scale(nn.Module):
    ...     def __init__(self, size):
    ...         super().__init__()
    ...         self.weight = nn.Parameter(neurenix.ones(size))
    ...
    ...     def forward(self, x):
    ...         return x * self.weight
    >>> scale = Scale(2)
    >>> scale(neurenix.ones(2))
    tensor([1.0000, 1.0000], requires_grad=True)
    >>> [name for name, _ in scale.named_parameters()]
    ['weight']
    """

    #: Whether layers such as `Dropout` behave as in training.
    training: bool = True
    #: Names of the buffers, and whether each belongs to the state.
    _buffers: Mapping[str, bool] = MappingProxyType({})
    _hooks: Hooks | None = None
    #: Counts changes of what calling a module does, so that plans made of calls can be thrown away.
    _changes: ClassVar[list[int]] = [0]

    def _no_forward(self, *args: Any, **kwargs: Any) -> Any:
        raise NotImplementedError(
            f"{type(self).__name__} has no forward(): write one, or call its submodules"
        )

    forward: Callable[..., Any] = _no_forward

    def __setattr__(self, name: str, value: Any) -> None:
        _state.guard(self, name, value, Module)
        if isinstance(value, Module) or name in ("forward", "_hooks"):
            Module._changes[0] += 1
        object.__setattr__(self, name, value)

    def __delattr__(self, name: str) -> None:
        Module._changes[0] += 1
        object.__delattr__(self, name)

    def __call__(self, a: Any = MISSING, b: Any = MISSING, /, *args: Any, **kwargs: Any) -> Any:
        """Runs hooks and `forward`."""
        # One or two positional arguments without packing and unpacking them: this is half of what a call costs.
        try:
            if self._hooks is None and not args and not kwargs and a is not MISSING:
                return self.forward(a) if b is MISSING else self.forward(a, b)
            args = (*(value for value in (a, b) if value is not MISSING), *args)
            if self._hooks is None:
                return self.forward(*args, **kwargs)
            return self._hooks.call(self, args, kwargs)
        except Exception as error:
            locate(error, self)
            raise

    def named_children(self) -> Iterator[tuple[str, Module]]:
        """The direct submodules with their names; one that is shared is given once."""
        seen = set()
        for name, value in list(vars(self).items()):
            if isinstance(value, Module) and value not in seen:
                seen.add(value)
                yield name, value

    def children(self) -> Iterator[Module]:
        """The direct submodules."""
        return (child for _, child in self.named_children())

    def named_modules(
        self, memo: set[Module] | None = None, prefix: str = "", remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Module]]:
        """This module (its name is the prefix) and all below it, with their dotted names.

        Args:
            memo: modules that are left out; those that are given are added.
            prefix: goes before all names.
            remove_duplicate: whether a shared module is given once or under each of its names.
        """
        memo = set() if memo is None else memo
        if self in memo:
            return
        if remove_duplicate:
            memo.add(self)
        yield prefix, self
        for name, value in list(vars(self).items()):
            if isinstance(value, Module):
                yield from value.named_modules(memo, _join(prefix, name), remove_duplicate)

    def modules(self) -> Iterator[Module]:
        """This module and all below it."""
        return (module for _, module in self.named_modules())

    def named_parameters(
        self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Parameter]]:
        """The parameters with their dotted names; one that is shared is given once, under its first name.

        Args:
            prefix: goes before all names.
            recurse: whether the parameters of submodules are given, too.
            remove_duplicate: whether a shared parameter is given once or under each of its names.

        >>> from neurenix import nn
        >>> [(name, p.shape) for name, p in nn.Sequential(nn.Linear(2, 3), nn.ReLU()).named_parameters()]
        [('0.weight', (3, 2)), ('0.bias', (3,))]
        """
        return self._named(Module._own_parameters, prefix, recurse, remove_duplicate)

    def parameters(self, recurse: bool = True) -> Iterator[Parameter]:
        """The parameters, for an optimizer."""
        return (parameter for _, parameter in self.named_parameters(recurse=recurse))

    def named_buffers(
        self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Tensor]]:
        """The buffers with their dotted names; arguments as those of `named_parameters`."""
        return self._named(Module._own_buffers, prefix, recurse, remove_duplicate)

    def buffers(self, recurse: bool = True) -> Iterator[Tensor]:
        """The buffers."""
        return (buffer for _, buffer in self.named_buffers(recurse=recurse))

    def _own_parameters(self) -> list[tuple[str, Any]]:
        return [(name, value) for name, value in vars(self).items() if isinstance(value, Parameter)]

    def _own_buffers(self) -> list[tuple[str, Any]]:
        own = vars(self)
        return [(name, own[name]) for name in self._buffers if isinstance(own.get(name), Tensor)]

    def _named(
        self,
        own: Callable[[Module], list[tuple[str, Any]]],
        prefix: str,
        recurse: bool,
        remove_duplicate: bool,
    ) -> Iterator[tuple[str, Any]]:
        seen = set()
        modules = self.named_modules(None, prefix, remove_duplicate) if recurse else [(prefix, self)]
        for path, module in modules:
            for name, tensor in own(module):
                if not (remove_duplicate and id(tensor) in seen):
                    seen.add(id(tensor))
                    yield _join(path, name), tensor

    def get_submodule(self, target: str) -> Module:
        """The submodule of a dotted name; `""` is this module.

        Raises:
            AttributeError: if there is none, or what is there is not a module.
        """
        module = self
        for name in target.split(".") if target else []:
            child = vars(module).get(name)
            if not isinstance(child, Module):
                known = ", ".join(name for name, _ in module.named_children()) or "none"
                raise AttributeError(f"no submodule {name!r} in {module._signature()}; there is: {known}")
            module = child
        return module

    def get_parameter(self, target: str) -> Parameter:
        """The parameter of a dotted name.

        Raises:
            AttributeError: if there is none, or what is there is not a parameter.
        """
        path, _, name = target.rpartition(".")
        module = self.get_submodule(path)
        parameter = vars(module).get(name)
        if not isinstance(parameter, Parameter):
            known = ", ".join(name for name, _ in module._own_parameters()) or "none"
            raise AttributeError(f"no parameter {name!r} in {module._signature()}; there is: {known}")
        return parameter

    def register_parameter(self, name: str, parameter: Parameter | None) -> None:
        """Assigns a parameter, or None where an optional one is left out, under a name that is not an identifier."""
        self._register(name, parameter, Parameter)

    def register_buffer(self, name: str, tensor: Tensor | None, persistent: bool = True) -> None:
        """Assigns a tensor that moves with the module but is not trained.

        Args:
            name: of the attribute.
            tensor: the buffer, or None where it is left out.
            persistent: whether it belongs to `state_dict`.

        >>> import neurenix
        >>> module = neurenix.nn.Module()
        >>> module.register_buffer("mean", neurenix.zeros(3))
        >>> list(module.state_dict())
        ['mean']
        """
        self._register(name, tensor, Tensor)
        self._buffers = {**self._buffers, name: persistent}

    def add_module(self, name: str, module: Module | None) -> None:
        """Assigns a submodule under any name without a dot."""
        self._register(name, module, Module)

    def _register(self, name: str, value: Any, kind: type) -> None:
        if value is not None:
            self._check(name, value, kind)
        setattr(self, name, value)

    def _check(self, name: str, value: Any, kind: type) -> None:
        own = type(self).__name__
        if not isinstance(name, str) or not name or "." in name:
            raise ValueError(f"{own}: a name is a string, not empty and without a dot, got {name!r}")
        if hasattr(type(self), name) or not isinstance(vars(self).get(name), kind | None):
            raise ValueError(f"{own} already has an attribute {name!r}: choose another name")
        if not isinstance(value, kind):
            raise TypeError(f"{own}: {name!r} must be a {kind.__name__}, got {type(value).__name__}")

    def state_dict(self, *, prefix: str = "") -> dict[str, Tensor]:
        """All parameters and persistent buffers by their dotted names, detached but sharing memory.

        >>> from neurenix import nn
        >>> list(nn.Linear(2, 1).state_dict())
        ['weight', 'bias']
        """
        return {prefix + name: tensor.detach() for name, tensor in _state.named_state(self)}

    def load_state_dict(self, state_dict: Mapping[str, Any], strict: bool = True) -> _state.Mismatches:
        """Copies values into the parameters and buffers of the same names; those keep identity, dtype and device.

        Nothing is changed if anything does not match.

        Args:
            state_dict: as `state_dict` gives it; arrays are accepted as well as tensors.
            strict: whether names that are missing or unexpected are errors.

        Returns:
            The names that were missing and those that were not expected.

        Raises:
            ValueError: with every name and shape that does not match.
        """
        return _state.load(self, state_dict, strict)

    def __getstate__(self) -> dict[str, Any]:
        return vars(self).copy()

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)

    def train(self, mode: bool = True) -> Self:
        """Sets this module and all below it to training, or with `mode=False` to evaluation."""
        if not isinstance(mode, bool):
            raise TypeError(f"train: mode must be True or False, got {type(mode).__name__}")
        for module in self.modules():
            module.training = mode
            for hook in module._hooks.mode if module._hooks else ():
                hook.function(mode)
        for observer in _modes.observers:
            observer(self, mode)
        return self

    def eval(self) -> Self:
        """Sets this module and all below it to evaluation: `Dropout` lets everything pass."""
        return self.train(False)

    def to(
        self, *targets: Device | DType | Tensor | Any, device: Device | str | None = None, dtype: Any = None
    ) -> Self:
        """Moves all parameters and buffers in place, and casts those of a floating-point dtype.

        Optimizers and variables that hold them follow.

        Args:
            targets: a device, a dtype, a device and a dtype, or a tensor whose device and dtype are taken.
            device: where to move, in place of a target.
            dtype: what to cast to, in place of a target: a floating-point dtype.

        >>> import neurenix
        >>> neurenix.nn.Linear(2, 1).to(neurenix.float64).weight.dtype == neurenix.float64
        True
        """
        _state.move(self, targets, device, dtype)
        return self

    def float(self) -> Self:
        """Casts to float32."""
        return self.to(dtype="float32")

    def double(self) -> Self:
        """Casts to float64."""
        return self.to(dtype="float64")

    def half(self) -> Self:
        """Casts to float16."""
        return self.to(dtype="float16")

    def bfloat16(self) -> Self:
        """Casts to bfloat16."""
        return self.to(dtype="bfloat16")

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forgets the gradients of all parameters, or fills them with zeros."""
        for parameter in self.parameters():
            if set_to_none:
                parameter.grad = None
            elif parameter.grad is not None:
                parameter.grad = parameter.grad.detach().zero_()

    def requires_grad_(self, requires_grad: bool = True) -> Self:
        """Sets whether `backward` computes gradients for the parameters: False freezes the module."""
        for parameter in self.parameters():
            parameter.requires_grad_(requires_grad)
        return self

    def apply(self, function: Callable[[Module], Any]) -> Self:
        """Calls a function with every module below this one and at last with this one, for instance to initialise.

        >>> from neurenix import nn
        >>> def zero_bias(module):
        ...     if isinstance(module, nn.Linear):
        ...         nn.init.zeros_(module.bias)
        >>> nn.Sequential(nn.Linear(2, 1)).apply(zero_bias)[0].bias
        Parameter containing:
        tensor([0.0000], requires_grad=True)
        """
        for child in self.children():
            child.apply(function)
        function(self)
        return self

    def register_mode_hook(self, hook: Callable[[bool], Any]) -> Hook:
        """Calls `hook(mode)` whenever this module is set to training or evaluation."""
        self._hooks = self._hooks or Hooks()
        return self._hooks.register("mode", hook, False, False)

    def register_forward_pre_hook(
        self, hook: Callable[..., Any], *, prepend: bool = False, with_kwargs: bool = False
    ) -> Hook:
        """Calls `hook(module, args)` before `forward`; what it returns, if anything, are the new arguments.

        With `with_kwargs` it is `hook(module, args, kwargs)` and returns both; `prepend` puts it before all others.
        """
        self._hooks = self._hooks or Hooks()
        return self._hooks.register("before", hook, prepend, with_kwargs)

    def register_forward_hook(
        self, hook: Callable[..., Any], *, prepend: bool = False, with_kwargs: bool = False
    ) -> Hook:
        """Calls `hook(module, args, output)` after `forward`; what it returns, if anything, is the new output.

        With `with_kwargs` it is `hook(module, args, kwargs, output)`.

        >>> from neurenix import nn, ones
        >>> layer = nn.Identity()
        >>> handle = layer.register_forward_hook(lambda module, args, output: output * 2)
        >>> layer(ones(1))
        tensor([2.0000])
        >>> handle.remove()
        """
        self._hooks = self._hooks or Hooks()
        return self._hooks.register("after", hook, prepend, with_kwargs)

    def extra_repr(self) -> str:
        """What the parentheses after the name hold; subclasses say it."""
        return ""

    def _signature(self) -> str:
        return f"{type(self).__name__}({self.extra_repr()})"

    def __repr__(self) -> str:
        children = [(name, value) for name, value in vars(self).items() if isinstance(value, Module)]
        if not children:
            return self._signature()
        lines = [f"{type(self).__name__}("] + ([self.extra_repr()] if self.extra_repr() else [])
        lines += [f"({name}): {child!r}".replace("\n", "\n  ") for name, child in children]
        return "\n  ".join(lines) + "\n)"


def _join(prefix: str, name: str) -> str:
    return f"{prefix}.{name}" if prefix else name
