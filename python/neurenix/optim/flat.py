"""Many parameters as one vector."""

from __future__ import annotations

from collections.abc import Sequence

from neurenix._phynexus import Tensor, cat

from .binding import compute_type


class Flat:
    """The parameters of an optimizer end to end, in float64 if any of them is, else in float32.

    The vector lives where the first of them does.
    """

    def __init__(self, params: Sequence[Tensor]) -> None:
        self.params = list(params)
        self._kind = max(compute_type(param.dtype.name) for param in params)
        self.device = self.params[0].device
        self._sizes = [param.numel() for param in params]

    def join(self, tensors: Sequence[Tensor]) -> Tensor:
        """One vector of tensors that have the shapes of the parameters."""
        for tensor, param in zip(tensors, self.params, strict=True):
            if tensor.shape != param.shape:
                raise ValueError(
                    f"a state has shape {tuple(tensor.shape)}, its parameter {tuple(param.shape)}; "
                    "parameters must not change their shape, give the new tensor to a new optimizer"
                )
        return cat([tensor.detach().reshape(-1).to(self.device, self._kind) for tensor in tensors])

    def split(self, vector: Tensor) -> list[Tensor]:
        """Views of a vector in the shapes of the parameters."""
        parts = vector.split(self._sizes)
        return [part.reshape(param.shape) for part, param in zip(parts, self.params, strict=True)]

    def values(self) -> Tensor:
        """A copy of the parameters."""
        return self.join(self.params)

    def gradient(self) -> Tensor:
        """A copy of their gradients; zero where there is none."""
        return self.join(
            [Tensor.zeros_like(param) if param.grad is None else param.grad for param in self.params]
        )

    def put(self, vector: Tensor) -> None:
        """Gives the parameters new values."""
        for param, part in zip(self.params, self.split(vector), strict=True):
            param.copy_(part)

    def spread(self, numbers: Sequence[float]) -> Tensor | float:
        """One number for each parameter as a vector; as a single number if all are the same."""
        if len(set(numbers)) == 1:
            return numbers[0]
        return self.join([Tensor.full_like(p, x) for p, x in zip(self.params, numbers, strict=True)])
