//! CUDA C and HIP C: one language. Both run-time compilers know their own declarations without a header.

use super::{Dialect, Language, PrintError};
use crate::{Binary, Constant, Formula, Reduction, Type, Unary};

pub(super) struct C;

fn name(ty: Type) -> &'static str {
    match ty {
        Type::F32 => "float",
        Type::F64 => "double",
        Type::I32 => "int",
        Type::I64 => "long long",
        Type::Bool => "bool",
    }
}

/// Arithmetic that wraps: signed overflow has no meaning in C.
fn wrapping(ty: Type, a: &str, op: &str, b: &str) -> String {
    match ty {
        Type::I32 => format!("(int)((unsigned){a} {op} (unsigned){b})"),
        Type::I64 => format!("(long long)((unsigned long long){a} {op} (unsigned long long){b})"),
        _ => format!("{a} {op} {b}"),
    }
}

impl Language for C {
    fn check(&self, _: &Formula, _: Dialect) -> Result<(), PrintError> {
        Ok(())
    }

    fn helpers(&self) -> &'static [(&'static str, &'static str)] {
        HELPERS
    }

    fn function(&self, function: &str, from: &[Type], to: Type) -> String {
        let from: Vec<String> =
            from.iter().enumerate().map(|(i, ty)| format!("{} x{i}", name(*ty))).collect();
        format!("__device__ {} {function}({})", name(to), from.join(", "))
    }
    fn declare(&self, ty: Type, variable: &str, value: &str) -> String {
        format!("const {} {variable} = {value};", name(ty))
    }
    fn variable(&self, ty: Type, variable: &str, value: &str) -> String {
        format!("{} {variable} = {value};", name(ty))
    }
    fn position(&self, of: &str) -> String {
        format!("(long long){of}")
    }

    fn constant(&self, c: Constant) -> String {
        let (float, int) = (c.as_f64(), c.as_i64());
        match c.ty {
            Type::Bool => (int != 0).to_string(),
            Type::I32 if int == i32::MIN as i64 => format!("({} - 1)", int + 1),
            Type::I32 => format!("({int})"),
            Type::I64 if int == i64::MIN => format!("({}ll - 1)", int + 1),
            Type::I64 => format!("({int}ll)"),
            Type::F32 if float.is_finite() => format!("({:?}f)", float as f32),
            Type::F64 if float.is_finite() => format!("({float:?})"),
            Type::F32 => format!("__uint_as_float({:#x}u)", (float as f32).to_bits()),
            Type::F64 => format!("__longlong_as_double({:#x}ll)", float.to_bits()),
        }
    }

    fn unary(&self, op: Unary, ty: Type, a: &str) -> String {
        let one = self.constant(Constant::number(ty, 1.0));
        let call = |function: &str| format!("{function}{}({a})", if ty == Type::F32 { "f" } else { "" });
        match op {
            Unary::Neg if ty.is_float() => format!("-{a}"),
            Unary::Neg => wrapping(ty, "0", "-", a),
            Unary::Not => format!("!{a}"),
            Unary::Detach => a.into(),
            Unary::Floor | Unary::Ceil | Unary::Round if !ty.is_float() => a.into(),
            Unary::Abs if ty.is_float() => call("fabs"),
            Unary::Abs => format!("{a} < 0 ? {} : {a}", wrapping(ty, "0", "-", a)),
            Unary::Sign => format!("({0})({a} > 0) - ({0})({a} < 0)", name(ty)),
            Unary::Sigmoid => {
                format!("{one} / ({one} + {}(-{a}))", if ty == Type::F32 { "expf" } else { "exp" })
            }
            Unary::IsNan => format!("isnan({a})"),
            Unary::IsFinite => format!("isfinite({a})"),
            Unary::Round => call("rint"),
            Unary::Bits if ty == Type::F32 => format!("__float_as_int({a})"),
            Unary::Bits => format!("__double_as_longlong({a})"),
            Unary::FromBits if ty == Type::I32 => format!("__int_as_float({a})"),
            Unary::FromBits => format!("__longlong_as_double({a})"),
            Unary::RoundBf16 => format!("__uint_as_float((unsigned)float_to_bfloat({a}) << 16)"),
            Unary::RoundF16 => format!("half_to_float(float_to_half({a}))"),
            op => call(&format!("{op:?}").to_lowercase()),
        }
    }

    fn binary(&self, op: Binary, ty: Type, a: &str, b: &str) -> String {
        let (float, suffix) = (ty.is_float(), if ty == Type::F32 { "f" } else { "" });
        let distance = if ty == Type::I64 { 63 } else { 31 };
        match op {
            Binary::Add => wrapping(ty, a, "+", b),
            Binary::Sub => wrapping(ty, a, "-", b),
            Binary::Mul => wrapping(ty, a, "*", b),
            Binary::Div => format!("{a} / {b}"),
            Binary::FloorDiv if float => format!("float_floor_div({a}, {b})"),
            Binary::FloorDiv => format!("int_floor_div({a}, {b})"),
            Binary::Rem if float => format!("float_rem({a}, {b})"),
            Binary::Rem => {
                let product = wrapping(ty, b, "*", &format!("int_floor_div({a}, {b})"));
                wrapping(ty, a, "-", &product)
            }
            Binary::Pow if float => format!("{b} == 2 ? {a} * {a} : pow{suffix}({a}, {b})"),
            Binary::Pow => format!("int_pow({a}, {b})"),
            Binary::Min => format!("nan_min({a}, {b})"),
            Binary::Max => format!("nan_max({a}, {b})"),
            Binary::Atan2 => format!("atan2{suffix}({a}, {b})"),
            Binary::Eq => format!("{a} == {b}"),
            Binary::Ne => format!("{a} != {b}"),
            Binary::Lt => format!("{a} < {b}"),
            Binary::Le => format!("{a} <= {b}"),
            Binary::And => format!("{a} & {b}"),
            Binary::Or => format!("{a} | {b}"),
            Binary::Xor => format!("{a} ^ {b}"),
            Binary::Shl => wrapping(ty, a, "<<", &format!("({b} & {distance})")),
            Binary::Shr => format!("{a} >> ({b} & {distance})"),
            Binary::Ushr => wrapping(ty, a, ">>", &format!("({b} & {distance})")),
            Binary::Within => format!("index_within({a}, {b})"),
        }
    }

    fn select(&self, condition: &str, yes: &str, no: &str) -> String {
        format!("{condition} ? {yes} : {no}")
    }

    fn cast(&self, to: Type, from: Type, a: &str) -> String {
        match to {
            Type::Bool => format!("{a} != 0"),
            Type::I32 if from.is_float() => format!("float_to_int({a})"),
            Type::I64 if from.is_float() => format!("float_to_long({a})"),
            _ => format!("({}){a}", name(to)),
        }
    }

    fn reduce(&self, op: Reduction, _: Type, partial: &str) -> String {
        format!("row_{}({partial}, local)", format!("{op:?}").to_lowercase())
    }
}

/// A tree over the group; the first barrier is for the readers of an earlier result.
macro_rules! row {
    ($name:literal, $join:literal) => {
        (
            $name,
            concat!(
                "template <typename T> __device__ T ",
                $name,
                "(T x, int local) {\n    __shared__ T part[256];\n",
                "    __syncthreads();\n    part[local] = x;\n    __syncthreads();\n",
                "    for (int half = 128; half > 0; half >>= 1) {\n        if (local < half) {\n",
                "            const T a = part[local], b = part[local + half];\n",
                "            part[local] = ",
                $join,
                ";\n        }\n        __syncthreads();\n    }\n",
                "    return part[0];\n}"
            ),
        )
    };
}

#[rustfmt::skip]
const HELPERS: &[(&str, &str)] = &[
    ("nan_min", "template <typename T> __device__ T nan_min(T a, T b) { return a != a || b != b ? a + b : a < b ? a : b; }"),
    ("nan_max", "template <typename T> __device__ T nan_max(T a, T b) { return a != a || b != b ? a + b : a < b ? b : a; }"),
    row!("row_sum", "a + b"),
    row!("row_prod", "a * b"),
    row!("row_max", "nan_max(a, b)"),
    row!("row_min", "nan_min(a, b)"),
    ("float_rem", "template <typename T> __device__ T float_rem(T a, T b) {
    const T rest = fmod(a, b);
    if (rest == 0) return copysign((T)0, b);
    return (rest < 0) != (b < 0) ? rest + b : rest;
}"),
    ("float_floor_div", "template <typename T> __device__ T float_floor_div(T a, T b) {
    if (b == 0 || isinf(a) || isinf(b)) return floor(a / b);
    const T rest = fmod(a, b), quotient = (a - rest) / b - (T)(rest != 0 && (rest < 0) != (b < 0));
    if (quotient == 0) return copysign((T)0, a / b);
    const T whole = floor(quotient);
    return quotient - whole > (T)0.5 ? whole + 1 : whole;
}"),
    ("int_floor_div", "template <typename T> __device__ T int_floor_div(T a, T b) {
    if (b == 0) return 0;
    if (b == -1) return (T)(0ull - (unsigned long long)a);
    return a / b - (a % b != 0 && (a < 0) != (b < 0));
}"),
    ("int_pow", "template <typename T> __device__ T int_pow(T a, T b) {
    if (b < 0) return a == 1 || a == -1 ? (b & 1 ? a : 1) : 0;
    unsigned long long result = 1, base = a;
    for (; b > 0; b >>= 1) {
        if (b & 1) result *= base;
        base *= base;
    }
    return (T)result;
}"),
    // C leaves open what NaN and floats out of range become, and GPUs do not agree.
    ("float_to_int", "template <typename T> __device__ int float_to_int(T x) {
    if (!(x > (T)-2147483648.0)) return x != x ? 0 : -2147483647 - 1;
    return x < (T)2147483648.0 ? (int)x : 2147483647;
}"),
    ("float_to_long", "template <typename T> __device__ long long float_to_long(T x) {
    if (!(x > (T)-9223372036854775808.0)) return x != x ? 0 : -9223372036854775807ll - 1;
    return x < (T)9223372036854775808.0 ? (long long)x : 9223372036854775807ll;
}"),
    // Scaling by 2^112 moves the exponent's bias, of subnormal numbers too.
    ("half_to_float", "__device__ float half_to_float(unsigned short h) {
    const unsigned sign = (h & 0x8000u) << 16, rest = h & 0x7fffu;
    if (rest >= 0x7c00u) return __uint_as_float(sign | 0x7f800000u | (rest & 0x3ffu) << 13);
    return __uint_as_float(sign | __float_as_uint(__uint_as_float(rest << 13) * 5.192296858534828e33f));
}"),
    // To nearest, ties to even; adding 0.5 lets the float adder round subnormal results.
    ("float_to_half", "__device__ unsigned short float_to_half(float f) {
    const unsigned bits = __float_as_uint(f), sign = bits >> 16 & 0x8000u, rest = bits & 0x7fffffffu;
    if (rest > 0x7f800000u) return sign | 0x7e00u;
    if (rest >= 0x477ff000u) return sign | 0x7c00u;
    if (rest < 0x38800000u) return sign | (__float_as_uint(__uint_as_float(rest) + 0.5f) - 0x3f000000u);
    return sign | (rest + 0xfffu + (rest >> 13 & 1u) - 0x38000000u) >> 13;
}"),
    ("float_to_bfloat", "__device__ unsigned short float_to_bfloat(float f) {
    const unsigned bits = __float_as_uint(f);
    if ((bits & 0x7fffffffu) > 0x7f800000u) return bits >> 16 | 0x40u;
    return (bits + 0x7fffu + (bits >> 16 & 1u)) >> 16;
}"),
];
