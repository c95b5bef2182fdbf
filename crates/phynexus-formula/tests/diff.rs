//! Derivatives against central differences, first and second order; and which operands they read.

mod common;

use common::{Rng, floats, numbers, sample, scalars};
use phynexus_formula::ops::Op;
use phynexus_formula::{Formula, Gradient, Rank, Source, Type, Value, differentiate, evaluate};

/// The operands of a gradient formula for one row; `upstream(k, i)` is the derivative by element i of result k.
fn operands(
    f: &Formula,
    gradient: &Gradient,
    inputs: &[Vec<Value>],
    scalars: &[Value],
    upstream: &[Vec<Value>],
) -> Vec<Vec<Value>> {
    let length = inputs[0].len();
    let outputs = evaluate(f, inputs, scalars);
    let whole = |v: &Vec<Value>| (0..length).map(|i| v[i % v.len()]).collect();
    let source = |s: &Source| match *s {
        Source::Input(k) => inputs[k].clone(),
        Source::Output(k) => whole(&outputs[k]),
        Source::Upstream(k) => whole(&upstream[k]),
    };
    gradient.sources.iter().map(source).collect()
}

fn gradients(
    f: &Formula,
    wanted: &[usize],
    inputs: &[Vec<Value>],
    scalars: &[Value],
    upstream: &[Vec<Value>],
) -> Vec<Vec<f64>> {
    let gradient = differentiate(f, wanted);
    let operands = operands(f, &gradient, inputs, scalars, upstream);
    let result = evaluate(&gradient.formula, &operands, scalars);
    result.iter().map(|v| (0..inputs[0].len()).map(|i| v[i % v.len()].as_f64()).collect()).collect()
}

/// `sum_k <upstream_k, output_k>`; results without floats count nothing.
fn objective(f: &Formula, inputs: &[Vec<Value>], scalars: &[Value], upstream: &[Vec<Value>]) -> f64 {
    let outputs = evaluate(f, inputs, scalars);
    let dot = |(y, u): (&Vec<Value>, &Vec<Value>)| -> f64 {
        y.iter().zip(u).map(|(y, u)| y.as_f64() * u.as_f64()).sum()
    };
    outputs.iter().zip(upstream).map(dot).sum()
}

/// Central differences of fourth order of the objective by each element of input `slot`.
fn differences(
    f: &Formula,
    slot: usize,
    inputs: &[Vec<Value>],
    scalars: &[Value],
    upstream: &[Vec<Value>],
) -> Vec<f64> {
    let h = 1e-4;
    let at = |i: usize, step: f64| {
        let mut moved = inputs.to_vec();
        moved[slot][i] = Value::F(moved[slot][i].as_f64() + step);
        objective(f, &moved, scalars, upstream)
    };
    let slope = |i: usize| (8.0 * (at(i, h) - at(i, -h)) - (at(i, 2.0 * h) - at(i, -2.0 * h))) / (12.0 * h);
    (0..inputs[0].len()).map(slope).collect()
}

fn random_upstream(f: &Formula, length: usize, rng: &mut Rng) -> Vec<Vec<Value>> {
    let count = |id| if f.rank(id) == Rank::Element { length } else { 1 };
    f.outputs().iter().map(|&id| (0..count(id)).map(|_| Value::F(rng.uniform(-1.0, 1.0))).collect()).collect()
}

fn float_inputs(f: &Formula) -> Vec<usize> {
    (0..f.inputs().len()).filter(|&k| f.inputs()[k].is_float()).collect()
}

fn close(name: &str, got: &[f64], expected: &[f64]) {
    for (i, (a, b)) in got.iter().zip(expected).enumerate() {
        assert!(
            (a - b).abs() <= 2e-8 * (1.0 + a.abs().max(b.abs())),
            "{name}[{i}]: {a} is not {b}\n{got:?}\n{expected:?}"
        );
    }
}

#[test]
fn every_operation_agrees_with_differences_to_second_order() {
    let mut rng = Rng(7);
    let mut checked = 0;
    for &op in Op::ALL.iter().filter(|op| op.row().differentiable) {
        let f = op.formula(Type::F64);
        let wanted = float_inputs(&f);
        let scalars = scalars(op, Type::F64);
        for _ in 0..4 {
            let inputs = sample(op, Type::F64, 5, &mut rng);
            let upstream = random_upstream(&f, 5, &mut rng);
            let first = gradients(&f, &wanted, &inputs, &scalars, &upstream);
            for (&slot, got) in wanted.iter().zip(&first) {
                close(
                    &format!("{} by {slot}", op.name()),
                    got,
                    &differences(&f, slot, &inputs, &scalars, &upstream),
                );
                checked += 1;
            }
            // The gradient with all of its operands independent; differentiated again with respect to each.
            let gradient = differentiate(&f, &wanted);
            let g = &gradient.formula;
            let mut inputs = operands(&f, &gradient, &inputs, &scalars, &upstream);
            // The result of a relu sits on the kink of its own derivative.
            inputs.iter_mut().flatten().filter(|v| **v == Value::F(0.0)).for_each(|v| *v = Value::F(0.3));
            if inputs.is_empty() {
                continue;
            }
            let upstream = random_upstream(g, 5, &mut rng);
            let wanted = float_inputs(g);
            let second = gradients(g, &wanted, &inputs, &scalars, &upstream);
            for (&slot, got) in wanted.iter().zip(&second) {
                let name = format!("gradient of {} by {:?}", op.name(), gradient.sources[slot]);
                close(&name, got, &differences(g, slot, &inputs, &scalars, &upstream));
            }
        }
    }
    assert!(checked > 300);
}

#[test]
fn results_are_read_rather_than_computed_again() {
    use Source::{Input, Output, Upstream};
    let sources = |op: Op, wanted: &[usize]| differentiate(&op.formula(Type::F32), wanted).sources;
    for op in [
        Op::Tanh,
        Op::Sigmoid,
        Op::Exp,
        Op::Exp2,
        Op::Sqrt,
        Op::Rsqrt,
        Op::Reciprocal,
        Op::Relu,
        Op::Softmax,
        Op::LogSoftmax,
    ] {
        assert_eq!(sources(op, &[0]), [Output(0), Upstream(0)], "{op:?}");
    }
    for op in [Op::Silu, Op::Gelu, Op::Square, Op::Log] {
        assert_eq!(sources(op, &[0]), [Input(0), Upstream(0)], "{op:?}");
    }
    assert_eq!(sources(Op::Add, &[0, 1]), [Upstream(0)]);
    assert_eq!(sources(Op::Mul, &[0]), [Input(1), Upstream(0)]);
    assert_eq!(sources(Op::Div, &[0]), [Input(1), Upstream(0)]);
    assert_eq!(sources(Op::CrossEntropy, &[0]), [Input(0), Input(1), Upstream(0)]);
    assert_eq!(sources(Op::Floor, &[0]), []);
}

#[test]
fn softmax_needs_one_sum() {
    let g = differentiate(&Op::Softmax.formula(Type::F32), &[0]).formula;
    assert_eq!(g.nodes().len(), 6, "y, g, g*y, sum, g - sum, product: {:?}", g.nodes());
}

fn derivative(op: Op, inputs: &[f64], slot: usize) -> f64 {
    let f = op.formula(Type::F64);
    let inputs: Vec<_> = inputs.iter().map(|&v| floats(&[v])).collect();
    gradients(&f, &[slot], &inputs, &scalars(op, Type::F64), &[floats(&[1.0])])[0][0]
}

#[test]
fn edges_are_those_of_pytorch() {
    assert_eq!(derivative(Op::Relu, &[0.0], 0), 0.0);
    assert_eq!(derivative(Op::Relu, &[f64::NAN], 0), 1.0);
    assert_eq!(derivative(Op::Abs, &[0.0], 0), 0.0);
    assert_eq!(derivative(Op::Sqrt, &[0.0], 0), f64::INFINITY);
    assert_eq!(derivative(Op::Maximum, &[1.5, 1.5], 1), 0.5);
    assert_eq!(derivative(Op::Minimum, &[1.5, 1.5], 0), 0.5);
    assert_eq!(derivative(Op::Clamp, &[1.1], 0), 0.0);
    assert_eq!(derivative(Op::Clamp, &[1.2], 0), 0.0);
    assert_eq!(derivative(Op::Pow, &[0.0, 0.0], 0), 0.0);
    assert_eq!(derivative(Op::Pow, &[0.0, 2.0], 1), 0.0);
    assert_eq!(derivative(Op::Pow, &[-2.0, 3.0], 0), 12.0);
    assert_eq!(derivative(Op::Softplus, &[1000.0], 0), 1.0);
    assert_eq!(derivative(Op::Elu, &[1000.0], 0), 1.0);
    assert_eq!(derivative(Op::Norm2, &[0.0], 0), 0.0);
    assert_eq!(derivative(Op::BceWithLogits, &[0.0, 1.0], 0), -0.5);
    assert_eq!(derivative(Op::Bce, &[0.0, 1.0], 0), -1e12);
    assert_eq!(derivative(Op::Bce, &[1.0, 0.0], 0), 1e12);
    // Here PyTorch has 0 / 1e-12; the limit is the better answer.
    assert_eq!(derivative(Op::Bce, &[1.0, 1.0], 0), -1.0);
    assert_eq!(derivative(Op::KlDiv, &[-1.0, 0.0], 1), 1.0);
    assert_eq!(derivative(Op::Floor, &[1.5], 0), 0.0);
}

#[test]
fn reductions_share_and_products_survive_zeros() {
    use phynexus_formula::{Builder, Reduction};
    let of = |op: Reduction, row: &[f64]| {
        let mut b = Builder::new();
        let x = b.input(Type::F64);
        let y = b.reduce(op, x);
        let f = b.finish(&[y]);
        gradients(&f, &[0], &[floats(row)], &[], &[floats(&[2.0])]).remove(0)
    };
    assert_eq!(of(Reduction::Max, &[3.0, 1.0, 3.0]), [1.0, 0.0, 1.0]);
    assert_eq!(of(Reduction::Min, &[3.0, 1.0, 3.0]), [0.0, 2.0, 0.0]);
    assert_eq!(of(Reduction::Sum, &[3.0, 1.0]), [2.0, 2.0]);
    assert_eq!(of(Reduction::Prod, &[3.0, 1.0, 4.0]), [8.0, 24.0, 6.0]);
    assert_eq!(of(Reduction::Prod, &[3.0, 0.0, 4.0]), [0.0, 24.0, 0.0]);
    assert_eq!(of(Reduction::Prod, &[0.0, 0.0, 4.0]), [0.0, 0.0, 0.0]);
}

#[test]
fn a_derivative_that_is_one_value_for_each_row_is_given_for_each_element() {
    use phynexus_formula::Builder;
    let mut b = Builder::new();
    let x = b.input(Type::F64);
    let (index, total) = (b.index(), b.sum(x));
    let index = b.cast(Type::F64, index);
    let y = b.sub(index, total);
    let f = b.finish(&[y]);
    let g = differentiate(&f, &[0]).formula;
    assert_eq!(g.rank(g.outputs()[0]), Rank::Element);
    let got = gradients(&f, &[0], &[floats(&[1.0, 2.0])], &[], &[floats(&[3.0, 4.0])]);
    assert_eq!(got, [[-7.0, -7.0]]);
    let all = evaluate(&g, &[floats(&[3.0, 4.0])], &[]);
    assert_eq!(numbers(&all[0]), [-7.0, -7.0]);
}
