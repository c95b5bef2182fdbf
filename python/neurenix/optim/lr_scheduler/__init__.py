"""PyTorch's schedulers, with its names, arguments, defaults, attributes and values.

>>> import neurenix as nx
>>> from neurenix.optim.lr_scheduler import StepLR
>>> model = nx.nn.Linear(4, 1)
>>> optimizer = nx.optim.SGD(model.parameters(), lr=1.0)
>>> scheduler = StepLR(optimizer, step_size=30)
>>> for epoch in range(60):
...     optimizer.step()
...     scheduler.step()
>>> round(scheduler.get_last_lr()[0], 6)
0.01

A scheduler writes the rate into the optimizer's groups. Both are saved: optimizer and scheduler can be loaded in either
order. A learning rate that is a schedule itself, `SGD(params, lr=schedule.step(1.0, every=30))`, needs no scheduler.
"""

from neurenix.optim.lr_scheduler.base import LRScheduler
from neurenix.optim.lr_scheduler.combined import ChainedScheduler, SequentialLR
from neurenix.optim.lr_scheduler.cyclical import CyclicLR, OneCycleLR
from neurenix.optim.lr_scheduler.plateau import ReduceLROnPlateau
from neurenix.optim.lr_scheduler.simple import (
    SWALR,
    ConstantLR,
    CosineAnnealingLR,
    CosineAnnealingWarmRestarts,
    ExponentialLR,
    LambdaLR,
    LinearLR,
    MultiplicativeLR,
    MultiStepLR,
    PolynomialLR,
    StepLR,
)

_LRScheduler = LRScheduler  # PyTorch's older name

__all__ = [
    "SWALR",
    "ChainedScheduler",
    "ConstantLR",
    "CosineAnnealingLR",
    "CosineAnnealingWarmRestarts",
    "CyclicLR",
    "ExponentialLR",
    "LRScheduler",
    "LambdaLR",
    "LinearLR",
    "MultiStepLR",
    "MultiplicativeLR",
    "OneCycleLR",
    "PolynomialLR",
    "ReduceLROnPlateau",
    "SequentialLR",
    "StepLR",
]
