"""Stochastic weight averaging: the mean of the weights along the way generalizes better than the last ones.

PyTorch's names for it. The average of every step needs none of this: the option `ema` of any optimizer keeps one at
no cost, see `Options`.

>>> import neurenix as nx
>>> from neurenix.optim.swa_utils import SWALR, AveragedModel, update_bn
>>> model = nx.nn.Sequential(nx.nn.Linear(3, 4), nx.nn.BatchNorm1d(4), nx.nn.ReLU(), nx.nn.Linear(4, 1))
>>> optimizer = nx.optim.SGD(model.parameters(), lr=0.1)
>>> average, scheduler = AveragedModel(model), SWALR(optimizer, swa_lr=0.05)
>>> data = [(nx.randn(8, 3), nx.randn(8, 1)) for _ in range(4)]
>>> for x, y in data:
...     optimizer.zero_grad()
...     nx.nn.MSELoss()(model(x), y).backward()
...     optimizer.step()
...     average.update_parameters(model)
...     scheduler.step()
>>> update_bn(data, average)
>>> int(average.n_averaged), average(nx.randn(2, 3)).shape
(4, (2, 1))

References: P. Izmailov et al., Averaging weights leads to wider optima and better generalization, arXiv 1803.05407.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeAlias

from neurenix._phynexus import Tensor, where
from neurenix.autograd import no_grad
from neurenix.nn import BatchNorm1d, Module

from .averaging import ema, mean
from .limits import Number
from .lr_scheduler import SWALR

__all__ = [
    "SWALR",
    "AveragedModel",
    "get_ema_avg_fn",
    "get_ema_multi_avg_fn",
    "get_swa_avg_fn",
    "get_swa_multi_avg_fn",
    "update_bn",
]

#: `average(averaged, current, count)`: the new average, where `count` values are in the old one.
Average: TypeAlias = Callable[[Tensor, Tensor, Any], Tensor]
#: The same for lists of tensors, in place.
Averages: TypeAlias = Callable[[list[Tensor], list[Tensor], Any], None]


class AveragedModel(Module):
    """A copy of a model whose parameters are averages of the model's along its training.

    Args:
        model: what is averaged; it is copied.
        device: where the copy is to be, by default where the model is.
        avg_fn: `avg_fn(averaged, current, n_averaged)` gives the new average of a tensor; by default the mean of all.
        multi_avg_fn: the same for lists of tensors, in place of the first.
        use_buffers: whether buffers of floating-point numbers are averaged, too; else they are the model's latest. Then
            those of batch norms must be found anew, see `update_bn`.

    Averages of bfloat16 and float16 are kept in float32 beside the copy, which has them rounded: what one more value
    changes is less than these dtypes resolve. The functions are given float32 then. They belong to `state_dict`, as
    "averages" and the tensor's name with slashes for dots; where a state has none, they go on from what the copy has.

    Attributes:
        module: the copy.
        n_averaged: how many values are in the averages.

    Raises:
        ValueError: if both functions are given.

    >>> import neurenix as nx
    >>> from neurenix.optim.swa_utils import AveragedModel
    >>> model = nx.nn.Linear(1, 1, bias=False)
    >>> average = AveragedModel(model)
    >>> for value in (1.0, 2.0, 6.0):
    ...     with nx.no_grad():
    ...         _ = model.weight.fill_(value)
    ...     average.update_parameters(model)
    >>> average.module.weight.item()
    3.0
    """

    n_averaged: Tensor

    def __init__(
        self,
        model: Module,
        device: Any = None,
        avg_fn: Average | None = None,
        multi_avg_fn: Averages | None = None,
        use_buffers: bool = False,
    ) -> None:
        super().__init__()
        if avg_fn is not None and multi_avg_fn is not None:
            raise ValueError("AveragedModel: give avg_fn or multi_avg_fn, not both")
        self.module = copy.deepcopy(model)
        if device is not None:
            self.module.to(device)
        self.register_buffer("n_averaged", Tensor.zeros((), dtype="int64", device=device))
        self.avg_fn = avg_fn
        self.multi_avg_fn = multi_avg_fn
        self.use_buffers = use_buffers
        for name, tensor in [*self.module.named_parameters(), *self.module.named_buffers()]:
            if _is_narrow(tensor):
                self._wide(name, tensor.detach())

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """The copy's."""
        return self.module(*args, **kwargs)

    def update_parameters(self, model: Module) -> None:
        """Takes the present parameters of the model into the averages.

        Raises:
            ValueError: if the model has other parameters or buffers than the one that was copied; nothing has changed.
        """
        count = int(self.n_averaged)
        parameters, buffers = (self._pairs(model, kind) for kind in ("parameters", "buffers"))
        followed = [pair for pair in buffers if not (self.use_buffers and pair[1].is_floating_point())]
        averaged = parameters + [
            pair for pair in buffers if not any(pair[1] is old for _, old, _ in followed)
        ]
        with no_grad():
            for _, old, new in followed if count else followed + averaged:
                old.copy_(new)
            wide = {name: self._wide(name, old) for name, old, _ in averaged if _is_narrow(old)}
            pairs = [
                (wide.get(name, old), new.float() if name in wide else new) for name, old, new in averaged
            ]
            if count and self.multi_avg_fn is not None:
                olds, news = zip(*pairs, strict=True)
                self.multi_avg_fn(list(olds), list(news), self.n_averaged)
            elif count:
                average = self.avg_fn or mean
                for old, new in pairs:
                    old.copy_(average(old, new, self.n_averaged if self.avg_fn else count))
            for name, old, _ in averaged:
                if name in wide:
                    old.copy_(wide[name])
            self.n_averaged.add_(1)

    def load_state_dict(self, state_dict: Mapping[str, Any], strict: bool = True) -> Any:
        """As a module's; a state without the float32 averages of narrow tensors, as PyTorch's is, has those rounded."""
        for name in self.state_dict() if isinstance(state_dict, Mapping) else ():
            rounded = "module." + name.removeprefix("averages.").replace("/", ".")
            if name.startswith("averages.") and name not in state_dict and rounded in state_dict:
                state_dict = {**state_dict, name: state_dict[rounded]}
        return super().load_state_dict(state_dict, strict)

    def _wide(self, name: str, narrow: Tensor) -> Tensor:
        """The float32 average of a tensor; where it is not what the tensor has rounded, it goes on from the tensor."""
        if not hasattr(self, "averages"):
            self.averages = Module()
        key, values = name.replace(".", "/"), narrow.float()
        wide = getattr(self.averages, key, None)
        if not isinstance(wide, Tensor):
            self.averages.register_buffer(key, values)
            return values
        wide.to(values.device, inplace=True)
        wide.to("float32", inplace=True)
        wide.copy_(where(wide.to(narrow.dtype) == narrow, wide, values))
        return wide

    def _pairs(self, model: Module, kind: str) -> list[tuple[str, Tensor, Tensor]]:
        """The names of the copy's tensors, these, and the model's."""
        own, theirs = (dict(getattr(each, f"named_{kind}")()) for each in (self.module, model))
        shapes, others = ({name: x.shape for name, x in each.items()} for each in (own, theirs))
        if shapes != others:
            name = next(name for name in {**shapes, **others} if shapes.get(name) != others.get(name))
            raise ValueError(
                f"AveragedModel: {name} of the averaged model has shape {shapes.get(name)}, of the model "
                f"{others.get(name)}; averages are of one model only"
            )
        return [(name, t.detach(), theirs[name].detach().to(t.device)) for name, t in own.items()]


def _is_narrow(tensor: Tensor) -> bool:
    return tensor.dtype.name in ("bfloat16", "float16")


def get_swa_avg_fn() -> Average:
    """The mean of all, as an `avg_fn`: averaged + (current - averaged) / (n + 1).

    >>> from neurenix import Tensor
    >>> get_swa_avg_fn()(Tensor([1.0]), Tensor([4.0]), 2)
    tensor([2.0000])
    """
    return mean


def get_swa_multi_avg_fn() -> Averages:
    """The mean of all, as a `multi_avg_fn`.

    >>> from neurenix import Tensor
    >>> averages = [Tensor([1.0]), Tensor([0.0])]
    >>> get_swa_multi_avg_fn()(averages, [Tensor([4.0]), Tensor([6.0])], 2)
    >>> averages
    [tensor([2.0000]), tensor([2.0000])]
    """
    return _in_place(mean)


def get_ema_avg_fn(decay: float = 0.999) -> Average:
    """An exponential moving average, as an `avg_fn`: decay·averaged + (1 - decay)·current.

    Args:
        decay: how much of the old remains, in [0, 1].

    >>> from neurenix import Tensor
    >>> get_ema_avg_fn(0.75)(Tensor([1.0]), Tensor([5.0]), 2)
    tensor([2.0000])
    """
    kept = Number(0, 1, high_included=True).check("get_ema_avg_fn: decay", decay)
    return lambda averaged, current, count: ema(averaged, current, kept)


def get_ema_multi_avg_fn(decay: float = 0.999) -> Averages:
    """An exponential moving average, as a `multi_avg_fn`.

    Args:
        decay: how much of the old remains, in [0, 1].

    >>> from neurenix import Tensor
    >>> averages = [Tensor([1.0]), Tensor([0.0])]
    >>> get_ema_multi_avg_fn(0.75)(averages, [Tensor([5.0]), Tensor([4.0])], 2)
    >>> averages
    [tensor([2.0000]), tensor([1.0000])]
    """
    kept = Number(0, 1, high_included=True).check("get_ema_multi_avg_fn: decay", decay)

    return _in_place(lambda averaged, current, count: ema(averaged, current, kept))


def _in_place(average: Average) -> Averages:
    def update(averaged: Sequence[Tensor], current: Sequence[Tensor], count: Any) -> None:
        for old, new in zip(averaged, current, strict=True):
            old.copy_(average(old, new, count))

    return update


def update_bn(loader: Iterable[Any], model: Module, device: Any = None) -> None:
    """Finds the running means and variances of a model's batch norms anew, as means over all batches.

    Averaged weights need it: theirs are not those of the model that the batches have been seen by.

    Args:
        loader: batches, tensors or tuples and lists that begin with the tensor that the model takes. One that is empty
            or fails on the way changes nothing.
        model: whose batch norms are updated; it is back in the mode that it was in afterwards.
        device: where batches are taken to before.

    Raises:
        ValueError: if the loader is an iterator that was read already.
    """
    norms = [module for module in model.modules() if isinstance(module, BatchNorm1d)]
    if not norms:
        return
    modes = [(module, module.training) for module in model.modules()]
    momenta = [norm.momentum for norm in norms]
    buffers = [(buffer, buffer.detach().clone()) for buffer in model.buffers()]
    count = 0
    try:
        for module, _ in modes:  # not model.train(): optimizers that follow it keep the weights as they are
            module.training = True
        for norm in norms:
            norm.reset_running_stats()
            norm.momentum = None
        with no_grad():
            for count, batch in enumerate(loader, 1):  # noqa: B007
                x = batch[0] if isinstance(batch, (list, tuple)) else batch
                model(x if device is None else x.to(device))
        buffers = buffers if count == 0 else []
    finally:
        with no_grad():
            for buffer, before in buffers:
                buffer.copy_(before)
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum
        for module, training in modes:
            module.training = training
    if count == 0 and isinstance(loader, Iterator):
        raise ValueError(
            "update_bn: the loader gives no batches: an iterator can be read only once; give a new one"
        )
