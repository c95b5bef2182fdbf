"""Records what torch's batch norm and averages of weights do, for tests/nn and tests/optim, which need no torch.

Run it with a Python that has torch and safetensors:  python scripts/goldens/averaging_torch.py

Of batch norms the file has three steps in training and an evaluation: inputs, outputs, gradients of a weighted sum of
the output, and the state after it. Of averages: the weights along the way, and the state of the averaged model before
and after its batch norm was updated.
"""

from __future__ import annotations

import json
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import nn
from torch.optim import swa_utils

GOLDEN = Path(__file__).resolve().parent.parent.parent / "tests" / "golden" / "averaging.safetensors"
NORMS = {
    "plain": ((8, 3), {}),
    "length": ((4, 3, 5), {"eps": 0.1, "momentum": 0.3}),
    "cumulative": ((6, 3), {"momentum": None}),
    "no_affine": ((6, 3), {"affine": False}),
    "no_bias": ((6, 3), {"bias": False}),
    "no_statistics": ((6, 3), {"track_running_stats": False}),
}
AVERAGES = {
    "mean": {},
    "ema": {"avg_fn": swa_utils.get_ema_avg_fn(0.8)},
    "ema_multi": {"multi_avg_fn": swa_utils.get_ema_multi_avg_fn(0.8)},
    "mean_multi": {"multi_avg_fn": swa_utils.get_swa_multi_avg_fn()},
}
STEPS = 5


def batch_norms(tensors: dict[str, torch.Tensor]) -> None:
    """Each kind of batch norm, in training and evaluation."""
    for name, (shape, arguments) in NORMS.items():
        layer = nn.BatchNorm1d(3, **arguments)
        for parameter in layer.parameters():
            nn.init.normal_(parameter)
        keep = {f"start/{key}": value.clone() for key, value in layer.state_dict().items()}
        for step in range(4):
            layer.train(step < 3)
            x = (torch.randn(shape) * 3 + 2).requires_grad_()
            layer.zero_grad()
            output = layer(x)
            weight = torch.rand_like(output) + 0.5
            (output * weight).sum().backward()
            found = {"input": x, "weight": weight, "output": output, "grad/input": x.grad}
            found |= {f"grad/{key}": parameter.grad for key, parameter in layer.named_parameters()}
            found |= {f"state/{key}": value for key, value in layer.state_dict().items()}
            keep |= {f"{step}/{key}": value.detach().clone() for key, value in found.items()}
        tensors.update({f"norm/{name}/{key}": value for key, value in keep.items()})


def averages(tensors: dict[str, torch.Tensor]) -> None:
    """A model that moves, and its averages."""
    model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 2))
    inputs = torch.randn(3, 6, 3)
    averaged = {name: swa_utils.AveragedModel(model, **arguments) for name, arguments in AVERAGES.items()}
    for step in range(STEPS):
        for value in model.parameters():
            value.data = torch.randn_like(value)
        model(torch.randn(6, 3))
        tensors.update({f"model/{step}/{key}": value.clone() for key, value in model.state_dict().items()})
        for average in averaged.values():
            average.update_parameters(model)
    tensors["inputs"] = inputs
    for name, average in averaged.items():
        tensors.update(
            {f"average/{name}/before/{key}": value.clone() for key, value in average.state_dict().items()}
        )
        swa_utils.update_bn(list(inputs), average)
        tensors.update({f"average/{name}/after/{key}": value for key, value in average.state_dict().items()})


if __name__ == "__main__":
    torch.set_default_dtype(torch.float64)
    torch.manual_seed(0)
    kept: dict[str, torch.Tensor] = {}
    batch_norms(kept)
    averages(kept)
    kinds = {name: arguments for name, (_, arguments) in NORMS.items()}
    about = json.dumps({"norms": kinds, "torch": torch.__version__})
    save_file(
        {key: value.detach().clone().contiguous() for key, value in kept.items()}, GOLDEN, {"about": about}
    )
