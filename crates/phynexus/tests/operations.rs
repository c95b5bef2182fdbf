//! One walk over all operations: shape inference agrees with execution, gradients of first and second order with
//! finite differences in float64, a recorded list of operations replays to the same bits, and so do other threads.

#[path = "common/cases.rs"]
mod cases;
mod common;
#[path = "common/factors.rs"]
mod factors;
#[path = "common/rows.rs"]
mod rows;

use cases::{Case, Draw, Operand};
use common::{Rng, array, values};
use phynexus::formula::ops::Op as Row;
use phynexus::{
    Array, DType, Op, Operation, ReduceOp, Spec, Tensor, apply, binary, cpu_device, grad, permute, record,
};
use std::collections::BTreeSet;
use std::slice::from_ref;

fn draw(case: &Case, seed: u64) -> Vec<Vec<f64>> {
    let mut rng = Rng(seed);
    case.operands.iter().map(|o| o.draw(&mut rng)).collect()
}

fn arrays(case: &Case, values: &[Vec<f64>]) -> Vec<Array> {
    case.operands.iter().zip(values).map(|(o, v)| o.array(v)).collect()
}

fn run(case: &Case, inputs: &[Array]) -> Vec<Array> {
    let refs: Vec<&Array> = inputs.iter().collect();
    case.op.run(&refs).unwrap_or_else(|e| panic!("{}: {e}", case.what)).into_vec()
}

fn bits(arrays: &[Array]) -> Vec<Vec<u8>> {
    arrays.iter().map(|a| a.to_bytes().unwrap()).collect()
}

fn inference_agrees(case: &Case, inputs: &[Array], outputs: &[Array]) {
    let specs: Vec<Spec> = inputs.iter().map(Spec::from).collect();
    let inferred = case.op.infer(&specs).unwrap_or_else(|e| panic!("{}: {e}", case.what)).into_vec();
    let mut found: Vec<Spec> = outputs.iter().map(Spec::from).collect();
    if let Op::Nonzero(_) = case.op {
        // Only its values say how many there are: inference gives the most.
        assert!(found[0].shape.elements() <= inferred[0].shape.elements(), "{}", case.what);
        found[0].shape = inferred[0].shape;
    }
    assert_eq!(inferred, found, "{}", case.what);
}

fn replay_agrees(case: &Case, inputs: &[Array], outputs: &[Array]) {
    let tensors: Vec<Tensor> = inputs.iter().cloned().map(Tensor::new).collect();
    let refs: Vec<&Tensor> = tensors.iter().collect();
    let program = record(&tensors, || apply(case.op.clone(), &refs).map(|r| r.into_vec()));
    if let Op::Nonzero(_) = case.op {
        // Other values would give another shape, for which what follows was not recorded.
        assert!(program.err().unwrap().to_string().contains("cannot be recorded"), "{}", case.what);
        return;
    }
    let program = program.unwrap();
    assert_eq!(program.names(), [case.op.name()], "{}", case.what);
    assert!(bits(&program.replay(inputs).unwrap()) == bits(outputs), "{}: replay differs", case.what);
    let others = arrays(case, &draw(case, 2));
    let direct = bits(&run(case, &others));
    assert!(bits(&program.replay(&others).unwrap()) == direct, "{}: replay on others differs", case.what);
}

/// A number made of tensors of the shapes given, each element with a weight of its own.
fn weighted(tensors: &[Tensor]) -> Tensor {
    let mut rng = Rng(3);
    let mut total = Tensor::new(array(&[0.0], &[], DType::F64));
    for t in tensors {
        let weights: Vec<f64> = (0..t.shape().elements()).map(|_| rng.uniform(0.5, 1.5)).collect();
        let weights = Tensor::new(array(&weights, &t.shape(), DType::F64));
        let sum = binary(Row::Mul, t, &weights).unwrap().reduce(ReduceOp::Sum, None, false).unwrap();
        total = binary(Row::Add, &total, &sum).unwrap();
    }
    total
}

/// A matrix that must be symmetric, made of one that a difference was taken in.
fn symmetric(t: &Tensor, operand: &Operand) -> Tensor {
    if operand.draw != Draw::Symmetric {
        return t.clone();
    }
    let n = operand.dims.len();
    let mut order: Vec<usize> = (0..n).collect();
    order.swap(n - 2, n - 1);
    let turned = permute(t, &order).unwrap();
    binary(Row::Mul, &binary(Row::Add, t, &turned).unwrap(), 0.5).unwrap()
}

/// Leaves of these values and a number that depends on them: on the results, or their first derivatives.
fn number(case: &Case, values: &[Vec<f64>], order: usize) -> (Vec<Tensor>, Tensor) {
    let tensors: Vec<Tensor> = arrays(case, values).into_iter().map(Tensor::new).collect();
    let leaves: Vec<Tensor> = tensors.iter().filter(|t| t.dtype() == DType::F64).cloned().collect();
    leaves.iter().for_each(|t| t.set_requires_grad(true).unwrap());
    let used: Vec<Tensor> = tensors.iter().zip(&case.operands).map(|(t, o)| symmetric(t, o)).collect();
    let refs: Vec<&Tensor> = used.iter().collect();
    let mut results = apply(case.op.clone(), &refs).unwrap().into_vec();
    results.retain(|t| t.dtype() == DType::F64);
    let mut result = weighted(&results);
    for _ in 1..order {
        let slopes = if result.requires_grad() { derivatives(&result, &leaves, true) } else { vec![] };
        result = weighted(&slopes.into_iter().flatten().collect::<Vec<_>>());
    }
    (leaves, result)
}

fn derivatives(of: &Tensor, leaves: &[Tensor], create: bool) -> Vec<Option<Tensor>> {
    grad(from_ref(of), leaves, &[None], create, create).unwrap()
}

fn gradient_agrees(case: &Case, order: usize) {
    const STEP: f64 = 1e-5;
    let mut point = draw(case, 1);
    let (leaves, result) = number(case, &point, order);
    if values(&result)[0].is_nan() {
        return; // the mean of nothing
    }
    let slopes =
        if result.requires_grad() { derivatives(&result, &leaves, false) } else { vec![None; leaves.len()] };
    let floats = (0..case.operands.len()).filter(|&i| case.operands[i].dtype == DType::F64);
    for (i, slope) in floats.zip(slopes) {
        let slope = slope.map_or(vec![0.0; point[i].len()], |s| values(&s));
        for (j, &found) in slope.iter().enumerate() {
            let middle = point[i][j];
            let mut at = |x: f64| {
                point[i][j] = x;
                values(&number(case, &point, order).1)[0]
            };
            let expected = (at(middle + STEP) - at(middle - STEP)) / (2.0 * STEP);
            point[i][j] = middle;
            let near = (found - expected).abs() <= 1e-6 * expected.abs().max(1.0);
            assert!(
                near,
                "{}: derivative {order} with respect to operand {i}[{j}]: {found}, expected {expected}",
                case.what
            );
        }
    }
}

/// Results and first derivatives, for a comparison between numbers of threads.
fn everything(case: &Case) -> Vec<Vec<u8>> {
    let tensors: Vec<Tensor> = arrays(case, &draw(case, 1)).into_iter().map(Tensor::new).collect();
    tensors.iter().filter(|t| t.dtype().is_float()).for_each(|t| t.set_requires_grad(true).unwrap());
    let refs: Vec<&Tensor> = tensors.iter().collect();
    let results = apply(case.op.clone(), &refs).unwrap().into_vec();
    let mut all: Vec<Array> = results.iter().map(Tensor::array).collect();
    for result in results.iter().filter(|t| t.requires_grad()) {
        let upstream = apply(cases::same_everywhere(result, 0.75), &[]).unwrap().remove(0);
        let leaves: Vec<Tensor> = tensors.iter().filter(|t| t.requires_grad()).cloned().collect();
        let slopes = grad(from_ref(result), &leaves, &[Some(upstream)], true, false).unwrap();
        all.extend(slopes.iter().flatten().map(Tensor::array));
    }
    bits(&all)
}

#[test]
fn every_operation_infers_runs_differentiates_and_replays() {
    let (cases, small) = cases::all();
    let variant = |case: &Case| {
        let text = format!("{:?}", case.op);
        text[..text.find('(').unwrap()].to_string()
    };
    let covered: BTreeSet<String> = cases.iter().map(variant).collect();
    let all: BTreeSet<String> = Op::VARIANTS.iter().map(|v| v.to_string()).collect();
    assert_eq!(covered, all, "each operation needs a case here");

    let mut compared = 0;
    for (k, case) in cases.iter().enumerate() {
        let inputs = arrays(case, &draw(case, 1));
        let outputs = run(case, &inputs);
        inference_agrees(case, &inputs, &outputs);
        replay_agrees(case, &inputs, &outputs);
        let differentiable =
            case.op.saves(1).is_some() && case.operands.iter().any(|o| o.dtype == DType::F64);
        let floats = |a: &Array| a.dtype() == DType::F64 || !a.dtype().is_float();
        if k < small && differentiable && inputs.iter().chain(&outputs).all(floats) {
            gradient_agrees(case, 1);
            gradient_agrees(case, 2);
            compared += 1;
        }
    }
    assert!(compared > 1500, "only {compared} cases were compared with differences");
    assert!(cases[..small].iter().any(|c| c.what.contains("softmax")), "row-wise formulas are among them");

    let threads = cpu_device::num_threads();
    let mut first: Vec<Vec<Vec<u8>>> = Vec::new();
    for n in [1, 2, 3] {
        cpu_device::set_num_threads(n);
        for (k, case) in cases.iter().enumerate() {
            let found = everything(case);
            match first.get(k) {
                None => first.push(found),
                Some(expected) => assert!(*expected == found, "{}: other bits with {n} threads", case.what),
            }
        }
    }
    cpu_device::set_num_threads(threads);
}
