"""Records trajectories of torch's optimizers for tests/optim, so that the tests need no torch.

Run it with a Python that has torch, safetensors and numpy:  python scripts/golden_torch.py

Each case is one file: 100 steps of a parameter of 24 elements under given gradients, whose scales differ by
element from 0.01 to 100; the last is always zero.
"""

from __future__ import annotations

import json
import platform
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.numpy import save_file

GOLDEN = Path(__file__).resolve().parent.parent / "tests" / "golden" / "optim"
STEPS = 100
SIZE = 24

CASES: dict[str, tuple[str, dict[str, Any]]] = {
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
}


def record(
    kind: str, arguments: dict[str, Any], dtype: torch.dtype, start: np.ndarray, noise: np.ndarray
) -> np.ndarray:
    """The parameter after each step."""
    param = torch.tensor(start, dtype=dtype, requires_grad=True)
    optimizer = getattr(torch.optim, kind)([param], foreach=False, **arguments)
    path = []
    for step in range(STEPS):
        param.grad = torch.tensor(noise[step], dtype=dtype)
        optimizer.step()
        path.append(param.detach().clone())
    return torch.stack(path).numpy()


def main() -> None:
    """Writes one file for each case."""
    torch.set_default_dtype(torch.float64)  # of torch's own scalars, NAdam's and ASGD's among them
    rng = np.random.default_rng(7)
    # Representable in float32, so that both precisions see the same numbers.
    start = rng.normal(size=SIZE).astype(np.float32)
    scales = np.logspace(-2, 2, SIZE)
    drift = rng.normal(size=SIZE)
    gradients = ((rng.normal(size=(STEPS, SIZE)) + drift) * scales).astype(np.float32)
    gradients[:, -1] = 0.0
    GOLDEN.mkdir(parents=True, exist_ok=True)
    for name, (kind, arguments) in CASES.items():
        tensors = {"start": start, "gradients": gradients}
        for dtype in (torch.float32, torch.float64):
            tensors[str(dtype).removeprefix("torch.")] = record(kind, arguments, dtype, start, gradients)
        versions = {"torch": torch.__version__, "numpy": np.__version__, "python": platform.python_version()}
        case = {"optimizer": kind, "arguments": arguments, "versions": versions}
        # One key: the order of several is random.
        save_file(tensors, GOLDEN / f"{name}.safetensors", {"case": json.dumps(case)})
    print(f"wrote {len(CASES)} files to {GOLDEN}")


if __name__ == "__main__":
    main()
