"""What must not move a bit."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import numpy as np

from neurenix._phynexus import Tensor, get_num_threads, set_num_threads

from .record import Record, require
from .runs import Run, bits, contents, large

STEPS: Final = 10


def order_and_grouping_do_not_show(record: Record) -> str | None:
    """Parameters in another order, and each in a group or an optimizer of its own, move in the same way."""
    arrangements: dict[str, Callable[[list[Tensor]], Any]] = {
        "the reverse order of parameters": lambda params: params[::-1],
        "a group for each parameter": lambda params: [{"params": [param]} for param in params],
        "two groups": lambda params: [{"params": params[1::2]}, {"params": params[::2]}],
    }
    for dtype in ("float64",) if record.couples else ("float32", "bfloat16"):
        together = Run(record, dtype).train(STEPS)
        for what, arrange in arrangements.items():
            other = Run(record, dtype, arrange=arrange).train(STEPS)
            if record.couples:
                apart = np.abs(other.values() - together.values()) / np.maximum(
                    np.abs(together.values()), 1e-3
                )
                require(
                    apart.max() <= 10 * record.tolerance[0],
                    f"{record}: {what} changes the result by {apart.max():.3g}",
                )
            else:
                require(other.bits() == together.bits(), f"{record}: {what} changes bits in {dtype}")
    return None


def tensors_are_independent(record: Record) -> str | None:
    """Each parameter with an optimizer of its own moves as all together in one."""
    if record.couples:
        return "its tensors depend on each other"
    together = Run(record, "float32").train(STEPS)
    alone = Run(record, "float32")
    optimizers = [record.build([param]) for param in alone.params]
    for t in range(1, STEPS + 1):
        closure = alone.closure(t)
        closure()
        for optimizer in optimizers:
            if record.advance is not None:
                record.advance(optimizer, closure, t)
            else:
                optimizer.step(closure) if record.closure else optimizer.step()
    require(alone.bits() == together.bits(), f"{record}: an optimizer for each parameter changes bits")
    return None


def threads_do_not_show(record: Record) -> str | None:
    """One thread and three give the same bits."""
    threads, results = get_num_threads(), []
    try:
        for count in (1, 3):
            set_num_threads(count)
            results.append(Run(record, "float32", shapes=large(record), period=2).train(2).bits())
    finally:
        set_num_threads(threads)
    require(results[0] == results[1], f"{record}: the number of threads changes bits")
    return None


def strides_do_not_show(record: Record) -> str | None:
    """Gradients and parameters that are not contiguous give the same bits, or are refused and left alone."""
    if record.closure or record.advance is not None:
        return "its closure sets the gradients"
    plain = Run(record, "float32")
    strided = Run(record, "float32")
    for t in range(1, 4):
        for param in strided.params:
            param.grad = None
        strided.put(strided.process.at(t, strided.values()))
        for param in strided.params:
            param.grad = _strided(param.grad)
        strided.optimizer.step()
    require(strided.bits() == plain.train(3).bits(), f"{record}: strides of gradients change bits")

    params = [_strided(param.detach()).requires_grad_() for param in Run(record, "float32").params]
    if all(param.is_contiguous() for param in params):
        return None
    before = bits(params)
    other = Run(record, "float32")
    other.params, other.optimizer = params, record.build(params)
    try:
        other.train(3)
    except (RuntimeError, ValueError):
        require(
            bits(params) == before, f"{record}: refused parameters that are not contiguous, but moved some"
        )
        return None
    require(other.bits() == plain.bits(), f"{record}: strides of parameters change bits")
    return None


def runs_repeat(record: Record) -> str | None:
    """The same training gives the same bits again, parameters and state."""
    one, two = Run(record, "float32").train(STEPS), Run(record, "float32").train(STEPS)
    require(one.bits() == two.bits(), f"{record}: a second run ends elsewhere")
    require(
        contents(one.optimizer.state_dict()) == contents(two.optimizer.state_dict()),
        f"{record}: a second run ends with another state",
    )
    return None


def _strided(tensor: Tensor | None) -> Tensor:
    """The same values, every other element of a larger tensor."""
    assert tensor is not None
    if tensor.ndim == 0:
        return tensor
    wide = Tensor(np.repeat(tensor.numpy(), 2, axis=-1))
    return wide[..., ::2]
