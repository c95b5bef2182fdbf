"""States in few bits train to the loss of float32 states: the means of five seeds lie within the spread of float32."""

from __future__ import annotations

import functools
from collections.abc import Callable

import neurenix as nx
import numpy as np
import pytest
from neurenix import Tensor, nn, optim

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
