//! Elementwise functions and operators. Each is a row of the engine's table of formulas.

use super::{Made, PyTensor};
use crate::convert::{Arg, Given, Other};
use crate::error::{run, to_python};
use phynexus::formula::ops::Op as Row;
use phynexus::{Category, DType, Operand, Tensor, Value};
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;

/// Runs a row of the table.
pub fn apply(py: Python<'_>, row: Row, operands: &[Operand<'_>], scalars: &[f64]) -> Made {
    let elements =
        operands.iter().map(|o| if let Operand::Tensor(t) = o { t.shape().elements() } else { 0 }).max();
    run(py, elements.unwrap_or(0), || phynexus::elementwise(row, operands, scalars).map(|mut r| r.remove(0)))
        .map(PyTensor)
}

/// `other * alpha`, if there is an alpha.
pub fn times(py: Python<'_>, other: Arg, alpha: Option<Arg>) -> PyResult<Arg> {
    let (factor, kind) = match alpha {
        None => return Ok(other),
        Some(Arg::Tensor(_)) => return Err(PyTypeError::new_err("alpha must be a number, got a tensor")),
        Some(Arg::Number(factor, kind)) => (factor, kind),
    };
    Ok(match other {
        Arg::Tensor(t) => {
            let factor = Operand::Number(factor, kind);
            Arg::Tensor(apply(py, Row::Mul, &[(&t).into(), factor], &[])?.0)
        }
        Arg::Number(x, own) => {
            let product = match (x, factor) {
                (Value::I(x), Value::I(a)) => Value::I(x.checked_mul(a).ok_or_else(|| {
                    PyValueError::new_err(format!("alpha: {x} times {a} does not fit into 64 bits"))
                })?),
                (x, a) => Value::F(x.as_f64() * a.as_f64()),
            };
            Arg::Number(product, own.max(kind))
        }
    })
}

/// What values are cut off at: the formula for numbers, of one kind, or the operation for each tensor.
pub enum Bounds {
    Numbers(Row, Vec<f64>, Category),
    Tensors(Vec<(Row, Arg)>),
}

impl Bounds {
    pub fn new(what: &str, t: &Tensor, min: Option<Arg>, max: Option<Arg>) -> PyResult<Bounds> {
        let min = min.map(|bound| within(what, t, bound, true)).transpose()?;
        let max = max.map(|bound| within(what, t, bound, false)).transpose()?;
        let row = match (&min, &max) {
            (Some(_), Some(_)) => Row::Clamp,
            (Some(_), None) => Row::ClampMin,
            (None, Some(_)) => Row::ClampMax,
            (None, None) => return Err(PyTypeError::new_err(format!("{what} needs min, max or both"))),
        };
        let numbers: Option<Vec<(f64, Category)>> = [&min, &max]
            .into_iter()
            .flatten()
            .map(|bound| match bound {
                // Integers beside integers are exact, as operands: the numbers of a formula are floats.
                Arg::Number(Value::I(_), _) if t.dtype().category() == Category::Integer => None,
                Arg::Number(value, kind) => Some((value.as_f64(), *kind)),
                Arg::Tensor(_) => None,
            })
            .collect();
        Ok(match numbers {
            Some(numbers) => {
                let kind = numbers.iter().map(|n| n.1).max().unwrap_or(Category::Bool);
                Bounds::Numbers(row, numbers.into_iter().map(|n| n.0).collect(), kind)
            }
            None => {
                let sides = [(Row::Maximum, min), (Row::Minimum, max)];
                Bounds::Tensors(sides.into_iter().filter_map(|(row, bound)| Some((row, bound?))).collect())
            }
        })
    }
}

/// An integer bound of integers as their dtype has it: on the side where it cuts off nothing, the last number of the
/// dtype does the same; on the other side it must fit.
fn within(what: &str, t: &Tensor, bound: Arg, is_min: bool) -> PyResult<Arg> {
    let Some(range) = t.dtype().integers().filter(|_| t.dtype() != DType::Bool) else { return Ok(bound) };
    let value = match &bound {
        Arg::Number(Value::I(value), _) => *value,
        Arg::Tensor(b) if b.shape().is_empty() && !t.shape().is_empty() && b.dtype().integers().is_some() => {
            b.array().first().map_err(to_python)?.as_i64()
        }
        _ => return Ok(bound),
    };
    let value = if is_min { value.max(*range.start()) } else { value.min(*range.end()) };
    t.dtype().check(what, Value::I(value)).map_err(to_python)?;
    Ok(Arg::Number(Value::I(value), Category::Integer))
}

/// Methods of one tensor.
macro_rules! unary {
    ($($name:ident $row:ident $doc:literal;)*) => {
        #[pymethods]
        impl PyTensor {
            $(
                #[doc = $doc]
                fn $name(&self, py: Python<'_>) -> Made {
                    apply(py, Row::$row, &[(&self.0).into()], &[])
                }
            )*
        }
    };
}

unary! {
    neg Neg "-x, elementwise.";
    abs Abs "|x|, elementwise.";
    sign Sign "-1, 0 or 1 by the sign, elementwise; the sign of 0 is 0, of NaN NaN.";
    exp Exp "e to the power of x, elementwise.";
    exp2 Exp2 "2 to the power of x, elementwise.";
    expm1 Expm1 "exp(x) - 1, accurate near 0.";
    log Log "The natural logarithm, elementwise; NaN below 0, -inf at 0.";
    log2 Log2 "The logarithm to base 2, elementwise.";
    log10 Log10 "The logarithm to base 10, elementwise.";
    log1p Log1p "log(1 + x), accurate near 0.";
    sqrt Sqrt "The square root, elementwise; NaN below 0.";
    rsqrt Rsqrt "1 / sqrt(x), elementwise.";
    square Square "x times x, elementwise.";
    reciprocal Reciprocal "1 / x, elementwise.";
    sin Sin "The sine of x in radians, elementwise.";
    cos Cos "The cosine of x in radians, elementwise.";
    asin Asin "The angle in radians whose sine is x, elementwise; NaN outside of -1 to 1.";
    acos Acos "The angle in radians whose cosine is x, elementwise; NaN outside of -1 to 1.";
    atan Atan "The angle in radians whose tangent is x, elementwise.";
    tan Tan "The tangent of x in radians, elementwise.";
    tanh Tanh "The hyperbolic tangent, elementwise.";
    sigmoid Sigmoid "1 / (1 + exp(-x)), elementwise.";
    erf Erf "The error function, elementwise.";
    floor Floor "The largest integer that is not larger, elementwise.";
    ceil Ceil "The smallest integer that is not smaller, elementwise.";
    trunc Trunc "The integer without what follows the point, elementwise.";
    isnan IsNan "Where the tensor is NaN.";
    isinf IsInf "Where the tensor is infinite.";
    isfinite IsFinite "Where the tensor is neither NaN nor infinite.";
    logical_not LogicalNot "Where the tensor is zero.";
    relu Relu "max(x, 0), elementwise.";
    silu Silu "x * sigmoid(x), elementwise (arXiv:1606.08415).";
    mish Mish "x * tanh(softplus(x)), elementwise (arXiv:1908.08681).";
    softsign Softsign "x / (1 + |x|), elementwise.";
    __neg__ Neg "-x";
    __abs__ Abs "abs(x)";
}

/// Methods of a tensor and a tensor or number.
macro_rules! binary {
    ($($name:ident $row:ident $doc:literal;)*) => {
        #[pymethods]
        impl PyTensor {
            $(
                #[doc = $doc]
                fn $name(&self, py: Python<'_>, other: Arg) -> Made {
                    apply(py, Row::$row, &[(&self.0).into(), other.operand()], &[])
                }
            )*
        }
    };
}

binary! {
    mul Mul "The product, elementwise, with broadcasting.";
    div Div "The quotient, elementwise, with broadcasting; integers become float32 first.";
    floor_divide FloorDivide "The quotient rounded towards minus infinity; with an infinite operand, the floor of `self / other`.";
    remainder Remainder "What floor division leaves; it has the sign of the divisor, 0 as well.";
    atan2 Atan2 "The angle of the point (other, self), elementwise, in radians.";
    minimum Minimum "The smaller of both, elementwise; NaN if either is.";
    maximum Maximum "The larger of both, elementwise; NaN if either is.";
    eq Eq "Where both are equal.";
    ne Ne "Where both differ.";
    lt Lt "Where the tensor is less than the other.";
    le Le "Where the tensor is not larger than the other.";
    gt Gt "Where the tensor is larger than the other.";
    ge Ge "Where the tensor is not less than the other.";
    logical_and LogicalAnd "Where both are not zero.";
    logical_or LogicalOr "Where one or both are not zero.";
    logical_xor LogicalXor "Where exactly one is not zero.";
}

/// Operators of a tensor and a tensor or number.
macro_rules! operator {
    ($($name:ident $row:ident $doc:literal;)*) => {
        #[pymethods]
        impl PyTensor {
            $(
                #[doc = $doc]
                fn $name(&self, py: Python<'_>, other: Other) -> Made {
                    apply(py, Row::$row, &[(&self.0).into(), other.get()?.operand()], &[])
                }
            )*
        }
    };
}

operator! {
    __add__ Add "self + other";
    __sub__ Sub "self - other";
    __mul__ Mul "self * other";
    __truediv__ Div "self / other";
    __floordiv__ FloorDivide "self // other";
    __mod__ Remainder "self % other";
    __and__ BitwiseAnd "self & other";
    __or__ BitwiseOr "self | other";
    __xor__ BitwiseXor "self ^ other";
    __rand__ BitwiseAnd "other & self";
    __ror__ BitwiseOr "other | self";
    __rxor__ BitwiseXor "other ^ self";
    __radd__ Add "other + self";
    __rmul__ Mul "other * self";
}

#[pymethods]
impl PyTensor {
    /// self + alpha * other, elementwise, with broadcasting.
    ///
    /// Example:
    ///     >>> import neurenix
    ///     >>> neurenix.ones(2).add(neurenix.ones(2), alpha=3).tolist()
    ///     [4.0, 4.0]
    #[pyo3(signature = (other, *, alpha=None))]
    fn add(&self, py: Python<'_>, other: Arg, alpha: Option<Arg>) -> Made {
        apply(py, Row::Add, &[(&self.0).into(), times(py, other, alpha)?.operand()], &[])
    }
    /// self - alpha * other, elementwise, with broadcasting.
    #[pyo3(signature = (other, *, alpha=None))]
    fn sub(&self, py: Python<'_>, other: Arg, alpha: Option<Arg>) -> Made {
        apply(py, Row::Sub, &[(&self.0).into(), times(py, other, alpha)?.operand()], &[])
    }
    /// Raised to a power, elementwise.
    fn pow(&self, py: Python<'_>, exponent: Arg) -> Made {
        apply(py, Row::Pow, &[(&self.0).into(), exponent.operand()], &[])
    }
    fn __rsub__(&self, py: Python<'_>, other: Other) -> Made {
        apply(py, Row::Sub, &[other.get()?.operand(), (&self.0).into()], &[])
    }
    fn __rtruediv__(&self, py: Python<'_>, other: Other) -> Made {
        apply(py, Row::Div, &[other.get()?.operand(), (&self.0).into()], &[])
    }
    fn __rfloordiv__(&self, py: Python<'_>, other: Other) -> Made {
        apply(py, Row::FloorDivide, &[other.get()?.operand(), (&self.0).into()], &[])
    }
    fn __rmod__(&self, py: Python<'_>, other: Other) -> Made {
        apply(py, Row::Remainder, &[other.get()?.operand(), (&self.0).into()], &[])
    }
    fn __pow__(&self, py: Python<'_>, other: Other, modulo: Option<&Bound<'_, PyAny>>) -> Made {
        if modulo.is_some() {
            return Err(PyTypeError::new_err("pow() with a modulus is not supported for tensors"));
        }
        apply(py, Row::Pow, &[(&self.0).into(), other.get()?.operand()], &[])
    }
    fn __rpow__(&self, py: Python<'_>, other: Other, _modulo: Option<&Bound<'_, PyAny>>) -> Made {
        apply(py, Row::Pow, &[other.get()?.operand(), (&self.0).into()], &[])
    }
    fn __pos__(&self) -> PyTensor {
        Clone::clone(self)
    }
    fn __invert__(&self, py: Python<'_>) -> Made {
        if self.0.dtype() == DType::Bool {
            return apply(py, Row::LogicalNot, &[(&self.0).into()], &[]);
        }
        let ones = if self.0.dtype() == DType::U8 { u8::MAX.into() } else { -1 };
        let ones = Operand::Number(Value::I(ones), Category::Integer);
        apply(py, Row::BitwiseXor, &[(&self.0).into(), ones], &[])
    }
    /// This tensor where the condition holds, else the other.
    #[pyo3(name = "where")]
    fn where_(&self, py: Python<'_>, condition: Given<'_, '_>, other: Arg) -> Made {
        apply(py, Row::Where, &[(&*condition).into(), (&self.0).into(), other.operand()], &[])
    }
    /// self + weight * (end - self), elementwise.
    fn lerp(&self, py: Python<'_>, end: Arg, weight: Arg) -> Made {
        apply(py, Row::Lerp, &[(&self.0).into(), end.operand(), weight.operand()], &[])
    }
    /// The nearest integer, or number of so many decimals, ties to even; -1 rounds to tens.
    ///
    /// Raises:
    ///     TypeError: decimals below 0 of integers.
    ///     ValueError: decimals below -38 or above 38.
    ///
    /// Example:
    ///     >>> import neurenix
    ///     >>> neurenix.Tensor([2.5, 0.123], dtype="float64").round(decimals=1).tolist()
    ///     [2.5, 0.1]
    #[pyo3(signature = (*, decimals=0))]
    fn round(&self, py: Python<'_>, decimals: i32) -> Made {
        let (x, dtype) = ((&self.0).into(), self.0.dtype());
        if !(-38..=38).contains(&decimals) {
            return Err(PyValueError::new_err(format!(
                "round: decimals must be in [-38, 38], got {decimals}"
            )));
        }
        match decimals {
            0 => apply(py, Row::Round, &[x], &[]),
            _ if dtype.is_float() => {
                apply(py, Row::RoundTo, &[x], &[10f64.powi(decimals.max(0)), 10f64.powi((-decimals).max(0))])
            }
            1.. => Ok(Clone::clone(self)),
            _ => Err(PyTypeError::new_err(format!(
                "round: decimals below 0 need a floating-point tensor, got {dtype}; convert with .float()"
            ))),
        }
    }
    #[pyo3(signature = (ndigits=None))]
    fn __round__(&self, py: Python<'_>, ndigits: Option<i32>) -> Made {
        self.round(py, ndigits.unwrap_or(0))
    }
    /// Cut off below `min` and above `max`, elementwise; None leaves a side open. Bounds are numbers, or tensors that
    /// broadcast.
    ///
    /// Example:
    ///     >>> import neurenix
    ///     >>> neurenix.Tensor([-1.0, 5.0]).clamp(0, 2).tolist()
    ///     [0.0, 2.0]
    #[pyo3(signature = (min=None, max=None))]
    fn clamp(&self, py: Python<'_>, min: Option<Arg>, max: Option<Arg>) -> Made {
        match Bounds::new("clamp", &self.0, min, max)? {
            Bounds::Numbers(row, bounds, kind) => {
                // A fraction among the bounds makes fractions of integers.
                let fraction = kind == Category::Float && !self.0.dtype().is_float();
                let x = if fraction { &self.cast(py, DType::F32)?.0 } else { &self.0 };
                apply(py, row, &[x.into()], &bounds)
            }
            Bounds::Tensors(bounds) => bounds.into_iter().try_fold(Clone::clone(self), |x, (row, bound)| {
                apply(py, row, &[(&x.0).into(), bound.operand()], &[])
            }),
        }
    }
    /// As `clamp`.
    #[pyo3(signature = (min=None, max=None))]
    fn clip(&self, py: Python<'_>, min: Option<Arg>, max: Option<Arg>) -> Made {
        self.clamp(py, min, max)
    }
    /// x times the probability that a normal variable is below x; "tanh" is the usual approximation (arXiv:1606.08415).
    #[pyo3(signature = (approximate="none"))]
    fn gelu(&self, py: Python<'_>, approximate: &str) -> Made {
        let row = match approximate {
            "none" => Row::Gelu,
            "tanh" => Row::GeluTanh,
            other => {
                let text = format!("gelu: approximate must be \"none\" or \"tanh\", got {other:?}");
                return Err(PyValueError::new_err(text));
            }
        };
        apply(py, row, &[(&self.0).into()], &[])
    }
    /// log(1 + exp(beta x)) / beta; x itself where beta x is above the threshold.
    #[pyo3(signature = (beta=1.0, threshold=20.0))]
    fn softplus(&self, py: Python<'_>, beta: f64, threshold: f64) -> Made {
        apply(py, Row::Softplus, &[(&self.0).into()], &[beta, threshold])
    }
    /// x where positive, negative_slope * x elsewhere.
    #[pyo3(signature = (negative_slope=0.01))]
    fn leaky_relu(&self, py: Python<'_>, negative_slope: f64) -> Made {
        apply(py, Row::LeakyRelu, &[(&self.0).into()], &[negative_slope])
    }
    /// x where positive, alpha * (exp(x) - 1) elsewhere (arXiv:1511.07289).
    #[pyo3(signature = (alpha=1.0))]
    fn elu(&self, py: Python<'_>, alpha: f64) -> Made {
        apply(py, Row::Elu, &[(&self.0).into()], &[alpha])
    }
}
