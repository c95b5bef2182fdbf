"""Schedules: hyperparameters as pure functions of the step, wherever an optimizer takes a number.

>>> from neurenix.optim.schedule import cosine, warmup
>>> lr = warmup(cosine(0.1, steps=90), steps=10)
>>> lr
warmup(cosine(0.1, steps=90, end=0.0), steps=10, start='one')
>>> [round(lr(t), 6) for t in (0, 9, 10, 55, 100, 10**9)]
[0.01, 0.1, 0.1, 0.05, 0.0, 0.0]

Steps count from 0, which is the value of the first step. Past their end schedules stay where they ended. They
compare and hash by value, and `to_dict`/`from_dict` carry them through checkpoints; the only state is the
step.
"""

from neurenix.optim.schedule.base import Schedule, from_dict, schedule
from neurenix.optim.schedule.compose import chain, join, warmup, warmup_cosine
from neurenix.optim.schedule.scheduler import Scheduler
from neurenix.optim.schedule.shapes import constant, cosine, exponential, linear, multi_step, polynomial, step

__all__ = [
    "Schedule",
    "Scheduler",
    "chain",
    "constant",
    "cosine",
    "exponential",
    "from_dict",
    "join",
    "linear",
    "multi_step",
    "polynomial",
    "schedule",
    "step",
    "warmup",
    "warmup_cosine",
]
