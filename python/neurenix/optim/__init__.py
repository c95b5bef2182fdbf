"""Optimizers: update rules that are formulas, compiled for the device that the parameters live on.

>>> import neurenix as nx
>>> from neurenix.optim.schedule import warmup_cosine
>>> model = nx.nn.Linear(4, 1)
>>> optimizer = nx.optim.AdamW(model.named_parameters(), lr=warmup_cosine(1e-3, warmup=100, total=1000))
"""

from neurenix.optim import algorithms, formula, lr_scheduler, schedule
from neurenix.optim.algorithms import *  # noqa: F403
from neurenix.optim.functional import Functional
from neurenix.optim.governed import Hook
from neurenix.optim.limits import Choice, Each, Flag, Limit, Number, OrNone, Whole
from neurenix.optim.optimizer import Optimizer
from neurenix.optim.options import Options
from neurenix.optim.param_groups import param_groups
from neurenix.optim.plan import Batch
from neurenix.optim.schedule import Schedule, Scheduler
from neurenix.optim.states import State
from neurenix.optim.tracing import trace
from neurenix.optim.wrapper import Wrapper

__all__ = [
    "Batch",
    "Choice",
    "Each",
    "Flag",
    "Functional",
    "Hook",
    "Limit",
    "Number",
    "Optimizer",
    "Options",
    "OrNone",
    "Schedule",
    "Scheduler",
    "State",
    "Whole",
    "Wrapper",
    "formula",
    "lr_scheduler",
    "param_groups",
    "schedule",
    "trace",
]
__all__ += algorithms.__all__
