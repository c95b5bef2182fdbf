//! Row-sparse gradients: sums in any order, what leaves hold, what reaches a sink.

mod common;

use common::{Rng, error, grad_of, integers, leaf, shape, tensor, values};
use phynexus::{Gradient, ReduceOp, RowSparse, Tensor, backward, backward_into, embedding, grad};
use std::sync::Mutex;

const ROWS: usize = 7;

fn sum(t: &Tensor) -> Tensor {
    t.reduce(ReduceOp::Sum, None, false).unwrap()
}

fn rows(indices: &[i64], numbers: &[f64]) -> RowSparse {
    RowSparse::new(
        &integers(indices, &[indices.len()]),
        &tensor(numbers, &[indices.len(), 2]),
        shape(&[ROWS, 2]),
    )
    .unwrap()
}

fn rows_of(t: &Tensor) -> std::sync::Arc<RowSparse> {
    match t.gradient() {
        Some(Gradient::Rows(rows)) => rows,
        _ => panic!("the gradient is not of rows"),
    }
}

/// The same bits as adding row by row in order.
#[test]
fn coalescing_adds_in_order() {
    let mut rng = Rng(3);
    for count in [0, 1, 2, 5, 40, 300] {
        let indices: Vec<i64> = (0..count).map(|_| rng.below(ROWS) as i64).collect();
        let numbers: Vec<f64> = (0..2 * count).map(|_| rng.uniform(-1.0, 1.0)).collect();
        let mut expected = vec![0.0; 2 * ROWS];
        for (k, &row) in indices.iter().enumerate() {
            (0..2).for_each(|c| expected[2 * row as usize + c] += numbers[2 * k + c]);
        }
        let given = rows(&indices, &numbers);
        let summed = given.coalesce().unwrap();
        let order = values(summed.indices());
        assert!(summed.is_coalesced() && order.windows(2).all(|pair| pair[0] < pair[1]));
        for found in [given, summed] {
            assert_eq!(values(&found.to_dense().unwrap()), expected);
        }
    }
}

/// Sparse and dense look-ups of one table in any order add up to the dense gradient.
#[test]
fn any_mixture_adds_up() {
    let mut rng = Rng(8);
    for round in 0..60 {
        let start: Vec<f64> = (0..2 * ROWS).map(|_| rng.uniform(-1.0, 1.0)).collect();
        let uses: Vec<(Vec<i64>, bool)> = (0..1 + rng.below(4))
            .map(|_| {
                let numbers = (0..1 + rng.below(5)).map(|_| rng.below(ROWS) as i64).collect();
                (numbers, rng.below(3) > 0)
            })
            .collect();
        let train = |allowed: bool, hooked: bool| {
            let table = leaf(&start, &[ROWS, 2]);
            let loss = || {
                let used = uses.iter().map(|(numbers, sparse)| {
                    let index = integers(numbers, &[numbers.len()]);
                    let taken = embedding(&index, &table, Some(2), *sparse && allowed).unwrap();
                    sum(&phynexus::binary(phynexus::formula::ops::Op::Mul, &taken, &taken).unwrap())
                });
                used.reduce(|a, b| phynexus::binary(phynexus::formula::ops::Op::Add, &a, &b).unwrap())
                    .unwrap()
            };
            for _ in 0..2 {
                if hooked {
                    let told = Mutex::new(0);
                    let sink = |_: &Tensor| {
                        *told.lock().unwrap() += 1;
                        Ok(())
                    };
                    backward_into(&[loss()], &[None], false, &sink).unwrap();
                    assert_eq!(*told.lock().unwrap(), 1);
                } else {
                    backward(&[loss()], &[None], false, false).unwrap();
                }
            }
            let all_sparse = allowed && uses.iter().all(|(_, sparse)| *sparse);
            assert_eq!(matches!(table.gradient(), Some(Gradient::Rows(_))), all_sparse, "round {round}");
            values(&table.gradient().unwrap().to_dense().unwrap())
        };
        let expected = train(false, false);
        assert!(common::near(&train(true, false), &expected, 1e-12), "round {round}");
        assert!(common::near(&train(true, true), &expected, 1e-12), "round {round}");
    }
}

#[test]
fn leaves_that_hold_rows() {
    let table = leaf(&[1.0; 2 * ROWS], &[ROWS, 2]);
    let taken = || sum(&embedding(&integers(&[3, 0, 3], &[3]), &table, Some(0), true).unwrap());
    backward(&[taken()], &[None], false, false).unwrap();
    assert_eq!(values(rows_of(&table).indices()), [3.0, 3.0], "the padding is left out");
    assert!(table.grad().is_none() && error(table.dense_grad()).contains("row-sparse"));
    let found =
        grad(&[taken()], std::slice::from_ref(&table), &[None], false, false).unwrap().remove(0).unwrap();
    assert_eq!(values(&found)[6..8], [2.0, 2.0]);
    let odd = RowSparse::new(&integers(&[0], &[1]), &tensor(&[1.0], &[1, 1]), shape(&[ROWS, 1])).unwrap();
    assert!(error(table.set_gradient(Some(Gradient::Rows(odd.into())))).contains("(7, 1)"));
    table.set_grad(Some(tensor(&[0.5; 2 * ROWS], &[ROWS, 2]))).unwrap();
    backward(&[taken()], &[None], false, false).unwrap();
    assert_eq!(grad_of(&table)[4..8], [0.5, 0.5, 2.5, 2.5]);
}
