//! How elements are loaded and stored: `load_k(at)` and `store_k(at, value)` for operand k.
//!
//! WGSL sees memory as words of 32 bits. Elements of 64 bits are two of them, of which int64 uses the lower, while the upper must
//! repeat its sign; smaller elements share one, and are stored by atomic operations, so that neighbours may be written at once.
//! In C an operand is an address; positions count elements from address 0.

use crate::text::type_name;
use phynexus_core::DType;
use phynexus_formula::print::Dialect;

/// Functions that the loads and stores use, with what they mention.
pub(crate) const HELPERS: &[(&str, &str)] = &[
    (
        "decode_f16",
        "fn decode_f16(bits: u32) -> f32 {
    let sign: u32 = (bits & 0x8000u) << 16u;
    let rest: u32 = bits & 0x7fffu;
    if (rest >= 0x7c00u) { return bitcast<f32>(sign | 0x7f800000u | ((rest & 0x3ffu) << 13u)); }
    if (rest >= 0x400u) { return bitcast<f32>(sign | ((rest << 13u) + 0x38000000u)); }
    return bitcast<f32>(sign | bitcast<u32>(f32(rest) * 5.9604644775390625e-8f));
}
",
    ),
    // To nearest, ties to even; adding 0.5 lets the adder round what is below the normal numbers.
    (
        "encode_f16",
        "fn encode_f16(x: f32) -> u32 {
    let bits: u32 = bitcast<u32>(x);
    let sign: u32 = (bits >> 16u) & 0x8000u;
    let rest: u32 = bits & 0x7fffffffu;
    if (rest > 0x7f800000u) { return sign | 0x7e00u; }
    if (rest >= 0x477ff000u) { return sign | 0x7c00u; }
    if (rest < 0x38800000u) { return sign | (bitcast<u32>(bitcast<f32>(rest) + 0.5f) - 0x3f000000u); }
    return sign | ((rest + 0xfffu + ((rest >> 13u) & 1u) - 0x38000000u) >> 13u);
}
",
    ),
    (
        "encode_bf16",
        "fn encode_bf16(x: f32) -> u32 {
    let bits: u32 = bitcast<u32>(x);
    if ((bits & 0x7fffffffu) > 0x7f800000u) { return (bits >> 16u) | 0x40u; }
    return (bits + 0x7fffu + ((bits >> 16u) & 1u)) >> 16u;
}
",
    ),
    // Two words that are one int32, or an error.
    (
        "narrow_i64",
        "fn narrow_i64(low: u32, high: u32) -> i32 {
    if (high != select(0u, 0xffffffffu, (low >> 31u) == 1u)) { raise(2u, low, high); }
    return bitcast<i32>(low);
}
",
    ),
    // An index into the last dimension, of which formulas see rows.
    (
        "index_within",
        "fn index_within(at: int64, size: int64) -> int64 {
    if (at < 0 || at >= size) { raise(257u, u32(at), u32(size)); }
    return at;
}
",
    ),
    ("out_of_i32", "fn out_of_i32() -> i32 {\n    raise(2u, 0u, 0u);\n    return 0;\n}\n"),
    (
        "float_to_i64",
        "fn float_to_i64(x: f32) -> i32 {
    if (!(abs(x) < 2147483648.0f)) { raise(2u, bitcast<u32>(x), 0x80000000u); }
    return i32(x);
}
",
    ),
];

/// What an operand's functions are in WGSL; `slot` says which memory holds it, `shared` whether that is atomic.
pub(crate) fn wgsl(k: usize, dtype: DType, slot: usize, shared: bool, stores: bool) -> String {
    let ty = type_name(dtype.compute(), Dialect::Wgsl);
    let word =
        |at: &str| if shared { format!("atomicLoad(&a{slot}[{at}])") } else { format!("a{slot}[{at}]") };
    let put = |at: &str, value: &str| match shared {
        true => format!("atomicStore(&a{slot}[{at}], {value});"),
        false => format!("a{slot}[{at}] = {value};"),
    };
    let (step, mask) = if dtype.size() == 2 { (1, "0xffffu") } else { (2, "0xffu") };
    let shift = format!("((at & {}u) * {}u)", (1 << step) - 1, dtype.size() * 8);
    let small = format!("(({} >> {shift}) & {mask})", word(&format!("at >> {step}u")));
    let load = match dtype {
        DType::F32 => format!("bitcast<f32>({})", word("at")),
        DType::I32 => format!("bitcast<i32>({})", word("at")),
        DType::I64 => format!("narrow_i64({}, {})", word("2u * at"), word("2u * at + 1u")),
        DType::F16 => format!("decode_f16({small})"),
        DType::BF16 => format!("bitcast<f32>({small} << 16u)"),
        DType::U8 => format!("i32({small})"),
        DType::Bool => format!("({small} != 0u)"),
        DType::F64 => "0.0f".into(), // refused before anything is printed
    };
    let small = |bits: &str| {
        let place = format!("&a{slot}[at >> {step}u]");
        format!(
            "    let shift = {shift};\n    atomicAnd({place}, ~({mask} << shift));\n    atomicOr({place}, ({bits}) << shift);\n"
        )
    };
    let store = match dtype {
        DType::F32 | DType::I32 => format!("    {}\n", put("at", "bitcast<u32>(x)")),
        DType::I64 => format!(
            "    {}\n    {}\n",
            put("2u * at", "bitcast<u32>(x)"),
            put("2u * at + 1u", "bitcast<u32>(x >> 31u)")
        ),
        DType::F16 => small("encode_f16(x)"),
        DType::BF16 => small("encode_bf16(x)"),
        DType::U8 => small("u32(x) & 0xffu"),
        DType::Bool => small("select(0u, 1u, x)"),
        DType::F64 => String::new(),
    };
    let mut text = format!("fn load_{k}(at: pos) -> {ty} {{ return {load}; }}\n");
    if stores {
        text += &format!("fn store_{k}(at: pos, x: {ty}) {{\n{store}}}\n");
    }
    text
}

/// Whether stores of this type need atomic memory in WGSL.
pub(crate) fn shares_words(dtype: DType) -> bool {
    dtype.size() < 4
}

/// What an operand's functions are in C.
pub(crate) fn c(k: usize, dtype: DType, stores: bool) -> String {
    let ty = type_name(dtype.compute(), Dialect::Cuda);
    let memory = match dtype {
        DType::F16 | DType::BF16 => "unsigned short",
        DType::Bool | DType::U8 => "unsigned char",
        _ => ty,
    };
    let place = format!("*({memory} *)(at * {})", dtype.size());
    let (load, bits) = match dtype {
        DType::F16 => (format!("decode_f16({place})"), "encode_f16(x)"),
        DType::BF16 => (format!("bitcast<f32>((u32){place} << 16)"), "encode_bf16(x)"),
        DType::Bool => (format!("{place} != 0"), "x"),
        _ => (place.clone(), "x"),
    };
    let mut text = format!("__device__ {ty} load_{k}(pos at) const {{ return {load}; }}\n");
    if stores {
        text +=
            &format!("__device__ void store_{k}(pos at, {ty} x) const {{ {place} = ({memory}){bits}; }}\n");
    }
    text
}
