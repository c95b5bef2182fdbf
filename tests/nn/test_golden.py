"""Layers, losses and initialisations give what PyTorch's do: scripts/golden_nn_torch.py wrote the numbers."""

import json
from pathlib import Path

import neurenix
import numpy as np
import pytest
import safetensors
from neurenix import Tensor, nn
from neurenix.testing import assert_close

with safetensors.safe_open(Path(__file__).parent.parent / "golden" / "nn.safetensors", "numpy") as file:
    CASES = json.loads(file.metadata()["cases"])
    INITIALISATIONS = json.loads(file.metadata()["initialisations"])
    TENSORS = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118

CLOSE = {"rtol": 1e-11, "atol": 1e-13}


def part(case, kind):
    """The arrays of a case under one heading."""
    start = f"{case}/{kind}/"
    return {name.removeprefix(start): array for name, array in TENSORS.items() if name.startswith(start)}


@pytest.mark.parametrize("case", CASES)
def test_modules(case):
    about = CASES[case]
    weights = {name: Tensor(array) for name, array in part(case, "argument").items()}
    module = getattr(nn, about["kind"])(**about["arguments"], **weights).double()
    module.load_state_dict(part(case, "state"))
    inputs = [
        Tensor(array, requires_grad=array.dtype.kind == "f")
        for _, array in sorted(part(case, "input").items())
    ]
    output = module(*inputs)
    assert_close(output, TENSORS[f"{case}/output"], **CLOSE)
    (output * Tensor(TENSORS[f"{case}/weight"])).sum().backward()
    found = {str(k): x for k, x in enumerate(inputs)} | dict(module.named_parameters())
    for name, expected in part(case, "grad").items():
        assert_close(found[name].grad, expected, **CLOSE)


@pytest.mark.parametrize(
    "about", INITIALISATIONS, ids=lambda about: f"{about['name']} {about.get('parameter', '')}"
)
def test_initialisations(about):
    if "parameter" in about:
        x = getattr(nn, about["name"])(**about["arguments"]).get_parameter(about["parameter"]).detach()
    else:
        x = getattr(nn.init, about["name"])(neurenix.empty(about["shape"]), **about["arguments"])
    values = x.numpy()
    # Both samples have 60,000 values, or 200.
    spread = about["std"] * (0.02 if values.size > 1000 else 0.2) + 1e-6
    assert abs(values.mean() - about["mean"]) < spread
    assert abs(values.std() - about["std"]) < spread
    if about["name"] in ("uniform_", "trunc_normal_", "xavier_uniform_", "kaiming_uniform_", "Linear"):
        width = about["max"] - about["min"]
        assert np.allclose([values.min(), values.max()], [about["min"], about["max"]], atol=0.05 * width)
