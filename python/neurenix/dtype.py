"""The types of a tensor's elements.

Wherever a dtype is expected, NumPy's dtypes and strings are accepted too:

>>> import neurenix
>>> neurenix.zeros(2, dtype="float64").dtype == neurenix.float64
True
"""

from neurenix._phynexus import DType

__all__ = ["DType", "bfloat16", "bool", "float16", "float32", "float64", "int32", "int64", "uint8"]

float32 = DType("float32")
float64 = DType("float64")
float16 = DType("float16")
bfloat16 = DType("bfloat16")
int64 = DType("int64")
int32 = DType("int32")
uint8 = DType("uint8")
bool = DType("bool")
