//! What reductions are made of: what a thread keeps, how an element comes to it, and how two of them are joined.

use crate::kernels::order::{self, key_dtype};
use crate::text::type_name;
use phynexus_core::{Buffer, DType, Device, Error, ReduceOp, Result};
use phynexus_formula::Type;
use phynexus_formula::print::Dialect;
use smallvec::SmallVec;

/// A variable that a thread keeps.
pub(super) struct Part {
    pub ty: &'static str,
    /// How it is stored between passes.
    pub stored_as: DType,
    pub identity: String,
}

impl Part {
    pub fn stored(&self, x: &str) -> String {
        if self.ty == "u32" { format!("bitcast<i32>({x})") } else { x.into() }
    }
    pub fn loaded(&self, x: &str) -> String {
        if self.ty == "u32" { format!("bitcast<u32>({x})") } else { x.into() }
    }
}

/// A reduction: what is kept is `x0`, `x1`.
#[derive(Default)]
pub(super) struct Form {
    pub parts: SmallVec<[Part; 2]>,
    /// Declares `y0`, `y1` for the element `v` at position `e`.
    pub take: String,
    /// Joins `y0`, `y1` to `x0`, `x1`.
    pub merge: String,
    /// The result.
    pub finish: String,
    pub functions: String,
}

const WIDE_SUM: &str = "x0 = x0 + y0;\nx1 = x1 + y1 + select(0u, 1u, x0 < y0);\n";
const WIDE_PRODUCT: &str = "x1 = mul_high(x0, y0) + x0 * y1 + x1 * y0;\nx0 = x0 * y0;\n";

impl Form {
    pub fn new(op: ReduceOp, from: DType, dialect: Dialect) -> Result<Form> {
        let (ty, compute) = (type_name(from.compute(), dialect), from.compute());
        let one = |ty: &'static str, stored_as, identity: &str| -> SmallVec<[Part; 2]> {
            std::iter::once(Part { ty, stored_as, identity: identity.into() }).collect()
        };
        let stored = if compute == Type::F64 { DType::F64 } else { DType::F32 };
        let plain = |identity: &str, merge: &str, finish: &str| Form {
            parts: one(ty, stored, identity),
            take: "let y0 = v;\n".into(),
            merge: format!("x0 = {merge};\n"),
            finish: finish.into(),
            ..Form::default()
        };
        Ok(match op {
            ReduceOp::Sum if compute.is_float() => plain(&format!("{ty}(0)"), "x0 + y0", "x0"),
            ReduceOp::Prod if compute.is_float() => plain(&format!("{ty}(1)"), "x0 * y0", "x0"),
            ReduceOp::Mean if compute.is_float() => {
                plain(&format!("{ty}(0)"), "x0 + y0", &format!("x0 / {ty}(word(task, 5u))"))
            }
            ReduceOp::Mean => {
                return Err(Error::Type(format!("mean of {from}: convert to a floating-point type first")));
            }
            ReduceOp::Sum | ReduceOp::Prod => whole(op == ReduceOp::Sum, dialect),
            ReduceOp::Max | ReduceOp::Min if compute.is_float() => {
                let (bits, name) = (
                    if op == ReduceOp::Max { "ff" } else { "7f" },
                    if op == ReduceOp::Max { "max" } else { "min" },
                );
                let (bits, unsigned, nan) = match compute {
                    Type::F64 => (
                        format!("0x{}ff0000000000000ull", if bits == "ff" { "f" } else { "7" }),
                        "unsigned long long",
                        "v != v",
                    ),
                    _ => (format!("0x{bits}800000u"), "u32", "(bitcast<u32>(v) & 0x7fffffffu) > 0x7f800000u"),
                };
                let mut form = plain(&format!("from_bits({bits})"), &format!("nan_{name}(x0, y0)"), "x0");
                form.functions = format!(
                    "fn from_bits(bits: {unsigned}) -> {ty} {{
    return bitcast<{ty}>(bits);
}}
fn is_nan(v: {ty}) -> bool {{
    return {nan};
}}
fn nan_{name}(a: {ty}, b: {ty}) -> {ty} {{
    return select({name}(a, b), a + b, is_nan(a) || is_nan(b));
}}
"
                );
                form
            }
            ReduceOp::Max | ReduceOp::Min => {
                let key = key_dtype(from, dialect);
                let (name, identity) = match op {
                    ReduceOp::Max => ("max", order::least(key)),
                    _ => ("min", order::greatest(key)),
                };
                let of = type_name(key.compute(), dialect);
                Form {
                    parts: one(of, key, &format!("{of}({identity})")),
                    take: format!("let y0 = {of}(v);\n"),
                    merge: format!("x0 = {name}(x0, y0);\n"),
                    finish: if compute == Type::Bool { "x0 != 0".into() } else { "x0".into() },
                    ..Form::default()
                }
            }
            ReduceOp::Any | ReduceOp::All => {
                let (name, identity) = if op == ReduceOp::Any { ("max", "0") } else { ("min", "1") };
                // NaN is true; some compilers take `!=` for "less or greater".
                let holds = if compute == Type::Bool { "v".into() } else { format!("!(v == {ty}(0))") };
                Form {
                    parts: one("i32", DType::I32, &format!("i32({identity})")),
                    take: format!("let y0 = select(0, 1, {holds});\n"),
                    merge: format!("x0 = {name}(x0, y0);\n"),
                    finish: "x0 != 0".into(),
                    ..Form::default()
                }
            }
            ReduceOp::ArgMax | ReduceOp::ArgMin => {
                let key = key_dtype(from, dialect);
                let of = type_name(key.compute(), dialect);
                let greatest = order::greatest(key);
                // NaN wins either.
                let take = match (op, compute.is_float()) {
                    (ReduceOp::ArgMax, _) => "let y0 = key(v);\n".to_string(),
                    (_, true) => format!("let k = key(v);\nlet y0 = select(~k, k, k == {greatest});\n"),
                    _ => "let y0 = ~key(v);\n".into(),
                };
                let mut parts = one(of, key, &format!("{of}({})", order::least(key)));
                parts.push(Part { ty: "u32", stored_as: DType::I32, identity: "0xffffffffu".into() });
                Form {
                    parts,
                    take: take + "let y1 = e;\n",
                    merge: "if (y0 > x0 || (y0 == x0 && y1 < x1)) {\nx0 = y0;\nx1 = y1;\n}\n".into(),
                    finish: format!("{}(x1)", type_name(Type::I64, dialect)),
                    functions: order::key(from, dialect),
                }
            }
        })
    }

    /// How what is kept is stored between passes.
    pub fn kept(&self) -> SmallVec<[DType; 2]> {
        self.parts.iter().map(|part| part.stored_as).collect()
    }

    /// Memory for so many of what is kept.
    pub fn buffers(&self, device: &'static dyn Device, count: usize) -> Result<Vec<Buffer>> {
        self.kept().iter().map(|dtype| Buffer::new(device, count * dtype.size())).collect()
    }
}

/// Sums and products of integers, in 64 bits; where there are none, in two words, and the result must fit into one.
fn whole(sum: bool, dialect: Dialect) -> Form {
    if dialect != Dialect::Wgsl {
        let op = if sum { "+" } else { "*" };
        return Form {
            parts: std::iter::once(Part {
                ty: "i64",
                stored_as: DType::I64,
                identity: format!("i64({})", u8::from(!sum)),
            })
            .collect(),
            take: "let y0 = i64(v);\n".into(),
            merge: format!("x0 = (i64)((unsigned long long)x0 {op} (unsigned long long)y0);\n"),
            finish: "x0".into(),
            functions: String::new(),
        };
    }
    let part = |identity: &str| Part { ty: "u32", stored_as: DType::I32, identity: identity.into() };
    Form {
        parts: [part(if sum { "0u" } else { "1u" }), part("0u")].into_iter().collect(),
        take: "let y0 = bitcast<u32>(i32(v));\nlet y1 = bitcast<u32>(i32(v) >> 31u);\n".into(),
        merge: if sum { WIDE_SUM.into() } else { WIDE_PRODUCT.into() },
        finish: "narrow_i64(x0, x1)".into(),
        functions: if sum { String::new() } else { crate::kernels::MUL_HIGH.into() },
    }
}
