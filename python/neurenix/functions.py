"""The operations as functions of the package: `neurenix.exp(x)` is `x.exp()`.

Creation functions are the static methods of `Tensor`, which take a shape as a tuple or as separate numbers.
"""

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
abs = Tensor.abs
add = Tensor.add
allclose = Tensor.allclose
atan2 = Tensor.atan2
ceil = Tensor.ceil
clamp = Tensor.clamp
clip = Tensor.clip
div = Tensor.div
eq = Tensor.eq
equal = Tensor.equal
floor = Tensor.floor
floor_divide = Tensor.floor_divide
ge = Tensor.ge
gt = Tensor.gt
isclose = Tensor.isclose
isfinite = Tensor.isfinite
isinf = Tensor.isinf
isnan = Tensor.isnan
le = Tensor.le
lerp = Tensor.lerp
logical_and = Tensor.logical_and
logical_not = Tensor.logical_not
logical_or = Tensor.logical_or
logical_xor = Tensor.logical_xor
lt = Tensor.lt
maximum = Tensor.maximum
minimum = Tensor.minimum
mul = Tensor.mul
ne = Tensor.ne
neg = Tensor.neg
pow = Tensor.pow
reciprocal = Tensor.reciprocal
remainder = Tensor.remainder
round = Tensor.round
sign = Tensor.sign
square = Tensor.square
sub = Tensor.sub
trunc = Tensor.trunc

# Transcendental
acos = Tensor.acos
asin = Tensor.asin
atan = Tensor.atan
cos = Tensor.cos
erf = Tensor.erf
exp = Tensor.exp
exp2 = Tensor.exp2
expm1 = Tensor.expm1
gelu = Tensor.gelu
log = Tensor.log
log10 = Tensor.log10
log1p = Tensor.log1p
log2 = Tensor.log2
relu = Tensor.relu
rsqrt = Tensor.rsqrt
sigmoid = Tensor.sigmoid
sin = Tensor.sin
sqrt = Tensor.sqrt
tan = Tensor.tan
tanh = Tensor.tanh

# Reductions
all = Tensor.all
amax = Tensor.amax
amin = Tensor.amin
any = Tensor.any
argmax = Tensor.argmax
argmin = Tensor.argmin
cumsum = Tensor.cumsum
log_softmax = Tensor.log_softmax
logsumexp = Tensor.logsumexp
max = Tensor.max
mean = Tensor.mean
min = Tensor.min
norm = Tensor.norm
prod = Tensor.prod
softmax = Tensor.softmax
std = Tensor.std
sum = Tensor.sum
var = Tensor.var

# Products
bmm = Tensor.bmm
dot = Tensor.dot
matmul = Tensor.matmul
mm = Tensor.mm

# Shape
chunk = Tensor.chunk
flatten = Tensor.flatten
flip = Tensor.flip
narrow = Tensor.narrow
permute = Tensor.permute
reshape = Tensor.reshape
select = Tensor.select
split = Tensor.split
squeeze = Tensor.squeeze
t = Tensor.t
transpose = Tensor.transpose
tril = Tensor.tril
triu = Tensor.triu
unbind = Tensor.unbind
unflatten = Tensor.unflatten
unsqueeze = Tensor.unsqueeze

# Index and order
argsort = Tensor.argsort
gather = Tensor.gather
index_select = Tensor.index_select
masked_fill = Tensor.masked_fill
nonzero = Tensor.nonzero
one_hot = Tensor.one_hot
scatter_add = Tensor.scatter_add
sort = Tensor.sort
take_along_dim = Tensor.take_along_dim
topk = Tensor.topk
