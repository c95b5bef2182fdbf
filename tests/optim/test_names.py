"""Optimizers by name: all there are, and each trains what `neurenix train` trains."""

import inspect

import neurenix as nx
import pytest
from neurenix import data, nn, optim, train
from neurenix.optim.names import REFUSED, USUAL, names

# Made for other things: linear models; full batches; runs long enough to find the distance.
SLOW = {"ftrl": 1.2, "dog": 1.2, "rprop": 1.2, "dadapt_adam": 1.2}


@pytest.fixture(scope="module")
def iris():
    return train.Options().prepare(data.read("iris"))


def test_every_optimizer_has_a_name_or_a_reason_why_not():
    kinds = {entry.kind for entry in names().values()}
    left = {kind for kind in vars(optim.algorithms).values() if inspect.isclass(kind)} - kinds
    assert {kind.__module__.rpartition(".")[2] for kind in left} <= set(REFUSED)
    assert set(USUAL) <= set(names())
    assert names()["adam_atan2"].kind is optim.AdamAtan2
    assert names()["momo_adam"].kind is optim.MoMoAdam


@pytest.mark.parametrize("name", names())
def test_each_learns_in_training(name, iris):
    run = train.Run(iris, train.Options(hidden=(16,), optimizer=name, epochs=60, batch_size=32))
    train.fit(run)
    loss, _ = train.evaluate(run, run.x, run.y)
    assert loss < SLOW.get(name, 0.75)  # it begins at 1.1, and 0.35 is the least with smoothed labels


@pytest.mark.parametrize("name", names())
def test_the_line_builds_the_same(name):
    def steps(make):
        nx.manual_seed(0)
        model = nn.Sequential(nn.Linear(3, 8), nn.Tanh(), nn.Linear(8, 1))
        x = nx.randn(16, 3)
        optimizer = make(model)

        def closure():
            optimizer.zero_grad()
            loss = (model(x) - x.sum(1, keepdim=True)).square().mean()
            loss.backward()
            return loss

        for _ in range(3):
            optimizer.step(closure)
        model.eval()
        return [param.tolist() for param in model.parameters()]

    def by_line(model):
        space = {"optim": optim, "model": model}
        exec(optim.named(name).line(), space)
        return space["optimizer"]

    assert steps(optim.named(name)) == steps(by_line)


def test_biases_do_not_decay_however_parameters_are_given():
    model = nn.Linear(2, 3)
    entry = optim.named("adamw")
    for params in (model, model.named_parameters(), model.parameters()):
        decays = {
            p.ndim: g["weight_decay"] for g in entry(params, 0.1, 0.2).param_groups for p in g["params"]
        }
        assert decays == {2: 0.2, 1: 0.0}
    (group,) = entry([{"params": [model.bias], "weight_decay": 0.3}]).param_groups
    assert group["weight_decay"] == 0.3


def test_muon_gets_hidden_matrices():
    model = nn.Sequential(nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 4))
    for params in (model, model.parameters(), list(model.named_parameters())):
        groups = optim.named("lookahead+muon")(params, 0.1).param_groups
        routed = {tuple(param.shape): group["use_muon"] for group in groups for param in group["params"]}
        assert routed == {(8, 8): True, (8,): False, (4, 8): params is not model, (4,): False}
        assert {group["lr"] for group in groups} == {0.1}
    assert "optim.muon_groups(model, aux_lr=None)" in optim.named("muon").line()


def test_wrappers_go_around_any():
    model = nn.Linear(2, 3)
    optimizer = optim.named("lookahead+mechanic+lion")(model, lr=0.5)
    assert isinstance(optimizer, optim.Lookahead)
    assert isinstance(optimizer.base, optim.Mechanic)
    assert isinstance(optimizer.base.base, optim.Lion)
    assert optimizer.param_groups[0]["lr"] == 0.5
    assert optim.named("SAM+Schedule-Free-AdamW").name == "sam+schedule_free_adamw"
    assert optim.named("mechanic+sgd").lr == 1.0
    assert optim.named("lookahead+sgd").lr == optim.named("sgd").lr


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("adem", "there is no optimizer 'adem'; there are adam"),
        ("sophia", "optimizer sophia: needs update_hessian"),
        ("sgd+adam", "sgd goes around no other optimizer"),
        ("lookahead+sam", "lookahead cannot go around sam, which has a step of its own"),
        ("sam+lbfgs", "sam cannot go around lbfgs"),
        ("sam+nothing", "no optimizer 'nothing'"),
        ("", "no optimizer ''"),
    ],
)
def test_bad_names(name, message):
    with pytest.raises(ValueError, match=message.replace("+", r"\+")):
        optim.named(name)


def test_a_name_is_a_text():
    with pytest.raises(TypeError, match="must be a text"):
        optim.named(optim.SGD)


def test_averages_follow_their_model():
    model = nn.Linear(2, 1)
    optimizer = optim.named("schedule_free_sgd")(model, lr=0.5)
    for _ in range(3):
        optimizer.zero_grad()
        model(nx.ones(4, 2)).sum().backward()
        optimizer.step()
    inside = model.weight.tolist()
    model.eval()
    assert model.weight.tolist() != inside
    model.train()
    assert model.weight.tolist() == inside


@pytest.mark.parametrize("name", ["schedule_free", "lbfgs", "sam", "momo", "prodigy", "lookahead+lion"])
def test_a_run_goes_on_bit_for_bit_and_predicts_what_it_measured(name, iris, tmp_path):
    table = data.read("iris")
    options = train.Options(hidden=(8,), optimizer=name, epochs=3, batch_size=32)
    whole = train.Run(iris, options)
    records = train.fit(whole)
    cut = train.Run(iris, options)
    train.fit(cut, [train.Saver(tmp_path / "during", 0)], stop=lambda: cut.step == 6)
    cut.save(tmp_path / "c.safetensors")
    resumed = train.Run.resume(nx.load(tmp_path / "c.safetensors"), table)
    assert train.fit(resumed)[-1].val_loss == records[-1].val_loss
    resumed.save(tmp_path / "c.safetensors")
    labels, _ = train.Predictor(tmp_path / "c.safetensors")(table)
    truth = table.columns["class"].tolist()
    accuracies = [train.evaluate(whole, x, y)[1] for x, y in ((whole.x, whole.y), (whole.x_val, whole.y_val))]
    right = sum(label == true for label, true in zip(labels, truth, strict=True))
    assert right == pytest.approx(accuracies[0] * len(whole.x) + accuracies[1] * len(whole.x_val))


def test_the_usual_schedule_and_decay(iris):
    assert train.Options().shape == "cosine"
    assert train.Options(optimizer="schedule_free").shape == "constant"
    assert train.Options(optimizer="schedule_free", schedule="linear").shape == "linear"
    run = train.Run(iris, train.Options(hidden=(4,), optimizer="lion"))
    decays = {group["weight_decay"] for group in run.optimizer.param_groups}
    assert decays == {optim.named("lion").weight_decay, 0.0}
    assert "weight_decay" in inspect.signature(optim.Lion).parameters
