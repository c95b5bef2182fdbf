"""Schedules: hyperparameters as pure functions of the step, wherever an optimizer takes a number.

>>> from neurenix.optim.schedule import cosine, warmup
>>> lr = warmup(cosine(0.1, steps=90), steps=10)
>>> lr
warmup(cosine(0.1, steps=90), steps=10)
>>> [round(lr(t), 6) for t in (0, 9, 10, 55, 100, 10**9)]
[0.01, 0.1, 0.1, 0.05, 0.0, 0.0]

Steps count from 0, which is the value of the first step. Past their end schedules stay where they ended. They
compare and hash by value, and `to_dict`/`from_dict` carry them through checkpoints; the only state is the
step. `Plateau` and `Greedy`, which react to a metric, are factors with a state of their own.
"""

from neurenix.optim.schedule.base import Schedule, from_dict, schedule
from neurenix.optim.schedule.compose import chain, delay, join, warmup
from neurenix.optim.schedule.cycles import (
    chebyshev,
    cosine_restarts,
    cyclic,
    cyclic_pair,
    one_cycle,
    one_cycle_momentum,
    one_cycle_pair,
    warm_restarts,
)
from neurenix.optim.schedule.multiplier import Greedy, Multiplier, Plateau
from neurenix.optim.schedule.recipes import noam, warmup_cosine, warmup_inverse_sqrt, warmup_stable_decay
from neurenix.optim.schedule.scheduler import Scheduler
from neurenix.optim.schedule.shapes import (
    anneal,
    constant,
    constant_factor,
    cosine,
    exponential,
    half_life,
    inverse_sqrt,
    inverse_time,
    linear,
    polynomial,
    rex,
    tanh,
)
from neurenix.optim.schedule.stairs import (
    multi_step,
    multiplicative,
    piecewise_constant,
    piecewise_interpolate,
    range_test,
    step,
)

__all__ = [
    "Greedy",
    "Multiplier",
    "Plateau",
    "Schedule",
    "Scheduler",
    "anneal",
    "chain",
    "chebyshev",
    "constant",
    "constant_factor",
    "cosine",
    "cosine_restarts",
    "cyclic",
    "cyclic_pair",
    "delay",
    "exponential",
    "from_dict",
    "half_life",
    "inverse_sqrt",
    "inverse_time",
    "join",
    "linear",
    "multi_step",
    "multiplicative",
    "noam",
    "one_cycle",
    "one_cycle_momentum",
    "one_cycle_pair",
    "piecewise_constant",
    "piecewise_interpolate",
    "polynomial",
    "range_test",
    "rex",
    "schedule",
    "step",
    "tanh",
    "warm_restarts",
    "warmup",
    "warmup_cosine",
    "warmup_inverse_sqrt",
    "warmup_stable_decay",
]
