"""Modules that hold other modules: in a row, in a list, in a dict."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, TypeAlias, overload

from neurenix import _phynexus
from neurenix.nn._errors import locate
from neurenix.nn.activation import FUSED
from neurenix.nn.linear import Linear
from neurenix.nn.module import Module

if TYPE_CHECKING:
    from typing import Self

__all__ = ["ModuleDict", "ModuleList", "Sequential"]

#: What is called, whether that is a Linear that the engine computes together with an activation, and which.
Step: TypeAlias = tuple[Any, bool, str | None]


class _Modules(Module):
    """Submodules as attributes under their names."""

    def _items(self) -> list[tuple[str, Module]]:
        return [(name, value) for name, value in vars(self).items() if isinstance(value, Module)]

    def _replace(self, items: Iterable[tuple[str, Module]]) -> None:
        items = list(items)
        for name, module in items:
            self._check(name, module, Module)
        for name, _ in self._items():
            delattr(self, name)
        for name, module in items:
            setattr(self, name, module)

    def __len__(self) -> int:
        return len(self._items())


class _Row(_Modules):
    """Submodules in a row. Names that are numbers follow the position, others stay."""

    def _number(self, items: Iterable[tuple[str, Module]]) -> None:
        self._replace((str(k) if name.isdigit() else name, module) for k, (name, module) in enumerate(items))

    def _name(self, index: int) -> str:
        names = [name for name, _ in self._items()]
        if not -len(names) <= index < len(names):
            raise IndexError(
                f"index {index} is out of range for a {type(self).__name__} of {len(names)} modules"
            )
        return names[index]

    @overload
    def __getitem__(self, index: int) -> Any: ...
    @overload
    def __getitem__(self, index: slice) -> Self: ...
    def __getitem__(self, index: int | slice) -> Any:
        if not isinstance(index, slice):
            return vars(self)[self._name(index)]
        part = Sequential() if isinstance(self, Sequential) else ModuleList()
        part._number(self._items()[index])
        return part

    def __setitem__(self, index: int, module: Module) -> None:
        self.add_module(self._name(index), module)

    def __delitem__(self, index: int | slice) -> None:
        items = self._items()
        del items[index]
        self._number(items)

    def __iter__(self) -> Iterator[Any]:
        return iter([module for _, module in self._items()])

    def __contains__(self, module: object) -> bool:
        return any(own is module for own in self)

    def __add__(self, modules: Iterable[Module]) -> Self:
        """These modules, then those, in a new row."""
        return type(self)().extend([*self, *modules])

    def __iadd__(self, modules: Iterable[Module]) -> Self:
        return self.extend(modules)

    def append(self, module: Module) -> Self:
        """Adds a module at the end."""
        return self.extend([module])

    def extend(self, modules: Iterable[Module]) -> Self:
        """Adds modules at the end."""
        self._number([*self._items(), *(("0", module) for module in modules)])
        return self

    def insert(self, index: int, module: Module) -> Self:
        """Inserts a module before the one at that index."""
        items = self._items()
        items.insert(index, ("0", module))
        self._number(items)
        return self


class Sequential(_Row):
    """Calls modules one after the other, each with the result of the one before.

    Args:
        modules: the modules, or one dict of names and modules.

    >>> from neurenix import nn, ones
    >>> model = nn.Sequential(nn.Linear(10, 5), nn.ReLU(), nn.Linear(5, 1))
    >>> model(ones(100, 10)).shape
    (100, 1)
    >>> model
    Sequential(
      (0): Linear(10, 5)
      (1): ReLU()
      (2): Linear(5, 1)
    )
    >>> model[0], model[:2][1]
    (Linear(10, 5), ReLU())
    """

    __slots__ = ("_plan",)
    #: The count of changes for which the steps are right, and the steps; made at the first call.
    _plan: tuple[int, tuple[Step, ...]]

    def __init__(self, *modules: Module | Mapping[str, Module]) -> None:
        super().__init__()
        if len(modules) == 1 and isinstance(modules[0], Mapping):
            self._replace(modules[0].items())
        else:
            self.extend(modules)  # type: ignore[arg-type]

    def forward(self, input: Any) -> Any:
        """Runs the modules; a Linear and the activation behind it are one operation of the engine."""
        try:
            changes, steps = self._plan
        except AttributeError:
            changes = -1
        if changes != Module._changes[0]:
            steps = self._make_plan()
        for module, fused, activation in steps:
            if not fused:
                input = module(input)
                continue
            try:
                input = _phynexus.linear(input, module.weight, module.bias, activation)
            except Exception as error:
                locate(error, module)
                raise
        return input

    def _make_plan(self) -> tuple[Step, ...]:
        steps: list[Step] = []
        for module in self:
            plain = module._hooks is None and "forward" not in vars(module)
            if plain and type(module) is Linear:
                steps.append((module, True, None))
            elif plain and type(module) in FUSED and steps and steps[-1][1:] == (True, None):
                steps[-1] = (steps[-1][0], True, module.operation)
            else:
                steps.append((module, False, None))
        self._plan = (Module._changes[0], tuple(steps))
        return self._plan[1]


class ModuleList(_Row):
    """A list of modules whose parameters are found; how they are called is written in `forward` of their owner.

    >>> from neurenix import nn
    >>> layers = nn.ModuleList(nn.Linear(4, 4) for _ in range(3))
    >>> len(layers), len(list(layers.parameters()))
    (3, 6)
    """

    def __init__(self, modules: Iterable[Module] = ()) -> None:
        super().__init__()
        self.extend(modules)


class ModuleDict(_Modules):
    """A dict of modules whose parameters are found.

    >>> from neurenix import nn
    >>> heads = nn.ModuleDict({"age": nn.Linear(8, 1), "sex": nn.Linear(8, 2)})
    >>> heads["sex"]
    Linear(8, 2)
    """

    def __init__(self, modules: Mapping[str, Module] | Iterable[tuple[str, Module]] = ()) -> None:
        super().__init__()
        self.update(modules)

    def __getitem__(self, key: str) -> Any:
        return dict(self._items())[key]

    def __setitem__(self, key: str, module: Module) -> None:
        self.update({key: module})

    def __delitem__(self, key: str) -> None:
        self.pop(key)

    def __iter__(self) -> Iterator[str]:
        return iter(self.keys())

    def __contains__(self, key: object) -> bool:
        return key in self.keys()

    def keys(self) -> list[str]:
        """The names, in the order of their assignment."""
        return [name for name, _ in self._items()]

    def values(self) -> list[Module]:
        """The modules."""
        return [module for _, module in self._items()]

    def items(self) -> list[tuple[str, Module]]:
        """Names and modules."""
        return self._items()

    def update(self, modules: Mapping[str, Module] | Iterable[tuple[str, Module]]) -> None:
        """Adds modules, or puts them in place of those of the same names."""
        self._replace((dict(self._items()) | dict(modules)).items())

    def pop(self, key: str) -> Module:
        """Takes a module out."""
        module: Module = self[key]
        delattr(self, key)
        return module
