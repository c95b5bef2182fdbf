//! How elements are ordered: an integer for each, equal for both zeros and greatest for NaN.

use crate::text::type_name;
use phynexus_core::DType;
use phynexus_formula::Type;
use phynexus_formula::print::Dialect;

/// How keys of elements of this dtype are stored.
pub(crate) fn key_dtype(dtype: DType, dialect: Dialect) -> DType {
    match dtype.compute() {
        Type::F64 | Type::I64 if dialect != Dialect::Wgsl => DType::I64,
        _ => DType::I32,
    }
}

/// The least key.
pub(crate) fn least(key: DType) -> &'static str {
    if key == DType::I64 { "(-9223372036854775807ll - 1)" } else { "i32(-2147483648)" }
}

/// The greatest key.
pub(crate) fn greatest(key: DType) -> &'static str {
    if key == DType::I64 { "9223372036854775807ll" } else { "2147483647" }
}

/// `key(v)`.
pub(crate) fn key(dtype: DType, dialect: Dialect) -> String {
    let (ty, to) =
        (type_name(dtype.compute(), dialect), type_name(key_dtype(dtype, dialect).compute(), dialect));
    let (without_sign, infinity, sign) = match ty {
        "f32" => ("0x7fffffff", "0x7f800000", "31u"),
        "f64" => ("0x7fffffffffffffffll", "0x7ff0000000000000ll", "63u"),
        _ => return format!("fn key(v: {ty}) -> {to} {{\n    return {to}(v);\n}}\n"),
    };
    // Negative floats grow with smaller bits: all but the sign are turned round.
    format!(
        "fn key(v: {ty}) -> {to} {{
    let bits: {to} = bitcast<{to}>(v);
    let size: {to} = bits & {without_sign};
    if (size > {infinity}) {{ return {without_sign}; }}
    if (size == 0) {{ return size; }}
    return bits ^ ((bits >> {sign}) & {without_sign});
}}
"
    )
}
