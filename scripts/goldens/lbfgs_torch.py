"""Records paths of torch's LBFGS for tests/optim/test_lbfgs.py.

Run it with a Python that has torch, safetensors and numpy:  python scripts/goldens/lbfgs_torch.py

Three losses (Rosenbrock's, a quadratic of condition 1e6, logistic regression), each with steps of one
iteration, so that all of them are seen, and with longer ones.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.numpy import save_file

GOLDEN = Path(__file__).resolve().parent.parent.parent / "tests" / "golden" / "lbfgs.safetensors"
WOLFE = {"line_search_fn": "strong_wolfe"}
ONE = {"max_iter": 1, "max_eval": 30, "tolerance_grad": 1e-9, "tolerance_change": 1e-14}
# name: (loss, arguments, steps)
CASES: dict[str, tuple[str, dict[str, Any], int]] = {
    "rosenbrock": ("rosenbrock", {**ONE, **WOLFE}, 60),
    "rosenbrock_short_memory": ("rosenbrock", {**ONE, **WOLFE, "history_size": 2}, 60),
    "rosenbrock_calls": ("rosenbrock", WOLFE, 4),
    "rosenbrock_few_evaluations": ("rosenbrock", {**WOLFE, "max_eval": 4}, 30),
    "rosenbrock_fixed": ("rosenbrock", {**ONE, "lr": 0.05}, 100),
    "rosenbrock_lr": ("rosenbrock", {**ONE, **WOLFE, "lr": 0.25}, 60),
    "quadratic": ("quadratic", {**ONE, **WOLFE}, 60),
    "quadratic_fixed": ("quadratic", {**ONE, "lr": 0.5}, 60),
    "logistic": ("logistic", {**ONE, **WOLFE}, 30),
    "logistic_fixed": ("logistic", ONE, 30),
    "logistic_calls": ("logistic", {"max_iter": 7, "maximize": True}, 5),
}


def problems() -> tuple[dict[str, np.ndarray], dict[str, Callable[..., torch.Tensor]]]:
    """The numbers of the losses, and the losses."""
    rng = np.random.default_rng(5)
    q, _ = np.linalg.qr(rng.normal(size=(6, 6)))
    x = rng.normal(size=(40, 5))
    data = {
        "rosenbrock.start": np.array([-1.2, 1.0]),
        "quadratic.start": rng.normal(size=6),
        "quadratic.matrix": q @ np.diag(np.logspace(0, 6, 6)) @ q.T,
        "logistic.start": np.zeros(5),
        "logistic.signed": x * np.sign(x @ rng.normal(size=5) + rng.normal(size=40))[:, None],
    }
    matrix, signed = (torch.tensor(data[name]) for name in ("quadratic.matrix", "logistic.signed"))
    return data, {
        "rosenbrock": lambda w: (100 * (w[1:] - w[:-1] ** 2) ** 2 + (1 - w[:-1]) ** 2).sum(),
        "quadratic": lambda w: (w @ matrix) @ w / 2,
        "logistic": lambda w: (1 + (-(signed @ w)).exp()).log().mean() + 0.01 * (w * w).sum(),
    }


def record(
    loss: Callable[..., torch.Tensor], start: np.ndarray, arguments: dict[str, Any], steps: int
) -> np.ndarray:
    """The parameters after each step."""
    param = torch.tensor(start, requires_grad=True)
    optimizer = torch.optim.LBFGS([param], **arguments)
    path = []

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        value = loss(param)
        if arguments.get("maximize"):
            value = -value
        value.backward()
        return value

    for _ in range(steps):
        optimizer.step(closure)
        path.append(param.detach().numpy().copy())
    return np.stack(path)


def main() -> None:
    """Writes one file for all cases."""
    data, losses = problems()
    for name, (problem, arguments, steps) in CASES.items():
        data[name] = record(losses[problem], data[f"{problem}.start"], arguments, steps)
    about = {"versions": {"torch": torch.__version__}, "cases": CASES}
    save_file(data, GOLDEN, {"about": json.dumps(about)})
    print(f"wrote {len(CASES)} paths to {GOLDEN}")


if __name__ == "__main__":
    main()
