"""All operations: values against NumPy, gradients against differences, views, broadcasts, nothing, replay."""

import neurenix
import numpy as np
import pytest
from neurenix import Tensor
from neurenix.testing import TOLERANCE, assert_close, check_grads
from op_table import BINARY, OPS, UNARY

every = pytest.mark.parametrize("op", OPS, ids=lambda op: op.name)


WIDE_DTYPES, HALF_DTYPES, INTEGER_DTYPES = ["float64", "float32"], ["float16", "bfloat16"], ["int64", "int32"]


@pytest.mark.parametrize(
    ("op", "dtype"),
    [
        pytest.param(op, dtype, id=f"{op.name} {dtype}")
        for op in OPS
        for dtype in WIDE_DTYPES + HALF_DTYPES * op.half + INTEGER_DTYPES * op.integers
    ],
)
def test_values(op, dtype, rng):
    dtype = neurenix.DType(dtype)
    inputs = op.inputs(dtype, rng)
    exact = [np.array(x.double() if dtype.is_floating_point else x) for x in inputs]
    with np.errstate(all="ignore"):
        expected = op.expect(*exact)
    found = op.run(*inputs)
    assert [y.shape for y in found] == [y.shape for y in expected]
    rtol, atol = TOLERANCE[dtype]
    # Several roundings of 11 or 8 bits add up.
    scale = 4 if dtype.itemsize == 2 else 1
    for y, reference in zip(found, expected, strict=True):
        assert_close(
            y.double(), reference.astype(np.float64), rtol=scale * rtol, atol=scale * max(atol, rtol)
        )


@every
def test_gradients(op, rng):
    if op.order:
        check_grads(op.run, op.inputs("float64", rng), op.order)
    else:
        outputs = op.run(*(x.requires_grad_() for x in op.inputs("float64", rng)))
        assert not any(y.requires_grad for y in outputs)


@pytest.mark.parametrize("op", [op for op in OPS if op.name != "view"], ids=lambda op: op.name)
def test_views_give_the_same(op, rng):
    """Operands that are transposed, reversed or repeated in memory give what contiguous ones do."""
    plain = op.inputs("float32", rng)
    expected = op.run(*plain)
    for view in (_transposed, _strided, _flipped):
        for y, reference in zip(op.run(*map(view, plain)), expected, strict=True):
            assert_close(y, reference, rtol=1e-6, atol=1e-6)


def _transposed(x):
    return Tensor(np.ascontiguousarray(np.array(x).T)).T


def _strided(x):
    wide = Tensor(np.repeat(np.array(x), 2, axis=-1) if x.ndim else np.array(x))
    return wide[..., ::2] if x.ndim else wide


def _flipped(x):
    return x.flip(tuple(range(x.ndim))).flip(tuple(range(x.ndim)))


@pytest.mark.parametrize("op", UNARY + BINARY[:10], ids=lambda op: op.name)
def test_nothing_and_scalars(op):
    count = len(op.shapes)
    for shape in [(0,), (3, 0, 2), ()]:
        inputs = [neurenix.full(shape, 0.5, dtype="float64", requires_grad=True) for _ in range(count)]
        (y,) = op.run(*inputs)
        assert y.shape == shape
        if y.requires_grad:
            y.sum().backward()
            assert inputs[0].grad.shape == shape


@pytest.mark.parametrize(
    ("call", "expected"),
    [
        (Tensor.sum, 0.0),
        (Tensor.prod, 1.0),
        (lambda x: x.sum(0), [0.0, 0.0]),
        (lambda x: x.logsumexp(0), [-np.inf, -np.inf]),
        (lambda x: x.any(0), [False, False]),
        (lambda x: x.all(0), [True, True]),
        (lambda x: x.cumsum(0), np.zeros((0, 2))),
        (lambda x: x.T @ x, np.zeros((2, 2))),
    ],
)
def test_reductions_of_nothing(call, expected):
    assert_close(call(neurenix.zeros(0, 2)), Tensor(np.asarray(expected)), check_dtype=False)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_half_products_are_those_of_the_rounded_numbers(dtype, rng):
    a, b = (Tensor(rng.uniform(-1, 1, shape), dtype=dtype) for shape in [(17, 33), (33, 9)])
    expected = np.array(a.double()) @ np.array(b.double())
    rtol, _ = TOLERANCE[neurenix.DType(dtype)]
    assert_close((a @ b).double(), expected, rtol=rtol, atol=4 * rtol)


@pytest.mark.parametrize(
    "shape", [(1, 1, 1), (7, 5, 3), (65, 33, 129), (130, 257, 64), (3, 1000, 2), (500, 3, 500)]
)
@pytest.mark.parametrize("layout", ["NN", "NT", "TN", "TT"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_products_of_many_sizes(shape, layout, dtype, rng):
    m, k, n = shape
    a, b = rng.standard_normal((m, k)).astype(dtype), rng.standard_normal((k, n)).astype(dtype)
    x = Tensor(a) if layout[0] == "N" else Tensor(np.ascontiguousarray(a.T)).T
    y = Tensor(b) if layout[1] == "N" else Tensor(np.ascontiguousarray(b.T)).T
    tolerance = 2 * float(np.finfo(dtype).eps) * (k + 4)
    assert_close((x @ y).double(), a.astype(float) @ b.astype(float), rtol=0, atol=tolerance)


def test_one_hot():
    assert Tensor([2, 0]).one_hot().tolist() == [[0, 0, 1], [1, 0, 0]]
    assert Tensor([[1]]).one_hot(3).tolist() == [[[0, 1, 0]]]


def test_powers_of_two_are_exact():
    x = neurenix.arange(-149, 129, dtype="float32")
    assert x.exp2().tolist() == [float(np.float32(2.0) ** k) if k < 128 else np.inf for k in range(-149, 129)]
    exponents = np.linspace(-140, 127.9, 10_001).astype(np.float32)
    exact = np.exp2(exponents.astype(float))
    assert_close(Tensor(exponents).exp2().double(), exact, rtol=2.5e-7, atol=1.5e-45)


def test_sums_are_pairwise():
    """Ten million floats: adding one after the other would be off by far more."""
    x = neurenix.full((10_000_000,), 0.1)
    assert abs(x.sum().item() / (10_000_000 * float(np.float32(0.1))) - 1) < 1e-6
    assert abs(x.mean().item() / float(np.float32(0.1)) - 1) < 1e-6


def test_every_operation_of_the_engine_replays_to_the_same_bits(rng):
    for op in OPS:
        inputs = op.inputs("float32", rng)
        if op.name == "nonzero":  # the shape of its result depends on values
            continue
        program = neurenix.autograd.record(lambda *xs, op=op: op.run(*xs), inputs)
        for first, again in zip(op.run(*inputs), program.replay(inputs), strict=True):
            assert first.tobytes() == again.tobytes(), op.name
            assert first.shape == again.shape
            assert first.dtype == again.dtype


POWERS = (-3, -2, -1.5, -1, -0.5, 0, 1 / 3, 0.5, 1, 1.5, 2, 2.5, 3, 4, 5, 0.3)
FEW_UNITS = {"float32": 5e-7, "float64": 2e-15}
SPECIAL = (0.0, -0.0, 1.0, -1.0, np.inf, -np.inf, np.nan, 1e-30, -1e30)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("exponent", POWERS)
def test_powers_with_a_number_as_exponent(exponent, dtype, rng):
    x = np.concatenate([SPECIAL, rng.uniform(0.1, 3.0, 1234)]).astype(dtype)
    wide = np.repeat(x, 2)[None]
    with np.errstate(all="ignore"):
        exponent = float(np.dtype(dtype).type(exponent))
        right = (x.astype("float64") ** np.full(x.shape, exponent)).astype(
            dtype
        )  # of one 0.5 NumPy makes a root
        slope = (exponent * x.astype("float64") ** (exponent - 1) if exponent else 0 * x).astype(dtype)
    for values in (Tensor(x), Tensor(wide)[0, ::2]):
        np.testing.assert_allclose((values**exponent).numpy(), right, rtol=FEW_UNITS[dtype])
    leaf = Tensor(x, requires_grad=True)
    (leaf**exponent).sum().backward()
    finite = np.isfinite(x)
    np.testing.assert_allclose(leaf.grad.numpy()[finite], slope[finite], rtol=5 * FEW_UNITS[dtype])


def test_squares_and_cubes_are_products_to_the_bit(rng):
    x = Tensor(rng.standard_normal(1001).astype("float32"))
    assert (x**2).tolist() == (x * x).tolist() == x.pow(2.0).tolist()
    assert (x**3).tolist() == (x * x * x).tolist()
    assert (x**-1).tolist() == (1 / x).tolist()
    assert (x**1).tolist() == x.tolist()
    n = Tensor(rng.integers(-9, 9, 101))
    assert (n**3).tolist() == [v**3 for v in n.tolist()]
    assert (n**17).tolist() == [v**17 for v in n.tolist()]
    assert (n**0).tolist() == [1] * 101


def test_powers_of_small_numbers_have_finite_slopes():
    x = Tensor([1e-11, -1e-11], requires_grad=True)
    (x**-2).sum().backward()
    assert_close(x.grad.numpy(), np.array([-2e33, 2e33], "float32"), rtol=1e-6, atol=0)


@pytest.mark.parametrize("dtype", ["float32", "float64", "int32", "int64"])
def test_quotients_and_remainders_near_and_far(dtype, rng):
    scale = 1 if dtype[0] == "i" else 0.37
    a = np.concatenate([rng.integers(-1000, 1000, 301) * scale, [2e9, -2e9, 1, 0]]).astype(dtype)
    b = np.concatenate([rng.choice([-7, -2, 1, 3, 10], 301) * scale, [3, 7, -1, 5]]).astype(dtype)
    if dtype == "int64":
        a[-4:], b[-4:] = [2**62, -(2**62), 2**52 - 1, -(2**63)], [3, 2**40, 3, 7]
    assert (Tensor(a) // Tensor(b)).tolist() == np.floor_divide(a, b).tolist()
    np.testing.assert_array_equal((Tensor(a) % Tensor(b)).numpy(), np.remainder(a, b))
