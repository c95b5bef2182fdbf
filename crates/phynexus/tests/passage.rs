//! Gradients that pass an activation at the end of a product, biases that are summed beside one, and the first step back
//! from a loss: the values are those of one operation after the other.

mod common;

use common::{Rng, grad_of, leaf, near, tensor, values};
use phynexus::formula::ops::Op as Row;
use phynexus::{Hook, ReduceOp, Result, Tensor, backward, binary, grad, linear, matmul, record, unary};
use std::slice::from_ref;
use std::sync::{Arc, Mutex};

const ACTIVATIONS: [Row; 6] = [Row::Relu, Row::Tanh, Row::Sigmoid, Row::Gelu, Row::Silu, Row::Exp];

fn random(r: &mut Rng, dims: &[usize]) -> Tensor {
    let values: Vec<f64> = (0..dims.iter().product()).map(|_| r.uniform(-1.0, 1.0)).collect();
    leaf(&values, dims)
}

/// Two layers of odd sizes with an activation between them.
struct Layers {
    leaves: [Tensor; 5],
    activation: Row,
}

impl Layers {
    fn new(activation: Row) -> Layers {
        let mut r = Rng(7);
        let leaves = [&[5, 3][..], &[4, 3], &[4], &[2, 4], &[2]].map(|dims| random(&mut r, dims));
        Layers { leaves, activation }
    }

    fn hidden(&self) -> Tensor {
        let [x, w, b, ..] = &self.leaves;
        linear(x, w, Some(b), Some(self.activation)).unwrap()
    }

    fn on(&self, hidden: &Tensor) -> Tensor {
        let [.., w, b] = &self.leaves;
        linear(hidden, w, Some(b), None).unwrap()
    }

    /// The gradients of a loss, computed so that they can be differentiated again: nothing passes anything then.
    fn expected(&self, loss: &Tensor) -> Vec<Vec<f64>> {
        let grads = grad(from_ref(loss), &self.leaves, &[None], true, true).unwrap();
        grads.iter().map(|g| values(g.as_ref().unwrap())).collect()
    }

    fn check(&self, what: &str, loss: &Tensor) {
        let expected = self.expected(loss);
        let asked = grad(from_ref(loss), &self.leaves, &[None], true, false).unwrap();
        backward(from_ref(loss), &[None], false, false).unwrap();
        for (k, leaf) in self.leaves.iter().enumerate() {
            assert!(near(&grad_of(leaf), &expected[k], 1e-6), "{what} {:?} leaf {k}", self.activation);
            assert!(near(&values(asked[k].as_ref().unwrap()), &expected[k], 1e-6), "{what}, asked for");
            leaf.set_grad(None).unwrap();
        }
    }
}

fn mean_square(t: &Tensor) -> Tensor {
    binary(Row::Mul, t, t).unwrap().reduce(ReduceOp::Mean, None, false).unwrap()
}

#[test]
fn layers_one_after_the_other() {
    for layers in ACTIVATIONS.map(Layers::new) {
        layers.check("linear", &mean_square(&layers.on(&layers.hidden())));
        let square = matmul(&layers.hidden(), &tensor(&[0.5; 8], &[4, 2])).unwrap();
        let all = binary(Row::Add, &square, &layers.on(&layers.hidden())).unwrap();
        layers.check("product", &mean_square(&all));
    }
}

/// What comes by another way is added behind the activation, whichever comes first.
#[test]
fn branches_that_pass_and_others_add_up() {
    for layers in ACTIVATIONS.map(Layers::new) {
        let hidden = layers.hidden();
        let early = mean_square(&hidden);
        let total = binary(Row::Add, &mean_square(&layers.on(&hidden)), &early).unwrap();
        let late = binary(Row::Add, &total, &mean_square(&unary(Row::Neg, &hidden).unwrap())).unwrap();
        layers.check("branches", &late);
        let hidden = layers.hidden();
        let both = binary(Row::Mul, &layers.on(&hidden), &layers.on(&hidden)).unwrap();
        layers.check("twice", &mean_square(&both));
    }
}

/// Who asked to see the gradient of the activation's result sees it, and may change it.
#[test]
fn hooks_and_kept_gradients_are_not_passed_by() {
    let layers = Layers::new(Row::Tanh);
    let hidden = layers.hidden();
    let loss = mean_square(&layers.on(&hidden));
    let expected = layers.expected(&loss);
    let wanted =
        values(grad(from_ref(&loss), from_ref(&hidden), &[None], true, true).unwrap()[0].as_ref().unwrap());
    let seen = Arc::new(Mutex::new(Vec::new()));
    let note = seen.clone();
    let hook: Hook = Arc::new(move |g: &Tensor| -> Result<Option<Tensor>> {
        note.lock().unwrap().extend(values(g));
        Ok(Some(binary(Row::Mul, g, 2.0)?))
    });
    let asked = grad(from_ref(&loss), from_ref(&hidden), &[None], true, false).unwrap();
    assert!(near(&values(asked[0].as_ref().unwrap()), &wanted, 1e-6));
    hidden.add_hook(hook).unwrap();
    backward(from_ref(&loss), &[None], false, false).unwrap();
    assert!(near(&seen.lock().unwrap(), &wanted, 1e-6));
    let doubled: Vec<f64> = expected[1].iter().map(|g| 2.0 * g).collect();
    assert!(near(&grad_of(&layers.leaves[1]), &doubled, 1e-6));
    assert!(near(&grad_of(&layers.leaves[3]), &expected[3], 1e-6), "beyond the hook nothing changes");
}

/// The sums beside a product have derivatives like any other result.
#[test]
fn second_derivatives_of_a_weight_and_its_bias() {
    for layers in ACTIVATIONS.map(Layers::new) {
        let norm = |leaves: &Layers| {
            let loss = mean_square(&leaves.on(&leaves.hidden()));
            let grads = grad(&[loss], &leaves.leaves, &[None], true, true).unwrap();
            let squares = grads.iter().map(|g| mean_square(g.as_ref().unwrap()));
            squares.reduce(|a, b| binary(Row::Add, &a, &b).unwrap()).unwrap()
        };
        backward(&[norm(&layers)], &[None], false, false).unwrap();
        for (k, leaf) in layers.leaves.iter().enumerate() {
            let (before, found) = (values(leaf), grad_of(leaf));
            for i in 0..before.len() {
                let moved = |step: f64| {
                    let mut other = Layers::new(layers.activation);
                    let mut moved = before.clone();
                    moved[i] += step;
                    let dims = leaf.shape().to_vec();
                    other.leaves[k] = common::leaf(&moved, &dims);
                    values(&norm(&other))[0]
                };
                let slope = (moved(0.01) - moved(-0.01)) / 0.02;
                let at_a_bend = layers.activation == Row::Relu;
                assert!(
                    at_a_bend || (slope - found[i]).abs() < 2e-3 * slope.abs().max(1.0),
                    "leaf {k}: {slope} {}",
                    found[i]
                );
            }
        }
    }
}

#[test]
fn recorded_walks_give_the_same() {
    let layers = Layers::new(Row::Relu);
    let run = || {
        let loss = mean_square(&layers.on(&layers.hidden()));
        let grads = grad(&[loss], &layers.leaves, &[None], false, false)?;
        Ok::<_, phynexus::Error>(grads.into_iter().flatten().collect())
    };
    let program = record(&layers.leaves, run).unwrap();
    let inputs: Vec<_> = layers.leaves.iter().map(Tensor::array).collect();
    let expected = layers.expected(&mean_square(&layers.on(&layers.hidden())));
    for (found, expected) in program.replay(&inputs).unwrap().iter().zip(&expected) {
        assert!(near(&common::numbers(found), expected, 1e-6));
    }
}
