"""The operations as functions of the package: `neurenix.exp(x)` is `x.exp()`.

Creation functions are the static methods of `Tensor`, which take a shape as a tuple or as separate numbers.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, TypeVar, cast

from neurenix._phynexus import Tensor, cat, stack, where

__all__ = [
    "abs",
    "acos",
    "add",
    "all",
    "allclose",
    "amax",
    "amin",
    "any",
    "arange",
    "argmax",
    "argmin",
    "argsort",
    "asin",
    "atan",
    "atan2",
    "bmm",
    "cat",
    "ceil",
    "chunk",
    "clamp",
    "clip",
    "cos",
    "cumsum",
    "div",
    "dot",
    "empty",
    "empty_like",
    "eq",
    "equal",
    "erf",
    "exp",
    "exp2",
    "expm1",
    "eye",
    "flatten",
    "flip",
    "floor",
    "floor_divide",
    "from_dlpack",
    "full",
    "full_like",
    "gather",
    "ge",
    "gelu",
    "gt",
    "index_select",
    "isclose",
    "isfinite",
    "isinf",
    "isnan",
    "le",
    "lerp",
    "linspace",
    "log",
    "log1p",
    "log2",
    "log10",
    "log_softmax",
    "logical_and",
    "logical_not",
    "logical_or",
    "logical_xor",
    "logsumexp",
    "lt",
    "masked_fill",
    "matmul",
    "max",
    "maximum",
    "mean",
    "min",
    "minimum",
    "mm",
    "mul",
    "narrow",
    "ne",
    "neg",
    "nonzero",
    "norm",
    "one_hot",
    "ones",
    "ones_like",
    "permute",
    "pow",
    "prod",
    "rand",
    "rand_like",
    "randint",
    "randn",
    "randn_like",
    "randperm",
    "reciprocal",
    "relu",
    "remainder",
    "reshape",
    "round",
    "rsqrt",
    "scatter_add",
    "select",
    "sigmoid",
    "sign",
    "sin",
    "softmax",
    "sort",
    "split",
    "sqrt",
    "square",
    "squeeze",
    "stack",
    "std",
    "sub",
    "sum",
    "t",
    "take_along_dim",
    "tan",
    "tanh",
    "topk",
    "transpose",
    "tril",
    "triu",
    "trunc",
    "unbind",
    "unflatten",
    "unsqueeze",
    "var",
    "where",
    "zeros",
    "zeros_like",
]

_Method = TypeVar("_Method", bound=Callable[..., Any])


def _function(method: _Method, reflected: str | None = None) -> _Method:
    """The method as a function, whose tensor may be called `input`.

    `reflected` is the second operand's method where the first is no tensor: `neurenix.pow(2, x)` is `2 ** x`.
    """
    name = method.__name__

    @functools.wraps(method)
    def function(input: Any, *args: Any, **kwargs: Any) -> Any:
        if isinstance(input, Tensor):
            return method(input, *args, **kwargs)
        if reflected is not None and len(args) == 1 and not kwargs and isinstance(args[0], Tensor):
            result = getattr(args[0], reflected)(input)
            if result is not NotImplemented:
                return result
        raise TypeError(
            f"{name}: input must be a Tensor, got {type(input).__name__}; make it one with neurenix.Tensor()"
        )

    function.__module__, function.__qualname__ = __name__, name
    return cast("_Method", function)


# Creation
arange = Tensor.arange
empty = Tensor.empty
empty_like = Tensor.empty_like
eye = Tensor.eye
from_dlpack = Tensor.from_dlpack
full = Tensor.full
full_like = Tensor.full_like
linspace = Tensor.linspace
ones = Tensor.ones
ones_like = Tensor.ones_like
rand = Tensor.rand
rand_like = Tensor.rand_like
randint = Tensor.randint
randn = Tensor.randn
randn_like = Tensor.randn_like
randperm = Tensor.randperm
zeros = Tensor.zeros
zeros_like = Tensor.zeros_like

# Arithmetic and comparison
abs = _function(Tensor.abs)
add = _function(Tensor.add, "__radd__")
allclose = _function(Tensor.allclose)
atan2 = _function(Tensor.atan2)
ceil = _function(Tensor.ceil)
clamp = _function(Tensor.clamp)
clip = _function(Tensor.clip)
div = _function(Tensor.div, "__rtruediv__")
eq = _function(Tensor.eq)
equal = _function(Tensor.equal)
floor = _function(Tensor.floor)
floor_divide = _function(Tensor.floor_divide, "__rfloordiv__")
ge = _function(Tensor.ge)
gt = _function(Tensor.gt)
isclose = _function(Tensor.isclose)
isfinite = _function(Tensor.isfinite)
isinf = _function(Tensor.isinf)
isnan = _function(Tensor.isnan)
le = _function(Tensor.le)
lerp = _function(Tensor.lerp)
logical_and = _function(Tensor.logical_and)
logical_not = _function(Tensor.logical_not)
logical_or = _function(Tensor.logical_or)
logical_xor = _function(Tensor.logical_xor)
lt = _function(Tensor.lt)
maximum = _function(Tensor.maximum)
minimum = _function(Tensor.minimum)
mul = _function(Tensor.mul, "__rmul__")
ne = _function(Tensor.ne)
neg = _function(Tensor.neg)
pow = _function(Tensor.pow, "__rpow__")
reciprocal = _function(Tensor.reciprocal)
remainder = _function(Tensor.remainder, "__rmod__")
round = _function(Tensor.round)
sign = _function(Tensor.sign)
square = _function(Tensor.square)
sub = _function(Tensor.sub, "__rsub__")
trunc = _function(Tensor.trunc)

# Transcendental
acos = _function(Tensor.acos)
asin = _function(Tensor.asin)
atan = _function(Tensor.atan)
cos = _function(Tensor.cos)
erf = _function(Tensor.erf)
exp = _function(Tensor.exp)
exp2 = _function(Tensor.exp2)
expm1 = _function(Tensor.expm1)
gelu = _function(Tensor.gelu)
log = _function(Tensor.log)
log10 = _function(Tensor.log10)
log1p = _function(Tensor.log1p)
log2 = _function(Tensor.log2)
relu = _function(Tensor.relu)
rsqrt = _function(Tensor.rsqrt)
sigmoid = _function(Tensor.sigmoid)
sin = _function(Tensor.sin)
sqrt = _function(Tensor.sqrt)
tan = _function(Tensor.tan)
tanh = _function(Tensor.tanh)

# Reductions
all = _function(Tensor.all)
amax = _function(Tensor.amax)
amin = _function(Tensor.amin)
any = _function(Tensor.any)
argmax = _function(Tensor.argmax)
argmin = _function(Tensor.argmin)
cumsum = _function(Tensor.cumsum)
log_softmax = _function(Tensor.log_softmax)
logsumexp = _function(Tensor.logsumexp)
max = _function(Tensor.max)
mean = _function(Tensor.mean)
min = _function(Tensor.min)
norm = _function(Tensor.norm)
prod = _function(Tensor.prod)
softmax = _function(Tensor.softmax)
std = _function(Tensor.std)
sum = _function(Tensor.sum)
var = _function(Tensor.var)

# Products
bmm = _function(Tensor.bmm)
dot = _function(Tensor.dot)
matmul = _function(Tensor.matmul)
mm = _function(Tensor.mm)

# Shape
chunk = _function(Tensor.chunk)
flatten = _function(Tensor.flatten)
flip = _function(Tensor.flip)
narrow = _function(Tensor.narrow)
permute = _function(Tensor.permute)
reshape = _function(Tensor.reshape)
select = _function(Tensor.select)
split = _function(Tensor.split)
squeeze = _function(Tensor.squeeze)
t = _function(Tensor.t)
transpose = _function(Tensor.transpose)
tril = _function(Tensor.tril)
triu = _function(Tensor.triu)
unbind = _function(Tensor.unbind)
unflatten = _function(Tensor.unflatten)
unsqueeze = _function(Tensor.unsqueeze)

# Index and order
argsort = _function(Tensor.argsort)
gather = _function(Tensor.gather)
index_select = _function(Tensor.index_select)
masked_fill = _function(Tensor.masked_fill)
nonzero = _function(Tensor.nonzero)
one_hot = _function(Tensor.one_hot)
scatter_add = _function(Tensor.scatter_add)
sort = _function(Tensor.sort)
take_along_dim = _function(Tensor.take_along_dim)
topk = _function(Tensor.topk)
