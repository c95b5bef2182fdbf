"""Averages of weights; scripts/goldens/averaging_torch.py wrote what torch's are."""

from __future__ import annotations

import copy
from pathlib import Path

import neurenix as nx
import pytest
from neurenix import Tensor, nn
from neurenix.optim import lr_scheduler
from neurenix.optim.swa_utils import (
    SWALR,
    AveragedModel,
    get_ema_avg_fn,
    get_ema_multi_avg_fn,
    get_swa_avg_fn,
    get_swa_multi_avg_fn,
    update_bn,
)
from neurenix.testing import assert_close

GOLDEN = nx.load(Path(__file__).parent.parent / "golden" / "averaging.safetensors")
CLOSE = {"rtol": 1e-12, "atol": 1e-14}
WAYS = {
    "mean": [{}, {"avg_fn": get_swa_avg_fn()}],
    "mean_multi": [{"multi_avg_fn": get_swa_multi_avg_fn()}],
    "ema": [{"avg_fn": get_ema_avg_fn(0.8)}],
    "ema_multi": [{"multi_avg_fn": get_ema_multi_avg_fn(0.8)}],
}


def model():
    return nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 2)).double()


def golden(start):
    return {key.removeprefix(start): value for key, value in GOLDEN.items() if key.startswith(start)}


@pytest.mark.parametrize(("name", "options"), [(name, way) for name, ways in WAYS.items() for way in ways])
def test_same_as_torch(name, options):
    moving = model()
    average = AveragedModel(moving, **options)
    for step in range(5):
        moving.load_state_dict(golden(f"model/{step}/"))
        average.update_parameters(moving)
    batches = list(GOLDEN["inputs"])
    for when in ("before", "after"):
        found, expected = average.state_dict(), golden(f"average/{name}/{when}/")
        assert list(found) == ["n_averaged", *(f"module.{key}" for key in moving.state_dict())]
        assert set(found) == set(expected)
        for key, value in expected.items():
            assert_close(found[key], value, **CLOSE)
        update_bn([(batch, None) for batch in batches], average)


def test_buffers_are_averaged_where_asked():
    moving = model()
    average = AveragedModel(moving, use_buffers=True)
    for value in (1.0, 4.0):
        moving[1].running_mean.fill_(value)
        moving[1].num_batches_tracked.fill_(int(value))
        average.update_parameters(moving)
    assert average.module[1].running_mean.tolist() == [2.5] * 4
    assert average.module[1].num_batches_tracked.item() == 4


def test_update_bn_leaves_modes_and_momenta_alone():
    part = model()
    part.eval()
    part[0].train()
    seen = []
    part.register_mode_hook(seen.append)
    before = part.state_dict()["0.weight"].tolist()
    update_bn([GOLDEN["inputs"][0]], part)
    assert [module.training for module in part.modules()] == [False, True, False, False]
    assert seen == []
    assert part[1].momentum == 0.1
    assert part[1].num_batches_tracked.item() == 1
    assert part.state_dict()["0.weight"].tolist() == before
    with pytest.raises(ValueError, match="linear"):
        update_bn([Tensor.ones(2, 7, dtype="float64")], part)
    assert part[1].momentum == 0.1
    assert not part.training
    update_bn(iter(()), nn.Linear(1, 1))


def test_the_average_is_its_own():
    moving = model()
    average = AveragedModel(moving)
    average.update_parameters(moving)
    kept = moving[0].weight.detach().clone()
    with nx.no_grad():
        moving[0].weight.fill_(0.0)
    assert average.module[0].weight.tolist() == kept.tolist()
    loaded = AveragedModel(model())
    loaded.load_state_dict(average.state_dict())
    assert loaded.n_averaged.item() == 1
    x = GOLDEN["inputs"][0]
    assert_close(loaded.eval()(x), average.eval()(x), **CLOSE)


def test_errors_change_nothing():
    with pytest.raises(ValueError, match="avg_fn or multi_avg_fn, not both"):
        AveragedModel(model(), avg_fn=get_swa_avg_fn(), multi_avg_fn=get_swa_multi_avg_fn())
    with pytest.raises(ValueError, match="decay must be a number in"):
        get_ema_avg_fn(1.5)
    average = AveragedModel(model())
    other = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 3)).double()
    before = [value.tolist() for value in average.state_dict().values()]
    with pytest.raises(
        ValueError, match=r"2\.weight of the averaged model has shape \(2, 4\), of the model \(3, 4\)"
    ):
        average.update_parameters(other)
    assert [value.tolist() for value in average.state_dict().values()] == before


def test_the_scheduler_is_that_of_lr_scheduler():
    assert SWALR is lr_scheduler.SWALR


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
@pytest.mark.parametrize(
    "way", [{"multi_avg_fn": get_ema_multi_avg_fn(0.999)}, {"avg_fn": get_ema_avg_fn(0.999)}]
)
def test_averages_of_narrow_models_move(dtype, way):
    """One more value changes them by less than their dtype resolves."""
    part = nn.Sequential(nn.Linear(1, 1, bias=False)).to(dtype)

    def fill(value):
        with nx.no_grad():
            part[0].weight.fill_(value)

    fill(1.0)
    average = AveragedModel(part, **way)
    average.update_parameters(part)
    fill(2.0)
    for _ in range(1000):
        average.update_parameters(part)
    saved = average.state_dict()
    assert set(saved) == {"n_averaged", "module.0.weight", "averages.0/weight"}
    assert saved["averages.0/weight"].dtype.name == "float32"
    other = AveragedModel(part, **way)
    other.load_state_dict(saved)
    copied = copy.deepcopy(average)
    for each in (average, other, copied):
        for _ in range(1000):
            each.update_parameters(part)
        assert each.module[0].weight.dtype.name == dtype
        assert each.module[0].weight.item() == pytest.approx(2 - 0.999**2000, abs=0.004)
    with nx.no_grad():
        average.module[0].weight.fill_(4.0)  # from outside: it goes on from there
    average.update_parameters(part)
    assert average.averages.state_dict()["0/weight"].item() == pytest.approx(4 - 0.002)


def test_averages_of_a_model_that_becomes_narrow_and_states_without_them():
    part = nn.Linear(1, 1, bias=False)
    with nx.no_grad():
        part.weight.fill_(1.0)
    average = AveragedModel(part)
    average.update_parameters(part)
    torch = {name: value.clone() for name, value in average.state_dict().items()}
    for each in (part, average):
        each.to("bfloat16")
    with nx.no_grad():
        part.weight.fill_(2.0)
    for _ in range(999):
        average.update_parameters(part)
    assert average.module.weight.item() == 2.0
    assert average.averages.weight.item() == pytest.approx(2 - 1 / 1000, rel=1e-5)
    average.load_state_dict(torch)
    assert average.averages.weight.item() == average.module.weight.item() == 1.0


def test_narrow_buffers_are_averaged_in_float32():
    part = nn.Sequential(nn.BatchNorm1d(2)).to("bfloat16")
    average = AveragedModel(part, use_buffers=True, multi_avg_fn=get_ema_multi_avg_fn(0.999))
    for value in (1.0, *[2.0] * 2000):
        part[0].running_mean.fill_(value)
        average.update_parameters(part)
    assert average.module[0].running_mean.float().tolist() == pytest.approx([2 - 0.999**2000] * 2, abs=0.004)


def failing(batches):
    yield from batches
    raise OSError("the disk")


@pytest.mark.parametrize("kind", ["empty", "failing", "wrong"])
def test_update_bn_of_a_loader_that_is_empty_or_fails_changes_nothing(kind):
    part = model()
    part(GOLDEN["inputs"][0])
    part.eval()
    before = {key: value.tolist() for key, value in part.state_dict().items()}
    assert before["1.num_batches_tracked"] == 1
    if kind == "empty":
        update_bn([], part)
    elif kind == "failing":
        with pytest.raises(OSError, match="the disk"):
            update_bn(failing([GOLDEN["inputs"][1]]), part)
    else:
        with pytest.raises(ValueError, match="linear"):
            update_bn([GOLDEN["inputs"][1], nx.zeros(2, 7, dtype="float64")], part)
    assert {key: value.tolist() for key, value in part.state_dict().items()} == before
    assert part[1].momentum == 0.1
    assert not any(module.training for module in part.modules())


def test_update_bn_of_an_iterator_that_was_read_already():
    part, spent = model(), iter([GOLDEN["inputs"][0]])
    update_bn(spent, part)
    before = part[1].running_mean.tolist()
    with pytest.raises(ValueError, match="only once"):
        update_bn(spent, part)
    assert part[1].running_mean.tolist() == before
