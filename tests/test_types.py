"""What a type checker says about a user's program."""

from __future__ import annotations

from pathlib import Path

import pytest

PROGRAM = """
import neurenix as nx
import numpy as np
from neurenix import nn, optim
from neurenix.optim import lr_scheduler, schedule


class Network(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Linear(8, 32), nn.ReLU())
        self.scale = nn.Parameter(nx.ones(32))

    def forward(self, x: nx.Tensor) -> nx.Tensor:
        hidden: nx.Tensor = self.body(x)
        return hidden * self.scale


def halving(step: int) -> float:
    return float(0.1 * 0.5**step)


model = Network()
optimizers = [
    optim.AdamW(model.parameters(), lr=schedule.warmup_cosine(0.01, warmup=20, total=200), ema=0.9),
    optim.SGD(model, lr=halving, momentum=lambda step: 0.9, nesterov=True),
    optim.Adam(model.named_parameters(), betas=(0.9, schedule.linear(0.9, 0.99, steps=10)), clip_norm=1.0),
    optim.Lion([{"params": model.body.parameters(), "lr": 0.01}, {"params": [model.scale]}]),
    optim.Lookahead(optim.SGD(optim.param_groups(model, lr=halving))),
]
rate: float = lr_scheduler.StepLR(optimizers[0], 3).get_last_lr()[0]
x = nx.randn(4, 8)
x[0] = np.ones(8)
x[x > 0] = 1.0
x[1, :2] = [1.0, 2.0]
loss = model(x).sum()
loss.backward(optimizer=optimizers[0])
values, places = (2 - x).max(1)
shape: tuple[int, ...] = values.shape
with nx.no_grad(), optimizers[0].ema():
    places += 1
"""


def test_a_user_s_program_is_well_typed(tmp_path: Path) -> None:
    api = pytest.importorskip("mypy.api")
    (tmp_path / "program.py").write_text(PROGRAM)
    found, problems, status = api.run(["--strict", "--no-incremental", str(tmp_path / "program.py")])
    assert status == 0, found + problems


def test_a_wrong_type_is_found(tmp_path: Path) -> None:
    api = pytest.importorskip("mypy.api")
    (tmp_path / "program.py").write_text('from neurenix import optim\noptim.SGD([], lr="0.1")\n')
    assert 'incompatible type "str"' in api.run(["--strict", str(tmp_path / "program.py")])[0]
