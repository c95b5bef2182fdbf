"""Records paths of torch's SparseAdam for tests/optim/test_sparse_adam.py.

Run it with a Python that has torch, safetensors and numpy:  python scripts/golden_torch_sparse_adam.py

Each step uses a few rows of a table, some of them twice, some for the first time late, the last never.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.numpy import save_file

GOLDEN = Path(__file__).resolve().parent.parent / "tests" / "golden" / "sparse_adam.safetensors"
ROWS, WIDTH, USED, STEPS = 8, 3, 5, 60
CASES: dict[str, dict[str, Any]] = {
    "default": {"lr": 0.01},
    "all": {"lr": 0.05, "betas": (0.7, 0.95), "eps": 1e-3, "maximize": True},
}


def record(
    arguments: dict[str, Any], dtype: torch.dtype, start: np.ndarray, indices: np.ndarray, values: np.ndarray
) -> np.ndarray:
    """The table after each step."""
    table = torch.tensor(start, dtype=dtype, requires_grad=True)
    optimizer = torch.optim.SparseAdam([table], **arguments)
    path = []
    for rows, gradient in zip(indices, values, strict=True):
        gradient = torch.tensor(gradient, dtype=dtype)
        table.grad = torch.sparse_coo_tensor(torch.tensor(rows)[None], gradient, table.shape)
        optimizer.step()
        path.append(table.detach().clone())
    return torch.stack(path).numpy()


def main() -> None:
    """Writes the file."""
    rng = np.random.default_rng(11)
    start = rng.normal(size=(ROWS, WIDTH)).astype(np.float32)
    indices = rng.integers(0, ROWS - 1, size=(STEPS, USED))
    indices[: STEPS // 2] %= ROWS - 3
    scales = np.logspace(-2, 2, WIDTH)
    values = (rng.normal(size=(STEPS, USED, WIDTH)) * scales).astype(np.float32)
    tensors = {"start": start, "indices": indices, "values": values}
    for name, arguments in CASES.items():
        for dtype in (torch.float32, torch.float64):
            key = f"{name}.{str(dtype).removeprefix('torch.')}"
            tensors[key] = record(arguments, dtype, start, indices, values)
    about = {"cases": CASES, "versions": {"torch": torch.__version__, "numpy": np.__version__}}
    save_file(tensors, GOLDEN, {"about": json.dumps(about)})
    print(f"wrote {GOLDEN}")


if __name__ == "__main__":
    main()
