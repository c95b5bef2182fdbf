"""Every optimizer of optimizers.json in a tab, on WebGPU and on the CPU, against its class in Python."""

from __future__ import annotations

from typing import Any

import neurenix as nx
import numpy as np
import pytest
from neurenix.optim.names import names
from optim.test_exporting import ENTRIES, script
from web.browser import Browser

TOLERANCE = {"cpu": 2e-6, "webgpu:0": 2e-5}
RNG = np.random.default_rng(1)
SHAPES = [(6, 5), (7,), (1,)]
START = [RNG.normal(size=shape).astype("float32") for shape in SHAPES]
RATES = [0.03, 0.05, 0.02]
GRADIENTS = [[RNG.normal(size=shape).astype("float32") for shape in SHAPES] for _ in RATES]


@pytest.fixture(scope="module")
def found(browser: Browser, package: object) -> dict[str, dict[str, Any]]:
    """Parameters by device and optimizer."""

    def given(arrays: list[np.ndarray]) -> list[dict[str, Any]]:
        return [{"values": array.ravel().tolist(), "shape": array.shape} for array in arrays]

    return browser.run(
        "optimizers.js", {"start": given(START), "gradients": [*map(given, GRADIENTS)], "rates": RATES}
    )


def stepped(name: str) -> list[np.ndarray]:
    """The parameters after the steps of the class."""
    params = [nx.Tensor(p, requires_grad=True) for p in START]
    optimizer = next(n for n in names().values() if script.title(n) == name)([{"params": params}])
    for rate, gradients in zip(RATES, GRADIENTS, strict=True):
        for param, gradient in zip(params, gradients, strict=True):
            param.grad = nx.Tensor(gradient)
        optimizer.param_groups[0]["lr"] = rate
        optimizer.step()
    return [param.detach().numpy() for param in params]


@pytest.mark.parametrize("device", TOLERANCE)
def test_data_steps_in_a_tab_as_the_class_does_in_python(
    found: dict[str, dict[str, Any]], device: str
) -> None:
    assert set(found[device]) == {entry["name"] for entry in ENTRIES}
    wrong = []
    for name, params in found[device].items():
        if isinstance(params, str):
            wrong.append(f"{name}: {params}")
            continue
        for here, there in zip(params, stepped(name), strict=True):
            error = np.abs(np.array(here) - there.ravel()).max() / max(1.0, np.abs(there).max())
            if not error <= TOLERANCE[device]:
                wrong.append(f"{name}: differs by {error}")
    assert not wrong, "\n".join(wrong)
