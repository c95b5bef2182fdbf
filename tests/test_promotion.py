"""The dtype of results: PyTorch's table, written out."""

import neurenix
import numpy as np
import pytest
from neurenix import Tensor

NAMES = ["uint8", "int32", "int64", "float16", "bfloat16", "float32", "float64", "bool"]
U8, I32, I64, F16, BF, F32, F64, B = NAMES
TABLE = [
    #     u8   i32  i64  f16  bf   f32  f64  bool
    (U8, [U8, I32, I64, F16, BF, F32, F64, U8]),
    (I32, [I32, I32, I64, F16, BF, F32, F64, I32]),
    (I64, [I64, I64, I64, F16, BF, F32, F64, I64]),
    (F16, [F16, F16, F16, F16, F32, F32, F64, F16]),
    (BF, [BF, BF, BF, F32, BF, F32, F64, BF]),
    (F32, [F32, F32, F32, F32, F32, F32, F64, F32]),
    (F64, [F64, F64, F64, F64, F64, F64, F64, F64]),
    (B, [U8, I32, I64, F16, BF, F32, F64, B]),
]
PAIRS = [(a, b, result) for a, row in TABLE for b, result in zip(NAMES, row, strict=True)]


@pytest.mark.parametrize(("a", "b", "result"), PAIRS)
def test_two_tensors(a, b, result):
    x, y = neurenix.ones(2, dtype=a), neurenix.ones(2, dtype=b)
    assert (x * y).dtype == result
    assert neurenix.maximum(x, y).dtype == result
    assert neurenix.where(x > 0, x, y).dtype == result
    assert neurenix.cat([x, y]).dtype == result
    assert (x == y).dtype == "bool"
    assert (x / y).dtype == (result if neurenix.DType(result).is_floating_point else "float32")


@pytest.mark.parametrize("a", NAMES)
@pytest.mark.parametrize("b", NAMES)
def test_a_tensor_without_dimensions_decides_only_the_kind(a, b):
    full, scalar = neurenix.ones(2, dtype=a), neurenix.ones((), dtype=b)
    assert (full * scalar).dtype == (scalar * full).dtype == (b if kind(b) > kind(a) else a)


def kind(name):
    """0 for truth values, 1 for integers, 2 for floats."""
    return 0 if name == "bool" else 1 if "int" in name else 2


@pytest.mark.parametrize("name", NAMES)
def test_numbers(name):
    x = neurenix.ones(2, dtype=name)
    assert (x * True).dtype == name
    assert (x * 2).dtype == ("int64" if name == "bool" else name)
    assert (x * 2.0).dtype == (name if kind(name) == 2 else "float32")
    assert (2.0 * x).dtype == (x * 2.0).dtype


@pytest.mark.parametrize("name", NAMES)
def test_functions(name):
    x = neurenix.ones(2, dtype=name)
    floating = name if kind(name) == 2 else "float32"
    assert x.exp().dtype == x.sqrt().dtype == x.sigmoid().dtype == floating
    assert x.sum().dtype == (name if kind(name) == 2 else "int64")
    assert x.sum(dtype="float64").dtype == "float64"
    assert x.argmax().dtype == "int64"
    assert x.cumsum(0).dtype == (name if kind(name) == 2 else "int64")


def test_integers_wrap():
    assert (Tensor([250], dtype="uint8") + 10).tolist() == [4]
    assert (Tensor([2**31 - 1], dtype="int32") + 1).tolist() == [-(2**31)]
    assert (Tensor([2**63 - 1]) + 1).tolist() == [-(2**63)]


def test_signs_of_division():
    x, y = Tensor([7, -7, 7, -7]), Tensor([2, 2, -2, -2])
    assert (x // y).tolist() == [3, -4, -4, 3]
    assert (x % y).tolist() == [1, 1, -1, -1]
    assert (x / y).tolist() == [3.5, -3.5, -3.5, 3.5]


def test_truth_values():
    a, b = Tensor([True, True, False]), Tensor([True, False, False])
    assert (a & b).tolist() == (a * b).tolist() == [True, False, False]
    assert (a | b).tolist() == (a + b).tolist() == [True, True, False]
    assert (a ^ b).tolist() == [False, True, False]
    assert (~a).tolist() == [False, False, True]
    assert a.sum().item() == 2


OUTSIDE = [("int32", 2**40), ("int32", -(2**31) - 1), ("uint8", 256), ("uint8", 300), ("uint8", -1)]


@pytest.mark.parametrize(("dtype", "number"), OUTSIDE)
@pytest.mark.parametrize("scalar", [int, Tensor], ids=["number", "tensor"])
def test_numbers_that_do_not_fit_are_errors(dtype, number, scalar):
    """One rule for Python's numbers and tensors without dimensions: neither wraps around."""
    x, y = Tensor([1, 0], dtype=dtype), scalar(number)
    operations = [
        lambda: x + y,
        lambda: y - x,
        lambda: x * y,
        lambda: x // y,
        lambda: y % x[:1],
        lambda: x & y,
        lambda: x.maximum(y),
        lambda: neurenix.where(x == 0, x, y),
        lambda: x.masked_fill(x == 0, y),
        lambda: x.__iadd__(y),
        lambda: x.__setitem__(0, y),
        lambda: x.fill_(y),
    ]
    for operation in operations:
        with pytest.raises(ValueError, match=f"{number} does not fit into {dtype}"):
            operation()
    assert x.tolist() == [1, 0]


@pytest.mark.parametrize(("dtype", "number"), OUTSIDE)
@pytest.mark.parametrize("scalar", [int, Tensor], ids=["number", "tensor"])
def test_comparisons_with_numbers_that_do_not_fit_are_right(dtype, number, scalar):
    values = [0, 1, 44, 255] if dtype == "uint8" else [0, 1, -(2**31), 2**31 - 1]
    x, y = Tensor(values, dtype=dtype), scalar(number)
    assert (x == y).tolist() == [v == number for v in values]
    assert (x != y).tolist() == [v != number for v in values]
    assert (x < y).tolist() == (y > x).tolist() == [v < number for v in values]
    assert (x <= y).tolist() == (y >= x).tolist() == [v <= number for v in values]
    assert (x > y).tolist() == (y < x).tolist() == [v > number for v in values]
    assert (x >= y).tolist() == (y <= x).tolist() == [v >= number for v in values]


def test_tensors_without_dimensions_that_fit_keep_the_dtype():
    x = Tensor([44], dtype="uint8")
    assert (x + Tensor(211)).tolist() == [255]
    assert (x + Tensor(211)).dtype == "uint8"
    assert (Tensor(300) + Tensor(44, dtype="uint8")).item() == 344  # both without dimensions: int64
    x[0] = Tensor(255)
    assert x.tolist() == [255]
    with pytest.raises(ValueError, match="does not fit into uint8"):
        x[0] = Tensor(float("nan"))


@pytest.mark.parametrize("scalar", [int, Tensor], ids=["number", "tensor"])
def test_bounds_beyond_the_dtype_cut_off_nothing(scalar):
    x = Tensor([5, 250], dtype="uint8")
    assert x.clamp(scalar(-7), scalar(300)).tolist() == [5, 250]
    assert x.clamp(min=scalar(100), max=scalar(2**40)).tolist() == [100, 250]
    assert Tensor([5], dtype="int32").clamp(max=scalar(2**40)).tolist() == [5]
    for bounds in ({"min": scalar(300)}, {"max": scalar(-1)}):
        with pytest.raises(ValueError, match="clamp: .* does not fit into uint8"):
            x.clamp(**bounds)
        with pytest.raises(ValueError, match="clamp_: .* does not fit into uint8"):
            x.clamp_(**bounds)
    assert x.clamp_(scalar(6), scalar(300)).tolist() == [6, 250]
    assert Tensor([2**53 + 3]).clamp(max=scalar(2**53 + 1)).item() == 2**53 + 1  # floats do not hold it


def test_alpha_is_exact_and_fits():
    assert Tensor([0]).add(2**53 + 1, alpha=1).item() == 2**53 + 1
    assert Tensor([0]).add_(2**53 + 1, alpha=3).item() == 3 * (2**53 + 1)
    with pytest.raises(ValueError, match="400 does not fit into uint8"):
        Tensor([0], dtype="uint8").add(200, alpha=2)
    with pytest.raises(ValueError, match="does not fit into 64 bits"):
        Tensor([0]).sub(2**62, alpha=4)


def test_not():
    assert (~Tensor([0, 1, 254, 255], dtype="uint8")).tolist() == [255, 254, 1, 0]
    assert (~Tensor([0, 1, -1], dtype="int32")).tolist() == [-1, -2, 0]
    assert (~Tensor([0, 2**63 - 1])).tolist() == [-1, -(2**63)]


@pytest.mark.parametrize("dtype", ["int32", "int64", "uint8"])
def test_integer_division(dtype):
    limits = np.iinfo(dtype)
    numbers = np.array([limits.min, limits.min + 1, 0, 1, 2, 7, limits.max], dtype)
    if limits.min:
        numbers = np.append(numbers, np.array([-1, -2, -7], dtype))
    x, y = (np.ascontiguousarray(a) for a in np.broadcast_arrays(numbers[:, None], numbers[numbers != 0]))
    with np.errstate(over="ignore"):
        assert (Tensor(x) // Tensor(y)).tolist() == (x // y).tolist()
        assert (Tensor(x) % Tensor(y)).tolist() == (x % y).tolist()
    for zero in (0, Tensor(0), Tensor([1, 0, 2])):
        with pytest.raises(ValueError, match="division by zero"):
            neurenix.ones(3, dtype=dtype) // zero
        with pytest.raises(ValueError, match="division by zero"):
            neurenix.ones(3, dtype=dtype) % zero


@pytest.mark.parametrize("exponent", [-1, Tensor(-1), Tensor([3, -1])])
def test_integers_have_no_negative_powers(exponent):
    with pytest.raises(ValueError, match="negative power -1"):
        neurenix.Tensor([2, 2]) ** exponent
    assert (neurenix.Tensor([2.0]) ** -1).tolist() == [0.5]
