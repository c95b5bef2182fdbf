"""scikit-learn: one partial_fit of MLPRegressor on one batch. It has no bare optimizer."""

import warnings

import harness
import numpy as np
import sklearn
from sklearn.neural_network import MLPRegressor

warnings.simplefilter("ignore")


def train(widths, rows, rule):
    solver = (
        {"solver": "sgd", "momentum": harness.MOMENTUM, "nesterovs_momentum": False} if rule == "sgdm" else {}
    )
    model = MLPRegressor(
        hidden_layer_sizes=widths[1:-1], alpha=0, batch_size=rows, learning_rate_init=harness.LR, **solver
    )
    random = np.random.default_rng(1)
    x = random.standard_normal((rows, widths[0]), dtype="float32")
    y = random.standard_normal((rows, widths[-1]), dtype="float32")
    y = y[:, 0] if widths[-1] == 1 else y

    def run(n):
        for _ in range(n):
            model.partial_fit(x, y)

    return run


harness.main("sklearn", sklearn.__version__, train, None, workloads=lambda name: "1024" not in name)
