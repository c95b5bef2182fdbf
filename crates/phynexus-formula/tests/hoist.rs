//! Hoisting keeps the meaning and leaves no scalar arithmetic to the elements.

mod common;

use common::floats;
use phynexus_formula::{Binary, Builder, Formula, Node, Rank, Type, Value};
use phynexus_formula::{evaluate, evaluate_scalars, evaluate_scalars_into, hoist};

/// Adam as a tracer writes it: hyperparameters in F64, elements in F32. Results: parameter and both states.
fn adam() -> Formula {
    let mut b = Builder::new();
    let [p, g, m, v] = [(); 4].map(|_| b.input(Type::F32));
    let [lr, b1, b2, eps, t] = [(); 5].map(|_| b.scalar(Type::F64));
    let one = b.number(Type::F64, 1.0);
    let decay = |b: &mut Builder, beta, state, new| {
        let rest = b.sub(one, beta);
        let (beta, rest) = (b.cast(Type::F32, beta), b.cast(Type::F32, rest));
        let (old, new) = (b.mul(beta, state), b.mul(rest, new));
        b.add(old, new)
    };
    let m = decay(&mut b, b1, m, g);
    let squares = b.mul(g, g);
    let v = decay(&mut b, b2, v, squares);
    let correction = |b: &mut Builder, beta| {
        let power = b.binary(Binary::Pow, beta, t);
        b.sub(one, power)
    };
    let (c1, c2) = (correction(&mut b, b1), correction(&mut b, b2));
    let size = b.div(lr, c1);
    let (size, c2, eps) = (b.cast(Type::F32, size), b.cast(Type::F32, c2), b.cast(Type::F32, eps));
    let vhat = b.div(v, c2);
    let root = b.unary(phynexus_formula::Unary::Sqrt, vhat);
    let (bottom, top) = (b.add(root, eps), b.mul(size, m));
    let update = b.div(top, bottom);
    let p = b.sub(p, update);
    b.finish(&[p, m, v])
}

#[test]
fn adam_keeps_its_meaning() {
    let f = adam();
    let hoisted = hoist(&f);
    let inputs: Vec<Vec<Value>> = [0.5, -0.25, 0.125, 0.0625].map(|v| floats(&[v, 2.0 * v])).into();
    let scalars = floats(&[1e-3, 0.9, 0.999, 1e-8, 3.0]);
    let entries = evaluate_scalars(&hoisted.host, &scalars);
    assert_eq!(evaluate(&hoisted.kernel, &inputs, &entries), evaluate(&f, &inputs, &scalars));
    // b1, 1 - b1, b2, 1 - b2, size, c2, eps: seven, all F32 in the kernel.
    assert_eq!(hoisted.kernel.scalars(), [Type::F32; 7]);
    assert_eq!(hoisted.kernel.inputs(), f.inputs());
    let worked = 1e-3 / (1.0 - 0.9f64.powf(3.0));
    assert!(entries.contains(&Value::F(worked as f32 as f64)), "{worked} is not in {entries:?}");
}

#[test]
fn nothing_scalar_is_left_but_entries_and_constants() {
    let kernel = hoist(&adam()).kernel;
    for (i, node) in kernel.nodes().iter().enumerate() {
        if kernel.rank(phynexus_formula::Id(i as u32)) == Rank::Scalar {
            assert!(matches!(node, Node::Const(_) | Node::Scalar { .. }), "{node:?}");
        }
    }
    assert!(!kernel.nodes().iter().any(|n| matches!(n, Node::Cast(..))));
}

#[test]
fn scalar_results_and_bare_scalars_get_entries() {
    let mut b = Builder::new();
    let x = b.input(Type::F64);
    let (unused, s) = (b.scalar(Type::F64), b.scalar(Type::F64));
    let _ = unused;
    let (y, double, constant) = (b.mul(x, s), b.add(s, s), b.number(Type::F64, 4.0));
    let f = b.finish(&[y, double, constant]);
    let hoisted = hoist(&f);
    let scalars = floats(&[7.0, 3.0]);
    let entries = evaluate_scalars(&hoisted.host, &scalars);
    assert_eq!(entries, floats(&[3.0, 6.0]));
    let got = evaluate(&hoisted.kernel, &[floats(&[2.0])], &entries);
    assert_eq!(got, [floats(&[6.0]), floats(&[6.0]), floats(&[4.0])]);
}

#[test]
fn buffers_are_used_again() {
    let host = hoist(&adam()).host;
    let (mut scratch, mut results) = (vec![], vec![]);
    let scalars = floats(&[1e-3, 0.9, 0.999, 1e-8, 3.0]);
    evaluate_scalars_into(&host, &scalars, &mut scratch, &mut results);
    let (first, place) = (results.clone(), scratch.as_ptr());
    evaluate_scalars_into(&host, &scalars, &mut scratch, &mut results);
    assert_eq!((results, scratch.as_ptr()), (first, place));
}
