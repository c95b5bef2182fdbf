//! One text for all languages: kernels are written in WGSL, of which C++ understands most lines as they are.
//!
//! What differs is few lines, which [`translate`] rewrites: heads of functions, typed variables, arrays. The rest is the work of
//! [`PRELUDE`]. So a text keeps to what both have: `let` and `var`, `if` and `else` with braces, `for` and `while`, `u32 i32 f32
//! bool` as types and as conversions, `bitcast<f32>(x)`, `select(no, yes, condition)`, `min max`, literals with suffixes (`1u`,
//! `1.0f`), shifts by u32, no compound assignment to `let`, every statement in lines of its own.

use phynexus_formula::Type;
use phynexus_formula::print::Dialect;

/// Makes C++ understand the lines that need no rewriting.
pub const PRELUDE: &str = "\
typedef unsigned int u32;
typedef int i32;
typedef long long i64;
typedef long long pos;
typedef float f32;
typedef double f64;
#define let const auto
#define var auto
template <typename T> __device__ T select(T no, T yes, bool condition) { return condition ? yes : no; }
template <typename To, typename From> __device__ To bitcast(From x) {
    union { From from; To to; } both;
    both.from = x;
    return both.to;
}
__device__ void workgroupBarrier() { __syncthreads(); }
__device__ void storageBarrier() { __syncthreads(); }
";

/// The name of a type; 64 bits are 32 where there are no more.
pub fn type_name(ty: Type, dialect: Dialect) -> &'static str {
    match (ty, dialect) {
        (Type::F64, Dialect::Cuda | Dialect::Hip) => "f64",
        (Type::I64, Dialect::Cuda | Dialect::Hip) => "i64",
        (Type::F32 | Type::F64, _) => "f32",
        (Type::I32 | Type::I64, _) => "i32",
        (Type::Bool, _) => "bool",
    }
}

/// A kernel's text in the language: functions and variables of the group, apart.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Translated {
    pub text: String,
    /// Name, type and length of arrays that a group shares.
    pub shared: Vec<(String, String, String)>,
}

/// Rewrites the lines in which the languages differ, and takes out `var<workgroup> name: array<T, N>;`.
pub(crate) fn translate(text: &str, dialect: Dialect) -> Translated {
    let mut out = Translated::default();
    for line in text.lines() {
        let code = line.trim_start();
        if let Some(declared) = code.strip_prefix("var<workgroup> ") {
            if let Some((name, of, count)) = array(declared) {
                out.shared.push((name.into(), of.into(), count.into()));
            }
            continue;
        }
        match c_line(code).filter(|_| dialect != Dialect::Wgsl) {
            Some(rewritten) => out.text += &rewritten,
            None => out.text += line,
        }
        out.text.push('\n');
    }
    out
}

/// `name: array<T, N>;` taken apart.
fn array(declared: &str) -> Option<(&str, &str, &str)> {
    let (name, rest) = declared.split_once(": array<")?;
    let (of, count) = rest.strip_suffix(">;")?.rsplit_once(", ")?;
    Some((name, of, count))
}

/// The line in C, where it differs.
fn c_line(code: &str) -> Option<String> {
    if let Some(head) = code.strip_prefix("fn ") {
        let (name, rest) = head.split_once('(')?;
        let (params, rest) = rest.split_once(')')?;
        let (result, body) = match rest.strip_prefix(" -> ") {
            Some(rest) => rest.split_once(" {")?,
            None => ("void", rest.strip_prefix(" {")?),
        };
        let params: Vec<String> = params
            .split(", ")
            .filter_map(|p| p.split_once(": "))
            .map(|(name, ty)| format!("{ty} {name}"))
            .collect();
        return Some(format!("__device__ {result} {name}({}) const {{{body}", params.join(", ")));
    }
    let (constant, declared) = match (code.strip_prefix("let "), code.strip_prefix("var ")) {
        (Some(rest), _) => ("const ", rest),
        (None, Some(rest)) => ("", rest),
        _ => return None,
    };
    if let Some((name, of, count)) = array(declared) {
        return Some(format!("{of} {name}[{count}];"));
    }
    let (left, value) = declared.split_once(" = ")?;
    let (name, ty) = left.split_once(": ")?;
    Some(format!("{constant}{ty} {name} = {value}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "\
var<workgroup> tile: array<f32, 64>;
fn twice(x: f32, n: u32) -> f32 {
    var acc: array<f32, 4>;
    let y: f32 = x * 2.0f;
    let z = y;
    return z;
}
fn quiet() {
}
";

    #[test]
    fn wgsl_stays_as_it_is() {
        let translated = translate(TEXT, Dialect::Wgsl);
        assert_eq!(translated.text, TEXT.lines().skip(1).map(|l| format!("{l}\n")).collect::<String>());
        assert_eq!(translated.shared, [("tile".to_string(), "f32".to_string(), "64".to_string())]);
    }

    #[test]
    fn heads_and_types_are_rewritten_for_c() {
        let text = translate(TEXT, Dialect::Cuda).text;
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0], "__device__ f32 twice(f32 x, u32 n) const {");
        assert_eq!(lines[1..4], ["f32 acc[4];", "const f32 y = x * 2.0f;", "    let z = y;"]);
        assert_eq!(lines[6], "__device__ void quiet() const {");
    }
}
