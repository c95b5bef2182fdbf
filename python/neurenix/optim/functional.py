"""Optimizers as pure functions: parameters, gradients and state go in, new ones come out."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeAlias

from neurenix._phynexus import Tensor

from .optimizer import Optimizer

Tree: TypeAlias = Any
"""A tensor, or a dict, list or tuple of trees."""


class Functional:
    """An optimizer without parameters of its own, in the manner of optax.

    `init` gives the state for some parameters, `update` one step; neither changes what it is given. Every step copies
    parameters and state, so for speed use the optimizer itself.

    Args:
        optimizer: an optimizer class, or a function `(params, **arguments) -> Optimizer` (for wrappers).
        **arguments: its arguments besides `params`.

    Raises:
        TypeError: if a tree holds anything but tensors.

    Example:
        >>> import neurenix as nx
        >>> adam = nx.optim.Functional(nx.optim.Adam, lr=0.5)
        >>> params = {"w": nx.Tensor([1.0]), "b": [nx.Tensor(2.0)]}
        >>> state = adam.init(params)
        >>> new, state = adam.update({"w": nx.Tensor([1.0]), "b": [nx.Tensor(-1.0)]}, state, params)
        >>> new["w"].tolist(), new["b"][0].item(), params["w"].tolist()
        ([0.5], 2.5, [1.0])
    """

    def __init__(self, optimizer: Callable[..., Optimizer], **arguments: Any) -> None:
        if not callable(optimizer):
            raise TypeError(f"Functional: optimizer must be a class or a function, got {optimizer!r}")
        self.optimizer = optimizer
        self.arguments = arguments

    def init(self, params: Tree) -> dict[str, Any]:
        """The state before the first step, a dict that `neurenix.save` can store."""
        optimizer = self._bind(_leaves("params", params))
        optimizer.init_state()
        return {key: _copied(value) for key, value in optimizer.state_dict().items()}

    def update(
        self, grads: Tree, state: Mapping[str, Any], params: Tree, **step: Any
    ) -> tuple[Tree, dict[str, Any]]:
        """One step.

        Args:
            grads: gradients in the structure of `params`; None leaves a parameter as it is.
            state: what `init` or the last `update` returned.
            params: the parameters.
            **step: what else the optimizer's `step()` takes, such as `loss` for MoMo.

        Returns:
            The new parameters, in the structure of `params`, and the new state.
        """
        leaves = _leaves("params", params)
        given = _leaves("grads", grads, optional=True)
        if list(given) != list(leaves):
            missing = sorted(set(leaves) ^ set(given))
            raise ValueError(
                f"update: grads and params differ in structure at {', '.join(map(repr, missing))}"
            )
        optimizer = self._bind(leaves)
        optimizer.load_state_dict(state)
        fresh = {name: param for group in optimizer.param_groups for name, param in _named(group)}
        for name, param in fresh.items():
            param.grad = given[name]
        optimizer.step(**step)
        return _rebuilt(params, {n: p.detach() for n, p in fresh.items()}, ""), optimizer.state_dict()

    def _bind(self, leaves: Mapping[str, Tensor]) -> Optimizer:
        copies = [(name, leaf.detach().clone().requires_grad_()) for name, leaf in leaves.items()]
        return self.optimizer(copies, **self.arguments)

    def __repr__(self) -> str:
        name = getattr(self.optimizer, "__name__", repr(self.optimizer))
        return f"Functional({', '.join([name, *(f'{k}={v!r}' for k, v in self.arguments.items())])})"


def _named(group: Mapping[str, Any]) -> Iterator[tuple[str, Tensor]]:
    return zip(group["param_names"], group["params"], strict=True)


def _items(tree: Tree, path: str) -> Iterator[tuple[str, Any]]:
    """The branches of a tree with their paths, or nothing for a leaf."""
    if isinstance(tree, Mapping):
        for key, value in tree.items():
            yield f"{path}.{key}" if path else str(key), value
    elif isinstance(tree, (list, tuple)):
        for i, value in enumerate(tree):
            yield f"{path}.{i}" if path else str(i), value


def _leaves(what: str, tree: Tree, path: str = "", optional: bool = False) -> dict[str, Any]:
    """The tensors of a tree by path."""
    if isinstance(tree, Tensor) or (optional and tree is None):
        return {path or "value": tree}
    if not isinstance(tree, (Mapping, list, tuple)):
        raise TypeError(
            f"{what}: expected tensors in dicts, lists and tuples, got {tree!r} at {path or 'the root'!r}"
        )
    found: dict[str, Any] = {}
    for inner, value in _items(tree, path):
        further = _leaves(what, value, inner, optional)
        if both := found.keys() & further.keys():
            raise ValueError(f"{what}: two branches have the path {min(both)!r}; name their keys otherwise")
        found |= further
    return found


def _rebuilt(tree: Tree, leaves: Mapping[str, Tensor], path: str) -> Tree:
    """The tree with other leaves."""
    if isinstance(tree, Tensor):
        return leaves[path or "value"]
    values = [_rebuilt(value, leaves, inner) for inner, value in _items(tree, path)]
    if isinstance(tree, Mapping):
        return dict(zip(tree, values, strict=True))
    if hasattr(tree, "_fields"):  # a named tuple
        return type(tree)(*values)
    return tuple(values) if isinstance(tree, tuple) else values


def _copied(value: Any) -> Any:
    if isinstance(value, Tensor):
        return value.clone()
    return {key: _copied(item) for key, item in value.items()} if isinstance(value, dict) else value
