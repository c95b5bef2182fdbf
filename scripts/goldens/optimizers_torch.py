"""Records trajectories of torch's optimizers for tests/optim, so that the tests need no torch.

Run it with a Python that has torch, safetensors and numpy:  python scripts/goldens/optimizers_torch.py
"""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from trajectories import GOLDEN, torch_path, write

# name: (class, arguments, shape if it matters)
CASES: dict[str, tuple[Any, ...]] = {
    "sgd": ("SGD", {"lr": 0.05}),
    "sgd_momentum": ("SGD", {"lr": 0.02, "momentum": 0.9}),
    "sgd_dampening": ("SGD", {"lr": 0.05, "momentum": 0.9, "dampening": 0.3}),
    "sgd_nesterov": ("SGD", {"lr": 0.02, "momentum": 0.9, "nesterov": True}),
    "sgd_all": (
        "SGD",
        {"lr": 0.03, "momentum": 0.8, "dampening": 0.1, "weight_decay": 0.05, "maximize": True},
    ),
    "adam": ("Adam", {"lr": 0.01}),
    "adam_decay": ("Adam", {"lr": 0.01, "betas": (0.8, 0.95), "eps": 1e-3, "weight_decay": 0.1}),
    "adam_amsgrad": ("Adam", {"lr": 0.02, "betas": (0.9, 0.9), "amsgrad": True, "maximize": True}),
    "adamw": ("AdamW", {"lr": 0.01}),
    "adamw_decay": ("AdamW", {"lr": 0.02, "betas": (0.7, 0.99), "eps": 1e-4, "weight_decay": 0.3}),
    "adamw_amsgrad": ("AdamW", {"lr": 0.02, "betas": (0.9, 0.9), "weight_decay": 0.1, "amsgrad": True}),
    "adamw_maximize": ("AdamW", {"lr": 0.01, "weight_decay": 0.1, "maximize": True}),
    "adagrad": ("Adagrad", {"lr": 0.1}),
    "adagrad_all": (
        "Adagrad",
        {
            "lr": 0.1,
            "lr_decay": 0.05,
            "weight_decay": 0.1,
            "initial_accumulator_value": 0.3,
            "eps": 1e-3,
            "maximize": True,
        },
    ),
    "adadelta": ("Adadelta", {}),
    "adadelta_all": ("Adadelta", {"lr": 0.5, "rho": 0.8, "eps": 1e-4, "weight_decay": 0.1, "maximize": True}),
    "adamax": ("Adamax", {"lr": 0.02}),
    "adamax_all": (
        "Adamax",
        {"lr": 0.02, "betas": (0.8, 0.95), "eps": 1e-3, "weight_decay": 0.1, "maximize": True},
    ),
    "nadam": ("NAdam", {"lr": 0.01}),
    "nadam_all": (
        "NAdam",
        {
            "lr": 0.02,
            "betas": (0.8, 0.95),
            "eps": 1e-3,
            "weight_decay": 0.1,
            "momentum_decay": 0.1,
            "maximize": True,
        },
    ),
    "nadam_decoupled": ("NAdam", {"lr": 0.02, "weight_decay": 0.2, "decoupled_weight_decay": True}),
    "radam": ("RAdam", {"lr": 0.02}),
    "radam_all": (
        "RAdam",
        {"lr": 0.02, "betas": (0.8, 0.95), "eps": 1e-3, "weight_decay": 0.1, "maximize": True},
    ),
    "radam_decoupled": ("RAdam", {"lr": 0.02, "weight_decay": 0.2, "decoupled_weight_decay": True}),
    "radam_degenerate": ("RAdam", {"lr": 0.02, "betas": (0.9, 0.6)}),
    "rmsprop": ("RMSprop", {"lr": 0.02}),
    "rmsprop_centered": ("RMSprop", {"lr": 0.02, "alpha": 0.9, "centered": True}),
    "rmsprop_momentum": ("RMSprop", {"lr": 0.02, "alpha": 0.9, "eps": 1e-3, "momentum": 0.8}),
    "rmsprop_all": (
        "RMSprop",
        {
            "lr": 0.02,
            "alpha": 0.8,
            "eps": 1e-2,
            "weight_decay": 0.1,
            "momentum": 0.5,
            "centered": True,
            "maximize": True,
        },
    ),
    "rprop": ("Rprop", {"lr": 0.02}),
    "rprop_all": ("Rprop", {"lr": 0.5, "etas": (0.4, 1.5), "step_sizes": (0.01, 0.7), "maximize": True}),
    "asgd": ("ASGD", {"lr": 0.02}),
    "asgd_all": (
        "ASGD",
        {"lr": 0.03, "lambd": 0.1, "alpha": 0.9, "t0": 20, "weight_decay": 0.1, "maximize": True},
    ),
    "adafactor_vector": ("Adafactor", {"weight_decay": 0.1, "eps": (None, 0.5)}),
    "adafactor_matrix": ("Adafactor", {"lr": 0.1, "weight_decay": 0.1}, (4, 6)),
    "adafactor_clip": ("Adafactor", {"lr": 0.5, "beta2_decay": -0.5, "d": 1.5, "eps": (0.2, 0.1)}, (6, 4)),
    "adafactor_batch": ("Adafactor", {"lr": 0.05, "maximize": True}, (2, 3, 4)),
}


def main() -> None:
    """Writes one file for each case."""
    for name, (kind, arguments, *shape) in CASES.items():
        make = partial(getattr(torch.optim, kind), foreach=False, **arguments)
        write(name, kind, arguments, "torch", partial(torch_path, make), *shape)
    print(f"wrote {len(CASES)} files to {GOLDEN}")


if __name__ == "__main__":
    main()
