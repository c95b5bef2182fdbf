"""Reading, writing and moving the tensors of a module."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from neurenix._phynexus import Device, DType, Tensor, copy_all, with_grad
from neurenix.nn.parameter import Parameter

if TYPE_CHECKING:
    from neurenix.nn.module import Module


class Mismatches(NamedTuple):
    """Names that a state lacks, and names that it should not have."""

    missing_keys: list[str]
    unexpected_keys: list[str]


def guard(module: Module, name: str, value: Any, submodule: type[Module]) -> None:
    """Refuses an assignment after which optimizers would train, or checkpoints lose, what the module has no more."""
    held = vars(module).get(name)
    kinds = Parameter | submodule | Tensor if name in module._buffers else Parameter | submodule
    if isinstance(held, kinds) and not isinstance(value, kinds | None):
        raise TypeError(
            f"{type(module).__name__}: {name!r} holds a {type(held).__name__}, which {type(value).__name__} would "
            "replace; write into a tensor with copy_ under no_grad(), or delete the attribute first"
        )


def named_state(module: Module) -> Iterator[tuple[str, Tensor]]:
    """Parameters and persistent buffers under each of their names, also where they are shared."""
    for path, part in module.named_modules(remove_duplicate=False):
        start = f"{path}." if path else ""
        for name, tensor in part._own_parameters():
            yield start + name, tensor
        for name, tensor in part._own_buffers():
            if part._buffers[name]:
                yield start + name, tensor


def load(module: Module, state: Mapping[str, Any], strict: bool) -> Mismatches:
    """Copies a state into a module, or raises with all that does not match and changes nothing."""
    if not isinstance(state, Mapping):
        raise TypeError(f"load_state_dict: takes a dict of names and tensors, got {type(state).__name__}")
    own = dict(named_state(module))
    new = {name: value if isinstance(value, Tensor) else Tensor(value) for name, value in state.items()}
    mismatches = Mismatches(
        [name for name in own if name not in new], [name for name in new if name not in own]
    )
    problems = [
        f"{name}: the shape is {new[name].shape}, expected {tensor.shape}"
        for name, tensor in own.items()
        if name in new and new[name].shape != tensor.shape
    ]
    if strict:
        problems += [
            f"{name}: missing, expected the shape {own[name].shape}" for name in mismatches.missing_keys
        ]
        problems += [f"{name}: not expected" for name in mismatches.unexpected_keys]
    if problems:
        listing = "\n  ".join(problems)
        remedy = "; strict=False ignores missing and unexpected names" if strict else ""
        what = f"{type(module).__name__} does not match the state, nothing was changed"
        raise ValueError(f"load_state_dict: {what}{remedy}:\n  {listing}")
    names = [name for name in own if name in new]
    # One call: nothing can come between its first and its last copy.
    with_grad(False, copy_all, [own[name] for name in names], [new[name] for name in names])
    return mismatches


def move(module: Module, targets: Sequence[Any], device: Any, dtype: Any) -> None:
    """Moves and casts all parameters and buffers in place."""
    for target in targets:
        if isinstance(target, Tensor):
            device, dtype = device or target.device, dtype or target.dtype
        elif _is_dtype(target):
            dtype = dtype or target
        elif target is not None:
            device = device or target
    dtype = None if dtype is None else DType(dtype)
    if dtype is not None and not dtype.is_floating_point:
        raise TypeError(f"to: a module is cast to a floating-point dtype, got {dtype.name}")
    for tensor in [*module.parameters(), *module.buffers()]:
        if device is not None:
            tensor.to(device, inplace=True)
        if dtype is not None and tensor.is_floating_point():
            tensor.to(dtype, inplace=True)


def _is_dtype(target: Any) -> bool:
    if not isinstance(target, str):
        return isinstance(target, DType | np.dtype | type)
    try:
        Device(target)
    except (TypeError, ValueError, RuntimeError):
        return True
    return False
