"""States in few bits train to the loss of float32 states: the means of five seeds lie within the spread of float32."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import neurenix as nx
import numpy as np
import pytest
from neurenix import Tensor, nn, optim
from neurenix.optim import names

SEEDS = range(5)
WORDS = [
    "the",
    "a",
    "small",
    "large",
    "red",
    "blue",
    "cat",
    "dog",
    "bird",
    "sees",
    "likes",
    "finds",
    "in",
    "near",
    "tree",
]


class Digits:
    """Handwritten digits and a perceptron."""

    def __init__(self) -> None:
        sets = pytest.importorskip("sklearn.datasets")
        images, labels = sets.load_digits(return_X_y=True)
        order = np.random.default_rng(0).permutation(len(labels))
        x, y = Tensor(images[order] / 16, dtype="float32"), Tensor(labels[order])
        self.train, self.validation = (x[:1400], y[:1400]), (x[1400:], y[1400:])

    def model(self) -> nn.Module:
        return nn.Sequential(nn.Linear(64, 96), nn.ReLU(), nn.Linear(96, 64), nn.ReLU(), nn.Linear(64, 10))


class Characters:
    """The next character after eight of them, in sentences of random words."""

    context = 8

    def __init__(self) -> None:
        rng = np.random.default_rng(0)
        text = " ".join(rng.choice(WORDS, 1200))
        letters = sorted(set(text))
        codes = np.array([letters.index(letter) for letter in text])
        windows = np.lib.stride_tricks.sliding_window_view(codes, self.context + 1)
        x, y = Tensor(windows[:, :-1].copy()), Tensor(windows[:, -1].copy())
        self.letters = len(letters)
        self.train, self.validation = (x[:4000], y[:4000]), (x[4000:], y[4000:])

    def model(self) -> nn.Module:
        width = 12 * self.context
        return nn.Sequential(
            nn.Embedding(self.letters, 12),
            nn.Flatten(),
            nn.Linear(width, 96),
            nn.ReLU(),
            nn.Linear(96, self.letters),
        )


def trained(task: Digits | Characters, seed: int, kind: str, epochs: int) -> tuple[float, optim.Optimizer]:
    """The validation loss at the end, and the optimizer."""
    nx.manual_seed(seed)
    model = task.model()
    x, y = task.train
    size = 64
    total = epochs * (len(x) // size)
    optimizer = optim.AdamW(
        model.parameters(), lr=optim.schedule.cosine(4e-3, steps=total), weight_decay=0.01, state_dtype=kind
    )
    rng = np.random.default_rng(seed)
    for _ in range(epochs):
        order = rng.permutation(len(x))
        for first in range(0, len(order) - size + 1, size):
            chosen = Tensor(order[first : first + size])
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(x[chosen]), y[chosen]).backward()
            optimizer.step()
    with nx.no_grad():
        return nn.functional.cross_entropy(model(task.validation[0]), task.validation[1]).item(), optimizer


@pytest.fixture(scope="module", params=[(Digits, 8), (Characters, 4)], ids=["digits", "characters"])
def train(request: pytest.FixtureRequest) -> Callable[[str], np.ndarray]:
    """`train(state_dtype)`: the validation losses of all seeds; those of float32 are found once."""
    kind, epochs = request.param
    task = kind()

    @functools.cache
    def train(state_dtype: str) -> np.ndarray:
        losses = []
        for seed in SEEDS:
            loss, optimizer = trained(task, seed, state_dtype, epochs)
            losses.append(loss)
        stored = "uint8" if state_dtype.startswith("int") else state_dtype
        large = [p for group in optimizer.param_groups for p in group["params"] if p.numel() >= 4096]
        assert large
        for param in large:
            for state in ("exp_avg", "exp_avg_sq"):
                assert optimizer.state[param][state].dtype == getattr(nx, stored)
        return np.array(losses)

    return train


@pytest.mark.parametrize("state_dtype", ["bfloat16", "int8"])
def test_the_mean_lies_among_the_losses_of_float32(train, state_dtype: str) -> None:
    full = train("float32")
    assert full.min() < train(state_dtype).mean() < full.max()


def test_int4_stays_within_two_standard_deviations(train) -> None:
    """Four bits cost a little: on digits about one standard deviation."""
    full = train("float32")
    assert abs(train("int4").mean() - full.mean()) < 2 * full.std(ddof=1)


def test_it_has_learned(train) -> None:
    """Or the comparisons would mean nothing: guessing gives log 10 and about 2.8."""
    assert train("float32").max() < 0.9


# Every optimizer of the catalogue in every format, on a regression.
FORMATS = ("bfloat16", "float16", "int8", "int4")
ROWS, WIDTH, STEPS = 1024, 64, 60
RATES = {"asgd": 0.05, "dadapt_lion": 3.0, "dog": 3.0, "lars": 1.0, "schedule_free_sgd": 0.1}
CASES: dict[str, dict[str, Any]] = {name: {} for name in names.names() if name != "lbfgs"} | {
    "adam amsgrad": {"amsgrad": True},
    "adabelief amsgrad": {"amsgrad": True},
    "adabelief rectify": {"rectify": True},
    "adafactor momentum": {"momentum": 0.9},
    "madgrad no momentum": {"momentum": 0.0},
    "mars lion": {"kind": "lion", "lr": 0.002},
    "rmsprop centered": {"centered": True, "momentum": 0.9},
    "sm3 momentum": {"momentum": 0.9},
    "adamw ema": {"ema": 0.9},
}
CLASSES = {"sophia": optim.Sophia, "sparse_adam": optim.SparseAdam}


def built(case: str, model: nn.Module, **options: Any) -> optim.Optimizer:
    """The optimizer of a case with what suits small models; the option is the inner one's where it is a wrapper."""
    name = case.partition(" ")[0]
    if name in CLASSES:
        return CLASSES[name](model.parameters(), lr=0.003, **options)
    own = dict(CASES[case])
    found = names.named(name)
    lr = own.pop("lr", RATES.get(name, found.lr))
    if found.around is not None:
        found = replace(found, around=replace(found.around, arguments={**found.around.arguments, **options}))
    else:
        found = replace(found, arguments={**found.arguments, **own, **options})
    return found(model, lr=lr if found.schedule == "constant" else optim.schedule.cosine(lr, steps=STEPS))


@functools.cache
def regression() -> tuple[Tensor, Tensor]:
    """Columns of many scales, so that the squares of a block's gradients have many, too."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(ROWS + 512, WIDTH)) * np.logspace(-1, 0.3, WIDTH)
    y = np.tanh(x @ rng.normal(size=(WIDTH, 16)) / 8) @ rng.normal(size=16) + 0.1 * rng.normal(size=len(x))
    return Tensor(x, dtype="float32"), Tensor(y[:, None], dtype="float32")


@functools.cache
def regressed(case: str, seed: int, state_dtype: str | None) -> tuple[float, float, tuple[str, ...]]:
    """The loss on rows that were held out, before and after the training, and the dtypes of a weight's states."""
    nx.manual_seed(seed)
    model = nn.Sequential(nn.Linear(WIDTH, WIDTH), nn.Tanh(), nn.Linear(WIDTH, 1))
    x, y = regression()

    def loss(rows: Any) -> Tensor:
        return nn.functional.mse_loss(model(x[rows]), y[rows])

    with nx.no_grad():
        before = loss(slice(ROWS, None)).item()
    options = {} if state_dtype is None else {"state_dtype": state_dtype}
    optimizer = built(case, model, **options)
    rng = np.random.default_rng(seed)
    for step in range(STEPS):
        rows = Tensor(rng.integers(0, ROWS, 64))

        def closure(rows: Tensor = rows) -> Tensor:
            optimizer.zero_grad()
            value = loss(rows)
            value.backward()
            return value

        if isinstance(optimizer, (optim.SAM, optim.MoMo)):
            optimizer.step(closure)
            continue
        closure()
        if case == "sophia" and step % 10 == 0:
            optimizer.update_hessian()
        optimizer.step()
    model.eval()
    with nx.no_grad(), optimizer.ema() if case == "adamw ema" else contextlib.nullcontext():
        after = loss(slice(ROWS, None)).item()
    entry = optimizer.state[model[0].weight]
    kinds = tuple(value.dtype.name for value in entry.values() if isinstance(value, Tensor))
    return before, after, kinds


@pytest.mark.parametrize("state_dtype", FORMATS)
@pytest.mark.parametrize("case", [*CASES, *CLASSES])
def test_every_optimizer_trains_as_in_float32(case: str, state_dtype: str) -> None:
    before, *_ = zip(*(regressed(case, seed, None) for seed in SEEDS), strict=True)
    full = np.array([regressed(case, seed, None)[1] for seed in SEEDS])
    assert full.max() < 0.9 * min(before), "it has not learned, so that nothing is compared"
    few = np.array([regressed(case, seed, state_dtype)[1] for seed in SEEDS[:2]])
    assert abs(few.mean() - full[:2].mean()) < (full.max() - full.min()) / 2


def test_most_optimizers_have_states_in_every_format() -> None:
    """Or the comparisons would be of float32 with itself."""
    for state_dtype, stored in (
        ("bfloat16", "bfloat16"),
        ("float16", "float16"),
        ("int8", "uint8"),
        ("int4", "uint8"),
    ):
        assert sum(stored in regressed(case, 0, state_dtype)[2] for case in CASES) >= 50
