"""The page of examples/web trains in a tab as the same program does in Python on the native engine."""

from __future__ import annotations

import math
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import neurenix as nx
import numpy as np
import pytest
from neurenix.nn import functional
from neurenix.optim.names import names
from optim.test_exporting import script
from web.browser import ROOT, Browser

PAGE = "/examples/web/index.html"
LAYERS, HELD_OUT, BATCH = (64, 128, 64, 10), 360, 64


@pytest.fixture(scope="module")
def digits(package: object) -> Path:
    """The data of the page."""
    file = ROOT / "examples" / "web" / "digits.bin"
    if not file.is_file():
        pytest.skip("make web writes the data of the page")
    return file


@cache
def native(file: Path, optimizer: str, lr: float, epochs: int) -> tuple[list[float], list[float]]:
    """The losses of all steps and the accuracy after each epoch, as training.js has them."""
    data = np.frombuffer(file.read_bytes(), "uint8").reshape(-1, 65)
    images, labels = nx.Tensor(data[:, :64].astype("float32") / 16), nx.Tensor(data[:, 64].astype("int64"))
    nx.manual_seed(0)
    order = nx.randperm(len(data))
    sizes = [(i, shape) for i, o in pairwise(LAYERS) for shape in [(o, i), (o,)]]
    bounds = [(1 / math.sqrt(inputs), shape) for inputs, shape in sizes]
    params = [(nx.rand(*shape) * (2 * b) - b).requires_grad_() for b, shape in bounds]

    def forward(x: nx.Tensor) -> nx.Tensor:
        x = functional.relu(functional.linear(x, params[0], params[1]))
        x = functional.relu(functional.linear(x, params[2], params[3]))
        return functional.linear(x, params[4], params[5])

    named = next(n for n in names().values() if script.title(n) == optimizer)
    stepped = named([{"params": params}], lr=lr)
    held_out, rest = order[:HELD_OUT], order[HELD_OUT:]
    x, y = images[rest], labels[rest]
    losses, accuracies = [], []
    for _ in range(epochs):
        order = nx.randperm(len(x))
        for start in range(0, len(x), BATCH):
            chosen = order[start : start + BATCH]
            loss = functional.cross_entropy(forward(x[chosen]), y[chosen])
            loss.backward()
            stepped.step()
            stepped.zero_grad()
            losses.append(loss.item())
        right = forward(images[held_out]).argmax(1) == labels[held_out]
        accuracies.append(right.float().mean().item())
    return losses, accuracies


def train(browser: Browser, device: str, optimizer: str, lr: float, epochs: int) -> dict[str, Any]:
    parameters = {"device": device, "optimizer": optimizer, "lr": str(lr), "epochs": str(epochs)}
    return browser.load(PAGE, batch=str(BATCH), seed="0", **parameters)


@pytest.mark.parametrize("device", ["webgpu", "cpu"])
def test_the_page_learns_digits_as_python_does(browser: Browser, digits: Path, device: str) -> None:
    found = train(browser, device, "AdamW", 0.003, 8)
    losses, accuracies = native(digits, "AdamW", 0.003, 8)
    assert found["device"].startswith(device)
    assert found["accuracies"][-1] >= 0.95
    assert len(found["losses"]) == len(losses) == 8 * 23
    assert np.abs(np.array(found["losses"]) - losses).max() < 1e-5
    assert np.abs(np.array(found["accuracies"]) - accuracies).max() <= 1.5 / HELD_OUT


@pytest.mark.parametrize(
    ("device", "optimizer", "lr"),
    [("cpu", "SGD", 0.05), ("cpu", "LAMB", 0.01), ("webgpu", "LAMB", 0.01)],  # LAMB reads norms within a step
)
def test_other_optimizers(browser: Browser, digits: Path, device: str, optimizer: str, lr: float) -> None:
    found = train(browser, device, optimizer, lr, 1)
    losses, _ = native(digits, optimizer, lr, 1)
    assert np.abs(np.array(found["losses"]) - losses).max() < 1e-5
    assert losses[-1] < losses[0] - 0.1


def test_a_browser_without_webgpu_trains_on_the_cpu_and_reads_what_is_drawn(
    browser: Browser, digits: Path
) -> None:
    page = f"{PAGE}?device=webgpu&epochs=8"
    found = browser.run("page.js", {"page": page, "webgpu": False, "from": [0.5, 0.1], "to": [0.5, 0.9]})
    assert found["device"] == "cpu"
    assert "gives no WebGPU device" in found["notice"]
    assert found["accuracies"][-1] >= 0.95
    assert found["digits"] == 48
    assert np.argmax(found["bars"]) == 1
    assert sum(found["bars"]) == pytest.approx(100, abs=1)
