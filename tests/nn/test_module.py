"""What a module finds in itself, saves, moves, and says when something fails."""

import copy
import pickle

import neurenix
import numpy as np
import pytest
from neurenix import Tensor, nn
from neurenix.testing import assert_close


class Block(nn.Module):
    def __init__(self, size):
        super().__init__()
        self.first = nn.Linear(size, size)
        self.scale = nn.Parameter(neurenix.ones(size))
        self.layers = nn.ModuleList([nn.Linear(size, size, bias=False), nn.Dropout(0.5)])
        self.register_buffer("mean", neurenix.zeros(size))
        self.register_buffer("scratch", neurenix.zeros(1), persistent=False)

    def forward(self, x):
        for layer in self.layers:
            x = layer(x)
        return self.first(x) * self.scale + self.mean


class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.encoder = nn.Sequential(Block(3), nn.ReLU(), Block(3))
        self.head = nn.Linear(3, 1)

    def forward(self, x):
        return self.head(self.encoder(x))


@pytest.fixture
def model():
    return Model()


def test_named_parts(model):
    assert [name for name, _ in Block(2).named_parameters()] == [
        "scale", "first.weight", "first.bias", "layers.0.weight",
    ]  # fmt: skip
    assert [name for name, _ in Block(2).named_buffers()] == ["mean", "scratch"]
    assert [name for name, _ in Block(2).named_modules()] == ["", "first", "layers", "layers.0", "layers.1"]
    assert [name for name, _ in model.named_children()] == ["encoder", "head"]
    assert len(list(model.parameters())) == 10
    assert len(list(model.parameters(recurse=False))) == 0
    assert len(list(model.buffers())) == 4
    assert [name for name, _ in model.head.named_parameters("x")] == ["x.weight", "x.bias"]


def test_init_of_the_base_may_be_forgotten():
    class Forgetful(nn.Module):
        def __init__(self):
            self.layer = nn.Linear(2, 1)

        def forward(self, x):
            return self.layer(x)

    assert Forgetful()(neurenix.ones(1, 2)).shape == (1, 1)


def test_shared_parts_are_given_once():
    layer = nn.Linear(2, 2)
    twice = nn.Sequential(layer, nn.ReLU(), layer)
    assert [name for name, _ in twice.named_parameters()] == ["0.weight", "0.bias"]
    assert len(list(twice.modules())) == 3
    assert [name for name, _ in twice.named_children()] == ["0", "1"]
    assert [name for name, _ in twice.named_modules(remove_duplicate=False)] == ["", "0", "1", "2"]
    assert list(twice.state_dict()) == ["0.weight", "0.bias", "2.weight", "2.bias"]
    tied = nn.Sequential(nn.Embedding(4, 3), nn.Linear(3, 4, bias=False))
    tied[1].weight = tied[0].weight
    assert [name for name, _ in tied.named_parameters()] == ["0.weight"]
    assert list(tied.state_dict()) == ["0.weight", "1.weight"]
    assert [name for name, _ in tied.named_parameters(remove_duplicate=False)] == ["0.weight", "1.weight"]


def test_state_dict_round_trip(model):
    other = Model()
    identities = [id(p) for p in other.parameters()]
    state = model.state_dict()
    assert "encoder.0.scratch" not in state
    assert "encoder.0.mean" in state
    assert not any(tensor.requires_grad for tensor in state.values())
    assert other.load_state_dict(state) == ([], [])
    for (name, a), b in zip(model.named_parameters(), other.parameters(), strict=True):
        assert a.tolist() == b.tolist(), name
    assert [id(p) for p in other.parameters()] == identities
    x = neurenix.randn(4, 3)
    assert_close(model.eval()(x), other.eval()(x), rtol=0, atol=0)


def test_state_dict_shares_memory(model):
    model.state_dict()["head.bias"].fill_(5)
    assert model.head.bias.tolist() == [5]


def test_load_keeps_the_dtype_and_accepts_arrays():
    layer = nn.Linear(2, 1)
    layer.load_state_dict({"weight": np.ones((1, 2)), "bias": Tensor([3], dtype="int64")})
    assert layer.weight.dtype == "float32"
    assert layer.weight.tolist() == [[1, 1]]
    assert layer.bias.tolist() == [3]
    assert layer.bias.requires_grad


def test_load_lists_all_mismatches_and_changes_nothing(model):
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    state = {name: tensor + 1 for name, tensor in before.items()}
    state["head.weight"] = neurenix.zeros(2, 3)
    state["encoder.0.scale"] = neurenix.zeros(4)
    del state["head.bias"]
    state["tail"] = neurenix.zeros(1)
    with pytest.raises(ValueError, match="nothing was changed") as caught:
        model.load_state_dict(state)
    for text in ["head.weight", "(2, 3)", "(1, 3)", "encoder.0.scale", "(4,)", "head.bias", "tail"]:
        assert text in str(caught.value)
    with pytest.raises(ValueError, match=r"head\.weight"):
        model.load_state_dict(state, strict=False)
    for name, tensor in model.state_dict().items():
        assert_close(tensor, before[name], rtol=0, atol=0)
    state["head.weight"], state["encoder.0.scale"] = before["head.weight"], before["encoder.0.scale"]
    result = model.load_state_dict(state, strict=False)
    assert result.missing_keys == ["head.bias"]
    assert result.unexpected_keys == ["tail"]
    with pytest.raises(TypeError, match="list"):
        model.load_state_dict([])


def test_modes(model):
    assert model.training
    assert model.eval() is model
    assert not any(module.training for module in model.modules())
    model.encoder.train()
    assert model.encoder[0].layers[1].training
    assert not model.training
    with pytest.raises(TypeError, match="str"):
        model.train("yes")


def test_moving_and_casting(model):
    head = model.head.weight
    model.register_buffer("count", Tensor([1]))
    head.grad = neurenix.ones(1, 3)
    assert model.to(neurenix.float64) is model
    assert model.head.weight is head
    assert head.dtype == "float64"
    assert head.is_leaf
    assert head.requires_grad
    assert head.grad.dtype == "float64"
    assert model.encoder[0].mean.dtype == "float64"
    assert model.count.dtype == "int64"
    assert model.eval()(neurenix.ones(1, 3, dtype="float64")).dtype == "float64"
    assert model.half().head.bias.dtype == "float16"
    assert model.bfloat16().head.bias.dtype == "bfloat16"
    assert model.to("cpu").to("float32").head.bias.dtype == "float32"
    assert model.to(device="cpu", dtype="float64").head.bias.dtype == "float64"
    assert model.to("cpu", neurenix.float32).head.bias.dtype == "float32"
    assert model.to("cpu", dtype=neurenix.float64).head.bias.dtype == "float64"
    assert model.to(neurenix.zeros(1)).head.bias.dtype == "float32"
    assert model.double().float().head.bias.dtype == "float32"
    with pytest.raises(TypeError, match="int64"):
        model.to(neurenix.int64)
    with pytest.raises(ValueError, match="abc"):
        model.to("abc")


def test_zero_grad_and_freezing(model):
    model(neurenix.ones(1, 3)).sum().backward()
    assert model.head.weight.grad is not None
    model.zero_grad(set_to_none=False)
    assert model.head.weight.grad.abs().sum().item() == 0
    model.zero_grad()
    assert all(p.grad is None for p in model.parameters())
    model.encoder.requires_grad_(False)
    model(neurenix.ones(1, 3)).sum().backward()
    assert model.encoder[0].scale.grad is None
    assert model.head.weight.grad is not None


def test_apply(model):
    seen = []
    assert model.apply(seen.append) is model
    assert seen[-1] is model
    assert len(seen) == len(list(model.modules()))


def test_finding_by_name(model):
    assert model.get_submodule("encoder.0.layers.1") is model.encoder[0].layers[1]
    assert model.get_submodule("") is model
    assert model.get_parameter("head.weight") is model.head.weight
    with pytest.raises(AttributeError, match="'tail'.*encoder, head"):
        model.get_submodule("tail")
    with pytest.raises(AttributeError, match="'gamma'.*weight, bias"):
        model.get_parameter("head.gamma")


def test_registering():
    module = nn.Module()
    module.add_module("0", nn.ReLU())
    module.register_parameter("weight", nn.Parameter(neurenix.ones(1)))
    module.register_parameter("bias", None)
    module.register_buffer("nothing", None)
    assert list(module.state_dict()) == ["weight"]
    module.register_parameter("bias", nn.Parameter(neurenix.ones(1)))
    assert list(module.state_dict()) == ["weight", "bias"]
    for name in ["", "a.b", 3]:
        with pytest.raises(ValueError, match="name"):
            module.add_module(name, nn.ReLU())
    for name in ["forward", "weight", "training"]:
        with pytest.raises(ValueError, match=f"'{name}'"):
            module.add_module(name, nn.ReLU())
    with pytest.raises(TypeError, match="Parameter.*Tensor"):
        module.register_parameter("other", neurenix.ones(1))
    with pytest.raises(TypeError, match="Tensor.*list"):
        module.register_buffer("other", [1.0])


def test_attributes_can_be_replaced_and_deleted():
    module = nn.Sequential(nn.Linear(2, 2))
    module[0].bias = None
    assert [name for name, _ in module.named_parameters()] == ["0.weight"]
    del module[0].weight
    assert list(module.parameters()) == []


def test_hooks(model):
    log = []
    head = model.head
    first = head.register_forward_pre_hook(lambda m, args: log.append(("before", m is head, len(args))))
    head.register_forward_pre_hook(lambda m, args: args[0] * 0)
    last = head.register_forward_hook(lambda m, args, output: log.append(("after", args[0].sum().item())))
    head.register_forward_hook(lambda m, args, output: output + 100)
    head.register_forward_hook(lambda m, args, output: log.append("early"), prepend=True)
    y = model(neurenix.ones(1, 3))
    assert y.item() == pytest.approx(100 + head.bias.item())
    assert log == [("before", True, 1), "early", ("after", 0)]
    first.remove()
    first.remove()
    last.remove()
    log.clear()
    model(neurenix.ones(1, 3))
    assert log == ["early"]


def test_hooks_with_keywords():
    class Scaled(nn.Module):
        def forward(self, x, factor=1.0):
            return x * factor

    module = Scaled()
    module.register_forward_pre_hook(lambda m, a, k: (a, {"factor": 3.0}), with_kwargs=True)
    module.register_forward_hook(lambda m, a, k, y: y + k["factor"], with_kwargs=True)
    assert module(neurenix.ones(1), factor=2.0).item() == 6


@pytest.mark.parametrize("count", range(5))
def test_calls_pass_all_arguments(count):
    class Echo(nn.Module):
        def forward(self, *args, **kwargs):
            return args, kwargs

    args = tuple(range(count))
    assert Echo()(*args) == (args, {})
    assert Echo()(*args, key=1) == (args, {"key": 1})


def test_repr(model):
    assert repr(model) == (
        "Model(\n"
        "  (encoder): Sequential(\n"
        "    (0): Block(\n"
        "      (first): Linear(3, 3)\n"
        "      (layers): ModuleList(\n"
        "        (0): Linear(3, 3, bias=False)\n"
        "        (1): Dropout(p=0.5)\n"
        "      )\n"
        "    )\n"
        "    (1): ReLU()\n"
        "    (2): Block(\n"
        "      (first): Linear(3, 3)\n"
        "      (layers): ModuleList(\n"
        "        (0): Linear(3, 3, bias=False)\n"
        "        (1): Dropout(p=0.5)\n"
        "      )\n"
        "    )\n"
        "  )\n"
        "  (head): Linear(3, 1)\n"
        ")"
    )
    assert repr(nn.Sequential()) == "Sequential()"


def test_copies(model):
    model.encoder[0].register_forward_hook(print_nothing)
    model(neurenix.ones(1, 3))  # makes plans
    for other in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        x = neurenix.randn(4, 3)
        assert_close(model.eval()(x), other.eval()(x), rtol=0, atol=0)
        assert all(isinstance(p, nn.Parameter) for p in other.parameters())
        assert {id(p) for p in other.parameters()}.isdisjoint(id(p) for p in model.parameters())
        with neurenix.no_grad():
            other.head.weight.zero_()
        assert model.head.weight.abs().sum().item() > 0
        assert other(x).std().item() == 0


def print_nothing(*_):
    """A hook that pickle can find."""


def test_copies_keep_what_is_shared():
    layer = nn.Linear(2, 2)
    other = copy.deepcopy(nn.Sequential(layer, layer))
    assert other[0] is other[1]
    tied = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    tied[1].weight = tied[0].weight
    assert len(list(copy.deepcopy(tied).parameters())) == 3


class TestErrorsNameTheModule:
    def message(self, module, *args, kind=ValueError):
        with pytest.raises(kind) as caught:
            module(*args)
        assert type(caught.value) is kind
        return str(caught.value)

    def test_alone(self):
        assert self.message(nn.Linear(5, 1), neurenix.ones(2, 3)).startswith("in Linear(5, 1): linear: ")

    def test_in_a_row(self):
        model = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(5, 1))
        assert self.message(model, neurenix.ones(2, 3)).startswith("in 2: Linear(5, 1): linear: ")

    def test_nested(self, model):
        model.encoder[2].layers[0] = nn.Linear(7, 3)
        text = self.message(model, neurenix.ones(2, 3))
        assert text.startswith("in encoder.2.layers.0: Linear(7, 3): linear: ")

    def test_with_hooks(self, model):
        model.encoder[2].register_forward_hook(print_nothing)
        model.head = nn.Linear(7, 3)
        model.head.register_forward_hook(print_nothing)
        assert self.message(model, neurenix.ones(2, 3)).startswith("in head: Linear(7, 3): linear: ")

    def test_labels(self):
        text = self.message(nn.CrossEntropyLoss(), neurenix.ones(1, 3), Tensor([5]), kind=IndexError)
        assert text.startswith("in CrossEntropyLoss(): cross_entropy: label 5")

    def test_own_errors_are_located_as_well(self):
        class Broken(nn.Module):
            def forward(self, x):
                raise ValueError("bad weather")

        assert (
            self.message(nn.Sequential(nn.ReLU(), Broken()), neurenix.ones(1))
            == "in 1: Broken(): bad weather"
        )

    def test_recursion(self):
        class Recursive(nn.Module):
            def forward(self, depth):
                return self(depth - 1) if depth else neurenix.ones(2) + neurenix.ones(3)

        text = self.message(nn.Sequential(Recursive()), 3)
        assert text.startswith("in 0: Recursive(): add")

    def test_other_errors_pass_unchanged(self):
        class Special(ValueError):
            pass

        class Broken(nn.Module):
            def forward(self, x):
                raise Special("as it is")

        assert self.message(nn.Sequential(Broken()), neurenix.ones(1), kind=Special) == "as it is"


def test_what_a_module_holds_is_not_lost_by_an_assignment():
    module = nn.Module()
    module.register_buffer("mean", neurenix.zeros(2))
    module.weight, module.layer = nn.Parameter(neurenix.ones(2)), nn.Linear(1, 1)
    for name, value in (
        ("weight", module.weight - 1),
        ("weight", neurenix.zeros(2)),
        ("mean", 3),
        ("layer", len),
    ):
        with pytest.raises(TypeError, match=f"{name!r} holds a .* delete the attribute first"):
            setattr(module, name, value)
    assert list(module.state_dict()) == ["weight", "mean", "layer.weight", "layer.bias"]
    module.weight, module.layer, module.mean = nn.Parameter(neurenix.ones(3)), nn.ReLU(), None
    module.mean = neurenix.ones(3)
    assert list(module.state_dict()) == ["weight", "mean"]
    del module.mean
    module.mean = 3
    assert list(module.state_dict()) == ["weight"]
