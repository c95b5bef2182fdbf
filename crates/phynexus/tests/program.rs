//! Recorded programs: many operations, constants, and what cannot be recorded.

mod common;

use common::{array, error, grad_of, leaf, numbers, tensor};
use phynexus::formula::ops::Op as Row;
use phynexus::{
    DType, Error, Generator, Index, ReduceOp, Tensor, backward, binary, cpu, grad, linear, record, unary,
    uniform,
};
use std::slice::from_ref;

/// A loss and its gradients, as one list of operations.
fn step(x: &Tensor, weight: &Tensor, bias: &Tensor) -> phynexus::Result<Vec<Tensor>> {
    let y = linear(x, weight, Some(bias), Some(Row::Relu))?;
    let loss = binary(Row::Mul, &y, &y)?.reduce(ReduceOp::Mean, None, false)?;
    let inputs = [weight.clone(), bias.clone()];
    let grads = grad(from_ref(&loss), &inputs, &[None], false, false)?;
    Ok([loss].into_iter().chain(grads.into_iter().flatten()).collect())
}

#[test]
fn a_step_with_its_gradients_replays_on_other_values() {
    let operands = |seed: f64| {
        let values = |n: usize| -> Vec<f64> { (0..n).map(|i| (seed + i as f64 * 0.7).sin()).collect() };
        [leaf(&values(12), &[4, 3]), leaf(&values(6), &[2, 3]), leaf(&values(2), &[2])]
    };
    let first = operands(0.0);
    let program = record(&first, || step(&first[0], &first[1], &first[2])).unwrap();
    assert!(program.len() >= 5 && program.names()[0] == "linear", "{:?}", program.names());
    for seed in [0.0, 1.0, 2.0] {
        let others = operands(seed);
        let direct = step(&others[0], &others[1], &others[2]).unwrap();
        let arrays: Vec<_> = others.iter().map(Tensor::array).collect();
        let replayed = program.replay(&arrays).unwrap();
        for (found, expected) in replayed.iter().zip(&direct) {
            assert_eq!(found.to_bytes().unwrap(), expected.array().to_bytes().unwrap());
        }
        assert_eq!(replayed.len(), 3);
    }
}

/// What comes from outside keeps its value; random numbers are those of the recording.
#[test]
fn constants_and_random_numbers_are_part_of_the_program() {
    let (x, outside) = (tensor(&[1.0, 2.0], &[2]), tensor(&[10.0], &[]));
    let generator = Generator::new(7);
    let program = record(from_ref(&x), || {
        let noise = uniform(x.shape(), DType::F64, cpu(), &generator)?;
        Ok::<_, Error>(vec![binary(Row::Mul, &x, &outside)?, noise, outside.clone(), x.clone()])
    })
    .unwrap();
    let replay = || program.replay(&[array(&[3.0, 4.0], &[2], DType::F64)]).unwrap();
    let (once, again) = (replay(), replay());
    assert_eq!(
        (numbers(&once[0]), numbers(&once[2]), numbers(&once[3])),
        (vec![30.0, 40.0], vec![10.0], vec![3.0, 4.0])
    );
    assert_eq!(numbers(&once[1]), numbers(&again[1]));
}

#[test]
fn operands_must_be_as_recorded() {
    let x = tensor(&[1.0, 2.0], &[2]);
    let program = record(from_ref(&x), || unary(Row::Exp, &x).map(|y| vec![y])).unwrap();
    for other in [array(&[1.0], &[1], DType::F64), array(&[1.0, 2.0], &[2], DType::F32)] {
        let text = error(program.replay(&[other]));
        assert!(text.contains("the program takes"), "{text}");
    }
    assert!(error(program.replay(&[])).contains("got []"));
}

#[test]
fn changes_in_place_cannot_be_recorded() {
    let x = tensor(&[1.0, 2.0], &[2]);
    let changes: [fn(&Tensor) -> phynexus::Result<()>; 4] = [
        |x| x.update("mul_", |x| binary(Row::Mul, x, 2.0)),
        |x| x.fill(phynexus::Value::F(0.0)),
        |x| x.set_at(&[Index::At(0)], &tensor(&[5.0], &[])),
        |x| x.assign(&tensor(&[5.0, 6.0], &[2]), "copy_"),
    ];
    for change in changes {
        let text = error(record(from_ref(&x), || change(&x).map(|()| vec![x.clone()])));
        assert!(text.contains("cannot be recorded"), "{text}");
    }
    // The recordings ended with their errors, and another may begin: but only one at a time.
    let text = error(record(from_ref(&x), || record(&[], || Ok::<_, Error>(vec![])).map(|_| vec![])));
    assert!(text.contains("already"), "{text}");
    assert!(record(from_ref(&x), || Ok::<_, Error>(vec![x.clone()])).unwrap().is_empty());
    assert_eq!(common::values(&x), [1.0, 2.0]);
}

/// Gradients of leaves accumulate while a program is recorded, and are values of it.
#[test]
fn a_way_back_is_recorded_with_its_accumulation() {
    let (x, y) = (leaf(&[3.0], &[1]), leaf(&[5.0], &[1]));
    let program = record(&[x.clone(), y.clone()], || {
        for _ in 0..2 {
            let z = binary(Row::Mul, &binary(Row::Mul, &x, &x)?, &y)?;
            backward(&[z], &[None], false, false)?;
        }
        Ok::<_, Error>([&x, &y].into_iter().filter_map(Tensor::grad).collect())
    })
    .unwrap();
    assert_eq!((grad_of(&x), grad_of(&y)), (vec![60.0], vec![18.0]));
    let replayed =
        program.replay(&[array(&[2.0], &[1], DType::F64), array(&[7.0], &[1], DType::F64)]).unwrap();
    assert_eq!((numbers(&replayed[0]), numbers(&replayed[1])), (vec![56.0], vec![8.0]));
    x.grad().unwrap().fill(phynexus::Value::F(0.0)).unwrap();
    assert_eq!((grad_of(&x), grad_of(&y)), (vec![0.0], vec![18.0]));
}

/// A value off the tape is still a value of the program.
#[test]
fn detached_values_are_followed() {
    let x = tensor(&[3.0], &[1]);
    let program = record(from_ref(&x), || unary(Row::Exp, &x.detach()).map(|y| vec![y])).unwrap();
    assert_eq!(numbers(&program.replay(&[array(&[0.0], &[1], DType::F64)]).unwrap()[0]), [1.0]);
}
