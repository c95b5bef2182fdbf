"""Saved state: keyed by name, checked as a whole."""

from __future__ import annotations

import copy

import neurenix as nx
import numpy as np
import pytest
from neurenix import Tensor
from neurenix.optim import SGD, Adam, AdamW, Optimizer, schedule


def pairs(make, names="ab", value=1.0):
    return [(name, make([value, 2.0, 3.0][: i + 1], value + i)) for i, name in enumerate(names)]


def trained(cls, params, steps=3, **arguments):
    optimizer = cls(params, **arguments)
    for _ in range(steps):
        optimizer.step()
    return optimizer


def test_layout(make) -> None:
    named = trained(SGD, pairs(make), momentum=0.5).state_dict()
    assert list(named["state"]) == ["a", "b"]
    assert named["state"]["a"].keys() == {"step", "momentum_buffer"}
    assert named["state"]["a"]["step"] == 3
    assert named["param_groups"] == [
        {
            "lr": 0.01,
            "momentum": 0.5,
            "dampening": 0,
            "weight_decay": 0,
            "nesterov": False,
            "maximize": False,
            "step": 3,
            "params": ["a", "b"],
        }
    ]
    unnamed = trained(
        SGD, [{"params": [make([1.0], 1.0)]}, {"params": [make([1.0], 1.0)]}], momentum=0.5
    ).state_dict()
    assert list(unnamed["state"]) == [0, 1]
    assert [group["params"] for group in unnamed["param_groups"]] == [[0], [1]]


def test_nothing_before_the_first_step(make) -> None:
    optimizer = Adam(pairs(make))
    assert optimizer.state_dict()["state"] == {}
    other = trained(Adam, pairs(make))
    other.load_state_dict(optimizer.state_dict())
    assert other.state_dict()["state"] == {}


def test_found_by_name_whatever_the_order(make) -> None:
    source = trained(Adam, pairs(make))
    target_pairs = pairs(make)
    target = Adam(target_pairs[::-1])
    target.load_state_dict(source.state_dict())
    assert (
        target.state[target_pairs[1][1]]["exp_avg"].tolist()
        == source.state_dict()["state"]["b"]["exp_avg"].tolist()
    )


def test_groups_are_found_by_their_parameters(make) -> None:
    (a, b), (c, d) = pairs(make), pairs(make)
    source = trained(Adam, [{"params": [a], "lr": 0.5}, {"params": [b], "lr": 0.25}])
    target = Adam([{"params": [d]}, {"params": [c]}])
    target.load_state_dict(source.state_dict())
    assert [group["lr"] for group in target.param_groups] == [0.25, 0.5]


def test_loading_copies(make) -> None:
    source = trained(Adam, pairs(make))
    target = Adam(pairs(make))
    saved = source.state_dict()
    target.load_state_dict(saved)
    before = saved["state"]["a"]["exp_avg"].tolist()
    target.step()
    assert source.state_dict()["state"]["a"]["exp_avg"].tolist() == before


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_what_is_loaded_is_stored_as_the_optimizer_is_asked_to(make, dtype) -> None:
    source, param = trained(Adam, pairs(make)).state_dict(), pairs(make)
    for entry in source["state"].values():
        entry["exp_avg"] = entry["exp_avg"].to(dtype)
    target = Adam(param)
    target.load_state_dict(source)
    target.step()
    assert {target.state[param[0][1]][name].dtype.name for name in ("exp_avg", "exp_avg_sq")} == {"float32"}


def test_schedules_go_on(make) -> None:
    lr = schedule.warmup_cosine(0.1, warmup=2, total=9)
    one, two = pairs(make, "a"), pairs(make, "a")
    source = trained(AdamW, one, lr=lr)
    target = AdamW(two, lr=0.5)
    two[0][1].data.copy_(one[0][1])
    target.load_state_dict(source.state_dict())
    assert target.param_groups[0]["lr"] == lr
    for optimizer in (source, target):
        optimizer.step()
    assert one[0][1].tobytes() == two[0][1].tobytes()


def test_a_lengthened_training_has_its_new_schedule(make) -> None:
    def build(total):
        lr = schedule.linear(1.0, 0.0, steps=total)
        return AdamW(pairs(make), lr=lr, betas=(schedule.linear(0.5, 0.9, steps=total), 0.999))

    short, longer = build(4), build(8)
    short.param_groups[0].update(weight_decay=0.25, betas=(short.param_groups[0]["betas"][0], 0.5))
    for _ in range(4):
        short.step()
    longer.load_state_dict(short.state_dict())
    found = longer.hyperparameters(longer.param_groups[0])
    assert (found["lr"], found["weight_decay"]) == (0.5, 0.25)
    assert found["betas"] == (pytest.approx(0.7), 0.5)
    unlike = AdamW(pairs(make), lr=schedule.constant(0.125))
    saved = short.state_dict()
    saved["param_groups"][0]["lr"] = {"schedule": "gone"}  # a kind that is not known here
    unlike.load_state_dict(saved)
    assert unlike.hyperparameters(unlike.param_groups[0])["lr"] == 0.125
    with pytest.raises(ValueError, match="no schedule is called 'gone'"):
        AdamW(pairs(make)).load_state_dict(saved)


def test_a_lengthened_schedule_gets_the_state_of_its_plateau(make) -> None:
    def build(total):
        plateau = schedule.Plateau(patience=0, factor=0.5)
        return plateau, SGD(pairs(make), lr=schedule.linear(1.0, 0.0, steps=total) * plateau)

    (old, short), (new, longer) = build(4), build(8)
    for _ in range(4):
        short.step()
        old.update(1.0)
    longer.load_state_dict(short.state_dict())
    assert new(0) == old(0) == 0.125
    assert longer.hyperparameters(longer.param_groups[0])["lr"] == 0.0625


def test_hyperparameters_stay_if_asked(make) -> None:
    source = trained(Adam, pairs(make), lr=0.5, betas=(0.5, 0.75))
    source.param_groups[0]["initial_lr"] = 1.0
    target = Adam(pairs(make), lr=0.25, clip_norm=2.0)
    target.load_state_dict(source.state_dict(), hyperparameters="keep")
    group = target.param_groups[0]
    assert (group["lr"], group["betas"], group["clip_norm"], group["initial_lr"]) == (
        0.25,
        (0.9, 0.999),
        2,
        1,
    )
    assert target.state_dict()["state"]["a"]["step"] == 3
    with pytest.raises(
        ValueError, match="Adam: load_state_dict: hyperparameters must be one of 'load', 'keep'"
    ):
        target.load_state_dict(source.state_dict(), hyperparameters="new")


def test_what_schedulers_keep_is_part_of_the_group(make, tmp_path) -> None:
    source = trained(SGD, pairs(make), lr=0.5)
    source.param_groups[0].update(initial_lr=1.0, max_lr=2.0, swa_lr=0.1)
    nx.save(source.state_dict(), tmp_path / "state")
    for saved in (source.state_dict(), nx.load(tmp_path / "state")):
        target = SGD(pairs(make), lr=0.25)
        target.load_state_dict(saved)
        group = target.param_groups[0]
        assert [group[key] for key in ("lr", "initial_lr", "max_lr", "swa_lr")] == [0.5, 1.0, 2.0, 0.1]
    saved["param_groups"][0]["initial_lr"] = "1.0"
    with pytest.raises(ValueError, match="group 0: initial_lr must be a number, got '1.0'"):
        target.load_state_dict(saved)
    with pytest.raises(ValueError, match="unknown key 'initial_speed'"):
        SGD([{"params": pairs(make), "initial_speed": 1.0}])


def test_other_callables_are_kept(make) -> None:
    saved = trained(SGD, pairs(make), lr=lambda t: 0.5).state_dict()
    assert "lr" not in saved["param_groups"][0]
    kept = lambda t: 0.25  # noqa: E731
    target = SGD(pairs(make), lr=kept)
    target.load_state_dict(saved)
    assert target.param_groups[0]["lr"] is kept
    with pytest.raises(ValueError, match="lr is missing"):
        SGD(pairs(make), lr=0.5).load_state_dict(saved)


def test_options_that_were_not_saved_stay(make) -> None:
    source = trained(AdamW, pairs(make), lr=0.1)
    target = AdamW(pairs(make), clip_norm=2.0)
    target.load_state_dict(source.state_dict())
    assert (target.param_groups[0]["lr"], target.param_groups[0]["clip_norm"]) == (0.1, 2.0)
    target.step()


def test_state_of_a_step_of_ones_own(make, plain) -> None:
    (a, b), (c, d) = pairs(make), pairs(make)
    source = trained(plain, [a, b])
    target = plain([c, d])
    target.load_state_dict(source.state_dict())
    assert target.state[c[1]]["velocity"].tolist() == source.state[a[1]]["velocity"].tolist()


def test_through_a_file(make, tmp_path) -> None:
    source = trained(Adam, [make([1.0], 1.0), make([2.0], 1.0)], betas=(0.8, schedule.constant(0.9)))
    nx.save(source.state_dict(), tmp_path / "state")
    target = Adam([make([1.0]), make([2.0])])
    target.load_state_dict(nx.load(tmp_path / "state"))
    assert target.param_groups[0]["betas"] == (0.8, schedule.constant(0.9))


def test_all_mismatches_in_one_error_and_nothing_changes(make) -> None:
    source = trained(Adam, pairs(make, "abc"))
    saved = copy.deepcopy(source.state_dict())
    saved["state"]["a"]["exp_avg"] = Tensor([[1.0]])
    saved["state"]["a"]["step"] = -1
    saved["state"]["b"]["exp_avg_sq"] = Tensor([1, 2])
    del saved["state"]["c"]["exp_avg"]
    saved["state"]["c"]["momentum_buffer"] = Tensor([0.0, 0.0, 0.0])
    saved["param_groups"][0] |= {"betas": (0.9, 1.5), "gamma": 1}
    del saved["param_groups"][0]["eps"]
    target = trained(Adam, pairs(make, "abc"), steps=1)
    before = copy.deepcopy(target.state_dict())
    with pytest.raises(ValueError, match="Adam cannot take over this state, and is unchanged") as error:
        target.load_state_dict(saved)
    for line in (
        "'a': exp_avg has shape (1, 1), the parameter (1,)",
        "'a': step must be an integer ≥ 0, got -1",
        "'b': exp_avg_sq has dtype int64, which does not fit a float32 parameter",
        "'c': exp_avg is missing",
        "'c': this optimizer has no state 'momentum_buffer'",
        "group 0: betas[1] must be a number in [0, 1), got 1.5",
        "group 0: unknown hyperparameter 'gamma'",
        "group 0: eps is missing",
    ):
        assert line in str(error.value)
    after = target.state_dict()
    assert after["param_groups"] == before["param_groups"]
    for key, entry in before["state"].items():
        for name, value in entry.items():
            assert np.array_equal(np.asarray(value), np.asarray(after["state"][key][name]))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda make: pairs(make, "ax"), "the saved state has no parameter 'x'"),
        (lambda make: pairs(make, "ax"), "this optimizer has no parameter 'b'"),
        (lambda make: pairs(make, "a"), "this optimizer has no parameter 'b'"),
        (lambda make: [p for _, p in pairs(make)], "pass model.named_parameters\\(\\) to both or to neither"),
        (lambda make: [{"params": [p]} for p in pairs(make)], "divide the parameters differently"),
    ],
)
def test_other_parameters(make, change, message) -> None:
    with pytest.raises(ValueError, match=message):
        Adam(change(make)).load_state_dict(trained(Adam, pairs(make)).state_dict())


def test_another_optimizers_state(make) -> None:
    with pytest.raises(
        ValueError,
        match=r"unknown hyperparameter 'momentum'(.|\n)*this optimizer has no state 'momentum_buffer'",
    ):
        Adam(pairs(make)).load_state_dict(trained(SGD, pairs(make), momentum=0.5).state_dict())


@pytest.mark.parametrize(
    "saved",
    [{}, [], None, {"state": {}}, {"state": [], "param_groups": []}, {"state": {}, "param_groups": [1]}],
)
def test_no_state_at_all(make, saved) -> None:
    with pytest.raises(ValueError, match=r"Adam: (a saved state is a dict of|each saved group must be)"):
        Adam(pairs(make)).load_state_dict(saved)


def test_float64_state_does_not_fit_float32(make) -> None:
    saved = trained(Adam, [make([1.0], 1.0, "float64")]).state_dict()
    with pytest.raises(ValueError, match="exp_avg has dtype float64, which does not fit a float32 parameter"):
        Adam([make([1.0])]).load_state_dict(saved)


@pytest.mark.parametrize(("names", "options"), [(("m", "m"), {}), (("step",), {}), (("ema",), {"ema": 0.9})])
def test_states_have_names_of_their_own(names, options) -> None:
    class Named(Optimizer):
        states = names

        @staticmethod
        def formula(p, g, *states, lr):
            return p - lr * g, *states

    w = Tensor([1.0], requires_grad=True)
    w.grad = Tensor([1.0])
    optimizer = Named([w], {"lr": 0.1}, **options)
    with pytest.raises(ValueError, match="Named: each state needs a name of its own that is not 'step'"):
        optimizer.step()
    assert w.item() == 1
