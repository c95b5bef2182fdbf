"""What holds for every schedule, and for whatever is made of them."""

from __future__ import annotations

import copy
import itertools
import json
import math

import neurenix as nx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from neurenix.optim import AdamW
from neurenix.optim import schedule as s

values = st.floats(0, 10, allow_subnormal=False)
positive = st.floats(1e-3, 10)
counts = st.integers(0, 40)
lengths = st.integers(1, 40)
falls = st.sampled_from(["linear", "cosine", "sqrt", "square", "exponential"])

flags = st.booleans()
modes = st.sampled_from(["triangular", "triangular2"])

shapes = st.one_of(
    st.builds(s.constant, values),
    st.builds(s.constant_factor, values, factor=values, steps=counts),
    st.builds(s.linear, values, values, steps=counts),
    st.builds(s.polynomial, values, steps=counts, end=values, power=positive, k=positive, cycle=flags),
    st.builds(s.cosine, values, steps=counts, end=values, exponent=positive, periodic=flags),
    st.builds(s.exponential, values, gamma=st.floats(0, 1), steps=lengths, staircase=flags),
    st.builds(s.inverse_time, values, rate=values, steps=lengths, staircase=flags),
    st.builds(s.inverse_sqrt, values, timescale=lengths),
    st.builds(s.rex, values, steps=counts, end=values),
    st.builds(s.tanh, values, steps=counts, end=values),
    st.builds(s.anneal, values, steps=counts, end=values, shape=falls),
    st.builds(s.step, values, every=lengths, gamma=st.floats(0, 1)),
    st.builds(s.multi_step, values, milestones=st.lists(counts), gamma=st.floats(0, 1)),
    st.builds(s.cosine_restarts, values, steps=counts, cycles=lengths, end=values),
    st.builds(
        s.warm_restarts,
        values,
        steps=lengths,
        mult=st.sampled_from([1, 1.5, 2, 3]),
        end=values,
        inclusive=flags,
    ),
    st.builds(
        s.cyclic,
        values,
        values,
        up=lengths,
        down=counts,
        mode=st.sampled_from(["triangular", "triangular2"]),
        inverse=flags,
    ),
    st.builds(s.one_cycle, values, steps=lengths, rise=st.floats(0, 0.5), three_phase=flags),
    st.builds(s.chebyshev, values, steps=lengths),
)


def composed(parts):
    return st.one_of(
        st.builds(
            s.warmup, parts, steps=counts, start=st.sampled_from(["one", "zero"]), init=values, shape=falls
        ),
        st.builds(s.delay, parts, steps=counts),
        st.builds(lambda a, b: a * b, parts, parts),
        st.builds(lambda x, a: x * a, values, parts),
        st.builds(
            lambda parts, gaps: s.join(parts, at=[sum(gaps[: i + 1]) for i in range(len(parts) - 1)]),
            st.lists(parts, min_size=1, max_size=4),
            st.lists(lengths, min_size=3, max_size=3),
        ),
    )


chains = st.recursive(shapes, composed, max_leaves=6)


@settings(max_examples=60)
@given(chains, st.integers(0, 10**15))
def test_never_raises_and_never_leaves_the_numbers(schedule, far) -> None:
    for t in (*range(0, 100, 7), far, far + 0.5):
        value = schedule(t)
        assert isinstance(value, float)
        assert value >= 0
        assert math.isfinite(value)
    assert schedule(-far) == schedule(0)


@settings(max_examples=60)
@given(chains)
def test_pure_and_stored(schedule) -> None:
    before = [schedule(t) for t in range(90)]
    twin = s.from_dict(json.loads(json.dumps(schedule.to_dict())))
    assert twin == schedule
    assert hash(twin) == hash(schedule)
    assert [twin(t) for t in reversed(range(90))] == before[::-1]
    assert schedule.is_data()


@given(shapes, counts, counts, falls)
def test_warmup_meets_what_follows(then, steps, t, shape) -> None:
    for start in ("one", "zero"):
        warm = s.warmup(then, steps=steps, start=start, shape=shape)
        assert warm(steps + t) == then(t)
        rise = [*(warm(i) for i in range(steps)), then.start()]
        assert all(a <= b + 1e-12 for a, b in itertools.pairwise(rise))
        assert then.start() == then(0) or then.arguments["steps"] == 0
        if steps and start == "one":
            assert warm(steps - 1) == then.start()
        if steps:
            assert rise[0] == 0 or start == "one"


@given(st.lists(shapes, min_size=3, max_size=3), lengths, lengths, counts)
def test_join_is_associative(parts, first, second, t) -> None:
    a, b, c = parts
    flat = s.join([a, b, c], at=[first, first + second])
    assert flat(t) == s.join([a, s.join([b, c], at=[second])], at=[first])(t)
    assert flat(t) == s.join([s.join([a, b], at=[first]), c], at=[first + second])(t)


@given(shapes, shapes, counts)
def test_products_commute(a, b, t) -> None:
    assert (a * b)(t) == (b * a)(t) == a(t) * b(t)


@settings(max_examples=10, deadline=None)
@given(chains)
def test_resumed_at_every_step(schedule) -> None:
    """A learning rate in the optimizer goes on where the saved state says."""

    def make(start, lr):
        w = nx.Tensor(start, dtype="float64", requires_grad=True)
        return w, AdamW([w], lr=lr)

    def step(w, optimizer):
        w.grad = w.detach() * 0.5
        optimizer.step()
        return w.tolist()

    w, optimizer = make([1.0, -2.0], schedule)
    path, states = [w.tolist()], []
    for _ in range(50):
        states.append(copy.deepcopy(optimizer.state_dict()))
        path.append(step(w, optimizer))
    for start, state in enumerate(states):
        w, optimizer = make(path[start], 0.0)
        optimizer.load_state_dict(state)
        assert optimizer.param_groups[0]["lr"] == schedule
        assert step(w, optimizer) == path[start + 1]


@pytest.mark.parametrize("kind", ["triangular", "triangular2"])
def test_cyclic_stays_between(kind) -> None:
    schedule = s.cyclic(0.25, 0.75, up=7, down=3, mode=kind)
    assert all(0.25 <= schedule(t) <= 0.75 for t in range(1000))
