"""The optimizers, one file each."""

from neurenix.optim.algorithms.adam import Adam
from neurenix.optim.algorithms.adamw import AdamW
from neurenix.optim.algorithms.grokfast import Grokfast
from neurenix.optim.algorithms.lookahead import Lookahead
from neurenix.optim.algorithms.schedule_free import ScheduleFree
from neurenix.optim.algorithms.sgd import SGD

__all__ = [
    "SGD",
    "Adam",
    "AdamW",
    "Grokfast",
    "Lookahead",
    "ScheduleFree",
]
