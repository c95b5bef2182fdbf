"""PyTorch's schedulers by their names, as thin objects over `neurenix.optim.schedule`.

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

Names, arguments and defaults are PyTorch's, and so are the values, without their rounding: each is computed from the
step alone, so that a saved state is two numbers and it does not matter whether optimizer or scheduler is loaded first.
A learning rate that is a schedule itself, `SGD(params, lr=schedule.step(1.0, every=30))`, needs no scheduler at all.
"""

from neurenix.optim.lr_scheduler.base import LRScheduler
from neurenix.optim.lr_scheduler.combined import ChainedScheduler, ReduceLROnPlateau, SequentialLR
from neurenix.optim.lr_scheduler.cyclical import CyclicLR, OneCycleLR
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
