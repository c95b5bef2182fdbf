"""Groups for a whole model."""

from __future__ import annotations

import neurenix as nx
import numpy as np
import pytest
from neurenix import nn, optim
from neurenix.optim import param_groups, schedule


class Block(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.attention = nn.Linear(4, 4)
        self.mlp = nn.Sequential(nn.Linear(4, 4), nn.GELU(), nn.Linear(4, 4))
        self.norm1 = nn.LayerNorm(4)


class Model(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(5, 4)
        self.blocks = nn.Sequential(Block(), Block())
        self.head = nn.Linear(4, 2)


def by_name(groups, key):
    return {name: group.get(key) for group in groups for name in group["param_names"]}


def test_biases_and_norms_do_not_decay() -> None:
    model = nn.Sequential(nn.Linear(4, 8), nn.LayerNorm(8), nn.ReLU(), nn.Linear(8, 2))
    groups = param_groups(model, weight_decay=0.1)
    assert [(group["name"], group["param_names"], group["weight_decay"]) for group in groups] == [
        ("all others", ["0.weight", "3.weight"], 0.1),
        ("no decay", ["0.bias", "1.weight", "1.bias", "3.bias"], 0.0),
    ]
    assert all("lr" not in group for group in groups)
    own = dict(model.named_parameters())
    assert all(p is own[n] for g in groups for n, p in zip(g["param_names"], g["params"], strict=True))


def test_the_optimizer_s_own_decay() -> None:
    groups = param_groups(nn.Linear(2, 1))
    optimizer = optim.AdamW(groups, weight_decay=0.3, lr=0.2)
    assert [group["weight_decay"] for group in optimizer.param_groups] == [0.3, 0.0]
    assert [group["lr"] for group in optimizer.param_groups] == [0.2, 0.2]
    assert [group["name"] for group in optimizer.param_groups] == ["all others", "no decay"]


def test_layers_learn_more_slowly_the_further_from_the_end() -> None:
    lr = by_name(param_groups(Model(), lr=1.0, layer_decay=0.5), "lr")
    assert lr["head.weight"] == lr["head.bias"] == 1.0
    assert lr["blocks.1.attention.weight"] == lr["blocks.1.norm1.bias"] == lr["blocks.1.mlp.0.weight"] == 0.5
    assert lr["blocks.0.attention.weight"] == 0.25
    assert lr["embed.weight"] == 0.125


def test_layers_of_one_s_own() -> None:
    lr = by_name(
        param_groups(Model(), lr=1.0, layer_decay=0.5, layer=lambda name: name.startswith("head")), "lr"
    )
    assert {name for name, rate in lr.items() if rate == 1.0} == {"head.weight", "head.bias"}
    assert lr["embed.weight"] == lr["blocks.1.attention.weight"] == 0.5


def test_patterns() -> None:
    model = Model()
    lr = by_name(param_groups(model, lr=1.0, lr_mult={"head": 10, "bias": 2, "Embedding": 0.5}), "lr")
    assert lr["head.weight"] == 10
    assert lr["head.bias"] == 20
    assert lr["blocks.0.attention.bias"] == 2
    assert lr["blocks.0.attention.weight"] == 1
    assert lr["embed.weight"] == 0.5
    decay = by_name(
        param_groups(model, weight_decay=1.0, no_decay=["blocks.*.bias", "EMBED"]), "weight_decay"
    )
    assert {name for name, value in decay.items() if value == 0} == {
        "embed.weight",
        *(f"blocks.{i}.{part}.bias" for i in (0, 1) for part in ("attention", "norm1", "mlp.0", "mlp.2")),
    }


@pytest.mark.parametrize("form", ["schedule", "function", "plateau"])
def test_factors_of_schedules(form) -> None:
    plateau = schedule.Plateau(patience=0)
    forms = {
        "schedule": schedule.linear(1.0, 0.0, steps=4),
        "function": lambda t: 1 - t / 4,
        "plateau": schedule.linear(1.0, 0.0, steps=4) * plateau,
    }
    optimizer = optim.SGD(param_groups(Model(), lr=forms[form], lr_mult={"head": 0.5}), weight_decay=0.1)
    for step in range(3):
        rates = {group["name"]: optimizer.hyperparameters(group)["lr"] for group in optimizer.param_groups}
        assert rates["all others"] == 1 - step / 4
        assert rates["lr x 0.5"] == rates["lr x 0.5, no decay"] == 0.5 - step / 8
        optimizer.step()
    plateau.update(1.0)
    assert plateau.update(1.0)
    if form == "plateau":
        assert optimizer.hyperparameters(optimizer.param_groups[0])["lr"] == pytest.approx(0.025)


def test_the_same_as_groups_by_hand() -> None:
    def train(make):
        nx.manual_seed(0)
        model = nn.Linear(3, 2)
        optimizer = make(model)
        for _ in range(5):
            optimizer.zero_grad()
            (model(nx.ones(4, 3)) ** 2).sum().backward()
            optimizer.step()
        return [param.detach().numpy() for param in model.parameters()]

    helped = train(lambda m: optim.AdamW(param_groups(m, lr=0.1, weight_decay=0.5, lr_mult={"bias": 3.0})))
    by_hand = train(
        lambda m: optim.AdamW(
            [
                {"params": [m.weight], "lr": 0.1, "weight_decay": 0.5},
                {"params": [m.bias], "lr": 0.1 * 3.0, "weight_decay": 0.0},
            ]
        )
    )
    assert all(np.array_equal(a, b) for a, b in zip(helped, by_hand, strict=True))


def test_frozen_parameters_and_pairs() -> None:
    model = Model()
    model.embed.weight.requires_grad_(False)
    assert "embed.weight" not in by_name(param_groups(model), "name")
    pairs = list(nn.Linear(2, 1).named_parameters())
    assert [group["param_names"] for group in param_groups(pairs)] == [["weight"], ["bias"]]
    assert [group["param_names"] for group in param_groups(iter(pairs), no_decay=())] == [["weight", "bias"]]


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"layer_decay": 0.5}, ValueError, "layer_decay and lr_mult need lr="),
        ({"lr_mult": {"head": 2.0}}, ValueError, "layer_decay and lr_mult need lr="),
        ({"lr": -0.1}, ValueError, r"param_groups: lr must be a number in \[0, inf\), got -0.1"),
        ({"weight_decay": "0.1"}, TypeError, "param_groups: weight_decay must be a number"),
        ({"lr": 1.0, "layer_decay": 0}, ValueError, "layer_decay must be above 0, got 0"),
        ({"lr": 1.0, "layer_decay": 1.5}, ValueError, r"layer_decay must be a number in \[0, 1\], got 1.5"),
        (
            {"lr": 1.0, "lr_mult": {"haed": 2.0}},
            ValueError,
            r"lr_mult\['haed'\] matches no parameter; there are 'head",
        ),
        (
            {"lr": 1.0, "lr_mult": {"head": -2.0}},
            ValueError,
            r"lr_mult\['head'\] must be a number ≥ 0, got -2.0",
        ),
        ({"no_decay": "bias"}, TypeError, "param_groups: no_decay must be a list, got 'bias'"),
        ({"no_decay": [""]}, TypeError, r"no_decay\[0\] must be a text that is not empty"),
    ],
)
def test_bad_arguments(arguments, error, message) -> None:
    with pytest.raises(error, match=message):
        param_groups(Model(), **arguments)


def test_bad_models() -> None:
    with pytest.raises(TypeError, match="give a module, or \\(name, tensor\\) pairs"):
        param_groups(nn.Linear(2, 1).parameters())


class RMSNorm(nn.Module):
    """A user's own."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(nx.ones(3))


class NormalizingLayer(nn.Linear):
    """No norm, whatever its name begins with."""


class Named(nn.Module):
    """Names that have "norm" and "bias" in them."""

    def __init__(self) -> None:
        super().__init__()
        self.abnormality = nn.Sequential(nn.Linear(3, 3))
        self.normal_flow = nn.Linear(3, 3, bias=False)
        self.norm_flow = NormalizingLayer(3, 3, bias=False)
        self.debias = nn.Linear(3, 3, bias=False)
        self.to_bias = nn.Linear(3, 3, bias=False)
        self.last = RMSNorm()
        self.bn = nn.BatchNorm1d(3)
        self.ln = nn.LayerNorm(3)


RIGHT = {"abnormality.0.bias", "last.scale", "bn.weight", "bn.bias", "ln.weight", "ln.bias"}


def test_patterns_match_whole_components_and_kinds() -> None:
    decay = by_name(param_groups(Named(), weight_decay=0.1), "weight_decay")
    assert {name for name, value in decay.items() if value == 0} == RIGHT
    groups = optim.muon_groups(Named(), no_decay=("bias", "norm"))
    assert {name for g in groups if g.get("weight_decay") == 0 for name, _ in g["params"]} == RIGHT


@pytest.mark.parametrize(
    ("pattern", "names"),
    [
        ("layernorm", ["ln.weight", "ln.bias"]),
        ("BatchNorm1d", ["bn.weight", "bn.bias"]),
        ("batchnorm", ["bn.weight", "bn.bias"]),
        ("Sequential", []),
        ("abnormality.0", ["abnormality.0.weight", "abnormality.0.bias"]),
        ("0.", ["abnormality.0.weight", "abnormality.0.bias"]),
        ("0.w", []),
        ("flow", []),
        ("scale", ["last.scale"]),
        ("*flow*", ["normal_flow.weight", "norm_flow.weight"]),
    ],
)
def test_what_a_pattern_matches(pattern, names) -> None:
    decay = by_name(param_groups(Named(), weight_decay=0.1, no_decay=[pattern]), "weight_decay")
    assert [name for name, value in decay.items() if value == 0] == names


def test_blocks_by_number() -> None:
    model = nn.ModuleDict({"blocks": nn.ModuleList([nn.Linear(1, 1, bias=False) for _ in range(12)])})
    lr = by_name(param_groups(model, lr=1.0, lr_mult={"blocks.1": 3.0}), "lr")
    assert [name for name, rate in lr.items() if rate == 3] == ["blocks.1.weight"]


def test_of_pairs_the_name_of_the_module_stands_for_its_kind() -> None:
    names = [
        "layer_norm.weight",
        "h.0.norm1.weight",
        "norm.w",
        "LayerNorm.weight",
        "normal.weight",
        "h.0.weight",
    ]
    pairs = [(name, nx.zeros(1, requires_grad=True)) for name in names]
    decay = by_name(param_groups(pairs, weight_decay=0.1), "weight_decay")
    assert [name for name, value in decay.items() if value] == ["normal.weight", "h.0.weight"]
