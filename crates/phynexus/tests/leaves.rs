//! When a leaf's gradient is complete: hooks and sinks see the whole sum, once, and as early as can be.

mod common;

use common::{Rng, error, grad_of, leaf, values};
use phynexus::formula::ops::Op as Row;
use phynexus::{Error, ReduceOp, Tensor, backward, backward_into, binary, unary};
use std::slice::from_ref;
use std::sync::{Arc, Mutex};

fn sum(t: &Tensor) -> Tensor {
    t.reduce(ReduceOp::Sum, None, false).unwrap()
}

fn scale(a: &Tensor, factor: f64) -> Tensor {
    binary(Row::Mul, a, factor).unwrap()
}

/// Random graphs over a few leaves.
fn graph(seed: u64) -> (Vec<Tensor>, Tensor) {
    let mut rng = Rng(seed);
    let leaves: Vec<Tensor> = (0..4).map(|_| leaf(&[rng.uniform(-1.0, 1.0)], &[1])).collect();
    let mut all = leaves.clone();
    for _ in 0..12 {
        let (a, b) = (all[rng.below(all.len())].clone(), all[rng.below(all.len())].clone());
        all.push(match rng.below(4) {
            0 => binary(Row::Add, &a, &b).unwrap(),
            1 => binary(Row::Mul, &a, &b).unwrap(),
            2 => unary(Row::Sin, &a).unwrap(),
            _ => unary(Row::Tanh, &a).unwrap(),
        });
    }
    let root = all[4..].iter().skip(8).fold(all[4].clone(), |r, t| binary(Row::Add, &r, t).unwrap());
    (leaves, sum(&root))
}

#[test]
fn sums_in_any_graph_are_seen_whole_and_once() {
    for seed in 0..300 {
        let (plain, root) = graph(seed);
        backward(&[root], &[None], false, false).unwrap();
        let (hooked, root) = graph(seed);
        let seen = Arc::new(Mutex::new(vec![Vec::new(); hooked.len()]));
        for (i, leaf) in hooked.iter().enumerate() {
            let seen = seen.clone();
            let note = move |g: &Tensor| {
                seen.lock().unwrap()[i].push(values(g)[0]);
                Ok(None)
            };
            leaf.add_hook(Arc::new(note)).unwrap();
        }
        backward(&[root], &[None], false, false).unwrap();
        let (sunk, root) = graph(seed);
        let told = Mutex::new(vec![Vec::new(); sunk.len()]);
        let sink = |leaf: &Tensor| {
            let place = sunk.iter().position(|other| other.is(leaf)).unwrap();
            told.lock().unwrap()[place].push(grad_of(leaf)[0]);
            Ok(())
        };
        backward_into(&[root], &[None], false, &sink).unwrap();
        for (i, leaf) in plain.iter().enumerate() {
            let expected: Vec<f64> = leaf.grad().iter().map(|g| values(g)[0]).collect();
            for found in [&seen.lock().unwrap()[i], &told.lock().unwrap()[i]] {
                assert_eq!(found.len(), expected.len(), "graph {seed}, leaf {i}");
                assert!(common::near(found, &expected, 1e-12), "graph {seed}, leaf {i}");
            }
        }
    }
}

/// Each leaf is handed over before the walk goes below the last operation that uses it.
#[test]
fn leaves_are_handed_over_on_the_way() {
    let (early, twice, late) = (leaf(&[2.0], &[1]), leaf(&[3.0], &[1]), leaf(&[5.0], &[1]));
    let order = Arc::new(Mutex::new(Vec::new()));
    let noting = |name: &'static str| -> phynexus::Hook {
        let order = order.clone();
        Arc::new(move |g: &Tensor| {
            order.lock().unwrap().push((name, values(g)[0]));
            Ok(None)
        })
    };
    let a = binary(Row::Mul, &early, &twice).unwrap();
    let b = binary(Row::Mul, &a, &twice).unwrap();
    let c = binary(Row::Mul, &b, &late).unwrap();
    let d = binary(Row::Mul, &c, &late).unwrap();
    let leaves = [(&early, "early"), (&twice, "twice"), (&late, "late")];
    for (tensor, name) in leaves.into_iter().chain([(&a, "a"), (&b, "b"), (&c, "c"), (&d, "d")]) {
        tensor.add_hook(noting(name)).unwrap();
    }
    backward(&[sum(&d)], &[None], false, false).unwrap();
    let results = [("d", 1.0), ("c", 5.0), ("late", 180.0), ("b", 25.0), ("a", 75.0)];
    let expected = [results.as_slice(), &[("twice", 300.0), ("early", 225.0)]].concat();
    assert_eq!(*order.lock().unwrap(), expected);
}

#[test]
fn several_roots_and_roots_that_are_leaves() {
    let x = leaf(&[2.0], &[1]);
    let (y, told) = (scale(&x, 3.0), Mutex::new(Vec::new()));
    let sink = |leaf: &Tensor| {
        told.lock().unwrap().push(grad_of(leaf)[0]);
        Ok(())
    };
    backward_into(&[x.clone(), y.clone(), x.clone()], &[None, None, None], true, &sink).unwrap();
    backward_into(from_ref(&x), &[None], false, &sink).unwrap();
    assert_eq!(*told.lock().unwrap(), [5.0, 6.0]);
}

#[test]
fn errors_end_the_walk_and_leave_it_usable() {
    let (first, second) = (leaf(&[2.0], &[1]), leaf(&[3.0], &[1]));
    let loss = || sum(&binary(Row::Mul, &scale(&first, 2.0), &second).unwrap());
    let refuse = |_: &Tensor| Err(Error::Value("no more".into()));
    assert!(error(backward_into(from_ref(&loss()), &[None], false, &refuse)).contains("no more"));
    assert_eq!((grad_of(&second), first.grad().is_none()), (vec![4.0], true));
    assert!(phynexus::grad_enabled());
    second.set_grad(None).unwrap();
    backward_into(from_ref(&loss()), &[None], false, &|_| Ok(())).unwrap();
    assert_eq!((grad_of(&first), grad_of(&second)), (vec![6.0], vec![4.0]));
}

/// Giving a gradient away inside the sink frees it: never more than one is there.
#[test]
fn gradients_are_freed_as_they_are_used() {
    let leaves: Vec<Tensor> = (0..6).map(|_| leaf(&[1.0; 1000], &[1000])).collect();
    let alive = Mutex::new(0);
    let sink = |leaf: &Tensor| {
        let held = leaves.iter().filter(|l| l.grad().is_some()).count();
        let mut most = alive.lock().unwrap();
        *most = held.max(*most);
        leaf.set_grad(None)
    };
    let product = leaves.iter().skip(1).fold(leaves[0].clone(), |p, l| binary(Row::Mul, &p, l).unwrap());
    backward_into(&[sum(&product)], &[None], false, &sink).unwrap();
    assert_eq!(*alive.lock().unwrap(), 1);
}
