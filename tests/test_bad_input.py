"""One table: what is wrong, which exception it must be, and what its message must say."""

import neurenix
import numpy as np
import pytest
from neurenix import Device, Generator, Tensor, nn
from neurenix.nn import functional as F

X = neurenix.ones(2, 3)
LABELS = Tensor([0, 1])


BAD = [
    # shapes
    ("negative size", lambda: neurenix.zeros(2, -1), ValueError, ["-1", "negative"]),
    ("float size", lambda: neurenix.zeros(2.0), TypeError, ["2.0", "integer"]),
    ("bool size", lambda: neurenix.zeros(True), TypeError, ["True", "integer"]),
    ("text size", lambda: neurenix.zeros("3"), TypeError, ["integer"]),
    ("2^63 elements", lambda: neurenix.zeros(2**63), ValueError, ["9223372036854775808"]),
    ("product overflows", lambda: neurenix.zeros(2**32, 2**32), (ValueError, MemoryError), ["4294967296"]),
    ("0 x huge", lambda: neurenix.zeros(0, 2**62, 2**62), (ValueError, MemoryError), ["4611686018427387904"]),
    ("more than memory", lambda: neurenix.empty(2**45), MemoryError, ["bytes"]),
    ("more than memory by expanding", lambda: X[0, 0].expand(2**45).clone(), MemoryError, ["bytes"]),
    ("nine dimensions", lambda: neurenix.zeros(*[1] * 9), ValueError, ["9", "8"]),
    ("reshape overflows", lambda: neurenix.zeros(1).reshape(2**32, 2**32), ValueError, ["4294967296"]),
    ("reshape misfits", lambda: X.reshape(4, 2), ValueError, ["6", "(4, 2)"]),
    ("two free sizes", lambda: X.reshape(-1, -1), ValueError, ["only one", "[-1, -1]"]),
    ("free size misfits", lambda: X.reshape(4, -1), ValueError, ["6", "4"]),
    ("no such dimension", lambda: X.sum(2), IndexError, ["2", "(2, 3)"]),
    ("dimension of text", lambda: X.sum("a"), TypeError, ["dimension", "'a'"]),
    ("huge dimension", lambda: X.sum(2**63), IndexError, ["9223372036854775808", "out of range"]),
    ("no dimension", lambda: X.softmax(None), TypeError, ["softmax", "None", "-1"]),
    ("dim and axis", lambda: X.sum(0, axis=0), TypeError, ["dim", "axis", "one of them"]),
    ("dims twice", lambda: X.permute(1, 0, dims=(1, 0)), TypeError, ["dims", "one of them"]),
    ("max over several", lambda: X.max((0, 1)), TypeError, ["max", "[0, 1]", "amax"]),
    ("min over several", lambda: X.min(axis=(0, 1)), TypeError, ["min", "amin"]),
    ("two corrections", lambda: X.var(unbiased=True, correction=1), TypeError, ["unbiased", "correction"]),
    ("unknown norm", lambda: X.norm("nuc"), ValueError, ["norm", "nuc", "fro"]),
    ("named twice", lambda: X.sum((0, -2)), ValueError, ["twice"]),
    ("permute misfits", lambda: X.permute(0), ValueError, ["permute", "2 dimensions"]),
    ("permute repeats", lambda: X.permute(0, 0), ValueError, ["permute"]),
    ("expand misfits", lambda: X.expand(2, 4), ValueError, ["(2, 3)", "(2, 4)"]),
    ("broadcast misfits", lambda: X + neurenix.ones(4), ValueError, ["(2, 3)", "(4,)"]),
    ("matmul misfits", lambda: X @ neurenix.ones(4, 2), ValueError, ["matmul", "(2, 3)", "(4, 2)", "3", "4"]),
    ("matmul of a scalar", lambda: X @ Tensor(1.0), ValueError, ["matmul"]),
    ("cat misfits", lambda: neurenix.cat([X, neurenix.ones(2, 2)]), ValueError, ["cat", "(2, 3)", "(2, 2)"]),
    ("cat of nothing", lambda: neurenix.cat([]), ValueError, ["cat"]),
    ("stack misfits", lambda: neurenix.stack([X, X[0]]), ValueError, ["stack", "(2, 3)", "(3,)"]),
    ("split misfits", lambda: X.split([1, 1], 1), ValueError, ["split", "3"]),
    ("split by 0", lambda: X.split(0), ValueError, ["split"]),
    ("chunk by 0", lambda: X.chunk(0), ValueError, ["chunk"]),
    ("narrow too far", lambda: X.narrow(1, 2, 2), (ValueError, IndexError), ["narrow", "3"]),
    ("view of a transpose", lambda: X.T.view(6), (ValueError, RuntimeError), ["view", "reshape"]),
    ("view too many", lambda: X.view(7), ValueError, ["6", "7"]),
    ("unflatten misfits", lambda: X.unflatten(1, (2, 2)), ValueError, ["3"]),
    ("unflatten of a scalar", lambda: Tensor(1.0).unflatten(0, (1,)), ValueError, ["unflatten", "scalar"]),
    (
        "rows of a scalar",
        lambda: neurenix._phynexus.apply("norm2", [Tensor(1.0)]),
        ValueError,
        ["norm2", "dimension"],
    ),
    ("pad odd", lambda: X.pad((1,)), ValueError, ["pad"]),
    ("pad beyond memory", lambda: F.pad(X, (2**63, 0)), ValueError, ["size", "9223372036854775808"]),
    ("pad below nothing", lambda: X.pad((-2, -2)), ValueError, ["pad", "-2", "3 elements"]),
    ("pad far below nothing", lambda: X.pad((-(2**63), -(2**63))), ValueError, ["pad", "3 elements"]),
    ("eye of negative", lambda: neurenix.eye(-1), ValueError, ["-1"]),
    ("topk of negative", lambda: X.topk(-1), ValueError, ["topk", "[0, 3]", "-1"]),
    ("narrow of negative", lambda: X.narrow(0, -1, 1), ValueError, ["-1"]),
    ("arange by 0", lambda: neurenix.arange(0, 1, 0), ValueError, ["arange", "step"]),
    ("huge step", lambda: neurenix.arange(0, 10, 2**63), ValueError, ["9223372036854775808", "64 bits"]),
    ("repeat too few", lambda: X.repeat(2), ValueError, ["repeat", "(2, 3)", "(2,)"]),
    ("decimals of ints", lambda: Tensor([12]).round(decimals=-1), TypeError, ["round", "int64", "float()"]),
    ("too many decimals", lambda: X.round(decimals=39), ValueError, ["38", "39"]),
    ("arange to nowhere", lambda: neurenix.arange(0, float("inf")), ValueError, ["arange", "finite"]),
    ("topk too many", lambda: X.topk(4), ValueError, ["topk", "4", "3"]),
    ("bmm of matrices", lambda: X.bmm(X), ValueError, ["bmm"]),
    ("dot of matrices", lambda: X.dot(X), ValueError, ["dot"]),
    ("max of nothing", lambda: neurenix.zeros(0).max(), ValueError, ["max"]),
    ("argmax of nothing", lambda: neurenix.zeros(0, 2).argmax(0), ValueError, ["argmax"]),
    ("len of a scalar", lambda: len(Tensor(1.0)), TypeError, ["dimension"]),
    ("iteration of a scalar", lambda: list(Tensor(1.0)), TypeError, ["dimension"]),
    ("item of many", lambda: X.item(), ValueError, ["(2, 3)"]),
    ("truth of many", lambda: bool(X), ValueError, ["any", "all"]),
    ("float of many", lambda: float(X), ValueError, ["(2, 3)"]),
    ("format of many", lambda: f"{X:.2f}", TypeError, [".2f", "(2, 3)", "one element"]),
    ("index of a float", lambda: [1][Tensor(0.5)], TypeError, ["integer"]),
    # indices and labels
    ("index too high", lambda: X[2], IndexError, ["2", "(2, 3)"]),
    ("index too low", lambda: X[-3], IndexError, ["-3", "2"]),
    ("too many indices", lambda: X[0, 0, 0], IndexError, ["3", "(2, 3)"]),
    ("two ellipses", lambda: X[..., ...], IndexError, ["ellipsis"]),
    ("float index", lambda: X[1.0], IndexError, ["float"]),
    ("text index", lambda: X["a"], IndexError, ["str"]),
    ("float index tensor", lambda: X[Tensor([1.0])], IndexError, ["float32", "long"]),
    ("huge index", lambda: X[2**70], IndexError, ["64"]),
    ("index tensor too high", lambda: X[Tensor([0, 2])], IndexError, ["index 2", "size 2"]),
    ("index tensor too low", lambda: X[Tensor([0, -3])], IndexError, ["-3"]),
    ("mask misfits", lambda: X[Tensor([True])], IndexError, ["mask", "(2, 3)"]),
    ("slice by 0", lambda: X[::0], ValueError, ["step", "zero"]),
    ("slice by float", lambda: X[0.5:], TypeError, ["integer"]),
    ("assign misfits", lambda: X.clone().__setitem__(0, neurenix.ones(2)), ValueError, ["(2,)", "(3,)"]),
    ("assign to a leaf", lambda: leaf().__setitem__(0, 1.0), RuntimeError, ["leaf", "no_grad"]),
    ("gather too high", lambda: X.gather(0, Tensor([[2, 0, 0]])), IndexError, ["index 2", "size 2"]),
    ("gather too low", lambda: X.gather(0, Tensor([[-1, 0, 0]])), IndexError, ["index -1", "size 2"]),
    ("gather by floats", lambda: X.gather(0, neurenix.zeros(1, 3)), TypeError, ["gather", "float32"]),
    ("index_select too high", lambda: X.index_select(1, Tensor([3])), IndexError, ["3"]),
    ("scatter too high", lambda: X.scatter_add(0, Tensor([[5]]), X), IndexError, ["5"]),
    ("index_select too low", lambda: X.index_select(1, Tensor([-1])), IndexError, ["index -1", "size 3"]),
    ("scatter too low", lambda: X.scatter_add(0, Tensor([[-1]]), X), IndexError, ["index -1", "size 2"]),
    ("take too low", lambda: X.take_along_dim(Tensor([[-3]]), 0), IndexError, ["-3", "size 2"]),
    ("one_hot of negative", lambda: Tensor([-1]).one_hot(), (ValueError, IndexError), ["one_hot", "-1"]),
    ("one_hot too few", lambda: Tensor([3]).one_hot(3), (ValueError, IndexError), ["one_hot", "3"]),
    ("embedding too high", lambda: F.embedding(Tensor([2]), X), IndexError, ["2"]),
    ("embedding too low", lambda: F.embedding(Tensor([-1]), X), IndexError, ["index -1", "size 2"]),
    ("embedding of floats", lambda: F.embedding(X, X), TypeError, ["embedding", "float32"]),
    ("label too high", lambda: F.cross_entropy(X, Tensor([0, 3])), IndexError, ["label 3", "3 classes"]),
    ("label negative", lambda: F.cross_entropy(X, Tensor([0, -1])), IndexError, ["label -1"]),
    ("labels misfit", lambda: F.cross_entropy(X, Tensor([0, 1, 2])), ValueError, ["(2,)", "(3,)"]),
    ("nll label too high", lambda: F.nll_loss(X, Tensor([0, 3])), IndexError, ["3"]),
    ("nll label negative", lambda: F.nll_loss(X, Tensor([0, -1])), IndexError, ["-1"]),
    ("nll labels misfit", lambda: F.nll_loss(X, Tensor([0])), ValueError, ["(1,)", "(2,)"]),
    ("nll of floats", lambda: F.nll_loss(X, X), (TypeError, ValueError), ["float32"]),
    ("ragged list", lambda: Tensor([[1, 2], [3]]), ValueError, ["data[0] has 2", "data[1] has 1"]),
    ("deep ragged list", lambda: Tensor([[[1], [2]], [[3], [4, 5]]]), ValueError, ["data[1][1] has 2"]),
    ("list beside a number", lambda: Tensor([[1], 2]), ValueError, ["data[0] has 1", "data[1] is a number"]),
    # numbers that an integer dtype does not hold
    ("byte too large", lambda: Tensor([300], dtype="uint8"), ValueError, ["300", "uint8", "0 to 255"]),
    ("byte negative", lambda: Tensor(-1, dtype="uint8"), ValueError, ["-1", "uint8", "0 to 255"]),
    ("byte of an array", lambda: Tensor(np.array([7, -3]), dtype="uint8"), ValueError, ["-3", "uint8"]),
    ("byte of a tensor", lambda: Tensor(Tensor([256]), dtype="uint8"), ValueError, ["256", "uint8"]),
    ("byte of a float", lambda: Tensor([255.5, 256.0], dtype="uint8"), ValueError, ["256", "uint8"]),
    ("int32 too large", lambda: Tensor([2**31], dtype="int32"), ValueError, ["2147483648", "2147483647"]),
    ("int of nan", lambda: Tensor([float("nan")], dtype="int64"), ValueError, ["NaN", "int64"]),
    ("int of 2^63", lambda: Tensor([2.0**63], dtype="int64"), ValueError, ["9223372036854775808"]),
    ("full byte", lambda: neurenix.full((2,), 300, dtype="uint8"), ValueError, ["full", "300", "255"]),
    ("fill with 300", lambda: neurenix.zeros(2, dtype="uint8").fill_(300), ValueError, ["fill_", "300"]),
    ("assign 300", lambda: neurenix.zeros(2, dtype="uint8").__setitem__(0, 300), ValueError, ["300"]),
    ("count past a byte", lambda: neurenix.arange(0, 300, dtype="uint8"), ValueError, ["299", "uint8"]),
    ("line past a byte", lambda: neurenix.linspace(0, 300, 3, dtype="uint8"), ValueError, ["300", "uint8"]),
    # dtypes
    ("unknown dtype", lambda: Tensor([1], dtype="float8"), ValueError, ["float8", "float32"]),
    ("dtype of nothing", lambda: Tensor([1], dtype=3), TypeError, ["dtype", "3"]),
    ("complex", lambda: Tensor(np.zeros(2, complex)), (TypeError, ValueError), ["complex"]),
    ("text", lambda: Tensor("abc"), (TypeError, ValueError), ["str"]),
    ("texts", lambda: Tensor(np.array(["a", "b"])), (TypeError, ValueError), ["str32"]),
    ("objects", lambda: Tensor(np.array([None, 1], dtype=object)), (TypeError, ValueError), ["object"]),
    ("times", lambda: Tensor(np.array(["2020-01-01"], "M8[D]")), (TypeError, ValueError), ["datetime64"]),
    ("none", lambda: Tensor(None), (TypeError, ValueError), []),
    ("huge int", lambda: Tensor(2**70), (OverflowError, ValueError), ["64"]),
    ("gradients of ints", lambda: Tensor([1], requires_grad=True), TypeError, ["int64", "float"]),
    ("negative of bools", lambda: -Tensor([True]), TypeError, ["neg", "bool"]),
    ("difference of bools", lambda: Tensor([True]) - Tensor([True]), TypeError, ["sub", "bool"]),
    ("bits of floats", lambda: X & X, TypeError, ["float32"]),
    ("int division by 0", lambda: Tensor([1]) // 0, ValueError, ["zero"]),
    ("int remainder by 0", lambda: Tensor([1]) % Tensor([0]), ValueError, ["zero"]),
    ("sum with 2^63", lambda: Tensor([1]) + 2**63, ValueError, ["9223372036854775808", "64 bits", "float"]),
    ("2^63 less ints", lambda: 2**63 - Tensor([1]), ValueError, ["9223372036854775808"]),
    ("2^63 in place", lambda: Tensor([1]).__iadd__(2**63), ValueError, ["9223372036854775808"]),
    ("compared with 2^63", lambda: Tensor([1]) == 2**63, ValueError, ["9223372036854775808"]),
    ("sum with text", lambda: X + "a", TypeError, ["str"]),
    ("matmul of dtypes", lambda: X @ X.T.long(), (TypeError, ValueError), ["float32", "int64"]),
    ("mean of ints", lambda: Tensor([1]).mean(), TypeError, ["mean", "int64"]),
    ("in place to ints", lambda: Tensor([1]).add_(0.5), TypeError, ["int64", "float32"]),
    ("random ints", lambda: neurenix.rand(2, dtype="int64"), TypeError, ["int64"]),
    ("float mask", lambda: neurenix.where("a", X, X), TypeError, []),
    # devices
    ("unknown device", lambda: neurenix.zeros(1, device="tpu"), ValueError, ["tpu", "cpu"]),
    ("absent device", lambda: neurenix.zeros(1, device="cuda:7"), RuntimeError, ["cuda:7"]),
    ("negative device", lambda: Device("cpu", -1), ValueError, ["-1"]),
    ("device of a number", lambda: neurenix.zeros(1, device=3), TypeError, ["3"]),
    # random numbers
    ("randint of nothing", lambda: neurenix.randint(3, 3, (2,)), ValueError, ["3"]),
    (
        "randint past float16",
        lambda: neurenix.randint(0, 65506, (2,), dtype="float16"),
        ValueError,
        ["65506", "65504"],
    ),
    ("uniform upside down", lambda: neurenix.zeros(2).uniform_(1, 0), ValueError, ["1", "0"]),
    ("negative std", lambda: neurenix.zeros(2).normal_(0, -1), ValueError, ["-1"]),
    ("p of 2", lambda: neurenix.zeros(2).bernoulli_(2), ValueError, ["[0, 1]", "2"]),
    (
        "randint past a byte",
        lambda: neurenix.randint(0, 257, (2,), dtype="uint8"),
        ValueError,
        ["257", "255"],
    ),
    (
        "randint below a byte",
        lambda: neurenix.randint(-1, 9, (2,), dtype="uint8"),
        ValueError,
        ["-1", "uint8"],
    ),
    ("randint of a float", lambda: neurenix.randint(1.5, (2,)), TypeError, ["randint", "1.5"]),
    ("randint without sizes", lambda: neurenix.randint(3), TypeError, ["randint", "size"]),
    ("seed of 2^64", lambda: neurenix.manual_seed(2**64), ValueError, ["2**64", "18446744073709551616"]),
    ("seed of 2^200", lambda: Generator(2**200), ValueError, ["seed", "2**64"]),
    ("seed below -2^63", lambda: Generator().manual_seed(-(2**63) - 1), ValueError, ["-2**63"]),
    ("text seed", lambda: Generator("1"), TypeError, ["str"]),
    # layers
    ("no outputs", lambda: nn.Linear(5, 0), ValueError, ["Linear", "out_features", "0"]),
    ("bool inputs", lambda: nn.Linear(True, 1), TypeError, ["Linear", "in_features", "True"]),
    ("float inputs", lambda: nn.Linear(5.0, 1), TypeError, ["Linear", "in_features", "5.0"]),
    ("dropout of 2", lambda: nn.Dropout(2), ValueError, ["Dropout", "[0, 1]", "2"]),
    ("dropout of nan", lambda: nn.Dropout(float("nan")), ValueError, ["Dropout", "nan"]),
    ("dropout of text", lambda: nn.Dropout("a"), TypeError, ["Dropout", "'a'"]),
    ("function dropout of 2", lambda: F.dropout(X, 2.0), ValueError, ["dropout", "2"]),
    ("embedding of nothing", lambda: nn.Embedding(0, 3), ValueError, ["num_embeddings", "0"]),
    ("padding too high", lambda: nn.Embedding(3, 3, padding_idx=3), ValueError, ["padding_idx", "3"]),
    ("norm of nothing", lambda: nn.LayerNorm(()), ValueError, ["normalized_shape"]),
    ("norm misfits", lambda: nn.LayerNorm(4)(X), ValueError, ["LayerNorm", "(4,)", "(2, 3)"]),
    ("linear misfits", lambda: nn.Linear(5, 1)(X), ValueError, ["Linear(5, 1)", "(2, 3)", "5"]),
    ("linear of ints", lambda: nn.Linear(3, 1)(X.long()), (TypeError, ValueError), ["int64", "float32"]),
    ("unknown reduction", lambda: nn.MSELoss(reduction="max"), ValueError, ["MSELoss", "'max'", "'mean'"]),
    ("function reduction", lambda: F.mse_loss(X, X, "max"), ValueError, ["max"]),
    ("loss misfits", lambda: F.mse_loss(X, neurenix.ones(2)), ValueError, ["(2, 3)", "(2,)"]),
    ("loss with an array", lambda: nn.MSELoss()(X, X.numpy()), TypeError, ["ndarray", "neurenix.Tensor("]),
    ("product with a list", lambda: X.matmul([1.0]), TypeError, ["list", "neurenix.Tensor("]),
    ("negative eps", lambda: F.layer_norm(X, (3,), eps=-1), ValueError, ["layer_norm", "eps", "-1"]),
    ("eps of nan", lambda: F.layer_norm(X, (3,), eps=float("nan")), ValueError, ["eps", "NaN"]),
    ("no probability", lambda: nn.BCELoss()(X * 1.5, X), ValueError, ["BCELoss", "input", "1.5", "[0, 1]"]),
    ("negative probability", lambda: nn.BCELoss()(-X, X), ValueError, ["input", "-1", "logits"]),
    ("nan probability", lambda: nn.BCELoss()(X * float("nan"), X), ValueError, ["input", "NaN"]),
    ("no target", lambda: nn.BCELoss(reduction="none")(X, X * 2), ValueError, ["target", "2"]),
    ("pretrained vector", lambda: nn.Embedding.from_pretrained(X[0]), ValueError, ["(3,)"]),
    ("pretrained list", lambda: nn.Embedding.from_pretrained([[1.0]]), ValueError, ["list"]),
    ("two devices", lambda: X.to("cpu", "cpu"), TypeError, ["to()", "'cpu'"]),
    ("flag behind two", lambda: X.to("cpu", "float64", True), TypeError, ["dtype", "True"]),
    ("smoothing of 2", lambda: nn.CrossEntropyLoss(label_smoothing=2), ValueError, ["label_smoothing", "2"]),
    ("class weights misfit", lambda: F.cross_entropy(X, LABELS, neurenix.ones(2)), ValueError, ["3", "(2,)"]),
    ("huber of 0", lambda: nn.HuberLoss(delta=0), ValueError, ["delta", "0"]),
    ("list in a row", lambda: nn.Sequential(nn.Linear(1, 1), abs), TypeError, ["Module", "builtin"]),
    ("kaiming of a vector", lambda: nn.init.kaiming_normal_(neurenix.zeros(3)), ValueError, ["(3,)", "two"]),
    ("unknown gain", lambda: nn.init.calculate_gain("sine"), ValueError, ["'sine'", "'relu'"]),
    # bytes
    ("too few bytes", lambda: Tensor.from_bytes(b"123", (1,), "float32"), ValueError, ["3", "4"]),
]


def leaf():
    return neurenix.ones(2, requires_grad=True)


@pytest.mark.parametrize(("call", "kind", "parts"), [row[1:] for row in BAD], ids=[row[0] for row in BAD])
def test_bad_input(call, kind, parts):
    with pytest.raises(kind) as caught:
        call()
    message = str(caught.value)
    assert "panic" not in message.lower()
    assert type(caught.value).__module__ == "builtins"
    for part in parts:
        assert part in message, message
    if parts:
        assert len(message) > 15, message


def test_dlpack_is_consumed_once():
    capsule = neurenix.ones(2).__dlpack__()

    class Holder:
        def __dlpack__(self, **_):
            return capsule

        def __dlpack_device__(self):
            return (1, 0)

    neurenix.from_dlpack(Holder())
    with pytest.raises((BufferError, ValueError, TypeError, RuntimeError)):
        neurenix.from_dlpack(Holder())


def test_dlpack_refuses_other_devices_and_gradients():
    with pytest.raises(BufferError):
        neurenix.ones(2).__dlpack__(dl_device=(2, 0))
    with pytest.raises((BufferError, RuntimeError), match="detach"):
        leaf().__dlpack__()


def test_nothing_changes_when_an_in_place_operation_fails():
    x = neurenix.ones(2, 3)
    for change in (
        lambda: x.add_(neurenix.ones(4)),
        lambda: x.copy_(neurenix.ones(3, 3)),
        lambda: x.add_("a"),
    ):
        with pytest.raises((ValueError, TypeError)):
            change()
    assert x.tolist() == [[1, 1, 1], [1, 1, 1]]
