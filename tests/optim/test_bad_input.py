"""What an optimizer refuses, and what it says."""

from __future__ import annotations

import math

import neurenix as nx
import numpy as np
import pytest
from neurenix import Tensor
from neurenix.optim import SGD, Adam, AdamW

NUMBER = r"must be a number in \[0, inf\)"
HYPERPARAMETERS = [
    (SGD, {"lr": -0.1}, ValueError, rf"SGD: lr {NUMBER}, got -0.1"),
    (SGD, {"lr": math.nan}, ValueError, rf"lr {NUMBER}, got nan"),
    (SGD, {"lr": math.inf}, ValueError, rf"lr {NUMBER}, got inf"),
    (SGD, {"lr": 10**400}, ValueError, rf"lr {NUMBER}, got 1000"),
    (SGD, {"lr": True}, TypeError, rf"lr {NUMBER} or a schedule of the step, got True \(bool\)"),
    (SGD, {"lr": "0.1"}, TypeError, r"got '0.1' \(str\)"),
    (SGD, {"lr": None}, TypeError, r"got None \(NoneType\)"),
    (SGD, {"lr": Tensor([0.1])}, TypeError, r"lr .*\(Tensor\)"),
    (SGD, {"lr": Tensor([0.1, 0.2])}, TypeError, r"lr .*\(Tensor\)"),
    (SGD, {"lr": np.array([0.1])}, TypeError, r"\(ndarray\)"),
    (SGD, {"lr": 1j}, TypeError, r"\(complex\)"),
    (SGD, {"lr": (0.1,)}, TypeError, r"\(tuple\)"),
    (SGD, {"momentum": -1}, ValueError, rf"momentum {NUMBER}, got -1"),
    (SGD, {"dampening": math.nan}, ValueError, r"dampening must be a number in \(-inf, inf\), got nan"),
    (SGD, {"weight_decay": -1}, ValueError, rf"weight_decay {NUMBER}, got -1"),
    (SGD, {"nesterov": 1}, TypeError, r"nesterov must be True or False, got 1 \(int\)"),
    (SGD, {"maximize": None}, TypeError, "maximize must be True or False"),
    (
        SGD,
        {"nonfinite": "ignore"},
        ValueError,
        "nonfinite must be one of 'propagate', 'skip', 'raise', got 'ignore'",
    ),
    (Adam, {"eps": -1e-8}, ValueError, rf"Adam: eps {NUMBER}, got -1e-08"),
    (Adam, {"betas": (0.9, 1.0)}, ValueError, r"betas\[1\] must be a number in \[0, 1\), got 1.0"),
    (Adam, {"betas": (-0.1, 0.9)}, ValueError, r"betas\[0\] must be a number in \[0, 1\), got -0.1"),
    (Adam, {"betas": (math.nan, 0.9)}, ValueError, r"betas\[0\]"),
    (
        Adam,
        {"betas": (0.9,)},
        ValueError,
        r"betas must have 2 values, each a number in \[0, 1\), got 1: \(0.9,\)",
    ),
    (Adam, {"betas": (0.9, 0.9, 0.9)}, ValueError, "betas must have 2 values"),
    (Adam, {"betas": 0.9}, TypeError, "betas must be a tuple of 2 numbers, got 0.9"),
    (Adam, {"betas": ("0.9", 0.9)}, TypeError, r"betas\[0\]"),
    (Adam, {"betas": (0.9, True)}, TypeError, r"betas\[1\]"),
    (AdamW, {"weight_decay": math.inf}, ValueError, "AdamW: weight_decay"),
    (AdamW, {"amsgrad": "yes"}, TypeError, "amsgrad must be True or False"),
]


@pytest.mark.parametrize(("cls", "arguments", "error", "message"), HYPERPARAMETERS)
def test_hyperparameters(make, cls, arguments, error, message) -> None:
    with pytest.raises(error, match=message):
        cls([make([1.0])], **arguments)


@pytest.mark.parametrize(("cls", "arguments", "error", "message"), HYPERPARAMETERS)
def test_hyperparameters_of_a_group(make, cls, arguments, error, message) -> None:
    if "nonfinite" not in arguments:
        with pytest.raises(
            error,
            match=message.replace("SGD:", "SGD, group 0:")
            .replace("Adam:", "Adam, group 0:")
            .replace("AdamW:", "AdamW, group 0:"),
        ):
            cls([{"params": [make([1.0])], **arguments}])


@pytest.mark.parametrize("value", [np.float32(0.5), np.float64(0.5), np.int64(1), 1, 0, 0.5])
def test_numbers_of_numpy_are_numbers(make, value) -> None:
    optimizer = SGD([make([1.0])], lr=value)
    assert optimizer.param_groups[0]["lr"] == value
    assert type(optimizer.param_groups[0]["lr"]) in (int, float)


def exhausted(make):
    generator = iter([make([1.0])])
    list(generator)
    return generator


def leaf_twice(make):
    param = make([1.0])
    return [param, make([2.0]), param]


PARAMETERS = [
    (lambda make: [], ValueError, "params is empty; a generator such as model.parameters"),
    (exhausted, ValueError, "params is empty; a generator"),
    (lambda make: [{"params": []}], ValueError, "SGD, group 0 has no parameters"),
    (
        lambda make: [{"params": make([1.0])}, {"params": exhausted(make)}],
        ValueError,
        "SGD, group 1 has no parameters",
    ),
    (lambda make: make([1.0]), TypeError, r"got one tensor; write \[tensor\]"),
    (lambda make: {make([1.0])}, TypeError, "a set has no order"),
    (lambda make: [{"params": {make([1.0])}}], TypeError, "SGD, group 0: params: a set has no order"),
    (lambda make: {"params": [make([1.0])]}, TypeError, "one dict is one group; write"),
    (lambda make: None, TypeError, r"must be an iterable of tensors, got None \(NoneType\)"),
    (lambda make: 3, TypeError, "must be an iterable of tensors, got 3"),
    (lambda make: "abc", TypeError, "must be an iterable of tensors, got 'abc'"),
    (
        lambda make: [make([1.0]), "abc"],
        TypeError,
        r"SGD, group 0: parameter 1 must be a tensor, got 'abc' \(str\)",
    ),
    (lambda make: [np.zeros(3)], TypeError, r"parameter 0 must be a tensor, got .* \(ndarray\)"),
    (lambda make: [make([1.0]), {"params": [make([1.0])]}], TypeError, "mixes dicts"),
    (
        lambda make: [("a", make([1.0])), make([1.0])],
        TypeError,
        "mixes .name, tensor. pairs with unnamed tensors",
    ),
    (
        lambda make: [("a", make([1.0])), ("a", make([1.0]))],
        ValueError,
        "the name 'a' is given to two parameters",
    ),
    (leaf_twice, ValueError, "SGD, group 0: parameter 2 is the same tensor as SGD, group 0: parameter 0"),
    (
        lambda make: [{"params": leaf_twice(make)[:1]}] + [{"params": p} for p in [make([1.0])] * 2],
        ValueError,
        "SGD, group 2: parameter 0 is the same tensor as SGD, group 1: parameter 0",
    ),
    (lambda make: [make([1.0]) * 2], ValueError, "parameter 0 is the result of an operation, not a leaf"),
    (lambda make: [("w", make([1.0]) * 2)], ValueError, "parameter 'w' is the result of an operation"),
    (lambda make: [Tensor([1, 2])], TypeError, "parameter 0 has dtype int64; only floating point"),
    (lambda make: [("mask", Tensor([True]))], TypeError, "parameter 'mask' has dtype bool"),
    (lambda make: [nx.zeros(0, 3)], ValueError, r"parameter 0 is empty, its shape is \(0, 3\)"),
    (lambda make: [{"lr": 0.1}], ValueError, "SGD, group 0 has no \"params\"; its keys are: 'lr'"),
    (
        lambda make: [{"params": [make([1.0])], "lrr": 0.1}],
        ValueError,
        "unknown key 'lrr'; .*did you mean 'lr'",
    ),
    (
        lambda make: [{"params": [make([1.0])], "param_names": ["a", "b"]}],
        ValueError,
        "1 parameters, but 2 names",
    ),
]


@pytest.mark.parametrize(("params", "error", "message"), PARAMETERS)
def test_parameters(make, params, error, message) -> None:
    with pytest.raises(error, match=message):
        SGD(params(make))


def test_scalars_and_frozen_tensors_are_parameters(make) -> None:
    param, frozen = make(1.0, 1.0), Tensor([1.0])
    SGD([param, frozen], lr=0.5).step()
    assert (param.item(), frozen.item()) == (0.5, 1.0)


def test_unknown_arguments(make) -> None:
    with pytest.raises(TypeError, match="SGD has no argument 'learning_rate'; it takes lr, momentum"):
        SGD([make([1.0])], learning_rate=0.1)
    with pytest.raises(TypeError, match="SGD has no argument 'wieght_decay'; did you mean 'weight_decay'?"):
        SGD([make([1.0])], wieght_decay=0.1)


@pytest.mark.parametrize("grad", [Tensor([1.0, 2.0]), Tensor([[1.0]]), Tensor([1]), "abc"])
def test_gradients_that_do_not_fit(make, grad) -> None:
    param = make([1.0])
    with pytest.raises((ValueError, TypeError, RuntimeError)):
        param.grad = grad
    assert param.grad is None
