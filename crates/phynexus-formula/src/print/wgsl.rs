//! WGSL: 32-bit types only, no literals for infinities and NaN, and a few functions that it lacks.

use super::{Dialect, Language, PrintError};
use crate::{Binary, Constant, Formula, Id, Node, Reduction, Type, Unary};

pub(super) struct Wgsl;

fn name(ty: Type) -> &'static str {
    match ty {
        Type::F32 | Type::F64 => "f32",
        // Positions are I64 in formulas; no row is longer than an i32 counts.
        Type::I32 | Type::I64 => "i32",
        Type::Bool => "bool",
    }
}

/// What int64 is good for where numbers have 32 bits: what cannot leave them, and what is checked not to.
fn is_kept(node: &Node) -> bool {
    match node {
        Node::Unary(op, _) => {
            matches!(op, Unary::Detach | Unary::Sign | Unary::Not | Unary::Neg | Unary::Abs)
        }
        Node::Binary(op, ..) => !matches!(op, Binary::Pow | Binary::Shl | Binary::Shr | Binary::Ushr),
        Node::Const(c) => i32::try_from(c.as_i64()).is_ok(),
        Node::Reduce(op, _) => matches!(op, Reduction::Min | Reduction::Max),
        _ => true,
    }
}

impl Language for Wgsl {
    fn check(&self, f: &Formula, dialect: Dialect) -> Result<(), PrintError> {
        for (i, (node, &ty)) in f.nodes.iter().zip(&f.types).enumerate() {
            let mut of = node.operands().map(|o| f.types[o.index()]).chain([ty]);
            let is_int64 = of.any(|ty| ty == Type::I64);
            if ty == Type::F64 && f.is_used(Id(i as u32)) {
                return Err(PrintError::Type(dialect, ty));
            }
            if is_int64 && !is_kept(node) && f.is_used(Id(i as u32)) {
                let what = match node {
                    Node::Unary(op, _) => format!("{op:?}"),
                    Node::Binary(op, ..) => format!("{op:?}"),
                    Node::Reduce(op, _) => format!("{op:?}"),
                    _ => "the constant".into(),
                };
                return Err(PrintError::Integer(dialect, what.to_lowercase()));
            }
        }
        Ok(())
    }

    fn helpers(&self) -> &'static [(&'static str, &'static str)] {
        HELPERS
    }

    fn function(&self, function: &str, from: &[Type], to: Type) -> String {
        let from: Vec<String> =
            from.iter().enumerate().map(|(i, ty)| format!("x{i}: {}", name(*ty))).collect();
        format!("fn {function}({}) -> {}", from.join(", "), name(to))
    }
    fn declare(&self, ty: Type, variable: &str, value: &str) -> String {
        format!("let {variable}: {} = {value};", name(ty))
    }
    fn variable(&self, ty: Type, variable: &str, value: &str) -> String {
        format!("var {variable}: {} = {value};", name(ty))
    }
    fn position(&self, of: &str) -> String {
        format!("i32({of})")
    }

    fn constant(&self, c: Constant) -> String {
        match c.ty {
            Type::Bool => (c.as_i64() != 0).to_string(),
            // Of int64 only the neutral elements of reductions reach beyond 32 bits: `check` refuses the others.
            Type::I32 | Type::I64 => {
                format!("i32({})", c.as_i64().clamp(i32::MIN as i64, i32::MAX as i64))
            }
            _ if c.as_f64().is_finite() => format!("({:?}f)", c.as_f64() as f32),
            _ => format!("from_bits({}u)", (c.as_f64() as f32).to_bits()),
        }
    }

    fn unary(&self, op: Unary, ty: Type, a: &str) -> String {
        let function = match op {
            Unary::Neg if ty == Type::I64 => return format!("i64_sub(0, {a})"),
            Unary::Abs if ty == Type::I64 => return format!("max({a}, i64_sub(0, {a}))"),
            Unary::Neg => return format!("-{a}"),
            Unary::Not if ty == Type::Bool => return format!("!{a}"),
            Unary::Not => return format!("{a} == {}(0)", name(ty)),
            Unary::Detach => return a.into(),
            Unary::Floor | Unary::Ceil | Unary::Round if !ty.is_float() => return a.into(),
            Unary::Sigmoid => return format!("1.0f / (1.0f + exp(-{a}))"),
            Unary::Sign => return format!("{t}({a} > {t}(0)) - {t}({a} < {t}(0))", t = name(ty)),
            Unary::IsNan => "is_nan",
            Unary::IsFinite => "is_finite",
            Unary::Abs => "abs",
            Unary::Exp => "exp",
            Unary::Exp2 => "exp2",
            Unary::Log => "log",
            Unary::Log1p => "log1p",
            Unary::Expm1 => "expm1",
            Unary::Sqrt => "sqrt",
            Unary::Rsqrt => "inverseSqrt",
            Unary::Sin => "sin",
            Unary::Cos => "cos",
            Unary::Tanh => "bounded_tanh",
            Unary::Erf => "erf",
            Unary::Floor => "floor",
            Unary::Ceil => "ceil",
            Unary::Round => "round",
            Unary::Bits => "bitcast<i32>",
            Unary::FromBits => "bitcast<f32>",
            Unary::RoundBf16 => "round_bf16",
            Unary::RoundF16 => "round_f16",
        };
        format!("{function}({a})")
    }

    fn binary(&self, op: Binary, ty: Type, a: &str, b: &str) -> String {
        let float = ty.is_float();
        match op {
            Binary::Add | Binary::Sub | Binary::Mul | Binary::FloorDiv if ty == Type::I64 => {
                format!("i64_{}({a}, {b})", format!("{op:?}").to_lowercase())
            }
            Binary::Add => format!("{a} + {b}"),
            Binary::Sub => format!("{a} - {b}"),
            Binary::Mul => format!("{a} * {b}"),
            Binary::Div => format!("{a} / {b}"),
            Binary::FloorDiv if float => format!("float_floor_div({a}, {b})"),
            Binary::FloorDiv => format!("int_floor_div({a}, {b})"),
            Binary::Rem if float => format!("float_rem({a}, {b})"),
            Binary::Rem => format!("{a} - {b} * int_floor_div({a}, {b})"),
            Binary::Pow if float => format!("float_pow({a}, {b})"),
            Binary::Pow => format!("int_pow({a}, {b})"),
            Binary::Min if float => format!("nan_min({a}, {b})"),
            Binary::Max if float => format!("nan_max({a}, {b})"),
            Binary::Min => format!("min({a}, {b})"),
            Binary::Max => format!("max({a}, {b})"),
            Binary::Atan2 => format!("atan2({a}, {b})"),
            Binary::Eq => format!("{a} == {b}"),
            // A comparison with NaN must not be "ordered".
            Binary::Ne => format!("!({a} == {b})"),
            Binary::Lt => format!("{a} < {b}"),
            Binary::Le => format!("{a} <= {b}"),
            Binary::And => format!("{a} & {b}"),
            Binary::Or => format!("{a} | {b}"),
            Binary::Xor if ty == Type::Bool => format!("{a} != {b}"),
            Binary::Xor => format!("{a} ^ {b}"),
            Binary::Shl => format!("{a} << (u32({b}) & 31u)"),
            Binary::Shr => format!("{a} >> (u32({b}) & 31u)"),
            Binary::Ushr => format!("bitcast<i32>(bitcast<u32>({a}) >> (u32({b}) & 31u))"),
            Binary::Within => format!("index_within({a}, {b})"),
        }
    }

    fn select(&self, condition: &str, yes: &str, no: &str) -> String {
        format!("select({no}, {yes}, {condition})")
    }

    fn cast(&self, to: Type, from: Type, a: &str) -> String {
        match to {
            Type::Bool if from == Type::Bool => a.into(),
            Type::Bool if from.is_float() => format!("(bitcast<u32>({a}) & 0x7fffffffu) != 0u"),
            Type::Bool => format!("{a} != {}(0)", name(from)),
            Type::I64 if from.is_float() => format!("float_to_i64({a})"),
            to => format!("{}({a})", name(to)),
        }
    }

    fn reduce(&self, op: Reduction, ty: Type, partial: &str) -> String {
        let op = format!("{op:?}").to_lowercase();
        format!("row_{op}_{}({partial}, local)", name(ty))
    }
}

/// A tree over the group; the first barrier is for the readers of an earlier result.
macro_rules! row {
    ($name:literal, $ty:literal, $join:literal) => {
        (
            $name,
            concat!(
                "var<workgroup> ",
                $name,
                "_part: array<",
                $ty,
                ", 256>;\n",
                "fn ",
                $name,
                "(x: ",
                $ty,
                ", local: u32) -> ",
                $ty,
                " {\n",
                "    workgroupBarrier();\n    ",
                $name,
                "_part[local] = x;\n    workgroupBarrier();\n",
                "    for (var half = 128u; half > 0u; half >>= 1u) {\n        if (local < half) {\n",
                "            let a = ",
                $name,
                "_part[local];\n",
                "            let b = ",
                $name,
                "_part[local + half];\n",
                "            ",
                $name,
                "_part[local] = ",
                $join,
                ";\n        }\n        workgroupBarrier();\n    }\n",
                "    return ",
                $name,
                "_part[0];\n}"
            ),
        )
    };
}

#[rustfmt::skip]
const HELPERS: &[(&str, &str)] = &[
    row!("row_sum_f32", "f32", "a + b"),
    row!("row_prod_f32", "f32", "a * b"),
    row!("row_max_f32", "f32", "nan_max(a, b)"),
    row!("row_min_f32", "f32", "nan_min(a, b)"),
    row!("row_sum_i32", "i32", "a + b"),
    row!("row_prod_i32", "i32", "a * b"),
    row!("row_max_i32", "i32", "max(a, b)"),
    row!("row_min_i32", "i32", "min(a, b)"),
    // A literal or a constant expression must be finite; what a function is given need not be.
    ("from_bits", "fn from_bits(bits: u32) -> f32 { return bitcast<f32>(bits); }"),
    // Comparisons of a value with itself may be optimised away.
    ("is_nan", "fn is_nan(x: f32) -> bool { return (bitcast<u32>(x) & 0x7fffffffu) > 0x7f800000u; }"),
    ("is_finite", "fn is_finite(x: f32) -> bool { return (bitcast<u32>(x) & 0x7f800000u) != 0x7f800000u; }"),
    ("nan_min", "fn nan_min(a: f32, b: f32) -> f32 { return select(min(a, b), a + b, is_nan(a) || is_nan(b)); }"),
    ("nan_max", "fn nan_max(a: f32, b: f32) -> f32 { return select(max(a, b), a + b, is_nan(a) || is_nan(b)); }"),
    // Near 0 its series. Some implementations divide infinities.
    ("bounded_tanh", "fn bounded_tanh(x: f32) -> f32 {
    let q = x * x;
    let near = x * (1.0f + q * (-1.0f / 3.0f + q * (2.0f / 15.0f + q * (-17.0f / 315.0f + q * 62.0f / 2835.0f))));
    let far = tanh(clamp(x, -10.0f, 10.0f));
    return select(select(far, near, abs(x) < 0.25f), x, is_nan(x));
}"),
    // Near 0 its series.
    ("expm1", "fn expm1(x: f32) -> f32 {
    let near = x * (1.0f + x / 2.0f * (1.0f + x / 3.0f * (1.0f + x / 4.0f * (1.0f + x / 5.0f * (1.0f + x / 6.0f * (1.0f + x / 7.0f))))));
    return select(exp(x) - 1.0f, near, abs(x) < 0.4f);
}"),
    // Near 0 the series of 2 atanh(x / (2 + x)).
    ("log1p", "fn log1p(x: f32) -> f32 {
    let s = x / (2.0f + x);
    let q = s * s;
    let near = 2.0f * s * (1.0f + q * (1.0f / 3.0f + q * (0.2f + q * (1.0f / 7.0f + q * (1.0f / 9.0f + q / 11.0f)))));
    return select(log(1.0f + x), near, abs(x) < 0.4f);
}"),
    // Near 0 its series, elsewhere Abramowitz and Stegun 7.1.26.
    ("erf", "fn erf(x: f32) -> f32 {
    let q = x * x;
    var near = 0.0f;
    for (var n = 10.0f; n > 0.0f; n -= 1.0f) {
        near = (near * -q + 1.0f / (2.0f * n - 1.0f)) / max(n - 1.0f, 1.0f);
    }
    let a = abs(x);
    let t = 1.0f / (1.0f + 0.3275911f * a);
    let poly = t * (0.254829592f + t * (-0.284496736f + t * (1.421413741f + t * (-1.453152027f + t * 1.061405429f))));
    let far = sign(x) * (1.0f - poly * exp(-q));
    return select(far, 1.1283792f * x * near, a < 1.0f);
}"),
    ("round_bf16", "fn round_bf16(x: f32) -> f32 {
    let bits = bitcast<u32>(x);
    return select(bitcast<f32>((bits + 0x7fffu + ((bits >> 16u) & 1u)) & 0xffff0000u), x, is_nan(x));
}"),
    // Below the normal numbers of float16 all are multiples of 2^-24, as all sums of 0.5 and less than that are.
    ("round_f16", "fn round_f16(x: f32) -> f32 {
    let sign = bitcast<u32>(x) & 0x80000000u;
    let rest = bitcast<u32>(x) & 0x7fffffffu;
    if (rest > 0x7f800000u) { return x; }
    var bits = (rest + 0xfffu + ((rest >> 13u) & 1u)) & 0xffffe000u;
    if (rest >= 0x477ff000u) { bits = 0x7f800000u; }
    if (rest < 0x38800000u) { bits = bitcast<u32>((bitcast<f32>(rest) + 0.5f) - 0.5f); }
    return bitcast<f32>(sign | bits);
}"),
    ("float_pow", "fn float_pow(a: f32, b: f32) -> f32 {
    if (b == 0.0f) { return 1.0f; }
    if (b == 2.0f) { return a * a; }
    let size = pow(abs(a), b);
    if (a >= 0.0f) { return size; }
    if (floor(b) != b) { return from_bits(0x7fc00000u); }
    return select(size, -size, floor(b * 0.5f) != b * 0.5f);
}"),
    // The remainder of WGSL itself goes through the rounded quotient and fails for an infinite divisor.
    ("float_rem", "fn float_rem(a: f32, b: f32) -> f32 {
    let rest = select(a % b, a, is_finite(a) && !is_finite(b) && !is_nan(b));
    return select(rest, rest + b, rest != 0.0f && (rest < 0.0f) != (b < 0.0f));
}"),
    ("float_floor_div", "fn float_floor_div(a: f32, b: f32) -> f32 {
    if (b == 0.0f) { return a / b; }
    if (!is_finite(a) || !is_finite(b)) { return floor(a / b); }
    let rest = a % b;
    let quotient = (a - rest) / b - select(0.0f, 1.0f, rest != 0.0f && (rest < 0.0f) != (b < 0.0f));
    let whole = floor(quotient);
    return select(whole, whole + 1.0f, quotient - whole > 0.5f);
}"),
    ("int_floor_div", "fn int_floor_div(a: i32, b: i32) -> i32 {
    if (b == 0) { return 0; }
    let q = a / b;
    return q - select(0, 1, a % b != 0 && (a < 0) != (b < 0));
}"),
    // An int64 that int32 does not hold is an error.
    ("i64_add", "fn i64_add(a: i32, b: i32) -> i32 {
    let sum = a + b;
    if (((a ^ sum) & (b ^ sum)) < 0) { return out_of_i32(); }
    return sum;
}"),
    ("i64_sub", "fn i64_sub(a: i32, b: i32) -> i32 {
    let rest = a - b;
    if (((a ^ b) & (a ^ rest)) < 0) { return out_of_i32(); }
    return rest;
}"),
    ("i64_mul", "fn i64_mul(a: i32, b: i32) -> i32 {
    let product = a * b;
    if (a == -1) { return i64_sub(0, b); }
    if (a != 0 && product / a != b) { return out_of_i32(); }
    return product;
}"),
    ("i64_floordiv", "fn i64_floordiv(a: i32, b: i32) -> i32 {
    if (b == -1) { return i64_sub(0, a); }
    return int_floor_div(a, b);
}"),
    ("int_pow", "fn int_pow(a: i32, b: i32) -> i32 {
    if (b < 0) { return select(0, select(a, 1, (b & 1) == 0), a == 1 || a == -1); }
    var result = 1;
    var base = a;
    for (var n = b; n > 0; n >>= 1u) {
        if ((n & 1) == 1) { result *= base; }
        base *= base;
    }
    return result;
}"),
];
