"""A tensor that a module owns and an optimizer changes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from neurenix._phynexus import Tensor

if TYPE_CHECKING:
    from typing import Self

__all__ = ["Parameter"]


class Parameter(Tensor):
    """A leaf that `Module.parameters()` finds when it is assigned to an attribute of a module.

    Args:
        data: a tensor, or what a tensor can be made of; it is copied, on the device where it is.
        requires_grad: whether `backward` computes its gradient.

    >>> import neurenix
    >>> neurenix.nn.Parameter(neurenix.zeros(2))
    Parameter containing:
    tensor([0.0000, 0.0000], requires_grad=True)
    """

    def __new__(cls, data: Any, requires_grad: bool = True) -> Self:
        """Copies the data."""
        return super().__new__(cls, data, requires_grad=requires_grad)

    def __init__(self, data: Any, requires_grad: bool = True) -> None:
        """Everything happens in `__new__`, as in the engine's tensors."""

    def __repr__(self) -> str:
        return f"Parameter containing:\n{super().__repr__()}"

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.detach(), self.requires_grad)

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        if id(self) not in memo:
            memo[id(self)] = type(self)(self, self.requires_grad)
        return memo[id(self)]  # type: ignore[no-any-return]
