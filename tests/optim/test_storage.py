"""Codes of few bits: the maps, rounding to them, the formulas on the engine, and AdamW with states of eight bits."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import neurenix as nx
import numpy as np
import pytest
from neurenix._phynexus import Counts, Rule, Stepper
from neurenix.optim.bits import block_largest
from neurenix.optim.formula import Symbol, sqrt
from neurenix.optim.rounding import noise
from neurenix.optim.storage import (
    BLOCK,
    block_scale,
    decode4,
    decode8,
    encode4,
    encode8,
    pack4,
    unpack4,
)
from neurenix.optim.tracing import Tape

GOLDEN = nx.load(Path(__file__).parent.parent / "golden" / "storage" / "torchao.safetensors")
MAPS = ("signed8", "unsigned8", "signed4", "unsigned4")
TORCHAO = MAPS[:3]
ONE = np.float32(1)


CODES: dict[str, tuple[Callable[..., Any], Callable[..., Any]]] = {
    "8": (decode8, encode8),
    "4": (decode4, encode4),
}


def decode(name: str, code: Any, scale: Any = ONE) -> Any:
    return CODES[name[-1]][0](code, scale, name.startswith("signed"))


def encode(name: str, x: Any, scale: Any = ONE, random: Any = None) -> Any:
    return CODES[name[-1]][1](x, scale, name.startswith("signed"), random)


def ours(name: str, theirs: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Our codes for torchao's, which are in the order of the values."""
    if name.startswith("unsigned"):
        return theirs
    middle = 128 if name.endswith("8") else 8
    theirs = theirs.astype(int)
    positive = np.where(theirs == 2 * middle - 1, middle - 1, theirs + 1)
    return np.where(theirs < middle - 1, theirs, positive)


@pytest.mark.parametrize("name", TORCHAO)
def test_all_codes_are_those_of_torchao(name: str) -> None:
    table = GOLDEN[f"{name}.table"].numpy()
    codes = ours(name, np.arange(len(table)))
    assert sorted(codes) == list(range(len(table)))
    found = decode(name, codes)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, table, rtol=1.2e-6)
    assert (found[table == 0] == 0).all()
    assert (found[table == 1] == 1).all()


@pytest.mark.parametrize("name", TORCHAO)
def test_random_blocks_have_the_codes_of_torchao(name: str) -> None:
    x, scale = GOLDEN[f"{name}.x"].numpy(), GOLDEN[f"{name}.scale"].numpy()[:, None]
    np.testing.assert_array_equal(block_largest(x), scale)
    expected = ours(name, GOLDEN[f"{name}.codes"].numpy())
    if name == "unsigned8":  # rules divide by squares: theirs may become 0
        expected = np.maximum(expected, x > 0)
    assert (encode(name, x, scale) == expected).all()


@pytest.mark.parametrize("name", MAPS)
def test_the_nearest_value_is_found(name: str) -> None:
    """Between all neighbours, just below and just above the middle."""
    values = np.sort(decode(name, np.arange(256 if name.endswith("8") else 16)).astype(float))
    middle, gap = (values[1:] + values[:-1]) / 2, np.diff(values)
    for side in (-1, 1):
        found = decode(name, encode(name, (middle + side * 1e-4 * gap).astype(np.float32)))
        expected = values[:-1] if side < 0 else values[1:]
        np.testing.assert_array_equal(
            found, np.maximum(expected, values[1]) if name == "unsigned8" else expected
        )
    np.testing.assert_array_equal(np.sort(decode(name, encode(name, values))), values)


@pytest.mark.parametrize("name", MAPS)
def test_ends_and_what_is_not_a_number(name: str) -> None:
    signed = name.startswith("signed")
    values = np.sort(decode(name, np.arange(256 if name.endswith("8") else 16)))
    lowest = float(values[0])
    zero = 0.0 if name != "unsigned4" else lowest
    least = float(values[1]) if name == "unsigned8" else zero  # a positive square stays positive
    for x, expected in [
        (1.0, 1.0),
        (1 + 1e-6, 1.0),
        (-1.0, lowest),
        (-9.0, lowest),
        (-1e-9, zero),
        (0.0, zero),
        (1e-30, least),
    ]:
        assert float(decode(name, encode(name, np.array([x])))[0]) == expected, x
    zeros = encode(name, np.zeros(3), np.float32(0))
    assert (decode(name, zeros, np.float32(0)) == 0).all()
    assert signed or (encode(name, np.array([-0.5])) == 0).all()
    assert np.isnan(decode(name, encode(name, np.ones(2), np.float32(np.nan)), np.float32(np.nan))).all()


@pytest.mark.parametrize("name", MAPS)
def test_rounding_at_random_takes_neighbours_and_is_right_on_average(name: str) -> None:
    """Also from one decade to the next, where steps grow, and next to 0."""
    values = np.sort(decode(name, np.arange(256 if name.endswith("8") else 16)).astype(float))
    rng, draws = np.random.default_rng(0), 400
    places = np.tile(np.arange(len(values) - 1), 2000 // len(values) + 4)
    low, high = values[places], values[places + 1]
    x = (low + (high - low) * rng.uniform(0, 1, len(places))).astype(np.float32)
    found = np.array(
        [decode(name, encode(name, x, random=noise(np.arange(len(x)), (k * 7919, 3)))) for k in range(draws)]
    )
    slack = 1e-6 * np.maximum(np.abs(low), np.abs(high))
    up, down = np.abs(found - high) <= slack, np.abs(found - low) <= slack
    assert (up | down).all()
    share = (x - low) / (high - low)
    surplus = (up.mean(0) - share) / np.sqrt(np.maximum(share * (1 - share), 1e-3) / draws)
    if name == "unsigned8":
        assert up[:, low == 0].all()
        surplus = surplus[low > 0]
    assert np.abs(surplus).max() < 5.5
    assert abs(surplus.mean()) < 5 / np.sqrt(len(surplus))
    exact = values.astype(np.float32)
    for k in range(20):
        assert (decode(name, encode(name, exact, random=noise(np.arange(len(exact)), (k, k)))) == exact).all()


@pytest.mark.parametrize("kind", ["int8", "int4"])
def test_extremes_of_a_block_have_codes(kind: str) -> None:
    """Also the negative one, which would shrink at each step else."""
    x = np.random.default_rng(0).standard_normal((50, 128)).astype(np.float32)
    x[0] = 0
    scale, name = block_scale(x, kind, signed=True), f"signed{kind[-1]}"
    size = np.where(x < 0, x / decode(name, np.array([0])), x)
    most = size == size.max(-1, keepdims=True)
    assert 10 < (x[most] < 0).sum() < 40
    np.testing.assert_array_equal(block_scale(np.abs(x), kind, signed=False), block_largest(x))
    for k in range(300):  # whichever way the quotient is rounded, and however far it is moved
        own = (scale * np.float32(1.001**k)).astype(np.float32)
        random = noise(np.arange(x.size).reshape(x.shape), (k, k))
        for values, signed in ((x, "signed"), (np.abs(x), "unsigned")):
            scales = own if signed == "signed" else block_largest(values) * np.float32(1.001**k)
            which = most if signed == "signed" else values == values.max(-1, keepdims=True)
            values = (values * np.float32(1.001**k)).astype(np.float32)
            found = decode(
                f"{signed}{kind[-1]}", encode(f"{signed}{kind[-1]}", values, scales, random), scales
            )
            np.testing.assert_allclose(found[which], values[which], rtol=3e-6)


def test_two_codes_share_a_byte() -> None:
    low, high = np.divmod(np.arange(256), 16)
    packed = pack4(low, high)
    assert packed.dtype == np.uint8
    assert len(set(packed.tolist())) == 256
    for found, expected in zip(unpack4(packed), (low, high), strict=True):
        np.testing.assert_array_equal(found, expected)


def stepper(
    rule: Callable[..., Any], states: list[tuple[str, str]], param: nx.Tensor, stored: list[nx.Tensor]
) -> Stepper:
    """The rule `rule(p, g, *states, lr=…)`, of states (type, kind), bound to one parameter."""
    tape = Tape("float32")
    operands = [tape.operand("param"), tape.operand("grad")]
    for i, (type, _) in enumerate(states):
        tape.inputs.append(("state", i))
        operands.append(Symbol(tape, tape.graph.input(type), "float32"))
    tape.number("step")
    outputs = [value.id for value in rule(*operands, lr=tape.number("hyper"))]
    kinds = [kind for _, kind in states]
    traced = Rule(tape.graph.finish(outputs), tape.inputs, tape.numbers, kinds, tape.stages)
    return Stepper(traced, [param], [(1, 1, param.numel())], [stored], [Counts()])


@pytest.mark.parametrize("name", MAPS)
@pytest.mark.parametrize("length", [BLOCK * 300, BLOCK * 3 + 100])
def test_the_engine_computes_the_same_codes_and_values(name: str, length: int) -> None:
    rng = np.random.default_rng(1)
    x = (rng.standard_normal(length) * np.exp(rng.uniform(-14, 0, length))).astype(np.float32)
    x = x if name.startswith("signed") else np.abs(x)
    blocks = [x[i : i + BLOCK] for i in range(0, length, BLOCK)]
    scale = np.array([block_largest(block)[0] for block in blocks], np.float32)
    spread = np.repeat(scale, BLOCK)[:length]
    codes = encode(name, x, spread)

    def rule(p: Any, g: Any, code: Any, old: Any, *, lr: Any) -> Any:
        new = block_largest(g)
        return (
            decode(name, code, old) + 0.0 * p,
            encode(name, g, new) & (15 if "4" in name else 255),
            new,
        )

    param = nx.Tensor(np.zeros(length, np.float32), requires_grad=True)
    param.grad = nx.Tensor(x)
    state = [nx.Tensor(codes.astype(np.uint8)), nx.Tensor(scale * 2)]
    states = [("int32", "full"), ("float32", f"blocks:{BLOCK}")]
    assert stepper(rule, states, param, state).step([0.1]) == 1
    np.testing.assert_array_equal(state[0].numpy(), codes)
    np.testing.assert_array_equal(state[1].numpy(), scale)
    np.testing.assert_array_equal(param.detach().numpy(), decode(name, codes, spread * 2))


def adamw8(p: Any, g: Any, m: Any, m_scale: Any, v: Any, v_scale: Any, *, lr: Any) -> Any:
    """AdamW (betas 0.9 and 0.999) with moments of eight bits, without correction of their beginning."""
    mean = 0.9 * decode8(m, m_scale, True) + 0.1 * g
    square = 0.999 * decode8(v, v_scale, False) + 0.001 * (g * g)
    p = p * (1 - lr * 0.01) - lr * mean / (sqrt(square) + 1e-8)
    m_scale, v_scale = block_largest(mean), block_largest(square, signed=False)
    return p, encode8(mean, m_scale, True), m_scale, encode8(square, v_scale, False), v_scale


def test_adamw_with_states_of_eight_bits() -> None:
    """The engine and NumPy take the same path, whether compiled or not."""
    rng = np.random.default_rng(2)
    rows = 256
    start = rng.standard_normal((rows, BLOCK)).astype(np.float32)
    param = nx.Tensor(start.ravel(), requires_grad=True)
    codes: list[Any] = [np.full((rows, BLOCK), code, np.uint8) for code in (128, 0)]
    scales: list[Any] = [np.zeros((rows, 1), np.float32) for _ in codes]
    state = [nx.Tensor(x.ravel()) for pair in zip(codes, scales, strict=True) for x in pair]
    kinds = [("int32", "full"), ("float32", f"blocks:{BLOCK}")] * 2
    step = stepper(adamw8, kinds, param, state)
    mine: Any = (start, codes[0], scales[0], codes[1], scales[1])
    for _ in range(20):
        gradient = rng.standard_normal((rows, BLOCK)).astype(np.float32) * np.float32(0.1)
        param.grad = nx.Tensor(gradient.ravel())
        assert step.step([0.01]) == 1
        mine = adamw8(mine[0], gradient, *mine[1:], lr=np.float32(0.01))
    np.testing.assert_allclose(param.detach().numpy(), mine[0].ravel(), atol=2e-6)
    for found, expected in zip(state, mine[1:], strict=True):
        if expected.dtype == np.uint8:
            assert (found.numpy() == expected.ravel()).mean() > 0.999
        else:
            np.testing.assert_allclose(found.numpy(), expected.ravel(), rtol=1e-5)
