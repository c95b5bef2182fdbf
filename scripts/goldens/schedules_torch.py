"""Records what torch's learning rate schedulers do, for tests/optim/lr_scheduler, so that the tests need no torch.

Run it with a Python that has torch:  python scripts/goldens/schedules_torch.py

Each case has two groups, of learning rates 0.5 and 0.02, and the learning rate (and momentum, where the scheduler moves
it) of both at each step. Functions are given by their Python text.
"""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

import torch
from torch.optim import swa_utils

GOLDEN = Path(__file__).resolve().parent.parent.parent / "tests" / "golden" / "schedules.json"
LRS = (0.5, 0.02)
METRICS = [
    5,
    4,
    4,
    4,
    4,
    3.9999,
    3.9,
    3.9,
    3.9,
    3.9,
    3.9,
    3.9,
    3.9,
    3,
    2,
    2.5,
    2.5,
    2.5,
    2.5,
    2.5,
    2.5,
    2.5,
    2.5,
]

# name: (steps, class, arguments). A class "Sequential" or "Chained" has a list of (class, arguments).
CASES: dict[str, tuple[int, str, Any]] = {
    "lambda": (30, "LambdaLR", {"lr_lambda": ["lambda t: 0.95**t", "lambda t: 1 / (1 + t)"]}),
    "multiplicative": (30, "MultiplicativeLR", {"lr_lambda": "lambda t: 1 - 1 / (t + 2)"}),
    "step": (40, "StepLR", {"step_size": 7, "gamma": 0.3}),
    "step_default": (40, "StepLR", {"step_size": 10}),
    "multi_step": (40, "MultiStepLR", {"milestones": [3, 8, 8, 30], "gamma": 0.5}),
    "constant": (20, "ConstantLR", {"factor": 0.25, "total_iters": 6}),
    "constant_default": (20, "ConstantLR", {}),
    "linear": (30, "LinearLR", {"start_factor": 0.1, "end_factor": 0.8, "total_iters": 13}),
    "linear_default": (20, "LinearLR", {}),
    "exponential": (200, "ExponentialLR", {"gamma": 0.97}),
    "polynomial": (30, "PolynomialLR", {"total_iters": 20, "power": 1.7}),
    "polynomial_default": (10, "PolynomialLR", {}),
    "cosine": (20, "CosineAnnealingLR", {"T_max": 20, "eta_min": 0.01}),
    "cosine_beyond": (90, "CosineAnnealingLR", {"T_max": 20, "eta_min": 0.01}),
    "restarts": (60, "CosineAnnealingWarmRestarts", {"T_0": 9}),
    "restarts_longer": (100, "CosineAnnealingWarmRestarts", {"T_0": 3, "T_mult": 2, "eta_min": 0.001}),
    "cyclic": (
        60,
        "CyclicLR",
        {"base_lr": 0.01, "max_lr": [0.1, 0.3], "step_size_up": 7, "step_size_down": 4},
    ),
    "cyclic_halved": (
        60,
        "CyclicLR",
        {"base_lr": 0.01, "max_lr": 0.1, "step_size_up": 5, "mode": "triangular2"},
    ),
    "cyclic_decayed": (
        60,
        "CyclicLR",
        {
            "base_lr": 0.01,
            "max_lr": 0.1,
            "step_size_up": 5,
            "mode": "exp_range",
            "gamma": 0.98,
            "base_momentum": 0.7,
        },
    ),
    "cyclic_scaled": (
        60,
        "CyclicLR",
        {
            "base_lr": 0.01,
            "max_lr": 0.1,
            "step_size_up": 5,
            "scale_fn": "lambda c: 1 / c**2",
            "cycle_momentum": False,
        },
    ),
    "one_cycle": (50, "OneCycleLR", {"max_lr": [0.1, 1.0], "total_steps": 50}),
    "one_cycle_linear": (
        40,
        "OneCycleLR",
        {
            "max_lr": 0.1,
            "epochs": 8,
            "steps_per_epoch": 5,
            "pct_start": 0.4,
            "anneal_strategy": "linear",
            "three_phase": True,
            "div_factor": 10.0,
            "final_div_factor": 100.0,
            "base_momentum": 0.6,
            "max_momentum": 0.9,
        },
    ),
    "one_cycle_no_rise": (10, "OneCycleLR", {"max_lr": 0.1, "total_steps": 10, "pct_start": 0.0}),
    "swa": (20, "SWALR", {"swa_lr": [0.05, 0.1]}),
    "swa_linear": (20, "SWALR", {"swa_lr": 0.05, "anneal_epochs": 4, "anneal_strategy": "linear"}),
    "swa_at_once": (5, "SWALR", {"swa_lr": 0.05, "anneal_epochs": 0}),
    "plateau": (
        23,
        "ReduceLROnPlateau",
        {"factor": 0.5, "patience": 2, "cooldown": 1, "min_lr": [0.1, 0.001]},
    ),
    "plateau_abs": (
        23,
        "ReduceLROnPlateau",
        {
            "factor": 0.3,
            "patience": 1,
            "threshold": 0.05,
            "threshold_mode": "abs",
            "mode": "max",
            "eps": 1e-3,
        },
    ),
    "plateau_default": (23, "ReduceLROnPlateau", {}),
    "sequential": (
        40,
        "Sequential",
        {
            "schedulers": [
                ("LinearLR", {"start_factor": 0.1, "total_iters": 5}),
                ("CosineAnnealingLR", {"T_max": 20}),
                ("ExponentialLR", {"gamma": 0.5}),
            ],
            "milestones": [5, 25],
        },
    ),
    "chained": (
        30,
        "Chained",
        {
            "schedulers": [
                ("ConstantLR", {"factor": 0.5, "total_iters": 4}),
                ("ExponentialLR", {"gamma": 0.9}),
                ("StepLR", {"step_size": 6}),
            ]
        },
    ),
    "chained_cosine": (
        30,
        "Chained",
        {
            "schedulers": [
                ("MultiStepLR", {"milestones": [2, 9], "gamma": 0.5}),
                ("CosineAnnealingLR", {"T_max": 7, "eta_min": 0.001}),
                ("LinearLR", {"start_factor": 0.2, "total_iters": 5}),
            ]
        },
    ),
    "sequential_multiplicative": (
        30,
        "Sequential",
        {
            "schedulers": [
                ("ExponentialLR", {"gamma": 0.8}),
                ("MultiplicativeLR", {"lr_lambda": "lambda t: 1 - 1 / (t + 2)"}),
                ("CosineAnnealingWarmRestarts", {"T_0": 3, "T_mult": 2}),
            ],
            "milestones": [4, 9],
        },
    ),
    "sequential_swa": (
        30,
        "Sequential",
        {
            "schedulers": [
                ("PolynomialLR", {"total_iters": 8, "power": 2.0}),
                ("SWALR", {"swa_lr": 0.05, "anneal_epochs": 6}),
            ],
            "milestones": [5],
        },
    ),
    "two_at_once": (
        30,
        "Both",
        {"schedulers": [("ExponentialLR", {"gamma": 0.9}), ("MultiStepLR", {"milestones": [5, 20]})]},
    ),
}


def functions(value: Any) -> Any:
    """Arguments with functions in the place of their texts."""
    if isinstance(value, list):
        return [functions(item) for item in value]
    return eval(value) if isinstance(value, str) and value.startswith("lambda") else value


def make(kind: str, optimizer: Any, arguments: dict[str, Any]) -> Any:
    """A scheduler of torch's."""
    module = swa_utils if kind == "SWALR" else torch.optim.lr_scheduler
    return getattr(module, kind)(optimizer, **{name: functions(value) for name, value in arguments.items()})


def record(steps: int, kind: str, arguments: dict[str, Any]) -> dict[str, Any]:
    """Rates and momenta at each step."""
    groups = [{"params": [torch.zeros(1, requires_grad=True)], "lr": lr} for lr in LRS]
    optimizer = torch.optim.SGD(groups, lr=1.0, momentum=0.5)
    if kind in ("Sequential", "Chained", "Both"):
        parts = [make(part, optimizer, own) for part, own in arguments["schedulers"]]
        if kind == "Sequential":
            parts = [torch.optim.lr_scheduler.SequentialLR(optimizer, parts, arguments["milestones"])]
        elif kind == "Chained":
            parts = [torch.optim.lr_scheduler.ChainedScheduler(parts, optimizer)]
    else:
        parts = [make(kind, optimizer, arguments)]
    lr, momentum = [], []
    for step in range(steps):
        lr.append([group["lr"] for group in optimizer.param_groups])
        momentum.append([group["momentum"] for group in optimizer.param_groups])
        optimizer.step()
        for part in parts:
            part.step(METRICS[step]) if kind == "ReduceLROnPlateau" else part.step()
    moves = any(row != [0.5, 0.5] for row in momentum)
    return {"kind": kind, "arguments": arguments, "lr": lr, **({"momentum": momentum} if moves else {})}


def main() -> None:
    """Writes the file."""
    warnings.simplefilter("error")
    cases = {name: record(*case) for name, case in CASES.items()}
    content = {"versions": {"torch": torch.__version__}, "lrs": LRS, "metrics": METRICS, "cases": cases}
    GOLDEN.write_text(json.dumps(content, separators=(",", ":")) + "\n")
    print(f"{GOLDEN}: {len(cases)} cases, {GOLDEN.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
