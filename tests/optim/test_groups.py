"""Parameter groups in every form."""

from __future__ import annotations

import neurenix as nx
import pytest
from neurenix.optim import SGD, Adam


def test_forms(make) -> None:
    a, b = make([1.0]), make([2.0])
    for params in ([a, b], (a, b), iter([a, b]), {"a": a, "b": b}.values()):
        assert SGD(params).param_groups[0]["params"] == [a, b]
    for params in ([("a", a), ("b", b)], {"a": a, "b": b}.items(), [{"params": [("a", a), ("b", b)]}]):
        assert SGD(params).param_groups[0]["param_names"] == ["a", "b"]


def test_module(make) -> None:
    model = nx.nn.Linear(2, 1)
    assert SGD(model).param_groups[0]["param_names"] == ["weight", "bias"]
    assert SGD([{"params": model, "lr": 0.5}]).param_groups[0]["params"][0] is model.weight


def test_both_names_are_one_list(make) -> None:
    optimizer = SGD([make([1.0])])
    assert optimizer._parameter_groups is optimizer.param_groups


def test_what_is_left_out_comes_from_the_arguments(make) -> None:
    groups = [{"params": [make([1.0])], "lr": 0.01}, {"params": make([1.0])}]
    optimizer = SGD(groups, lr=0.005, momentum=0.9)
    assert [(g["lr"], g["momentum"]) for g in optimizer.param_groups] == [(0.01, 0.9), (0.005, 0.9)]
    assert groups[1].keys() == {"params"}  # what the user gave is not changed


def test_groups_have_their_own_hyperparameters(make) -> None:
    a, b = make([1.0], 1.0), make([1.0], 1.0)
    SGD([{"params": [a], "lr": 0.5}, {"params": [b], "lr": 0.25}]).step()
    assert (a.item(), b.item()) == (0.5, 0.75)


def test_writing_to_a_group_takes_effect(make) -> None:
    param = make([1.0], 1.0)
    optimizer = SGD([param], lr=0.5)
    optimizer.step()
    optimizer._parameter_groups[0]["lr"] = 0.25
    optimizer.step()
    assert param.item() == 0.25


def test_a_bad_value_written_to_a_group_is_an_error_that_changes_nothing(make) -> None:
    a, b = make([1.0], 1.0), make([1.0], 1.0)
    optimizer = SGD([{"params": [a]}, {"params": [b]}], lr=0.5)
    optimizer.step()
    optimizer.param_groups[1]["lr"] = -1
    with pytest.raises(ValueError, match=r"SGD, group 1: lr must be a number in \[0, inf\), got -1"):
        optimizer.step()
    assert (a.item(), b.item()) == (0.5, 0.5)
    optimizer.param_groups[1]["lr"] = 0.5
    optimizer.step()
    assert (a.item(), b.item()) == (0.0, 0.0)


def test_a_deleted_hyperparameter_is_an_error(make) -> None:
    optimizer = SGD([make([1.0], 1.0)])
    del optimizer.param_groups[0]["lr"]
    with pytest.raises(ValueError, match="lr is missing"):
        optimizer.step()


def test_keys_of_ones_own_stay(make) -> None:
    optimizer = SGD([{"params": [make([1.0], 1.0)], "name": "backbone"}])
    optimizer.param_groups[0]["note"] = "mine"
    optimizer.step()
    assert (optimizer.param_groups[0]["name"], optimizer.param_groups[0]["note"]) == ("backbone", "mine")


def test_add_param_group(make) -> None:
    a, b = make([1.0], 1.0), make([1.0], 1.0)
    optimizer = SGD([a], lr=0.5)
    optimizer.step()
    optimizer.add_param_group({"params": [b], "lr": 0.25})
    optimizer.step()
    assert (a.item(), b.item()) == (0.0, 0.75)
    assert (optimizer.state[a]["step"], optimizer.state[b]["step"]) == (2, 1)


@pytest.mark.parametrize("change", [{"lr": -1}, {"lrr": 1}, {"params": []}, {"momentum": "x"}])
def test_add_param_group_is_all_or_nothing(make, change) -> None:
    optimizer = SGD([make([1.0])])
    with pytest.raises((ValueError, TypeError)):
        optimizer.add_param_group({"params": [make([2.0])], **change})
    assert len(optimizer.param_groups) == 1


def test_parameters_appended_to_a_group(make) -> None:
    a, b = make([1.0], 1.0), make([1.0], 1.0)
    optimizer = Adam([a], lr=0.5)
    optimizer.step()
    optimizer.param_groups[0]["params"].append(b)
    optimizer.step()
    assert (optimizer.state[a]["step"], optimizer.state[b]["step"]) == (2, 1)
    assert b.item() == pytest.approx(0.5)


def test_a_parameter_replaced_within_a_group(make) -> None:
    a, b = make([1.0], 1.0), make([1.0], 1.0)
    optimizer = Adam([a], lr=0.25)
    optimizer.step()
    optimizer.param_groups[0]["params"][0] = b
    optimizer.step()
    assert (a.item(), b.item()) == (pytest.approx(0.75), pytest.approx(0.75))


def test_a_group_replaced(make) -> None:
    a = make([1.0], 1.0)
    optimizer = SGD([a], lr=0.5, momentum=0.5)
    optimizer.step()
    optimizer.param_groups[0] = {**optimizer.param_groups[0], "lr": 0.25}
    optimizer.step()
    assert a.item() == 0.5 - 0.25 * 1.5


def test_mixed_dtypes_in_one_group(make) -> None:
    params = [make([1.0], 1.0, dtype) for dtype in ("float32", "float64", "bfloat16", "float16")]
    optimizer = SGD(params, lr=0.5, momentum=0.9)
    optimizer.step()
    assert [param.item() for param in params] == [0.5] * 4
    stored = [optimizer.state[param]["momentum_buffer"].dtype.name for param in params]
    assert stored == ["float32", "float64", "float32", "float32"]


def test_a_parameter_may_change_its_dtype(make) -> None:
    param = make([1.0], 1.0)
    optimizer = SGD([param], lr=0.5, momentum=0.5)
    optimizer.step()
    param.to("float64", inplace=True)
    param.grad = make([1.0], dtype="float64").detach()
    optimizer.step()
    assert param.item() == 0.5 - 0.5 * 1.5
    assert optimizer.state[param]["momentum_buffer"].dtype == nx.float64
    assert optimizer.state[param]["step"] == 2


def test_a_parameter_may_not_change_its_shape(make) -> None:
    param = make([1.0, 2.0], 1.0)
    optimizer = SGD([param], momentum=0.5)
    optimizer.step()
    param.grad = None
    param.data = make([1.0]).detach()
    param.grad = make([1.0]).detach()
    with pytest.raises(
        ValueError, match=r"momentum_buffer of a parameter has shape \(2,\), and must have shape \(1,\)"
    ):
        optimizer.step()
