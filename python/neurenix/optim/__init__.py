"""Optimizers: update rules that are formulas, compiled for the device that the parameters live on.

>>> import neurenix as nx
>>> from neurenix.optim.schedule import warmup_cosine
>>> model = nx.nn.Linear(4, 1)
>>> optimizer = nx.optim.AdamW(model.named_parameters(), lr=warmup_cosine(1e-3, warmup=100, total=1000))
"""

from typing import TYPE_CHECKING as _TYPE_CHECKING
from typing import Any as _Any

from neurenix.optim import algorithms, formula, lr_scheduler, schedule, swa_utils
from neurenix.optim.algorithms import *  # noqa: F403
from neurenix.optim.binding import Batch
from neurenix.optim.functional import Functional
from neurenix.optim.governed import Hook
from neurenix.optim.limits import Choice, Each, Fixed, Flag, Limit, Number, OrNone, Whole
from neurenix.optim.optimizer import Optimizer
from neurenix.optim.options import Options
from neurenix.optim.param_groups import param_groups
from neurenix.optim.schedule import Schedule, Scheduler
from neurenix.optim.states import State
from neurenix.optim.tracing import trace
from neurenix.optim.wrapper import Wrapper

if _TYPE_CHECKING:
    from neurenix.optim.exporting import export
    from neurenix.optim.names import Named, named
    from neurenix.optim.range_test import RangeTest, lr_find
    from neurenix.race import race

__all__ = [
    "Batch",
    "Choice",
    "Each",
    "Fixed",
    "Flag",
    "Functional",
    "Hook",
    "Limit",
    "Named",
    "Number",
    "Optimizer",
    "Options",
    "OrNone",
    "RangeTest",
    "Schedule",
    "Scheduler",
    "State",
    "Whole",
    "Wrapper",
    "export",
    "formula",
    "lr_find",
    "lr_scheduler",
    "named",
    "param_groups",
    "race",
    "schedule",
    "swa_utils",
    "trace",
]
__all__ += algorithms.__all__

# Imported when they are asked for: training does without.
_LATER = {
    "Named": "neurenix.optim.names",
    "RangeTest": "neurenix.optim.range_test",
    "lr_find": "neurenix.optim.range_test",
    "export": "neurenix.optim.exporting",
    "named": "neurenix.optim.names",
    "race": "neurenix.race",
}


def __getattr__(name: str) -> _Any:
    if name in _LATER:
        from importlib import import_module

        return getattr(import_module(_LATER[name]), name)
    raise AttributeError(f"module 'neurenix.optim' has no attribute {name!r}")
