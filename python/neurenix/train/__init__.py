"""Training of multi-layer perceptrons on tables: what `neurenix train` and `neurenix predict` run.

>>> from neurenix import data, train
>>> iris = data.prepare(data.read("iris"))
>>> run = train.Run(iris, train.Options(hidden=(16,), lr=0.03, epochs=60))
>>> records = train.fit(run)
>>> records[-1].val_score > 0.9
True
"""

from neurenix.train.callbacks import Callback, History, Saver
from neurenix.train.loop import Record, balanced_accuracy, evaluate, fit
from neurenix.train.options import OPTIMIZERS, SCHEDULES, Options
from neurenix.train.predictor import Predictor
from neurenix.train.run import Run

__all__ = [
    "OPTIMIZERS",
    "SCHEDULES",
    "Callback",
    "History",
    "Options",
    "Predictor",
    "Record",
    "Run",
    "Saver",
    "balanced_accuracy",
    "evaluate",
    "fit",
]
