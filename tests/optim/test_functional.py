"""Optimizers as pure functions."""

from __future__ import annotations

from typing import NamedTuple

import neurenix as nx
import numpy as np
import pytest
from neurenix import Tensor, optim
from neurenix.optim import Functional

MAKERS = {
    "sgd": (optim.SGD, {"lr": 0.1, "momentum": 0.9}),
    "adamw": (optim.AdamW, {"lr": 0.1, "clip_norm": 1.0}),
    "lookahead": (lambda params, lr: optim.Lookahead(optim.Adam(params, lr), k=2), {"lr": 0.1}),
}


def tree():
    rng = np.random.default_rng(0)
    return {
        "a": Tensor(rng.normal(size=(3, 2))),
        "b": [Tensor(rng.normal(size=4)), (Tensor(rng.normal(size=1)),)],
    }


def bits(tree):
    return [tree["a"].numpy().tobytes(), tree["b"][0].numpy().tobytes(), tree["b"][1][0].numpy().tobytes()]


@pytest.mark.parametrize(("maker", "arguments"), MAKERS.values(), ids=MAKERS)
def test_same_bits_as_the_optimizer_and_nothing_given_changes(maker, arguments) -> None:
    pure = Functional(maker, **arguments)
    params = tree()
    own = [p.clone().requires_grad_() for p in (params["a"], params["b"][0], params["b"][1][0])]
    optimizer = maker(own, **arguments)
    state = pure.init(params)
    for step in range(5):
        rng = np.random.default_rng(step)
        values = [Tensor(rng.normal(size=p.shape)) for p in own]
        for param, value in zip(own, values, strict=True):
            param.grad = value
        optimizer.step()
        before, old = bits(params), str(state)
        new, after = pure.update({"a": values[0], "b": [values[1], (values[2],)]}, state, params)
        assert bits(params) == before
        assert str(state) == old
        params, state = new, after
        assert bits(params) == [p.detach().numpy().tobytes() for p in own]
        assert isinstance(params["b"][1], tuple)


def test_a_missing_gradient_leaves_a_parameter() -> None:
    pure, params = Functional(optim.Adam), tree()
    new, state = pure.update({"a": None, "b": [Tensor(np.ones(4)), (None,)]}, pure.init(params), params)
    assert bits(new)[0] == bits(params)[0]
    assert bits(new)[1] != bits(params)[1]
    assert [entry["step"] for entry in state["state"].values()] == [0, 1, 0]


def test_a_rule_that_needs_the_loss() -> None:
    pure, w = Functional(optim.MoMo, lr=1.0), Tensor([1.0], requires_grad=True)
    params, state = pure.update(Tensor([2.0]), pure.init(w), w, loss=Tensor(0.5))
    optimizer = optim.MoMo([w], lr=1.0)
    w.grad = Tensor([2.0])
    optimizer.step(loss=Tensor(0.5))
    assert params.tolist() == w.tolist() != [1.0]
    assert next(iter(state["state"].values()))["step"] == 1


@pytest.mark.parametrize("keys", [("a.b", "a"), (1, "1")])
def test_branches_that_cannot_be_told_apart(keys) -> None:
    inner = {"b": Tensor([2.0])} if keys[1] == "a" else Tensor([2.0])
    with pytest.raises(ValueError, match="two branches have the path"):
        Functional(optim.SGD).init({keys[0]: Tensor([1.0]), keys[1]: inner})


def test_a_tensor_alone_and_saving(tmp_path) -> None:
    pure, param = Functional(optim.Adam, lr=1.0), Tensor([1.0, 2.0])
    new, state = pure.update(Tensor([1.0, 1.0]), pure.init(param), param)
    nx.save(state, tmp_path / "state.safetensors")
    again = [
        pure.update(Tensor([1.0, 3.0]), s, new)[0] for s in (state, nx.load(tmp_path / "state.safetensors"))
    ]
    assert again[0].numpy().tobytes() == again[1].numpy().tobytes()


def test_named_tuples_stay_what_they_are() -> None:
    class Layer(NamedTuple):
        weight: Tensor
        bias: Tensor

    params, sgd = Layer(nx.ones(2), nx.zeros(1)), Functional(optim.SGD, lr=0.5)
    new, _ = sgd.update(Layer(nx.ones(2), nx.ones(1)), sgd.init(params), params)
    assert isinstance(new, Layer)
    assert (new.weight.tolist(), new.bias.tolist()) == ([0.5, 0.5], [-0.5])


def test_what_does_not_fit() -> None:
    pure, params = Functional(optim.SGD), tree()
    with pytest.raises(TypeError, match=r"params: expected tensors .* got 3 at 'b.0'"):
        pure.init({"b": [3]})
    with pytest.raises(ValueError, match=r"differ in structure at 'b.1.0'"):
        pure.update({"a": params["a"], "b": [params["b"][0]]}, pure.init(params), params)
    with pytest.raises(TypeError, match="must be a class or a function"):
        Functional("adam")
