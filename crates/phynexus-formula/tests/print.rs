//! What is printed, as text; that it is valid is tested where it becomes whole modules.

use phynexus_formula::ops::Op;
use phynexus_formula::print::{Dialect, PrintError, Rows, body, function};
use phynexus_formula::{Binary, Builder, Formula, Type, Unary, hoist};

fn text(f: &Formula, dialect: Dialect) -> String {
    let body = body(f, dialect, Rows::Group).unwrap();
    body.helpers + &body.text
}

#[test]
fn bits_shifts_and_rounding() {
    for ty in [Type::I32, Type::I64] {
        let mut b = Builder::new();
        let (x, i) = (b.input(if ty == Type::I32 { Type::F32 } else { Type::F64 }), b.input(ty));
        let bits = b.unary(Unary::Bits, x);
        let moved = [Binary::Shl, Binary::Shr, Binary::Ushr].map(|op| b.binary(op, bits, i));
        let back = b.unary(Unary::FromBits, i);
        let mut outputs = vec![moved[0], moved[1], moved[2], back];
        if ty == Type::I32 {
            outputs.extend([Unary::RoundBf16, Unary::RoundF16].map(|op| b.unary(op, x)));
        }
        let f = b.finish(&outputs);
        let source = text(&f, Dialect::Cuda);
        assert!(source.contains("(unsigned"), "{source}");
        if ty == Type::I32 {
            let wgsl = text(&f, Dialect::Wgsl);
            assert!(wgsl.contains("bitcast<i32>(v0)") && wgsl.contains("fn round_f16("), "{wgsl}");
            assert!(source.contains("__float_as_int(") && source.contains("float_to_half("), "{source}");
        }
    }
}

/// SGD with momentum: parameter, gradient, momentum; learning rate and momentum.
fn sgd() -> Formula {
    let mut b = Builder::new();
    let [p, g, m] = [(); 3].map(|_| b.input(Type::F32));
    let [lr, mu] = [(); 2].map(|_| b.scalar(Type::F32));
    let m = b.mul(mu, m);
    let m = b.add(m, g);
    let step = b.mul(lr, m);
    let p = b.sub(p, step);
    b.finish(&[p, m])
}

#[test]
fn an_optimizer() {
    let golden = "\
const float v3 = scalar_f32(task, 0u);
const float v4 = scalar_f32(task, 1u);
let p0 = at_0(task, i);
let p1 = at_1(task, i);
let p2 = at_2(task, i);
let p3 = at_3(task, i);
let p4 = at_4(task, i);
const float v0 = load_0(p0);
const float v1 = load_1(p1);
const float v2 = load_2(p2);
const float v5 = v2 * v4;
const float v6 = v1 + v5;
const float v7 = v3 * v6;
const float v8 = v0 - v7;
store_3(p3, v8);
store_4(p4, v6);
";
    for dialect in [Dialect::Cuda, Dialect::Hip] {
        let body = body(&sgd(), dialect, Rows::Group).unwrap();
        assert_eq!((body.text.as_str(), body.helpers.as_str(), body.by_rows), (golden, "", false));
    }
    let wgsl = golden.replace("const float v", "let v").replace("float", "f32");
    let untyped = text(&sgd(), Dialect::Wgsl).replace(": f32", "");
    assert_eq!(untyped, wgsl);
}

#[test]
fn a_row_is_the_work_of_a_group_or_of_a_thread() {
    let f = Op::Softmax.formula(Type::F32);
    let by = |rows| body(&f, Dialect::Wgsl, rows).unwrap();
    let (group, thread) = (by(Rows::Group), by(Rows::Thread));
    assert!(group.by_rows && thread.by_rows);
    assert!(group.text.contains("for (var c = local; c < length; c += 256u)"), "{}", group.text);
    assert!(group.text.contains("row_max_f32(") && group.helpers.contains("workgroupBarrier();"));
    assert!(thread.text.contains("for (var c = 0u; c < length; c += 1u)"), "{}", thread.text);
    assert!(!thread.text.contains("row_max_f32(") && !thread.helpers.contains("workgroupBarrier();"));
}

#[test]
fn a_function_of_one_number() {
    let f = Op::Relu.formula(Type::F32);
    let wgsl = function(&f, Dialect::Wgsl, "epilogue").unwrap();
    assert!(wgsl.contains("fn epilogue(x0: f32) -> f32 {\nlet v0: f32 = x0;\n"), "{wgsl}");
    let c = function(&f, Dialect::Cuda, "epilogue").unwrap();
    assert!(c.contains("__device__ float epilogue(float x0) {\nconst float v0 = x0;\n"), "{c}");
}

/// Adam with hyperparameters in F64: WGSL has it once the host does that arithmetic.
#[test]
fn adam_is_printed_once_hoisted() {
    let mut b = Builder::new();
    let [p, g, m, v] = [(); 4].map(|_| b.input(Type::F32));
    let [lr, b1, b2, eps, t] = [(); 5].map(|_| b.scalar(Type::F64));
    let one = b.number(Type::F64, 1.0);
    let narrow = |b: &mut Builder, x| b.cast(Type::F32, x);
    let decay = |b: &mut Builder, beta, state, new| {
        let rest = b.sub(one, beta);
        let (beta, rest) = (narrow(b, beta), narrow(b, rest));
        let (old, new) = (b.mul(beta, state), b.mul(rest, new));
        b.add(old, new)
    };
    let m = decay(&mut b, b1, m, g);
    let squares = b.mul(g, g);
    let v = decay(&mut b, b2, v, squares);
    let power = b.binary(Binary::Pow, b1, t);
    let correction = b.sub(one, power);
    let size = b.div(lr, correction);
    let (size, eps) = (b.cast(Type::F32, size), b.cast(Type::F32, eps));
    let root = b.unary(Unary::Sqrt, v);
    let (bottom, top) = (b.add(root, eps), b.mul(size, m));
    let update = b.div(top, bottom);
    let p = b.sub(p, update);
    let f = b.finish(&[p, m, v]);
    let error = body(&f, Dialect::Wgsl, Rows::Group).unwrap_err();
    assert_eq!(error, PrintError::Type(Dialect::Wgsl, Type::F64));
    assert!(error.to_string().contains("hoist"));
    let kernel_formula = hoist(&f).kernel;
    assert!(!text(&kernel_formula, Dialect::Wgsl).contains("pow("));
    assert!(text(&f, Dialect::Cuda).contains("pow(v"));
}

#[test]
fn numbers_that_wgsl_cannot_write() {
    let mut b = Builder::new();
    let x = b.input(Type::F32);
    let mut sum = x;
    for v in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, -0.0, 1e-45, f32::MAX as f64, 1e-8, -3.0] {
        let c = b.number(Type::F32, v);
        sum = b.binary(Binary::Max, sum, c);
    }
    let f = b.finish(&[sum]);
    let source = text(&f, Dialect::Wgsl);
    assert!(source.contains("from_bits(2139095040u)"), "{source}");
}

#[test]
fn what_wgsl_does_not_compute_is_an_error_that_says_so() {
    let error = body(&Op::Pow.formula(Type::I64), Dialect::Wgsl, Rows::Group).unwrap_err();
    assert_eq!(error, PrintError::Integer(Dialect::Wgsl, "pow".into()));
    assert!(error.to_string().contains("int32"), "{error}");
    assert!(body(&Op::Eq.formula(Type::I64), Dialect::Wgsl, Rows::Group).is_ok());
}

/// A scale that is replaced must not be read any more when it is.
#[test]
fn values_of_a_row_are_stored_after_everybody_has_read() {
    let text = text(&Op::Norm2.formula(Type::F32), Dialect::Wgsl);
    assert!(text.contains("storageBarrier();\nif (local == 0u)"), "{text}");
}
