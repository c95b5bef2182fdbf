"""The table of all operations that test_ops.py walks over: what to call, and what NumPy gives."""

from collections.abc import Callable
from dataclasses import dataclass, field
from math import erf, pi, sqrt
from typing import Any

import neurenix
import numpy as np
from neurenix import Tensor

ERF = np.vectorize(erf, otypes=[float])


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def softplus(x, beta=1.0, threshold=20.0):
    return np.where(x * beta > threshold, x, np.log1p(np.exp(np.minimum(x * beta, threshold))) / beta)


def softmax(x, axis):
    e = np.exp(x - x.max(axis, keepdims=True))
    return e / e.sum(axis, keepdims=True)


def logsumexp(x, axis, keepdims=False):
    top = x.max(axis, keepdims=True)
    total = np.log(np.exp(x - top).sum(axis, keepdims=True)) + top
    return total if keepdims else total.squeeze(axis)


def scatter_add(x, dim, index, source):
    result = x.copy()
    for at in np.ndindex(index.shape):
        place = list(at)
        place[dim] = index[at]
        result[tuple(place)] += source[at]
    return result


def layer_norm(x, w, b, eps):
    return (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + eps) * w + b


@dataclass(frozen=True)
class Op:
    """A row: what to call, what NumPy says, where to draw inputs, up to which order it can be differentiated."""

    name: str
    call: Callable[..., Any]
    reference: Callable[..., Any]
    domains: tuple[tuple[float, float], ...] = ((-2.0, 2.0),)
    shapes: tuple[tuple[int, ...], ...] = ((3, 4),)
    order: int = 2
    integers: bool = False
    half: bool = True
    extra: tuple[Any, ...] = field(default=())

    def inputs(self, dtype, rng):
        """Fresh tensors; integers are drawn a little wider, so that there are several of them."""
        arrays = []
        for k, shape in enumerate(self.shapes):
            low, high = self.domains[min(k, len(self.domains) - 1)]
            if neurenix.DType(dtype).is_floating_point:
                arrays.append(rng.uniform(low, high, shape))
            else:
                arrays.append(rng.integers(int(np.ceil(3 * low)), int(3 * high) + 1, shape))
        return [Tensor(array, dtype=dtype) for array in arrays]

    def run(self, *xs):
        """The outputs as a list."""
        outputs = self.call(*xs, *self.extra)
        return list(outputs) if isinstance(outputs, tuple) else [outputs]

    def expect(self, *xs):
        """What NumPy gives, as a list of arrays."""
        outputs = self.reference(*xs, *(np.array(e) if isinstance(e, Tensor) else e for e in self.extra))
        return [np.asarray(y) for y in (outputs if isinstance(outputs, tuple) else [outputs])]


REAL, WIDE, POSITIVE = (-2.0, 2.0), (-5.0, 5.0), (0.3, 3.0)
RATIO = (REAL, (0.4, 2.0))


def unary(name, reference, domain=REAL, **rest):
    return Op(name, getattr(Tensor, name), reference, (domain,), **rest)


def binary(name, reference, domains=(REAL,), **rest):
    """Two operands whose shapes are broadcast."""
    return Op(name, getattr(Tensor, name), reference, domains, ((3, 1, 2), (4, 1)), **rest)


def axis(name, call, reference, **rest):
    return Op(name, call, reference, **rest)


UNARY = [
    unary("neg", np.negative, integers=True),
    unary("abs", np.abs, integers=True),
    unary("sign", np.sign, integers=True),
    unary("square", np.square, integers=True),
    unary("reciprocal", np.reciprocal, POSITIVE),
    unary("exp", np.exp),
    unary("exp2", np.exp2),
    unary("expm1", np.expm1),
    unary("log", np.log, POSITIVE),
    unary("log2", np.log2, POSITIVE),
    unary("log10", np.log10, POSITIVE),
    unary("log1p", np.log1p, (-0.7, 2.0)),
    unary("sqrt", np.sqrt, POSITIVE),
    unary("rsqrt", lambda x: 1 / np.sqrt(x), POSITIVE),
    unary("sin", np.sin, WIDE),
    unary("cos", np.cos, WIDE),
    unary("tan", np.tan, (-1.2, 1.2)),
    unary("asin", np.arcsin, (-0.9, 0.9)),
    unary("acos", np.arccos, (-0.9, 0.9)),
    unary("atan", np.arctan, WIDE),
    unary("tanh", np.tanh),
    unary("sigmoid", sigmoid, WIDE),
    unary("erf", ERF),
    unary("floor", np.floor, WIDE, integers=True),
    unary("ceil", np.ceil, WIDE, integers=True),
    unary("trunc", np.trunc, WIDE, integers=True),
    unary("round", np.round, WIDE, integers=True),
    Op("round to 1", lambda x: x.round(decimals=1), lambda x: np.round(x, 1), half=False),
    unary("relu", lambda x: np.maximum(x, 0), integers=True),
    unary("gelu", lambda x: x * (1 + ERF(x / sqrt(2))) / 2, WIDE),
    Op(
        "gelu tanh",
        lambda x: x.gelu("tanh"),
        lambda x: x / 2 * (1 + np.tanh(sqrt(2 / pi) * (x + 0.044715 * x**3))),
        (WIDE,),
    ),
    unary("silu", lambda x: x * sigmoid(x), WIDE),
    unary("mish", lambda x: x * np.tanh(softplus(x)), WIDE),
    unary("softsign", lambda x: x / (1 + np.abs(x)), WIDE),
    Op("softplus", lambda x: x.softplus(1.5, 3.0), lambda x: softplus(x, 1.5, 3.0), (WIDE,)),
    Op("leaky_relu", lambda x: x.leaky_relu(0.1), lambda x: np.where(x > 0, x, 0.1 * x)),
    Op("elu", lambda x: x.elu(1.3), lambda x: np.where(x > 0, x, 1.3 * np.expm1(x)), (WIDE,)),
    Op("clamp", lambda x: x.clamp(-1, 1), lambda x: np.clip(x, -1, 1), integers=True),
    Op("clamp min", lambda x: x.clamp(min=1), lambda x: np.maximum(x, 1), integers=True),
    Op("clamp max", lambda x: x.clamp(max=1), lambda x: np.minimum(x, 1), integers=True),
    unary("isnan", np.isnan, order=0, integers=True),
    unary("isinf", np.isinf, order=0, integers=True),
    unary("isfinite", np.isfinite, order=0, integers=True),
    unary("logical_not", np.logical_not, order=0, integers=True),
]

BINARY = [
    binary("add", np.add, integers=True),
    binary("sub", np.subtract, integers=True),
    binary("mul", np.multiply, integers=True),
    binary("div", np.divide, RATIO),
    binary("floor_divide", np.floor_divide, RATIO, integers=True),
    binary("remainder", np.remainder, RATIO, integers=True),
    binary("pow", np.power, ((0.3, 2.0), REAL)),
    binary("atan2", np.arctan2, ((0.3, 2.0), REAL)),
    binary("minimum", np.minimum, integers=True),
    binary("maximum", np.maximum, integers=True),
    *(
        binary(name, function, order=0, integers=True)
        for name, function in [
            ("eq", np.equal),
            ("ne", np.not_equal),
            ("lt", np.less),
            ("le", np.less_equal),
            ("gt", np.greater),
            ("ge", np.greater_equal),
            ("logical_and", np.logical_and),
            ("logical_or", np.logical_or),
            ("logical_xor", np.logical_xor),
        ]
    ),
    Op(
        "add alpha",
        lambda a, b: a.add(b, alpha=3),
        lambda a, b: a + 3 * b,
        shapes=((2, 3), (3,)),
        integers=True,
    ),
    Op(
        "sub alpha",
        lambda a, b: a.sub(b, alpha=3),
        lambda a, b: a - 3 * b,
        shapes=((2, 3), (3,)),
        integers=True,
    ),
    Op("lerp", lambda a, b: a.lerp(b, 0.7), lambda a, b: a + 0.7 * (b - a), shapes=((2, 3), (3,))),
    Op(
        "where",
        lambda a, b: neurenix.where(a > b, a, b * 2),
        lambda a, b: np.where(a > b, a, b * 2),
        shapes=((2, 1), (1, 3)),
        integers=True,
    ),
    Op(
        "masked_fill",
        lambda x, mask: x.masked_fill(mask, 7),
        lambda x, mask: np.where(mask, 7, x),
        extra=(Tensor([True, False, True, False]),),
        integers=True,
    ),
    Op("reflected", lambda x: 2 - x + 3 / x, lambda x: 2 - x + 3 / x, (POSITIVE,)),
    Op("reflected power", lambda x: 2**x, lambda x: 2.0**x),
]

SORTED = {"shapes": ((4, 5),)}
REDUCE = [
    axis("sum", Tensor.sum, np.sum, integers=True),
    axis("sum 0", lambda x: x.sum(0), lambda x: x.sum(0), integers=True),
    axis("sum keep", lambda x: x.sum(-1, True), lambda x: x.sum(-1, keepdims=True), integers=True),
    axis("sum two", lambda x: x.sum((0, 2)), lambda x: x.sum((0, 2)), shapes=((2, 3, 4),)),
    axis("mean", Tensor.mean, np.mean),
    axis(
        "mean two",
        lambda x: x.mean((0, -1), True),
        lambda x: x.mean((0, -1), keepdims=True),
        shapes=((2, 3, 4),),
    ),
    axis("prod", Tensor.prod, np.prod, domains=((0.5, 1.5),)),
    axis("prod 1", lambda x: x.prod(1), lambda x: x.prod(1), integers=True),
    axis("max", Tensor.max, np.max, order=1, integers=True),
    axis("max 1", lambda x: x.max(1), lambda x: (x.max(1), x.argmax(1)), integers=True),
    axis("min 0", lambda x: x.min(0), lambda x: (x.min(0), x.argmin(0)), integers=True),
    axis("amax", lambda x: x.amax((0, 2)), lambda x: x.max((0, 2)), shapes=((2, 3, 4),)),
    axis("amin", lambda x: x.amin(1, True), lambda x: x.min(1, keepdims=True)),
    axis("argmax", Tensor.argmax, np.argmax, order=0, integers=True),
    axis("argmin 1", lambda x: x.argmin(1), lambda x: x.argmin(1), order=0, integers=True),
    axis("any", lambda x: (x > 1).any(1), lambda x: (x > 1).any(1), order=0, integers=True),
    axis("all", lambda x: (x > -1).all(0), lambda x: (x > -1).all(0), order=0, integers=True),
    axis("var", Tensor.var, lambda x: x.var(ddof=1)),
    axis("var 1", lambda x: x.var(1, correction=0), lambda x: x.var(1)),
    axis("var biased", lambda x: x.var(axis=1, unbiased=False), lambda x: x.var(1)),
    axis("std", lambda x: x.std(0, keepdim=True), lambda x: x.std(0, ddof=1, keepdims=True)),
    axis("norm", Tensor.norm, lambda x: np.sqrt((x * x).sum())),
    axis("norm fro", lambda x: x.norm("fro", (0, 1)), lambda x: np.sqrt((x * x).sum())),
    axis("norm 1", lambda x: x.norm(1, 0), lambda x: np.abs(x).sum(0)),
    axis("norm 3", lambda x: x.norm(3, 1), lambda x: (np.abs(x) ** 3).sum(1) ** (1 / 3)),
    axis("norm inf", lambda x: x.norm(float("inf"), 1), lambda x: np.abs(x).max(1)),
    axis("logsumexp", lambda x: x.logsumexp(1), lambda x: logsumexp(x, 1)),
    axis("logsumexp 0", lambda x: x.logsumexp(0, True), lambda x: logsumexp(x, 0, True)),
    axis("cumsum", lambda x: x.cumsum(0), lambda x: x.cumsum(0), integers=True),
    axis("cumsum -1", lambda x: x.cumsum(-1), lambda x: x.cumsum(-1), integers=True),
    axis("softmax", lambda x: x.softmax(1), lambda x: softmax(x, 1)),
    axis("softmax 0", lambda x: x.softmax(0), lambda x: softmax(x, 0)),
    axis("log_softmax", lambda x: x.log_softmax(-1), lambda x: np.log(softmax(x, -1))),
    axis(
        "log_softmax middle", lambda x: x.log_softmax(1), lambda x: np.log(softmax(x, 1)), shapes=((2, 3, 2),)
    ),
]

PRODUCT = [
    Op(f"matmul {a} {b}", Tensor.matmul, np.matmul, shapes=(a, b), half=False)
    for a, b in [
        ((3,), (3,)),
        ((2, 3), (3,)),
        ((3,), (3, 4)),
        ((2, 3), (3, 4)),
        ((5, 2, 3), (3, 4)),
        ((2, 3), (5, 3, 4)),
        ((5, 1, 2, 3), (4, 3, 2)),
        ((2, 4, 3), (3,)),
        ((1, 3), (3, 1)),
    ]
]
PRODUCT += [
    Op("mm", Tensor.mm, np.matmul, shapes=((2, 3), (3, 2)), half=False),
    Op("bmm", Tensor.bmm, np.matmul, shapes=((4, 2, 3), (4, 3, 2)), half=False),
    Op("dot", Tensor.dot, np.dot, shapes=((5,), (5,)), half=False),
    Op(
        "matmul transposed",
        lambda a, b: a.T @ b.T,
        lambda a, b: a.T @ b.T,
        shapes=((3, 2), (4, 3)),
        half=False,
    ),
    Op(
        "linear",
        neurenix.nn.functional.linear,
        lambda x, w, b: x @ w.T + b,
        shapes=((2, 3, 4), (5, 4), (5,)),
        half=False,
    ),
    Op(
        "linear activation",
        lambda x, w, b: neurenix._phynexus.linear(x, w, b, "silu"),
        lambda x, w, b: (x @ w.T + b) * sigmoid(x @ w.T + b),
        shapes=((3, 4), (5, 4), (5,)),
        half=False,
    ),
    Op(
        "layer_norm",
        lambda x, w, b: neurenix.nn.functional.layer_norm(x, (4,), w, b, 0.01),
        lambda x, w, b: layer_norm(x, w, b, 0.01),
        shapes=((3, 4), (4,), (4,)),
    ),
]

SHAPE = [
    Op("reshape", lambda x: x.reshape(4, -1), lambda x: x.reshape(4, -1), integers=True),
    Op("view", lambda x: x.view(2, 6), lambda x: x.reshape(2, 6), integers=True),
    Op("flatten", lambda x: x.flatten(1), lambda x: x.reshape(2, 12), shapes=((2, 3, 4),)),
    Op("unflatten", lambda x: x.unflatten(1, (2, -1)), lambda x: x.reshape(3, 2, 2)),
    Op("squeeze", lambda x: x.squeeze(), np.squeeze, shapes=((1, 3, 1),)),
    Op("squeeze dim", lambda x: x.squeeze(0), lambda x: x.squeeze(0), shapes=((1, 3, 1),)),
    Op("unsqueeze", lambda x: x.unsqueeze(-1), lambda x: x[..., None]),
    Op("transpose", lambda x: x.transpose(0, 2), lambda x: x.swapaxes(0, 2), shapes=((2, 3, 4),)),
    Op("t", Tensor.t, np.transpose),
    Op("permute", lambda x: x.permute(2, 0, 1), lambda x: x.transpose(2, 0, 1), shapes=((2, 3, 4),)),
    Op("expand", lambda x: x.expand(2, -1, 4), lambda x: np.broadcast_to(x, (2, 3, 4)), shapes=((3, 1),)),
    Op("repeat", lambda x: x.repeat(2, 1, 3), lambda x: np.tile(x, (2, 1, 3)), integers=True),
    Op("flip", lambda x: x.flip((0, 1)), lambda x: x[::-1, ::-1]),
    Op("split", lambda x: x.split(2, 1), lambda x: tuple(np.split(x, [2], 1)), shapes=((2, 3),)),
    Op("split sizes", lambda x: x.split((1, 2)), lambda x: (x[:1], x[1:])),
    Op("chunk", lambda x: x.chunk(2, 1), lambda x: (x[:, :2], x[:, 2:])),
    Op("unbind", lambda x: x.unbind(1), lambda x: tuple(x.T)),
    Op("narrow", lambda x: x.narrow(1, 1, 2), lambda x: x[:, 1:3]),
    Op("select", lambda x: x.select(1, -1), lambda x: x[:, -1]),
    Op("pad", lambda x: x.pad((1, 2, 0, 1), 5), lambda x: np.pad(x, ((0, 1), (1, 2)), constant_values=5)),
    Op("crop", lambda x: x.pad((-1, 1, 2, -1)), lambda x: np.pad(x[:-1, 1:], ((2, 0), (0, 1)))),
    Op("tril", lambda x: x.tril(1), lambda x: np.tril(x, 1), integers=True),
    Op("triu", lambda x: x.triu(-1), lambda x: np.triu(x, -1), integers=True),
    Op("clone", Tensor.clone, np.copy, integers=True),
    Op("contiguous", lambda x: x.T.contiguous(), lambda x: x.T, integers=True),
    Op(
        "cat",
        lambda a, b: neurenix.cat([a, b], 1),
        lambda a, b: np.concatenate([a, b], 1),
        shapes=((2, 3), (2, 1)),
    ),
    Op(
        "stack",
        lambda a, b: neurenix.stack([a, b], -1),
        lambda a, b: np.stack([a, b], -1),
        shapes=((2, 3), (2, 3)),
    ),
    Op("T", lambda x: x.T, np.transpose, integers=True),
    Op("mT", lambda x: x.mT, lambda x: x.swapaxes(-1, -2), shapes=((2, 3, 4),)),
]

PLACES = Tensor([[0, 2, 1, 1], [2, 2, 0, 1]])
INDEX = [
    Op("gather", lambda x, i: x.gather(0, i), lambda x, i: np.take_along_axis(x, i, 0), extra=(PLACES,)),
    Op(
        "take_along_dim",
        lambda x, i: x.take_along_dim(i, 0),
        lambda x, i: np.take_along_axis(x, i, 0),
        extra=(PLACES,),
    ),
    Op(
        "index_select",
        lambda x, i: x.index_select(1, i),
        lambda x, i: x[:, i],
        extra=(Tensor([3, 0, 3]),),
        integers=True,
    ),
    Op(
        "scatter_add",
        lambda x, s, i: x.scatter_add(0, i, s),
        lambda x, s, i: scatter_add(x, 0, i, s),
        shapes=((3, 4), (2, 4)),
        extra=(PLACES,),
    ),
    Op("sort", lambda x: x.sort(1), lambda x: (np.sort(x, 1), np.argsort(x, 1)), **SORTED),
    Op("sort down", lambda x: x.sort(0, True), lambda x: (-np.sort(-x, 0), np.argsort(-x, 0)), **SORTED),
    Op("argsort", lambda x: x.argsort(1, stable=True), lambda x: np.argsort(x, 1), order=0, **SORTED),
    Op("topk", lambda x: x.topk(2), lambda x: (-np.sort(-x)[:, :2], np.argsort(-x)[:, :2]), **SORTED),
    Op("nonzero", lambda x: (x > 0).nonzero(), lambda x: np.argwhere(x > 0), order=0, integers=True),
    Op(
        "embedding",
        lambda w, i: neurenix.nn.functional.embedding(i, w),
        lambda w, i: w[i],
        extra=(Tensor([[2, 0], [1, 2]]),),
    ),
]

OPS = UNARY + BINARY + REDUCE + PRODUCT + SHAPE + INDEX
