"""The dtype of results: PyTorch's table, written out."""

import neurenix
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


@pytest.mark.parametrize(
    ("dtype", "number"), [("int32", 2**40), ("int32", -(2**31) - 1), ("uint8", 256), ("uint8", -1)]
)
def test_numbers_that_do_not_fit_are_errors(dtype, number):
    x = neurenix.Tensor([1], dtype=dtype)
    with pytest.raises(ValueError, match=f"{number} does not fit into {dtype}"):
        x + number
    assert (x == number).tolist() == [False]


def test_integers_have_no_negative_powers():
    with pytest.raises(ValueError, match="negative power -1"):
        neurenix.Tensor([2]) ** -1
    assert (neurenix.Tensor([2.0]) ** -1).tolist() == [0.5]
