"""The optimizers, one file each."""

from neurenix.optim.algorithms.adadelta import Adadelta
from neurenix.optim.algorithms.adagrad import Adagrad
from neurenix.optim.algorithms.adam import Adam
from neurenix.optim.algorithms.adamax import Adamax
from neurenix.optim.algorithms.adamw import AdamW
from neurenix.optim.algorithms.asgd import ASGD
from neurenix.optim.algorithms.grokfast import Grokfast
from neurenix.optim.algorithms.lbfgs import LBFGS
from neurenix.optim.algorithms.lookahead import Lookahead
from neurenix.optim.algorithms.nadam import NAdam
from neurenix.optim.algorithms.radam import RAdam
from neurenix.optim.algorithms.rmsprop import RMSprop
from neurenix.optim.algorithms.rprop import Rprop
from neurenix.optim.algorithms.schedule_free import ScheduleFree
from neurenix.optim.algorithms.sgd import SGD

__all__ = [
    "ASGD",
    "LBFGS",
    "SGD",
    "Adadelta",
    "Adagrad",
    "Adam",
    "AdamW",
    "Adamax",
    "Grokfast",
    "Lookahead",
    "NAdam",
    "RAdam",
    "RMSprop",
    "Rprop",
    "ScheduleFree",
]
