"""Checkpoints: going on bit for bit."""

from __future__ import annotations

from pathlib import Path

import neurenix as nx
import pytest
from neurenix import Tensor
from neurenix.checkpoint import load_checkpoint, save_checkpoint


def build(seed: int):
    nx.manual_seed(seed)
    model = nx.nn.Sequential(nx.nn.Linear(4, 8), nx.nn.Dropout(0.5), nx.nn.Linear(8, 1))
    lr = nx.optim.schedule.warmup_cosine(0.1, warmup=3, total=12)
    return model, nx.optim.AdamW(model.named_parameters(), lr=lr)


def train(model, optimizer, start: int, stop: int) -> bytes:
    for _ in range(start, stop):
        x = nx.randn(16, 4)
        optimizer.zero_grad()
        (model(x) - x.sum(1, keepdim=True)).square().mean().backward()
        optimizer.step()
    return b"".join(param.tobytes() for param in model.parameters())


@pytest.mark.parametrize("stop", range(1, 12, 2))
def test_resuming_is_bit_exact(tmp_path: Path, stop: int) -> None:
    whole = train(*build(0), 0, 12)
    model, optimizer = build(0)
    train(model, optimizer, 0, stop)
    save_checkpoint(tmp_path / "a", model=model, optimizer=optimizer, progress={"step": stop})
    nx.randn(100)
    model, optimizer = build(1)
    progress = load_checkpoint(tmp_path / "a", model=model, optimizer=optimizer)
    assert train(model, optimizer, progress["step"], 12) == whole


def test_a_part_that_does_not_fit_changes_nothing(tmp_path: Path) -> None:
    model, optimizer = build(0)
    train(model, optimizer, 0, 2)
    save_checkpoint(tmp_path / "a", model=model, optimizer=optimizer)
    with pytest.raises(ValueError, match="no checkpoint with scheduler"):
        load_checkpoint(tmp_path / "a", scheduler=object())
    other, own = build(1)
    train(other, own, 0, 1)
    other.append(nx.nn.Linear(1, 1))
    before = own.state_dict()["state"]["0.weight"]["exp_avg"].tobytes()
    with pytest.raises((ValueError, KeyError, RuntimeError)):
        load_checkpoint(tmp_path / "a", model=other, optimizer=own)
    assert own.state_dict()["state"]["0.weight"]["exp_avg"].tobytes() == before


def test_another_file_is_no_checkpoint(tmp_path: Path) -> None:
    nx.save({"w": Tensor([1.0])}, tmp_path / "a")
    with pytest.raises(ValueError, match="no checkpoint with random, progress"):
        load_checkpoint(tmp_path / "a")
