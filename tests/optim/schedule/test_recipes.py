"""The usual compositions, by values worked by hand, as other libraries define them."""

from __future__ import annotations

import math

import pytest
from neurenix.optim import schedule as s

FAR = 10**12


def values(schedule, count):
    return [schedule(t) for t in range(count)]


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [
        # Transformers: linear, 2 of 6 steps of warm-up.
        (s.warmup(s.linear(8.0, 0.0, steps=4), steps=2, start="zero"), [0, 4, 8, 6, 4, 2, 0, 0]),
        # Transformers: polynomial of power 2 to 1e-7.
        (
            s.warmup(s.polynomial(1.0, steps=4, end=1e-7, power=2), steps=1, start="zero"),
            [0, 1, *(1e-7 + (1 - 1e-7) * x for x in (0.5625, 0.25, 0.0625)), 1e-7, 1e-7],
        ),
        # Transformers: warm-up, stable, decay, with a least ratio of 0.5, all cosine.
        (
            s.warmup_stable_decay(
                1.0, warmup=2, total=6, decay=2, end=0.5, start="zero", init=0.5, rise="cosine", fall="cosine"
            ),
            [0.5, 0.75, 1, 1, 1, 0.75, 0.5, 0.5],
        ),
        (
            s.warmup_stable_decay(1.0, warmup=0, total=5, decay=4),
            [1, 1, 0.5, 1 - 0.5**0.5, 1 - 0.75**0.5, 0, 0],
        ),
        (s.warmup_stable_decay(1.0, warmup=0, total=2, decay=2, fall="square"), [1, 0.75, 0, 0]),
        (s.warmup_stable_decay(1.0, warmup=2, total=4, decay=2, fall="linear"), [0.5, 1, 1, 0.5, 0]),
        # Fairseq and Transformers: √(warmup/t) after the rise.
        (
            s.warmup_inverse_sqrt(1.0, warmup=4, start="zero"),
            [0, 0.25, 0.5, 0.75, 1, 0.8**0.5, (4 / 6) ** 0.5],
        ),
        (s.warmup_inverse_sqrt(1.0, warmup=1, timescale=3, start="zero"), [0, 1, 0.75**0.5, 0.6**0.5]),
        (s.warmup_inverse_sqrt(1.0, warmup=0, timescale=1), [1, 0.5**0.5]),
        # T5X: 1/√max(t, 4).
        (s.delay(s.inverse_sqrt(0.5, timescale=4), steps=4), [0.5, 0.5, 0.5, 0.5, 0.5, 5**-0.5, 6**-0.5]),
        # Vaswani et al.: the last step of the rise has the highest value, d^(−½)·w^(−½).
        (s.noam(2.0, dim=16, warmup=4), [1 / 16, 2 / 16, 3 / 16, 0.25, 0.5 * 5**-0.5, 0.5 * 6**-0.5]),
        # Optax: warm-up and cosine to alpha = 0.1 of the peak with an exponent of 2, its `decay_steps` with the rise.
        (
            s.warmup(s.cosine(2.0, steps=2, end=0.2, exponent=2), steps=2, start="zero", init=1.0),
            [1, 1.5, 2, 0.2 + 1.8 * 0.25, 0.2, 0.2],
        ),
        # Optax: exponential decay that begins after 2 steps and ends at 0.3.
        (s.delay(s.exponential(1.0, gamma=0.5, end=0.3), steps=2), [1, 1, 1, 0.5, 0.3, 0.3]),
        # Timm: k_decay of 2, and the share of the way squared.
        (
            s.cosine(1.0, steps=4, k=2.0),
            [(1 + math.cos(math.pi * x)) / 2 for x in (0, 1 / 16, 0.25, 9 / 16, 1, 1)],
        ),
    ],
    ids=repr,
)
def test_worked_by_hand(schedule, expected) -> None:
    assert values(schedule, len(expected)) == pytest.approx(expected, rel=1e-12, abs=1e-15)
    assert 0 <= schedule(FAR) < 1e-3 or schedule(FAR) == schedule(len(expected) - 1)


def test_made_of_others() -> None:
    assert s.warmup_inverse_sqrt(1.0, warmup=4) == s.warmup(s.inverse_sqrt(1.0, timescale=4), steps=4)
    assert s.warmup_inverse_sqrt(1.0, warmup=0) == s.warmup(s.inverse_sqrt(1.0), steps=0)
    stored = s.warmup_stable_decay(1.0, warmup=2, total=8, decay=4).to_dict()
    assert s.from_dict(stored) == s.warmup_stable_decay(1.0, warmup=2, total=8, decay=4)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: s.noam(dim=0, warmup=1), "noam: dim must be an integer ≥ 1, got 0"),
        (lambda: s.warmup_inverse_sqrt(1.0, warmup=-1), "warmup must be an integer ≥ 0, got -1"),
        (
            lambda: s.warmup_inverse_sqrt(1.0, warmup=1, timescale=0),
            "warmup_inverse_sqrt: timescale must be an integer ≥ 1, got 0",
        ),
        (
            lambda: s.warmup_cosine(-1.0, warmup=1, total=3),
            "warmup_cosine: value must be a number ≥ 0, got -1.0",
        ),
        (
            lambda: s.warmup_cosine(1.0, warmup=1.5, total=3),
            "warmup_cosine: warmup must be an integer ≥ 0, got 1.5",
        ),
        (
            lambda: s.warmup_cosine(1.0, warmup=1, total=3, end=-1),
            "warmup_cosine: end must be a number ≥ 0, got -1",
        ),
        (
            lambda: s.warmup_cosine(1.0, warmup=1, total=3, start="?"),
            "warmup_cosine: start must be 'one' or 'zero'",
        ),
        (
            lambda: s.warmup_inverse_sqrt(1.0, warmup=1, init=-1),
            "warmup_inverse_sqrt: init must be a number ≥ 0",
        ),
        (
            lambda: s.warmup_stable_decay(1.0, warmup=1, total=3, decay=1, rise="?"),
            "warmup_stable_decay: rise must be 'linear'",
        ),
        (
            lambda: s.warmup_stable_decay(1.0, warmup=1, total=3, decay=1, fall="?"),
            "warmup_stable_decay: fall must be 'linear'",
        ),
        (
            lambda: s.warmup_stable_decay(-1.0, warmup=1, total=3, decay=1),
            "warmup_stable_decay: value must be a number ≥ 0, got -1.0",
        ),
    ],
)
def test_bad_arguments(make, message) -> None:
    with pytest.raises(ValueError, match=message):
        make()
