"""Rows, lists and dicts of modules."""

from collections import OrderedDict

import neurenix
import pytest
from neurenix import nn
from neurenix.testing import assert_close


def row():
    return nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2), nn.ReLU())


def by_hand(model, x):
    """One module after the other, never fused."""
    for module in model:
        x = module.forward(x)
    return x


@pytest.mark.parametrize(
    "name", ["ReLU", "SiLU", "Mish", "Sigmoid", "Tanh", "Softsign", "GELU", "ELU", "Softplus"]
)
def test_fusion_changes_nothing(name):
    model = nn.Sequential(nn.Linear(3, 4), getattr(nn, name)(), nn.Linear(4, 2), getattr(nn, name)())
    x = neurenix.randn(5, 3)
    together, alone = model(x), by_hand(model, x)
    assert_close(together, alone)
    together.sum().backward()
    gradients = [p.grad for p in model.parameters()]
    model.zero_grad()
    alone.sum().backward()
    for fused, parameter in zip(gradients, model.parameters(), strict=True):
        assert_close(fused, parameter.grad)


def test_the_plan_follows_changes():
    model, x = row(), neurenix.randn(5, 3)
    model(x)
    model[3] = nn.Sigmoid()
    assert_close(model(x), by_hand(model, x))
    assert (model(x) > 0).all()
    model[0].weight = nn.Parameter(neurenix.zeros(4, 3))
    assert_close(model(x), by_hand(model, x))
    model.append(nn.Identity())
    setattr(model, "2", nn.Linear(4, 7))
    assert model(x).shape == (5, 7)
    del model[3]
    assert_close(model(x), by_hand(model, x))
    del model[-1]
    model[0].bias = None
    assert_close(model(x), by_hand(model, x))


def test_hooks_and_overrides_end_fusion():
    model, x, seen = row(), neurenix.randn(5, 3), []
    model(x)
    handle = model[0].register_forward_hook(lambda module, args, output: seen.append("linear"))
    model[3].register_forward_pre_hook(lambda module, args: seen.append("relu"))
    model(x)
    assert seen == ["linear", "relu"]
    handle.remove()
    model[2].forward = lambda x: neurenix.ones(5, 2) * 3
    assert model(x).tolist() == [[3, 3]] * 5


def test_subclasses_are_not_fused():
    class Doubled(nn.Linear):
        def forward(self, x):
            return super().forward(x) * 2

    class Negated(nn.ReLU):
        def forward(self, x):
            return -super().forward(x)

    model, x = nn.Sequential(Doubled(3, 4), Negated()), neurenix.randn(5, 3)
    assert_close(model(x), by_hand(model, x))


def test_indexing():
    model = row()
    assert model[0] is next(iter(model))
    assert model[-1] is model[3]
    assert len(model) == 4
    assert [type(m) for m in model[1:3]] == [nn.Tanh, nn.Linear]
    assert isinstance(model[:2], nn.Sequential)
    assert model[2] in model
    assert nn.Tanh() not in model
    with pytest.raises(IndexError, match="4"):
        model[4]
    part = model[2:]
    assert [name for name, _ in part.named_parameters()] == ["0.weight", "0.bias"]
    assert part[0].weight is model[2].weight


def test_names_are_kept():
    model = nn.Sequential(OrderedDict(hidden=nn.Linear(3, 4), act=nn.ReLU()))
    model.append(nn.Linear(4, 1))
    model.insert(0, nn.Identity())
    assert [name for name, _ in model.named_children()] == ["0", "hidden", "act", "3"]
    assert model.hidden is model[1]
    assert model(neurenix.ones(1, 3)).shape == (1, 1)


def test_changing_rows():
    model = nn.Sequential(nn.ReLU())
    assert model.append(nn.Tanh()) is model
    model.extend([nn.Sigmoid(), nn.ReLU()])
    model.insert(1, nn.SiLU())
    del model[0]
    assert [type(m).__name__ for m in model] == ["SiLU", "Tanh", "Sigmoid", "ReLU"]
    assert [name for name, _ in model.named_children()] == ["0", "1", "2", "3"]
    del model[1:3]
    assert [type(m).__name__ for m in model] == ["SiLU", "ReLU"]


def test_nothing_changes_when_a_row_refuses():
    model = row()
    for change in (lambda: model.append(3), lambda: model.extend([nn.ReLU(), None])):
        with pytest.raises(TypeError, match="Module"):
            change()
    assert len(model) == 4


def test_an_empty_row_is_the_identity():
    x = neurenix.ones(2)
    assert nn.Sequential()(x) is x


def test_rows_in_rows():
    model = nn.Sequential(row(), nn.Sequential(nn.Linear(2, 1)))
    assert model(neurenix.ones(1, 3)).shape == (1, 1)
    assert list(model.state_dict()) == [
        "0.0.weight",
        "0.0.bias",
        "0.2.weight",
        "0.2.bias",
        "1.0.weight",
        "1.0.bias",
    ]


def test_module_list():
    layers = nn.ModuleList([nn.Linear(2, 2)])
    layers.append(nn.Linear(2, 3))
    layers[0] = nn.Linear(2, 5)
    assert [layer.out_features for layer in layers] == [5, 3]
    assert isinstance(layers[:1], nn.ModuleList)
    assert [name for name, _ in layers.named_parameters()] == ["0.weight", "0.bias", "1.weight", "1.bias"]
    with pytest.raises(NotImplementedError, match="ModuleList has no forward"):
        layers(1)


def test_module_dict():
    heads = nn.ModuleDict({"a": nn.Linear(2, 1), "b": nn.ReLU()})
    heads["c"] = nn.Tanh()
    heads.update([("b", nn.Sigmoid())])
    assert list(heads) == list(heads.keys()) == ["a", "b", "c"]
    assert [type(m).__name__ for m in heads.values()] == ["Linear", "Sigmoid", "Tanh"]
    assert dict(heads.items())["a"] is heads["a"] is heads.a
    assert "a" in heads
    assert "x" not in heads
    assert len(heads) == 3
    assert isinstance(heads.pop("c"), nn.Tanh)
    del heads["b"]
    assert list(heads) == ["a"]
    with pytest.raises(KeyError):
        heads["b"]
    for name in ["keys", "x.y", ""]:
        with pytest.raises(ValueError, match="name"):
            heads[name] = nn.ReLU()
    with pytest.raises(TypeError, match="Module"):
        heads["z"] = 3
    assert list(heads) == ["a"]


def test_rows_are_joined():
    a, b = nn.ReLU(), nn.Tanh()
    row = nn.ModuleList([a])
    for other in ([b], (b,), nn.ModuleList([b]), iter([b])):
        joined = row + other
        assert type(joined) is nn.ModuleList
        assert list(joined) == [a, b]
        assert [name for name, _ in joined.named_children()] == ["0", "1"]
    assert list(row) == [a]
    row += [b]
    assert list(row) == [a, b]
    both = nn.Sequential(a) + nn.Sequential(b)
    assert type(both) is nn.Sequential
    assert list(both) == [a, b]
