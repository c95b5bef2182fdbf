"""Which parameters of a model `muon_groups` gives to Muon, to AdamW, and to neither's weight decay."""

from __future__ import annotations

import neurenix as nx
import numpy as np
import pytest
from neurenix import nn
from neurenix.optim import Muon, muon_groups


def model():
    nx.manual_seed(0)
    return nn.Sequential(
        nn.Embedding(9, 8), nn.Linear(8, 8), nn.LayerNorm(8), nn.Linear(8, 8), nn.Linear(8, 5)
    )


def names(group):
    return [name for name, _ in group["params"]]


def test_matrices_and_the_rest():
    matrices, rest = muon_groups(model(), lr=0.1, aux_lr=None, weight_decay=0.2)
    assert names(matrices) == ["1.weight", "3.weight"]
    assert names(rest) == ["0.weight", "1.bias", "2.weight", "2.bias", "3.bias", "4.weight", "4.bias"]
    assert (matrices["use_muon"], matrices["lr"], matrices["weight_decay"]) == (True, 0.1, 0.2)
    assert (rest["use_muon"], "lr" in rest, rest["weight_decay"]) == (False, False, 0.2)


def test_what_does_not_decay_is_in_groups_of_its_own():
    groups = muon_groups(model(), no_decay=("bias", "norm", "3.*"), weight_decay=0.2)
    assert [(group["use_muon"], names(group), group["weight_decay"]) for group in groups] == [
        (True, ["1.weight"], 0.2),
        (True, ["3.weight"], 0.0),
        (False, ["0.weight", "4.weight"], 0.2),
        (False, ["1.bias", "2.weight", "2.bias", "3.bias", "4.bias"], 0.0),
    ]


def test_biases_and_norms_stay_where_gradients_are_zero():
    net = model()
    optimizer = Muon(muon_groups(net, no_decay=("bias", "norm")), lr=0.1, weight_decay=0.5)
    before = {name: param.detach().numpy().copy() for name, param in net.named_parameters()}
    for param in net.parameters():
        param.grad = nx.zeros_like(param)
    optimizer.step()
    for name, param in net.named_parameters():
        still = "bias" in name or name == "2.weight"
        rate = 0.1 if name in ("1.weight", "3.weight") else 3e-4
        expected = before[name] * (1 if still else 1 - rate * 0.5)
        np.testing.assert_allclose(param.detach().numpy(), expected, rtol=1e-6)


def test_patterns_are_texts():
    with pytest.raises(TypeError, match="muon_groups: no_decay"):
        muon_groups(model(), no_decay=(1,))
