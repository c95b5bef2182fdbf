"""Averages in place of the weights."""

from __future__ import annotations

import copy
import pickle
import warnings
import weakref

import neurenix as nx
import pytest
from neurenix import Tensor, nn, optim
from neurenix.checkpoint import load_checkpoint, save_checkpoint


@pytest.fixture
def averaging():
    """A parameter at 0.7 whose average is 0.775, and its optimizer."""
    w = Tensor([1.0], requires_grad=True)
    optimizer = optim.SGD([w], lr=0.1, ema=0.5)
    for _ in range(3):
        w.grad = Tensor([1.0])
        optimizer.step()
    return w, optimizer


def test_a_step_inside_the_context_is_an_error_instead_of_being_lost(averaging) -> None:
    w, optimizer = averaging
    for act in (optimizer.step, optimizer.state_dict, lambda: (w * 1).sum().backward(optimizer=optimizer)):
        with optimizer.ema(), pytest.raises(RuntimeError, match=r"leave ema\(\)"):
            act()
    assert w.item() == pytest.approx(0.7)
    assert optimizer.state[w]["step"] == 3
    optimizer.step()
    assert w.item() == pytest.approx(0.6)


def test_contexts_may_be_nested_and_end_by_errors(averaging) -> None:
    w, optimizer = averaging
    with pytest.raises(KeyError), optimizer.ema():
        with optimizer.ema():
            assert w.item() == pytest.approx(0.775)
        assert w.item() == pytest.approx(0.775)
        raise KeyError
    assert w.item() == pytest.approx(0.7)


def test_train_ends_the_average_early(averaging) -> None:
    w, optimizer = averaging
    with optimizer.ema():
        optimizer.train()
        assert w.item() == pytest.approx(0.7)
        w.grad = Tensor([1.0])
        optimizer.step()
    assert w.item() == pytest.approx(0.6)


def test_evaluation_weights_of_a_rule_come_back_after_the_context() -> None:
    w = Tensor([1.0], requires_grad=True)
    optimizer = optim.ScheduleFreeSGD([w], lr=0.1, ema=0.5)
    for _ in range(4):
        w.grad = Tensor([1.0])
        optimizer.step()
    trained = w.item()
    optimizer.eval()
    evaluated = w.item()
    with optimizer.ema():
        assert w.item() not in (trained, evaluated)
    assert w.item() == evaluated
    optimizer.train()
    assert w.item() == trained


# Who exchanges the weights of a model
def fit(model: nn.Module, optimizer: optim.Optimizer, steps: int = 3) -> None:
    for _ in range(steps):
        optimizer.zero_grad()
        (model(nx.ones(4, 2)) ** 2).mean().backward()
        optimizer.step()


def weights(model: nn.Module) -> list:
    return [param.tolist() for param in model.parameters()]


EXCHANGING = {
    "Schedule-Free": lambda model: optim.ScheduleFreeAdamW(model, lr=0.1),
    "SPlus": lambda model: optim.SPlus(model, lr=0.1),
    "around another": lambda model: followed(
        optim.ScheduleFree(optim.SGD(model.parameters(), lr=0.1)), model
    ),
    "Lookahead": lambda model: followed(optim.Lookahead(optim.SGD(model.parameters(), lr=0.1)), model),
    "around one that follows": lambda model: optim.Grokfast(optim.ScheduleFreeSGD(model, lr=0.1)),
}


def followed(optimizer: optim.Optimizer, model: nn.Module) -> optim.Optimizer:
    optimizer.follow(model)
    return optimizer


@pytest.fixture
def model() -> nn.Module:
    nx.manual_seed(0)
    return nn.Linear(2, 1)


@pytest.mark.parametrize("make", EXCHANGING.values(), ids=EXCHANGING)
def test_an_optimizer_that_is_gone_switches_nothing(model, make) -> None:
    optimizer = make(model)
    fit(model, optimizer)
    trained = weights(model)
    model.eval()
    assert weights(model) != trained
    model.train()
    assert weights(model) == trained
    gone = weakref.ref(optimizer)
    optimizer = optim.SGD(model.parameters(), lr=0.1)
    assert gone() is None, "nothing but the variable held it, no cycle either"
    fit(model, optimizer)
    trained = weights(model)
    model.eval()
    assert weights(model) == trained


@pytest.mark.parametrize("make", EXCHANGING.values(), ids=EXCHANGING)
def test_an_optimizer_that_is_replaced_switches_nothing(model, make) -> None:
    former = make(model)  # a scheduler, say, keeps it
    fit(model, former)
    optimizer = optim.SGD(model.parameters(), lr=0.1)
    fit(model, optimizer)
    trained = weights(model)
    model.eval()
    assert weights(model) == trained
    former.eval()  # it still can by itself
    former.train()
    assert weights(model) == trained


@pytest.mark.parametrize("make", EXCHANGING.values(), ids=EXCHANGING)
@pytest.mark.parametrize("evaluated", [False, True])
def test_the_same_cell_twice(model, make, evaluated: bool) -> None:
    optimizer = make(model)
    fit(model, optimizer)
    trained = weights(model)
    if evaluated:
        model.eval()
    optimizer = make(model)  # while the former still lives
    assert weights(model) == trained
    model.train()
    assert weights(model) == trained
    fit(model, optimizer)
    trained = weights(model)
    model.eval()
    assert weights(model) != trained
    model.train()
    assert weights(model) == trained


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda model: optim.swa_utils.AveragedModel(model).module])
def test_copies_of_a_model_carry_no_optimizer(model, copied) -> None:
    optimizer = optim.ScheduleFreeAdamW(model, lr=0.1)
    fit(model, optimizer)
    twin = copied(model)
    trained = weights(model)
    twin.eval()
    assert (weights(model), weights(twin)) == (trained, trained)
    model.eval()
    assert weights(model) != trained
    assert weights(twin) == trained
    assert len(pickle.dumps(twin)) < 2 * len(pickle.dumps(nn.Linear(2, 1)))


@pytest.mark.parametrize(
    "load",
    [
        lambda model, state: model.load_state_dict(state),
        lambda model, state: [p.copy_(state[name]) for name, p in model.named_parameters()],
        lambda model, state: [
            setattr(p, "data", state[name].clone()) for name, p in model.named_parameters()
        ],
        lambda model, state: [
            setattr(p, "_numpy_data", state[name].numpy()) for name, p in model.named_parameters()
        ],
    ],
)
def test_weights_that_are_loaded_meanwhile_stay(model, load) -> None:
    optimizer = optim.ScheduleFreeAdamW(model, lr=0.1)
    fit(model, optimizer)
    loaded = {name: param.detach() + 1 for name, param in model.named_parameters()}
    model.eval()
    with nx.no_grad():
        load(model, loaded)
    model.train()
    assert weights(model) == [value.tolist() for value in loaded.values()]
    fit(model, optimizer)


def test_a_checkpoint_that_is_loaded_meanwhile_stays(model, tmp_path) -> None:
    optimizer = optim.ScheduleFreeAdamW(model, lr=0.1)
    fit(model, optimizer)
    save_checkpoint(tmp_path / "saved", model=model, optimizer=optimizer)
    saved = weights(model)
    fit(model, optimizer)
    model.eval()
    load_checkpoint(tmp_path / "saved", model=model, optimizer=optimizer)
    model.train()
    assert weights(model) == saved
    assert optimizer.state[model.weight]["step"] == 3


def test_only_parameters_that_were_written_keep_what_they_have(model) -> None:
    optimizer = optim.ScheduleFreeAdamW(model, lr=0.1)
    fit(model, optimizer)
    trained = weights(model)
    model.eval()
    with nx.no_grad():
        model.bias.fill_(7.0)
    with followed_average(optimizer):
        assert model.bias.item() == 7.0
    model.train()
    assert weights(model) == [trained[0], [7.0]]


def followed_average(optimizer: optim.Optimizer):
    """Other values in place within those for evaluation."""
    (group,) = optimizer.param_groups
    weight, _ = group["params"]
    return optimizer._exchange.averages({weight: nx.zeros(1, 2)})


def test_what_is_written_within_an_average_stays(averaging) -> None:
    w, optimizer = averaging
    with optimizer.ema():
        w.data = Tensor([5.0])
    assert w.item() == 5.0


def test_only_the_model_that_is_followed_switches(model) -> None:
    whole = nn.Sequential(nn.Linear(2, 2), model)
    optimizer = optim.ScheduleFreeAdamW(whole, lr=0.1)
    fit(whole, optimizer)
    trained = weights(whole)
    model.eval()  # a part, such as a batch norm that is frozen
    assert weights(whole) == trained
    nn.Sequential(whole).eval()
    assert weights(whole) != trained
    whole.train()
    assert weights(whole) == trained


@pytest.mark.parametrize(
    "make",
    [
        lambda params: optim.ScheduleFreeAdamW(params, lr=0.1),
        lambda params: optim.Lookahead(optim.SGD(params, lr=0.1)),
        lambda params: copy.deepcopy(optim.ScheduleFreeSGD(params), {id(p): p for p in params}),
    ],
)
def test_parameters_alone_are_warned_of_once(model, make) -> None:
    optimizer = make(list(model.parameters()))
    model.eval()  # nothing to exchange yet
    fit(model, optimizer)
    with pytest.warns(
        UserWarning, match=r"eval\(\) of the Linear does not put them in place: call optimizer.follow"
    ):
        model.eval()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model.eval()
        nn.Linear(2, 1).eval()
        optimizer.follow(model)
        trained = weights(model)
        model.eval()
    assert weights(model) != trained


def test_who_switches_by_hand_is_not_warned(model) -> None:
    optimizer = optim.ScheduleFreeAdamW(model.parameters(), lr=0.1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for _ in range(2):
            model.train()
            optimizer.train()
            fit(model, optimizer)
            model.eval()
            optimizer.eval()
    other = optim.SGD(model.parameters(), lr=0.1)
    fit(model, other)
    model.eval()
