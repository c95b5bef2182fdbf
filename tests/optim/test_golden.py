"""Against trajectories of other packages, see scripts/goldens."""

from __future__ import annotations

import json
from pathlib import Path

import neurenix as nx
import numpy as np
import pytest
from neurenix.serialize import read_metadata

GOLDEN = sorted((Path(__file__).parent.parent / "golden" / "optim").glob("*.safetensors"))
TOLERANCE = {"float32": 1e-6, "float64": 1e-12}


def test_there_are_goldens() -> None:
    assert len(GOLDEN) >= 12


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("path", GOLDEN, ids=lambda path: path.stem)
def test_same_as_there(path: Path, dtype: str) -> None:
    golden, case = nx.load(path), json.loads(read_metadata(path)["case"])
    tolerance = {**TOLERANCE, **case.get("tolerance", {})}[dtype]
    param = golden["start"].to(dtype).clone().requires_grad_()
    optimizer = getattr(nx.optim, case["optimizer"])([param], **case["arguments"])
    expected = golden[dtype].numpy()
    scale = np.abs(expected).max(axis=0)  # of each element's path: it may cross zero
    rates = case.get("rates", [optimizer.param_groups[0]["lr"]] * len(expected))
    for gradient, there, rate in zip(golden["gradients"], expected, rates, strict=True):
        param.grad = gradient.to(dtype)
        optimizer.param_groups[0]["lr"] = rate
        for method in case.get("before", ()):
            getattr(optimizer, method)()
        optimizer.step()
        assert (np.abs(param.detach().numpy() - there) <= tolerance * scale).all()
    assert np.abs(expected[-1] - golden["start"].numpy()).max() > 1e4 * tolerance
