//! The optimizer step: formulas over all tensors of a group at once.

mod common;

use common::{Rng, array, error, near, values};
use phynexus::formula::{Builder, Formula, Reduction, Type, Unary};
use phynexus::stepper::{Counts, Given, Member, Rule};
use phynexus::{Array, DType, Result, Stepper, Tensor, Value, cpu_device};
use std::slice::from_ref;

/// `m ← mu m + g / (1 + |g|)`, `p ← p − lr t m`: with a norm over the tensor, and the step count in it.
fn clipped(ty: Type) -> Formula {
    let mut b = Builder::new();
    let [p, g, m] = [(); 3].map(|()| b.input(ty));
    let [t, lr, mu] = [(); 3].map(|()| b.scalar(ty));
    let squares = b.mul(g, g);
    let sum = b.reduce(Reduction::Sum, squares);
    let norm = b.unary(Unary::Sqrt, sum);
    let one = b.number(ty, 1.0);
    let size = b.add(one, norm);
    let g = b.div(g, size);
    let m = b.mul(mu, m);
    let m = b.add(m, g);
    let rate = b.mul(lr, t);
    let change = b.mul(rate, m);
    let p = b.sub(p, change);
    b.finish(&[p, m])
}

const HYPER: [Value; 2] = [Value::F(0.1), Value::F(0.9)];
const GIVEN: Given<'_> = Given { hyper: &HYPER, extras: &[], only: None, known: &[], answers: None };

/// A stepper for a rule without further ado.
fn bind(formula: &Formula, params: &[Tensor], states: &[Vec<Tensor>], steps: &[i64]) -> Result<Stepper> {
    let members = params.iter().zip(states).zip(steps).map(|((param, states), &step)| Member {
        param: param.clone(),
        view: [1, 1, param.shape().elements()],
        states: states.iter().cloned().collect(),
        counts: Counts::new(step, Default::default()),
    });
    Stepper::new(&Rule::plain(formula.clone()), members.collect())
}

fn random(rng: &mut Rng, n: usize) -> Vec<f64> {
    (0..n).map(|_| rng.uniform(-1.0, 1.0)).collect()
}

fn zeros(n: usize, dtype: DType) -> Tensor {
    Tensor::new(array(&vec![0.0; n], &[n], dtype))
}

fn set_grad(p: &Tensor, values: &[f64]) {
    p.set_grad(Some(Tensor::new(array(values, &p.shape(), p.dtype())))).unwrap();
}

#[test]
fn a_norm_goes_over_each_tensor_by_itself() {
    for (dtype, state, ty, tolerance) in [
        (DType::F64, DType::F64, Type::F64, 1e-14),
        (DType::F32, DType::F32, Type::F32, 1e-6),
        (DType::BF16, DType::F32, Type::F32, 1e-2),
        (DType::F32, DType::BF16, Type::F32, 1e-2),
        (DType::F16, DType::F16, Type::F32, 1e-2),
    ] {
        let mut rng = Rng(1);
        let sizes = [5, 1, 3000, 0, 70_000];
        let mut p: Vec<Vec<f64>> = sizes.iter().map(|&n| random(&mut rng, n)).collect();
        let params: Vec<Tensor> = p.iter().map(|v| Tensor::new(array(v, &[v.len()], dtype))).collect();
        let states: Vec<Vec<Tensor>> = sizes.iter().map(|&n| vec![zeros(n, state)]).collect();
        let mut m: Vec<Vec<f64>> = sizes.iter().map(|&n| vec![0.0; n]).collect();
        let mut stepper = bind(&clipped(ty), &params, &states, &[0; 5]).unwrap();
        for t in 1..4 {
            for (k, param) in params.iter().enumerate() {
                let g = random(&mut rng, sizes[k]);
                set_grad(param, &g);
                let norm = g.iter().map(|g| g * g).sum::<f64>().sqrt();
                for i in 0..sizes[k] {
                    m[k][i] = 0.9 * m[k][i] + g[i] / (1.0 + norm);
                    p[k][i] -= 0.1 * t as f64 * m[k][i];
                }
            }
            assert_eq!(stepper.step(GIVEN).unwrap(), 5);
        }
        for (k, param) in params.iter().enumerate() {
            assert!(near(&values(param), &p[k], tolerance), "{dtype} with {state} of {} elements", sizes[k]);
            assert!(near(&values(&states[k][0]), &m[k], tolerance));
        }
        assert_eq!(stepper.steps(), [3; 5]);
    }
}

/// A tensor without a gradient keeps value, state and step count; it catches up with its own count later.
#[test]
fn missing_gradients_leave_a_tensor_alone() {
    let params = [zeros(3, DType::F64), zeros(3, DType::F64)];
    let states = params.clone().map(|_| vec![zeros(3, DType::F64)]);
    let mut stepper = bind(&clipped(Type::F64), &params, &states, &[0, 7]).unwrap();
    set_grad(&params[0], &[1.0, 0.0, 0.0]);
    assert_eq!(stepper.step(GIVEN).unwrap(), 1);
    assert_eq!(
        (stepper.steps(), values(&params[1]), values(&states[1][0])),
        (vec![1, 7], vec![0.0; 3], vec![0.0; 3])
    );
    assert_eq!(values(&params[0]), [-0.1 * 0.5, 0.0, 0.0]);
    params[0].set_grad(None).unwrap();
    set_grad(&params[1], &[0.0, 1.0, 0.0]);
    stepper.step(GIVEN).unwrap();
    assert_eq!(stepper.steps(), [1, 8]);
    assert!(near(&values(&params[1]), &[0.0, -0.1 * 8.0 * 0.5, 0.0], 1e-15));
}

#[test]
fn bits_depend_neither_on_threads_nor_on_company_or_order() {
    let sizes = [300_000, 17, 1, 4097];
    let run = |order: &[usize], threads: usize| -> Vec<Vec<u8>> {
        cpu_device::set_num_threads(threads);
        let tensors: Vec<(Tensor, Vec<Tensor>)> = order
            .iter()
            .map(|&k| {
                let mut rng = Rng(k as u64);
                let p = Tensor::new(array(&random(&mut rng, sizes[k]), &[sizes[k]], DType::F32));
                set_grad(&p, &random(&mut rng, sizes[k]));
                (p, vec![zeros(sizes[k], DType::F32)])
            })
            .collect();
        let (params, states): (Vec<Tensor>, Vec<Vec<Tensor>>) = tensors.into_iter().unzip();
        let mut stepper = bind(&clipped(Type::F32), &params, &states, &vec![0; order.len()]).unwrap();
        for _ in 0..3 {
            stepper.step(GIVEN).unwrap();
        }
        let mut bits = vec![vec![]; sizes.len()];
        for (&k, p) in order.iter().zip(&params) {
            bits[k] = p.array().to_bytes().unwrap();
        }
        bits
    };
    let threads = cpu_device::num_threads();
    let expected = run(&[0, 1, 2, 3], 1);
    for (order, threads) in [([0, 1, 2, 3], 2), ([0, 1, 2, 3], 3), ([3, 1, 0, 2], 1), ([2, 3, 1, 0], 3)] {
        assert!(run(&order, threads) == expected, "order {order:?} with {threads} threads");
    }
    for (k, expected) in expected.iter().enumerate() {
        assert!(run(&[k], 2)[k] == *expected, "tensor {k} alone");
    }
    cpu_device::set_num_threads(threads);
}

#[test]
fn the_tape_sees_that_parameters_changed() {
    let p = zeros(2, DType::F64);
    p.set_requires_grad(true).unwrap();
    let needs = phynexus::binary(phynexus::formula::ops::Op::Mul, &p, &p).unwrap();
    let needs = needs.reduce(phynexus::ReduceOp::Sum, None, false).unwrap();
    set_grad(&p, &[1.0, 2.0]);
    let states = [vec![zeros(2, DType::F64)]];
    bind(&clipped(Type::F64), from_ref(&p), &states, &[0]).unwrap().step(GIVEN).unwrap();
    assert!(error(phynexus::backward(&[needs], &[None], false, false)).contains("changed in place"));
    assert_eq!(values(&p.grad().unwrap()), [1.0, 2.0], "gradients are never written to");
}

#[test]
fn gradients_that_are_not_finite_are_found() {
    let params = [zeros(2, DType::F32), zeros(2, DType::F32), zeros(2, DType::F32), zeros(2, DType::F32)];
    let states = params.clone().map(|_| vec![zeros(2, DType::F32)]);
    let stepper = bind(&clipped(Type::F32), &params, &states, &[0; 4]).unwrap();
    set_grad(&params[0], &[1.0, f64::NAN]);
    set_grad(&params[1], &[1.0, 2.0]);
    set_grad(&params[3], &[f64::INFINITY, 2.0]);
    assert_eq!(stepper.nonfinite().unwrap(), [0, 3]);
}

#[test]
fn what_does_not_fit_is_an_error() {
    let (p, q) = (zeros(3, DType::F64), zeros(2, DType::F64));
    let formula = clipped(Type::F64);
    let state = |n: usize| vec![zeros(n, DType::F64)];
    let new = |params: &[Tensor], states: &[Vec<Tensor>], steps: &[i64]| {
        bind(&formula, params, states, steps).map(|_| ())
    };
    assert!(error(new(&[], &[], &[])).contains("at least one parameter"));
    assert!(error(new(from_ref(&p), &[vec![]], &[0])).contains("needs 1 tensors"));
    assert!(error(new(&[p.clone(), q], &[state(3), state(3)], &[0, 0])).contains("(2,)"));
    assert!(
        error(new(&[p.clone(), zeros(3, DType::F32)], &[state(3), state(3)], &[0, 0])).contains("float32")
    );
    let mixed = [state(3), vec![zeros(3, DType::F32)]];
    assert!(error(new(&[p.clone(), zeros(3, DType::F64)], &mixed, &[0, 0])).contains("stored as [float64]"));
    let mut stepper = bind(&formula, from_ref(&p), &[state(3)], &[0]).unwrap();
    assert!(error(stepper.step(Given { hyper: &HYPER[..1], ..GIVEN })).contains("2 hyperparameters, got 1"));
    assert!(stepper.is_current());
    p.set_array(array(&[1.0], &[1], DType::F64));
    assert!(!stepper.is_current());
    set_grad(&p, &[1.0]);
    let text = error(stepper.step(GIVEN).map(|_| ()));
    assert!(text.contains("(1,)"), "{text}");
    let view = Array::full(common::shape(&[3, 2]), Value::F(0.0), DType::F64, phynexus::cpu()).unwrap();
    p.set_array(view.with_layout(view.layout().slice(1, 0, 1, 1).reshape(&common::shape(&[3])).unwrap()));
    set_grad(&p, &[1.0; 3]);
    assert!(error(stepper.step(GIVEN).map(|_| ())).contains("contiguous"));
}
