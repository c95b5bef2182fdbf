//! The table of operations against the standard library and definitions written out.

mod common;

use common::{Rng, floats, numbers, sample, scalars};
use phynexus_formula::ops::{Op, ResultType};
use phynexus_formula::{Rank, Type, Value, evaluate};

fn run(op: Op, inputs: &[Vec<Value>], scalars: &[Value]) -> Vec<Vec<f64>> {
    evaluate(&op.formula(Type::F64), inputs, scalars).iter().map(|v| numbers(v)).collect()
}

fn softmax(x: &[f64]) -> Vec<f64> {
    let sum: f64 = x.iter().map(|v| v.exp()).sum();
    x.iter().map(|v| v.exp() / sum).collect()
}

fn softplus(x: f64, beta: f64) -> f64 {
    (x * beta).exp().ln_1p() / beta
}

/// What an elementwise operation gives for the operands `x` and scalars `s`.
fn reference(op: Op, x: &[f64], s: &[f64]) -> Option<f64> {
    let truth = |b: bool| b as i64 as f64;
    let a = x[0];
    let b = x.get(1).copied().unwrap_or(f64::NAN);
    Some(match op {
        Op::Neg => -a,
        Op::Abs => a.abs(),
        Op::Sign => a.signum(),
        Op::Square => a * a,
        Op::Reciprocal => a.recip(),
        Op::Exp => a.exp(),
        Op::Exp2 => a.exp2(),
        Op::Expm1 => a.exp_m1(),
        Op::Log => a.ln(),
        Op::Log2 => a.log2(),
        Op::Log10 => a.log10(),
        Op::Log1p => a.ln_1p(),
        Op::Sqrt => a.sqrt(),
        Op::Rsqrt => a.powf(-0.5),
        Op::Sin => a.sin(),
        Op::Cos => a.cos(),
        Op::Tan => a.tan(),
        Op::Asin => a.asin(),
        Op::Acos => a.acos(),
        Op::Atan => a.atan(),
        Op::Tanh => a.tanh(),
        Op::Sigmoid => 1.0 / (1.0 + (-a).exp()),
        Op::Floor => a.floor(),
        Op::Ceil => a.ceil(),
        Op::Trunc => a.trunc(),
        Op::Round => a.round_ties_even(),
        Op::RoundTo => (a * 10.0).round_ties_even() / 10.0,
        Op::Relu => a.max(0.0),
        Op::LeakyRelu => {
            if a > 0.0 {
                a
            } else {
                s[0] * a
            }
        }
        Op::Elu => {
            if a > 0.0 {
                a
            } else {
                s[0] * a.exp_m1()
            }
        }
        Op::GeluTanh => {
            0.5 * a * (1.0 + ((2.0 / std::f64::consts::PI).sqrt() * (a + 0.044715 * a.powi(3))).tanh())
        }
        Op::Silu => a / (1.0 + (-a).exp()),
        Op::Mish => a * softplus(a, 1.0).tanh(),
        Op::Softplus => softplus(a, s[0]),
        Op::Softsign => a / (1.0 + a.abs()),
        Op::Clamp => a.clamp(s[0], s[1]),
        Op::ClampMin => a.max(s[0]),
        Op::ClampMax => a.min(s[0]),
        Op::IsNan | Op::IsInf => 0.0,
        Op::IsFinite => 1.0,
        Op::Add => a + b,
        Op::Sub => a - b,
        Op::Mul => a * b,
        Op::Div => a / b,
        Op::FloorDivide => (a / b).floor(),
        Op::Remainder => a.rem_euclid(b),
        Op::Pow => a.powf(b),
        Op::Minimum => a.min(b),
        Op::Maximum => a.max(b),
        Op::Atan2 => a.atan2(b),
        Op::AddScaled => a + s[0] * b,
        Op::Eq => truth(a == b),
        Op::Ne => truth(a != b),
        Op::Lt => truth(a < b),
        Op::Le => truth(a <= b),
        Op::Gt => truth(a > b),
        Op::Ge => truth(a >= b),
        Op::IsClose => truth((a - b).abs() <= s[1] + s[0] * b.abs()),
        Op::Where => {
            if a != 0.0 {
                b
            } else {
                x[2]
            }
        }
        Op::Lerp => a + x[2] * (b - a),
        Op::SquaredError => (a - b).powi(2),
        Op::AbsoluteError => (a - b).abs(),
        Op::SmoothL1 => {
            let d = (a - b).abs();
            if d < s[0] { 0.5 * d * d / s[0] } else { d - 0.5 * s[0] }
        }
        Op::Huber => {
            let d = (a - b).abs();
            if d < s[0] { 0.5 * d * d } else { s[0] * (d - 0.5 * s[0]) }
        }
        Op::Bce => -(b * a.ln() + (1.0 - b) * (1.0 - a).ln()),
        Op::BceWithLogits => b * softplus(-a, 1.0) + (1.0 - b) * softplus(a, 1.0),
        Op::BceWithLogitsWeighted => x[2] * b * softplus(-a, 1.0) + (1.0 - b) * softplus(a, 1.0),
        Op::KlDiv => b * (b.ln() - a),
        Op::KlDivLogTarget => b.exp() * (b - a),
        _ => return None,
    })
}

#[test]
fn elementwise_operations_agree_with_the_standard_library() {
    let mut rng = Rng(11);
    let mut checked = 0;
    for &op in Op::ALL.iter().filter(|op| !op.row().row_wise) {
        let s = scalars(op, Type::F64);
        let inputs = sample(op, Type::F64, 50, &mut rng);
        let got = if reference(op, &[0.5; 3], &[0.1, 0.2]).is_some() {
            run(op, &inputs, &s).remove(0)
        } else {
            continue;
        };
        for (i, got) in got.iter().enumerate() {
            let x: Vec<f64> = inputs.iter().map(|v| v[i].as_f64()).collect();
            let expected = reference(op, &x, &numbers(&s)).expect("known above");
            assert!(
                (got - expected).abs() <= 4e-15 * (1.0 + expected.abs()),
                "{op:?}{x:?}: {got} is not {expected}"
            );
        }
        checked += 1;
    }
    // Left: erf and gelu (tests of the primitive), logical and bitwise operations.
    assert_eq!(checked, Op::ALL.iter().filter(|op| !op.row().row_wise).count() - 9);
}

#[test]
fn truth_values_and_integers() {
    let of = |op: Op, ty: Type, x: &[i64]| {
        let inputs: Vec<Vec<Value>> = x.iter().map(|&v| vec![Value::I(v)]).collect();
        evaluate(&op.formula(ty), &inputs, &[])[0][0].as_i64()
    };
    for (a, b) in [(0, 0), (0, 1), (1, 0), (1, 1)] {
        assert_eq!(of(Op::LogicalAnd, Type::Bool, &[a, b]), a & b);
        assert_eq!(of(Op::LogicalOr, Type::Bool, &[a, b]), a | b);
        assert_eq!(of(Op::LogicalXor, Type::Bool, &[a, b]), a ^ b);
        assert_eq!(of(Op::Add, Type::Bool, &[a, b]), a | b);
        assert_eq!(of(Op::Mul, Type::Bool, &[a, b]), a & b);
        assert_eq!(of(Op::Gt, Type::Bool, &[a, b]), (a > b) as i64);
    }
    assert_eq!(of(Op::LogicalNot, Type::Bool, &[0]), 1);
    assert_eq!((of(Op::BitwiseAnd, Type::I32, &[12, 10]), of(Op::BitwiseOr, Type::I32, &[12, 10])), (8, 14));
    assert_eq!(of(Op::BitwiseXor, Type::I64, &[12, 10]), 6);
    assert_eq!(
        (of(Op::Floor, Type::I64, &[-3]), of(Op::IsNan, Type::I64, &[-3]), of(Op::IsFinite, Type::I32, &[3])),
        (-3, 0, 1)
    );
    assert_eq!((of(Op::Relu, Type::I64, &[-3]), of(Op::FloorDivide, Type::I64, &[-7, 2])), (0, -4));
}

#[test]
fn the_table_says_what_the_formulas_are() {
    for &op in Op::ALL {
        let row = op.row();
        assert_eq!(Op::from_name(op.name()), Some(op), "names are unique");
        assert_eq!(row.scalars, row.domain.scalars.len());
        let ty =
            if row.promotion == phynexus_formula::ops::Promotion::Integer { Type::I32 } else { Type::F32 };
        let ty = if row.promotion == phynexus_formula::ops::Promotion::Bool { Type::Bool } else { ty };
        let f = op.formula(ty);
        assert_eq!(
            (f.inputs().len(), f.scalars().len(), f.outputs().len()),
            (row.inputs, row.scalars, row.outputs)
        );
        assert_eq!(f.reduces(), row.row_wise, "{op:?}");
        let result = if row.result == ResultType::Bool { Type::Bool } else { ty };
        for &id in f.outputs() {
            assert_eq!(f.ty(id), result, "{op:?}");
            assert!(row.row_wise || f.rank(id) == Rank::Element, "{op:?}");
        }
    }
    assert_eq!(Op::from_name("no such operation"), None);
}

const LOGITS: [f64; 4] = [0.5, -1.0, 2.0, 0.25];

#[test]
fn row_operations_agree_with_their_definitions() {
    let x = floats(&LOGITS);
    let close = |got: &[f64], expected: &[f64]| {
        assert_eq!(got.len(), expected.len());
        assert!(got.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-14), "{got:?} is not {expected:?}");
    };
    let p = softmax(&LOGITS);
    let logs: Vec<f64> = p.iter().map(|p| p.ln()).collect();
    let row = std::slice::from_ref(&x);
    close(&run(Op::Softmax, row, &[])[0], &p);
    close(&run(Op::LogSoftmax, row, &[])[0], &logs);
    close(&run(Op::LogSumExp, row, &[])[0], &[LOGITS.iter().map(|v| v.exp()).sum::<f64>().ln()]);
    let mean = LOGITS.iter().sum::<f64>() / 4.0;
    let squares: f64 = LOGITS.iter().map(|v| (v - mean).powi(2)).sum();
    let moments = run(Op::Moments, row, &floats(&[1.0]));
    close(&[moments[0][0], moments[1][0]], &[mean, squares / 3.0]);
    assert!(run(Op::Moments, &[floats(&[2.0])], &floats(&[1.0]))[1][0].is_nan());
    close(&run(Op::Norm2, row, &[])[0], &[LOGITS.iter().map(|v| v * v).sum::<f64>().sqrt()]);
    let normal: Vec<f64> = LOGITS.iter().map(|v| (v - mean) / (squares / 4.0 + 1e-5).sqrt()).collect();
    close(&run(Op::LayerNormPlain, row, &floats(&[1e-5]))[0], &normal);
    let (w, b) = ([1.0, 2.0, 3.0, 4.0], [0.5, 0.0, -0.5, 1.0]);
    let scaled: Vec<f64> = (0..4).map(|i| normal[i] * w[i] + b[i]).collect();
    close(&run(Op::LayerNorm, &[x.clone(), floats(&w), floats(&b)], &floats(&[1e-5]))[0], &scaled);
    let rms = (LOGITS.iter().map(|v| v * v).sum::<f64>() / 4.0 + 1e-5).sqrt();
    let scaled: Vec<f64> = (0..4).map(|i| LOGITS[i] / rms * w[i]).collect();
    close(&run(Op::RmsNorm, &[x, floats(&w)], &floats(&[1e-5]))[0], &scaled);
}

#[test]
fn infinite_logits_and_large_ones() {
    let none = floats(&[f64::NEG_INFINITY; 3]);
    assert_eq!(run(Op::LogSumExp, std::slice::from_ref(&none), &[])[0], [f64::NEG_INFINITY]);
    assert!(run(Op::Softmax, &[none], &[])[0][0].is_nan());
    let masked = run(Op::Softmax, &[floats(&[1.0, f64::NEG_INFINITY, 1.0])], &[]);
    assert_eq!(masked[0], [0.5, 0.0, 0.5]);
    assert_eq!(run(Op::LogSoftmax, &[floats(&[5000.0, 0.0])], &[])[0], [0.0, -5000.0]);
    assert_eq!(run(Op::LogSumExp, &[floats(&[5000.0, 0.0])], &[])[0], [5000.0]);
    // A masked class counts nothing without smoothing.
    let x = [floats(&[1.0, f64::NEG_INFINITY, 1.0]), vec![Value::I(0); 3]];
    let loss = run(Op::CrossEntropy, &x, &[Value::I(-100), Value::F(0.0)]);
    assert!((loss[0][0] - 2f64.ln()).abs() < 1e-15);
}

#[test]
fn cross_entropy_of_labels() {
    let logs: Vec<f64> = softmax(&LOGITS).iter().map(|p| p.ln()).collect();
    let w = [1.0, 2.0, 0.5, 4.0];
    for smoothing in [0.0, 0.1] {
        for label in 0..4 {
            let s = [Value::I(2), Value::F(smoothing)];
            let x = [floats(&LOGITS), vec![Value::I(label as i64); 4], floats(&w)];
            let plain = run(Op::CrossEntropy, &x[..2], &s);
            let weighted = run(Op::CrossEntropyWeighted, &x, &s);
            let spread: f64 = logs.iter().sum::<f64>() / 4.0;
            let spread_weighted: f64 = logs.iter().zip(&w).map(|(l, w)| w * l).sum::<f64>() / 4.0;
            let counted = (label != 2) as i64 as f64;
            let expected = [
                -counted * ((1.0 - smoothing) * logs[label] + smoothing * spread),
                counted,
                -counted * ((1.0 - smoothing) * w[label] * logs[label] + smoothing * spread_weighted),
                counted * w[label],
            ];
            let got = [plain[0][0], plain[1][0], weighted[0][0], weighted[1][0]];
            for (got, expected) in got.iter().zip(expected) {
                assert!(
                    (got - expected).abs() < 1e-14,
                    "label {label}, smoothing {smoothing}: {got} is not {expected}"
                );
            }
        }
    }
}

#[test]
fn cross_entropy_of_probabilities() {
    let logs: Vec<f64> = softmax(&LOGITS).iter().map(|p| p.ln()).collect();
    let (t, w) = ([0.1, 0.2, 0.3, 0.4], [1.0, 2.0, 0.5, 4.0]);
    let target = t.map(|t| 0.9 * t + 0.1 / 4.0);
    let x = [floats(&LOGITS), floats(&t), floats(&w)];
    let plain = run(Op::CrossEntropySoft, &x[..2], &floats(&[0.1]))[0][0];
    let weighted = run(Op::CrossEntropySoftWeighted, &x, &floats(&[0.1]))[0][0];
    let sum = |f: &dyn Fn(usize) -> f64| -(0..4).map(f).sum::<f64>();
    assert!((plain - sum(&|i| target[i] * logs[i])).abs() < 1e-14);
    assert!((weighted - sum(&|i| w[i] * target[i] * logs[i])).abs() < 1e-14);
}

#[test]
fn losses_at_their_edges() {
    let of = |op: Op, x: &[f64], s: &[f64]| {
        let inputs: Vec<_> = x.iter().map(|&v| floats(&[v])).collect();
        run(op, &inputs, &floats(s))[0][0]
    };
    assert_eq!(of(Op::Bce, &[0.0, 1.0], &[]), 100.0);
    assert_eq!(of(Op::Bce, &[1.0, 0.0], &[]), 100.0);
    assert_eq!(of(Op::Bce, &[0.0, 0.0], &[]), 0.0);
    assert_eq!(of(Op::BceWithLogits, &[1000.0, 0.0], &[]), 1000.0);
    assert_eq!(of(Op::BceWithLogits, &[-1000.0, 0.0], &[]), 0.0);
    assert_eq!(of(Op::SmoothL1, &[3.0, 1.0], &[0.0]), 2.0);
    assert_eq!(of(Op::KlDiv, &[-1.0, 0.0], &[]), 0.0);
    assert_eq!(of(Op::Softplus, &[1000.0], &[1.0, 20.0]), 1000.0);
    assert_eq!(of(Op::Lerp, &[1.0, 3.1, 1.0], &[]), 3.1);
    assert!(of(Op::Relu, &[f64::NAN], &[]).is_nan());
    assert!(of(Op::Clamp, &[f64::NAN], &[0.0, 1.0]).is_nan());
    assert_eq!(of(Op::Clamp, &[0.5], &[1.0, 0.0]), 0.0);
}
