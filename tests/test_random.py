"""Random numbers: decided by the seed alone, and distributed as they should be."""

import os
import subprocess
import sys

import neurenix
import numpy as np
import pytest
from neurenix import Generator, Tensor

DRAWS = {
    "rand": lambda g: neurenix.rand(100_003, generator=g),
    "randn": lambda g: neurenix.randn(100_003, generator=g),
    "randn double": lambda g: neurenix.randn(50_001, dtype="float64", generator=g),
    "randint": lambda g: neurenix.randint(-5, 1000, (70_001,), generator=g),
    "randperm": lambda g: neurenix.randperm(50_001, generator=g),
    "uniform_": lambda g: neurenix.empty(100_003).uniform_(-1, 1, generator=g),
    "normal_": lambda g: neurenix.empty(100_003).normal_(generator=g),
    "bernoulli_": lambda g: neurenix.empty(100_003).bernoulli_(0.3, generator=g),
    "dropout": lambda g: neurenix.nn.functional.dropout(neurenix.ones(100_003), 0.3, generator=g),
}
each = pytest.mark.parametrize("draw", DRAWS.values(), ids=DRAWS.keys())


@each
def test_seed_decides(draw):
    first = draw(Generator(7)).tobytes()
    assert draw(Generator(7)).tobytes() == first
    assert draw(Generator(8)).tobytes() != first


@each
def test_global_seed_decides(draw):
    neurenix.manual_seed(7)
    first, second = draw(None).tobytes(), draw(None).tobytes()
    neurenix.manual_seed(7)
    assert draw(None).tobytes() == first
    assert draw(None).tobytes() == second != first


def test_threads_do_not_matter():
    script = """
import hashlib, neurenix
from neurenix import Generator
for k in (1, 2, 3):
    neurenix.set_num_threads(k)
    assert neurenix.get_num_threads() == k
    x = neurenix.randn(300_001, generator=Generator(3))
    y = neurenix.rand(300_001, generator=Generator(3))
    d = neurenix.nn.functional.dropout(y, 0.4, generator=Generator(3))
    m = (x[:90_000].reshape(300, 300) @ y[:90_000].reshape(300, 300))
    total = (x * y).sum() + x.exp().mean() + m.softmax(1).sum(0).norm()
    print(hashlib.sha256(b"".join(t.tobytes() for t in (x, y, d, m, total))).hexdigest())
"""
    lines = []
    for threads in ("1", "3"):
        environment = {**os.environ, "NEURENIX_NUM_THREADS": threads}
        result = subprocess.run(
            [sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True
        )
        lines += result.stdout.split()
    assert len(lines) == 6
    assert len(set(lines)) == 1


def test_the_environment_sets_the_threads():
    script = "import neurenix; print(neurenix.get_num_threads())"
    environment = {**os.environ, "NEURENIX_NUM_THREADS": "3"}
    result = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, check=True)
    assert result.stdout.split() == [b"3"]


def test_offset_continues_a_stream():
    whole = Generator(5)
    first, second = neurenix.randn(8, generator=whole), neurenix.randn(8, generator=whole)
    resumed = Generator(5)
    neurenix.randn(8, generator=resumed)
    saved = resumed.offset
    later = Generator(5)
    later.offset = saved
    assert neurenix.randn(8, generator=later).tolist() == second.tolist() != first.tolist()
    assert later.manual_seed(5) is later
    assert neurenix.randn(8, generator=later).tolist() == first.tolist()


def test_seeds_of_64_bits():
    assert Generator(2**64 - 1).seed == Generator(-1).seed == 2**64 - 1
    assert Generator(-(2**63)).seed == 2**63


def test_uniform():
    x = neurenix.rand(1_000_000).numpy()
    assert 0 <= x.min() < 1e-5
    assert 1 - 1e-5 < x.max() < 1
    counts = np.bincount((x * 100).astype(int), minlength=100)
    # Chi-squared of 99 degrees of freedom: 99 +- 14.
    assert abs(((counts - 10_000) ** 2 / 10_000).sum() - 99) < 70
    assert abs(np.corrcoef(x[:-1], x[1:])[0, 1]) < 0.005


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_normal(dtype):
    x = neurenix.randn(1_000_000, dtype=dtype).numpy().astype(float)
    assert abs(x.mean()) < 0.005
    assert abs(x.std() - 1) < 0.004
    assert abs((x**3).mean()) < 0.02
    assert abs((x**4).mean() - 3) < 0.05
    assert 4 < np.abs(x).max() < 7
    assert abs((x < 1).mean() - 0.841345) < 0.002


def test_integers_and_permutations():
    x = neurenix.randint(3, 9, (60_000,)).numpy()
    assert set(x) == set(range(3, 9))
    assert np.abs(np.bincount(x)[3:] - 10_000).max() < 500
    assert sorted(neurenix.randperm(1000).tolist()) == list(range(1000))
    firsts = [neurenix.randperm(4)[0].item() for _ in range(400)]
    assert {firsts.count(k) > 60 for k in range(4)} == {True}


def test_bernoulli_and_dropout():
    assert abs(neurenix.empty(100_000).bernoulli_(0.3).mean().item() - 0.3) < 0.01
    x = neurenix.nn.functional.dropout(neurenix.ones(100_000), 0.3)
    assert set(np.round(np.unique(x.numpy()), 5)) == {np.float32(0), np.round(np.float32(1 / 0.7), 5)}
    assert abs(x.mean().item() - 1) < 0.01


def test_no_bits_are_shared_between_draws():
    a, b = neurenix.rand(1000), neurenix.rand(1000)
    assert not (a == b).any()
    assert isinstance(a, Tensor)
