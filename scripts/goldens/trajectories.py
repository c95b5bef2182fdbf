"""Trajectories of other packages' optimizers as files for tests/optim/test_golden.py."""

from __future__ import annotations

import json
import platform
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.numpy import save_file

GOLDEN = Path(__file__).resolve().parent.parent.parent / "tests" / "golden" / "optim"
STEPS = 100
SIZE = 24


def start_and_gradients(shape: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
    """A parameter and its gradients, whose scales differ by element from 0.01 to 100; the last is always zero."""
    rng = np.random.default_rng(7)
    # Representable in float32, so that both precisions see the same numbers.
    start = rng.normal(size=SIZE).astype(np.float32)
    scales = np.logspace(-2, 2, SIZE)
    drift = rng.normal(size=SIZE)
    gradients = ((rng.normal(size=(STEPS, SIZE)) + drift) * scales).astype(np.float32)
    gradients[:, -1] = 0.0
    return start.reshape(shape), gradients.reshape(STEPS, *shape)


def torch_path(
    make: Callable[[list[torch.Tensor]], torch.optim.Optimizer],
    dtype: str,
    start: np.ndarray,
    gradients: np.ndarray,
    rates: Sequence[float] = (),
) -> np.ndarray:
    """The parameter after each step of an optimizer for PyTorch, with a learning rate for each if there are any."""
    kind = getattr(torch, dtype)
    torch.set_default_dtype(kind)
    param = torch.nn.Parameter(torch.tensor(start, dtype=kind))
    optimizer = make([param])
    if hasattr(optimizer, "train"):
        optimizer.train()
    path = []
    for step, gradient in enumerate(gradients):
        param.grad = torch.tensor(gradient, dtype=kind)
        if rates:
            optimizer.param_groups[0]["lr"] = rates[step]
        optimizer.step()
        path.append(param.detach().clone().numpy())
    return np.stack(path)


def optax_path(make: Callable[[], Any], dtype: str, start: np.ndarray, gradients: np.ndarray) -> np.ndarray:
    """The parameter after each step of an optimizer of optax."""
    import jax

    jax.config.update("jax_enable_x64", dtype == "float64")
    optimizer, param = make(), jax.numpy.asarray(start, dtype=dtype)
    state = optimizer.init(param)
    path = []
    for gradient in gradients:
        update, state = optimizer.update(jax.numpy.asarray(gradient, dtype=dtype), state, param)
        param = param + update
        path.append(np.asarray(param))
    return np.stack(path)


def write(
    name: str,
    optimizer: str,
    arguments: dict[str, Any],
    package: str,
    path: Callable[..., np.ndarray],
    shape: Sequence[int] = (SIZE,),
    tolerance: dict[str, float] | None = None,
    before: Sequence[str] = (),
    rates: Sequence[float] = (),
) -> None:
    """One file: what `path(dtype, start, gradients)` gives for an optimizer and arguments of Neurenix.

    Methods named in `before` are called before each of its steps, and the learning rate is the next of `rates`, which
    `path` then takes, too.
    """
    start, gradients = start_and_gradients(shape)
    tensors = {"start": start, "gradients": gradients}
    own = {"rates": rates} if rates else {}
    tensors |= {dtype: path(dtype, start, gradients, **own) for dtype in ("float32", "float64")}
    versions = {name: version(name) for name in sorted({package, "torch", "numpy"})}
    case = {
        "optimizer": optimizer,
        "arguments": arguments,
        "versions": {**versions, "python": platform.python_version()},
        **({"tolerance": tolerance} if tolerance else {}),
        **({"before": list(before)} if before else {}),
        **own,
    }
    GOLDEN.mkdir(parents=True, exist_ok=True)
    # One key: the order of several is random.
    save_file(tensors, GOLDEN / f"{name}.safetensors", {"case": json.dumps(case)})
