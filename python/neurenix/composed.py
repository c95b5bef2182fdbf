"""Functions that are made of the engine's operations, so that gradients and devices come with them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from neurenix._einsum import einsum
from neurenix._phynexus import Generator, Tensor, cat, where

__all__ = [
    "as_tensor",
    "bernoulli",
    "bincount",
    "broadcast_to",
    "concat",
    "count_nonzero",
    "diag",
    "einsum",
    "from_numpy",
    "is_tensor",
    "masked_select",
    "meshgrid",
    "multinomial",
    "normal",
    "numel",
    "outer",
    "roll",
    "tensor",
    "unique",
]

concat = cat
tensor = Tensor


def as_tensor(data: Any, dtype: Any = None, device: Any = None) -> Tensor:
    """The data as a tensor; without a copy if it is one of that dtype on that device, or an array on the CPU.

    Args:
        data: a tensor, a NumPy array, or what `Tensor` takes.
        dtype: another dtype.
        device: another device.

    >>> import neurenix, numpy
    >>> array = numpy.zeros(2, "float32")
    >>> neurenix.as_tensor(array)[0] = 5.0
    >>> array.tolist()
    [5.0, 0.0]
    """
    if isinstance(data, np.ndarray) and data.flags.writeable and data.dtype.isnative:
        data = from_numpy(data)
    if not isinstance(data, Tensor):
        return Tensor(data, dtype=dtype, device=device)
    targets = {key: value for key, value in (("dtype", dtype), ("device", device)) if value is not None}
    return data.to(**targets) if targets else data


def from_numpy(array: np.ndarray[Any, Any]) -> Tensor:
    """A tensor that shares its memory with an array: what is written to one is seen in the other.

    Raises:
        TypeError: no array, or a dtype that tensors do not have.
        ValueError: an array that cannot be written to.

    >>> import neurenix, numpy
    >>> neurenix.from_numpy(numpy.arange(3)).tolist()
    [0, 1, 2]
    """
    if not isinstance(array, np.ndarray):
        raise TypeError(f"from_numpy takes a NumPy array, got {type(array).__name__}; use Tensor(data)")
    if not array.flags.writeable:
        raise ValueError("from_numpy: the array is read-only; use Tensor(array), which copies it")
    shared: Any = array
    return Tensor.from_dlpack(shared)


def is_tensor(x: object) -> bool:
    """Whether x is a tensor.

    >>> import neurenix
    >>> neurenix.is_tensor(neurenix.ones(1)), neurenix.is_tensor([1.0])
    (True, False)
    """
    return isinstance(x, Tensor)


def numel(x: Tensor) -> int:
    """How many elements the tensor has.

    >>> import neurenix
    >>> neurenix.numel(neurenix.ones(2, 3))
    6
    """
    return x.numel()


def outer(a: Tensor, b: Tensor) -> Tensor:
    """The products of each element of one vector with each of another, `out[i][j] = a[i] · b[j]`.

    Raises:
        ValueError: an operand that is no vector.

    >>> import neurenix
    >>> neurenix.outer(neurenix.Tensor([1, 2]), neurenix.Tensor([3, 4])).tolist()
    [[3, 4], [6, 8]]
    """
    if a.ndim != 1 or b.ndim != 1:
        raise ValueError(f"outer needs two vectors, got shapes {a.shape} and {b.shape}")
    return a.unsqueeze(1) * b


def broadcast_to(x: Tensor, shape: Sequence[int]) -> Tensor:
    """The tensor repeated to a shape, without a copy; as `x.expand(shape)`.

    >>> import neurenix
    >>> neurenix.broadcast_to(neurenix.Tensor([1, 2]), (2, 2)).tolist()
    [[1, 2], [1, 2]]
    """
    return x.expand(shape)


def meshgrid(*tensors: Tensor, indexing: str = "ij") -> tuple[Tensor, ...]:
    """Coordinates of a grid: for each vector a tensor of the grid's shape that changes along one dimension.

    Args:
        tensors: vectors.
        indexing: "ij": dimension k belongs to vector k; "xy": the first two are exchanged, as in pictures.

    Raises:
        ValueError: no vectors, or another `indexing`.

    >>> import neurenix
    >>> rows, columns = neurenix.meshgrid(neurenix.arange(2), neurenix.arange(3))
    >>> columns.tolist()
    [[0, 1, 2], [0, 1, 2]]
    """
    if indexing not in ("ij", "xy"):
        raise ValueError(f'meshgrid: indexing must be "ij" or "xy", got {indexing!r}')
    if any(x.ndim != 1 for x in tensors):
        raise ValueError(f"meshgrid needs vectors, got shapes {', '.join(str(x.shape) for x in tensors)}")
    axes = list(range(len(tensors)))
    if indexing == "xy":
        axes[:2] = axes[:2][::-1]
    shape = [0] * len(tensors)
    for axis, x in zip(axes, tensors, strict=True):
        shape[axis] = x.numel()
    return tuple(
        x.reshape([-1 if k == axis else 1 for k in range(len(shape))]).expand(shape)
        for axis, x in zip(axes, tensors, strict=True)
    )


def diag(x: Tensor, diagonal: int = 0) -> Tensor:
    """A matrix with the vector on a diagonal; of a matrix that diagonal.

    Args:
        x: a vector or a matrix.
        diagonal: how far right of the main one, negative to the left of it.

    Raises:
        ValueError: neither a vector nor a matrix.

    >>> import neurenix
    >>> neurenix.diag(neurenix.Tensor([1, 2])).tolist()
    [[1, 0], [0, 2]]
    >>> neurenix.diag(neurenix.Tensor([[1, 2], [3, 4]]), 1).tolist()
    [2]
    """
    down, right = max(-diagonal, 0), max(diagonal, 0)
    if x.ndim == 1:
        size = x.numel()
        places = Tensor.eye(size, dtype="bool", device=x.device)
        return where(places, x, 0).pad((right, down, down, right))
    if x.ndim != 2:
        raise ValueError(f"diag needs a vector or a matrix, got shape {x.shape}")
    along = Tensor.arange(max(min(x.shape[0] - down, x.shape[1] - right), 0), device=x.device)
    return x[along + down, along + right]


def roll(x: Tensor, shifts: int | Sequence[int], dims: int | Sequence[int] | None = None) -> Tensor:
    """Elements moved along dimensions; what leaves at the end comes in at the start.

    Args:
        x: the tensor.
        shifts: how far, for each of `dims`; negative moves to the start.
        dims: which dimensions; None moves the elements in row-major order.

    Raises:
        ValueError: not as many shifts as dimensions.

    >>> import neurenix
    >>> neurenix.roll(neurenix.arange(4), 1).tolist()
    [3, 0, 1, 2]
    """
    if dims is None:
        return roll(x.flatten(), shifts, 0).reshape(x.shape)
    shifts, dims = ([n] if isinstance(n, int) else list(n) for n in (shifts, dims))
    if len(shifts) != len(dims):
        raise ValueError(f"roll: got {len(shifts)} shifts for {len(dims)} dimensions")
    for shift, dim in zip(shifts, dims, strict=True):
        size = x.size(dim)
        cut = -shift % size if size else 0
        if cut:
            x = cat([x.narrow(dim, cut, size - cut), x.narrow(dim, 0, cut)], dim)
    return x


def masked_select(x: Tensor, mask: Tensor) -> Tensor:
    """The elements where the mask holds, as a vector; both broadcast.

    >>> import neurenix
    >>> x = neurenix.Tensor([[1, 2], [3, 4]])
    >>> neurenix.masked_select(x, x > 2).tolist()
    [3, 4]
    """
    shape = np.broadcast_shapes(x.shape, mask.shape)
    return x.expand(shape)[mask.expand(shape)]


def count_nonzero(x: Tensor, dim: int | Sequence[int] | None = None) -> Tensor:
    """How many elements are not zero, of all or along dimensions.

    >>> import neurenix
    >>> neurenix.count_nonzero(neurenix.Tensor([0, 2, 3])).item()
    2
    """
    return (x != 0).sum(dim)


def bincount(x: Tensor, weights: Tensor | None = None, minlength: int = 0) -> Tensor:
    """How often each number from 0 on occurs, or the sums of the weights of its occurrences.

    Args:
        x: a vector of integers of 0 or more.
        weights: a number for each.
        minlength: the least length of the result.

    Raises:
        ValueError: no vector, or negative numbers.

    >>> import neurenix
    >>> neurenix.bincount(neurenix.Tensor([0, 2, 2])).tolist()
    [1, 0, 2]
    """
    if x.ndim != 1:
        raise ValueError(f"bincount needs a vector, got shape {x.shape}")
    low, high = (int(x.min().item()), int(x.max().item())) if x.numel() else (0, -1)
    if low < 0:
        raise ValueError(f"bincount: numbers must not be negative, got {low}")
    one = Tensor.ones(1, dtype="int64", device=x.device)
    ones = one.expand(x.shape) if weights is None else weights
    return Tensor.zeros(max(minlength, high + 1), dtype=ones.dtype, device=x.device).scatter_add(0, x, ones)


def unique(
    x: Tensor, *, return_inverse: bool = False, return_counts: bool = False
) -> Tensor | tuple[Tensor, ...]:
    """The different values in order.

    Args:
        x: any tensor.
        return_inverse: also, in the shape of x, which of them each element is.
        return_counts: also how often each occurs.

    >>> import neurenix
    >>> values, counts = neurenix.unique(neurenix.Tensor([3, 1, 3]), return_counts=True)
    >>> values.tolist(), counts.tolist()
    ([1, 3], [1, 2])
    """
    values, order = x.detach().flatten().sort()
    first = cat(
        [Tensor.ones(min(1, values.numel()), dtype="bool", device=x.device), values[1:] != values[:-1]]
    )
    number = first.cumsum(0) - 1
    found = [values[first]]
    if return_inverse:
        found.append(Tensor.zeros_like(number).scatter(0, order, number).reshape(x.shape))
    if return_counts:
        found.append(bincount(number))
    return tuple(found) if len(found) > 1 else found[0]


def bernoulli(p: Tensor, *, generator: Generator | None = None) -> Tensor:
    """1 with the probability that each element says, else 0.

    Args:
        p: probabilities from 0 to 1.
        generator: where the random numbers come from.

    Raises:
        ValueError: a probability outside of 0 to 1.

    >>> import neurenix
    >>> neurenix.bernoulli(neurenix.Tensor([0.0, 1.0])).tolist()
    [0.0, 1.0]
    """
    p = p.detach()
    if not ((p >= 0) & (p <= 1)).all().item():
        raise ValueError(
            f"bernoulli: probabilities must be in [0, 1], got {p.min().item()} to {p.max().item()}"
        )
    drawn = Tensor.rand(p.shape, device=p.device, generator=generator)
    return (drawn < p).to(p.dtype)


def normal(
    mean: float | Tensor,
    std: float | Tensor,
    size: Sequence[int] | None = None,
    *,
    generator: Generator | None = None,
) -> Tensor:
    """Numbers from a normal distribution, for each element with its mean and standard deviation.

    Args:
        mean: one number, or a tensor.
        std: one number of 0 or more, or a tensor.
        size: the shape where both are numbers.
        generator: where the random numbers come from.

    Raises:
        TypeError: numbers without a size.
        ValueError: a negative standard deviation.

    >>> import neurenix
    >>> neurenix.normal(3.0, 0.0, (2,)).tolist()
    [3.0, 3.0]
    """
    tensors = [x.detach() for x in (mean, std) if isinstance(x, Tensor)]
    if size is None:
        if not tensors:
            raise TypeError(
                "normal: a size is needed where mean and std are numbers, such as normal(0.0, 1.0, (3,))"
            )
        size = np.broadcast_shapes(*(x.shape for x in tensors))
    least = std.min().item() if isinstance(std, Tensor) else std
    if not least >= 0:
        raise ValueError(f"normal: std must be 0 or more, got {least}")
    device = tensors[0].device if tensors else None
    drawn = Tensor.randn(size, device=device, generator=generator)
    mean, std = (x.detach() if isinstance(x, Tensor) else x for x in (mean, std))
    return drawn * std + mean


def multinomial(
    weights: Tensor, num_samples: int, replacement: bool = False, *, generator: Generator | None = None
) -> Tensor:
    """Indices drawn with the probabilities that weights stand for.

    Args:
        weights: numbers of 0 or more along the last of one or two dimensions; they need not add up to 1.
        num_samples: how many to draw from each row.
        replacement: whether an index may be drawn again.
        generator: where the random numbers come from.

    Returns:
        int64 of shape (num_samples) or (rows, num_samples).

    Raises:
        ValueError: weights that are negative, not finite or all zero, or fewer positive ones than samples where none
            may be drawn again.

    >>> import neurenix
    >>> neurenix.multinomial(neurenix.Tensor([0.0, 3.0, 0.0]), 1).tolist()
    [1]
    """
    w = weights.detach()
    if w.ndim not in (1, 2) or num_samples < 1:
        raise ValueError(
            f"multinomial needs one or two dimensions and a sample or more, got {w.shape} and {num_samples}"
        )
    if not (w.isfinite() & (w >= 0)).all().item():
        raise ValueError(
            f"multinomial: weights must be finite and not negative, got {w.min().item()} to {w.max().item()}"
        )
    fewest = int((w > 0).sum(-1).min().item())
    needed = 1 if replacement else num_samples
    if fewest < needed:
        raise ValueError(f"multinomial: a row has {fewest} positive weights, {needed} are needed")
    if not replacement:  # the first arrivals of clocks that run at these rates
        waits = -(1.0 - Tensor.rand(w.shape, dtype=w.dtype, device=w.device, generator=generator)).log() / w
        return where(w > 0, waits, float("inf")).topk(num_samples, largest=False).indices
    sums = w.cumsum(-1)
    total = sums.narrow(-1, w.size(-1) - 1, 1)
    drawn = (
        Tensor.rand((*w.shape[:-1], num_samples), dtype=w.dtype, device=w.device, generator=generator) * total
    )
    below = (sums.unsqueeze(-2) <= drawn.unsqueeze(-1)).sum(-1)
    last = where(w > 0, Tensor.arange(w.size(-1), device=w.device), -1).amax(-1, True)
    return below.minimum(last)  # rounding may take a draw up to the total
